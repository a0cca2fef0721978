"""Steps: those that run (squeue -s, scontrol) and those that slurmdbd remembers with what they used (sacct)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.commands.command import Command, Row, bare, fresh_mark, piped, rows
from aistation_slurm.slurm.model import JobStep, StepUsage
from aistation_slurm.slurm.states import JobState
from aistation_slurm.slurm.tres import read_amount, read_tres, read_tres_usage
from aistation_slurm.slurm.units import read_bytes, read_count, read_cpu_time, read_duration, read_exit_code, read_time

STEP_FIELDS = (
    "StepID", "JobID", "StepName", "StepState", "Nodes", "NumCPUs", "NumTasks", "StartTime", "TimeUsed", "Network",
)  # fmt: skip
HISTORY_FIELDS = (
    "JobIDRaw", "JobName", "State", "NodeList", "NNodes", "NCPUS", "NTasks", "AllocTRES", "Start", "End", "ElapsedRaw",
    "ExitCode", "TotalCPU", "MaxRSS", "TRESUsageInMax", "TRESUsageInTot",
)  # fmt: skip
USAGE_FIELDS = ("JobID", "Nodelist", "NTasks", "TRESUsageInMax", "TRESUsageInTot")
# Up to the name nothing in the line is a user's text. `[^\n]` since a name may hold line breaks.
_HEAD = re.compile(r"^StepId=(?P<id>\S+) UserId=[^\n]*? Nodes=(?P<nodes>\S+) CPUs=\d+ Tasks=\d+ Name=", re.MULTILINE)
_TRES = re.compile(r"(?P<tres>\S*) ResvPorts=")


EVERY_JOB = "4294967294"
"""Slurm's number for any job: 22.05 shows no arrays where no job is named (step_mgr.c); later ones refuse it."""


@dataclass(frozen=True, slots=True)
class RunningStep:
    """A step as squeue knows it, and how `scontrol show step` shows it."""

    step: JobStep
    shown_id: str
    shown_text: str
    """What stands between `Name=` and its TRES, in which a user may have written anything."""

    @property
    def is_of_array(self) -> bool:
        """True where it belongs to a member of an array: `9_5.batch`."""
        return "_" in self.shown_id


def running_steps() -> Command[list[RunningStep]]:
    """The steps that run, all but their TRES, which squeue does not tell; pending ones squeue leaves out."""
    mark = fresh_mark()
    fields = ",".join(f"{field}:{mark}" for field in STEP_FIELDS)
    return Command(
        ("squeue", "-a", "-h", "-s", "-O", fields),
        read=lambda text: [_running(row) for row in rows(text, STEP_FIELDS, mark)],
    )


def show_steps(running: Sequence[RunningStep], *which: str) -> Command[list[JobStep]]:
    """The running steps with their TRES; those that have ended in the meantime are left out.

    scontrol prints the name in the middle of its line: only with the name known from squeue can it be read.
    """
    return Command(("scontrol", "-a", "-o", "show", "step", *which), read=lambda text: _with_tres(text, running))


def step_history(*job_ids: int) -> Command[list[JobStep]]:
    """The steps of these jobs, of their last run; the id of an array or a heterogeneous job means all its members.

    `--noconvert`: what was used is told in bytes and not in rounded units.
    """
    mark = fresh_mark()
    argv = (
        *("sacct", "-a", "-n", "-p", "--noconvert", "--delimiter", mark),
        *("-j", ",".join(map(str, job_ids)), "-o", ",".join(HISTORY_FIELDS)),
    )
    return Command(
        argv,
        read=lambda text: [
            _remembered(row) for row in rows(text, HISTORY_FIELDS, mark) if "." in row["JobIDRaw"]
        ],
    )  # fmt: skip


def running_usage(*job_ids: int) -> Command[list[JobStep]]:
    """What the running steps of these jobs use, `batch` too: their nodes are asked, and measure at once.

    sstat knows no mark, and no user's text is in what it tells. The id of an array means all its members: a step may be
    told twice.
    """
    return Command(
        ("sstat", "-a", "-n", "-P", "--noconvert", "-j", ",".join(map(str, job_ids)), "-o", ",".join(USAGE_FIELDS)),
        read=lambda text: list({(each.job_id, each.step_id): each for each in _using(text)}.values()),
    )


def _using(text: str) -> Iterator[JobStep]:
    for row in piped(text, USAGE_FIELDS):
        job_id, _, step_id = row["JobID"].partition(".")
        total = read_tres_usage(row["TRESUsageInTot"])
        most = read_tres_usage(row["TRESUsageInMax"])
        yield JobStep(
            job_id=read_count(job_id),
            step_id=step_id,
            name="",
            state=JobState.RUNNING,
            nodes=bare(row["Nodelist"]),
            tasks=read_count(row["NTasks"]),
            usage=StepUsage(
                cpu_time=timedelta(seconds=total["cpu"]) if "cpu" in total else None,
                max_rss=most.get("mem"),
                tres_max=most,
                tres_total=total,
            ),
        )


def _running(row: Row) -> RunningStep:
    step = JobStep(
        job_id=read_count(row["JobID"]),
        step_id=row["StepID"].rpartition(".")[2],
        name=row["StepName"],
        state=JobState.parse(row["StepState"]),
        nodes=bare(row["Nodes"]),
        cpus=read_count(row["NumCPUs"]),
        tasks=read_count(row["NumTasks"]),
        start_time=read_time(row["StartTime"]),
        elapsed=read_duration(row["TimeUsed"]),
    )
    return RunningStep(step, row["StepID"], f"{row['StepName']} Network={row['Network']} TRES=")


def _with_tres(text: str, running: Sequence[RunningStep]) -> list[JobStep]:
    """Go through the text from step to step: what a known name holds is passed over, whatever it looks like."""
    if not text.endswith("\n") or not text.startswith(("StepId=", "No job steps")):
        raise SlurmUnreadable("half an answer, or another one, about the steps")
    known = {each.shown_id: each for each in running}
    found: dict[str, JobStep] = {}
    position = 0
    while head := _HEAD.search(text, position):
        position = head.end()
        each = known.get(head["id"])
        if each is None or not text.startswith(each.shown_text, position):
            continue
        position += len(each.shown_text)
        if match := _TRES.match(text, position):
            tres, node_count = read_tres(bare(match["tres"])), read_amount(head["nodes"])
            found.setdefault(head["id"], replace(each.step, tres=tres, node_count=node_count))
    return list(found.values())


def _remembered(row: Row) -> JobStep:
    job_id, _, step_id = row["JobIDRaw"].partition(".")
    end_time = read_time(row["End"])
    return JobStep(
        job_id=read_count(job_id),
        step_id=step_id,
        name=row["JobName"],
        state=JobState.parse(row["State"]),
        nodes=bare(row["NodeList"]),
        node_count=read_count(row["NNodes"]),
        cpus=read_count(row["NCPUS"]),
        tasks=read_count(row["NTasks"]),
        tres=read_tres(row["AllocTRES"]),
        start_time=read_time(row["Start"]),
        end_time=end_time,
        elapsed=timedelta(seconds=read_count(row["ElapsedRaw"])),
        exit_code=read_exit_code(row["ExitCode"]),
        usage=StepUsage(
            cpu_time=read_cpu_time(row["TotalCPU"]) if end_time else None,
            max_rss=read_bytes(row["MaxRSS"]),
            tres_max=read_tres_usage(row["TRESUsageInMax"]),
            tres_total=read_tres_usage(row["TRESUsageInTot"]),
        ),
    )
