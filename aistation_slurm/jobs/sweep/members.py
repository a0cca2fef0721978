"""What a sweep tries: a grid, a list, a table, or values drawn at random; one set of parameters for each member."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from random import Random

from aistation_slurm.errors import RequestError
from aistation_slurm.jobs.sweep.values import Params, Value, check, check_name, read_value

MOST = 100_000
"""More members than that is a slip of the pen; Slurm itself takes 10,000 jobs by default (MaxJobCount)."""
_RANGE = re.compile(r"(-?[0-9]{1,9})\.\.(-?[0-9]{1,9})")


def grid(texts: Sequence[str]) -> list[Params]:
    """Return every combination of `lr=0.1,0.01` and `batch=32,64`; the last one changes fastest.

    Values are separated by commas; `seed=0..9` is every whole number, `text=["a,b", "c"]` a list of JSON.

    Raises:
        RequestError: one of them can't be read, or there are too many.
    """
    axes = {name: _axis(name, text) for name, text in _named(texts, where="--grid", example="lr=0.1,0.01")}
    if math.prod(map(len, axes.values())) > MOST:
        raise RequestError(f"that are more than {MOST:,} combinations", where="--grid", hint="leave out some values")
    members = (dict(zip(axes, values, strict=True)) for values in product(*axes.values()))
    return _checked(members, where="--grid")


def listed(path: Path) -> list[Params]:
    """Return the members in a file: a line of JSON for each (.jsonl), or a list of mappings (.json, .yaml).

    Raises:
        RequestError: it can't be read, or a member is not a mapping from names to values.
    """
    text = _text(path)
    if path.suffix in {".yaml", ".yml"}:
        found = _yaml(path, text)
    elif path.suffix == ".json":
        found = _json(text, where=str(path))
    else:
        lines = enumerate(text.splitlines(), start=1)
        found = [_json(line, where=f"{path}:{number}") for number, line in lines if line.strip()]
    if not isinstance(found, list):
        raise RequestError("it holds no list of members", where=str(path), hint="begin each member with '- '")
    return _checked(found, where=str(path))


def tabled(path: Path) -> list[Params]:
    """Return the members in a CSV: the first line names the parameters, each further line is a member.

    Raises:
        RequestError: it can't be read, or a line has other columns than the first.
    """
    rows = csv.reader(_text(path).splitlines(keepends=True), strict=True)
    try:
        names, *lines = [row for row in rows if row]
    except (csv.Error, ValueError) as error:
        raise RequestError(f"it is no CSV: {error}", where=f"{path}:{rows.line_num}") from error
    if len(set(names)) < len(names):
        raise RequestError("two columns have the same name", where=f"{path}:1")
    wrong = next((number for number, line in enumerate(lines, start=2) if len(line) != len(names)), None)
    if wrong:
        raise RequestError(f"it has not {len(names)} columns", where=f"{path}:{wrong}")
    members = ({name.strip(): read_value(cell) for name, cell in zip(names, line, strict=True)} for line in lines)
    return _checked(members, where=str(path))


@dataclass(frozen=True, slots=True)
class Draw:
    """How the values of one parameter are drawn."""

    kind: str
    """`int`, `float`, `log` or `choice`."""
    low: float = 0.0
    high: float = 0.0
    choices: Sequence[Value] = ()

    def value(self, random: Random) -> Value:
        """Return a value."""
        if self.kind == "choice":
            return random.choice(self.choices)
        if self.kind == "int":
            return random.randint(math.ceil(self.low), math.floor(self.high))
        if self.kind == "float":
            return random.uniform(self.low, self.high)
        return math.exp(random.uniform(math.log(self.low), math.log(self.high)))


def read_draws(texts: Sequence[str]) -> dict[str, Draw]:
    """Return parameter -> how it is drawn.

    `lr=log:1e-4..1e-1` is drawn evenly by its logarithm, `momentum=float:0..1` evenly, `layers=int:2..8` with both
    ends, `opt=choice:sgd,adam` is one of these.

    Raises:
        RequestError: one of them can't be read.
    """
    found = {name: _draw(name, text) for name, text in _named(texts, where="--draw", example="lr=log:1e-4..1e-1")}
    if not found:
        raise RequestError("nothing to draw", where="--draw", hint="say what: --draw lr=log:1e-4..1e-1")
    return found


def drawn(count: int, texts: Sequence[str], *, seed: int) -> list[Params]:
    """Return so many members with values drawn at random; the same seed draws the same.

    Raises:
        RequestError: one of them can't be read.
    """
    draws = read_draws(texts)
    if count > MOST:
        raise RequestError(f"that are more than {MOST:,} members", where="--random")
    random = Random(seed)  # noqa: S311  it chooses what is tried, no secret
    return _checked(({name: draw.value(random) for name, draw in draws.items()} for _ in range(count)), where="--draw")


def repeated(members: Sequence[Params]) -> int:
    """Return how many members have the very same parameters as an earlier one."""
    return len(members) - len({json.dumps(each, sort_keys=True) for each in members})


def _checked(members: Iterable[object], *, where: str) -> list[Params]:
    found: list[Params] = []
    for number, each in enumerate(members):
        if not isinstance(each, Mapping) or not all(isinstance(name, str) for name in each):
            raise RequestError(f"member {number} is no mapping from names to values", where=where)
        found.append(check(dict(each), where=f"{where}, member {number}"))
    if not found:
        raise RequestError("there is no member", where=where, hint="name at least one set of parameters")
    if len(found) > MOST:
        raise RequestError(f"that are more than {MOST:,} members", where=where)
    return found


def _named(texts: Sequence[str], *, where: str, example: str) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for text in texts:
        name, equals, rest = text.partition("=")
        if not equals or not rest:
            raise RequestError(f"{text!r} names no values", where=where, hint=f"write it as {example}")
        if name in seen:
            raise RequestError(f"{name!r} is named twice", where=where)
        seen.add(name)
        yield check_name(name, where=where), rest


def _axis(name: str, text: str) -> Sequence[Value]:
    if text.startswith("["):
        values = _json(text, where=f"--grid {name}")
        if not isinstance(values, list) or not values:
            raise RequestError("it is no list of values", where=f"--grid {name}")
        return values
    if match := _RANGE.fullmatch(text):
        first, last = int(match[1]), int(match[2])
        if not 0 <= last - first < MOST:
            raise RequestError(f"{text} are no values", where=f"--grid {name}", hint="first the smaller one")
        return range(first, last + 1)
    return [read_value(each) for each in text.split(",")]


def _draw(name: str, text: str) -> Draw:
    kind, _, rest = text.partition(":")
    if kind == "choice" and rest:
        return Draw(kind, choices=_axis(name, rest))
    low, high = _ends(name, kind, rest)
    return Draw(kind, low, high)


def _ends(name: str, kind: str, text: str) -> tuple[float, float]:
    """Return the two ends of a range.

    Raises:
        RequestError: there is no such kind of draw, or it can't have these ends.
    """
    where = f"--draw {name}"
    if kind not in {"int", "float", "log"}:
        raise RequestError(f"{kind!r} is no way to draw", where=where, hint="int:, float:, log: or choice:")
    low, high = (read_value(each) for each in (text.split("..") if text.count("..") == 1 else ("", "")))
    if (
        isinstance(low, bool)
        or isinstance(high, bool)
        or not (isinstance(low, int | float) and isinstance(high, int | float))
    ):
        raise RequestError(f"{text!r} is no range", where=where, hint=f"write it as {name}={kind}:1..8")
    if low > high or (kind == "log" and low <= 0):
        raise RequestError(f"nothing lies in {text}", where=where, hint="the smaller end first; of log: above 0")
    if kind == "int" and math.ceil(low) > math.floor(high):
        raise RequestError(f"no whole number lies in {text}", where=where)
    return low, high


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RequestError(f"can't be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise RequestError("it is no text in UTF-8", where=str(path)) from error


def _json(text: str, *, where: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise RequestError(f"it is no JSON: {error}", where=where) from error


def _yaml(path: Path, text: str) -> object:
    from ruamel.yaml import YAML  # noqa: PLC0415  only for those who write their members in YAML
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise RequestError(f"it is no YAML: {' '.join(str(error).split())}", where=str(path)) from error
