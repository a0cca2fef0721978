"""Trainings on the station, as ann submits them: an example in her folder, its log, its end."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aistation_slurm import checkpoint, progress
from aistation_slurm.devcluster.nodes import CREDENTIAL_STEP
from aistation_slurm.errors import SlurmRefused
from aistation_slurm.examples import __file__ as examples

AISTATION = (sys.executable, "-m", "aistation_slurm", "job")
EXAMPLES = Path(examples).parent


@dataclass(frozen=True)
class Lab:
    """Ann, with an example in her folder, and beside it the two files that it needs, as in an image of hers."""

    station: Any
    ann: Any
    wait_for: Callable[..., object]

    def bring(self, *sources: Path) -> None:
        """Put these files into her folder, and those that each example needs."""
        for source in (*sources, Path(checkpoint.__file__), Path(progress.__file__)):
            shutil.copy(source, self.ann.folder / source.name)
            (self.ann.folder / source.name).chmod(0o644)

    def hand_in(
        self, template: str, script: str, *args: str, settings: tuple[str, ...] = (), nodes: int = 2, minutes: int = 10,
        python: str = sys.executable,
    ) -> int:  # fmt: skip
        """Submit a training with a GPU on each node, and return its job's id."""
        shape = ["--nodes", str(nodes)] if nodes > 1 else []
        sets = [word for each in settings for word in ("--set", each)]
        out = self.ann.run(
            *AISTATION, "submit", "--parsable", "--group", "v100", "--gpus-per-node", "1", "--python", python,
            "--name", "t", "--time", str(minutes), "--template", template, *shape, *sets, script, "--", *args,
        )  # fmt: skip
        return int(out)

    def log(self, job_id: int) -> str:
        """Return what the job has printed so far."""
        path = self.ann.folder / f"t-{job_id}.log"
        return path.read_text() if path.exists() else ""

    def until_step(self, step: int, job_id: int) -> None:
        """Wait until the checkpoint of this step stands."""
        self.wait_for(lambda: f"checkpoint of step {step}\n" in self.log(job_id), within=60)

    def until_over(self, job_id: int, *, within: float = 90) -> str:
        """Wait for the job's end, lift its wait after each requeue on the way, and return its log."""

        def is_over() -> bool:
            job = self.station.job(job_id)
            if job.reason == "BeginTime":
                self._lift(job_id)
            return bool(job.state.is_over)

        self.wait_for(is_over, within=within, every=0.2)
        return self.log(job_id)

    def start_again(self, job_id: int) -> None:
        """Lift the wait after a requeue, as our daemon does after a failure."""
        self.wait_for(lambda: self.station.job(job_id).reason == "BeginTime", within=20, every=0.1)
        self._lift(job_id)

    def _lift(self, job_id: int) -> None:
        time.sleep(CREDENTIAL_STEP)  # see docs/recovery.md: not in the second in which a survivor was told to end
        with contextlib.suppress(SlurmRefused):  # our daemon may have been quicker
            self.station.slurm.write.update_job(job_id, start_now=True)
