"""A training written down: `run.yaml`, which holds what the command line would say, and is kept beside the code.

    template: pytorch-ddp
    script: train.py              # as seen from the file's own folder
    args: [--epochs, 90]
    group: v100
    gpus: 16
    settings: {launcher: srun}
    options: {nice: 100}          # any other option of sbatch

This module alone imports ruamel on the way of a submission, and only where a run file is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from aistation_slurm.errors import RequestError, SpecError
from aistation_slurm.jobs.request import FIELDS, complaint_about
from aistation_slurm.jobs.tag import DEFAULT_RESUME
from aistation_slurm.spec.source import Source, read_source

SUFFIXES = frozenset({".yaml", ".yml"})
SWITCHES = ("emergency", "night")
OTHER = ("options", "auto_resume", *SWITCHES)
_KNOWN = (*FIELDS, *OTHER)
_PATHS = frozenset({"script", "checkpoint_dir", "image"})


@dataclass(frozen=True, slots=True)
class RunFile:
    """What a run file asks for."""

    wanted: Mapping[str, object] = field(default_factory=dict)
    """Fields of the request; paths as seen from here."""
    options: tuple[str, ...] = ()
    """sbatch's own."""
    auto_resume: int | None = None


def is_run_file(path: Path) -> bool:
    """Return whether the name is that of a run file."""
    return path.suffix in SUFFIXES


def read_run_file(path: Path) -> RunFile:
    """Return what the file asks for.

    Raises:
        RequestError: it can't be read, or something in it is wrong; `where` is `file:line:column`, each is said.
    """
    if not path.is_file():
        raise RequestError("there is no such file", where=str(path), hint="name the training script, or a run file")
    try:
        source = read_source(path)
    except SpecError as error:
        raise RequestError(
            error.text, where=error.where, hint=error.hint.replace("cluster file", "run file")
        ) from error
    complaints = [(source.where(each.path), each.text) for each in source.problems]
    complaints += [
        (source.where((name,)), said) for name, value in source.data.items() if (said := _wrong(name, value))
    ]
    if complaints:
        (where, first), *others = complaints
        raise RequestError(first, where=where, hint="\n".join(f"{at}: {said}" for at, said in others))
    return _read(source, path.parent)


def _wrong(name: str, value: object) -> str:
    """Return what is wrong with a key; empty where nothing is."""
    if name not in _KNOWN:
        close = get_close_matches(name, _KNOWN, n=1)
        return f"{name} is not known" + (f"; did you mean {close[0]!r}?" if close else "")
    if name in SWITCHES and not isinstance(value, bool):
        return f"{name}: is true or false"
    if name == "auto_resume" and not (isinstance(value, bool) or (isinstance(value, int) and 0 <= value <= 1000)):
        return "auto_resume: is true, false, or how often at most"
    if name == "options" and not (isinstance(value, dict) and all(_is_plain(each) for each in value.values())):
        return "options: is to be pairs of sbatch's options and their values, `{nice: 100, exclusive: true}`"
    if name in OTHER or value is None:
        return ""
    said = complaint_about(name, value)
    return f"{name}: {said}" if said else ""


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | bool) and "\n" not in str(value)


def _read(source: Source, folder: Path) -> RunFile:
    data: dict[str, Any] = {name: value for name, value in source.data.items() if value is not None}
    options = tuple(_option(name, value) for name, value in data.pop("options", {}).items() if value is not False)
    resume = data.pop("auto_resume", None)
    for name in SWITCHES:
        if data.pop(name, False):
            data["qos"] = name
    for name in _PATHS & data.keys():
        data[name] = str(folder / data[name]) if _is_of_the_folder(name, str(data[name])) else data[name]
    data["datasets"] = {name: folder / str(each) for name, each in data.get("datasets", {}).items()}
    return RunFile(data, options, _resume(resume))


def _resume(value: bool | int | None) -> int | None:
    if value is True:
        return DEFAULT_RESUME
    return None if value is None else int(value)


def _is_of_the_folder(name: str, value: str) -> bool:
    """An image may be a name in a catalogue, such as `pytorch:2.4`; one with a `/` in it is a file."""
    return name != "image" or value.startswith(("./", "../"))


def _option(name: str, value: object) -> str:
    dashes = "-" if len(name) == 1 else "--"
    if value is True:
        return f"{dashes}{name}"
    return f"--{name}={value}" if dashes == "--" else f"-{name}{value}"
