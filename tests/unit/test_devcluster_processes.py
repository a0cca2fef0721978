"""Whose is this process? Asked of processes that nobody started."""

import os

from hypothesis import given
from hypothesis import strategies as st

from aistation_slurm.devcluster.processes import (
    MARK,
    NODE_MARK,
    SERVICE_MARK,
    NodeSigns,
    Process,
    job_in_cgroup,
    of_node,
    ourselves,
    read_processes,
    services,
    start_of,
    with_children,
)

NODE = NodeSigns(
    mark="dev/v100-01",
    name="v100-01",
    slurm_conf="/dev/etc/slurm.conf",
    log="/dev/log/slurmd.v100-01.log",
    job_ids=range(1, 1_000_000),
    netns=77,
)


def a_process(pid, ppid=1, *argv, service="", node="", **more):
    marks = {MARK: "dev", SERVICE_MARK: service} if service else {}
    environ = {**marks, **({NODE_MARK: node} if node else {}), **more.pop("environ", {})}
    return Process(pid, ppid, start=pid, argv=argv or ("x",), environ=environ, netns=more.pop("netns", 1), **more)


def pids(found):
    return sorted(each.pid for each in found)


def test_a_daemon_is_the_topmost_process_with_its_mark():
    slurmctld = a_process(10, 1, "/usr/sbin/slurmctld", service="slurmctld")
    script = a_process(11, 10, "slurmctld: slurmscriptd", service="slurmctld")

    assert services([script, slurmctld], "dev") == {"slurmctld": slurmctld}


def test_a_step_daemon_that_outlived_its_slurmd_is_not_taken_for_it():
    orphan = a_process(10, 1, "slurmstepd: [5.batch]", service="slurmd:v100-01", node="dev/v100-01")
    assert services([orphan], "dev") == {}


def test_another_clusters_daemon_is_not_ours():
    theirs = a_process(10, 1, "/usr/sbin/slurmctld", environ={MARK: "other", SERVICE_MARK: "slurmctld"})
    assert services([theirs], "dev") == {}


def test_a_node_is_known_by_mark_namespace_log_cgroup_and_task_environment():
    ours = [
        a_process(10, 1, "slurmd", node="dev/v100-01"),
        a_process(11, 1, netns=77),
        a_process(12, 1, "slurmstepd: [5.0]", log="/dev/log/slurmd.v100-01.log"),
        a_process(13, 1, freezer="/slurm_v100-01/uid_1/job_5/step_batch"),
        a_process(14, 1, environ={"SLURMD_NODENAME": "v100-01", "SLURM_CONF": "/dev/etc/slurm.conf"}),
    ]
    child = a_process(15, 12, "python", "train.py")

    assert pids(of_node([*ours, child], NODE)) == [10, 11, 12, 13, 14, 15]


def test_a_namesake_in_another_cluster_is_left_alone():
    theirs = [
        a_process(10, 1, "slurmd", node="other/v100-01"),
        a_process(12, 1, "slurmstepd: [5.0]", log="/other/log/slurmd.v100-01.log"),
        a_process(13, 1, freezer="/slurm_v100-01/uid_1/job_2000005/step_batch"),
        a_process(14, 1, environ={"SLURMD_NODENAME": "v100-01", "SLURM_CONF": "/other/etc/slurm.conf"}),
        a_process(16, 1, "bash", environ={"SLURM_CONF": "/dev/etc/slurm.conf"}),
    ]
    assert of_node(theirs, NODE) == []


def test_without_a_namespace_of_its_own_a_node_is_not_all_of_the_machine():
    loopback = NodeSigns("dev/n", "n", "/c", "/l", range(1, 9), netns=0)
    assert of_node([a_process(10, 1, netns=0), a_process(11)], loopback) == []


def test_the_job_of_a_cgroup_is_read_only_below_its_own_node():
    assert job_in_cgroup("/slurm_v100-01/uid_1000/job_42/step_0/task_1", "v100-01") == 42
    assert job_in_cgroup("/slurm_v100-01/uid_1000/job_42", "v100-1") == -1
    assert job_in_cgroup("/slurm_v100-01/uid_1000", "v100-01") == -1
    assert job_in_cgroup("/", "v100-01") == -1


@given(st.text())
def test_no_cgroup_path_breaks_the_reading(path):
    assert job_in_cgroup(path, "n") >= -1


def test_children_of_children_belong_to_it_and_a_loop_ends():
    chain = [a_process(10, 13), a_process(11, 10), a_process(12, 11), a_process(13, 12), a_process(20, 1)]
    assert pids(with_children(chain, [chain[0]])) == [10, 11, 12, 13]


def test_this_process_and_all_above_it_are_spared():
    mine, parent = os.getpid(), os.getppid()
    table = [a_process(mine, parent), a_process(parent, 1)]
    assert {mine, parent} <= ourselves(table)


def test_this_very_process_is_found_with_the_time_it_started():
    mine = next(each for each in read_processes() if each.pid == os.getpid())

    assert mine.start == start_of(os.getpid())
    assert mine.uid == os.geteuid()
    assert not mine.is_stopped


def test_a_process_that_is_gone_started_never():
    assert start_of(2**22 + 1) is None
