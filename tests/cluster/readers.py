"""The readers that the contract is held to, and how two answers are compared."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from aistation_slurm.errors import SlurmMissing
from aistation_slurm.slurm.reader import SlurmReader
from aistation_slurm.slurm.readers.cli import CliReader
from aistation_slurm.slurm.readers.libslurm import libslurm_reader
from aistation_slurm.slurm.readers.rest import RestReader
from aistation_slurm.slurm.runner import LocalRunner


def make_cli(station: Any) -> SlurmReader | None:
    """Slurm's own commands: wherever Slurm is."""
    return CliReader(LocalRunner(slurm_conf=station.settings.slurm.conf, bin=station.settings.slurm.bin))


def make_libslurm(station: Any) -> SlurmReader | None:
    """Libslurm in a worker; with pyslurm's help where one is installed that fits the station's Slurm."""
    slurm = station.settings.slurm
    try:
        return libslurm_reader(station.exec(["scontrol", "--version"]).stdout, slurm_conf=slurm.conf, bin=slurm.bin)
    except SlurmMissing:
        return None


def make_rest(station: Any) -> SlurmReader | None:
    """slurmrestd: wherever one listens."""
    socket = station.cluster.paths.run / "slurmrestd" / "slurmrestd.socket"
    return cast("SlurmReader", RestReader(socket)) if socket.exists() else None


READERS: dict[str, Callable[[Any], SlurmReader | None]] = {
    "cli": make_cli,
    "libslurm": make_libslurm,
    "rest": make_rest,
}
"""Name -> what makes it for a station; None where it can't be had there."""

ASKED: dict[str, Callable[[SlurmReader, Any], object]] = {
    "jobs": lambda reader, _: reader.jobs(with_over=True),
    "job": lambda reader, stage: [reader.job(each) for each in stage.jobs.values()],
    "steps": lambda reader, _: reader.steps(),
    "nodes": lambda reader, _: reader.nodes(),
    "partitions": lambda reader, _: reader.partitions(),
    "reservations": lambda reader, _: reader.reservations(),
    "config": lambda reader, _: reader.config(),
    "loaded_qos": lambda reader, _: reader.loaded_qos(),
    "limits_in_use": lambda reader, _: reader.limits_in_use(),
    "controllers": lambda reader, _: reader.controllers(),
    "diag": lambda reader, _: reader.diag(),
    "qos": lambda reader, _: reader.qos(),
    "accounts": lambda reader, _: reader.accounts(),
    "users": lambda reader, _: reader.users(),
    "associations": lambda reader, _: reader.associations(),
    "tres": lambda reader, _: reader.tres(),
    "site_factors": lambda reader, _: reader.site_factors(),
    "priority_factors": lambda reader, _: reader.priority_factors(),
    "asked": lambda reader, stage: reader.asked(*stage.jobs.values()),
    "batch_script": lambda reader, stage: reader.batch_script(stage.jobs["running"]),
    "fair_shares": lambda reader, _: reader.fair_shares(),
    "history": lambda reader, _: reader.history(since=datetime.now(UTC) - timedelta(hours=5)),
    "step_history": lambda reader, stage: reader.step_history(*stage.jobs.values()),
    "running_usage": lambda reader, stage: reader.running_usage(*stage.jobs.values()),
    "usage": lambda reader, stage: reader.usage(stage.hour, stage.hour + timedelta(hours=1)),
}
"""Question -> how it is asked where two answers are compared."""

MOVING: dict[str, frozenset[str]] = {
    "Job": frozenset({"elapsed", "priority"}),
    "JobStep": frozenset({"elapsed"}),
    "Asked": frozenset({"planned_nodes"}),
    "PriorityFactors": frozenset({"age", "fair_share"}),
    "Node": frozenset({"load", "memory_free", "last_busy_time"}),
    "Diag": frozenset({
        "threads", "agent_queue", "dbd_agent_queue", "jobs_pending", "jobs_running", "schedule_cycle_last",
        "schedule_cycle_max", "schedule_cycle_mean", "backfill_cycle_last", "backfill_cycle_max", "backfilled_jobs",
        "rpcs", "rpcs_of_users",
    }),
}  # fmt: skip
"""What moves by itself from one look to the next; all else is the same, whoever asks."""

_BY: dict[str, tuple[str, ...]] = {
    "Job": ("job_id", "array_task"),
    "JobStep": ("job_id", "step_id"),
    "Association": ("cluster", "account", "user", "partition"),
    "AssociationUse": ("account", "user", "partition"),
    "FairShare": ("account", "user", "partition"),
    "Asked": ("job_id",),
    "PriorityFactors": ("job_id", "partition"),
    "Usage": ("account", "user", "tres"),
    "TresKind": ("tres_id",),
    "Controller": ("host",),
}
"""Which fields say which one it is, where it is not the name."""


def differences(ours: object, theirs: object) -> list[str]:
    """Return a line for each field that differs; nothing where both say the same."""
    left, right = _flat(ours), _flat(theirs)
    return [
        f"{key}: {left.get(key, 'missing')!r}, the cli reader says {right.get(key, 'missing')!r}"
        for key in sorted(left.keys() | right.keys())
        if not _same(left.get(key, "missing"), right.get(key, "missing"))
        and not _untold(key, right.get(key))
        and not _of_no_script(key, left.get(key))
        and not _cut_by_sacct(key, left.get(key), right.get(key))
    ]


def _flat(answer: object, path: str = "") -> dict[str, object]:
    """Return each field by its path: `Job 7.name`."""
    if dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        return _flat_one(answer, path)
    if isinstance(answer, list | tuple) and any(dataclasses.is_dataclass(each) for each in answer):
        return {key: value for each in answer for key, value in _flat(each, path).items()}
    if isinstance(answer, Mapping):
        return {key: value for name, each in answer.items() for key, value in _flat(each, f"{path}[{name}]").items()}
    return {path: _unordered(answer)}


def _flat_one(one: Any, path: str) -> dict[str, object]:
    kind = type(one).__name__
    names = [each.name for each in dataclasses.fields(one)]
    by = _BY.get(kind, ("name",) if "name" in names else ())
    here = f"{path}/{kind} {' '.join(str(getattr(one, name)) for name in by)}".rstrip()
    moving = MOVING.get(kind, frozenset()) | (_moving_of(one) if kind == "Job" else frozenset())
    found: dict[str, object] = {here: "there"}
    for name in names:
        if name not in moving:
            found |= _flat(getattr(one, name), f"{here}.{name}")
    return found


def _moving_of(job: Any) -> frozenset[str]:
    """The expected times of a job that waits are another guess each time."""
    return frozenset({"start_time", "end_time"}) if job.state.is_waiting else frozenset()


def _untold(field: str, theirs: object) -> bool:
    """True where the cli reader says that Slurm left the field out; who is told it, may say more."""
    return field.startswith("/Node ") and field.endswith(".port") and theirs == 0


def _of_no_script(field: str, ours: object) -> bool:
    """True where a reader knows that a job has no script, whose host and output squeue makes up all the same."""
    return field.startswith("/Job ") and field.endswith((".batch_host", ".stdout")) and ours == ""


def _cut_by_sacct(field: str, ours: object, theirs: object) -> bool:
    """True where sacct took 128 off the exit code, as it does up to 25.05: 15:0 for what exited with 143."""
    if not field.endswith(".exit_code") or not (isinstance(ours, str) and isinstance(theirs, str)):
        return False
    code, _, signal = ours.partition(":")
    return code.isdecimal() and int(code) >= 128 and theirs == f"{int(code) - 128}:{signal}"


def _unordered(value: object) -> object:
    if isinstance(value, tuple | list) and all(isinstance(each, str) for each in value):
        return sorted(value)
    return value


def _same(left: object, right: object) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-4, abs_tol=1e-5)  # sshare prints six digits
    return left == right
