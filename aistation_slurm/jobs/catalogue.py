"""The templates that a training can be made from: ours, and the site's own, which come first."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from aistation_slurm.assets import asset_dir
from aistation_slurm.errors import RenderError, RequestError

SUFFIX = ".sbatch.j2"
FOLDER = "train"
_FRONT = re.compile(r"\A\{#\s*\n(?P<yaml>.*?)#\}\s*\n", re.DOTALL)

Value = str | int | None


class Parameter(BaseModel):
    """One thing that a template can be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["int", "string"] = "string"
    default: Value = None
    choices: tuple[str, ...] = ()
    help: str

    def read(self, name: str, text: str) -> Value:
        """Return the value of a text.

        Raises:
            RequestError: it is none that this parameter takes.
        """
        if self.choices and text not in self.choices:
            raise RequestError(f"{name} is one of {', '.join(self.choices)}, not {text!r}")
        if self.type == "int":
            if not re.fullmatch(r"\d{1,9}", text):
                raise RequestError(f"{name} is a whole number, not {text!r}")
            return int(text)
        return text


class Template(BaseModel):
    """A template, as its front matter describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    what_for: str
    parameters: dict[str, Parameter] = {}
    name: str = Field(exclude=False)
    path: Path

    def values(self, wanted: dict[str, Value]) -> dict[str, Value]:
        """Return a value for each parameter: what was wanted, else the default; None is not wanted.

        Raises:
            RequestError: the template has no such parameter, or can't take the value.
        """
        values = {name: parameter.default for name, parameter in self.parameters.items()}
        for name, value in wanted.items():
            if value is None:
                continue
            if name not in self.parameters:
                raise RequestError(
                    f"the template {self.name!r} has no parameter {name!r}",
                    hint=_close(name, self.parameters) or f"it has: {', '.join(self.parameters)}",
                )
            values[name] = self.parameters[name].read(name, value) if isinstance(value, str) else value
        return values


class Catalogue:
    """The templates in these folders, the first folder winning."""

    def __init__(self, *folders: Path) -> None:
        self.folders = tuple(folders)

    def __iter__(self) -> Iterator[Template]:
        """Yield every template, by name."""
        for name in self.names():
            yield self[name]

    def names(self) -> Sequence[str]:
        """Return the names of all templates, sorted."""
        found = (path for folder in self.folders for path in (folder / FOLDER).glob(f"*{SUFFIX}"))
        return sorted({path.name.removesuffix(SUFFIX) for path in found})

    def __getitem__(self, name: str) -> Template:
        """Return the template of this name.

        Raises:
            RequestError: there is none.
            RenderError: its front matter is missing or wrong.
        """
        for folder in self.folders:
            path = folder / FOLDER / f"{name}{SUFFIX}"
            if os.path.isfile(path):
                return read_template(path)
        names = self.names()
        hint = _close(name, names) or f"there are: {', '.join(names)}"
        raise RequestError(f"no template called {name!r}", hint=hint)


def open_catalogue(site: Path | None = None) -> Catalogue:
    """Return the site's templates, if it has any, and ours."""
    return Catalogue(*([site] if site else []), asset_dir("templates"))


def read_template(path: Path) -> Template:
    """Return what the template says of itself.

    Raises:
        RenderError: it can't be read, or its front matter is missing or wrong.
    """
    try:
        front = _FRONT.match(path.read_text(encoding="utf-8"))
        raw = YAML(typ="safe", pure=True).load(front["yaml"]) if front else None
        return Template.model_validate({**(raw or {}), "name": path.name.removesuffix(SUFFIX), "path": path})
    except (OSError, UnicodeDecodeError, YAMLError, ValidationError, TypeError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error).splitlines()[0]
        raise RenderError(
            f"its front matter can't be used: {first}",
            where=str(path),
            hint="a template begins with a comment, {# ... #}, of YAML: title, what_for, parameters",
        ) from error


def _close(name: str, known: Sequence[str] | dict[str, Parameter]) -> str:
    close = get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else ""
