"""What QOS of ours, and our table of rules, say beside groups and teams."""

from __future__ import annotations

import re

from aistation_slurm.cluster.imported.seen import Seen
from aistation_slurm.cluster.imported.words import Data
from aistation_slurm.cluster.wanted.desired import DEVELOPMENT, EMERGENCY
from aistation_slurm.slurm.model import Qos
from aistation_slurm.spec.amounts import write_memory

_OVER_REQUEST = re.compile(r'^  over_request = "(\w+)"', re.MULTILINE)


def ours(seen: Seen) -> dict[str, Data]:
    """Return the keys of the cluster file that they say; what is as it would be without a key is left out."""
    data: dict[str, Data] = {}
    if qos := seen.our_job_qos(DEVELOPMENT):
        data["environments"] = _environments(qos)
    if (emergency := seen.our_job_qos(EMERGENCY)) and "OverPartQOS" in emergency.flags:
        data["emergency"] = {"over_quota": True}
    if (found := _OVER_REQUEST.search(seen.our_rules)) and found[1] != "adjust":
        data["over_request"] = found[1]
    return data


def _environments(qos: Qos) -> dict[str, Data]:
    each = qos.limits.max_tres_per_job
    shares = max((each.get(name, 0) for name in ("gres/shard", "gres/mps", "gres/gpu")), default=0)
    said: dict[str, Data | None] = {
        "per_user": qos.limits.max_jobs_per_user,
        "gpu_shares": shares,
        "cpus": each.get("cpu"),
        "memory": write_memory(each["mem"]) if "mem" in each else None,
    }
    return {key: value for key, value in said.items() if value is not None}
