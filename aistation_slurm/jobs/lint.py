"""What is wrong with a template, before somebody's training finds it out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from jinja2 import Environment, TemplateError, TemplateSyntaxError, nodes

from aistation_slurm.errors import RenderError
from aistation_slurm.jobs import script
from aistation_slurm.jobs.catalogue import Template, read_template
from aistation_slurm.jobs.lint_scripts import Finding, Level, lint_scripts
from aistation_slurm.jobs.places import places
from aistation_slurm.jobs.request import TrainingRequest
from aistation_slurm.slurm.runner import LocalRunner, Runner

_TEXTS = frozenset({"args", "argv", "checkpoint_dir", "command", "image", "mounts", "output", "python", "script"})
"""What the request brings that may be any text; other things are words that Slurm knows."""
_OURS = re.compile(r"\{%-?.*?-?%\}|\{#.*?#\}", re.DOTALL)
_VALUE = re.compile(r"\{\{(?P<expression>.*?)\}\}", re.DOTALL)
_CODE = re.compile(r"(?:^|[\s;&|(])(?:eval|trap|ssh|(?:ba|da|z|k)?sh\s+(?:-\w+\s+)*-c)\s")
_STANDS_FOR = {"nodes": {"may_lose_nodes"}, "gpus_per_node": {"ranks_per_node"}, "cpus_per_gpu": {"threads"}}
"""What the context makes of a parameter."""
_STORES = ("store", "param")


def lint_template(path: Path, folders: Iterable[Path], *, runner: Runner | None = None) -> list[Finding]:
    """Return what is wrong with the template, by line; `folders` are where it finds what it includes.

    Nothing of it is executed: bash only parses what it renders to.
    """
    try:
        template = read_template(path)
    except RenderError as error:
        return [Finding("error", error.where, "front-matter", error.text)]
    environment = script.script_environment(*folders)
    source = path.read_text(encoding="utf-8")
    try:
        tree = environment.parse(source, filename=str(path))
    except TemplateSyntaxError as error:
        return [Finding("error", f"{path}:{error.lineno}", "syntax", str(error.message))]
    parts = list(_parts(_Part(str(path), source, tree), environment))
    found = [*_names(parts, template), *_unused(parts, template)]
    found += [finding for part in parts for finding in _values(part, template)]
    if not any(each.level == "error" for each in found):
        found += lint_scripts(template, environment, runner or LocalRunner())
    return sorted(dict.fromkeys(found), key=lambda each: (_line(each.where), each.level, each.text))


@dataclass(frozen=True, slots=True)
class _Part:
    """A template, or what it includes."""

    path: str
    source: str
    tree: nodes.Template

    def names(self) -> Iterator[nodes.Name]:
        return self.tree.find_all(nodes.Name)


def _parts(part: _Part, environment: Environment) -> Iterator[_Part]:
    """Yield the template, and all that it includes, as far as it is there."""
    yield part
    for each in part.tree.find_all(nodes.Include):
        if isinstance(each.template, nodes.Const) and environment.loader:
            try:
                source, path, _ = environment.loader.get_source(environment, str(each.template.value))
                yield from _parts(_Part(path or "", source, environment.parse(source)), environment)
            except TemplateError:
                continue  # rendering says it


def _names(parts: Sequence[_Part], template: Template) -> Iterator[Finding]:
    """Names that nobody defines: no parameter, nothing of the request, not set by the template."""
    request = TrainingRequest(script=Path("/data/ann/train.py"), template=template.name)
    known = {*script.context(request, template), "loop", "range", "dict", "namespace", "tasks_per_node", "sweep"}
    known |= {each.name for part in parts for each in part.names() if each.ctx in _STORES}
    for path, each in ((part.path, each) for part in parts for each in part.names()):
        if each.ctx == "load" and each.name not in known:
            close = get_close_matches(each.name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            said = f"nothing is called {each.name!r}{hint}"
            yield Finding("error", f"{path}:{each.lineno}", "unknown-name", said)


def _unused(parts: Sequence[_Part], template: Template) -> Iterator[Finding]:
    """Parameters that change nothing."""
    used = {each.name for part in parts for each in part.names()}
    for name in template.parameters:
        if not used & {name, *_STANDS_FOR.get(name, ())}:
            yield Finding("warning", f"{template.path}:1", "unused", f"the parameter {name!r} changes nothing")


def _values(part: _Part, template: Template) -> Iterator[Finding]:
    """Free text where quoting it would not help, or where it is run as code, or taken for an option."""
    texts = _TEXTS | {name for name, each in template.parameters.items() if each.type in ("string", "path")}
    text = _OURS.sub(lambda tag: "\n" * tag.group().count("\n"), part.source)
    for value, place in places(text, _VALUE):
        names = set(re.findall(r"[A-Za-z_]\w*", value["expression"]))
        start = text.rfind("\n", 0, value.start()) + 1
        before = text[start : value.start()]
        where = f"{part.path}:{text.count(chr(10), 0, value.start()) + 1}"
        said = f"{{{{{value['expression']}}}}}"
        if "option" in names and not before.startswith("#SBATCH"):
            yield Finding("error", where, "option", f"{said} stands in no #SBATCH line: |option quotes for sbatch only")
        elif names & texts:
            for level, rule, why in _of_a_value(before, place, names, template):
                yield Finding(level, where, rule, f"{said} {why}")


def _of_a_value(before: str, place: str, names: set[str], template: Template) -> Iterator[tuple[Level, str, str]]:
    if before.startswith("#SBATCH") and "option" not in names:
        yield "error", "option", "stands in a #SBATCH line: write |option, since sbatch quotes unlike a shell"
    elif place not in ("word", "comment"):
        yield "error", "quoted", f"stands inside {place}, where a shell expands it, or takes its quotes for text"
    elif place == "word" and _CODE.search(before):
        yield "error", "code", "is handed to a command that runs it as code"
    elif place == "word" and before[-1:] in ("", " ", "\t") and (loose := _loose(names, template)):
        yield "warning", "dash", f"may begin with a dash, as an option: --name={{{{ {loose} }}}}, or type 'path'"


def _loose(names: set[str], template: Template) -> str:
    """Return the parameter among these names that is any text: what else there is can't begin with a dash, or may."""
    known = template.parameters
    return next((name for name in names if name in known and known[name].type == "string"), "")


def _line(where: str) -> tuple[str, int]:
    path, _, line = where.rpartition(":")
    return path, int(line) if line.isdecimal() else 0
