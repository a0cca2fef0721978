"""Nodes break for real, under real jobs: the jobs run again elsewhere, and nothing else is touched."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import select

from aistation_slurm.faults import incidents
from aistation_slurm.node.leftovers import listener
from aistation_slurm.slurm.marks import is_ours
from aistation_slurm.store.engine import open_store, session
from aistation_slurm.store.tables import Incident

pytestmark = pytest.mark.cluster

GROUP = ("v100-01", "v100-02", "v100-03")
GANG = """#!/bin/bash
#SBATCH --partition=v100 --nodes=2 --gpus-per-node=1 --requeue --open-mode=append
echo "run ${SLURM_RESTART_COUNT:-0} at $(date +%s.%3N)"
srun --ntasks-per-node=1 sleep 600
"""


@pytest.fixture
def store(station):
    """Our tables; what broke in an earlier test is long ago, or the breaker would hold us back."""
    engine = open_store(station.settings.database)
    with session(engine) as work:
        for incident in work.exec(select(Incident)):
            incident.down_at = incident.down_at and datetime.now(UTC) - timedelta(hours=1)
    yield engine
    engine.dispose()


@pytest.fixture(autouse=True)
def whole(station, wait_for):
    """All nodes are in service and beat, before a test and after it."""
    wait_for(lambda: is_whole(station), within=60)
    yield
    station.heal()
    station.cancel_all()
    for node in station.slurm.read.nodes():
        if is_ours(node.reason):
            station.slurm.write.resume_node(node)
    wait_for(lambda: is_whole(station), within=60)


def is_whole(station):
    rows = json.loads(station.exec(["aistation", "node", "list", "--json"]).stdout)
    states = {node.name: node.state for node in station.slurm.read.nodes()}
    return all(row["verdict"] == "well" and states[row["node"]].is_idle for row in rows)


def runs(ann, job):
    """Return when each run of the job printed its first line."""
    return [float(line.split()[-1]) for line in ann.output(job).splitlines() if line.startswith("run ")]


@pytest.fixture
def gang(station, ann, wait_for):
    """A job on two nodes that has run for a moment."""
    job = ann.sbatch(GANG)
    wait_for(lambda: runs(ann, job))
    time.sleep(2)
    return job


@pytest.mark.parametrize(
    ("fault", "which"),
    [("kill-node", 1), ("hang-node", 0), ("cut-node", 0), ("cut-node", 1)],
    ids=lambda value: ["script's node", "other node"][value] if isinstance(value, int) else value,
)
def test_a_gang_whose_node_is_lost_runs_again_elsewhere_within_ten_seconds(
    station, ann, store, gang, wait_for, fault, which
):
    lost = station.nodes_of(gang)[which]
    struck = station.fault(fault, lost)
    wait_for(lambda: len(runs(ann, gang)) == 2, within=60)
    took = runs(ann, gang)[1] - struck.at_ms / 1000
    assert took < 10
    assert lost not in station.nodes_of(gang)
    assert is_ours(station.node(lost).reason)
    (report,) = [each for each in incidents.recent(store) if each.state != "closed"]
    assert (report.node, [each.job_id for each in report.jobs]) == (lost, [gang])


def test_a_healed_node_is_given_back_once_nothing_of_the_old_run_is_on_it(station, ann, store, gang, wait_for):
    lost = station.nodes_of(gang)[0]
    station.fault("cut-node", lost)
    wait_for(lambda: len(runs(ann, gang)) == 2, within=60)
    old = stepds_of(gang, station, lost)
    assert old, "behind the cut it lives on"
    waits_for_it = "\n".join(f"[ -d /proc/{pid} ] && echo an old one lives" for pid in old)
    pinned = ann.sbatch(f"{waits_for_it}\necho looked", "--partition=v100", f"--nodelist={lost}")
    station.fault("heal-node", lost)
    wait_for(lambda: ann.output(pinned), within=40)
    assert ann.output(pinned) == "looked\n"
    wait_for(lambda: incidents.recent(store)[0].state == "closed", within=5)
    assert station.job(gang).state.is_running
    assert len(runs(ann, gang)) == 2


def stepds_of(job, station, node):
    """Return the node's slurmstepds of this job: those whose sockets stand in the node's folder."""
    folder = station.cluster.paths.spool / node
    return [pid for each in folder.glob(f"{node}_{job}.*") if (pid := listener(str(each)))]


def test_a_slurmd_that_is_killed_alone_does_not_cost_the_job(station, ann, store, gang):
    node = station.nodes_of(gang)[1]
    station.fault("kill-slurmd", node)
    time.sleep(8)
    assert not station.node(node).state.is_down
    station.heal()
    time.sleep(3)
    assert station.job(gang).state.is_running
    assert len(runs(ann, gang)) == 1
    assert all(each.state == "closed" for each in incidents.recent(store))


def test_an_agent_that_is_killed_alone_costs_nothing_and_is_seen(station, ann, store, gang, wait_for):
    node = station.nodes_of(gang)[0]
    station.fault("kill-agent", node)
    wait_for(lambda: verdicts(station)[node] == "silent")
    time.sleep(4)
    assert station.job(gang).state.is_running
    assert len(runs(ann, gang)) == 1
    log = (station.cluster.paths.log / "daemon.log").read_text()
    assert f"leave {node}: its slurmd answers; only its agent is silent" in log


def verdicts(station):
    rows = json.loads(station.exec(["aistation", "node", "list", "--json"]).stdout)
    return {row["node"]: row["verdict"] for row in rows}


def test_an_idle_node_that_dies_is_marked_before_a_job_is_sent_to_it(station, ann, store, wait_for):
    station.fault("kill-node", "v100-01")
    wait_for(lambda: station.node("v100-01").state.is_down, within=8)
    assert station.node("v100-01").reason.startswith("aistation: no heartbeat for ")
    jobs = [ann.sbatch("sleep 60", "--partition=v100", "--gpus=2", "--exclusive") for _ in range(2)]
    wait_for(lambda: all(station.job(each).state.is_running for each in jobs))
    assert "v100-01" not in {name for each in jobs for name in station.nodes_of(each)}


def test_three_of_four_nodes_at_once_is_taken_for_our_own_fault(station, store, wait_for):
    for node in GROUP:
        station.fault("cut-node", node)
    log = station.cluster.paths.log / "daemon.log"
    wait_for(lambda: "hold back: v100-" in log.read_text(), within=12)
    time.sleep(3)
    assert not any(is_ours(each.reason) for each in station.slurm.read.nodes())


def test_a_daemon_that_is_killed_in_the_middle_goes_on_when_it_is_back(station, ann, store, gang, wait_for):
    lost = station.nodes_of(gang)[0]
    station.fault("kill-node", lost)
    wait_for(lambda: station.node(lost).state.is_down, within=10)
    station.fault("kill-daemon")
    wait_for(lambda: station.job(gang).reason == "BeginTime" and station.job(gang).state.is_waiting, within=15)
    time.sleep(1)
    assert len(runs(ann, gang)) == 1
    station.broken = [each for each in station.broken if each[0] != "kill-daemon"]
    station.fault("heal")
    wait_for(lambda: len(runs(ann, gang)) == 2, within=15)
    (report,) = [each for each in incidents.recent(store) if each.state != "closed"]
    assert [(each.job_id, each.kicked_at is not None) for each in report.jobs] == [(gang, True)]


def test_the_list_of_faults_says_what_broke_and_how_long_it_took(station, ann, store, gang, wait_for):
    lost = station.nodes_of(gang)[1]
    station.fault("kill-node", lost)
    wait_for(lambda: len(runs(ann, gang)) == 2, within=60)
    wait_for(lambda: incidents.recent(store)[0].state == "away")
    (newest,) = json.loads(station.exec(["aistation", "fault", "list", "--json", "-n", "1"]).stdout)
    assert (newest["node"], newest["state"], newest["jobs"][0]["job_id"]) == (lost, "away", gang)
    assert 1.5 < newest["to_down"] < newest["to_running"] < 10
    table = station.exec(["aistation", "fault", "list"]).stdout
    assert lost in table
    assert str(gang) in table
