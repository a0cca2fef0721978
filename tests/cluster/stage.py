"""What is made on a real Slurm before it is asked: jobs in every state, limits, reservations, a node set aside.

`on_stage(station)` makes it and takes it down again; `Stage` says what was made.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aistation_slurm.slurm.commands import full_hour
from aistation_slurm.slurm.readers.cli import CliReader
from aistation_slurm.slurm.runner import LocalRunner
from aistation_slurm.slurm.states import JobState

NAME = "stage|a = b State=FAILED\nJobId=1 'q\" 你好"
COMMENT = "x=1 | y\n State=DOWN"
ADMIN_COMMENT = "JS1:H4sI=|x y\nz"
TWO_STEPS = 'srun --overlap -n1 -J "$SLURM_JOB_NAME" sleep 600 & srun --overlap -n1 sleep 600; wait'
REASON = "site: fan broken State=IDLE | see ticket=7"
ABOVE, ACCOUNT, QOS, KEPT, LATER = "stage-above", "stage-team", "stage-qos", "stage-kept", "stage-later"
DRAINED, RUNS_ON = "v100-03", "v100-01"
LIMITS = (
    "GrpTRES=cpu=100,gres/gpu=20,mem=200G", "GrpJobs=30", "GrpSubmitJobs=40", "MaxTRES=cpu=6,mem=8G",
    "MaxTRESPerNode=cpu=7", "MaxTRESPerUser=gres/gpu=8", "MaxTRESPerAccount=gres/gpu=9,gres/gpu:v100=5",
    "MaxJobsPerUser=10", "MaxSubmitJobsPerUser=20", "MaxJobsPerAccount=11", "MaxSubmitJobsPerAccount=21",
    "MaxWall=1-02:03:00",
)  # fmt: skip
USED = {"cpu": 7200, "mem": 3_600_000, "gres/gpu": 3600}
"""What the database says of ann in the team: seconds, of memory MiB times seconds."""


@dataclass
class Stage:
    """What was made, by the id of each job."""

    station: Any
    jobs: dict[str, int] = field(default_factory=dict)
    hour: datetime = field(default_factory=lambda: full_hour(datetime.now(UTC)) - timedelta(hours=5))
    """The hour in which the database says that something was used."""

    @property
    def member(self) -> int:
        """The id of the array's member that runs."""
        return next(each.job_id for each in self.cli.jobs()
                    if each.array_job_id == self.jobs["array"] and each.state is JobState.RUNNING)  # fmt: skip

    @property
    def cli(self) -> CliReader:
        """Slurm's own commands."""
        slurm = self.station.settings.slurm
        return CliReader(LocalRunner(slurm_conf=slurm.conf, bin=slurm.bin))

    def run(self, *argv: str) -> str:
        """Return what the command prints; run by root."""
        done = self.station.exec(argv)
        assert done.returncode == 0, f"{argv}: {done.stdout} {done.stderr}"
        return done.stdout

    def submit(self, what: str, *options: str, script: str = "sleep 600") -> int:
        """Submit a job of ann under this name and remember it."""
        self.jobs[what] = self.station.user("ann").sbatch(script, "-o", "/dev/null", "-t", "30", *options)
        return self.jobs[what]

    def sql(self, text: str) -> None:
        """Run SQL in slurmdbd's database."""
        paths = self.station.cluster.paths
        socket = paths.run / "mysql" / "mysql.sock"
        argv = ("mariadb", "--no-defaults", f"--socket={socket}", "slurm_acct_db")
        subprocess.run(argv, input=text, text=True, check=True, capture_output=True, timeout=60)


@contextlib.contextmanager
def on_stage(station: Any) -> Iterator[Stage]:
    """A stage that is whole: each job is where it belongs, and slurmdbd knows of it."""
    stage = Stage(station)
    try:
        _accounting(stage)
        _nodes(stage)
        _jobs(stage)
        _database(stage)
        _until(stage)
        yield stage
    finally:
        _take_down(stage)


def _accounting(stage: Stage) -> None:
    run = stage.run
    run("sacctmgr", "-i", "add", "account", ABOVE, "parent=root", "description=Above | all = 1")
    run("sacctmgr", "-i", "add", "account", ACCOUNT, f"parent={ABOVE}", "fairshare=7", "description=of the stage",
        "GrpTRES=gres/gpu=1", "GrpJobs=6", "GrpSubmitJobs=60", "MaxJobs=4", "MaxSubmitJobs=44", "MaxWall=10:00:00",
        "MaxTRES=cpu=7", "MaxTRESPerNode=cpu=5")  # fmt: skip
    run("sacctmgr", "-i", "add", "user", "ann", f"account={ACCOUNT}", "fairshare=parent")
    run("sacctmgr", "-i", "add", "user", "eve", f"account={ACCOUNT}", "partition=v100", "MaxJobs=3", "fairshare=2")
    run("sacctmgr", "-i", "add", "coordinator", f"account={ACCOUNT}", "name=bob")
    run("sacctmgr", "-i", "add", "qos", QOS, "description=every limit | of all = 1", "priority=5", "GraceTime=90",
        "Preempt=normal", "PreemptMode=requeue", "Flags=DenyOnLimit,NoReserve", "UsageFactor=0.5", *LIMITS)  # fmt: skip


def _nodes(stage: Stage) -> None:
    stage.run("scontrol", "update", f"NodeName={RUNS_ON}", "AvailableFeatures=quick,big", "ActiveFeatures=quick,big")
    stage.run("scontrol", "update", f"NodeName={DRAINED}", "State=DRAIN", f"Reason={REASON}")
    stage.run("scontrol", "update", f"NodeName={DRAINED}", "Comment=hello State=DOWN")
    stage.run("scontrol", "create", "reservation", f"ReservationName={KEPT}", "StartTime=now", "Duration=120",
              "Users=ann,bob", f"Nodes={DRAINED}", "Flags=IGNORE_JOBS,MAINT")  # fmt: skip
    stage.run("scontrol", "create", "reservation", f"ReservationName={LATER}", "StartTime=now+2days", "Duration=60",
              "Accounts=behavior,face", "Nodes=v100-02", "Flags=DAILY,FLEX")  # fmt: skip


def _jobs(stage: Stage) -> None:
    submit = stage.submit
    submit("het", "-n1", ":", "-n2", script="srun --het-group=0,1 sleep 600")
    submit("completed", script="exit 0")
    submit("failed", script="exit 3")
    submit("killed", script="kill -9 $$")
    submit("requeued", "--requeue")
    submit("cancelled")
    submit("running", "-J", NAME, "--comment", COMMENT, "--gres=gpu:1", "-C", "quick", "--nice=3",
           script=TWO_STEPS)  # fmt: skip
    submit("team", "-A", ACCOUNT, "--gres=gpu:1")
    submit("over the limit", "-A", ACCOUNT, "--gres=gpu:1")
    submit("array", "-a", "1-4%1", "-J", "stage-array")
    submit("held", "--hold", "-J", "stage-held", "-C", "quick", "--prefer=big", "--gres=gpu:v100:2", "-N1", "-n2")
    submit("reserved", "--hold", f"--reservation={LATER}")
    submit("later", "--begin=now+1hour")
    submit("dependent", f"--dependency=afterok:{stage.jobs['running']}")
    stage.run("scontrol", "update", f"JobId={stage.jobs['running']}", f"AdminComment={ADMIN_COMMENT}")


def _database(stage: Stage) -> None:
    """Let the database hold what slurmdbd would have summed up of an hour that is long over."""
    cluster, start = stage.cli.config()["ClusterName"], int(stage.hour.timestamp())
    ids = {str(each): each.tres_id for each in stage.cli.tres()}
    lines = []
    for name, seconds in USED.items():
        lines.append(
            f"INSERT INTO `{cluster}_usage_hour_table` (creation_time, mod_time, id_tres, time_start, count,"
            f" alloc_secs) VALUES ({start}, {start}, {ids[name]}, {start}, 100, {seconds});"
        )
        lines.append(
            f"INSERT INTO `{cluster}_assoc_usage_hour_table` (creation_time, mod_time, id, id_tres, time_start,"
            f" alloc_secs) SELECT {start}, {start}, id_assoc, {ids[name]}, {start}, {seconds} FROM"
            f" `{cluster}_assoc_table` WHERE acct IN ('{ACCOUNT}', '{ABOVE}') AND user IN ('', 'ann') AND deleted=0;"
        )
    stage.sql("\n".join(lines))


def _until(stage: Stage) -> None:
    """Wait until each job is where it belongs, in slurmctld and in slurmdbd."""
    cli, jobs = stage.cli, stage.jobs
    _wait(lambda: _is_het_running(stage), "the heterogeneous job")
    _wait(lambda: cli.job(jobs["requeued"]).state is JobState.RUNNING)
    stage.run("scontrol", "requeue", str(jobs["requeued"]))
    _wait(lambda: cli.job(jobs["cancelled"]).state is JobState.RUNNING)
    stage.run("scancel", str(jobs["cancelled"]))
    over = {"completed": JobState.COMPLETED, "failed": JobState.FAILED, "killed": JobState.FAILED,
            "cancelled": JobState.CANCELLED}  # fmt: skip
    for what, state in over.items():
        _wait(lambda what=what, state=state: _remembered(cli, jobs[what]) is state, what)
        _wait(lambda what=what: cli.job(jobs[what]).state.is_over, what)
    _wait(lambda: any(each.array_job_id == jobs["array"] and each.state.is_running for each in cli.jobs()))
    _wait(lambda: any(each.array_task == "1" for each in cli.history(job_ids=(jobs["array"],))), "array's member")
    for what in ("running", "team", "het"):
        _wait(lambda what=what: _remembered(cli, jobs[what]) is JobState.RUNNING, what)
    _wait(lambda: {each.step_id for each in cli.steps() if each.job_id == jobs["running"]} >= {"0", "1", "batch"})
    _wait(lambda: len([each for each in cli.steps() if each.job_id in {jobs["het"], jobs["het"] + 1}]) >= 3)
    _wait(lambda: "batch" in {each.step_id for each in cli.steps() if each.job_id == stage.member}, "array's step")
    _wait(lambda: cli.job(jobs["over the limit"]).reason.startswith("AssocGrp"))
    _wait(lambda: cli.job(jobs["requeued"]).reason == "BeginTime")
    _wait(lambda: cli.job(jobs["dependent"]).reason == "Dependency")


def _is_het_running(stage: Stage) -> bool:
    """Only backfill starts a heterogeneous job, and it looks again only once something has changed."""
    if stage.cli.job(stage.jobs["het"]).state is JobState.RUNNING:
        return True
    stage.run("scontrol", "update", f"JobId={stage.jobs['held']}", "Nice=1")
    return False


def _remembered(cli: CliReader, job_id: int) -> JobState | None:
    return next((each.state for each in cli.history(job_ids=(job_id,)) if each.job_id == job_id), None)


def _wait(is_so: Callable[[], object], what: str = "", within: float = 120) -> None:
    give_up = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < give_up, f"the stage is not whole: {what or is_so}"
        time.sleep(0.2)


def _take_down(stage: Stage) -> None:
    """Leave the cluster as it was; what was never made is no fault."""
    station = stage.station
    station.cancel_all()
    for name in (KEPT, LATER):
        station.exec(("scontrol", "delete", f"ReservationName={name}"))
    station.exec(("scontrol", "update", f"NodeName={DRAINED}", "State=RESUME"))
    station.exec(("scontrol", "update", f"NodeName={DRAINED}", "Comment="))
    station.exec(("scontrol", "update", f"NodeName={RUNS_ON}", "AvailableFeatures=", "ActiveFeatures="))
    users = (("user", each, f"account={ACCOUNT}") for each in ("ann", "eve"))
    for words in (*users, ("account", ACCOUNT), ("account", ABOVE), ("qos", QOS)):
        station.exec(("sacctmgr", "-i", "delete", words[0], f"name={words[1]}", *words[2:]))
    cluster, start = stage.cli.config()["ClusterName"], int(stage.hour.timestamp())
    for table in ("usage_hour_table", "assoc_usage_hour_table"):
        stage.sql(f"DELETE FROM `{cluster}_{table}` WHERE creation_time={start};")
