"""How long `aistation --help` takes, against a bare Python and against importing the whole server stack."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from timing import interleaved, line, quiet

AIM = 0.120
SERVER = "import fastapi, sqlmodel, apscheduler.schedulers.background, uvicorn, jinja2, pydantic, rich"


def main() -> None:
    """Measure, and print the ratios."""
    python = sys.executable
    taken = interleaved(
        {
            "python -c pass": quiet(python, "-c", "pass"),
            "aistation --help": quiet(python, "-m", "aistation_slurm", "--help"),
            "aistation job --help": quiet(python, "-m", "aistation_slurm", "job", "--help"),
            "server stack imported": quiet(python, "-c", SERVER),
        },
        rounds=20,
    )
    for name, values in taken.items():
        print(line(name, values))
    bare, ours, server = (
        statistics.median(taken[name]) for name in ("python -c pass", "aistation --help", "server stack imported")
    )
    print(f"aistation --help is {ours / bare:.1f} times a bare Python, {server / ours:.0f} times faster than the stack")
    print(f"aim {AIM * 1000:.0f} ms: {'kept' if ours <= AIM else 'MISSED'} ({ours * 1000:.0f} ms)")


if __name__ == "__main__":
    main()
