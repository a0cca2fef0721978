"""Record what a real Slurm answers: `python tests/recorded/record.py` with SLURM_CONF set.

Each answer becomes `slurm-RELEASE/NAME.txt`: the argument list as JSON, the exit status, then stdout as it came. A
test that reads it finds in the argument list the field mark that was drawn for that call.
"""

import json
import sys
from pathlib import Path

from aistation_slurm.slurm import commands
from aistation_slurm.slurm.runner import LocalRunner

HERE = Path(__file__).parent
QUESTIONS = {
    "squeue": commands.squeue,
    "squeue-with-over": lambda: commands.squeue(with_over=True),
    "nodes": commands.show_nodes,
    "partitions": commands.show_partitions,
    "config": commands.show_config,
    "ping": commands.ping,
    "qos": commands.show_qos,
    "accounts": commands.show_accounts,
    "users": commands.show_users,
    "associations": commands.show_associations,
    "history": commands.history,
    "history-duplicates": lambda: commands.history(duplicates=True),
}


def main() -> None:
    """Ask everything once, and write the answers below this folder."""
    runner = LocalRunner()
    release = runner.run(("squeue", "--version")).stdout.split()[-1]
    folder = HERE / f"slurm-{'.'.join(release.split('.')[:2])}"
    folder.mkdir(exist_ok=True)
    for name, question in QUESTIONS.items():
        argv = question().argv
        done = runner.run(argv)
        text = f"{json.dumps(argv)}\n{done.returncode}\n{done.stdout}"
        (folder / f"{name}.txt").write_text(text, encoding="utf-8", newline="")
        print(f"{folder.name}/{name}.txt  {len(done.stdout)} bytes, status {done.returncode}", file=sys.stderr)


if __name__ == "__main__":
    main()
