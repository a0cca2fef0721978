"""What a person wants trained, before anybody has looked whether it fits.

Read on the way of every submission, so nothing heavy is imported: a frozen dataclass, and checks of our own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from aistation_slurm.errors import RequestError, SlurmUnreadable, UnprintableError
from aistation_slurm.render import printable
from aistation_slurm.slurm.units import read_duration, read_memory

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]{0,127}")
"""A name that Slurm can take as it is: no blank, no quote, no list."""
_WORDS = re.compile(rf"{_WORD.pattern}(?:,{_WORD.pattern})*")
_FEATURES = re.compile(r"[A-Za-z0-9_.,&|!:@*()\[\]+-]{1,512}")
_FILE_NAME = re.compile(r"[^\x00-\x1f\x7f'\"\\#]+")
"""A file as `--output` takes it: quotes, backslashes and `#` mean something else there."""
_MEMORY = re.compile(r"[0-9]{1,12}[KMGT]?", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_ODD = "holds a character that means something else to Slurm"
MOST = 10**6
"""No request is larger, in whatever it counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """One training: a script, where it runs, and on how much. What is None was not asked for."""

    script: Path
    template: str = "pytorch-ddp"
    args: tuple[str, ...] = ()
    name: str = ""
    """The job's name; by default the script's."""
    group: str | None = None
    nodes: int | None = None
    gpus: int | None = None
    """GPUs all in all; `jobs.fit` makes nodes and GPUs on each of it."""
    gpus_per_node: int | None = None
    gpu_type: str | None = None
    shares: int | None = None
    """Shares of one GPU; never beside whole GPUs."""
    cpus_per_gpu: int | None = None
    cpus: int | None = None
    """CPUs of each task, where there is no GPU."""
    mem: str | None = None
    """Memory on each node, as sbatch takes it: `64G`; without a unit MiB."""
    time: str | None = None
    """The time limit, as sbatch takes it: `90`, `1-12:00:00`."""
    account: str | None = None
    qos: str | None = None
    reservation: str | None = None
    constraint: str | None = None
    python: str = "python3"
    image: str | None = None
    datasets: Mapping[str, Path] = field(default_factory=dict)
    """Name -> folder."""
    output: str = "%x-%j.log"
    """The log, with Slurm's patterns: %x is the name, %j the job's id."""
    checkpoint_dir: Path | None = None
    mail: tuple[str, ...] = ()
    """When to write a mail: `END`, `FAIL`, ..."""
    exports: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that the script sets."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What only this template knows, such as `launcher`."""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", name_of(self.script))


Read = Callable[[Any], Any]
"""Returns the value as it stands in a request; raises ValueError with what is wrong with it."""


def _text(value: object) -> str:
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("is to be a text")
    try:
        return printable(value)
    except UnprintableError as error:
        raise ValueError(error.text) from error


def _matching(pattern: re.Pattern[str], why: str = _ODD) -> Read:
    def read(value: object) -> str:
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value)
        if not pattern.fullmatch(text):
            raise ValueError(f"{text!r} can't be used here: it {why}")
        return text

    return read


def _count(least: int) -> Read:
    def read(value: object) -> int:
        text = str(value)
        if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= MOST:
            raise ValueError(f"{value!r} is no whole number from {least} to {MOST}")
        return int(text)

    return read


def _time(value: object) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value)
    try:
        read_duration(text)
    except (SlurmUnreadable, OverflowError) as error:
        raise ValueError(f"{text!r} is no Slurm time") from error
    return text


def _memory(value: object) -> str:
    text = _matching(_MEMORY, "is no amount of memory")(value).upper()
    read_memory(text)
    return str(text)


def _path(value: object) -> Path:
    return Path(_text(value))


def _texts(value: object) -> tuple[str, ...]:
    """Return the list; an empty word is one, in a command line."""
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise ValueError("is to be a list")
    return tuple(_text(each) if each != "" else "" for each in (str(each) for each in value))


def _mail(value: object) -> tuple[str, ...]:
    words = _texts(value.split(",") if isinstance(value, str) else value)
    return tuple(_matching(_WORD)(each).upper() for each in words)


def _pairs(key: Read, read: Read) -> Read:
    def read_pairs(value: object) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ValueError("is to be pairs of a name and a value")
        return {key(name): read(each) for name, each in value.items()}

    return read_pairs


def _any_text(value: object) -> str:
    return "" if value == "" else _text(value if isinstance(value, str | Path) else str(value))


_WORD_OF: Read = _matching(_WORD)
_READ: dict[str, Read] = {
    "template": _WORD_OF,
    "script": _path,
    "args": _texts,
    "name": _WORD_OF,
    "group": _WORD_OF,
    "nodes": _count(1),
    "gpus": _count(0),
    "gpus_per_node": _count(0),
    "gpu_type": _WORD_OF,
    "shares": _count(1),
    "cpus_per_gpu": _count(1),
    "cpus": _count(1),
    "mem": _memory,
    "time": _time,
    "account": _WORD_OF,
    "qos": _WORD_OF,
    "reservation": _matching(_WORDS),
    "constraint": _matching(_FEATURES),
    "python": _text,
    "image": _text,
    "datasets": _pairs(_WORD_OF, _path),
    "output": _matching(_FILE_NAME),
    "checkpoint_dir": _path,
    "mail": _mail,
    "exports": _pairs(_matching(_VARIABLE, "is no name of a variable"), _any_text),
    "settings": _pairs(_WORD_OF, _any_text),
}
FIELDS = tuple(_READ)
"""What can be asked for, by name."""


def complaint_about(name: str, value: object) -> str:
    """Return what is wrong with a value, in one sentence; empty where it can be used."""
    if name not in _READ:
        close = get_close_matches(name, FIELDS, n=1)
        return f"is not known; did you mean {close[0]!r}?" if close else "is not known"
    try:
        _READ[name](value)
    except ValueError as error:
        return str(error)
    return ""


def read_request(wanted: Mapping[str, object]) -> TrainingRequest:
    """Return the request, every value checked; what is None was not asked for. The file system is not looked at.

    Raises:
        RequestError: values can't be used; each of them is said.
    """
    given = {name: value for name, value in wanted.items() if value is not None and (name, value) != ("name", "")}
    complaints = [(name, said) for name, value in given.items() if (said := complaint_about(name, value))]
    complaints += [] if "script" in given else [("script", "is missing: name the training script")]
    if given.get("shares") and (given.get("gpus") or given.get("gpus_per_node")):
        complaints.append(("shares", "shares of a GPU and whole GPUs exclude each other"))
    if complaints:
        raise _refused(complaints)
    values = {name: _READ[name](value) for name, value in given.items()}
    return TrainingRequest(**values)


def training_request(**wanted: object) -> TrainingRequest:
    """Return the request, its script an absolute path; what is None was not asked for.

    Raises:
        RequestError: a value can't be used, or the script isn't there.
    """
    request = read_request(wanted)
    if not request.script.is_file():
        raise RequestError("there is no such file", where=str(request.script), hint="name the training script")
    if not os.access(request.script, os.R_OK):
        raise RequestError("you may not read it", where=str(request.script))
    return replace(request, script=request.script.absolute())


def request_json(request: TrainingRequest) -> dict[str, object]:
    """Return what was asked for in JSON's own types, as `read_request` takes it; what was not asked for is left out."""
    found: dict[str, object] = {}
    for each in fields(request):
        value = getattr(request, each.name)
        if value is None or value in ((), {}, ""):
            continue
        if isinstance(value, Mapping):
            value = {key: str(item) for key, item in value.items()}
        found[each.name] = list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
    return found


def name_of(script: Path) -> str:
    """Return the job's name of a script."""
    stem = _NOT_IN_A_NAME.sub("_", script.stem).strip("._-")
    return stem[:64] or "training"


def _refused(complaints: list[tuple[str, str]]) -> RequestError:
    (name, said), *others = complaints
    lines = (f"{option_of(each)}: {what}" for each, what in others)
    return RequestError(said, where=option_of(name), hint="\n".join(lines))


def option_of(name: str) -> str:
    """Return the option that a field is given by."""
    special = {"settings": "--set", "datasets": "--dataset", "shares": "--share", "mail": "--mail-type"}
    return special.get(name, "--" + name.replace("_", "-"))
