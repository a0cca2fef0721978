"""The demo: train over two nodes, kill one of them, and watch the training go on from its checkpoint elsewhere."""

from __future__ import annotations

import pwd
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from aistation_slurm.cli.training_log import Run, TrainingLog, read_training_log
from aistation_slurm.devcluster.cluster import DevCluster
from aistation_slurm.devcluster.faults import strike
from aistation_slurm.devcluster.login import become
from aistation_slurm.errors import AistationError, SlurmError
from aistation_slurm.settings import read_settings
from aistation_slurm.slurm.connect import Slurm, connect
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.nodelist import expand

STEPS, CHECKPOINT_EVERY, STEP_TIME = 240, 10, 0.05
PATIENCE = 180.0
"""Seconds that one stage may take before the demo gives up and says where to look."""


@dataclass(slots=True)
class Stage:
    """One thing that happens, with what came of it."""

    what: str
    begun: float
    result: str = ""
    ended: float | None = None


@dataclass(slots=True)
class Screen:
    """What the person sees: stages with their seconds, and the training's progress below them."""

    console: Console
    stages: list[Stage] = field(default_factory=list)
    log: TrainingLog = field(default_factory=TrainingLog)

    def __rich__(self) -> Group:
        table = Table.grid(padding=(0, 1))
        for stage in self.stages:
            mark = Text("✓", style="green") if stage.ended else Spinner("dots", style="cyan")
            seconds = (stage.ended or time.monotonic()) - stage.begun
            table.add_row(
                mark, Text(stage.what), Text(stage.result, style="bold"), Text(f"{seconds:5.1f} s", style="dim")
            )
        run = self.log.last
        if run is None:
            return Group(table)
        total, saved = self.log.total or STEPS, run.checkpoint or run.resumed_from or 0
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            Text("training"),
            ProgressBar(total=total, completed=run.step, width=46),
            Text(f"step {run.step}/{total}, checkpoint of step {saved}"),
        )
        return Group(table, Text(""), bar)

    def begin(self, what: str) -> Stage:
        """Start a stage."""
        stage = Stage(what, time.monotonic())
        self.stages.append(stage)
        return stage

    def end(self, stage: Stage, result: str = "") -> None:
        """Close the stage with what came of it; without a terminal, this is when its line is printed."""
        stage.result, stage.ended = result, time.monotonic()
        if not self.console.is_terminal:
            self.console.print(
                f"{stage.ended - stage.begun:6.1f} s  {stage.what} {stage.result}".rstrip(),
                highlight=False,
                soft_wrap=True,
            )


def run_demo(cluster: DevCluster, *, python: Path | None) -> None:
    """Run the demo on the cluster, with a progress display, and print what the recovery took.

    Raises:
        AistationError: a stage took longer than it may; the cluster is left running, so that one can look.
    """
    slurm = connect(read_settings(cluster.paths.config).slurm)
    console = Console(stderr=True)
    screen = Screen(console)
    with Live(screen, console=console, refresh_per_second=8, transient=False) if console.is_terminal else _nothing():
        Demo(cluster, slurm, screen, str(python or sys.executable)).play()
    console.print()


def _nothing() -> Live:
    return Live(Text(""), console=Console(quiet=True), auto_refresh=False)


@dataclass(slots=True)
class Demo:
    """One showing: who trains, on what, and the screen it is shown on."""

    cluster: DevCluster
    slurm: Slurm
    screen: Screen
    python: str

    def play(self) -> None:
        """Submit, wait for a checkpoint, kill a node, watch the recovery, and wait for the end."""
        user = self.cluster.record.users[0]
        stage = self.screen.begin(f"{user} submits a PyTorch training over two nodes")
        job_id = self._submit(user)
        self.screen.end(stage, f"job {job_id}")
        first = self._wait_for_first_checkpoint(job_id)
        victim, killed_at = self._kill_a_node(job_id, first)
        second = self._watch_recovery(job_id, victim, killed_at, first)
        self._wait_for_end(job_id, first, second, killed_at)
        self._heal(victim)

    def _submit(self, user: str) -> int:
        home = Path(pwd.getpwnam(user).pw_dir)
        folder = home / f"digits-{time.time():.0f}"  # a cluster that was made anew counts its jobs from 1 again
        folder.mkdir()
        package = Path(__file__).resolve().parent.parent
        for source in (package / "examples/digits_ddp.py", package / "checkpoint.py", package / "progress.py"):
            shutil.copy(source, folder / source.name)
        shutil.chown(folder, user)
        words = (
            "-m", "aistation_slurm", "job", "submit", "--parsable", "--template", "pytorch-ddp", "--group", "v100",
            "--nodes", "2", "--gpus-per-node", "1", "--name", "digits", "--python", self.python,
            "--set", "launcher=srun", "digits_ddp.py", "--",
            "--steps", str(STEPS), "--checkpoint-every", str(CHECKPOINT_EVERY), "--step-time", str(STEP_TIME),
        )  # fmt: skip
        return int(self._run_as(user, (sys.executable, *words), folder))

    def _run_as(self, user: str, argv: tuple[str, ...], folder: Path) -> str:
        prepared = become(self.cluster, argv, user=user, cwd=folder)
        done = subprocess.run(
            prepared.argv, env=prepared.env, capture_output=True, text=True, check=False, preexec_fn=prepared.enter
        )
        if done.returncode:
            raise AistationError(f"{user} could not submit the demo's training", hint=done.stderr.strip())
        return done.stdout.strip()

    def _wait_for_first_checkpoint(self, job_id: int) -> Run:
        stage = self.screen.begin("Slurm starts it")
        self._until(lambda: self._log(job_id).last is not None, job_id)
        run = self._last(job_id)
        self.screen.end(stage, f"on {run.nodes}")
        stage = self.screen.begin("PyTorch starts, the ranks find one another")
        self._until(lambda: self._last(job_id).step > 0, job_id)
        self.screen.end(stage)
        stage = self.screen.begin("it trains until it has checkpoints")
        self._until(lambda: (self._last(job_id).checkpoint or 0) >= 4 * CHECKPOINT_EVERY, job_id)
        self.screen.end(stage, f"checkpoint of step {self._last(job_id).checkpoint}")
        return self._last(job_id)

    def _kill_a_node(self, job_id: int, run: Run) -> tuple[str, float]:
        """Kill the node that runs the job's own script: the harder of the two cases."""
        victim = expand(run.nodes)[0]
        stage = self.screen.begin(f"{victim} is killed, with all its processes")
        at = time.time()
        strike(self.cluster, "kill-node", victim)
        self.screen.end(stage, f"at step {self._last(job_id).step}")
        return victim, at

    def _watch_recovery(self, job_id: int, victim: str, killed_at: float, first: Run) -> Run:
        stage = self.screen.begin("two signals say that it is dead")
        self._until(lambda: self._is_down(victim), job_id)
        self.screen.end(stage, "marked DOWN")
        stage = self.screen.begin("Slurm requeues the job, and starts it elsewhere")
        self._until(lambda: len(self._log(job_id).runs) > 1, job_id)
        second = self._last(job_id)
        self.screen.end(stage, f"on {second.nodes}, {second.at - killed_at:.1f} s after the kill")
        stage = self.screen.begin("PyTorch starts, the checkpoint is read")
        self._until(lambda: self._last(job_id).first_step is not None, job_id)
        second = self._last(job_id)
        self.screen.end(
            stage, f"goes on at step {second.first_step}, from the checkpoint of step {second.resumed_from}"
        )
        return second

    def _wait_for_end(self, job_id: int, first: Run, second: Run, killed_at: float) -> None:
        stage = self.screen.begin("it trains to its end")
        self._until(lambda: self._log(job_id).final_loss is not None, job_id)
        self.screen.end(stage, f"final loss {self.screen.log.final_loss:.6f}")
        lost = first.step - (second.resumed_from or 0)
        started = second.at - killed_at
        stepped = second.phases.get("first step", second.at) - killed_at
        stage = self.screen.begin("the node's death cost")
        self.screen.end(stage, f"{started:.1f} s until the script ran again, {stepped:.1f} s until it trained again, "
                               f"{max(lost, 0)} steps done twice")  # fmt: skip

    def _heal(self, victim: str) -> None:
        stage = self.screen.begin(f"{victim} is switched on again")
        strike(self.cluster, "heal-node", victim)
        self.screen.end(stage, "the daemon takes it back when it has been well for 10 s")

    def _until(self, condition: Callable[[], bool], job_id: int) -> None:
        """Wait until it holds.

        Raises:
            AistationError: the job ended badly, or it takes too long.
        """
        patient_until = time.monotonic() + PATIENCE
        while not condition():
            job = self._job(job_id)
            if job and job.state.is_over and not job.state.is_success:
                raise AistationError(f"the demo's job {job_id} ended as {job.state.value}", hint=f"see {job.stdout}")
            if time.monotonic() > patient_until:
                raise AistationError(f"the demo waited {PATIENCE:.0f} s for: {self.screen.stages[-1].what}",
                                     hint=f"see {self.cluster.paths.log}")  # fmt: skip
            time.sleep(0.1)

    def _job(self, job_id: int) -> Job | None:
        try:
            return self.slurm.read.job(job_id)
        except SlurmError:
            return None

    def _is_down(self, node: str) -> bool:
        return any(each.name == node and each.state.is_down for each in self.slurm.read.nodes())

    def _log(self, job_id: int) -> TrainingLog:
        job = self._job(job_id)
        if job and job.stdout and Path(job.stdout).exists():
            self.screen.log = read_training_log(Path(job.stdout).read_text(errors="replace").splitlines())
        return self.screen.log

    def _last(self, job_id: int) -> Run:
        run = self._log(job_id).last
        if run is None:
            raise AistationError(f"the log of job {job_id} is gone", hint="was its folder removed?")
        return run
