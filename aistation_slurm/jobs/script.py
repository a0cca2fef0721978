"""A request and a template become a batch script."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from jinja2 import Environment, TemplateError, TemplateNotFound, TemplateSyntaxError, UndefinedError

from aistation_slurm.errors import RenderError, RequestError
from aistation_slurm.jobs.catalogue import FOLDER, SUFFIX, Catalogue, Template
from aistation_slurm.jobs.parameter import Value
from aistation_slurm.jobs.request import TrainingRequest
from aistation_slurm.render import Raw, sbatch_word, shell_word, templates

_SHAPE = {"nodes": 1, "gpus_per_node": 0}
"""What a template runs on that doesn't ask for more."""
_LEFT_FOR_REQUEUE = 15
"""Seconds before the time limit at which a training that did not leave is requeued."""
_NOTICE = 60
"""Seconds before the time limit at which a training is told, where its template doesn't say."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_IN_A_VARIABLE = re.compile(r"[^A-Za-z0-9]")
_FROM_THE_REQUEST = (
    "name", "group", "account", "qos", "reservation", "constraint", "time", "mem", "output", "gpu_type", "shares",
    "cpus", "script", "args", "python", "image",
)  # fmt: skip


def render_script(request: TrainingRequest, catalogue: Catalogue) -> str:
    """Return the batch script, ready for sbatch.

    Raises:
        RequestError: the template is not there, or can't take a value.
        RenderError: the template is wrong; `where` is `file:line`.
    """
    template = catalogue[request.template]
    environment = script_environment(*catalogue.folders)
    try:
        return environment.get_template(f"{FOLDER}/{request.template}{SUFFIX}").render(**context(request, template))
    except TemplateError as error:
        raise RenderError(f"it can't be rendered: {said(error)}", where=where(error, template.path)) from error


def script_environment(*folders: Path) -> Environment:
    """Return what renders the templates in these folders: every value one word of the shell.

    Two filters quote for where a value stands: `|words` makes the words of a command line from a list, `|option` the
    value of a `#SBATCH` line.
    """
    environment = templates(*folders, finalize=_printed)
    environment.filters["option"] = _option
    environment.filters["words"] = _words
    return environment


def context(request: TrainingRequest, template: Template) -> dict[str, object]:
    """Return what a template may use (docs/templates.md); each value is quoted where it is put into the script."""
    _raise_if_an_option(python=request.python, image=request.image)
    values = template.values({**_shape(request, template), **request.settings})
    gpus, notice = _number(values, "gpus_per_node"), _number(values, "notice") or _NOTICE
    cpus_per_gpu = _number(values, "cpus_per_gpu") or request.cpus_per_gpu
    return {
        **_SHAPE,
        **values,
        **{name: getattr(request, name) for name in _FROM_THE_REQUEST},
        "argv": (request.script, *request.args),
        "command": _command(request),
        "checkpoint_dir": request.checkpoint_dir and request.checkpoint_dir.absolute(),
        "datasets": _datasets(request.datasets),
        "exports": _exports(request.exports),
        "mounts": tuple(dict.fromkeys(each.absolute() for each in (request.script.parent, *request.datasets.values()))),
        "mail": ",".join(request.mail),
        "ranks_per_node": max(1, gpus),
        "cpus_per_node": cpus_per_gpu and cpus_per_gpu * max(1, gpus),
        "threads": cpus_per_gpu or request.cpus or 1,
        "may_lose_nodes": _number(values, "nodes") > 1,
        "notice": notice,
        "grace": max(1, notice - _LEFT_FOR_REQUEUE),
        "sweep": None,  # jobs.sweep puts its own there
    }


def where(error: TemplateError, path: Path) -> str:
    """Return `file:line` of what is wrong with a template, in it or in what it includes."""
    if isinstance(error, TemplateSyntaxError):
        return f"{error.filename or path}:{error.lineno}"
    trace, line = error.__traceback__, 0
    while trace:
        if trace.tb_frame.f_code.co_filename.endswith(".j2"):
            path, line = Path(trace.tb_frame.f_code.co_filename), trace.tb_lineno
        trace = trace.tb_next
    return f"{path}:{line}" if line else str(path)


def said(error: TemplateError) -> str:
    """Return what is wrong with a template, in words."""
    return f"there is no template {error.name!r}" if isinstance(error, TemplateNotFound) else str(error)


def _shape(request: TrainingRequest, template: Template) -> dict[str, object]:
    """Return how many nodes and GPUs were asked for, as far as the template has a say in it.

    Raises:
        RequestError: it runs on one node, or without GPUs, and more was asked for.
    """
    asked = {name: getattr(request, name) for name in (*_SHAPE, "cpus_per_gpu")}
    for name, only in _SHAPE.items():
        if name not in template.parameters and (asked[name] or only) != only:
            runs = "on one node" if name == "nodes" else "without GPUs"
            raise RequestError(
                f"the template {template.name!r} runs {runs}, not with {name} = {asked[name]}",
                hint="leave it out, or take another template: `aistation template list`",
            )
    return {name: value for name, value in asked.items() if name in template.parameters}


def _raise_if_an_option(**words: str | None) -> None:
    """Refuse what would be taken for an option of the command that it is handed to."""
    for name, word in words.items():
        if word and word.startswith("-"):
            raise RequestError(f"{word!r} begins with a dash", where=f"--{name}", hint="write ./ in front of a file")


def _number(values: Mapping[str, Value], name: str) -> int:
    value = values.get(name)
    return value if isinstance(value, int) else 0


def _datasets(folders: Mapping[str, object]) -> tuple[tuple[Raw, object], ...]:
    """Return (variable, folder) of each data set; an only one is AISTATION_DATASET as well."""
    found = [(f"AISTATION_DATASET_{_NOT_IN_A_VARIABLE.sub('_', name).upper()}", each) for name, each in folders.items()]
    only = [("AISTATION_DATASET", each) for each in folders.values()] if len(folders) == 1 else []
    return tuple((Raw(name), folder) for name, folder in (*only, *found))


def _exports(values: Mapping[str, object]) -> tuple[tuple[Raw, object], ...]:
    if bad := next((name for name in values if not _VARIABLE.fullmatch(name)), None):
        raise RequestError(f"{bad!r} can't be the name of a variable", hint="letters, digits and '_' only")
    return tuple((Raw(name), value) for name, value in values.items())


def _command(request: TrainingRequest) -> tuple[object, ...]:
    """Return what runs the script and its arguments: bash, the script itself if it may be run, else Python."""
    if request.script.suffix in {".sh", ".bash"}:
        return ("bash", request.script, *request.args)
    if request.script.suffix != ".py" and os.access(request.script, os.X_OK):
        return (request.script, *request.args)
    return (request.python, request.script, *request.args)


def _printed(value: object) -> str:
    """Return one word; what was not asked for has none, and `None` is nobody's wish."""
    if value is None:
        raise UndefinedError("what was not asked for is printed: ask {% if ... %} first, or give it a default")
    return shell_word(value)


def _words(values: Iterable[object]) -> Raw:
    return Raw(" ".join(shell_word(each) for each in values))


def _option(value: object) -> Raw:
    return Raw(sbatch_word(value))
