"""Runs training scripts over several ranks, each a fork of one process that has imported the framework already.

Importing PyTorch takes longer than these trainings do. Orders come as lines of JSON, and so do the answers.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import runpy
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any


def start(order: dict[str, Any], rank: int) -> int:
    """Fork a rank, and return its process's id."""
    if child := os.fork():
        return child
    os.environ.update({**order["env"], "RANK": str(rank), "LOCAL_RANK": str(rank)})
    with open(order["log"] + f".{rank}", "ab", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    code = 0
    try:
        sys.argv = [order["script"], *order["args"]]
        runpy.run_path(order["script"], run_name="__main__")
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
        print(error.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def lines_of(order: dict[str, Any]) -> int:
    """Return how many steps rank 0 has told of."""
    try:
        return Path(order["log"] + ".0").read_bytes().count(b"\nstep ")
    except FileNotFoundError:
        return 0


def carry_out(order: dict[str, Any]) -> list[int]:
    """Run all ranks; kill them some time after they have done so many steps; return their exit codes.

    When one dies, the others are ended, as srun does.
    """
    alive = {start(order, rank): rank for rank in range(order["ranks"])}
    codes: dict[int, int] = {}
    kill_at: float | None = None
    give_up = time.monotonic() + 300
    while alive:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            codes[alive.pop(pid)] = os.waitstatus_to_exitcode(status)
        if kill_at is None and order["kill_after"] is not None and lines_of(order) >= order["kill_after"]:
            kill_at = time.monotonic() + random.uniform(0, order["jitter"])
        failed = any(codes.values()) or time.monotonic() > give_up
        if failed or (kill_at is not None and time.monotonic() > kill_at):
            for each in alive:
                os.kill(each, order["signal"] if not failed else signal.SIGKILL)
            kill_at, order["kill_after"] = None, None
        time.sleep(0.002)
    return [codes[rank] for rank in range(order["ranks"])]


def main() -> None:
    for name in sys.argv[1:]:
        importlib.import_module(name)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(carry_out(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
