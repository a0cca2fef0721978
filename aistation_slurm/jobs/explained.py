"""The script of a template, taken apart, each part with what there is to know about it.

Beside `NAME.sbatch.j2` and `_NAME.sh.j2` stands `NAME.toml` and `_NAME.toml`:

    know = ["What a user would otherwise have to know.", ...]      of a template only
    [example]                                                      of a template only: the request of the page
    [lines]
    "#SBATCH --requeue" = "What lines that begin so, and those after them up to the next that is named, are for."
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, Environment

from aistation_slurm.errors import RenderError
from aistation_slurm.jobs import script
from aistation_slurm.jobs.catalogue import FOLDER, SUFFIX, Catalogue, Template
from aistation_slurm.jobs.request import TrainingRequest, read_request

_BEGIN, _END = "\x01begin ", "\x01end"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a page says of a template, or of a part that templates share."""

    lines: Mapping[str, str]
    know: Sequence[str] = ()
    example: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Block:
    """Some lines of a script, where they come from, and what they are for."""

    source: str
    """The name of what was included, such as `_start`; empty of the template's own lines."""
    text: str
    say: str


def read_explanation(path: Path) -> Explanation:
    """Return what the file says.

    Raises:
        RenderError: it can't be read, or is something else.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        lines = {first: " ".join(say.split()) for first, say in raw.pop("lines", {}).items()}
        return Explanation(lines=lines, **raw)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError, AttributeError) as error:
        hint = "it holds know, [example] and [lines]"
        raise RenderError(f"can't be used: {error}", where=str(path), hint=hint) from error


def explanation_of(name: str, catalogue: Catalogue) -> Explanation | None:
    """Return what there is to know of a template, or of a shared part such as `_start`; None where nobody wrote it."""
    for folder in catalogue.folders:
        path = folder / FOLDER / f"{name}.toml"
        if path.is_file():
            return read_explanation(path)
    return None


def example_of(template: Template, explanation: Explanation) -> TrainingRequest:
    """Return the request that the page of a template shows."""
    return read_request({"script": "/data/ann/train.py", **explanation.example, "template": template.name})


def explained(request: TrainingRequest, catalogue: Catalogue) -> list[Block]:
    """Return the script of the request, taken apart; its texts, joined, are the script."""
    environment = script.script_environment(*catalogue.folders)
    if environment.loader:
        environment.loader = _Marking(environment.loader)
    template = environment.get_template(f"{FOLDER}/{request.template}{SUFFIX}")
    text = template.render(**script.context(request, catalogue[request.template]))
    blocks = []
    for source, lines in _parts(text):
        known = explanation_of(source or request.template, catalogue)
        blocks += [Block(source, text, say) for text, say in _split(lines, known.lines if known else {})]
    return blocks


class _Marking(BaseLoader):
    """Marks where what was included begins and ends."""

    def __init__(self, inner: BaseLoader) -> None:
        self._inner = inner

    def get_source(self, environment: Environment, template: str) -> tuple[str, str | None, Callable[[], bool] | None]:
        source, path, is_fresh = self._inner.get_source(environment, template)
        name = Path(template).name.removesuffix(".sh.j2")
        if name.startswith("_"):
            source = f"{_BEGIN}{name}\n{source}{_END}\n"
        return source, path, is_fresh


def _parts(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield (source, lines) as they follow each other; lines have their ends."""
    within: list[str] = [""]
    lines: list[str] = []
    for line in text.splitlines(keepends=True):
        is_mark = line.startswith((_BEGIN, _END))
        if is_mark and lines:
            yield within[-1], lines
            lines = []
        if line.startswith(_BEGIN):
            within.append(line.removeprefix(_BEGIN).strip())
        elif is_mark:
            within.pop()
        else:
            lines.append(line)
    yield within[-1], lines


def _split(lines: Sequence[str], says: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (text, what is said of it): a new one at each line that is named, with the comment above it."""
    block: list[str] = []
    say = ""
    for line in lines:
        first = next((each for each in says if line.strip().startswith(each)), None)
        if first is not None and block:
            keep = len(block)
            while keep and _is_above(block[keep - 1]):
                keep -= 1
            if keep:
                yield "".join(block[:keep]), say
            block = block[keep:]
        say = says[first] if first is not None else say
        block.append(line)
    yield "".join(block), say


def _is_above(line: str) -> bool:
    return not line.strip() or (line.strip().startswith("#") and not line.startswith(("#SBATCH", "#!")))
