"""`aistation checkpoint prune`: what goes, what never does, and when it does not begin at all."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from aistation_slurm.checkpoint import Checkpoints, Run
from aistation_slurm.cli.main import main
from aistation_slurm.errors import RequestError, SlurmUnreachable, UnknownToSlurm
from aistation_slurm.jobs.checkpoints import carry_out, held_by, open_checkpoints, plan_pruning, standing
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState

NOW = time.time()
SIZE = 100_000


def a_run(restart: int = 0) -> Run:
    return Run(f"12.{restart}-a", "12", restart)


@pytest.fixture
def run(tmp_path: Path) -> Checkpoints:
    run = Checkpoints(tmp_path / "c", keep=5, run=a_run())
    for step in (10, 20, 30, 40):
        run.save(step, bytes([step]) * SIZE)
    return run


def steps(run: Checkpoints) -> list[int]:
    return [each.step for each in Checkpoints(run.folder, run=a_run()).checkpoints()]


def prune(run: Checkpoints, *, keep: int = 1, every: int | None = None, now: float = NOW) -> int:
    pruning = plan_pruning(open_checkpoints(run.folder), keep=keep, every=every, now=now)
    carry_out(pruning)
    return pruning.bytes


def aistation(*argv: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(argv))
    return int(ended.value.code or 0)


def test_the_last_k_and_each_n_th_stay_and_the_rest_comes_free(run: Checkpoints) -> None:
    freed = prune(run, keep=1, every=20)
    assert steps(run) == [20, 40]
    assert 2 * SIZE < freed < 2 * SIZE + 2000
    assert prune(run, keep=1, every=20) == 0


def test_the_last_whole_one_never_goes_however_old_it_is(run: Checkpoints) -> None:
    for step in (30, 40):
        os.truncate(run.at(step).file, 5)
    prune(run, keep=1)
    assert steps(run) == [20, 40]
    start = Checkpoints(run.folder, run=a_run(1)).claim()
    assert start is not None
    assert start.step == 20


def test_a_flipped_bit_does_not_make_the_newest_the_last_whole_one(run: Checkpoints) -> None:
    run.at(40).file.write_bytes(b"?" * SIZE)
    assert [each.fault for each in standing(run)] == [""] * 4
    prune(run, keep=1)
    assert steps(run) == [30, 40]


def test_what_killed_and_replaced_runs_left_goes_too(run: Checkpoints) -> None:
    second = Checkpoints(run.folder, keep=5, run=a_run(1))
    second.claim()
    (second._mine / ".new-50-abc").mkdir()
    (second._mine / ".new-50-abc" / "state").write_bytes(b"x" * SIZE)
    (never := run.folder / "runs" / "never").mkdir()
    (never / "state").write_bytes(b"x" * SIZE)
    freed = prune(run, keep=5)
    assert sorted(path.name for path in (run.folder / "runs").iterdir()) == ["12.1-a", "never"]
    assert SIZE <= freed < SIZE + 2000  # what both runs link to does not come free
    assert never.exists()  # some run may be filling it at this moment
    prune(run, keep=5, now=NOW + 2 * 86400)
    assert not never.exists()
    assert steps(second) == [10, 20, 30, 40]


def test_what_two_runs_share_comes_free_when_both_names_go(run: Checkpoints) -> None:
    Checkpoints(run.folder, keep=5, run=a_run(1)).claim()
    freed = prune(run, keep=1)
    assert 3 * SIZE <= freed < 3 * SIZE + 3000


def a_job(state: JobState) -> Job:
    return Job(job_id=12, name="train", user="ann", state=state)


@pytest.mark.parametrize(
    ("state", "held"),
    [
        (JobState.RUNNING, True),
        (JobState.COMPLETING, True),
        (JobState.SUSPENDED, True),
        (JobState.UNKNOWN, True),
        (JobState.PENDING, False),
        (JobState.FAILED, False),
        (JobState.COMPLETED, False),
    ],
)
def test_a_job_that_may_be_writing_holds_its_folder(run: Checkpoints, state: JobState, held: bool) -> None:
    assert bool(held_by(run, lambda job_id: a_job(state))) is held


def test_where_slurm_can_not_be_asked_the_folder_is_held(run: Checkpoints) -> None:
    def silent(job_id: int) -> Job:
        raise SlurmUnreachable("nobody answered")

    def forgotten(job_id: int) -> Job:
        raise UnknownToSlurm("no such job")

    assert "Slurm can't be asked: nobody answered" in held_by(run, silent)
    assert held_by(run, forgotten) == ""
    run.release()
    assert held_by(run, silent) == ""


def test_a_run_outside_of_slurm_holds_it_until_it_says_that_it_ended(tmp_path: Path) -> None:
    def never(job_id: int) -> Job:
        raise AssertionError(job_id)

    run = Checkpoints(tmp_path, run=Run("by-hand"))
    run.save(10, b"x")
    assert "is no Slurm job that could be asked for" in held_by(run, never)
    run.release()
    assert held_by(run, never) == ""


def test_on_the_command_line_a_held_folder_is_left_alone_unless_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Checkpoints(tmp_path, run=Run("by-hand"))
    run.save(10, b"x")
    run.save(20, b"x")
    assert aistation("checkpoint", "prune", str(tmp_path)) == 1
    assert "not pruned: claim 1 (run by-hand" in capsys.readouterr().err
    assert steps(run) == [10, 20]
    assert aistation("checkpoint", "prune", "--dry-run", str(tmp_path)) == 0
    assert "1 to remove, 0.0 MB come free; steps kept: 20. Nothing was removed." in capsys.readouterr().err
    assert steps(run) == [10, 20]
    assert aistation("checkpoint", "prune", "--force", "--json", str(tmp_path)) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["done"] is True
    assert told["pruning"]["kept"] == [20]
    assert [Path(each["path"]).name for each in told["pruning"]["removals"]] == ["step-000000000010"]
    assert steps(run) == [20]


def test_the_list_shows_what_is_half_and_whose_it_is(run: Checkpoints, capsys: pytest.CaptureFixture[str]) -> None:
    os.truncate(run.at(40).file, 5)
    assert aistation("checkpoint", "list", str(run.folder)) == 0
    out = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert "state has 5 bytes instead of 100000" in out[-1]
    assert "whole" in out[-2]
    assert "12.0-a" in out[-2]
    assert "100 kB" in out[-2]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another user")
def test_who_may_not_remove_is_told_where(tmp_path: Path) -> None:
    place = Path("/var/tmp") / f"aistation-prune-{os.getpid()}"
    run = Checkpoints(place, run=a_run())
    try:
        run.save(10, b"x")
        run.save(20, b"x")
        place.chmod(0o755)
        if (child := os.fork()) == 0:
            os.setuid(65534)
            try:
                prune(run)
            except RequestError as error:
                os._exit(7 if "can't be removed: Permission denied" in str(error) and "step-" in str(error) else 8)
            os._exit(9)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert steps(run) == [10, 20]
    finally:
        import shutil

        shutil.rmtree(place)
