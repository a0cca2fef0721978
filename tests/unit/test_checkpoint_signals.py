"""A notice that comes while a training ends, which is as likely as at any other moment."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aistation_slurm import checkpoint

ENDS = """
import os, signal, sys
sys.path.insert(0, {package!r})
from checkpoint import SaveSoon

class Late:
    def __del__(self, kill=os.kill, pid=os.getpid()):
        kill(pid, {sent})

late = Late()  # goes last of all, when Python has given the signals back
soon = SaveSoon({sent})
print("trained", flush=True)
"""


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGUSR2, 0), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_notice_does_not_kill_a_training_that_has_done_all_and_ends(sent: signal.Signals, code: int) -> None:
    script = ENDS.format(package=str(Path(checkpoint.__file__).parent), sent=int(sent))
    done = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (code, "trained\n")
