"""QOS `night` is opened and closed by the calendar, and by nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from aistation_slurm.priority.nights import decide, turn
from aistation_slurm.slurm.marks import MARK
from aistation_slurm.slurm.model import Limits, Qos
from aistation_slurm.spec import Calendar, load_spec

EXAMPLES = Path(__file__).resolve().parents[2] / "slurm_conf" / "examples"
DAY, NIGHT = datetime(2026, 11, 25, 12, tzinfo=UTC), datetime(2026, 11, 25, 22, tzinfo=UTC)
CALENDAR = Calendar(nights="20:00-08:00")


def night_qos(jobs: int | None, description: str = MARK) -> Qos:
    limits = Limits(grp_jobs=jobs, max_tres_per_user={"gres/gpu": 32})
    return Qos(name="night", description=description, flags=("DenyOnLimit",), limits=limits)


def test_by_night_it_is_opened_and_by_day_it_is_closed():
    assert str(decide(CALENDAR, "UTC", night_qos(0), NIGHT)) == (
        "~ qos night  GrpJobs 0 -> none (open until 2026-11-26 08:00 UTC)"
    )
    assert str(decide(CALENDAR, "UTC", night_qos(None), DAY)) == (
        "~ qos night  GrpJobs none -> 0 (closed until 2026-11-25 20:00 UTC)"
    )


@pytest.mark.parametrize(("jobs", "now"), [(0, DAY), (None, NIGHT), (7, NIGHT)])
def test_what_is_right_already_is_left_alone(jobs, now):
    assert decide(CALENDAR, "UTC", night_qos(jobs), now) is None


class Slurm:
    """A Slurm that has these QOS, and remembers what it was told."""

    def __init__(self, *qos: Qos) -> None:
        self.told: list[dict[str, object]] = []
        self.read = SimpleNamespace(qos=lambda: list(qos))
        self.write = SimpleNamespace(modify_qos=lambda found, **changes: self.told.append(changes))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "cluster.yaml"
    text = (EXAMPLES / "small.yaml").read_text()
    path.write_text(text + 'calendar: {nights: "20:00-08:00"}\n')
    assert load_spec(path).calendar.has_nights
    return path


def test_only_the_number_of_jobs_changes_and_every_other_limit_stays(file):
    slurm = Slurm(night_qos(0))
    assert turn(file, slurm, now=NIGHT)
    assert slurm.told == [{"limits": Limits(grp_jobs=None, max_tres_per_user={"gres/gpu": 32})}]


def test_a_dry_run_says_it_and_tells_slurm_nothing(file):
    slurm = Slurm(night_qos(0))
    assert turn(file, slurm, now=NIGHT, dry_run=True)
    assert slurm.told == []


def test_a_qos_of_the_sites_own_is_left_alone(file):
    assert turn(file, Slurm(night_qos(0, description="theirs")), now=NIGHT) is None


def test_before_the_first_apply_there_is_nothing_to_do(file, tmp_path):
    assert turn(file, Slurm(), now=NIGHT) is None
    assert turn(tmp_path / "nothing.yaml", Slurm(night_qos(0)), now=NIGHT) is None
    assert turn(EXAMPLES / "small.yaml", Slurm(night_qos(0)), now=NIGHT) is None
