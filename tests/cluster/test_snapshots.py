"""One snapshot for many who ask, on the real Slurm: counts, ages, and what is said while slurmctld is away."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from aistation_slurm.slurm.connect import Slurm, connect
from aistation_slurm.slurm.filled import Filled
from aistation_slurm.slurm.reader import QUESTIONS
from aistation_slurm.slurm.readers.cli import CliReader
from aistation_slurm.slurm.runner import LocalRunner
from aistation_slurm.slurm.snapshots import PERIOD, SnapshotReader

pytestmark = [pytest.mark.cluster, pytest.mark.releases]
SECONDS = 5.0


def count(slurm: Slurm, name: str) -> int:
    return next((each.count for each in slurm.read.diag().rpcs if each.name == name), 0)


def now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def snapshots_of(slurm: Slurm, *, conditional: bool = False) -> Iterator[SnapshotReader]:
    reader = SnapshotReader(slurm.read, slurm.conditional if conditional else None, patience=30)
    try:
        yield reader
    finally:
        reader.close()


def asked_by(station, readers: int) -> tuple[int, int, float]:
    """Return how many dumps of the jobs so many readers caused, the answers that they had, and the seconds."""
    answers: list[int] = []
    over = threading.Event()

    def ask(reader: SnapshotReader) -> None:
        while not over.is_set():
            reader.jobs()
            reader.nodes()
            answers.append(len(reader.partitions()))
            over.wait(0.05)

    with snapshots_of(station.slurm) as reader:
        before, began = count(station.slurm, "REQUEST_JOB_INFO"), time.monotonic()
        threads = [threading.Thread(target=ask, args=(reader,)) for _ in range(readers)]
        for thread in threads:
            thread.start()
        time.sleep(SECONDS)
        over.set()
        for thread in threads:
            thread.join(60)
        dumps = count(station.slurm, "REQUEST_JOB_INFO") - before
        return dumps, len(answers), time.monotonic() - began


def test_two_hundred_readers_cost_slurmctld_no_more_than_one(station):
    with station.without("daemon"):
        for readers in (1, 200):
            dumps, answers, took = asked_by(station, readers)
            assert answers >= readers
            assert 1 <= dumps <= took / PERIOD.total_seconds() + 1, f"{readers} readers"


def test_what_did_not_change_is_not_loaded_again_and_a_new_job_is_seen(station, ann, wait_for):
    if station.slurm.conditional is None:
        pytest.fail("nothing here can tell whether anything changed")
    with snapshots_of(station.slurm, conditional=True) as reader:
        looks = [reader.current()]

        def is_confirmed() -> bool:
            looks.append(reader.current())
            before, after = looks[-2:]
            return after.taken_at != before.taken_at and after.jobs is before.jobs

        wait_for(is_confirmed, within=120)
        job = ann.sbatch("sleep 300", "--hold")
        wait_for(lambda: job in {each.job_id for each in reader.jobs()}, within=60)


def test_while_slurmctld_is_away_the_last_snapshot_is_served_and_marked(station, ann, wait_for):
    job = ann.sbatch("sleep 300", "--hold")
    quick = replace(station.slurm, read=_impatient(station))
    with snapshots_of(quick, conditional=True) as reader:
        wait_for(lambda: job in {each.job_id for each in reader.jobs()}, within=60)
        station.fault("hang-slurmctld")
        wait_for(lambda: reader.current().is_stale(now()), within=60)
        assert job in {each.job_id for each in reader.jobs()}
        assert reader.current().problem
        station.heal()
        wait_for(lambda: not reader.current().is_stale(now()), within=120)


def _impatient(station) -> CliReader:
    return CliReader(LocalRunner(slurm_conf=station.settings.slurm.conf, bin=station.settings.slurm.bin), timeout=5)


@pytest.mark.parametrize("name", ["libslurm", "rest"])
def test_a_reader_that_the_settings_name_is_filled_with_the_commands(station, name):
    slurm = connect(station.settings.slurm.model_copy(update={"reader": name}))
    assert isinstance(slurm.read, Filled)
    assert slurm.choice.reader == slurm.read.name == name
    assert slurm.read.answers == QUESTIONS
    assert {each.name for each in slurm.read.nodes()} == {each.name for each in station.slurm.read.nodes()}
    assert slurm.read.loaded_qos() == station.slurm.read.loaded_qos()


@pytest.mark.parametrize("name", ["libslurm", "rest"])
def test_a_snapshot_by_any_reader_is_the_same(station, ann, wait_for, name):
    job = ann.sbatch("sleep 300", "--hold")
    slurm = connect(station.settings.slurm.model_copy(update={"reader": name}))
    with snapshots_of(slurm, conditional=True) as reader:
        wait_for(lambda: job in {each.job_id for each in reader.jobs()}, within=60)
        seen = reader.current()
    assert [each.name for each in seen.partitions] == [each.name for each in station.slurm.read.partitions()]


def test_the_doctor_says_who_asks_and_what_each_leaves_to_the_commands(station):
    done = station.exec([sys.executable, "-m", "aistation_slurm", "doctor", "--json"])
    said = json.loads(done.stdout)
    assert said["choice"]["reader"] in {"cli", "libslurm"}
    assert said["choice"]["why"]
    readers = {each["name"]: each for each in said["readers"]}
    assert {name for name, each in readers.items() if each["is_usable"]} == {"cli", "libslurm", "rest"}
    assert readers["cli"]["leaves_to_cli"] == []
    assert "loaded_qos" in readers["rest"]["leaves_to_cli"]


def test_the_table_of_readers_says_what_each_answers_here(station):
    from aistation_slurm.slurm.connect import ways_here
    from aistation_slurm.slurm.coverage import declared

    release = ".".join(station.slurm.read.config()["SLURM_VERSION"].split(".")[:2])
    ways = {way.name: way for way in ways_here(station.settings.slurm)}
    with_pyslurm = "with pyslurm" in ways["libslurm"].why
    assert {name: way.answers for name, way in ways.items()} == declared(release, with_pyslurm=with_pyslurm)
