"""jobstats' summary of a job, as it stands in Slurm's AdminComment: `JS1:` and gzipped JSON in base64.

    {"nodes": {"v100-01": {"total_memory": 8589934592, "used_memory": 1073741824, "total_time": 93.1, "cpus": 4,
                           "gpu_total_memory": {"0": ...}, "gpu_used_memory": {...}, "gpu_utilization": {"0": 97.4}}},
     "total_time": 120, "gpus": 1}

Memory is in bytes, a node's total_time in seconds of CPU, the job's in seconds of the clock; GPUs are named by their
minor number. `JS1:Short` is a job too short to tell, `JS1:None` one that nobody measured. Sites that run jobstats
(Princeton's) write these from Prometheus; reportseff, job_defense_shield and our own commands read them.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aistation_slurm.jobs.efficiency import SHORTEST, Efficiency
from aistation_slurm.slurm.model import Job

MARK = "JS1:"
SHORT, NONE = "JS1:Short", "JS1:None"
_MIB = 1 << 20
_LONGEST = 1 << 20
"""Bytes of JSON that are looked at: the largest job's summary has some ten thousand."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What the JSON says: `nodes` is node -> what it used."""

    nodes: dict[str, dict[str, Any]]
    total_time: int
    gpus: int


def is_summary(admin_comment: str) -> bool:
    """True where jobstats or we have written a summary."""
    return admin_comment.startswith(MARK)


def summary_of(used: Efficiency, nodes: Sequence[str]) -> Summary | None:
    """Return the summary of what Slurm's accounting tells; None where it tells nothing.

    It tells a job's sums, not each node's: they are shared out evenly, so that every share is the job's. Its GPUs are
    left out: readers take a job with GPUs for one whose GPUs were measured.
    """
    if used.cpu_time is None or used.memory_used is None or not nodes or not used.cpus or not used.memory:
        return None
    count = len(nodes)
    rows: dict[str, dict[str, Any]] = {}
    for index, node in enumerate(nodes):
        cpus = used.cpus // count + (index < used.cpus % count)
        rows[node] = {
            "total_memory": used.memory * _MIB // count,
            "used_memory": used.memory_used * _MIB // count,
            "total_time": round(used.cpu_time.total_seconds() * cpus / used.cpus, 1),
            "cpus": cpus,
        }
    return Summary(rows, int(used.wall.total_seconds()), 0)


def write_summary(summary: Summary | None, *, wall: timedelta) -> str:
    """Return what stands in the AdminComment; the same summary is always the same text."""
    if wall < SHORTEST:
        return SHORT
    if summary is None:
        return NONE
    told = {"nodes": summary.nodes, "total_time": summary.total_time, "gpus": summary.gpus}
    text = json.dumps(told, separators=(",", ":")).encode("ascii")
    return MARK + base64.b64encode(gzip.compress(text, mtime=0)).decode("ascii")


def read_summary(admin_comment: str) -> Summary | None:
    """Return the summary of an AdminComment; None where there is none, or one that tells nothing or can't be read."""
    if not is_summary(admin_comment) or admin_comment in {SHORT, NONE}:
        return None
    try:
        packed = base64.b64decode(admin_comment.removeprefix(MARK), validate=True)
        text = zlib.decompressobj(wbits=31).decompress(packed, _LONGEST)
        told = json.loads(text)
        nodes = {str(node): dict(used) for node, used in told["nodes"].items()}
        return Summary(nodes, int(told["total_time"]), int(told.get("gpus") or 0))
    except (binascii.Error, zlib.error, ValueError, KeyError, TypeError, AttributeError):
        return None


def efficiency_told(summary: Summary, job: Job) -> Efficiency:
    """Return what the summary says that the job used; what is not in it was not measured."""
    nodes = list(summary.nodes.values())
    busy = [float(value) for node in nodes for value in _of_gpus(node, "gpu_utilization")]
    seconds, used = _sum(nodes, "total_time"), _sum(nodes, "used_memory")
    gpu_used = [float(value) for node in nodes for value in _of_gpus(node, "gpu_used_memory")]
    return Efficiency(
        wall=timedelta(seconds=summary.total_time),
        time_limit=job.time_limit,
        nodes=max(1, len(nodes)),
        cpus=int(_sum(nodes, "cpus") or job.cpus),
        cpu_time=None if seconds is None else timedelta(seconds=seconds),
        memory=int((_sum(nodes, "total_memory") or 0) / _MIB) or job.tres.get("mem", 0),
        memory_used=None if used is None else int(used / _MIB),
        gpus=job.gpus or summary.gpus,
        gpu_busy=sum(busy) / len(busy) if busy else None,
        gpu_memory=int(sum(float(each) for node in nodes for each in _of_gpus(node, "gpu_total_memory")) / _MIB),
        gpu_memory_used=int(sum(gpu_used) / _MIB) if gpu_used else None,
    )


def _of_gpus(node: dict[str, Any], key: str) -> list[Any]:
    told = node.get(key)
    return [value for value in told.values() if isinstance(value, int | float)] if isinstance(told, dict) else []


def _sum(nodes: Sequence[dict[str, Any]], key: str) -> float | None:
    told = [node[key] for node in nodes if isinstance(node.get(key), int | float)]
    return float(sum(told)) if told else None
