"""What every order has in common: one command, within its time, and an error of ours where Slurm refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from aistation_slurm.errors import InvalidRequest
from aistation_slurm.slurm.refusals import broken_off, refusal
from aistation_slurm.slurm.runner import Completed, Runner

WRITE_SECONDS = 60.0
_NO_NAME = frozenset(",=|'\"[]()\\")

IsDone = Callable[[Completed], bool]
"""True where a command that did not succeed only says that there was nothing to do."""


class Orders:
    """Gives orders by Slurm's own commands."""

    def __init__(self, runner: Runner, *, timeout: float = WRITE_SECONDS) -> None:
        self._runner = runner
        self._timeout = timeout

    def _order(self, argv: tuple[str, ...], *, stdin: str = "", is_done: IsDone | None = None) -> Completed:
        """Return what the command left behind.

        Raises:
            SlurmError: it did not succeed, and not because there was nothing to do.
        """
        done = self._runner.run(argv, stdin=stdin, timeout=self._timeout)
        if done.returncode and not (is_done and is_done(done)):
            raise refusal(argv, done)
        if error := broken_off(argv, done):
            raise error
        return done


def one_name(kind: str, name: str) -> str:
    """Return the name of one thing, as it is.

    To Slurm's commands a comma makes two things of it, ALL and an empty name are every one, and `=` is another word.

    Raises:
        InvalidRequest: it is none, or it could be taken for another thing or for many.
    """
    if not name or name.upper() == "ALL" or name.startswith("-") or set(name) & _NO_NAME or _is_torn(name):
        raise InvalidRequest(f"{name!r} is not the name of one {kind}")
    return name


def listed(kind: str, names: Iterable[str]) -> str:
    """Return the names as one list, `a,b`.

    Raises:
        InvalidRequest: one of them is not the name of one thing.
    """
    return ",".join(one_name(kind, name) for name in names)


def _is_torn(name: str) -> bool:
    return not name.isprintable() or len(name.split()) != 1 or name != name.strip()
