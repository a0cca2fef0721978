"""How long a plan takes and how much memory: 10,000 nodes, 100 groups, 500 teams, 5,000 users, 20,000 jobs.

What is observed is made in memory: how long Slurm takes to tell it is another matter (`snapshot.py`). The cluster file
is a real one, read from disk. Seconds are for people; a test asserts how they grow with the cluster.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from aistation_slurm.cluster.conf import read_conf
from aistation_slurm.cluster.observed import Observed
from aistation_slurm.cluster.planning.plan import Plan, decide
from aistation_slurm.cluster.site.conf import site_of
from aistation_slurm.cluster.site.keys import site_keys
from aistation_slurm.cluster.wanted.desired import job_qos, partition_qos
from aistation_slurm.render import write_whole
from aistation_slurm.slurm.model import Job, Node, Partition
from aistation_slurm.slurm.states import JobState, NodeState
from aistation_slurm.slurm.tres import read_gres
from aistation_slurm.spec import ClusterSpec, load_spec

NODES_PER_GROUP = 100


def cluster_file(nodes: int, teams: int) -> str:
    """Return a cluster file: a group for each 100 nodes, ten members a team, every other group for some teams."""
    groups = nodes // NODES_PER_GROUP
    lines = ["cluster: large", "defaults: {gpus_per_node: 8, cpus: 64, memory: 512G}", "groups:"]
    for group in range(groups):
        use = "use: both, shards_per_gpu: 4" if group % 10 == 0 else f"teams: [{', '.join(_some_teams(group, teams))}]"
        many = f"g{group:03}-[001-{NODES_PER_GROUP:03}]"
        quota = "quota: {per_user: {gpu: 16}, per_team: {gpu: 64}}"
        lines.append(f'  g{group:03}: {{nodes: "{many}", gpu_type: m{group % 7}, {use}, {quota}, max_time: 7d}}')
    lines += ["default_group: g000", "quota: {per_user: {gpu: 24}}", "teams:"]
    for team in range(teams):
        people = ", ".join(f"u{team:03}x{number}" for number in range(10))
        lines.append(
            f"  t{team:03}: {{members: [{people}], emergency: [u{team:03}x0], quota: {{gpu: {64 + team % 9}}}}}"
        )
    return "\n".join(lines) + "\n"


def _some_teams(group: int, teams: int) -> list[str]:
    return [f"t{team:03}" for team in range(group % 5, teams, 5)]


def observed_of(spec: ClusterSpec, conf_dir: Path, *, jobs: int) -> Observed:
    """Return a Slurm that has the nodes and the keys, runs jobs, and knows nothing of us yet."""
    nodes = {name: _node(name, group) for group in spec.groups.values() for name in group.node_names()}
    return Observed(
        cluster=spec.cluster,
        site=_site(spec, conf_dir),
        config={"SLURM_VERSION": "22.05.8", **site_keys(spec)},
        has_lua=True,
        files={},
        tres=frozenset(spec.tres()),
        nodes=nodes,
        partitions={name: _partition(name, spec) for name in spec.groups},
        jobs=tuple(_jobs(spec, jobs)),
    )


def _node(name: str, group: object) -> Node:
    shards = f",shard:{group.shards_per_node}" if group.shards_per_node else ""
    gres = read_gres(f"gpu:{group.gpu_type}:{group.gpus_per_node}{shards}")
    return Node(name=name, state=NodeState.parse("IDLE"), cpus=group.cpus, memory=group.memory, gres=gres)


def _site(spec: ClusterSpec, conf_dir: Path) -> object:
    """Return the site's slurm.conf: a NodeName line a node, as generated ones are, and none of our keys."""
    lines = [f"ClusterName={spec.cluster}", "SlurmctldHost=ctl", "GresTypes=gpu"]
    for group in spec.groups.values():
        gres = f"gpu:{group.gpu_type}:{group.gpus_per_node}"
        lines += [
            f"NodeName={name} CPUs={group.cpus} RealMemory={group.memory} Gres={gres}" for name in group.node_names()
        ]
    text = "\n".join([*lines, "PartitionName=all Nodes=ALL"]) + "\n"
    path = conf_dir / "slurm.conf"
    return site_of(read_conf(path, {path: text}), {path: text})


def _partition(name: str, spec: ClusterSpec) -> Partition:
    group = spec.groups[name]
    return Partition(name=name, nodes=group.nodes, qos=partition_qos(name), allow_qos=job_qos(group))


def _jobs(spec: ClusterSpec, count: int) -> Iterator[Job]:
    names = list(spec.groups)
    for number in range(count):
        group = names[number % len(names)]
        team = f"t{number % len(spec.teams):03}"
        node = f"{group}-{number % NODES_PER_GROUP + 1:03}" if number % 2 and number % 10 else ""
        state = JobState.RUNNING if node else JobState.PENDING
        user = f"u{team[1:]}x{number % 10}"
        yield Job(
            job_id=number + 1, name="x", user=user, account=team, partition=group, qos="normal", state=state, nodes=node
        )


@dataclass
class Clock:
    """How long each part took."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time what is inside; the processor's time of this process, which others on the machine don't change."""
        begun = time.process_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - begun


def plan_of(folder: Path, *, nodes: int, teams: int, jobs: int, clock: Clock) -> Plan:
    """Return the first plan of such a cluster, and note how long each part of it took."""
    path = folder / "cluster.yaml"
    write_whole(path, cluster_file(nodes, teams))
    with clock.part("read the cluster file"):
        spec = load_spec(path)
    observed = observed_of(spec, folder, jobs=jobs)
    with clock.part("decide"):
        made = decide(spec, observed, conf_dir=folder, gpu_device="/dev/nvidia", source=str(path))
    with clock.part("name it"):
        assert made.checksum
    return made


def seconds_of(action: Callable[[Clock], object], *, times: int = 3) -> float:
    """Return the least time of several, all parts together."""
    found = []
    for _ in range(times):
        clock = Clock()
        action(clock)
        found.append(sum(clock.seconds.values()))
    return min(found)


def main() -> None:
    """Print what a plan of this size takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--teams", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        sizes = {"nodes": options.nodes, "teams": options.teams, "jobs": options.jobs}
        made = plan_of(Path(folder), **sizes, clock=clock)
    print(f"{options.nodes} nodes, {options.teams} teams, {options.jobs} jobs: {made.summary()}")
    for name, seconds in clock.seconds.items():
        print(f"  {name:24} {seconds:6.2f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"  {'together':24} {sum(clock.seconds.values()):6.2f} s    peak {peak} MB")


if __name__ == "__main__":
    main()
