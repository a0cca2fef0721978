"""The real Slurm, asked and ordered: what we read is what its own commands say."""

import time
from datetime import timedelta
from pathlib import Path

import pytest

from aistation_slurm.errors import NotPermitted, QuotaExceeded, SlurmRefused, SlurmUnreachable, UnknownToSlurm
from aistation_slurm.slurm.connect import Slurm, connect
from aistation_slurm.slurm.marks import MARK
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.readers.cli import CliReader
from aistation_slurm.slurm.runner import Completed
from aistation_slurm.slurm.states import JobState
from aistation_slurm.slurm.writer import SlurmWriter

pytestmark = pytest.mark.cluster
SLEEP = "#!/bin/sh\nexec sleep 300\n"
NOBODY, NO_JOB = "nobody-has-this-name", 66_000_000


class As:
    """Runs every command as one of the station's users."""

    def __init__(self, station, user: str) -> None:
        self.station = station
        self.user = user

    def run(self, argv: tuple[str, ...], *, stdin: str = "", timeout: float = 30) -> Completed:
        done = self.station.exec(argv, user=self.user, stdin=stdin, timeout=timeout)
        return Completed(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def slurm(station) -> Slurm:
    return station.slurm


@pytest.fixture
def as_ann(station) -> Slurm:
    runner = As(station, "ann")
    return Slurm(read=CliReader(runner), write=SlurmWriter(runner))


@pytest.fixture
def as_eve(station) -> Slurm:
    runner = As(station, "eve")
    return Slurm(read=CliReader(runner), write=SlurmWriter(runner))


@pytest.fixture
def submit(as_ann):
    def sbatch(*options: str, script: str = SLEEP) -> int:
        return as_ann.write.sbatch(script, "-o", "/dev/null", *options, cwd=Path("/tmp"))

    return sbatch


@pytest.fixture
def scontrol(station):
    def run(*words: str) -> str:
        done = station.exec(("scontrol", *words))
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def is_running(slurm: Slurm, job_id: int) -> bool:
    return slurm.read.job(job_id).state is JobState.RUNNING


def test_nodes_and_partitions_are_those_that_scontrol_shows(slurm, scontrol):
    nodes = slurm.read.nodes()
    for node in nodes:
        shown = scontrol("-o", "show", "node", node.name)
        assert f"RealMemory={node.memory} " in shown
        assert f"CPUTot={node.cpus} " in shown
        assert f"NodeAddr={node.address} " in shown
        assert f"gres/gpu={node.gpus}" in shown
    partitions = slurm.read.partitions()
    assert {name for node in nodes for name in node.partitions} <= {each.name for each in partitions}
    assert len(partitions) == scontrol("-a", "-o", "show", "partition").count("PartitionName=")


def test_the_controller_answers_and_tells_its_configuration(slurm):
    assert any(each.is_up for each in slurm.read.controllers())
    assert slurm.write.ping()
    assert slurm.read.config()["AccountingStorageEnforce"]


def test_what_the_cluster_file_made_carries_our_mark(slurm):
    assert any(each.description == MARK for each in slurm.read.qos())
    accounts = {each.name for each in slurm.read.accounts()}
    assert {each.account for each in slurm.read.associations()} <= accounts | {"root"}
    assert "ann" in {each.name for each in slurm.read.users()}


def test_a_job_runs_with_its_gpu_and_is_gone_after_its_cancel(slurm, as_ann, submit, wait_for):
    job_id = submit("-J", "a|b = c\nd", "--comment", "x=1 State=FAILED", "--gres=gpu:1", "-t", "5")
    wait_for(lambda: is_running(slurm, job_id))
    job = slurm.read.job(job_id)
    assert (job.name, job.comment, job.user, job.gpus) == ("a|b = c\nd", "x=1 State=FAILED", "ann", 1)
    node = next(each for each in slurm.read.nodes() if each.name == job.nodes)
    assert node.gpus_allocated >= 1
    assert node.state.is_working
    as_ann.write.scancel(job)
    wait_for(lambda: slurm.read.job(job_id).state.is_over)
    assert slurm.read.job(job_id).state is JobState.CANCELLED
    assert job_id not in {each.job_id for each in slurm.read.jobs()}
    assert job_id in {each.job_id for each in slurm.read.jobs(with_over=True)}
    as_ann.write.scancel(job)


def test_a_held_job_waits_until_it_is_released(slurm, as_ann, submit, wait_for):
    job_id = submit("--hold")
    assert slurm.read.job(job_id).reason == "JobHeldUser"
    as_ann.write.release(job_id)
    wait_for(lambda: is_running(slurm, job_id))
    waiting = submit("--begin=now+1hour")
    as_ann.write.hold(waiting)
    assert slurm.read.job(waiting).priority == 0


def test_the_wait_of_a_requeued_job_is_lifted_a_second_after_its_run_was_ended(slurm, as_ann, submit, wait_for):
    job_id = submit("--requeue")
    wait_for(lambda: is_running(slurm, job_id))
    as_ann.write.requeue(job_id)
    wait_for(lambda: slurm.read.job(job_id).reason == "BeginTime")
    time.sleep(1.2)
    slurm.write.update_job(job_id, start_now=True)
    wait_for(lambda: is_running(slurm, job_id))
    time.sleep(0.5)
    job = slurm.read.job(job_id)
    assert (job.state, job.restart_count) == (JobState.RUNNING, 1)


def test_history_has_a_row_for_each_run_of_a_requeued_job(slurm, as_ann, submit, wait_for):
    job_id = submit("--requeue")
    wait_for(lambda: is_running(slurm, job_id))
    as_ann.write.requeue(job_id)

    def runs() -> list[Job]:
        return slurm.read.history(job_ids=(job_id,), duplicates=True)

    wait_for(lambda: JobState.REQUEUED in {run.state for run in runs()})
    assert {run.job_id for run in runs()} == {job_id}


def test_more_cpus_than_the_quota_are_refused_as_quota(as_ann):
    with pytest.raises(QuotaExceeded, match="Cpu"):
        as_ann.write.sbatch(SLEEP, "-N3", "--ntasks-per-node=8", "-o", "/dev/null", cwd=Path("/tmp"))


def test_what_does_not_exist_is_unknown(slurm, as_ann):
    with pytest.raises(UnknownToSlurm, match=str(NO_JOB)):
        slurm.read.job(NO_JOB)
    for order in (slurm.write.requeue, slurm.write.hold, slurm.write.release):
        with pytest.raises(UnknownToSlurm):
            order(NO_JOB)
    with pytest.raises(UnknownToSlurm):
        slurm.write.update_job(NO_JOB, priority=1)
    with pytest.raises(UnknownToSlurm):
        slurm.write.down_node(NOBODY, "aistation: a test")
    for option in ("-p", "-A", "-q"):
        with pytest.raises(UnknownToSlurm):
            as_ann.write.sbatch(SLEEP, option, NOBODY)
    with pytest.raises(UnknownToSlurm):
        slurm.write.sacctmgr("add", "user", "ann", f"account={NOBODY}")


def test_another_user_s_job_may_not_be_touched(slurm, as_eve, submit):
    job_id = submit("--begin=now+1hour")
    job = slurm.read.job(job_id)
    for order in (
        lambda: as_eve.write.scancel(job),
        lambda: as_eve.write.hold(job_id),
        lambda: as_eve.write.update_job(job_id, time_limit=timedelta(minutes=1)),
        lambda: as_eve.write.sacctmgr("add", "account", NOBODY),
        as_eve.write.reconfigure,
    ):
        with pytest.raises(NotPermitted):
            order()


def test_a_node_that_we_drained_comes_back_and_another_s_does_not(station, slurm, scontrol):
    name = slurm.read.nodes()[-1].name

    def node():
        return station.node(name)

    slurm.write.drain_node(name, "aistation: a test of draining")
    assert node().state.is_drained
    assert (node().reason, node().reason_user) == ("aistation: a test of draining", "root")
    assert slurm.write.resume_node(node())
    assert not node().state.is_draining
    scontrol("update", f"NodeName={name}", "State=DRAIN", "Reason=the site's own")
    assert not slurm.write.resume_node(node())
    assert node().state.is_draining
    scontrol("update", f"NodeName={name}", "State=RESUME")


def test_what_is_so_already_in_slurmdbd_is_no_error(slurm):
    try:
        slurm.write.sacctmgr("add", "qos", "of-a-test", f"description={MARK}")
        slurm.write.sacctmgr("add", "qos", "of-a-test", f"description={MARK}")
        assert "of-a-test" in {each.name for each in slurm.read.qos()}
    finally:
        slurm.write.sacctmgr("delete", "qos", "of-a-test")
    slurm.write.sacctmgr("delete", "qos", "of-a-test")
    assert "of-a-test" not in {each.name for each in slurm.read.qos()}


def test_a_trial_submits_nothing(slurm, as_ann):
    before = {each.job_id for each in slurm.read.jobs(with_over=True)}
    assert "to start at" in as_ann.write.sbatch_test(SLEEP)
    assert {each.job_id for each in slurm.read.jobs(with_over=True)} == before


def test_a_slurm_that_is_not_there_is_unreachable_within_its_time(tmp_path, station):
    lines = Path(station.env()["SLURM_CONF"]).read_text().splitlines()
    elsewhere = [line for line in lines if not line.startswith(("SlurmctldPort=", "Include"))]
    away = tmp_path / "slurm.conf"
    away.write_text("\n".join([*elsewhere, "SlurmctldPort=1", "MessageTimeout=2", ""]))
    begin = time.monotonic()
    with pytest.raises(SlurmUnreachable):
        connect(station.settings.slurm.model_copy(update={"conf": away})).read.nodes()
    assert time.monotonic() - begin < 35


def test_a_script_that_slurm_can_t_take_is_refused(as_ann):
    with pytest.raises(SlurmRefused, match="batch script"):
        as_ann.write.sbatch("this is no script\n")
