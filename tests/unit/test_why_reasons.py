"""Every reason that a release of Slurm can print is told in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from aistation_slurm.jobs.why.limit_reason import LimitReason
from aistation_slurm.jobs.why.reasons import Kind, read_reason, short

RECORDED = sorted((Path(__file__).parents[1] / "recorded" / "reasons").glob("*.txt"))


@pytest.mark.parametrize("release", RECORDED, ids=lambda path: path.stem)
def test_no_reason_of_this_release_is_missing(release: Path) -> None:
    names = release.read_text().split()
    assert len(names) > 190
    assert [name for name in names if read_reason(name).kind is Kind.UNKNOWN] == []
    assert [name for name in names if name != "None" and not 0 < len(short(name)) <= 40] == []
    assert all(read_reason(name).says for name in names)


def test_every_release_from_22_05_on_is_there() -> None:
    assert {path.stem for path in RECORDED} >= {"slurm-22.05", "slurm-24.11", "slurm-25.11", "slurm-26.05"}


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("QOSMaxGRESPerUser", LimitReason("qos", "user", "gres")),
        ("MaxGRESPerAccount", LimitReason("qos", "account", "gres")),
        ("QOSGrpCpuLimit", LimitReason("qos", "all", "cpu")),
        ("AssocGrpGRES", LimitReason("association", "all", "gres")),
        ("AssocGrpMemRunMinutes", LimitReason("association", "all", "mem", "run minutes")),
        ("MaxCpuRunMinsPerUser", LimitReason("qos", "user", "cpu", "run minutes")),
        ("AssocMaxJobsLimit", LimitReason("association", "all", "jobs")),
        ("QOSMaxSubmitJobPerUserLimit", LimitReason("qos", "user", "submit")),
        ("QOSMaxWallDurationPerJobLimit", LimitReason("qos", "job", "wall")),
        ("AssocMaxGRESPerNode", LimitReason("association", "node", "gres")),
        ("QOSMinCpuNotSatisfied", LimitReason("qos", "least", "cpu")),
        ("QOSMaxMemoryMinutesPerJob", LimitReason("qos", "job", "mem", "minutes")),
    ],
)
def test_a_limits_name_is_taken_apart(name: str, limit: LimitReason) -> None:
    assert read_reason(name).limit == limit


def test_a_limit_of_the_job_alone_is_a_rule_that_waiting_does_not_mend() -> None:
    assert read_reason("QOSMaxGRESPerJob").kind is Kind.RULE
    assert read_reason("QOSMaxGRESPerUser").kind is Kind.LIMIT


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ReqNodeNotAvail, UnavailableNodes:v100-[01-02]", "ReqNodeNotAvail"),
        ("ReqNodeNotAvail,_Reserved_for_maintenance", "ReqNodeNotAvail"),
        (
            "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions",
            "ReqNodeNotAvail",
        ),
        ("Job's account not permitted to use this partition (v100 allows behavior not face)", "AccountNotAllowed"),
        ("Reservation night was deleted", "ReservationDeleted"),
        ("launch failed requeued held", "JobLaunchFailure"),
        ("Job is at or exceeds QOS normal's group wall limit of 10 with 20", "QOSGrpWallLimit"),
        ("Resources,Priority", "Resources"),
        ("(JobHeldUser)", "JobHeldUser"),
    ],
)
def test_a_free_text_of_slurm_is_the_reason_that_it_stands_for(text: str, name: str) -> None:
    found = read_reason(text)
    assert found.name == name
    assert found.kind is not Kind.UNKNOWN


def test_a_reason_that_nobody_knows_keeps_its_own_words() -> None:
    found = read_reason("MoonPhase")
    assert (found.kind, found.short, found.says) == (Kind.UNKNOWN, "MoonPhase", "Slurm says: MoonPhase")


@pytest.mark.parametrize("text", ["", "None", "(None)"])
def test_no_reason_is_no_words_in_a_table(text: str) -> None:
    assert short(text) == ""


def test_short_words() -> None:
    assert short("QOSMaxGRESPerUser") == "user's GPU quota"
    assert short("Priority") == "others first"
    assert short("AssocGrpGRES") == "GPU quota"
