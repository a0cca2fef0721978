"""What a template can be told: parameters with a type, and the values that they take."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Literal, get_args

from aistation_slurm.errors import RequestError, SlurmUnreadable, UnprintableError
from aistation_slurm.render import printable
from aistation_slurm.slurm.units import read_duration

Kind = Literal["int", "float", "bool", "string", "time", "path", "choice"]
Value = str | int | float | bool | None
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_INTEGER = re.compile(r"[+-]?[0-9]{1,15}")
_TRUTHS = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}
_LONGEST = 100_000
"""Characters: one word of a command line may have 128 KiB (MAX_ARG_STRLEN)."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One thing that a template can be told."""

    type: Kind = "string"
    help: str = ""
    default: Value = None
    choices: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None

    def read(self, name: str, value: object) -> Value:
        """Return the value that this stands for: a text as a command line has it, or what a run file says.

        Raises:
            RequestError: it is none that this parameter takes.
        """
        text = _text(name, value)
        read = _READERS[self.type](self, name, text)
        if isinstance(read, int | float) and not isinstance(read, bool):
            self._raise_if_outside(name, read)
        return read

    def _raise_if_outside(self, name: str, number: float) -> None:
        if self.min is not None and number < self.min:
            raise RequestError(f"{name} is at least {self.min:g}, not {number}")
        if self.max is not None and number > self.max:
            raise RequestError(f"{name} is at most {self.max:g}, not {number}")


def read_parameter(name: str, table: object) -> Parameter:
    """Return the parameter that a table of the front matter describes.

    Raises:
        ValueError: the table has an unknown key, or a value that it can't have.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} can't be the name of a parameter: use small letters, digits and '_'")
    if not isinstance(table, Mapping):
        raise ValueError(f"{name!r} is a table: type, default, choices, help, min, max")
    known = {each.name for each in fields(Parameter)}
    if unknown := next((key for key in table if key not in known), None):
        raise ValueError(f"{name!r} has an unknown key {unknown!r}")
    choices = tuple(table.get("choices", ()))
    kind = table.get("type", "choice" if choices else "string")
    if kind not in get_args(Kind):
        raise ValueError(f"{name!r} has the type {kind!r}; types are {', '.join(get_args(Kind))}")
    if (kind == "choice") != bool(choices):
        raise ValueError(f"{name!r} has choices if, and only if, its type is 'choice'")
    for key in ("min", "max"):
        if key in table and (kind not in ("int", "float") or type(table[key]) not in (int, float)):
            raise ValueError(f"{key!r} of {name!r} is a number, of a parameter of type int or float")
    if not isinstance(table.get("help"), str):
        raise ValueError(f"{name!r} has no help")
    return _with_default(name, Parameter(**{**table, "type": kind, "choices": choices}))


def _with_default(name: str, parameter: Parameter) -> Parameter:
    """Return the parameter, its default being a value that it takes."""
    if parameter.default is not None:
        try:
            parameter.read(name, parameter.default)
        except RequestError as error:
            raise ValueError(f"the default of {name!r} can't be used: {error}") from error
    return parameter


def _text(name: str, value: object) -> str:
    """Return the value as a person would type it.

    Raises:
        RequestError: it holds a character that can't be typed, or is endless.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    try:
        text = printable(value)
    except UnprintableError as error:
        raise RequestError(f"{name}: {error.text}", hint=error.hint) from error
    if len(text) > _LONGEST:
        raise RequestError(f"{name} has {len(text)} characters; {_LONGEST} are the most")
    return text


def _integer(_: Parameter, name: str, text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise RequestError(f"{name} is a whole number, not {_short(text)}")
    return int(text)


def _fraction(_: Parameter, name: str, text: str) -> float:
    try:
        number = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise RequestError(f"{name} is a number, not {_short(text)}")
    return number


def _truth(_: Parameter, name: str, text: str) -> bool:
    if text.lower() not in _TRUTHS:
        raise RequestError(f"{name} is yes or no, not {_short(text)}")
    return _TRUTHS[text.lower()]


def _string(_: Parameter, name: str, text: str) -> str:
    return text


def _time(_: Parameter, name: str, text: str) -> str:
    try:
        if text and not text.isalpha() and read_duration(text):
            return text
    except (SlurmUnreadable, OverflowError):
        pass
    raise RequestError(f"{name} is a time as sbatch takes it, such as 90 (minutes) or 1-12:00:00, not {_short(text)}")


def _path(_: Parameter, name: str, text: str) -> str:
    """A path that begins with a dash would be an option of whatever it is given to."""
    if not text:
        raise RequestError(f"{name} is a path, not an empty text")
    return f"./{text}" if text.startswith("-") else text


def _choice(parameter: Parameter, name: str, text: str) -> str:
    if text not in parameter.choices:
        raise RequestError(f"{name} is one of {', '.join(parameter.choices)}, not {_short(text)}")
    return text


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


_READERS: Mapping[Kind, Callable[[Parameter, str, str], Value]] = {
    "int": _integer,
    "float": _fraction,
    "bool": _truth,
    "string": _string,
    "time": _time,
    "path": _path,
    "choice": _choice,
}
