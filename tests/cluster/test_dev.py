"""The one-machine cluster: it comes up, breaks for real, and comes up again with its jobs."""

import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aistation_slurm.assets import asset_dir
from aistation_slurm.cli.dev import start_cluster
from aistation_slurm.devcluster import network
from aistation_slurm.devcluster.cluster import DevCluster, bring_up, down
from aistation_slurm.devcluster.plan import Wishes
from aistation_slurm.devcluster.ports import ports_of
from aistation_slurm.devcluster.processes import MARK, of_node, read_processes, signal_all
from aistation_slurm.devcluster.signs import of_cluster, signs_of
from aistation_slurm.devcluster.users import GECOS
from aistation_slurm.errors import DevClusterError, UnknownNameError
from aistation_slurm.slurm.states import JobState

pytestmark = pytest.mark.cluster
SMALL = asset_dir("slurm_conf") / "examples" / "small.yaml"

# A process that leaves its session and its parent, and forgets its environment.
DAEMONISE = """#!/usr/bin/python3
import os, time
print("ready", flush=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve("/bin/sleep", ["sleep", "{seconds}"], {{}})
    os._exit(0)
os.wait()
time.sleep(600)
"""


def sleepers(seconds: int) -> list[int]:
    return [each.pid for each in read_processes() if each.program == "sleep" and each.argv[-1] == str(seconds)]


def running(station, job):
    return lambda: station.job(job).state is JobState.RUNNING


def up_again(station):
    return start_cluster(Wishes(name=station.cluster.paths.name))


def test_all_nodes_are_idle_and_have_their_gpus(station):
    nodes = station.slurm.read.nodes()

    assert {each.name for each in nodes} == {each.name for each in station.cluster.record.nodes}
    assert all("IDLE" in each.state.words for each in nodes)
    assert sum(each.gpus for each in nodes) == 8


def test_a_job_sees_its_gpus_and_its_own_network(station, ann, wait_for):
    job = ann.sbatch("echo $CUDA_VISIBLE_DEVICES; ip -o -4 addr show eth0", "--gpus=2", "-p", "v100")

    wait_for(lambda: station.job(job).state.is_success)
    first, second = ann.output(job).splitlines()

    assert first == "0,1"
    assert "10.213." in second


def test_the_controller_knows_its_own_addresses_without_dns_and_the_machine_does_not(station):
    record, slurmctld = station.cluster.record, station.cluster.running()["slurmctld"]
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    inside = subprocess.run(
        ["nsenter", f"--mount=/proc/{slurmctld.pid}/ns/mnt", "cat", "/etc/hosts"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    assert all(f"{node.address} {node.name}\n" in inside for node in record.nodes)
    assert f"{record.address} {record.slurm_cluster}\n" in inside
    assert record.address not in Path("/etc/hosts").read_text()


def test_up_on_a_cluster_that_is_up_starts_nothing(station):
    before = {name: each.pid for name, each in station.cluster.running().items()}

    cluster = up_again(station)

    assert {name: each.pid for name, each in cluster.running().items()} == before


def test_scancel_leaves_nothing_of_a_job_that_daemonised(station, ann, wait_for):
    if not Path("/sys/fs/cgroup/freezer/tasks").exists():
        pytest.skip("without cgroups of version 1 the process tree is all there is")
    job = ann.sbatch(DAEMONISE.format(seconds=98765), "-p", "v100")
    wait_for(lambda: sleepers(98765))

    station.exec(["scancel", str(job)])

    wait_for(lambda: not sleepers(98765), within=45)  # KillWait is 30 s


def test_kill_node_leaves_nothing_of_the_node_and_all_of_the_others(station, ann, wait_for):
    with station.without("daemon"):
        job = ann.sbatch(f"srun sh -c '{_one_line(DAEMONISE.format(seconds=98764))}'", "-p", "v100", "-N2")
        wait_for(lambda: len(sleepers(98764)) == 2)
        node = station.cluster.record.node(station.nodes_of(job)[0])

        struck = station.fault("kill-node", node.name)

        left = of_node(read_processes(), signs_of(station.cluster.paths, station.cluster.record, node))
        assert left == []
        assert len(sleepers(98764)) == 1
        assert struck.processes >= 4
        assert abs(struck.at_ms / 1000 - time.time()) < 5


def _one_line(script: str) -> str:
    return 'exec python3 -c "exec(bytes.fromhex(\\"' + script.encode().hex() + '\\"))"'


def test_a_killed_node_comes_back_and_its_job_runs_again(station, ann, wait_for):
    job = ann.sbatch("sleep 300", "-p", "v100", "--requeue")
    wait_for(running(station, job))
    node = station.nodes_of(job)[0]
    with station.without("daemon"):
        station.fault("kill-node", node)

        station.fault("heal-node", node)

        wait_for(lambda: "IDLE" in station.node(node).state.words or station.node(node).state.is_working)
        wait_for(lambda: station.job(job).restart_count == 1)


def test_a_gang_that_lost_all_its_nodes_runs_again_with_its_gpus(station, ann, wait_for):
    job = ann.sbatch("srun sleep 98763", "-p", "v100", "-N2", "--gpus-per-node=1", "--requeue")
    wait_for(running(station, job))
    with station.without("daemon"):
        for node in station.nodes_of(job):
            station.fault("kill-node", node)

        up_again(station)

        wait_for(lambda: station.job(job).restart_count == 1 and running(station, job)())
        wait_for(lambda: len(sleepers(98763)) == 2)
        assert sum(node.gpus_allocated for node in station.slurm.read.nodes()) == 2


def test_a_hung_node_accepts_connections_and_answers_none_until_it_is_healed(station):
    with station.without("daemon"):
        node = station.cluster.record.nodes[0]

        station.fault("hang-node", node.name)
        with socket.create_connection((node.address, node.port), timeout=2) as connection:
            connection.settimeout(0.5)
            connection.shutdown(socket.SHUT_WR)
            with pytest.raises(TimeoutError):
                connection.recv(1)

        station.fault("heal-node", node.name)
        with socket.create_connection((node.address, node.port), timeout=2) as connection:
            connection.settimeout(5)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""


def test_what_runs_on_a_node_that_is_cut_off_runs_on(station, ann, wait_for):
    with station.without("daemon"):
        job = ann.sbatch("while sleep 0.1; do date +%s%N; done", "-p", "v100")
        wait_for(lambda: ann.output(job))
        node = station.cluster.record.node(station.nodes_of(job)[0])

        station.fault("cut-node", node.name)

        assert network.is_cut(station.cluster.record, node)
        with pytest.raises(OSError, match=r"timed out|unreachable|No route"):
            socket.create_connection((node.address, node.port), timeout=1)
        before = len(ann.output(job))
        wait_for(lambda: len(ann.output(job)) > before + 40)


def test_slurmd_killed_alone_leaves_the_job_alive(station, ann, wait_for):
    job = ann.sbatch("while sleep 0.1; do date +%s%N; done", "-p", "v100")
    wait_for(lambda: ann.output(job))
    node = station.nodes_of(job)[0]

    station.fault("kill-slurmd", node)
    station.fault("start-slurmd", node)
    before = len(ann.output(job))
    wait_for(lambda: len(ann.output(job)) > before + 40)

    assert station.job(job).restart_count == 0


@pytest.mark.parametrize("kind", ["kill-slurmctld", "kill-slurmdbd", "kill-mariadb", "kill-munged"])
def test_a_killed_daemon_is_back_after_the_next_up(station, kind):
    station.fault(kind)
    assert len(station.cluster.running()) < len(station.cluster.services())

    up_again(station)

    assert len(station.cluster.running()) == len(station.cluster.services())


def test_slurmctld_that_hangs_answers_again_once_healed(station):
    station.fault("hang-slurmctld")
    station.fault("heal")

    assert station.slurm.read.nodes()


def test_after_a_crash_of_everything_jobs_and_accounting_are_back(station, ann, wait_for):
    done = ann.sbatch("true")
    wait_for(lambda: station.job(done).state.is_success)
    job = ann.sbatch("sleep 300", "-p", "v100", "--requeue")
    wait_for(running(station, job))
    time.sleep(6)  # SAVE_MAX_WAIT: slurmctld writes its state within 5 s (slurmctld/state_save.c, 22.05)

    _kill_everything(station)
    assert station.cluster.running() == {}
    up_again(station)

    wait_for(lambda: station.job(job).restart_count == 1 and running(station, job)())
    states = {each.job_id: each.state for each in station.slurm.read.history(job_ids=[done])}
    assert states[done].is_success


def test_after_a_reboot_the_network_is_there_again(station):
    _kill_everything(station)
    network.unplug_all(station.cluster.record)
    leftover = network.NAMESPACES / station.cluster.record.namespace(station.cluster.record.nodes[0])
    leftover.touch()  # /run on a disk: the file is left, no namespace is mounted on it

    up_again(station)

    assert [(each.name, each.reason) for each in station.slurm.read.nodes() if "IDLE" not in each.state.words] == []


def _kill_everything(station) -> None:
    record, paths = station.cluster.record, station.cluster.paths
    signs = [signs_of(paths, record, node) for node in record.nodes]
    mine = os.getpid()
    found = [each for each in of_cluster(read_processes(), paths, signs) if each.pid != mine]
    signal_all(found, signal.SIGKILL)
    time.sleep(0.2)


def test_a_second_cluster_stands_beside_the_first_and_leaves_no_trace(station, ann, wait_for):
    name = f"{station.cluster.paths.name}-2"
    mine = ann.sbatch("sleep 300", "-p", "v100")
    wait_for(running(station, mine))

    down(name, say=print)  # of a session that was killed
    slurm = station.cluster.record.slurm
    wishes = Wishes(name=name, layout="loopback", agents=False, daemon=False, slurm=slurm)
    second = start_cluster(wishes, file=second_file(station))
    try:
        assert second.record.job_ids.start not in station.cluster.record.job_ids
        assert not ports_of(second.record) & ports_of(station.cluster.record)
        assert pwd.getpwnam("zoe-of-two").pw_gecos == GECOS
        env = {**os.environ, **second.env()}
        job = ["srun", "-p", "v100", "--gpus=1", "sh", "-c", "setsid sleep 98762 & echo $SLURM_JOB_ID"]
        subprocess.run(["setpriv", "--reuid=zoe-of-two", "--clear-groups", *job], env=env, check=True, cwd="/")
    finally:
        down(name, say=print)

    assert not second.paths.root.exists()
    assert not second.paths.lock.exists()
    assert sleepers(98762) == []
    assert [each.argv for each in read_processes() if name in " ".join(each.argv)] == []
    with pytest.raises(KeyError):
        pwd.getpwnam("zoe-of-two")
    assert not (second.paths.homes / "zoe-of-two").exists()
    assert pwd.getpwnam("chen")
    assert station.job(mine).state is JobState.RUNNING


START = """
import sys
from pathlib import Path
from aistation_slurm.cli.dev import start_cluster
from aistation_slurm.devcluster.plan import Wishes
start_cluster(Wishes(name=sys.argv[1], layout="netns", slurm=sys.argv[2]), file=Path(sys.argv[3]))
"""


@pytest.mark.parametrize("moment", ["files", "network", "slurmdbd", "agents"])
def test_what_a_killed_start_left_can_be_taken_away_whole(station, wait_for, moment):
    name = f"{station.cluster.paths.name}-3"
    words = [sys.executable, "-c", START, name, station.cluster.record.slurm, str(SMALL)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True) as start:
        assert any(moment in line for line in start.stderr)
        os.killpg(start.pid, signal.SIGKILL)
    record = DevCluster.open(name).record
    signal_all([each for each in read_processes() if each.environ.get(MARK) == name], signal.SIGKILL)

    down(name, say=print)

    links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    spaces = [network.NAMESPACES / record.namespace(each) for each in record.nodes]
    assert not station.cluster.paths.base.joinpath(name).exists()
    assert record.tag not in links
    assert not any(each.exists() for each in spaces)
    assert [each.argv for each in read_processes() if each.environ.get(MARK) == name] == []


def second_file(station) -> Path:
    path = station.scratch / "second.yaml"
    path.write_text(SMALL.read_text().replace("members: [chen, eve]", "members: [chen, eve, zoe-of-two]"))
    return path


def test_an_unknown_node_or_fault_is_named_with_the_nearest(station):
    with pytest.raises(UnknownNameError) as node:
        station.fault("kill-node", "v100-1")
    with pytest.raises(UnknownNameError) as kind:
        station.fault("kil-node", "v100-01")
    station.broken.clear()

    assert "v100-01" in node.value.hint
    assert "kill-node" in kind.value.hint


def test_killing_what_is_dead_says_so(station):
    node = station.cluster.record.nodes[0].name
    with station.without("daemon"):
        station.fault("kill-agent", node)
        with pytest.raises(DevClusterError, match=f"agent:{node} is not running"):
            station.fault("kill-agent", node)

    bring_up(station.cluster, station.cluster.our_side())
