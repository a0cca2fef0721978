"""The values that are tried: from a text to a value, and from a value to what the training finds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches

from aistation_slurm.errors import RequestError

Value = str | int | float | bool | list[object] | dict[str, object] | None
Params = Mapping[str, Value]
"""What one member is given: parameter -> value."""

PREFIX = "AISTATION_PARAM_"
LONGEST = 100_000
"""Bytes of a value; Linux takes 128 KiB in one variable or argument (execve(2))."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS: Mapping[str, Value] = {"true": True, "false": False, "null": None}
_PLAIN = re.compile(rb"[A-Za-z0-9._/:@%+,-]")


def read_value(text: str) -> Value:
    """Return the value of a text: a number, true, false or null as JSON writes them, else the text itself."""
    if _NUMBER.fullmatch(text):
        return float(text) if any(each in text for each in ".eE") else int(text)
    return _WORDS.get(text, text)


def write_value(value: Value) -> str:
    """Return the value as a training finds it in its environment and arguments: a text as it is, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def check_name(name: str, *, where: str) -> str:
    """Return the name of a parameter.

    Raises:
        RequestError: no variable can be called after it.
    """
    if not _NAME.fullmatch(name):
        raise RequestError(
            f"{name!r} can't be the name of a parameter",
            where=where,
            hint="a letter or _, then letters, digits, '_', '.' and '-'",
        )
    return name


def variable(name: str) -> str:
    """Return what the parameter is called in the environment: `lr` is AISTATION_PARAM_LR."""
    return PREFIX + re.sub(r"[.-]", "_", name).upper()


def check(params: Params, *, where: str) -> Params:
    """Return the parameters of a member, each of which a process can be given.

    Raises:
        RequestError: a value holds a NUL, or can't be written; two names are one variable.
    """
    seen: dict[str, str] = {}
    for name, value in params.items():
        check_name(name, where=where)
        other = seen.setdefault(variable(name), name)
        if other != name:
            raise RequestError(f"{other!r} and {name!r} would both be {variable(name)}", where=where)
        try:
            text = write_value(value).encode()
        except (TypeError, ValueError) as error:  # a date of YAML; half a pair of surrogates
            raise RequestError(f"{name}: {value!r} can't be written as JSON", where=where) from error
        if b"\0" in text:
            raise RequestError(f"{name} holds a NUL, which no variable can hold", where=where)
        if len(text) > LONGEST:
            raise RequestError(f"{name} is too long for a variable", where=where, hint="name a file that holds it")
    return params


def for_bash(params: Params) -> str:
    """Return the parameters as the batch script reads them: `LR=0.1` and so on, with tabs between.

    What is no plain character is `\\0ooo`, an octal byte that only `printf %b` reads: nothing of it is ever run.
    """
    return "\t".join(
        f"{variable(name).removeprefix(PREFIX)}={_escaped(write_value(value))}" for name, value in params.items()
    )


def unknown(name: str, known: object, *, where: str) -> RequestError:
    """Return the complaint that there is no such parameter; the nearest is named."""
    names = sorted(map(str, known)) if isinstance(known, (set, frozenset, dict, list, tuple)) else []
    close = get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names) or 'none'}"
    return RequestError(f"no parameter called {name!r}", where=where, hint=hint)


def _escaped(text: str) -> str:
    return "".join(chr(byte) if _PLAIN.fullmatch(bytes((byte,))) else f"\\0{byte:03o}" for byte in text.encode())
