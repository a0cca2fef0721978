"""What a job used, the advice, and jobstats' summary of it."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import timedelta

import pytest

from aistation_slurm.jobs.efficiency import Efficiency, advice, efficiency_of
from aistation_slurm.jobs.jobstats import (
    NONE,
    SHORT,
    efficiency_told,
    read_summary,
    summary_of,
    write_summary,
)
from aistation_slurm.slurm.model import Job, JobStep, StepUsage
from aistation_slurm.slurm.states import JobState

HOUR = timedelta(hours=1)


def a_job(**changes: object) -> Job:
    told = {"cpus": 16, "node_count": 1, "tres": {"mem": 65536}, "elapsed": HOUR, "time_limit": 2 * HOUR, **changes}
    return Job(job_id=7, name="t", user="ann", state=JobState.COMPLETED, **told)  # type: ignore[arg-type]


def a_step(step_id: str, *, cpu: timedelta | None, mem: int | None, **tres: int) -> JobStep:
    total = {**({"mem": mem} if mem is not None else {}), **{key.replace("_", "/"): each for key, each in tres.items()}}
    usage = StepUsage(cpu_time=cpu, max_rss=mem, tres_total=total)
    return JobStep(job_id=7, step_id=step_id, name="x", state=JobState.COMPLETED, usage=usage)


def used(**changes: object) -> Efficiency:
    told = {
        "wall": HOUR,
        "time_limit": 1.5 * HOUR,
        "cpus": 4,
        "cpu_time": 3 * HOUR,
        "memory": 4096,
        "memory_used": 3000,
    }
    return Efficiency(**{**told, **changes})  # type: ignore[arg-type]


def test_cpu_time_is_that_of_all_steps_and_memory_that_of_the_script_and_its_largest_step():
    steps = [
        a_step("batch", cpu=timedelta(minutes=6), mem=100),
        a_step("0", cpu=HOUR, mem=2000),
        a_step("1", cpu=HOUR, mem=6000),
        a_step("extern", cpu=timedelta(), mem=1),
    ]
    found = efficiency_of(a_job(), steps)
    assert found.cpus_used == pytest.approx(2.1)
    assert (found.memory_used, found.memory) == (6100, 65536)
    assert found.wall_share == 50


def test_what_was_not_gathered_is_not_taken_for_nothing():
    found = efficiency_of(a_job(), [a_step("0", cpu=None, mem=None)])
    assert (found.cpu_share, found.memory_share, found.gpu_busy) == (None, None, None)
    assert advice(found, JobState.COMPLETED) == ""


def test_another_jobs_steps_are_not_counted():
    assert efficiency_of(a_job(), [JobStep(job_id=8, step_id="0", name="", state=JobState.COMPLETED)]).cpu_time is None


def test_slurms_own_accounting_of_gpus_is_read_where_there_is_one():
    found = efficiency_of(
        a_job(tres={"gres/gpu": 2}), [a_step("0", cpu=HOUR, mem=1, gres_gpuutil=150, gres_gpumem=512)]
    )
    assert (found.gpu_busy, found.gpu_memory_used) == (75.0, 512)


@pytest.mark.parametrize(
    ("changes", "state", "sentence"),
    [
        ({}, JobState.COMPLETED, ""),
        ({"cpus": 16, "cpu_time": 2.1 * HOUR}, JobState.COMPLETED, "used 2.1 of 16 CPUs: ask for 4"),
        ({"cpus": 16, "cpu_time": 2.1 * HOUR, "gpus": 2}, JobState.COMPLETED,
         "used 2.1 of 16 CPUs: ask for 4 (--cpus-per-gpu=2)"),
        ({"cpus": 32, "cpu_time": 4 * HOUR, "nodes": 2}, JobState.COMPLETED,
         "used 4.0 of 32 CPUs: ask for 3 on each node"),
        ({"memory": 65536, "memory_used": 1331}, JobState.COMPLETED,
         "used 1.3 GiB of 64.0 GiB memory: ask for --mem=2G"),
        ({"memory_used": 4000}, JobState.COMPLETED,
         "used 3.9 GiB of 4.0 GiB memory: ask for some more, or it may run out"),
        ({"gpus": 2, "gpu_busy": 3.2}, JobState.COMPLETED,
         "its 2 GPUs were busy 3 % of the time: look for what they wait for, or ask for fewer"),
        ({"gpus": 1, "gpu_busy": 97.0}, JobState.COMPLETED, ""),
        ({"time_limit": 24 * HOUR}, JobState.COMPLETED,
         "ran 1:00:00 of 1 day, 0:00:00: with --time=1:30:00 it may start sooner"),
        ({"time_limit": 24 * HOUR}, JobState.FAILED, ""),
        ({"memory": 2048}, JobState.OUT_OF_MEMORY, "ran out of memory at 2G: ask for more (--mem)"),
        ({}, JobState.TIMEOUT,
         "was ended by its time limit: ask for more, or save checkpoints and let it go on from them"),
        ({"cpus": 16, "wall": timedelta(seconds=20), "cpu_time": timedelta()}, JobState.COMPLETED, ""),
    ],
)  # fmt: skip
def test_the_advice_is_one_sentence_about_the_greatest_waste(changes, state, sentence):
    assert advice(used(**changes), state) == sentence


def test_a_summary_is_what_jobstats_would_write():
    text = write_summary(summary_of(used(nodes=2, cpus=5), ["v100-01", "v100-02"]), wall=HOUR)
    told = json.loads(gzip.decompress(base64.b64decode(text[4:])))
    assert told == {
        "nodes": {
            "v100-01": {"total_memory": 2 << 30, "used_memory": 1500 << 20, "total_time": 6480.0, "cpus": 3},
            "v100-02": {"total_memory": 2 << 30, "used_memory": 1500 << 20, "total_time": 4320.0, "cpus": 2},
        },
        "total_time": 3600,
        "gpus": 0,
    }
    assert text.startswith("JS1:H4sI")
    assert text == write_summary(summary_of(used(nodes=2, cpus=5), ["v100-01", "v100-02"]), wall=HOUR)


def test_what_is_written_is_read_back():
    found = read_summary(write_summary(summary_of(used(), ["v100-01"]), wall=HOUR))
    again = efficiency_told(found, a_job(cpus=4, tres={"mem": 4096}, time_limit=1.5 * HOUR))
    assert again == used()


def test_gpus_that_jobstats_measured_are_told():
    gpu = {
        "gpu_utilization": {"0": 90.0, "1": 10.0},
        "gpu_total_memory": {"0": 8 << 30},
        "gpu_used_memory": {"0": 1 << 30},
    }
    text = json.dumps({"nodes": {"a": {"cpus": 4, **gpu}}, "total_time": 60, "gpus": 2}).encode()
    found = read_summary("JS1:" + base64.b64encode(gzip.compress(text)).decode())
    told = efficiency_told(found, a_job(tres={"gres/gpu": 2}))
    assert (told.gpu_busy, told.gpu_memory, told.gpu_memory_used) == (50.0, 8192, 1024)


def test_a_short_job_and_one_that_nobody_measured_are_said_to_be_so():
    assert write_summary(None, wall=timedelta(seconds=59)) == SHORT
    assert write_summary(None, wall=HOUR) == NONE
    assert summary_of(used(cpu_time=None), ["a"]) is None
    assert read_summary(SHORT) is read_summary(NONE) is None


def packed(data: bytes) -> str:
    return "JS1:" + base64.b64encode(data).decode()


@pytest.mark.parametrize(
    "text", ["", "note of the site", "JS1:", "JS1:H4sI", "js1:h4sia", packed(b"x" * 50), packed(gzip.compress(b"[]")),
             packed(gzip.compress(b"{}")), packed(gzip.compress(b"0" * (50 << 20)))],
)  # fmt: skip
def test_an_admin_comment_that_is_no_summary_tells_nothing(text):
    assert read_summary(text) is None
