"""The page about the readers, its tables from what they declare."""

from __future__ import annotations

from collections.abc import Iterator

from aistation_slurm.slurm.coverage import PYSLURM_FITS, REST_VERSIONS, declared
from aistation_slurm.slurm.reader import QUESTIONS

_HEAD = """\
# Who asks Slurm

Three readers answer the same questions (`slurm/reader.py`) with the same models. Each declares what it answers
*whole*, every field as Slurm's commands tell it; `connect()` asks the commands for the rest. What is declared and not
answered is a failure: no reader is quietly asked in another's place. Written by `scripts/dev/docs`.

| `[slurm] reader` | asks | good for |
| --- | --- | --- |
| `cli` | Slurm's own commands | every release; nothing else is needed |
| `libslurm` | libslurm in a worker process; with pyslurm where the installed one fits | no process for each question |
| `rest` | slurmrestd, over the Unix socket that `rest_socket` names | where only slurmrestd can be reached |
| `auto` | `libslurm` where the installed pyslurm fits the Slurm that is here, else `cli` | the default |

`aistation doctor` says which one asks here and why, which could, and what each leaves to the commands.

## What each answers

`cli` answers everything, on every release from 22.05 to 26.05. `x` is answered whole; what is left blank is asked of
the commands.
"""

_TAIL = """\
The contract tests (`tests/cluster/test_readers.py`) ask every reader that is there every question that it declares,
and compare each field with the commands' answer; with `AISTATION_TEST_SLURM` on another release than the installed
one.

## Cheap when nothing changed

slurmctld stamps its jobs, its nodes and its partitions, and tells in about a millisecond, at any length of the queue,
that nothing changed since a stamp. libslurm asks that on every release (no pyslurm is needed), slurmrestd by
`update_time`; `Slurm.conditional` is whichever is here. To hear "changed" costs as much as a dump, so where the queue
changes all the time it is asked ever less often.

`slurm.snapshots.SnapshotReader` stands on it: one snapshot for any number of threads, a full dump at most every
second or, where that is longer, every 20 times what the last one took. It tells its age, and serves the last one,
marked stale, while slurmctld is away. "Nothing changed" is believed for a minute after a dump, since slurmctld does
not stamp

- the reason of a job that waits for a limit of its association or its QOS,
- an expected start that the backfill scheduler takes back,
- what goes by the clock alone: how long a job has run, when a node was last busy.

The duties that watch for faults ask Slurm itself: they ask seldom while all is well, and must see what is so when it
is not.
"""


def readers_page() -> str:
    """Return the page: who asks, and which question is answered whole by whom on which release."""
    return "\n".join([_HEAD, *_table(), "", _TAIL])


def _table() -> Iterator[str]:
    names, columns = _columns()
    yield f"| question | {' | '.join(names)} |"
    yield f"| --- |{' --- |' * len(names)}"
    for question in sorted(QUESTIONS):
        cells = ("x" if question in answers else "" for answers in columns)
        yield f"| `{question}` | {' | '.join(cells)} |"


def _columns() -> tuple[list[str], list[frozenset[str]]]:
    releases = list(REST_VERSIONS)
    names = [
        "cli",
        "libslurm",
        f"libslurm, pyslurm (Slurm {PYSLURM_FITS})",
        *(f"rest {release}" for release in releases),
    ]
    columns = [declared(releases[0])[name] for name in ("cli", "libslurm")]
    columns.append(declared(PYSLURM_FITS, with_pyslurm=True)["libslurm"])
    return names, columns + [declared(release)["rest"] for release in releases]
