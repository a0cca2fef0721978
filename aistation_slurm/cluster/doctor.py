"""A read-only look at a running Slurm: what we found, what hinders us, and the line that would change it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from aistation_slurm.errors import SlurmError
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Node, Partition

Level = Literal["good", "note", "bad"]

OLDEST = (22, 5)
PATCHED = {(25, 5): 9, (25, 11): 8, (26, 5): 4}
"""The first release of each line in which the eight CVEs of 2 September 2026 are fixed."""
LEVELS: dict[Level, str] = {"good": "ok", "note": "note", "bad": "!!"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    text: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{LEVELS[self.level]:4} {self.text}" + (f"\n     {self.hint}" if self.hint else "")


def examine(slurm: Slurm) -> list[Finding]:
    """Return what a look at the running Slurm shows; asks only, changes nothing.

    Raises:
        SlurmError: slurmctld can't be asked at all.
    """
    config = slurm.read.config()
    nodes, partitions = slurm.read.nodes(), slurm.read.partitions()
    chosen = Finding("good", str(slurm.choice))
    return [*_version(config), chosen, *_hardware(nodes, partitions), *_settings(config), *_accounting(slurm, config)]


def _version(config: Mapping[str, str]) -> Iterator[Finding]:
    text = config.get("SLURM_VERSION", "")
    name = config.get("ClusterName", "?")
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", text)
    if not match:
        yield Finding("note", f"cluster {name}, Slurm of an unknown version {text!r}")
        return
    line, patch = (int(match[1]), int(match[2])), int(match[3])
    if line < OLDEST:
        yield Finding("bad", f"cluster {name}, Slurm {text}", "22.05 is the oldest that we were tried with")
        return
    yield Finding("good", f"cluster {name}, Slurm {text}")
    if patch < PATCHED.get(line, 0) or line < min(PATCHED):
        fixed = ", ".join(f"{year}.{month:02}.{patch}" for (year, month), patch in PATCHED.items())
        yield Finding("note", "eight CVEs of 2 September 2026 are open in this release", f"fixed upstream in {fixed}")


def _hardware(nodes: Sequence[Node], partitions: Sequence[Partition]) -> Iterator[Finding]:
    usable = sum(node.state.is_usable for node in nodes)
    gpus = sum(node.gpus for node in nodes)
    level: Level = "good" if gpus and usable else "bad"
    yield Finding(level, f"{usable} of {len(nodes)} nodes usable, {gpus} GPUs, {len(partitions)} partitions")
    if not gpus:
        yield Finding(
            "bad", "no node has a GPU", "GresTypes=gpu in slurm.conf, Gres=gpu:TYPE:COUNT on its NodeName lines"
        )


_WANTED: tuple[tuple[str, str, str], ...] = (
    ("SelectType", r"select/cons_tres", "GPUs are counted only by SelectType=select/cons_tres"),
    ("JobRequeue", r"1", "JobRequeue=1 lets Slurm start a job again after its node died"),
    ("PriorityType", r"priority/multifactor", "PriorityType=priority/multifactor is what shares and turns stand on"),
    ("PreemptType", r"preempt/qos", "PreemptType=preempt/qos is what emergency jobs stand on"),
    ("ProctrackType", r"proctrack/cgroup", "ProctrackType=proctrack/cgroup leaves no process behind when a job ends"),
)


def _settings(config: Mapping[str, str]) -> Iterator[Finding]:
    for key, wanted, hint in _WANTED:
        value = config.get(key, "(not set)")
        good = re.fullmatch(wanted, value) is not None
        yield Finding("good" if good else "note", f"{key}={value}", "" if good else hint)


def _accounting(slurm: Slurm, config: Mapping[str, str]) -> Iterator[Finding]:
    if config.get("AccountingStorageType", "") != "accounting_storage/slurmdbd":
        yield Finding(
            "bad",
            "no accounting by slurmdbd",
            "teams and quotas need AccountingStorageType=accounting_storage/slurmdbd",
        )
        return
    enforced = config.get("AccountingStorageEnforce", "")
    if not {"limits", "qos"} <= set(enforced.replace("safe", "safe,limits").split(",")):
        yield Finding(
            "note",
            f"AccountingStorageEnforce={enforced or '(not set)'}",
            "quotas bind only with associations,limits,qos",
        )
    try:
        yield Finding(
            "good", f"slurmdbd answers: {len(slurm.read.accounts())} accounts, {len(slurm.read.users())} users"
        )
    except SlurmError as error:
        yield Finding("bad", f"slurmdbd: {error}", error.hint)
