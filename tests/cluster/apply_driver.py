"""`python apply_driver.py FILE DEATH`: an apply that kills itself (SIGKILL) at its DEATH-th moment; 0: never.

DEATH may also be a text: it dies at the first moment that begins with it. Prints every moment that it passed.
"""

import os
import signal
import sys
from pathlib import Path

from aistation_slurm.cluster.applying.carry_out import Wish, carry_out
from aistation_slurm.cluster.applying.target import Target
from aistation_slurm.settings import load_settings
from aistation_slurm.slurm.connect import connect
from aistation_slurm.spec.edit import read_text


class Death:
    """Counts the moments, and comes at one of them."""

    def __init__(self, at: str) -> None:
        self._at = at
        self._count = 0

    def __call__(self, moment: str) -> None:
        """Hear of a moment."""
        self._count += 1
        print(moment, flush=True)
        if str(self._count) == self._at or moment.startswith(self._at):
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Apply the file."""
    path, at = Path(sys.argv[1]), sys.argv[2]
    settings = load_settings()
    target = Target(settings=settings, slurm=connect(settings.slurm), cluster_file=path)
    wish = Wish(spec=target.load(), text=read_text(path), force=True, canary=False, watch=False)
    carry_out(target, wish, witness=Death(at))


if __name__ == "__main__":
    main()
