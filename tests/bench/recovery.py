"""From a node's death to the training's next line: killed, hung and cut nodes, against stock Slurm.

For each trial a two-node PyTorch training runs on a one-machine cluster (each node in its own network
namespace) until it has checkpoints; then one of its nodes is killed, stopped (SIGSTOP), or has its link cut.
Times are those of the job's own log: from the moment of the fault to the first line of the new run's script,
and to its first optimiser step. Each trial must end with the very loss of an undisturbed run. A healed node's
old processes come back to life while the new run trains, and must not harm it.

    scripts/dev/bench recovery                                20 trials of each fault
    scripts/dev/bench recovery --trials 3 --faults cut-node
    scripts/dev/bench recovery --stock                        3 trials at once without our daemon: about ten minutes
"""

from __future__ import annotations

import argparse
import json
import pwd
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from timing import line

import aistation_slurm
from aistation_slurm.assets import asset_dir
from aistation_slurm.cli.training_log import TrainingLog, read_training_log

PACKAGE = Path(aistation_slurm.__file__).parent
SMALL = asset_dir("slurm_conf") / "examples/small.yaml"
OURS = (sys.executable, "-m", "aistation_slurm")
STEPS, EVERY, STEP_TIME = 150, 5, 0.04
FAULTS = ("kill-node", "hang-node", "cut-node")
PATIENCE = 120.0


@dataclass(frozen=True)
class Trial:
    """What one trial showed; seconds from the fault."""

    fault: str
    victim: str
    was_batch_node: bool
    to_first_line: float
    to_first_step: float
    steps_lost: int
    loss_is_equal: bool
    restarts: int


def ours(*words: str) -> str:
    done = subprocess.run((*OURS, *words), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


class Bench:
    """One cluster, one user, one training after another."""

    def __init__(self, name: str, user: str, python: str) -> None:
        self.name, self.user, self.python = name, user, python
        self.folder = Path(pwd.getpwnam(user).pw_dir) / f"bench-{time.time():.0f}"
        self.folder.mkdir(exist_ok=True)
        for source in ("examples/digits_ddp.py", "checkpoint.py", "progress.py"):
            shutil.copy(PACKAGE / source, self.folder)
        shutil.chown(self.folder, user)

    def as_user(self, *words: str) -> str:
        return ours("dev", "exec", "--name", self.name, "--as", self.user, "--cwd", str(self.folder), "--", *words)

    def submit(self, *, steps: int = STEPS, step_time: float = STEP_TIME) -> int:
        answer = self.as_user(
            *OURS, "job", "submit", "--parsable", "--template", "pytorch-ddp", "--group", "v100", "--nodes", "2",
            "--gpus-per-node", "1", "--name", "bench", "--time", "30", "--python", self.python,
            "--set", "launcher=srun", "digits_ddp.py", "--",
            "--steps", str(steps), "--checkpoint-every", str(EVERY), "--step-time", str(step_time),
        )  # fmt: skip
        return int(answer.strip())

    def log(self, job_id: int) -> TrainingLog:
        files = sorted(self.folder.glob(f"*-{job_id}.log"))
        return read_training_log(files[0].read_text(errors="replace").splitlines() if files else [])

    def wait(self, job_id: int, what: str, condition, patience: float = PATIENCE) -> TrainingLog:
        until = time.monotonic() + patience
        while not condition(log := self.log(job_id)):
            if time.monotonic() > until:
                raise TimeoutError(f"job {job_id}: {what} did not happen within {patience:.0f} s")
            time.sleep(0.05)
        return log

    def fault(self, kind: str, node: str) -> float:
        """Return when the fault took effect, by its own answer (unix ms, first in its line)."""
        answer = ours("dev", "fault", "--name", self.name, kind, node)
        return int(answer.split()[0]) / 1000

    def idle_again(self) -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            states = ours(
                "dev", "exec", "--name", self.name, "--", "sinfo", "-h", "-N", "-p", "v100", "-o", "%T"
            ).split()
            if all(state == "idle" for state in states):
                return
            time.sleep(0.3)
        raise TimeoutError(f"nodes are not idle again: {states}")


class PatientDaemon:
    """Our daemon with a breaker that forgets at once: here many nodes in a row are lost on purpose."""

    def __init__(self, name: str) -> None:
        found = json.loads(ours("dev", "env", "--name", name, "--json"))
        config = Path(found["AISTATION_CONFIG"])
        mine = Path("/tmp") / f"aistation-{name}.toml"
        mine.write_text(config.read_text().replace("[daemon]\n", "[daemon]\nbreaker_period = 1.0\n"))
        mine.chmod(0o644)
        words = ("dev", "exec", "--name", name, "--as", "slurm", "--", "env", f"AISTATION_CONFIG={mine}")
        self.log = (Path("/tmp") / f"aistation-{name}-daemon.log").open("w")
        self.process = subprocess.Popen((*OURS, *words, *OURS, "daemon"), stdout=self.log, stderr=self.log)

    def __enter__(self) -> PatientDaemon:
        time.sleep(5)  # it has to listen for a while before it believes a silence
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)
        self.log.close()


def nodes_of(run_nodes: str) -> list[str]:
    from aistation_slurm.slurm.nodelist import expand

    return list(expand(run_nodes))


def trial(bench: Bench, fault: str, *, on_batch_node: bool, expected: float) -> Trial:
    job_id = bench.submit()
    log = bench.wait(
        job_id, "a checkpoint", lambda log: log.last is not None and (log.last.checkpoint or 0) >= 2 * EVERY
    )
    nodes = nodes_of(log.last.nodes)
    victim = nodes[0] if on_batch_node else nodes[-1]
    at = bench.fault(fault, victim)
    before = bench.log(job_id).runs[0]
    log = bench.wait(job_id, "a second run", lambda log: len(log.runs) > 1)
    log = bench.wait(job_id, "a step of the second run", lambda log: log.runs[1].first_step is not None)
    if fault != "kill-node":  # the old processes come back to life under the new run
        bench.fault("heal-node", victim)
    log = bench.wait(job_id, "its end", lambda log: log.final_loss is not None)
    if fault == "kill-node":
        bench.fault("heal-node", victim)
    second = log.runs[1]
    shown = Trial(
        fault=fault,
        victim=victim,
        was_batch_node=on_batch_node,
        to_first_line=second.at - at,
        to_first_step=second.phases["first step"] - at,
        steps_lost=max(0, before.step - (second.resumed_from or 0)),
        loss_is_equal=abs(log.final_loss - expected) <= 1e-6 * abs(expected),
        restarts=log.runs[-1].restart,
    )
    bench.idle_again()
    return shown


def reference(bench: Bench) -> float:
    job_id = bench.submit()
    log = bench.wait(job_id, "its end", lambda log: log.final_loss is not None)
    assert len(log.runs) == 1, "the undisturbed run was disturbed"
    return log.final_loss


def stock(options: argparse.Namespace) -> list[float]:
    """Kill a node under each of three trainings at once, with nobody but Slurm to notice; seconds to the next line."""
    text = (
        SMALL.read_text().replace("v100-[01-03]", "v100-[01-09]").replace("per_user: {gpu: 4}", "per_user: {gpu: 16}")
    )
    mine = Path("/tmp/aistation-stock.yaml")
    mine.write_text(text.replace("per_user: {gpu: 6}", "per_user: {gpu: 24}"))
    ours("dev", "up", "--name", options.name, "--file", str(mine), "--layout", "netns", "--no-agents", "--no-daemon")
    bench = Bench(options.name, options.user, options.python)
    jobs = [bench.submit(steps=100_000, step_time=1.0) for _ in range(3)]
    victims, struck = [], {}
    for job_id in jobs:
        log = bench.wait(job_id, "a step", lambda log: log.last is not None and log.last.step > 0, patience=300)
        victims.append(nodes_of(log.last.nodes)[0])
    for victim in dict.fromkeys(victims):  # two trainings may share a node
        struck[victim] = bench.fault("kill-node", victim)
    print(f"killed {', '.join(struck)}; now Slurm is alone with it", flush=True)
    taken = []
    for job_id, victim in zip(jobs, victims, strict=True):
        log = bench.wait(job_id, "a second run", lambda log: len(log.runs) > 1, patience=1200)
        taken.append(log.runs[1].at - struck[victim])
        print(f"job {job_id}: {taken[-1]:.1f} s", flush=True)
    return taken


def report(trials: list[Trial]) -> bool:
    good = True
    for fault in dict.fromkeys(each.fault for each in trials):
        those = [each for each in trials if each.fault == fault]
        print(line(f"{fault}: to the first line", [each.to_first_line for each in those]))
        print(line(f"{fault}: to the first step", [each.to_first_step for each in those]))
        equal = sum(each.loss_is_equal for each in those)
        twice = [each.steps_lost for each in those]
        print(f"{fault}: same loss {equal}/{len(those)}; steps done twice: at most {max(twice)}; restarts "
              f"{sorted({each.restarts for each in those})}")  # fmt: skip
        good &= equal == len(those)
    return good


def ours_against(options: argparse.Namespace) -> list[Trial]:
    """Run every trial with our daemon, each fault in turn, so that a slow moment hits all of them."""
    ours("dev", "up", "--name", options.name, "--file", str(SMALL), "--agents", "--no-daemon")
    trials = []
    with PatientDaemon(options.name):
        bench = Bench(options.name, options.user, options.python)
        expected = reference(bench)
        print(f"undisturbed: final loss {expected!r}", flush=True)
        for number in range(options.trials):
            for fault in options.faults.split(","):
                trials.append(last := trial(bench, fault, on_batch_node=number % 2 == 0, expected=expected))
                same = "same loss" if last.loss_is_equal else "OTHER LOSS"
                seconds = f"{last.to_first_line:6.2f} s {last.to_first_step:6.2f} s"
                print(f"{number + 1:3} {last.fault:10} {last.victim} {seconds} {same}", flush=True)
                if options.out:
                    with options.out.open("a") as file:
                        file.write(json.dumps(asdict(last)) + "\n")
    return trials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--stock", action="store_true", help="without our daemon, by stock Slurm alone")
    parser.add_argument("--name", default="bench")
    parser.add_argument("--user", default="ann")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--out", type=Path, help="write every trial as a line of JSON")
    parser.add_argument("--keep", action="store_true", help="leave the cluster running")
    options = parser.parse_args()
    if options.stock:
        print(line("stock Slurm, kill-node: to the first line", stock(options)))
    else:
        trials = ours_against(options)
        if not report(trials):
            sys.exit("some trial ended with another loss")
    if not options.keep:
        ours("dev", "down", "--name", options.name)


if __name__ == "__main__":
    main()
