"""The real slurmrestd, and what becomes of a question while it, or a daemon behind it, is dead or frozen."""

import signal
import time
from collections.abc import Callable, Iterator

import pytest

from aistation_slurm.devcluster.instance import bring_up
from aistation_slurm.devcluster.processes import signal_all
from aistation_slurm.errors import SlurmError, SlurmUnreachable, UnknownToSlurm
from aistation_slurm.slurm.readers.rest import RestReader

pytestmark = pytest.mark.cluster
SOON, GENEROUS = 2.0, 30.0
"""Seconds that a question is given, and after which it is held to hang."""


@pytest.fixture
def reader(station) -> RestReader:
    return RestReader(station.cluster.paths.run / "slurmrestd" / "slurmrestd.socket")


@pytest.fixture
def hurried(station, wait_for) -> RestReader:
    reader = RestReader(station.cluster.paths.run / "slurmrestd" / "slurmrestd.socket", timeout=SOON)
    wait_for(lambda: reader.answers)
    return reader


@pytest.fixture
def slurmrestd(station) -> Iterator[Callable[[signal.Signals], None]]:
    """Send a signal to slurmrestd; it runs again after the test."""

    def send(number: signal.Signals) -> None:
        assert signal_all([station.cluster.running()["slurmrestd"]], number)

    yield send
    if process := station.cluster.running().get("slurmrestd"):
        signal_all([process], signal.SIGCONT)
    bring_up(station.cluster, [each for each in station.cluster.services() if each.name == "slurmrestd"])


def in_time(what: Callable[[], object]) -> SlurmError:
    """What is raised, if that is within a generous time."""
    begin = time.monotonic()
    with pytest.raises(SlurmError) as raised:
        what()
    assert time.monotonic() - begin < GENEROUS
    return raised.value


def test_a_dead_slurmrestd_is_unreachable_and_asked_again_once_it_is_back(
    station, reader, hurried, slurmrestd, wait_for
):
    nodes = reader.nodes()
    slurmrestd(signal.SIGKILL)
    wait_for(lambda: "slurmrestd" not in station.cluster.running())
    assert isinstance(in_time(hurried.nodes), SlurmUnreachable)
    bring_up(station.cluster, [each for each in station.cluster.services() if each.name == "slurmrestd"])
    assert [each.name for each in wait_for(hurried.nodes)] == [each.name for each in nodes]


def test_a_frozen_slurmrestd_is_unreachable_in_time(hurried, slurmrestd, wait_for):
    slurmrestd(signal.SIGSTOP)
    error = in_time(hurried.jobs)
    assert isinstance(error, SlurmUnreachable)
    assert "within 2 s" in str(error)
    slurmrestd(signal.SIGCONT)
    assert wait_for(hurried.nodes)


@pytest.mark.parametrize("fault", ["kill-slurmctld", "hang-slurmctld"])
def test_a_slurmctld_that_is_away_is_unreachable_in_time(station, reader, hurried, fault, wait_for):
    stamp = reader.changed_since("jobs", 0)
    station.fault(fault)
    for question in (hurried.jobs, hurried.nodes, hurried.diag, lambda: hurried.changed_since("jobs", stamp)):
        assert isinstance(in_time(question), SlurmUnreachable)
    # slurmdbd is there; on two cores slurmrestd has threads for a few questions only, and these still wait.
    assert len(wait_for(hurried.tres, within=90)) > 4
    station.heal()
    assert wait_for(hurried.nodes, within=90)


def test_a_dead_slurmctld_is_told_and_no_error_where_that_is_declared(station, reader):
    if "controllers" not in reader.answers:
        pytest.skip("this slurmrestd asks slurmctld itself for the hosts that it pings")
    station.fault("kill-slurmctld")
    assert [(each.is_up, each.is_primary) for each in reader.controllers()] == [(False, True)]


def test_a_slurmdbd_that_is_away_is_unreachable_and_slurmctld_is_not(station, hurried, wait_for):
    station.fault("kill-slurmdbd")
    wait_for(lambda: "slurmdbd" not in station.cluster.running())
    assert isinstance(in_time(hurried.tres), SlurmUnreachable)
    assert wait_for(hurried.nodes)
    station.heal()
    assert wait_for(hurried.tres)


def test_a_job_that_slurmctld_forgot_is_unknown_and_slurmdbd_away_does_not_hide_that(station, reader):
    if "job" not in reader.answers:
        pytest.skip("this slurmrestd tells no history")
    assert isinstance(in_time(lambda: reader.job(66_000_000)), UnknownToSlurm)
    station.fault("kill-slurmdbd")
    assert isinstance(in_time(lambda: reader.job(66_000_000)), UnknownToSlurm)


def quiet(reader: RestReader, what: str) -> int | None:
    """The stamp of a moment since which nothing changed."""
    stamp = reader.changed_since(what, 0)
    return stamp if reader.changed_since(what, stamp) is None else None


def test_a_new_job_is_a_change_and_nothing_new_is_none(station, reader, ann, wait_for):
    stamp = wait_for(lambda: quiet(reader, "jobs"), within=90)
    assert reader.changed_since("jobs", stamp) is None
    job_id = ann.sbatch("true", "--hold")
    changed = reader.changed_since("jobs", stamp)
    assert changed >= stamp
    assert job_id in {each.job_id for each in reader.jobs()}
    later = wait_for(lambda: quiet(reader, "jobs"), within=90)
    station.exec(["scancel", str(job_id)])
    assert reader.changed_since("jobs", later) is not None


def test_a_drained_node_and_a_closed_partition_are_changes_of_their_own(station, reader, wait_for):
    stamp = wait_for(lambda: quiet(reader, "nodes"), within=90)
    station.exec(["scontrol", "update", "nodename=v100-03", "state=drain", "reason=aistation: a test"])
    assert reader.changed_since("nodes", stamp) is not None
    stamp = wait_for(lambda: quiet(reader, "partitions"), within=90)
    station.exec(["scontrol", "update", "partitionname=dev", "state=down"])
    assert reader.changed_since("partitions", stamp) is not None
    station.exec(["scontrol", "update", "partitionname=dev", "state=up"])
    station.exec(["scontrol", "update", "nodename=v100-03", "state=resume"])
    wait_for(lambda: station.node("v100-03").state.is_usable)
