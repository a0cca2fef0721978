"""What every place can do: hold new files ready on each host, put all of them in force, or none."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from aistation_slurm.errors import SettingsError, SlurmUnreadable
from aistation_slurm.slurm.model import Node
from aistation_slurm.slurm.nodelist import expand, fold

Files = Mapping[str, str | None]
"""Name -> text; None where the file is to be taken away."""


@dataclass(frozen=True, slots=True, order=True)
class Host:
    """A machine that holds copies of Slurm's files: that of a node, a login node, the other controller."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts that are to have the files, and those that Slurm says are down, which are left out."""

    up: tuple[Host, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What the hosts hold now."""

    files: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    """Host -> name -> SHA-256 of the file; None where there is none."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Host -> why it could not be asked."""
    unfinished: Mapping[str, str] = field(default_factory=dict)
    """Host -> what an apply that was cut off has left there."""


class Place(Protocol):
    """Slurm's files on the other hosts; this host's own are written by whoever uses it.

    In this order: `stage`, then this host's own files, `switch`, and where Slurm refuses them `back`. A place may be
    dropped between any two of them: what is only staged is in nobody's way, and the next `stage` takes it away.
    """

    @property
    def name(self) -> str:
        """What a person calls it: `ssh`, `shared`, `configless`."""
        ...

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that it brings files to; none where nothing has to be brought."""
        ...

    @property
    def left_out(self) -> tuple[str, ...]:
        """Hosts that should have the files too, and are down: they keep what they have until the next apply."""
        ...

    def cannot_carry(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return those of the names that the other hosts would lack, each as a sentence of why."""
        ...

    def look(self, names: Iterable[str]) -> Seen:
        """Return what the hosts hold now; one that can't be asked raises nothing, and stands in `failed`."""
        ...

    def stage(self, files: Files) -> None:
        """Let every host hold the new files beside the old ones.

        Raises:
            PlaceError: some host could not; it was dropped on all of them, and nothing has changed.
        """
        ...

    def switch(self) -> None:
        """Put what was staged in force on every host; staged nothing, it does nothing.

        Raises:
            PlaceError: some host could not; the files from before stand on all of them again.
            HostsDiffer: some host could not, and another one could not be switched back.
        """
        ...

    def back(self) -> None:
        """Put the files from before the last `switch` in force again; after none, it does nothing.

        Raises:
            HostsDiffer: some host could not be switched back.
        """
        ...

    def drop(self) -> None:
        """Take away what was staged and not switched; raises nothing."""
        ...


def hosts_of(nodes: Iterable[Node], *, also: str = "", here: Sequence[str] | None = None) -> Hosts:
    """Return the hosts of these nodes and those in the node list `also`, but for this one.

    Several nodes on a host are asked once; it is left out where all of them are down, silent or switched off.

    Args:
        nodes: as Slurm sees them now.
        also: hosts without a slurmd that hold the files too (`[nodes] also`).
        here: what this host is called; looked up where not given.

    Raises:
        SettingsError: `also` is no node list.
    """
    mine = {*(own_names() if here is None else here), "localhost"}
    up, down = {name: Host(name, name) for name in _expand(also) if name not in mine}, set[str]()
    for node in nodes:
        name = node.hostname or node.name
        if name in mine:
            continue
        if _is_away(node):
            down.add(name)
        else:
            up[name] = host_of(node)
    return Hosts(tuple(sorted(up.values())), tuple(sorted(down - set(up))))


def host_of(node: Node) -> Host:
    """Return the machine that the node is on."""
    name = node.hostname or node.name
    return Host(name, node.address or name)


def differing(seen: Seen, files: Files) -> list[str]:
    """Return who holds other files than these, a line for each set of names: `3 hosts have older files: ...`."""
    digests = {name: digest(text) for name, text in files.items()}
    groups: dict[tuple[str, ...], list[str]] = {}
    for host, held in seen.files.items():
        if odd := tuple(name for name, wanted in digests.items() if held.get(name) != wanted):
            groups.setdefault(odd, []).append(host)
    lines = [f"{_count(hosts)} older files: {fold(hosts)} ({', '.join(names)})" for names, hosts in groups.items()]
    return [*lines, *folded(seen.unfinished), *folded(seen.failed, "can't be asked: ")]


def digest(text: str | None) -> str | None:
    """Return the SHA-256 of a file with this text; None of no file."""
    return None if text is None else sha256(encoded(text)).hexdigest()


def encoded(text: str) -> bytes:
    """Return the text as it stands on disk; bytes that are no UTF-8 are kept (`surrogateescape`)."""
    return text.encode("utf-8", "surrogateescape")


def folded(reasons: Mapping[str, str], what: str = "") -> list[str]:
    """Return `gpu-[01-03]: no space left` for each reason: hosts that say the same share a line."""
    groups: dict[str, list[str]] = {}
    for host, reason in reasons.items():
        groups.setdefault(reason, []).append(host)
    return [f"{fold(hosts)}: {what}{reason}" for reason, hosts in groups.items()]


def own_names() -> tuple[str, ...]:
    """Return what this host is called, with its domain and without."""
    full = socket.gethostname()
    return (full, full.partition(".")[0])


def _is_away(node: Node) -> bool:
    return node.state.is_down or node.state.is_not_responding or node.state.is_away_on_purpose


def _expand(text: str) -> tuple[str, ...]:
    try:
        return expand(text)
    except SlurmUnreadable as error:
        raise SettingsError(f"[nodes] also: {error.text}", hint="write it as `login-[01-02],ctl2`") from error


def _count(hosts: Sequence[str]) -> str:
    return "1 host has" if len(hosts) == 1 else f"{len(hosts)} hosts have"
