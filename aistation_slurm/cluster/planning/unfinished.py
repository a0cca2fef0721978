"""What an interrupted apply owes Slurm's daemons: files may be new on disk that nobody was told of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aistation_slurm.cluster.changes import (
    RECONFIGURE,
    RESTART_CONTROLLER,
    Change,
    CreateQos,
    Reconfigure,
    RestartController,
    RestartNodes,
    TellController,
    restart_nodes,
)
from aistation_slurm.cluster.history.entry import Entry
from aistation_slurm.cluster.writing.replacing import content

_RECONFIGURE, _RESTART, _NODES = "reconfigure", "restart slurmctld", "restart slurmd on "


def tells_of(changes: Sequence[Change]) -> tuple[tuple[int, str], ...]:
    """Return the steps of the plan that tell a daemon of new files: (index, in words)."""
    return tuple((index, words) for index, change in enumerate(changes) if (words := _words(change)))


def _words(change: Change) -> str:
    match change:
        case RestartController():
            return _RESTART
        case TellController():
            return _RECONFIGURE
        case RestartNodes():
            return _NODES + change.nodes
    return ""


def with_unfinished(changes: Sequence[Change], entry: Entry | None) -> tuple[Change, ...]:
    """Return the changes with what an interrupted apply had still to tell, where it may have replaced a file.

    One that was interrupted while it was taken back has everything to tell again: what the daemons have read last may
    be its own files, and what stands there the old ones.
    """
    if entry is None or not (entry.is_taken_back or _has_replaced(entry)):
        return tuple(changes)
    left = [words for index, words in entry.tells if index >= entry.done or entry.is_taken_back]
    why = f"{entry.kind} {entry.number} was interrupted"
    more = [change for words in left for change in _owed(words, changes, why)]
    kept = [each for each in changes if not _is_outdone(each, more)]
    return tuple(sorted([*kept, *more], key=lambda change: change.rank))


def _has_replaced(entry: Entry) -> bool:
    try:
        return any(content(copy.path) != entry.before(copy) for copy in entry.files)
    except OSError:
        return True


def _is_outdone(change: Change, more: list[Change]) -> bool:
    return isinstance(change, Reconfigure) and any(isinstance(each, RestartController) for each in more)


def _owed(words: str, changes: Sequence[Change], why: str) -> Iterator[Change]:
    """Yield the change that tells it, unless the plan does so anyway."""
    qos = frozenset(name for each in changes if isinstance(each, CreateQos) for name in each.names)
    if words == _RESTART and not any(isinstance(each, RestartController) for each in changes):
        yield RestartController(why, qos, effect=RESTART_CONTROLLER)
    elif words == _RECONFIGURE and not any(isinstance(each, TellController) for each in changes):
        yield Reconfigure(why, qos, effect=RECONFIGURE)
    elif words.startswith(_NODES):
        nodes = words.removeprefix(_NODES)
        if not any(isinstance(each, RestartNodes) and each.nodes == nodes for each in changes):
            yield RestartNodes(nodes, why, effect=restart_nodes(nodes))
