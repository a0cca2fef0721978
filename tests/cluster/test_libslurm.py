"""libslurm asked for real: equal to the commands, quick where nothing changed, and never able to end who asks."""

import os
import re
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aistation_slurm.errors import SlurmUnreachable
from aistation_slurm.slurm.readers.libslurm import LibslurmProbe, LibslurmReader, libslurm_worker
from aistation_slurm.slurm.states import JobState
from aistation_slurm.slurm.worker import Worker

pytestmark = [pytest.mark.cluster, pytest.mark.releases]


@pytest.fixture
def worker(station) -> Iterator[Worker]:
    made = libslurm_worker(slurm_conf=station.settings.slurm.conf, bin=station.settings.slurm.bin)
    yield made
    made.close()


@pytest.fixture
def probe(worker) -> LibslurmProbe:
    return LibslurmProbe(worker, timeout=30)


@pytest.fixture
def reader(worker) -> LibslurmReader:
    return LibslurmReader(worker)


@pytest.fixture
def scontrol(station):
    def run(*argv: str) -> str:
        done = station.exec(["scontrol", *argv])
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def settled(probe: LibslurmProbe, what: str, wait_for, *, looks: int = 1) -> int:
    """Return a stamp since which nothing changed at so many looks, one after another."""
    stamps = [probe.changed_since(what, 0)]

    def is_calm() -> bool:
        newer = next(filter(None, (probe.changed_since(what, stamps[-1]) for _ in range(looks))), None)
        stamps.append(newer or stamps[-1])
        return newer is None

    wait_for(is_calm, within=60)
    return stamps[-1]


def test_a_queue_that_did_not_change_says_so_again_and_again_and_a_new_job_shows(probe, ann, wait_for):
    stamp = settled(probe, "jobs", wait_for, looks=50)
    ann.sbatch("sleep 300", "--hold")
    newer = probe.changed_since("jobs", stamp)
    assert newer
    assert newer >= stamp
    settled(probe, "jobs", wait_for)


def test_a_change_in_the_very_second_of_the_answer_is_not_lost(probe, ann, scontrol, wait_for):
    job = ann.sbatch("sleep 300", "--hold")
    settled(probe, "jobs", wait_for)
    for number in range(12):
        scontrol("update", f"JobId={job}", f"Comment={number}")
        stamp = probe.changed_since("jobs", 0)
        scontrol("update", f"JobId={job}", f"Comment={number} again")
        assert probe.changed_since("jobs", stamp), "changed after the answer, and the probe says no"


def test_nodes_and_partitions_have_a_stamp_of_their_own(station, probe, scontrol, wait_for):
    nodes, partitions = (settled(probe, what, wait_for) for what in ("nodes", "partitions"))
    scontrol("update", "NodeName=v100-02", "Comment=for the probe")
    assert probe.changed_since("nodes", nodes)
    scontrol("update", "PartitionName=v100", "MaxNodes=3")
    assert probe.changed_since("partitions", partitions)
    scontrol("update", "PartitionName=v100", "MaxNodes=UNLIMITED")
    scontrol("update", "NodeName=v100-02", "Comment=")


def test_what_libslurm_prints_is_what_scontrol_prints(station, reader, ann, scontrol, wait_for):
    job = ann.sbatch("sleep 300", "--gpus=1")
    wait_for(lambda: station.job(job).state is JobState.RUNNING, within=60)
    scontrol("update", "NodeName=v100-03", "State=DRAIN", "Reason=fan broken | State=IDLE 风扇")
    scontrol("create", "reservation=probed", "StartTime=now+1hour", "Duration=60", "Users=ann", "Nodes=v100-03")
    try:
        for question in sorted(reader.answers):
            wait_for(lambda q=question: getattr(reader, q)() == getattr(station.slurm.read, q)(), within=60)
        node = next(each for each in reader.nodes() if each.name == "v100-03")
        assert (node.reason, node.state.is_draining) == ("fan broken | State=IDLE 风扇", True)
        assert [each.users for each in reader.reservations() if each.name == "probed"] == [("ann",)]
    finally:
        scontrol("delete", "reservation=probed")
        scontrol("update", "NodeName=v100-03", "State=RESUME")


def test_slurmctld_that_hangs_is_unreachable_in_time_and_answers_again_afterwards(station, worker):
    reader, probe = LibslurmReader(worker, timeout=2), LibslurmProbe(worker, timeout=1)
    assert reader.nodes()
    station.fault("hang-slurmctld")
    for ask, limit in ((reader.nodes, "2 s"), (lambda: probe.changed_since("jobs", 1), "1 s")):
        with pytest.raises(SlurmUnreachable, match=f"no answer within {limit}"):
            ask()
    station.heal()
    assert LibslurmReader(worker).nodes()


def test_slurmctld_that_is_dead_is_unreachable(station, reader, probe, wait_for):
    assert reader.nodes()
    station.fault("kill-slurmctld")
    for ask in (reader.nodes, lambda: probe.changed_since("jobs", 1)):
        with pytest.raises(SlurmUnreachable):
            ask()
    station.heal()
    wait_for(reader.nodes, within=60)


def test_a_worker_killed_in_the_middle_of_a_question_is_replaced_and_the_question_answered(station, worker, wait_for):
    reader = LibslurmReader(worker, timeout=120)
    reader.nodes()
    first = worker.pid
    station.fault("hang-slurmctld")
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(reader.nodes)
        wait_for(lambda: waits_for_an_answer(first), within=30)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: worker.pid not in {None, first}, within=30)
        station.heal()
        assert {each.name for each in asked.result(timeout=130)} == {each.name for each in station.slurm.read.nodes()}


def waits_for_an_answer(pid: int) -> bool:
    """True while the process holds a connection to slurmctld."""
    try:
        return any(str(link.readlink()).startswith("socket:") for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # one was closed meanwhile
        return False


def test_without_a_slurm_conf_there_is_an_error_and_no_death(station, tmp_path):
    conf = tmp_path / "etc" / "slurm.conf"
    worker = libslurm_worker(slurm_conf=conf, bin=station.settings.slurm.bin)
    with pytest.raises(SlurmUnreachable, match=r"no such slurm\.conf"):
        LibslurmReader(worker).nodes()
    shutil.copytree(station.settings.slurm.conf.parent, conf.parent)
    assert LibslurmReader(worker).nodes()  # it is looked for anew
    worker.close()


def test_a_slurm_conf_that_changed_is_read_again(station, tmp_path):
    conf = tmp_path / "etc" / "slurm.conf"
    shutil.copytree(station.settings.slurm.conf.parent, conf.parent)
    right = conf.read_text()
    conf.write_text(re.sub(r"^SlurmctldPort=.*$", "SlurmctldPort=9", right, flags=re.MULTILINE))
    worker = libslurm_worker(slurm_conf=conf, bin=station.settings.slurm.bin)
    with pytest.raises(SlurmUnreachable):
        LibslurmReader(worker, timeout=3).nodes()
    conf.write_text(right)
    assert LibslurmReader(worker).nodes()
    first = worker.pid
    conf.write_text(right + "\n")
    assert LibslurmReader(worker).nodes()
    assert worker.pid != first
    worker.close()


def test_a_slurm_conf_that_libslurm_ends_the_process_for_is_an_error_with_its_words(station, tmp_path):
    (tmp_path / "slurm.conf").write_text("ClusterName=\nNonsense=1\n")
    worker = libslurm_worker(slurm_conf=tmp_path / "slurm.conf", bin=station.settings.slurm.bin)
    with pytest.raises(SlurmUnreachable, match=r"libslurm ended \(exit status 1\): .*"):
        LibslurmReader(worker).nodes()
    assert worker.pid is None
    worker.close()


def test_many_threads_ask_at_once(station, reader):
    reader.nodes()
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: len(reader.nodes()), range(40)))
    assert set(found) == {len(station.slurm.read.nodes())}
