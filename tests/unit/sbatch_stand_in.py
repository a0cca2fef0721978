"""A program in sbatch's place: notes how it was called, and answers as it is told; a real process, without a Slurm."""

from __future__ import annotations

import json
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROGRAM = """#!{python}
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
stdin = "" if sys.stdin.closed else sys.stdin.read()
call = {{"argv": sys.argv[1:], "env": dict(os.environ), "stdin": stdin, "cwd": os.getcwd()}}
with open(here / "calls.jsonl", "a") as file:
    file.write(json.dumps(call) + "\\n")
answer = json.loads((here / "answer.json").read_text())
sys.stderr.write(answer["stderr"])
sys.stdout.write(answer["stdout"])
sys.exit(answer["code"])
"""


@dataclass(frozen=True)
class StandIn:
    """The program, and what it was called with."""

    folder: Path

    def answers(self, stdout: str = "77\n", stderr: str = "", code: int = 0) -> None:
        """Let it answer so from now on."""
        text = json.dumps({"stdout": stdout, "stderr": stderr, "code": code})
        (self.folder / "answer.json").write_text(text)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Return its calls, the first one first."""
        path = self.folder / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def argv(self) -> list[str]:
        """Return what it was last called with."""
        argv: list[str] = self.calls[-1]["argv"]
        return argv


def stand_in(folder: Path) -> StandIn:
    """Return a program `sbatch` in this folder, which takes every job as number 77."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "sbatch"
    program.write_text(_PROGRAM.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    made = StandIn(folder)
    made.answers()
    return made
