"""The page over made-up stations, small and as large as the customer's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from aistation_slurm.errors import SlurmUnreachable
from aistation_slurm.settings import Settings
from aistation_slurm.slurm.model import Controller, Job, Limits, Node, Partition, Qos
from aistation_slurm.slurm.states import JobState, NodeState
from aistation_slurm.slurm.tres import read_gres
from aistation_slurm.web.app import create_app
from aistation_slurm.web.snapshots import Recovery

GROUPS = {
    "p100_shar": ("p100s", 8, 2),
    "p100": ("p100", 30, 1),
    "v100": ("v100", 8, 1),
    "2080ti": ("ti", 45, 1),
    "1080ti_dev": ("dev", 4, 4),
}


@dataclass
class FakeStation:
    """Answers as Slurm would, from memory; can be away, and can change."""

    job_list: list[Job] = field(default_factory=list)
    node_list: list[Node] = field(default_factory=list)
    partition_list: list[Partition] = field(default_factory=list)
    qos_list: list[Qos] = field(default_factory=list)
    recovery_list: list[Recovery] = field(default_factory=list)
    is_away: bool = False
    looks: int = 0

    def jobs(self, *, with_over: bool = False) -> list[Job]:
        self.looks += 1
        if self.is_away:
            raise SlurmUnreachable("slurmctld does not answer", hint="is it running?")
        return list(self.job_list)

    def nodes(self) -> list[Node]:
        return list(self.node_list)

    def partitions(self) -> list[Partition]:
        return self.partition_list

    def config(self) -> dict[str, str]:
        return {"ClusterName": "station", "SLURM_VERSION": "22.05.8"}

    def controllers(self) -> list[Controller]:
        return [Controller(host="ctl1", is_up=not self.is_away)]

    def qos(self) -> list[Qos]:
        return self.qos_list

    def recoveries(self) -> list[Recovery]:
        return self.recovery_list


def a_job(job_id: int, *, name: str = "digits-ddp", group: str = "v100", node: str = "", gpus: int = 8) -> Job:
    """Return a job that runs on the node, or waits without one."""
    now = datetime.now(UTC)
    return Job(
        job_id=job_id,
        name=name,
        user="ann",
        account="face",
        partition=group,
        qos="normal",
        state=JobState.RUNNING if node else JobState.PENDING,
        reason="" if node else "Priority",
        nodes=node,
        tres={"gres/gpu": gpus},
        submit_time=now - timedelta(minutes=90),
        start_time=now - timedelta(minutes=75) if node else None,
        time_limit=timedelta(days=1),
    )


def a_group(name: str, prefix: str, count: int, shares: int) -> tuple[Partition, Qos, list[Node]]:
    """Return a group of nodes with eight GPUs each."""
    gres = f"gpu:{name}x:8" + (f",shard:{name}x:{8 * shares}" if shares > 1 else "")
    nodes = [
        Node(
            name=f"{prefix}-{number:02}",
            state=NodeState.parse("MIXED" if number % 3 else "IDLE"),
            cpus=64,
            memory=262144,
            gres=read_gres(gres),
            gres_used=read_gres(f"gpu:{name}x:{number % 3 * 4}"),
            partitions=(name,),
        )
        for number in range(1, count + 1)
    ]
    limits = Limits(max_tres_per_user={"gres/gpu": 16})
    return Partition(name=name, qos=f"group-{name}"), Qos(name=f"group-{name}", limits=limits), nodes


def a_station(groups: dict[str, tuple[str, int, int]], jobs: int) -> FakeStation:
    """Return a station with these groups, and as many jobs, every other one running."""
    station = FakeStation()
    for name, (prefix, count, shares) in groups.items():
        partition, qos, nodes = a_group(name, prefix, count, shares)
        station.partition_list.append(partition)
        station.qos_list.append(qos)
        station.node_list.extend(nodes)
    working = [node for node in station.node_list if node.state.is_working]
    for number in range(jobs):
        node = working[number % len(working)]
        where = node.name if number % 2 else ""
        station.job_list.append(a_job(1000 + number, group=node.partitions[0], node=where, gpus=4))
    return station


@pytest.fixture
def small() -> FakeStation:
    """The quick start's: one group of four nodes."""
    return a_station({"v100": ("v100", 4, 1)}, jobs=4)


@pytest.fixture
def six_teams() -> FakeStation:
    """The customer's: 95 nodes, 760 GPUs, hundreds of jobs."""
    return a_station(GROUPS, jobs=400)


Serve = Callable[..., TestClient]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves a station to a test client, which raises nothing that a browser would not see."""
    with ExitStack() as stack:

        def start(station: FakeStation, **settings: object) -> TestClient:
            app = create_app(Settings.model_validate(settings), read=station, recoveries=station.recoveries)
            return stack.enter_context(TestClient(app, raise_server_exceptions=False))

        yield start


@pytest.fixture
def job() -> Callable[..., Job]:
    """Makes one job."""
    return a_job
