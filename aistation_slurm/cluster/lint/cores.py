"""Rules about a node's sockets, cores and threads, counted as Slurm counts them (slurm.conf(5), NODE CONFIGURATION)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from aistation_slurm.cluster.conf import Conf, Line
from aistation_slurm.cluster.lint.finding import Files, Finding, Running
from aistation_slurm.cluster.lint.select import select_type


@dataclass(frozen=True, slots=True)
class Shape:
    """What Slurm makes of a NodeName line and the DEFAULT lines before it."""

    cpus: int
    sockets: int
    cores: int
    """In a socket."""
    threads: int
    reserved: int
    """CoreSpecCount."""


def shapes(conf: Conf) -> Iterator[tuple[Line, Shape]]:
    """Yield the shape of each line that makes nodes."""
    default: dict[str, str] = {}
    for line in conf.of("NodeName"):
        if line.name.upper() == "DEFAULT":
            default |= line.pairs
        else:
            yield line, _shape({**default, **line.pairs})


def _shape(pairs: dict[str, str]) -> Shape:
    def number(key: str) -> int | None:
        value = pairs.get(key, "")
        return max(1, int(value)) if value.isdigit() else None

    cores, threads, boards = number("corespersocket") or 1, number("threadspercore") or 1, number("boards") or 1
    cpus, sockets, on_board = number("cpus") or number("procs"), number("sockets"), number("socketsperboard")
    if on_board is not None:
        sockets = boards * on_board
    elif sockets is None:
        whole, rest = divmod(cpus or 0, cores * threads)
        sockets = whole if whole and not rest else boards
    every = sockets * cores * threads
    fits = cpus in {sockets, sockets * cores, every}
    reserved = int(pairs.get("corespeccount", "0") or 0) if pairs.get("corespeccount", "").isdigit() else 0
    return Shape(cpus if cpus and fits else every, sockets, cores, threads, reserved)


def odd_cores(files: Files, running: Running) -> Iterator[Finding]:
    """CPUs that are the number of sockets, where a socket has several cores: select/cons_tres ends at that."""
    if select_type(files, running) == "linear":
        return
    for line, shape in shapes(files.conf):
        all_cores = shape.sockets * shape.cores
        if shape.cpus not in {all_cores, all_cores * shape.threads}:
            what = f"{line.name} has CPUs={shape.cpus} and {all_cores} cores"
            yield Finding("odd-cores", "fatal", line.where, what, f"CPUs={all_cores * shape.threads}")


def no_core_left(files: Files, running: Running) -> Iterator[Finding]:
    """Whole sockets are handed out, and CoreSpecCount takes a core of each."""
    words = files.conf.value("SelectTypeParameters").upper().split(",")
    options = files.conf.value("AllowSpecResourcesUsage").lower()
    if not any(each.startswith("CR_SOCKET") for each in words) or options in {"1", "yes", "true", "up"}:
        return
    for line, shape in shapes(files.conf):
        if shape.reserved > (shape.sockets - 1) * shape.cores:
            what = f"{line.name}: CoreSpecCount={shape.reserved} leaves no whole socket, and CR_Socket hands out those"
            yield Finding("no-core-left", "fatal", line.where, what, "SelectTypeParameters=CR_Core_Memory")
