"""Why jobs wait on a real Slurm: each kind's sentence names the right limit and number."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from aistation_slurm.jobs.why.answer import Answer, answer
from aistation_slurm.jobs.why.look import look
from aistation_slurm.jobs.why.tell import lines

pytestmark = pytest.mark.cluster
WHY = (sys.executable, "-m", "aistation_slurm", "job", "why")


@dataclass(frozen=True)
class Queue:
    """Jobs of several users, and what is said of them."""

    station: Any
    wait_for: Callable[..., object]

    def submit(self, user: str, *options: str, minutes: int = 30) -> int:
        return int(self.station.user(user).sbatch("sleep 900", "-o", "/dev/null", "-t", str(minutes), *options))

    def run(self, *argv: str) -> None:
        done = self.station.exec(argv)
        assert done.returncode == 0, f"{argv}: {done.stderr}"

    def until(self, job_id: int, *reasons: str) -> Answer:
        """Return what is said of the job once Slurm gives one of these reasons."""
        self.wait_for(lambda: self.station.job(job_id).reason.startswith(reasons), within=40, every=0.2)
        return self.answer(job_id)

    def answer(self, job_id: int) -> Answer:
        """Return what is said of the job, the changes reckoned only."""
        return answer(look(self.station.slurm, job_id, datetime.now(UTC)), lambda _: None)

    def told(self, found: Answer) -> str:
        return "\n".join(text for _, text in lines(found, datetime.now(UTC)))


@pytest.fixture
def queue(station, ann, chen, wait_for) -> Queue:
    return Queue(station, wait_for)


def test_a_quota_in_a_group_is_named_with_its_number_and_who_holds_it(queue):
    holder = queue.submit("ann", "--gpus-per-node=2", "-N2")
    queue.wait_for(lambda: queue.station.job(holder).state.is_running)
    waits = queue.submit("ann", "--gpus=2")
    found = queue.until(waits, "QOSMax")
    assert found.limits[0].what == "cpu"  # Slurm looks at CPUs first
    said = {str(each) for each in found.limits}
    assert "the quota of a user in v100: 4 of 4 GPUs in use by ann, this job wants 2" in said
    assert "the quota of a user in v100: 16 of 20 CPUs in use by ann, this job wants 8" in said
    assert f"held by {holder} of ann (4 GPUs, until " in queue.told(found)
    assert found.start.at == queue.station.job(holder).end_time
    assert not found.never


def test_a_user_s_and_a_team_s_quota_over_all_groups_are_told_apart(queue):
    in_group = queue.submit("bob", "--gpus=1", "--cpus-per-gpu=1", "--mem=1G")
    queue.wait_for(lambda: queue.station.job(in_group).state.is_running)
    try:
        queue.run("sacctmgr", "-i", "modify", "user", "bob", "set", "grptres=gres/gpu=1")
        total = queue.until(queue.submit("bob", "--gpus=1", "--cpus-per-gpu=1", "--mem=1G"), "AssocGrp")
        assert str(total.limits[0]) == ("the quota of bob over all groups: 1 of 1 GPU in use by bob, this job wants 1")
        queue.run("scancel", str(total.job.job_id))
        queue.run("sacctmgr", "-i", "modify", "account", "behavior", "set", "grptres=gres/gpu=3")
        waits = queue.submit("ann", "--gpus=3", "-N3", "--cpus-per-gpu=1", "--mem=1G")
        team = queue.until(waits, "AssocGrp")
        assert str(team.limits[0]) == (
            "the quota of team behavior over all groups: 1 of 3 GPUs in use, this job wants 3"
        )
    finally:
        queue.run("sacctmgr", "-i", "modify", "user", "bob", "set", "grptres=cpu=30,mem=60G,gres/gpu=6")
        queue.run("sacctmgr", "-i", "modify", "account", "behavior", "set", "grptres=gres/gpu=-1")


def test_busy_nodes_and_who_goes_first_are_told_by_the_part_of_the_priority(queue):
    for user in ("ann", "bob", "chen"):
        filler = queue.submit(user, "--gpus=2", minutes=40)
        queue.wait_for(lambda job=filler: queue.station.job(job).state.is_running)
    first = queue.submit("eve", "--gpus=2")
    busy = queue.until(first, "Resources")
    assert "0 of 6 GPUs of v100 are free" in busy.facts
    queue.wait_for(lambda: queue.answer(first).start.by == "Slurm's plan", within=40, every=0.3)

    urgent = queue.submit("eve", "--gpus=1", "--nice=0")
    polite = queue.submit("chen", "--gpus=1", "--nice=50")
    queue.station.slurm.write.update_job(urgent, site_factor=500)
    queue.wait_for(lambda: queue.station.job(urgent).priority > queue.station.job(first).priority)
    behind = queue.until(polite, "Priority", "Resources")
    assert [each.job.job_id for each in behind.ahead] == [urgent, first]
    assert "by site's order (+500)" in behind.ahead[0].by
    assert [each.job.user for each in behind.ahead] == ["eve", "eve"]


def test_what_only_a_person_or_another_job_can_change_is_told(queue):
    runs = queue.submit("bob", "--gpus=1")
    queue.wait_for(lambda: queue.station.job(runs).state.is_running)
    later = queue.submit("bob", "--begin=now+1hour")
    after = queue.submit("bob", f"--dependency=afterok:{runs}")
    held = queue.submit("bob", "--hold")
    kept = queue.submit("bob", "--hold")
    queue.run("scontrol", "hold", str(kept))
    array = queue.submit("bob", "--array=1-3%1", "--gpus=1", "--cpus-per-gpu=1")

    assert queue.until(later, "BeginTime").facts[0].startswith("not before ")
    assert (
        queue.until(after, "Dependency").facts[0].startswith(f"job {runs} (sbatch) of bob is RUNNING, at the latest ")
    )
    assert queue.until(held, "JobHeldUser").facts == [f"bob can release it: scontrol release {held}"]
    assert "administrator" in queue.until(kept, "JobHeldAdmin").facts[0]
    limited = queue.until(array, "JobArrayTaskLimit")
    assert limited.facts == [f"1 member of array {array} running, and its limit is 1"]
    assert f"scontrol update JobId={array} ArrayTaskThrottle=2" in [each.change.line for each in limited.better]

    queue.run("scancel", str(runs))
    queue.wait_for(lambda: queue.station.job(runs).state.is_over)
    gone = queue.until(after, "DependencyNeverSatisfied")
    assert gone.never == "what it depends on did not happen, and can't any more"


def test_a_node_that_is_away_is_named_with_who_set_it_aside_and_why(queue):
    queue.run("scontrol", "update", "NodeName=v100-03", "State=DRAIN", "Reason=site: fan broken")
    try:
        waits = queue.submit("chen", "--gpus=1", "-w", "v100-03")
        found = queue.until(waits, "ReqNodeNotAvail", "Resources", "Nodes required")
        assert next(each for each in found.facts if each.startswith("node ")).endswith(" by root: site: fan broken")
        assert "ReqNodeList=" in [each.change.command[-1] for each in found.better]
    finally:
        queue.run("scontrol", "update", "NodeName=v100-03", "State=RESUME")


def test_what_never_starts_is_told_with_what_would(queue):
    long, wide = queue.submit("chen", "--hold", "--gpus=1"), queue.submit("chen", "--hold", "--gpus=1")
    queue.run("scontrol", "update", f"JobId={wide}", "NumNodes=7")
    queue.run("scontrol", "update", "PartitionName=v100", "MaxTime=20")
    try:
        queue.run("scontrol", "release", f"{long},{wide}")
        found = queue.until(long, "PartitionTimeLimit")
        assert found.never == "v100 allows 0:20:00, and it asks for 0:30:00"
        assert found.start.at is None
        assert "TimeLimit=00:20:00" in [each.change.command[-1] for each in found.better]
        too_wide = queue.until(wide, "PartitionNodeLimit")
        assert too_wide.never == "it asks for 7 nodes, and v100 has 3"
        assert "NumNodes=3" in [each.change.command[3] for each in too_wide.better]
    finally:
        queue.run("scontrol", "update", "PartitionName=v100", "MaxTime=INFINITE")


def test_the_command_tells_it_to_people_and_to_programs(queue, ann):
    holder = queue.submit("ann", "--gpus=3", "-N3", "--cpus-per-gpu=1")
    queue.wait_for(lambda: queue.station.job(holder).state.is_running)
    waits = queue.submit("ann", "--gpus=2", "--cpus-per-gpu=1")
    queue.until(waits, "QOSMax")
    text = ann.run(*WHY, str(waits))
    assert text.startswith(f"{waits} sbatch of ann waits in v100\n     why  ")
    assert "3 of 4 GPUs in use by ann, this job wants 2" in text
    assert "1 GPU instead of 2" in text
    said = json.loads(ann.run(*WHY, "--json", str(waits)))
    assert said["reason"]["name"] == "QOSMaxGRESPerUser"
    assert said["better"][0]["is_now"]
    assert said["better"][0]["was_tried"]

    ann.run(*said["better"][0]["command"])
    queue.wait_for(lambda: queue.station.job(waits).state.is_running, within=30)

    of_another = queue.station.user("eve").told(*WHY, str(queue.submit("ann", "--gpus=1")))
    assert "only one's own jobs are tried" in of_another.stderr
    over = ann.told(*WHY, "999999999")
    assert (over.returncode, over.stdout) == (1, ""), over.stderr
    assert ann.run(*WHY, str(waits)).startswith(f"{waits} sbatch of ann does not wait: it is RUNNING since ")
