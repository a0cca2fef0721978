"""A search tells Optuna what its members measured, and is taken up again where it was left."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from aistation_slurm.errors import RequestError
from aistation_slurm.jobs.sweep import search
from aistation_slurm.jobs.sweep.folder import Array, Sweep, read_sweep, with_arrays, with_members, write_new
from aistation_slurm.jobs.sweep.look import attempts, records
from aistation_slurm.jobs.sweep.table import table_of
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState

pytest.importorskip("optuna")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SAID = {"draw": ["x=float:-1..1", "n=int:1..3", "opt=choice:a,b", "lr=log:1e-3..1e-1"], "trials": 9, "by": "loss",
        "max": False, "round": 4, "seed": 1}  # fmt: skip


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """A search without members yet; submitting a round only notes its array."""

    def noted(path: Path, members: list, site: object, *, now: datetime) -> SimpleNamespace:
        grown = with_members(read_sweep(path), members)
        return SimpleNamespace(sweep=with_arrays(grown, [Array(grown.count, grown.count - len(members), "0-3")]))

    monkeypatch.setattr(search, "start_more", noted)
    made = Sweep(tmp_path / "s", "abc", "s", tmp_path, 0, source={"search": SAID})
    write_new(made, [])
    return made


def members_of(sweep: Sweep, ended: dict[int, JobState], losses: dict[int, float]) -> list:
    """Return the table's rows; a member that is not named runs."""
    array = sweep.arrays[-1]
    for number, loss in losses.items():
        folder = sweep.run_folder(array, number)
        folder.path.mkdir(exist_ok=True)
        folder.progress_file.write_text(json.dumps({"step": 1, "time": 1.0, "metrics": {"loss": loss}}) + "\n")
    jobs = [
        Job(job_id=1, array_job_id=array.job_id, array_task=str(each - array.first), name="s", user="ann",
            state=ended.get(each, JobState.RUNNING))
        for each in array.members()
    ]  # fmt: skip
    return list(table_of(sweep, attempts(sweep, records(sweep.arrays, jobs))).members)


def test_a_round_is_told_once_it_is_over_and_the_next_begins_from_what_was_learned(sweep):
    aim = search.Aim.of(sweep)
    study = search.open_study(sweep, aim)
    grown = search.next_round(study, sweep, aim, 4, None, now=NOON).sweep
    params = grown.members()
    assert all(-1 <= each["x"] <= 1 and each["n"] in {1, 2, 3} and each["opt"] in {"a", "b"} for each in params)
    assert all(1e-3 <= each["lr"] <= 1e-1 for each in params)

    done = {0: JobState.COMPLETED, 1: JobState.FAILED, 2: JobState.COMPLETED}
    half = search.settle(study, members_of(grown, done, {0: 3.0, 1: 0.0, 2: 2.0}), aim.by)
    assert (half.told, half.open, half.best.value) == (3, 1, 2.0)

    again = search.open_study(read_sweep(sweep.path), aim)  # another command, after the first was ended
    rest = search.settle(again, members_of(grown, {**done, 3: JobState.COMPLETED}, {3: 1.0}), aim.by)
    assert (rest.told, rest.open, rest.best.value) == (4, 0, 1.0)
    assert rest.best.params == params[3]
    assert rest.best.user_attrs == {search.MEMBER: 3}

    more = search.next_round(again, grown, aim, 2, None, now=NOON).sweep
    assert [each.user_attrs[search.MEMBER] for each in again.get_trials()[4:]] == [4, 5]
    assert more.members()[:4] == params


def test_a_trial_whose_member_was_never_submitted_teaches_nothing(sweep):
    aim = search.Aim.of(sweep)
    study = search.open_study(sweep, aim)
    study.ask()
    found = search.settle(study, [], aim.by)
    assert (found.told, found.open, found.best) == (1, 0, None)


def test_a_sweep_that_is_no_search_is_one_clear_sentence(tmp_path):
    with pytest.raises(RequestError, match="sweep abc is no search"):
        search.Aim.of(Sweep(tmp_path, "abc", "s", tmp_path, 0))
