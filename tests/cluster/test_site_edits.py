"""A site's own slurm.conf on the real Slurm: its lines are edited by the first apply, and its bytes come back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aistation_slurm.cluster.applying.carry_out import Outcome, Wish, carry_out
from aistation_slurm.cluster.applying.restart import restart_controller
from aistation_slurm.cluster.applying.target import Target
from aistation_slurm.slurm.states import JobState
from aistation_slurm.spec import ClusterSpec, load_spec
from tests.unit.test_cluster_managed import left_to_the_site

pytestmark = pytest.mark.cluster

OURS = re.compile(
    r"(Include|PreemptType|PreemptMode|SchedulerParameters|JobSubmitPlugins|PriorityWeight|EnforcePartLimits)", re.I
)


@pytest.fixture
def target(station) -> Target:
    return Target(settings=station.settings, slurm=station.slurm, cluster_file=station.settings.cluster_file)


@pytest.fixture
def restarted(station, wait_for) -> Callable[[], None]:
    """Restarts slurmctld, and waits for its nodes."""

    def restart() -> None:
        restart_controller(station.settings.slurm, station.slurm)
        wait_for(lambda: all(each.state.is_idle for each in station.slurm.read.nodes()))

    return restart


@pytest.fixture
def bare(station, target, restarted) -> Iterator[Path]:
    """The site's slurm.conf as somebody has it who knows nothing of us; afterwards it is the station's again."""
    conf = station.settings.slurm.conf
    before = {path: path.read_bytes() for path in (conf, *conf.parent.glob("*.lua"))}
    kept = [line for line in conf.read_text().splitlines() if not OURS.match(line)]
    conf.write_bytes("\r\n".join([*kept, "# the end, without a line end"]).encode())
    for path in (conf.with_name("aistation.conf"), *conf.parent.glob("*.lua")):
        path.unlink()
    restarted()
    yield conf
    station.cancel_all()
    for path, content in before.items():
        path.write_bytes(content)
    conf.with_name("aistation.conf").touch()
    restarted()
    carry_out(target, Wish(spec=target.load(), text=None, canary=False, watch=False, force=True))


@pytest.fixture
def settle(target) -> Callable[[ClusterSpec], Outcome]:
    return lambda spec: carry_out(target, Wish(spec=spec, text=None, canary=False, watch=False, force=True))


def test_a_bare_site_is_taken_into_service_and_left_as_it_was(station, target, bare, settle, ann, wait_for):
    spec, own = load_spec(target.cluster_file), bare.read_bytes()
    dev = spec.groups["dev"].model_copy(update={"shards_per_gpu": 2})
    spec = spec.model_copy(update={"groups": {**spec.groups, "dev": dev}})

    outcome = settle(spec)

    assert outcome.left.lines() == []
    assert b"Gres=gpu:gtx1080ti:2,shard:4 " in bare.read_bytes()
    assert bare.read_bytes().endswith(b"Include aistation.conf  # aistation: added")
    assert station.node("dev-01").shards == 4
    assert station.slurm.read.config()["PreemptType"] == "preempt/qos"
    job = ann.sbatch("true", "--gpus=1")
    wait_for(lambda: station.job(job).state is JobState.COMPLETED)

    outcome = settle(left_to_the_site(spec))

    assert outcome.left.lines() == []
    assert bare.read_bytes() == own
    assert "v100" not in {each.name for each in station.slurm.read.partitions()}
    wait_for(lambda: station.node("dev-01").state.is_idle)


def test_what_somebody_changes_by_hand_is_shown_as_such(station, target, settle, tmp_path):
    spec, text = target.load(), target.cluster_file.read_text()
    other = tmp_path / "other.yaml"
    other.write_text(text.replace("quota: {per_user: {gpu: 4}}", "quota: {per_user: {gpu: 3}}"))
    for path in (other, target.cluster_file):
        carry_out(target, Wish(spec=load_spec(path), text=path.read_text(), canary=False, watch=False))
    station.slurm.write.sacctmgr("modify", "qos", "where", "name=group-v100", "set", "MaxJobsPerUser=12")
    try:
        assert target.plan(spec).lines() == [
            "~ qos group-v100  MaxJobsPerUser 12 -> none",
            "    ! changed by hand since the last apply: MaxJobsPerUser none -> 12",
        ]
    finally:
        settle(spec)
