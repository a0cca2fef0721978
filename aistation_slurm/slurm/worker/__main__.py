"""The child: `python -m aistation_slurm.slurm.worker MODULE:FACTORY [OPTION ...]` answers questions until nobody asks.

`FACTORY(*OPTIONS)` is called at the first question and returns what answers them: `answer(question, *arguments)`. What
it raises is the answer to that question, and the next one calls it again.

What anybody prints goes to stderr, never into an answer: the pipe that answers go through has a number of its own.
A call that takes longer than its time ends this process by an alarm, even where C code holds the interpreter; so it
never outlives its owner by more than one call, and an owner that is gone is seen as the end of the questions.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from aistation_slurm.errors import SlurmError
from aistation_slurm.slurm.worker.frames import Ended, packed, receive, send

Answer = Callable[..., Any]
GRACE_SECONDS = 1.0
"""The owner ends a late call itself; the alarm is for one whose owner is gone."""


def main() -> None:
    """Answer until the questions end."""
    target, *options = sys.argv[1:]
    questions, answers = _own_pipes()
    made = cache(partial(_made, target, *options))
    while True:
        try:
            question, arguments, seconds = receive(questions)
        except Ended:
            return
        signal.setitimer(signal.ITIMER_REAL, seconds + GRACE_SECONDS)
        reply = _asked(made, question, arguments)
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            send(answers, reply)
        except Ended:
            return


def _own_pipes() -> tuple[int, int]:
    """Move the pipes out of the way of everybody's stdin and stdout."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    questions, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return questions, answers


def _made(target: str, *options: str) -> Answer:
    module, _, factory = target.partition(":")
    made: Answer = getattr(importlib.import_module(module), factory)(*options)
    return made


def _asked(made: Callable[[], Answer], question: str, arguments: tuple[Any, ...]) -> bytes:
    """Return `("answer", ...)`, or `("error", ...)` with what makes the same error again at the other end."""
    try:
        return packed(("answer", made()(question, *arguments)))
    except SlurmError as error:
        return packed(("error", (type(error).__name__, error.text, error.where, error.hint)))
    except Exception as error:
        return packed(("error", ("SlurmUnreadable", f"can't be answered: {error!r}", question, "")))


if __name__ == "__main__":
    main()
