"""Whose option is it? `aistation job submit` takes sbatch's options beside its own, and hands them on as they are.

An option may take its value as the next word, so it must be known which do (slurm_opt.c, 22.05 to 26.05). What neither
of us knows is handed on too: sbatch decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Takes = Literal["value", "nothing", "maybe"]
"""`maybe`: a value only behind `=`."""
_WITH_VALUE = frozenset(
    """
    account acctg-freq array batch bb bbf begin chdir cluster cluster-constraint clusters comment constraint container
    container-id core-spec cores-per-socket cpu-freq cpus-per-gpu cpus-per-task deadline delay-boot dependency
    distribution error exclude export export-file extra extra-node-info gid gpu-bind gpu-freq gpus gpus-per-node
    gpus-per-socket gpus-per-task gres gres-flags hint input job-name kill-on-invalid-dep licenses mail-type mail-user
    mcs-label mem mem-bind mem-per-cpu mem-per-gpu mem-update mincpus network nodefile nodelist nodes ntasks
    ntasks-per-core ntasks-per-gpu ntasks-per-node ntasks-per-socket ntasks-per-tres open-mode output partition power
    prefer priority profile qos reservation resources segment signal sockets-per-node switches tasks-per-node
    thread-spec threads-per-core time time-min tmp tres-bind tres-per-task uid wait-all-nodes wckey wrap
    """.split()  # noqa: SIM905  (ninety names, quoted one by one, read worse)
)
_SHORT_WITH_VALUE = frozenset("AabBcCdDeFGiJLmMnNopqStwx")


@dataclass(frozen=True, slots=True)
class Split:
    """A command line, sorted."""

    ours: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """sbatch's, each one word: `--mem=4G`, `-d afterok:7` as `-dafterok:7`."""
    script: str | None = None
    args: tuple[str, ...] = ()
    """The script's own."""
    is_parted: bool = False
    """True where `--` stands between the script and its arguments."""


def split(argv: Sequence[str], own: Mapping[str, Takes], *, defaults: Mapping[str, str] | None = None) -> Split:
    """Return whose each word is; the first that is no option, nor an option's value, is the script.

    `own` names our options with their dashes (`--group`, `-p`). One that takes a value only behind `=` gets the one in
    `defaults` where it has none.
    """
    ours: list[str] = []
    options: list[str] = []
    rest = list(argv)
    while rest and rest[0].startswith("-") and rest[0] not in {"-", "--"}:
        word = rest.pop(0)
        name = _name_of(word)
        target, takes = (ours, own[name]) if name in own else (options, _takes(name))
        if takes == "maybe" and word == name and defaults and name in defaults:
            word = f"{name}={defaults[name]}"
        if takes == "value" and word == name and rest:
            word = _joined(name, rest.pop(0), is_ours=target is ours)
        target.append(word)
    if rest[:1] == ["--"]:
        rest.pop(0)
    script = rest.pop(0) if rest else None
    is_parted = rest[:1] == ["--"]
    return Split(tuple(ours), tuple(options), script, tuple(rest[is_parted:]), is_parted)


def value_of(options: Sequence[str], *names: str) -> str | None:
    """Return the value that the options give to this one, by any of its names; the last one counts, as for sbatch."""
    found = None
    for word in options:
        for name in names:
            if name.startswith("--") and word.startswith(f"{name}="):
                found = word.partition("=")[2]
            elif not name.startswith("--") and word.startswith(name) and len(word) > len(name):
                found = word.removeprefix(name)
    return found


def without(options: Sequence[str], *names: str) -> tuple[str, ...]:
    """Return the options but for this one."""
    return tuple(word for word in options if _name_of(word) not in names)


def looks_like_ours(args: Sequence[str], own: Mapping[str, Takes]) -> list[str]:
    """Return which of a script's own arguments are named as an option of ours or of sbatch's is."""
    names = (_name_of(word) for word in args if word.startswith("--") and word != "--")
    return [name for name in dict.fromkeys(names) if name in own or name.removeprefix("--") in _WITH_VALUE]


def _name_of(word: str) -> str:
    return word.partition("=")[0] if word.startswith("--") else word[:2]


def _takes(name: str) -> Takes:
    known = name.removeprefix("--") in _WITH_VALUE if name.startswith("--") else name[1:] in _SHORT_WITH_VALUE
    return "value" if known else "nothing"


def _joined(name: str, value: str, *, is_ours: bool) -> str:
    if name.startswith("--"):
        return f"{name}={value}"
    return f"{name}{value}" if value or not is_ours else name
