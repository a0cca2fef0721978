"""The customer's rules, each by real jobs of its own users, on `six-teams.yaml` as it stands: 95 nodes, 120 people."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from aistation_slurm.slurm.model import Job
from tests.cluster.conftest import Station, StationUser, Told

pytestmark = pytest.mark.cluster

WaitFor = Callable[..., object]
User = Callable[[str], StationUser]
SHARE = ("-p", "p100_shar", "--gres=shard:1")
ENVIRONMENT = ("-p", "1080ti_dev", "--gres=shard:1", "--cpus-per-task=2", "--mem=7G")
NODES_OF_8 = "--gpus-per-node=8"
URGENT = "--qos=emergency"
GRANTED = re.compile(r"Nodes=(?P<node>\S+) CPU_IDs=\S+ Mem=\d+ GRES=(?P<name>gpu|shard)\S*\(IDX:(?P<indices>[\d,-]+)\)")


@pytest.fixture
def user(customer) -> User:
    """`user("ann")`."""
    return customer.user


def read(told: Told) -> list[str]:
    """Return what the user read, line by line."""
    return [re.sub(r"^\w+: (error: )?", "", line) for line in told.stderr.splitlines()]


def refused(told: Told) -> list[str]:
    """Return what the user read of a request that was refused."""
    assert told.returncode != 0, f"accepted: {told.stdout}{told.stderr}"
    return read(told)


def jobs(customer: Station, ids: Iterable[int]) -> list[Job]:
    """Return these jobs, members of arrays too, as Slurm sees them now: one question for all of them."""
    wanted = set(ids)
    return [each for each in customer.slurm.read.jobs() if {each.job_id, each.array_job_id} & wanted]


def are_running(customer: Station, ids: Iterable[int], *, count: int) -> bool:
    return sum(each.state.is_running for each in jobs(customer, ids)) == count


def waits_for(customer: Station, job_id: int) -> str:
    """Return why the job waits; nothing while it has not been looked at, or once it runs."""
    job = customer.job(job_id)
    return job.reason if job.state.is_waiting and job.reason != "None" else ""


def gpus_of(customer: Station, ids: Iterable[int]) -> Counter[tuple[str, int]]:
    """Return how many of these jobs are on each GPU: (node, its number)."""
    shown = customer.exec(["scontrol", "-d", "-o", "show", "job"]).stdout.splitlines()
    wanted, found = set(ids), Counter[tuple[str, int]]()
    for line in shown:
        if {int(each) for each in re.findall(r"\b(?:JobId|ArrayJobId)=(\d+)", line)} & wanted:
            for match in GRANTED.finditer(line):
                found.update((match["node"], index) for index in numbers(match["indices"]))
    return found


def numbers(ranges: str) -> list[int]:
    """Return `0-2,5` as numbers."""
    pairs = ((first, last or first) for first, _, last in (each.partition("-") for each in ranges.split(",")))
    return [number for first, last in pairs for number in range(int(first), int(last) + 1)]


def together(call: Callable[[str], int], names: Iterable[str]) -> list[int]:
    """Return what the call makes of each name; a few at a time."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(call, names))


def test_two_jobs_share_a_p100_and_a_third_waits_once_all_are_shared(customer, user, wait_for):
    whole = [user(name).sbatch("sleep 300", "-p", "p100_shar", "-N", count, NODES_OF_8)
             for name, count in (("ivy", "3"), ("jack", "3"), ("felix", "1"))]  # fmt: skip
    wait_for(lambda: are_running(customer, whole, count=3))
    shares = [user(name).sbatch("sleep 300", *SHARE, "--array=1-8") for name in ("ann", "kim")]
    wait_for(lambda: are_running(customer, shares, count=16))
    on = gpus_of(customer, shares)
    assert (len(on), set(on.values())) == (8, {2})

    third = user("liu").sbatch("sleep 300", *SHARE)
    wait_for(lambda: waits_for(customer, third) == "Resources")
    user("ann").run("scancel", f"{shares[0]}_1")
    wait_for(lambda: customer.job(third).state.is_running)


def test_a_job_that_wants_a_whole_gpu_is_never_put_onto_a_shared_one(customer, user, wait_for):
    share = user("kim").sbatch("sleep 300", *SHARE, "-w", "p100s-01")
    wait_for(lambda: are_running(customer, [share], count=1))
    on_it = ("-p", "p100_shar", "-w", "p100s-01")
    seven = user("ivy").sbatch("sleep 300", *on_it, "--gpus=7")
    wait_for(lambda: customer.job(seven).state.is_running)
    assert len(gpus_of(customer, [share, seven])) == 8
    eighth = user("liu").sbatch("sleep 300", *on_it, "--gpus=1")
    wait_for(lambda: waits_for(customer, eighth) == "Resources")
    user("kim").run("scancel", str(share))
    wait_for(lambda: customer.job(eighth).state.is_running)


def test_the_2080ti_are_for_robot_and_face_and_the_others_read_what_is_theirs(customer, user):
    for options in (("-p", "2080ti", "--gpus=1"), ("--gres=gpu:rtx2080ti:1",)):
        said = refused(user("ann").told("sbatch", *options, "--wrap=true"))
        assert said[0].startswith("team behavior may not use 2080ti (")
        assert "face" in said[0]
        assert "robot" in said[0]
        assert said[1] == "it may use: p100_shar, p100, v100, 1080ti_dev"
    for name in ("eve", "chen"):
        job = user(name).sbatch("sleep 300", "--hold", "--gres=gpu:rtx2080ti:1")
        assert customer.job(job).partition == "2080ti"


def test_the_p100_that_nobody_shares_are_for_behavior_alone(customer, user):
    said = refused(user("eve").told("sbatch", "-p", "p100", "--gpus=1", "--wrap=true"))
    assert said[:2] == ["team robot may not use p100 (behavior may)", "it may use: p100_shar, v100, 2080ti, 1080ti_dev"]
    job = user("ann").sbatch("sleep 300", "--hold", "-p", "p100", "--gpus=1")
    assert customer.job(job).partition == "p100"


def test_the_17th_gpu_of_a_user_in_a_group_waits_and_another_user_goes_past_it(customer, user, wait_for):
    sixteen = user("gwen").sbatch("sleep 300", "-N2", NODES_OF_8)
    wait_for(lambda: customer.job(sixteen).state.is_running)
    one_more = user("gwen").sbatch("sleep 300", "--gpus=1")
    wait_for(lambda: waits_for(customer, one_more) == "QOSMaxGRESPerUser")
    other = user("hal").sbatch("sleep 300", "--gpus=1")
    wait_for(lambda: customer.job(other).state.is_running)
    assert customer.job(one_more).state.is_waiting


def test_the_25th_gpu_of_a_user_over_all_groups_waits(customer, user, wait_for):
    there = user("ann").sbatch("sleep 300", "-p", "p100", "-N2", NODES_OF_8)
    here = user("ann").sbatch("sleep 300", "-p", "v100", "-N1", NODES_OF_8)
    wait_for(lambda: are_running(customer, [there, here], count=2))
    one_more = user("ann").sbatch("sleep 300", "-p", "v100", "--gpus=1")
    wait_for(lambda: waits_for(customer, one_more) == "AssocGrpGRES")
    user("ann").run("scancel", str(there))
    wait_for(lambda: customer.job(one_more).state.is_running)


def test_128_environments_share_32_gpus_four_to_each_and_the_129th_waits(customer, user, wait_for):
    people = customer.cluster.record.users
    arrays = together(lambda name: user(name).sbatch("sleep 300", *ENVIRONMENT, "--array=1-2"), people[:64])
    wait_for(lambda: are_running(customer, arrays, count=128), within=90)
    on = gpus_of(customer, arrays)
    assert (len(on), set(on.values())) == (32, {4})
    assert all(node.startswith("dev-") for node, _ in on)

    another = user(people[64]).sbatch("sleep 300", *ENVIRONMENT)
    wait_for(lambda: waits_for(customer, another) == "Resources")
    user(people[0]).run("scancel", f"{arrays[0]}_1")
    wait_for(lambda: customer.job(another).state.is_running)


def test_a_user_has_two_environments_and_neither_is_larger_than_the_file_says(customer, user):
    ivy = user("ivy")
    ivy.sbatch("sleep 300", *ENVIRONMENT, "--array=1-2")
    assert "QOSMaxSubmitJobPerUserLimit" in " ".join(refused(ivy.told("sbatch", *ENVIRONMENT, "--wrap=true")))
    large = user("jack").told("sbatch", "--hold", "-p", "1080ti_dev", "--gres=shard:2", "--mem=9G", "--wrap=true")
    assert read(large) == [
        "shards: 2 -> 1 (a development environment has no more)",
        "memory_per_node: 9G -> 7G (a development environment has no more)",
    ]


def test_cpus_and_memory_go_with_the_gpus_so_that_eight_jobs_use_up_a_node(customer, user, wait_for):
    people = ("gwen", "hal", "ivy", "jack", "kim", "liu", "eve", "finn")
    ones = [user(name).sbatch("sleep 300", "-w", "v100-01", "--gpus=1") for name in people]
    wait_for(lambda: are_running(customer, ones, count=8))
    assert len(gpus_of(customer, ones)) == 8
    assert sum(each.tres["cpu"] for each in jobs(customer, ones)) == 64
    assert sum(each.tres["mem"] for each in jobs(customer, ones)) == 256 * 1024


def test_who_takes_cpus_without_gpus_can_strand_no_more_than_a_gpu_s_share(customer, user, wait_for):
    gwen = user("gwen")
    nodes = [gwen.sbatch("sleep 300", "--cpus-per-task=64", "--mem=1G") for _ in range(3)]
    wait_for(lambda: waits_for(customer, nodes[2]) == "QOSMaxCpuPerUserLimit")
    assert are_running(customer, nodes, count=2)


def test_an_emergency_job_overtakes_takes_a_place_and_its_victim_runs_again(customer, user, wait_for):
    fillers = [user(name).sbatch("sleep 300", "-N2", NODES_OF_8) for name in ("gwen", "ivy", "kim", "eve")]
    wait_for(lambda: are_running(customer, fillers, count=4))
    older = user("dan").sbatch("sleep 300", "-N2", NODES_OF_8)
    wait_for(lambda: waits_for(customer, older) == "Resources")

    urgent = user("chen").sbatch("sleep 300", URGENT, "-N2", NODES_OF_8)
    wait_for(lambda: customer.job(urgent).state.is_running, within=60)
    [victim] = [each for each in jobs(customer, fillers) if each.restart_count]
    assert customer.job(older).state.is_waiting

    wait_for(lambda: waits_for(customer, victim.job_id) == "BeginTime")
    for each in jobs(customer, fillers):
        if each != victim:
            customer.slurm.write.scancel(each)
    wait_for(lambda: customer.job(older).state.is_running)
    wait_for(lambda: runs_after_duty(customer, victim.job_id), every=0.5)
    assert customer.job(urgent).restart_count == 0


def runs_after_duty(customer: Station, job_id: int) -> bool:
    """True once the job runs; until then the duty that lifts Slurm's wait is run once more (no daemon does it here)."""
    done = customer.exec([sys.executable, "-m", "aistation_slurm", "duty", "run", "preempted"])
    assert done.returncode == 0, done.stderr
    return customer.job(job_id).state.is_running


def test_emergency_does_not_escape_the_16_gpus_in_a_group_nor_the_24_over_all(customer, user, wait_for):
    chen = user("chen")
    here = chen.sbatch("sleep 300", URGENT, "-p", "v100", "-N2", NODES_OF_8)
    wait_for(lambda: customer.job(here).state.is_running)
    seventeenth = chen.sbatch("sleep 300", URGENT, "-p", "v100", "--gpus=1")
    there = chen.sbatch("sleep 300", URGENT, "-p", "2080ti", NODES_OF_8)
    wait_for(lambda: customer.job(there).state.is_running)
    over_all = chen.sbatch("sleep 300", URGENT, "-p", "2080ti", "--gpus=1")
    wait_for(lambda: waits_for(customer, seventeenth) == "QOSMaxGRESPerUser")
    wait_for(lambda: waits_for(customer, over_all) == "AssocGrpGRES")


def test_emergency_by_anybody_else_is_refused_on_every_path(customer, user):
    def no(told: Told) -> bool:
        return "Invalid qos" in " ".join(refused(told))

    for name in ("dan", "ann", "ivy"):  # dan is of chen's own team
        assert no(user(name).told("sbatch", URGENT, "--gpus=1", "--wrap=true"))
    dan = user("dan")
    assert no(dan.told("sbatch", URGENT, "--array=1-2", "--wrap=true"))
    assert no(dan.told("srun", URGENT, "--gpus=1", "true"))
    assert no(dan.told("salloc", URGENT, "--gpus=1", "true"))
    assert no(dan.told("sbatch", "--wrap=true", env={"SBATCH_QOS": "emergency"}))
    assert no(dan.told("srun", "true", env={"SLURM_QOS": "emergency"}))
    assert no(dan.told("salloc", "true", env={"SALLOC_QOS": "emergency"}))
    held = dan.sbatch("true", "--hold")
    assert no(dan.told("scontrol", "update", f"JobId={held}", "QOS=emergency"))
    assert customer.job(held).qos == "normal"


def test_who_says_nothing_gets_the_default_group_and_a_small_share(customer, user, wait_for):
    plain = user("hana").sbatch("sleep 300")
    wait_for(lambda: customer.job(plain).state.is_running)
    job = customer.job(plain)
    assert (job.partition, job.qos, job.account, job.gpus) == ("v100", "normal", "medical", 0)
    assert (job.tres["cpu"], job.tres["mem"]) == (1, 4096)
    assert read(user("hana").told("sbatch", "--hold", "--gpus=1", "--wrap=true")) == []


def test_more_than_a_node_has_becomes_more_nodes_and_more_than_the_quota_is_cut(customer, user):
    wide = user("kim").told("sbatch", "--parsable", "--hold", "--gpus-per-node=16", "--wrap=true")
    assert read(wide) == [
        "gpus_per_node: 16 -> 8 (a node of v100 has no more)",
        "nodes: 1 -> 2 (so that there are 16 GPUs in all)",
    ]
    assert customer.job(int(wide.stdout)).gpus == 16
    many = user("kim").told("sbatch", "--parsable", "--hold", "--gpus=40", "--wrap=true")
    assert read(many)[0] == "gpus: 40 -> 16 (a user may have 16 GPUs of v100)"
    assert customer.job(int(many.stdout)).gpus == 16
