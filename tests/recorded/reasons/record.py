"""Write which reasons each release of Slurm knows, from its source: `record.py CHECKOUT`, a git clone with all tags.

Only the names are kept: they are what squeue and sacct print.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TAGS = {
    "22.05": "slurm-22-05-8-1", "23.02": "slurm-23-02-7-1", "23.11": "slurm-23-11-10-1", "24.05": "slurm-24-05-8-1",
    "24.11": "slurm-24-11-5-1", "25.05": "slurm-25-05-3-1", "25.11": "slurm-25-11-7-1", "26.05": "slurm-26-05-3-1",
}  # fmt: skip


def shown(checkout: Path, tag: str, path: str) -> str:
    """Return a file of a release; nothing where the release has none of this name."""
    argv = ["git", "-C", str(checkout), "show", f"{tag}:{path}"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False).stdout


def reasons(checkout: Path, tag: str) -> list[str]:
    """Return the names that the release prints, each once; from 23.11 on they stand in a table of their own."""
    if table := shown(checkout, tag, "src/common/job_state_reason.c"):
        return list(dict.fromkeys(re.findall(r'\.str = "([^"]+)"', table)))
    source = shown(checkout, tag, "src/common/slurm_protocol_defs.c")
    body = source.split("job_reason_string(enum", 1)[1].split("\n}\n", 1)[0]
    return list(dict.fromkeys(re.findall(r'return "([^"]+)"', body)))


if __name__ == "__main__":
    for release, tag in TAGS.items():
        (HERE / f"slurm-{release}.txt").write_text("\n".join(reasons(Path(sys.argv[1]), tag)) + "\n")
