"""A job's request as values that can be changed one by one, and be put to sbatch again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from aistation_slurm.slurm.model import Asked, Job, Node
from aistation_slurm.slurm.tres import Gres, Tres
from aistation_slurm.slurm.units import write_duration

GpusFor = Literal["job", "node", "socket", "task"]
_OPTION: dict[GpusFor, str] = {
    "job": "--gpus",
    "node": "--gres",
    "socket": "--gpus-per-socket",
    "task": "--gpus-per-task",
}
_KEY: dict[GpusFor, str] = {
    "job": "TresPerJob",
    "node": "TresPerNode",
    "socket": "TresPerSocket",
    "task": "TresPerTask",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a job asks for."""

    user: str
    account: str
    partition: str
    qos: str
    time_limit: timedelta | None
    nodes: int = 1
    tasks: int = 1
    tasks_per_node: int = 0
    cpus_per_task: int = 1
    gres: tuple[Gres, ...] = ()
    gres_for: GpusFor = "job"
    """What `gres` is given to: the whole job, each of its nodes, ..."""
    also: tuple[tuple[GpusFor, tuple[Gres, ...]], ...] = ()
    """The same GPUs said in other ways too, such as `--gpus=4 --gpus-per-node=2`: they hang together."""
    cpus_per_gpu: int = 0
    memory_per_gpu: int = 0
    memory_per_cpu: int = 0
    memory_per_node: int = 0
    features: str = ""
    prefer: str = ""
    reservation: str = ""
    node_list: str = ""
    licenses: str = ""
    is_exclusive: bool = False

    @property
    def gpus(self) -> int:
        """How many whole GPUs, all in all."""
        return self._of("gpu")

    @property
    def shards(self) -> int:
        """How many shares of GPUs, all in all."""
        return self._of("shard")

    @property
    def gpu_type(self) -> str:
        """The type of GPU that it asks for; empty: any."""
        return next((each.type for each in self.gres if each.type), "")

    @property
    def cpus(self) -> int:
        """How many CPUs Slurm will give it: for its tasks, and for each GPU."""
        return max(self.tasks * self.cpus_per_task, self.gpus * self.cpus_per_gpu, self.nodes)

    @property
    def memory(self) -> int:
        """MiB, all in all."""
        if self.memory_per_gpu:
            return self.gpus * self.memory_per_gpu
        return self.cpus * self.memory_per_cpu if self.memory_per_cpu else self.nodes * self.memory_per_node

    def tres(self, *, gpu_type: str = "") -> Tres:
        """Return what it will count for; `gpu_type` is that of the nodes, where it named none."""
        found: Tres = {"cpu": self.cpus, "mem": self.memory, "node": self.nodes}
        if self.gpus:
            found["gres/gpu"] = self.gpus
            if kind := self.gpu_type or gpu_type:
                found[f"gres/gpu:{kind}"] = self.gpus
        if self.shards:
            found["gres/shard"] = self.shards
        return found

    def options(self) -> list[str]:
        """Return sbatch's options for it; they win over what the script says."""
        words = {
            "--account": self.account,
            "--partition": self.partition,
            "--qos": self.qos,
            "--time": write_duration(self.time_limit),
            "--nodes": str(self.nodes),
            "--ntasks": str(self.tasks),
            "--ntasks-per-node": str(self.tasks_per_node or ""),
            "--cpus-per-task": str(self.cpus_per_task if self.cpus_per_task > 1 else ""),
            "--constraint": self.features,
            "--prefer": self.prefer,
            "--reservation": self.reservation,
            "--nodelist": self.node_list,
            "--licenses": self.licenses,
            "--mem": f"{self.memory_per_node}M" if self.memory_per_node else "",
            "--mem-per-cpu": f"{self.memory_per_cpu}M" if self.memory_per_cpu else "",
            "--mem-per-gpu": f"{self.memory_per_gpu}M" if self.memory_per_gpu else "",
            "--cpus-per-gpu": str(self.cpus_per_gpu) if self.cpus_per_gpu and self.gpus else "",
            _OPTION[self.gres_for]: _gres_option(self.gres, self.gres_for),
            **{_OPTION[given_to]: _gres_option(gres, given_to) for given_to, gres in self.also},
        }
        return [f"{name}={value}" for name, value in words.items() if value] + ["--exclusive"] * self.is_exclusive

    def gres_order(self) -> str:
        """Return the word of `scontrol update` that sets its GPUs: `TresPerJob=gres:gpu:2`."""
        return f"{_KEY[self.gres_for]}=" + ",".join(f"gres:{_gres(each)}" for each in self.gres)

    def _of(self, name: str) -> int:
        times = {"job": 1, "node": self.nodes, "socket": self.nodes, "task": self.tasks}[self.gres_for]
        return times * sum(each.count for each in self.gres if each.name == name)


def shape_of(job: Job, asked: Asked | None) -> Shape:
    """Return the request of a job that waits; what slurmctld does not tell of another's is taken from the sums."""
    asked = asked or Asked(job_id=job.job_id)
    (gres_for, gres), *also = _gres_of(job, asked)
    nodes = max(1, job.tres.get("node", 0) or job.node_count)  # 24.11 calls the most that it could have NumNodes
    tasks = asked.tasks or nodes
    cpus = asked.cpus_per_task or -(-job.tres.get("cpu", 1) // tasks)
    per_cpu, per_node = _memory(job, asked, nodes)
    return Shape(
        user=job.user, account=job.account, partition=job.partition, qos=job.qos, time_limit=job.time_limit,
        nodes=nodes, tasks=tasks, tasks_per_node=asked.tasks_per_node, cpus_per_task=max(1, cpus), gres=gres,
        gres_for=gres_for, also=tuple(also), cpus_per_gpu=asked.cpus_per_gpu, memory_per_gpu=asked.memory_per_gpu,
        memory_per_cpu=per_cpu, memory_per_node=per_node, features=job.features, prefer=job.prefer,
        reservation=job.reservation, node_list=asked.nodes, licenses=asked.licenses, is_exclusive=asked.is_exclusive,
    )  # fmt: skip


def _gres_of(job: Job, asked: Asked) -> list[tuple[GpusFor, tuple[Gres, ...]]]:
    """Return its GPUs in each way in which they were asked for, at least one."""
    said: dict[GpusFor, tuple[Gres, ...]] = {
        "job": asked.tres_per_job,
        "node": asked.tres_per_node,
        "task": asked.tres_per_task,
        "socket": asked.tres_per_socket,
    }
    sums = (Gres(name=name, count=count) for name, count in (("gpu", job.gpus), ("shard", job.shards)) if count)
    return [(given_to, gres) for given_to, gres in said.items() if gres] or [("job", tuple(sums))]


def _memory(job: Job, asked: Asked, nodes: int) -> tuple[int, int]:
    """Return the memory of each CPU and of each node, one of them 0: Slurm tells one number, and the sum tells which.

    Where both would be the same, it is for each CPU: that is what the defaults of a group are.
    """
    total, cpus = job.tres.get("mem", 0), job.tres.get("cpu", 1)
    if asked.memory_per_gpu:
        return 0, 0
    if asked.memory and total == asked.memory * cpus:
        return asked.memory, 0
    return 0, asked.memory or -(-total // nodes)


def is_in(node: Node, partitions: str) -> bool:
    """True where the node belongs to one of `v100,p100`."""
    return not set(partitions.split(",")).isdisjoint(node.partitions)


def usual_gpu(partition: str, nodes: Sequence[Node]) -> str:
    """Return the type of GPU of the nodes of one or several partitions; nothing where they have several, or none."""
    members = (each for each in nodes if is_in(each, partition))
    kinds = {gres.type for node in members for gres in node.gres if gres.name == "gpu"}
    return kinds.pop() if len(kinds) == 1 else ""


def _gres_option(gres: tuple[Gres, ...], given_to: GpusFor) -> str:
    """Return what the option takes: `--gres` the name too, the others are of GPUs alone."""
    words = [_gres(each) for each in gres]
    return ",".join(words if given_to == "node" else [word.removeprefix("gpu:") for word in words])


def _gres(each: Gres) -> str:
    return ":".join(filter(None, (each.name, each.type, str(each.count))))
