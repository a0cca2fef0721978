"""Names, comments and reasons with anything in them: never a shifted field, and whole wherever Slurm keeps them.

200 generated texts; AISTATION_TEST_NAMES=1000 for more. What Slurm itself changes stands in docs/slurm.md.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from aistation_slurm.slurm.states import JobState
from tests.cluster.conftest import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.releases]
HOW_MANY = int(os.environ.get("AISTATION_TEST_NAMES", "200"))
LURES = st.sampled_from([
    "|", "||", "=", "\n", "\n\n", "\t", " ", "'", '"', "`", "\\", ",", ":", ";", "$(x)", "%j", "\x1f", "\x1e", "\x01",
    "你好", "é", "🚀", "(null)", "N/A", "None", " State=FAILED", "\nJobId=1 ", "\n7|ann|RUNNING\n", " UserId=root(0)",
])  # fmt: skip
ANYTHING = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
FREE_TEXT = st.lists(st.one_of(LURES, ANYTHING), min_size=1, max_size=6).map("".join)
NODE = "v100-03"
MOMENTS = ("reason", "submit_time", "eligible_time", "start_time", "end_time", "elapsed")
MOVING = ("reason", "reason_time", "load", "memory_free", "last_busy_time")
LIMIT = 7
"""Of the job that each text is tried on: its time limit, its nice value; shifted fields would tell others."""


def generated(how_many: int, keep: Callable[[str], bool]) -> list[str]:
    """Return so many different texts, the same ones each time."""
    found: dict[str, None] = {}

    @settings(
        max_examples=2 * how_many, database=None, derandomize=True, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(FREE_TEXT)
    def collect(text: str) -> None:
        if keep(text):
            found[text] = None

    collect()
    return list(found)[:how_many]


def is_name(text: str) -> bool:
    """A name that is nothing but blanks sbatch takes for none; `(null)` is what squeue says of none."""
    return text.strip() not in {"", "(null)"}


def is_scontrol_s(text: str) -> bool:
    """A text that scontrol takes as it is: it strips quotes off both ends, and refuses a reason of nothing."""
    return text.strip() == text not in {"", "(null)"} and not {text[0], text[-1]} & {'"', "'"}


@pytest.fixture(scope="module")
def set_aside(station) -> Iterator[str]:
    """A node that takes no job: those that ask for it wait, and slurmdbd hears of them, unlike of held ones."""
    station.exec(("scontrol", "update", f"NodeName={NODE}", "State=DRAIN", "Reason=site: a test"))
    yield NODE
    station.exec(("scontrol", "update", f"NodeName={NODE}", "State=RESUME"))


@pytest.fixture(scope="module")
def submitted(station, set_aside) -> dict[int, tuple[str, str, str]]:
    """Waiting jobs by their id: name, comment, the comment of an administrator."""
    each, ann = HOW_MANY // 4, station.user("ann")
    names = ["plain", *generated(each - 1, is_name)]
    texts = list(zip(names, names[::-1], generated(each, is_scontrol_s), strict=True))
    assert len(texts) == each

    def submit(written: tuple[str, str, str]) -> int:
        name, comment, admin_comment = written
        job = ann.sbatch("true", "-w", NODE, "-o", "/dev/null", f"-t{LIMIT}", f"--nice={LIMIT}", f"--job-name={name}",
                         f"--comment={comment}")  # fmt: skip
        done = station.exec(("scontrol", "update", f"JobId={job}", f"AdminComment={admin_comment}"))
        assert done.returncode == 0, done.stderr
        return job

    jobs = {submit(written): written for written in texts}
    wait_until(lambda: {job.job_id for job in station.slurm.read.history(job_ids=[*jobs])} == {*jobs}, within=120)
    return jobs


def test_no_name_or_comment_shifts_a_field_and_all_come_back_whole(station, submitted):
    jobs = {job.job_id: job for job in station.slurm.read.jobs() if job.job_id in submitted}
    assert set(jobs) == set(submitted)
    for job_id, written in submitted.items():
        job = jobs[job_id]
        assert (job.name, job.comment, job.admin_comment) == written
        assert (job.user, job.account, job.partition, job.state) == ("ann", "behavior", "v100", JobState.PENDING)
        assert (job.nice, job.time_limit.total_seconds(), job.cpus, job.nodes) == (LIMIT, LIMIT * 60, 1, "")
        assert job.reason.partition(",")[0] in {"", "None", "Priority", "Resources", "ReqNodeNotAvail"}
        assert (job.work_dir, job.stdout) == (str(station.scratch / "ann"), "/dev/null")


def test_no_name_or_comment_shifts_a_field_of_what_slurmdbd_remembers(station, submitted, wait_for):
    ids = [*submitted]
    station.exec(("scancel", *map(str, ids)))

    def remembered():
        found = {job.job_id: job for job in station.slurm.read.history(job_ids=ids)}
        return set(found) == set(ids) and all(each.state.is_over for each in found.values()) and found

    found = wait_for(remembered, within=120)
    plain = next(job for job in found.values() if job.name == "plain")
    for job_id, (name, comment, admin_comment) in submitted.items():
        job = found[job_id]
        alike = replace(plain, job_id=job_id, name=job.name, comment=job.comment, admin_comment=job.admin_comment)
        assert replace(job, **{moment: getattr(alike, moment) for moment in MOMENTS}) == alike
        assert is_kept(job.name, name), (job.name, name)
        assert is_kept(job.admin_comment, admin_comment), (job.admin_comment, admin_comment)
        assert not job.comment or is_kept(job.comment, comment), (job.comment, comment)


def is_kept(remembered: str, written: str) -> bool:
    """True where slurmdbd remembers it letter by letter, apart from what its database's character set lacks."""
    return len(remembered) == len(written) and all(
        ours == theirs or (ours, theirs) == ("`", '"') or (ours == "?" and not theirs.isascii())
        for ours, theirs in zip(remembered, written, strict=True)
    )


def test_no_reason_of_a_node_shifts_a_field(station, set_aside):
    before = station.node(NODE)
    for reason in generated(HOW_MANY - 3 * (HOW_MANY // 4), is_scontrol_s):
        done = station.exec(("scontrol", "update", f"NodeName={NODE}", "State=DRAIN", f"Reason={reason}"))
        assert done.returncode == 0, (reason, done.stderr)
        node = station.node(NODE)
        assert (node.reason, node.reason_user) == (" ".join(reason.split()), "root")
        assert replace(node, **{field: getattr(before, field) for field in MOVING}) == before
