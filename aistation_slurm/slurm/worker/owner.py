"""The asking side of a worker: starts it when it is first asked, ends it when it is late, replaces it when it died."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aistation_slurm import errors
from aistation_slurm.errors import SlurmError, SlurmUnreachable, SlurmUnreadable
from aistation_slurm.slurm.refusals import refusal
from aistation_slurm.slurm.runner import Completed
from aistation_slurm.slurm.worker.child import Child
from aistation_slurm.slurm.worker.frames import Ended, Garbage, TooLate

DEATHS_IN_A_ROW = 3
REST_SECONDS = 30.0


class Worker:
    """A child process that answers questions, one at a time; for any number of threads.

    A child that died before it answered is replaced, and asked once more: every question only reads. After three deaths
    in a row without an answer nothing is started for a while, and each question raises what the last death said. One
    that could reach nobody is replaced too: what it read when it began may not be so any more.
    """

    def __init__(
        self,
        target: str,
        *options: str,
        name: str = "",
        env: Mapping[str, str] | None = None,
        python: Sequence[str] = (),
        key: Callable[[], object] = lambda: None,
        rest: float = REST_SECONDS,
    ) -> None:
        """`target` is `module:factory`, called in the child with the options (see `worker.__main__`).

        `python` is what starts the interpreter, where that is not the owner's own program alone. A child is replaced
        when `key()` is no longer what it was when the child was started, such as the age of a file that it has read.
        """
        self._argv = (target, *options)
        self._name = name or target
        self._env = env
        self._python = tuple(python)
        self._key = key
        self._key_of_child: object = None
        self._rest = rest
        self._child: Child | None = None
        self._finalizer: weakref.finalize[..., Worker] | None = None
        self._lock = threading.Lock()
        self._deaths = 0
        self._last_death: SlurmUnreachable | None = None
        self._rests_until = 0.0
        _WORKERS.add(self)

    @property
    def pid(self) -> int | None:
        """The number of the child's process; None while there is none."""
        child = self._child
        return child.pid if child else None

    def ask(self, question: str, *arguments: Any, timeout: float = 30.0) -> Any:
        """Return the answer.

        Raises:
            SlurmUnreachable: no answer within `timeout` seconds (the child was ended), or the child ended by itself.
            SlurmUnreadable: the child answered garbage (and was ended), or says so itself.
            SlurmError: whichever the child raised.
        """
        until = time.monotonic() + timeout
        if not self._lock.acquire(timeout=timeout):
            raise _too_late(self._name, question, timeout)
        try:
            kind, value = self._answer(question, arguments, until=until, timeout=timeout)
        finally:
            self._lock.release()
        if kind == "answer":
            return value
        raise _the_same(value)

    def close(self) -> None:
        """End the child; the next question starts another."""
        with self._lock:
            self._drop()

    def _answer(self, question: str, arguments: tuple[Any, ...], *, until: float, timeout: float) -> tuple[str, Any]:
        for _ in range(2):
            if reply := self._once(question, arguments, until=until, timeout=timeout):
                return reply
        assert self._last_death is not None
        raise self._last_death

    def _once(
        self, question: str, arguments: tuple[Any, ...], *, until: float, timeout: float
    ) -> tuple[str, Any] | None:
        """Return the reply, or None where the child died before it gave one."""
        child = self._started()
        try:
            reply = child.ask(question, arguments, until=until)
        except Ended:
            self._note_death(child, question)
            self._drop()
            return None
        except BaseException as error:  # Ctrl-C too: what comes later would be taken for the next answer
            said = child.said()
            self._drop()
            if isinstance(error, TooLate):
                raise _too_late(self._name, question, timeout, said) from error
            if isinstance(error, Garbage):
                raise SlurmUnreadable(f"{self._name} gave {error}{_after_colon(said)}", where=question) from error
            raise
        self._deaths = 0
        if reply[0] == "error" and reply[1][0] == SlurmUnreachable.__name__:
            self._drop()  # another one looks anew for whom to ask
        return reply

    def _started(self) -> Child:
        """Return the child, started if there is none; raises what the last death said while none may be started."""
        key = self._key()
        if self._child and key != self._key_of_child:
            self._drop()
        if self._child is None:
            if self._last_death and self._deaths >= DEATHS_IN_A_ROW and time.monotonic() < self._rests_until:
                raise self._last_death
            self._child = Child(self._argv, env=os.environ if self._env is None else self._env, python=self._python)
            self._finalizer = weakref.finalize(self, self._child.end)
            self._key_of_child = key
        return self._child

    def _note_death(self, child: Child, question: str) -> None:
        how, said = child.how_it_ended(), child.said()
        self._deaths += 1
        self._rests_until = time.monotonic() + self._rest
        self._last_death = SlurmUnreachable(
            f"{self._name} ended ({how}){_after_colon(said)}",
            where=question,
            hint=refusal((self._name,), Completed(1, "", said)).hint,
        )

    def _drop(self) -> None:
        if self._finalizer:
            self._finalizer()
        self._child = self._finalizer = None

    def _forget(self) -> None:
        """In the child of a fork: leave the worker to the process that started it, and start another when asked."""
        self._lock = threading.Lock()
        if self._finalizer:
            self._finalizer.detach()
        if self._child:
            self._child.end()
        self._child = self._finalizer = None


def _too_late(name: str, question: str, timeout: float, said: str = "") -> SlurmUnreachable:
    return SlurmUnreachable(
        f"no answer within {timeout:g} s{_after_colon(said)}",
        where=f"{name} {question}",
        hint="is slurmctld alive? `scontrol ping` says so; see its log",
    )


def _after_colon(said: str) -> str:
    return f": {said}" if said else ""


def _the_same(told: tuple[str, str, str, str]) -> SlurmError:
    """Return the error that the child raised, as it can be raised here."""
    name, text, where, hint = told
    kind = getattr(errors, name, SlurmUnreadable)
    known = isinstance(kind, type) and issubclass(kind, SlurmError)
    return (kind if known else SlurmUnreadable)(text, where=where, hint=hint)


_WORKERS: weakref.WeakSet[Worker] = weakref.WeakSet()


def _after_fork() -> None:
    for worker in list(_WORKERS):
        worker._forget()


os.register_at_fork(after_in_child=_after_fork)
