"""The templates that a training can be made from: ours, and the site's own, which come first."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from aistation_slurm.assets import asset_dir
from aistation_slurm.errors import RenderError, RequestError
from aistation_slurm.jobs.parameter import Parameter, Value, read_parameter

SUFFIX = ".sbatch.j2"
FOLDER = "train"
_FRONT = re.compile(r"\A\{#-?[ \t]*\n(?P<toml>.*?)-?#\}[ \t]*\n", re.DOTALL)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_KEYS = ("title", "what_for", "parameters")
_HINT = "a template begins with a comment, {# ... #}, of TOML: title, what_for, [parameters.NAME]"
_TOML_LINE = re.compile(r" \(at (?:line (?P<line>\d+), column \d+|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Template:
    """A template, as its front matter describes it."""

    name: str
    title: str
    what_for: str
    path: Path
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    def values(self, wanted: Mapping[str, object]) -> dict[str, Value]:
        """Return a value for each parameter: what was wanted, else the default; None is not wanted.

        Raises:
            RequestError: the template has no such parameter, or can't take a value; each is said.
        """
        values: dict[str, Value] = {name: parameter.default for name, parameter in self.parameters.items()}
        errors = []
        for name, value in wanted.items():
            try:
                if value is not None:
                    values[name] = self._parameter(name).read(name, value)
            except RequestError as error:
                errors.append(error)
        if len(errors) > 1:
            lines = (f"{each}; {each.hint}" if each.hint else str(each) for each in errors)
            raise RequestError(f"{len(errors)} values can't be used", hint="\n".join(lines))
        if errors:
            raise errors[0]
        return values

    def _parameter(self, name: str) -> Parameter:
        if name not in self.parameters:
            hint = _close(name, self.parameters) or f"it has: {', '.join(self.parameters) or 'none'}"
            raise RequestError(f"the template {self.name!r} has no parameter {name!r}", hint=hint)
        return self.parameters[name]


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
        return read_template(self.file(name))

    def file(self, name: str) -> Path:
        """Return the file of the template of this name.

        Raises:
            RequestError: there is none.
        """
        for folder in self.folders if _NAME.fullmatch(name) else ():
            path = folder / FOLDER / f"{name}{SUFFIX}"
            if os.path.isfile(path):
                return path
        names = self.names()
        hint = _close(name, names) or f"there are: {', '.join(names)}"
        raise RequestError(f"no template called {name!r}", hint=hint)


def open_catalogue(site: Path | None = None) -> Catalogue:
    """Return the site's templates, if it has any, and ours."""
    return Catalogue(*([site] if site else []), asset_dir("templates"))


def read_template(path: Path) -> Template:
    """Return what the template says of itself.

    Raises:
        RenderError: it can't be read, or its front matter is missing or wrong; `where` is `file:line`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RenderError(f"can't be read: {error}", where=str(path)) from error
    front = _FRONT.match(text)
    if not front:
        raise RenderError("it has no front matter", where=f"{path}:1", hint=_HINT)
    try:
        return _template(path, tomllib.loads(front["toml"]))
    except tomllib.TOMLDecodeError as error:
        at = _TOML_LINE.search(str(error))
        line = int(at["line"] or 0) + 1 if at and at["line"] else text[: front.end("toml")].count("\n") + 1
        said = _TOML_LINE.sub("", str(error))
        raise RenderError(f"its front matter is not TOML: {said}", where=f"{path}:{line}", hint=_HINT) from error
    except _WrongKey as error:
        where = f"{path}:{_line_of(error.key, front['toml'])}"
        raise RenderError(f"its front matter can't be used: {error}", where=where, hint=_HINT) from error


class _WrongKey(ValueError):
    """A key of the front matter is missing, unknown, or has a value that it can't have."""

    def __init__(self, key: str, text: str) -> None:
        self.key = key
        super().__init__(text)


def _template(path: Path, raw: Mapping[str, Any]) -> Template:
    for key in raw:
        if key not in _KEYS:
            raise _WrongKey(key, f"unknown key {key!r}; {_close(key, _KEYS) or 'it has: ' + ', '.join(_KEYS)}")
    for key in ("title", "what_for"):
        if not isinstance(raw.get(key), str) or not raw[key].strip():
            raise _WrongKey(key, f"{key!r} is a text that must be there")
    tables = raw.get("parameters", {})
    if not isinstance(tables, dict):
        raise _WrongKey("parameters", "'parameters' is a table of tables")
    return Template(
        name=path.name.removesuffix(SUFFIX),
        title=raw["title"],
        what_for=" ".join(raw["what_for"].split()),
        path=path,
        parameters={name: _parameter(name, table) for name, table in tables.items()},
    )


def _parameter(name: str, table: object) -> Parameter:
    try:
        return read_parameter(name, table)
    except ValueError as error:
        raise _WrongKey(name, str(error)) from error


def _line_of(key: str, front: str) -> int:
    """Return the line of the file where this key of the front matter stands; the first where it is missing."""
    found = re.compile(rf"^\s*(?:\[parameters\.)?[\"']?{re.escape(key)}\b", re.MULTILINE).search(front)
    return front[: found.start()].count("\n") + found.group().count("\n") + 2 if found else 1


def _close(name: str, known: Sequence[str] | Mapping[str, object]) -> str:
    close = get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else ""
