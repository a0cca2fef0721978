"""What is wrong with the scripts that a template renders to: what bash says, what sbatch would, and what they lack."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from jinja2 import Environment, TemplateError

from aistation_slurm.errors import AistationError, RenderError
from aistation_slurm.jobs import script
from aistation_slurm.jobs.catalogue import FOLDER, SUFFIX, Template
from aistation_slurm.jobs.directives import LONG_OPTIONS, directives, is_known, late_directives, option_of
from aistation_slurm.jobs.variants import variants
from aistation_slurm.slurm.runner import Runner

Level = Literal["error", "warning"]
_MISSES: tuple[tuple[str, str], ...] = (
    (r"^#SBATCH --requeue\b", "no `#SBATCH --requeue`: a job that lost its node is not started again"),
    (r"^#SBATCH --open-mode=append\b", "no `#SBATCH --open-mode=append`: a job that is started again loses its log"),
    (r"^#SBATCH --signal=B:", "no `#SBATCH --signal=B:...`: nothing is said before the time limit"),
    (r"AISTATION_RUN_DIR=", "no train/_start.sh.j2: no run folder, no guard against a second start"),
    (r"^trap .*USR2", "no train/_signals.sh.j2: nobody hears the signal before the time limit"),
    (r"\bsrun\b", "no srun: what is started without is not signalled, limited and counted by Slurm"),
    (r"^exit \"\$code\"$", "no train/_wait.sh.j2: the training's exit code may get lost"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a template: an error, or a warning."""

    level: Level
    where: str
    """`file:line`."""
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.level}: {self.text} [{self.rule}]"


def lint_scripts(template: Template, environment: Environment, runner: Runner) -> Iterator[Finding]:
    """Yield what is wrong with the scripts that it renders to; what several of them have is said once."""
    seen: set[tuple[str, str]] = set()
    for label, request in variants(template):
        try:
            text = environment.get_template(f"{FOLDER}/{template.name}{SUFFIX}").render(
                **script.context(request, template)
            )
        except TemplateError as error:
            yield Finding("error", script.where(error, template.path), "render", f"{script.said(error)} ({label})")
            return
        except AistationError as error:
            yield Finding("error", f"{template.path}:1", "render", f"{error} ({label})")
            continue
        for level, rule, said in (each for check in _CHECKS for each in check(text, runner)):
            if (rule, said) not in seen:
                seen.add((rule, said))
                yield Finding(level, f"{template.path}:{_source_line(template, said)}", rule, f"{said} ({label})")
        if label == "with the least":
            yield from (Finding("warning", f"{template.path}:1", "missing", said) for said in _missing(text))


Said = tuple[Level, str, str]


def _begins(text: str, runner: Runner) -> Iterator[Said]:
    if not text.startswith("#!"):
        yield (
            "error",
            "shebang",
            f"the script begins with {text.splitlines()[0][:40] if text else ''!r}, and not with #!/bin/bash",
        )


def _parses(text: str, runner: Runner) -> Iterator[Said]:
    done = runner.run(("bash", "-n"), stdin=text, timeout=30)
    if done.returncode or done.stderr:
        first = (done.stderr.splitlines() or ["it can't be parsed"])[0].removeprefix("bash: ")
        yield "error", "bash", f"bash: {first}"


def _options(text: str, runner: Runner) -> Iterator[Said]:
    try:
        for _, word in directives(text):
            option = option_of(word)
            if not option:
                yield "error", "sbatch", f"sbatch takes {word!r} in a #SBATCH line for no option"
            elif not is_known(option):
                yield "error", "sbatch", f"no sbatch has the option {option}{_close(option)}"
    except RenderError as error:
        yield "error", "sbatch", str(error)
    for line in late_directives(text):
        yield (
            "warning",
            "late",
            f"{text.splitlines()[line - 1]} stands behind the first command, where sbatch ignores it",
        )


_CHECKS: tuple[Callable[[str, Runner], Iterator[Said]], ...] = (_begins, _parses, _options)


def _missing(text: str) -> Iterator[str]:
    return (said for pattern, said in _MISSES if not re.search(pattern, text, re.MULTILINE))


def _close(option: str) -> str:
    close = get_close_matches(option.lstrip("-"), LONG_OPTIONS, n=1)
    return f"; did you mean --{close[0]}?" if close else ""


def _source_line(template: Template, said: str) -> int:
    """Return the line of the template that what was said is about, where it quotes an option or a line; else 1."""
    words = re.findall(r"--[a-z][\w-]*", said)
    for number, line in enumerate(template.path.read_text(encoding="utf-8").splitlines(), 1):
        if words and words[0] in line and line.startswith("#SBATCH"):
            return number
    return 1
