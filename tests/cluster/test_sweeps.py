"""Sweeps on a real Slurm: one array, a table that is right, and only what failed started again."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.cluster
SWEEP = (sys.executable, "-m", "aistation_slurm", "job", "sweep")
SUBMIT = "REQUEST_SUBMIT_BATCH_JOB"
TRAIN = """echo "$AISTATION_SWEEP_MEMBER $(cat "$AISTATION_CHECKPOINT_DIR/step" 2>/dev/null)" >>starts
echo "$2" >"$AISTATION_CHECKPOINT_DIR/step"
case $1.$2:$(ls) in
    *mended*) ;;
    1.0:*) exit 3 ;;
    1.1:*) sleep 300 ;;
    2.1:*) kill -9 $$ ;;
    2.2:*) [[ ${SLURM_RESTART_COUNT:-0} -gt 0 ]] || sleep 300 ;;
esac
echo '{"step": 1, "total": 1, "time": 1.0, "metrics": {"loss": '"$(($1 * $1 - 10 * $2))"'}}' >>"$AISTATION_RUN_DIR/progress.jsonl"
"""  # noqa: E501
HOSTILE = ("$(touch owned) 'a\"b'\n#SBATCH --hold", "plain")
ARGS = ("--name", "s", "--time", "5", "-c1", "train.sh", "--", "{a}", "{b}")


@dataclass(frozen=True)
class Lab:
    """Ann, with a training in a folder of its own."""

    station: Any
    ann: Any
    wait_for: Callable[..., Any]

    def sweep(self, *words: str) -> str:
        return str(self.ann.run(*SWEEP, *words))

    def start(self, *words: str) -> str:
        return self.sweep("--parsable", *words).strip()

    def table(self, sweep: str) -> dict[str, Any]:
        found = json.loads(self.sweep("show", "--json", sweep))
        assert sum(found["counts"].values()) == found["count"] == len(found["members"])
        return {**found, "members": {each["member"]: each for each in found["members"]}}

    def until(self, sweep: str, **counts: int) -> dict[str, Any]:
        """Return the table once so many members are in these states, and none in another."""
        found: dict[str, Any] = {}

        def is_so() -> bool:
            found.update(self.table(sweep))
            return bool(found["counts"] == counts)

        self.wait_for(is_so, within=120, every=0.3)
        return found

    def submissions(self) -> int:
        return sum(each.count for each in self.station.slurm.read.diag().rpcs if each.name == SUBMIT)


@pytest.fixture
def lab(station, ann, wait_for) -> Lab:
    for each in ("starts", "mended"):
        (ann.folder / each).unlink(missing_ok=True)
    (ann.folder / "train.sh").write_text(TRAIN)
    return Lab(station, ann, wait_for)


def test_a_sweep_is_one_submission_its_table_is_right_and_only_what_failed_starts_again(lab):
    before = lab.submissions()
    sweep = lab.start("--grid", "a=0..3", "--grid", "b=0..2", *ARGS)
    assert lab.submissions() == before + 1

    job = lab.table(sweep)["jobs"][0]
    lab.wait_for(lambda: lab.table(sweep)["members"][8]["state"] == "RUNNING")
    lab.ann.run("scontrol", "requeue", f"{job}_8")
    lab.wait_for(lambda: lab.table(sweep)["members"][4]["state"] == "RUNNING")
    lab.ann.run("scancel", f"{job}_4")
    lab.wait_for(lambda: lab.table(sweep)["members"][8]["reason"] == "BeginTime")
    lab.wait_for(lambda: lifted(lab, job, 8), within=60, every=0.5)
    table = lab.until(sweep, COMPLETED=9, FAILED=2, CANCELLED=1)

    told = {number: each for number, each in table["members"].items() if each["metrics"]}
    assert sorted(told) == [0, 1, 2, 5, 6, 8, 9, 10, 11]
    for each in told.values():
        assert each["metrics"] == {"loss": each["params"]["a"] ** 2 - 10 * each["params"]["b"]}
    assert list(table["members"])[:3] == [2, 5, 8], "best first"
    assert (table["members"][3]["exit_code"], table["members"][8]["restarts"]) == ("3:0", 1)

    (lab.ann.folder / "mended").touch()
    assert json.loads(lab.sweep("retry", "--json", sweep))["members"] == [3, 7]
    lab.until(sweep, COMPLETED=11, CANCELLED=1)
    assert json.loads(lab.sweep("retry", "--json", "--cancelled", sweep))["members"] == [4]
    table = lab.until(sweep, COMPLETED=12)
    assert [table["members"][each]["tries"] for each in (3, 4, 7, 8)] == [2, 2, 2, 1]
    assert "no member has failed" in lab.sweep("retry", sweep)

    starts = [line.split() for line in (lab.ann.folder / "starts").read_text().splitlines()]
    assert Counter(int(each[0]) for each in starts) == {each: 2 if each in {3, 4, 7, 8} else 1 for each in range(12)}
    assert {each[0]: each[1] for each in starts if len(each) == 2} == {"3": "0", "4": "1", "7": "1", "8": "2"}


def lifted(lab: Lab, job: int, member: int) -> bool:
    """Lift the wait after the requeue, as the daemon does after a failure; True once the member has left the queue."""
    each = next(
        (one for one in lab.station.slurm.read.jobs() if (one.array_job_id, one.array_task) == (job, str(member))), None
    )
    if each and each.state.is_waiting and each.reason == "BeginTime":
        lab.station.slurm.write.update_job(each, start_now=True)
    return each is None or not each.state.is_waiting


def test_how_many_run_at_once_is_changed_while_they_run_and_the_rest_is_cancelled(lab):
    (lab.ann.folder / "train.sh").write_text("sleep 300\n")
    sweep = lab.start("--grid", "a=0..5", "--at-once", "1", *ARGS[:-2])
    lab.until(sweep, RUNNING=1, PENDING=5)
    lab.sweep("limit", sweep, "3")
    table = lab.until(sweep, RUNNING=3, PENDING=3)
    assert {each["reason"] for each in table["members"].values() if each["state"] == "PENDING"} == {"JobArrayTaskLimit"}
    assert "6 members cancelled" in lab.sweep("cancel", sweep)
    lab.until(sweep, CANCELLED=6)
    assert "no member waits" in lab.sweep("limit", sweep, "2")


def test_a_sweep_waits_for_another_member_by_member(lab):
    (lab.ann.folder / "train.sh").write_text("[[ $1 -ne 1 || -e mended ]] || sleep 300; echo $1 >>starts\n")
    first = lab.start("--grid", "a=0..2", *ARGS[:-1])
    second = lab.start("--grid", "a=10..12", "--after", f"{first}:corr", *ARGS[:-1])
    lab.until(second, COMPLETED=2, PENDING=1)
    assert lab.table(second)["members"][1]["reason"] == "Dependency"
    assert sorted((lab.ann.folder / "starts").read_text().split()) == ["0", "10", "12", "2"]


def test_a_sweep_of_two_node_trainings_gives_each_member_its_own_values_on_both_nodes(lab):
    (lab.ann.folder / "ranks.py").write_text(
        "import os, sys\nprint('rank', os.environ['RANK'], os.environ['SLURMD_NODENAME'], sys.argv[1:])\n"
    )
    (lab.ann.folder / "values.jsonl").write_text("".join(json.dumps({"x": value}) + "\n" for value in HOSTILE))
    sweep = lab.start(
        "--list", "values.jsonl", "--template", "pytorch-ddp", "--nodes", "2", "--set", "launcher=srun",
        "--gpus-per-node", "1", "--name", "s", "--time", "5", "--python", sys.executable, "ranks.py", "--", "--x={x}",
    )  # fmt: skip
    table = lab.until(sweep, COMPLETED=2)
    for number, value in enumerate(HOSTILE):
        log = Path(table["folder"]) / "logs" / f"{table['jobs'][0]}_{number}.log"
        found = re.findall(r"^rank (\d) (\S+) (.*)$", log.read_text(), re.MULTILINE)
        assert sorted(each[0] for each in found) == ["0", "1"]
        assert len({each[1] for each in found}) == 2
        assert {each[2] for each in found} == {repr([f"--x={value}"])}


def test_an_array_with_a_wish_for_nodes_that_are_away_runs_elsewhere_and_its_user_reads_why(lab):
    """Where Slurm would hold it to that wish; elsewhere it keeps it."""
    release = lab.station.slurm.read.config()["SLURM_VERSION"]
    is_hard = tuple(map(int, re.findall(r"[0-9]+", release)[:3])) < (22, 5, 9)
    warm = ("scontrol", "update", "NodeName=v100-03")
    lab.station.exec([*warm, "AvailableFeatures=warm", "ActiveFeatures=warm", "State=DRAIN", "Reason=aistation: test"])
    try:
        done = lab.ann.told("sbatch", "--parsable", "--array=0-1", "--prefer=warm", "-o", "/dev/null", "--wrap", "true")
        assert done.returncode == 0, done.stderr
        assert ("prefer: left out" in done.stderr) == is_hard
        job = int(done.stdout)
        lab.wait_for(lambda: lab.station.job(job).state.is_success, within=60)
        single = lab.ann.sbatch("true", "--hold", "--prefer=warm")
        assert lab.station.job(single).prefer == "warm"
        waiting = lab.ann.sbatch("true", "--hold", "--array=0-1")
        lab.ann.told("scontrol", "update", f"JobId={waiting}", "Prefer=warm")
        assert (lab.station.job(waiting).prefer == "") == is_hard
    finally:
        lab.station.exec([*warm, "AvailableFeatures=", "ActiveFeatures=", "State=RESUME"])


def test_a_search_tries_in_rounds_and_ends_with_the_best(lab):
    pytest.importorskip("optuna")
    (lab.ann.folder / "train.sh").write_text(TRAIN)
    (lab.ann.folder / "mended").touch()
    out = lab.sweep(
        "search", "--json", "--trials", "5", "--at-once", "3", "--draw", "a=int:0..9", "--draw", "b=int:0..9", *ARGS
    )
    found = json.loads(out)
    table = lab.table(found["sweep"])
    assert (table["counts"], len(table["jobs"])) == ({"COMPLETED": 5}, 2)
    losses = [each["params"]["a"] ** 2 - 10 * each["params"]["b"] for each in table["members"].values()]
    assert losses == sorted(losses)
    assert found["best"]["value"] == losses[0]
    with_resume = lab.sweep("search", "--json", "--resume", found["sweep"])
    assert json.loads(with_resume) == found
