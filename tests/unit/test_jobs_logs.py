"""A log read and followed: nothing is missed, nothing comes twice."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aistation_slurm.errors import RequestError
from aistation_slurm.jobs import logs
from aistation_slurm.jobs.growing import GrowingFile
from aistation_slurm.jobs.logs import Look, follow_log, read_log
from aistation_slurm.jobs.named import JobName
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState
from tests.unit.watching import FakeReader, a_job, a_member, a_slurm

JOB = JobName(12)
RUNNING, PENDING, DONE = JobState.RUNNING, JobState.PENDING, JobState.COMPLETED
RUN = "aistation: run {} of job 12 on v100-01 at 1.000\n"


@pytest.fixture(autouse=True)
def asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_ASK_SECONDS", 0)


def text_of(reader: FakeReader, name: JobName = JOB, **look: Any) -> str:
    return "".join(read_log(a_slurm(reader), name, Look(**look)))


def a_log(tmp_path: Path, text: str | bytes) -> FakeReader:
    path = tmp_path / "x.log"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return FakeReader(held=[a_job(stdout=str(path))])


def followed(reader: FakeReader, acts: Iterator[Callable[[], object]], name: JobName = JOB, **look: Any) -> str:
    """Follow, while one act after the other happens between the looks."""

    def sleep(_: float) -> None:
        next(acts, lambda: None)()

    return "".join(follow_log(a_slurm(reader), name, Look(**look), sleep=sleep))


def looks(log: Path, *states: JobState) -> list[Job]:
    return [a_job(stdout=str(log), state=state) for state in states]


def appending(log: Path, *texts: str | bytes) -> Iterator[Callable[[], object]]:
    def append(text: str | bytes) -> None:
        with log.open("ab") as file:
            file.write(text if isinstance(text, bytes) else text.encode())

    for each in texts:
        yield lambda text=each: append(text)  # type: ignore[misc]


def test_a_log_is_printed_from_its_beginning_or_its_end(tmp_path):
    reader = a_log(tmp_path, b"one\ntwo\nthree \xff\n")
    assert text_of(reader) == "one\ntwo\nthree \ufffd\n"
    assert text_of(reader, tail=1) == "three \ufffd\n"
    assert text_of(reader, tail=0) == ""
    assert text_of(reader, tail=9) == "one\ntwo\nthree \ufffd\n"


def test_the_last_lines_of_a_long_log_are_found_from_its_end(tmp_path):
    lines = [f"line {number} {'x' * (number % 97)}\n" for number in range(20_000)]
    reader = a_log(tmp_path, "".join(lines))
    for count in (1, 2, 1000, 5000):
        assert text_of(reader, tail=count) == "".join(lines[-count:])


def test_a_last_line_without_an_end_is_a_line(tmp_path):
    assert text_of(a_log(tmp_path, "one\ntwo"), tail=1) == "two"
    assert text_of(a_log(tmp_path, "one\ntwo"), pattern=re.compile("two")) == "two\n"


def test_only_what_the_last_run_printed_is_told_on_request(tmp_path):
    reader = a_log(tmp_path, RUN.format(0) + "a\n" * 50_000 + RUN.format(1) + "b\n" + RUN.format(2) + "c\nd\n")
    assert text_of(reader, since_restart=True) == RUN.format(2) + "c\nd\n"
    assert text_of(reader, since_restart=True, tail=1) == "d\n"
    assert text_of(a_log(tmp_path, "no line of ours\n"), since_restart=True) == "no line of ours\n"


def test_only_lines_with_a_pattern_are_told_on_request(tmp_path):
    reader = a_log(tmp_path, "step 1 loss 2\nnote\nstep 2 loss 1\n")
    assert text_of(reader, pattern=re.compile(r"loss \d")) == "step 1 loss 2\nstep 2 loss 1\n"


@pytest.mark.parametrize(("stdout", "complaint"), [("", "no longer knows"), ("/nowhere/x.log", "no such log")])
def test_a_log_that_is_not_there_is_said(stdout, complaint):
    with pytest.raises(RequestError, match=complaint):
        text_of(FakeReader(held=[a_job(stdout=stdout)]))


def test_a_pipe_in_the_place_of_a_log_is_not_waited_for(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RequestError, match="no plain file"):
        text_of(FakeReader(held=[a_job(stdout=str(tmp_path / "pipe"))]))


def test_what_goes_to_a_stderr_of_its_own_is_told_too(tmp_path):
    (tmp_path / "e-12").write_text("oops\n")
    reader = a_log(tmp_path, "fine\n")
    reader.stderr = str(tmp_path / "e-%j")
    assert text_of(reader) == "fine\noops\n"
    assert text_of(reader, only_stderr=True) == "oops\n"
    reader.stderr = str(tmp_path / "x.log")
    assert text_of(reader) == "fine\n"


def test_the_members_of_an_array_are_told_apart_by_their_ids(tmp_path):
    for task in (0, 1):
        (tmp_path / f"{task}").write_text(f"hello\nfrom {task}\n")
    members = [a_member(str(task), stdout=str(tmp_path / str(task))) for task in (0, 1)]
    reader = FakeReader(held=[*members, a_member("[2-9]", job_id=100, state=PENDING)])
    assert text_of(reader, JobName(100)) == "100_0: hello\n100_0: from 0\n100_1: hello\n100_1: from 1\n"
    assert text_of(reader, JobName(100, task=1)) == "hello\nfrom 1\n"


@pytest.mark.parametrize("name", [JobName(20), JobName(20, offset=0), JobName(20, offset=1)])
def test_a_heterogeneous_job_has_the_log_of_its_first_part(tmp_path, name):
    (tmp_path / "log").write_text("het\n")
    parts = [
        a_job(
            job_id=20 + offset, het_job_id=20, het_offset=offset, stdout=str(tmp_path / ("log" if not offset else "x"))
        )
        for offset in (0, 1)
    ]
    assert text_of(FakeReader(held=parts), name) == "het\n"


def test_a_log_is_followed_from_before_it_is_there_through_a_requeue_to_the_end(tmp_path):
    log = tmp_path / "x.log"
    reader = FakeReader(looks=looks(log, PENDING, PENDING, RUNNING, RUNNING, PENDING, PENDING, RUNNING, RUNNING, DONE))
    told = followed(reader, appending(log, "run 0\n", "step 1\nst", "ep 2\n", "", "run 1\n", "step 2\n", "end"))
    assert told == "run 0\nstep 1\nstep 2\nrun 1\nstep 2\nend"


def test_what_is_printed_between_the_last_look_and_the_news_of_the_end_is_not_missed(tmp_path):
    log = tmp_path / "x.log"
    log.write_text("one\n")
    reader = FakeReader(looks=looks(log, RUNNING, RUNNING, DONE))
    assert followed(reader, appending(log, "two\n")) == "one\ntwo\n"


def test_a_character_that_is_printed_in_two_halves_is_one(tmp_path):
    log = tmp_path / "x.log"
    reader = FakeReader(looks=looks(log, *[RUNNING] * 6, DONE))
    assert followed(reader, appending(log, b"\xe2\x94", b"\x81 50 %\r", "\u2501 51 %\n")) == "━ 50 %\r━ 51 %\n"


def test_a_log_that_a_requeue_emptied_is_read_from_its_new_beginning(tmp_path):
    log = tmp_path / "x.log"
    log.write_text("run 0, and a long line\n")
    reader = FakeReader(looks=looks(log, *[RUNNING] * 7, DONE))

    def begun_anew(text: str) -> Callable[[], object]:
        return lambda: log.write_text(text)

    acts = iter([begun_anew("run 1\n"), begun_anew("run 2, which is longer than any before it\n")])
    told = followed(reader, acts)
    assert told == "run 0, and a long line\nrun 1\nrun 2, which is longer than any before it\n"


def test_members_that_start_later_are_followed_from_their_first_line(tmp_path):
    first, second = tmp_path / "0", tmp_path / "1"
    first.write_text("zero\n")
    reader = FakeReader(held=[a_member("0", stdout=str(first)), a_member("1", state=PENDING, stdout=str(second))])

    def start_second() -> None:
        second.write_text("one\ntwo\nthree\n")
        reader.held = [a_member("0", stdout=str(first), state=DONE), a_member("1", stdout=str(second))]

    def end() -> None:
        reader.held = [a_member(str(task), stdout=str(tmp_path / str(task)), state=DONE) for task in (0, 1)]

    told = followed(reader, iter([start_second, lambda: None, end]), JobName(100), tail=1)
    assert told == "100_0: zero\n100_1: one\n100_1: two\n100_1: three\n"


def test_while_slurm_is_away_the_log_is_followed_all_the_same(tmp_path):
    from aistation_slurm.errors import SlurmUnreachable

    log = tmp_path / "x.log"
    log.write_text("one\n")

    class Away(FakeReader):
        def job(self, job_id: int) -> Job:
            if len(self.looks) == 2:
                self.looks.pop(0)
                raise SlurmUnreachable("nobody answers")
            return super().job(job_id)

    reader = Away(looks=looks(log, RUNNING, RUNNING, DONE))
    assert followed(reader, appending(log, "two\n", "three\n")) == "one\ntwo\nthree\n"


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_written_comes_once_and_in_order(tmp_path, seed):
    chance = random.Random(seed)
    text = "".join(chance.choice("ab\u00e9\u2501\n\r") for _ in range(3000))
    data, log = text.encode(), tmp_path / "x"
    whole, line_by_line = GrowingFile(log), GrowingFile(log)
    got, got_lines = [], []
    with log.open("wb", buffering=0) as file:
        while data:
            count = chance.randint(0, 40)
            file.write(data[:count])
            data = data[count:]
            if chance.random() < 0.5:
                got += whole.more()
                got_lines += line_by_line.more_lines()
    got += [*whole.more(), whole.rest()]
    got_lines += [*line_by_line.more_lines(), line_by_line.rest()]
    assert "".join(got) == text
    assert "".join(got_lines) == text
    assert all(each.endswith("\n") for each in got_lines[:-1])
