"""What the page says instead of Slurm's tokens: states, reasons, amounts and times in words."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Literal

from aistation_slurm.slurm.model import Job, Node
from aistation_slurm.slurm.states import JobState

JobTone = Literal["running", "leaving", "waiting", "done", "stopped", "failed"]
NodeTone = Literal["idle", "mixed", "full", "drained", "down", "away"]

NODE_WORDS: dict[NodeTone, str] = {
    "idle": "idle",
    "mixed": "partly used",
    "full": "full",
    "drained": "set aside",
    "down": "down",
    "away": "not available",
}
"""What a node's tone is called; the legend of the page shows them in this order."""

_JOB_WORDS: dict[JobState, str] = {
    JobState.CONFIGURING: "starting",
    JobState.SUSPENDED: "suspended",
    JobState.COMPLETING: "ending",
    JobState.REQUEUED: "waiting again",
    JobState.REQUEUE_HOLD: "held",
    JobState.SPECIAL_EXIT: "held after its exit",
    JobState.NODE_FAIL: "lost its node",
    JobState.OUT_OF_MEMORY: "out of memory",
    JobState.TIMEOUT: "over its time limit",
    JobState.BOOT_FAIL: "node did not boot",
    JobState.PENDING: "waiting",
}

# Slurm 22.05 to 26.05, man squeue, JOB REASON CODES; the tokens of limits are read by _LIMIT.
_WHY: dict[str, str] = {
    "None": "not looked at yet",
    "": "not looked at yet",
    "Resources": "next in line: waits for enough to become free",
    "Priority": "others are ahead",
    "Dependency": "waits for another job",
    "DependencyNeverSatisfied": "the job it depends on failed: it can never start",
    "BeginTime": "its start time has not come",
    "JobHeldUser": "held by its user",
    "JobHeldAdmin": "held by an administrator",
    "JobHoldMaxRequeue": "held: was started again too often",
    "JobArrayTaskLimit": "its array runs as many at once as it may",
    "NodeDown": "a node it asked for is down",
    "BadConstraints": "no node has what it asks for",
    "Licenses": "waits for a licence",
    "Reservation": "waits for its reservation",
    "ReservationDeleted": "its reservation is gone",
    "PartitionDown": "the group is closed",
    "PartitionInactive": "the group takes no jobs",
    "PartitionNodeLimit": "asks for more nodes than the group gives",
    "PartitionTimeLimit": "asks for more time than the group gives",
    "InvalidAccount": "its team is not known any more",
    "InvalidQOS": "its QOS is not known any more",
    "QOSNotAllowed": "its QOS may not run in this group",
    "AccountNotAllowed": "its team may not use this group",
    "BurstBufferStageIn": "its data are being staged",
    "BurstBufferResources": "waits for room for its data",
    "Prolog": "its node is being prepared",
    "Cleaning": "its earlier run is being cleared away",
    "launch failed requeued held": "held: its node could not start it",
}
_LIMIT = re.compile(
    r"(?P<who>QOS|Assoc)(?P<how>Grp|Max|Min)(?P<what>[A-Z][A-Za-z]*?)(?P<per>Per[A-Za-z]+?|PU|PA)?(?:Limit)?"
)
_WHAT = {
    "GRES": "GPUs", "TRES": "GPUs or other resources", "Billing": "billing", "CPU": "CPUs", "Cpu": "CPUs",
    "Mem": "memory", "Memory": "memory", "Node": "nodes", "Jobs": "jobs", "Job": "jobs", "Submit": "submitted jobs",
    "SubmitJobs": "submitted jobs", "Wall": "time", "WallDuration": "time",
}  # fmt: skip
_WHOM = {"PerUser": " per user", "PU": " per user", "PerAccount": " per team", "PA": " per team", "PerJob": " per job",
         "PerNode": " per node"}  # fmt: skip


def job_tone(state: JobState) -> JobTone:
    """Return which of the page's six kinds of job state this is."""
    if state.is_running:
        return "running"
    if state.is_leaving:
        return "leaving"
    if state.is_waiting or state is JobState.UNKNOWN:
        return "waiting"
    if state.is_success:
        return "done"
    stopped = {JobState.CANCELLED, JobState.PREEMPTED, JobState.REVOKED}
    return "stopped" if state in stopped else "failed"


def job_words(state: JobState) -> str:
    """Return the state as a person says it."""
    return _JOB_WORDS.get(state, state.value.lower().replace("_", " "))


def why_it_waits(job: Job) -> str:
    """Return why the job waits, in words; empty where it does not wait. An unknown reason stays Slurm's own."""
    if not job.state.is_waiting:
        return ""
    reason = job.reason.strip("()")
    if reason == "BeginTime" and job.restart_count:
        return "lost its node; starts again in a moment"
    if reason.startswith("ReqNodeNotAvail"):
        return "a node it needs is not available"
    return _WHY.get(reason) or _limit_in_words(reason) or reason


def _limit_in_words(reason: str) -> str:
    match = _LIMIT.fullmatch(reason)
    if not match or match["what"] not in _WHAT:
        return ""
    whom = _WHOM.get(match["per"] or "", "")
    if match["how"] == "Min":
        return f"asks for too few {_WHAT[match['what']]}"
    return f"quota used up: {_WHAT[match['what']]}{whom}"


def node_tone(node: Node) -> NodeTone:
    """Return which of the page's six kinds of node state this is; trouble wins over use."""
    if node.state.is_down or node.state.is_not_responding:
        return "down"
    if node.state.is_draining:
        return "drained"
    if not node.state.is_usable:
        return "away"
    if not node.state.is_working and not gpus_in_use(node):
        return "idle"
    return "full" if _is_full(node) else "mixed"


def _is_full(node: Node) -> bool:
    if node.gpus:
        return gpus_in_use(node) >= node.gpus and (not node.shards_allocated or _shares_left(node) <= 0)
    return bool(node.cpus) and node.cpus_allocated >= node.cpus


def _shares_left(node: Node) -> int:
    each = node.shards // node.gpus
    return node.shards - node.shards_allocated - node.gpus_allocated * each


def gpus_in_use(node: Node) -> int:
    """Return how many GPUs somebody has, whole or in shares (at least as many as the shares need)."""
    shared = 0
    if node.gpus and node.shards:
        each = max(1, node.shards // node.gpus)
        shared = -(-node.shards_allocated // each)
    return min(node.gpus, node.gpus_allocated + shared)


def duration(value: timedelta | None) -> str:
    """Return `2 d 3 h`, `3 h 04 min`, `4 min 05 s` or `5 s`; None is `no limit`."""
    if value is None:
        return "no limit"
    seconds = max(0, int(value.total_seconds()))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes:02} min" if minutes else f"{hours} h"
    if minutes:
        return f"{minutes} min {seconds:02} s" if seconds else f"{minutes} min"
    return f"{seconds} s"


def clock(value: timedelta) -> str:
    """Return `1-02:03:04`, `2:03:04` or `3:04`, as short as it can be read: the page's running clocks."""
    minutes, seconds = divmod(max(0, int(value.total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}-{hours:02}:{minutes:02}:{seconds:02}"
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def rough(value: timedelta) -> str:
    """Return the largest whole unit of it: `5 d`, `2 h`, `3 min` or `12 s`."""
    seconds = max(0, int(value.total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def ago(moment: datetime, now: datetime) -> str:
    """Return `just now`, `12 s ago`, `3 min ago`, `2 h ago` or `5 d ago`."""
    return "just now" if now - moment < timedelta(seconds=2) else f"{rough(now - moment)} ago"


def memory(mib: int) -> str:
    """Return MiB as `512 MiB` or `251 GiB`."""
    return f"{mib} MiB" if mib < 1024 else f"{mib / 1024:.0f} GiB"


def many(count: int, one: str, more: str = "") -> str:
    """Return `1 node`, `2 nodes`, `1,204 jobs`."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def clean(text: str) -> str:
    """Return the text with every character that can't be shown (control, direction marks) as a middle dot."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "·" for each in text)
