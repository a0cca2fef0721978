"""The live view: what it gathers, and that it fits every terminal."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from aistation_slurm import progress
from aistation_slurm.cli.job.top import drawn
from aistation_slurm.errors import SlurmUnreachable
from aistation_slurm.jobs.listing import Wanted
from aistation_slurm.jobs.top import Frame, Looker, sparkline
from aistation_slurm.slurm.model import Job, JobStep, StepUsage
from aistation_slurm.slurm.states import JobState
from tests.unit.watching import NOON, FakeReader, a_job, a_slurm


def a_step(seconds: float, job_id: int = 12) -> JobStep:
    usage = StepUsage(cpu_time=timedelta(seconds=seconds), tres_total={"mem": 2048})
    return JobStep(job_id=job_id, step_id="0", name="", state=JobState.RUNNING, usage=usage)


def running(tmp_path: Path, **known: object) -> Job:
    folder = tmp_path / "train-12"
    folder.mkdir(exist_ok=True)
    for step in range(1, 41):
        progress.report(step, 200, path=folder / progress.FILE, loss=1 / step)
    return a_job(**{
        "work_dir": str(tmp_path), "cpus": 8, "nodes": "v100-[01-02]", "node_count": 2, "elapsed": timedelta(hours=1),
        "tres": {"gres/gpu": 2, "mem": 8192}, **known,
    })  # fmt: skip


def text_of(frame: Frame, width: int, *, everyone: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None)
    console.print(drawn(frame, width, everyone=everyone))
    return out.getvalue()


def test_a_rising_metric_is_a_rising_line():
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8]) == "▁▂▃▄▅▆▇█"
    assert sparkline([1.0] * 5) == "▁▁▁▁▁"
    assert sparkline([1.0]) == sparkline([]) == ""
    assert len(sparkline(list(range(1000)), width=16)) == 16
    assert sparkline([1, float("nan"), float("inf"), 2]) == "▁█"


def test_cpus_are_those_of_the_last_seconds_and_at_first_those_of_the_whole_run(tmp_path):
    reader = FakeReader(held=[running(tmp_path)], steps=[a_step(3600)])
    looker = Looker(a_slurm(reader), Wanted())
    assert looker.look(NOON).rows[0].cpus_now == pytest.approx(1.0)
    reader.steps = [a_step(3660)]
    assert looker.look(NOON + timedelta(seconds=10)).rows[0].cpus_now == pytest.approx(6.0)


def test_while_slurm_is_away_the_last_look_stays_and_says_so(tmp_path):
    class Away(FakeReader):
        is_away = False

        def jobs(self, *, with_over: bool = False) -> list[Job]:
            if self.is_away:
                raise SlurmUnreachable("nobody answers")
            return super().jobs(with_over=with_over)

    reader = Away(held=[running(tmp_path)], steps=[a_step(3600)])
    looker = Looker(a_slurm(reader), Wanted())
    looker.look(NOON)
    reader.is_away = True
    again = looker.look(NOON + timedelta(seconds=2))
    assert (len(again.rows), again.at, again.trouble) == (1, NOON, "nobody answers")
    with pytest.raises(SlurmUnreachable):
        Looker(a_slurm(reader), Wanted()).look(NOON)


@pytest.mark.parametrize("width", [40, 80, 100, 160])
def test_a_frame_fits_the_terminal_whatever_its_width(tmp_path, width):
    waits = a_job(job_id=13, state=JobState.PENDING, reason="Priority", name="a-long-name-" * 3)
    over = a_job(job_id=11, state=JobState.FAILED, end_time=NOON)
    reader = FakeReader(held=[running(tmp_path), waits, over], steps=[a_step(3600)])
    text = text_of(Looker(a_slurm(reader), Wanted()).look(NOON), width)
    assert max(map(len, text.splitlines())) <= width
    assert "1 running on 2 GPUs, 1 waiting" in " ".join(text.split())
    assert "40/200" in text if width > 40 else "12" in text


def test_a_wide_terminal_shows_what_is_used_and_how_the_metric_moves(tmp_path):
    reader = FakeReader(held=[running(tmp_path)], steps=[a_step(3600)])
    text = text_of(Looker(a_slurm(reader), Wanted()).look(NOON), 160, everyone=True)
    assert "1.0/8" in text
    assert "2.0/8.0 G" in text
    assert re.search("█[▁▂▃]+▁ ", text)  # a loss that falls
    assert "loss=0.025" in text
    assert "ann" in text


def test_of_others_jobs_nothing_is_told_of_what_they_use(tmp_path):
    text = text_of(Looker(a_slurm(FakeReader(held=[running(tmp_path)])), Wanted()).look(NOON), 100)
    assert "1.0/8" not in text
    assert "40/200" in text
