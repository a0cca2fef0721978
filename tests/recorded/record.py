"""Record what a real Slurm answers: `python -m tests.recorded.record NAME`, NAME a dev cluster that is up.

The contract tests' stage is made on it (`tests/cluster/stage.py`), each question asked once, and the stage taken down.
Each answer becomes `slurm-RELEASE/stage/QUESTION.txt`: the argument list as JSON, the exit status, then stdout as it
came. A test that reads it finds in the argument list the field mark that was drawn for that call.

What lies beside the folder `stage` was recorded before there was one, on a cluster with more in it.
"""

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from aistation_slurm.cli.dev import start_cluster
from aistation_slurm.devcluster.plan import Wishes
from aistation_slurm.settings import read_settings
from aistation_slurm.slurm import commands
from aistation_slurm.slurm.commands import Command
from aistation_slurm.slurm.connect import connect
from aistation_slurm.slurm.runner import LocalRunner
from tests.cluster.conftest import Station
from tests.cluster.stage import Stage, on_stage

HERE = Path(__file__).parent
ASKED: dict[str, Callable[[Stage], Command[object]]] = {
    "jobs": lambda _: commands.squeue(with_over=True),
    "steps": lambda _: commands.running_steps(),
    "steps-shown": lambda _: commands.show_steps([]),
    "steps-shown-of-arrays": lambda _: commands.show_steps([], commands.EVERY_JOB),
    "nodes": lambda _: commands.show_nodes(),
    "partitions": lambda _: commands.show_partitions(),
    "reservations": lambda _: commands.show_reservations(),
    "limits-in-use": lambda _: commands.show_limits_in_use(),
    "diag": lambda _: commands.sdiag(),
    "qos": lambda _: commands.show_qos(),
    "accounts": lambda _: commands.show_accounts(),
    "users": lambda _: commands.show_users(),
    "associations": lambda _: commands.show_associations(),
    "tres": lambda _: commands.show_tres(),
    "shares": lambda _: commands.sshare(),
    "history": lambda _: commands.history(),
    "history-duplicates": lambda _: commands.history(duplicates=True),
    "step-history": lambda stage: commands.step_history(*stage.jobs.values()),
    "usage": lambda stage: commands.sreport(stage.hour, stage.hour + timedelta(hours=1)),
}


def main() -> None:
    """Ask everything once, and write the answers below this folder."""
    cluster = start_cluster(Wishes(name=sys.argv[1]))
    settings = read_settings(cluster.paths.config)
    scratch = Path("/var/tmp") / f"aistation-{sys.argv[1]}"
    scratch.mkdir(exist_ok=True)
    runner = LocalRunner(slurm_conf=settings.slurm.conf, bin=settings.slurm.bin)
    release = runner.run(("squeue", "--version")).stdout.split()[-1]
    folder = HERE / f"slurm-{'.'.join(release.split('.')[:2])}" / "stage"
    folder.mkdir(parents=True, exist_ok=True)
    with on_stage(Station(cluster, connect(settings.slurm), settings, scratch)) as stage:
        for name, question in ASKED.items():
            record(folder / f"{name}.txt", runner, question(stage).argv)


def record(path: Path, runner: LocalRunner, argv: tuple[str, ...]) -> None:
    """Write down what the command answers."""
    done = runner.run(argv)
    text = f"{json.dumps(argv)}\n{done.returncode}\n{done.stdout}"
    path.write_text(text, encoding="utf-8", newline="")
    print(f"{path.relative_to(HERE)}  {len(done.stdout)} bytes, status {done.returncode}", file=sys.stderr)


if __name__ == "__main__":
    main()
