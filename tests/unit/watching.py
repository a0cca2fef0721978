"""What the tests of watching share: a clock, a job with one interesting field, a Slurm that answers from a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aistation_slurm.errors import UnknownToSlurm
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Asked, Job, JobStep
from aistation_slurm.slurm.states import JobState

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def a_job(**known: Any) -> Job:
    return Job(**{"job_id": 12, "name": "train", "user": "ann", "state": JobState.RUNNING, **known})


def a_member(task: str, job_id: int = 0, **known: Any) -> Job:
    number = int(task) if task.isdecimal() else 99
    return a_job(**{"job_id": job_id or 200 + number, "array_job_id": 100, "array_task": task, **known})


@dataclass
class FakeReader:
    """Answers from lists; of `job` the next of several looks each time."""

    held: list[Job] = field(default_factory=list)
    past: list[Job] = field(default_factory=list)
    looks: list[Job] = field(default_factory=list)
    steps: list[JobStep] = field(default_factory=list)
    stderr: str = ""
    asked_of: list[dict[str, Any]] = field(default_factory=list)

    def jobs(self, *, with_over: bool = False) -> list[Job]:
        return list(self.held)

    def job(self, job_id: int) -> Job:
        if self.looks:
            return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        kin = [each for each in [*self.held, *self.past] if job_id in {each.job_id, each.array_job_id, each.het_job_id}]
        if not kin:
            raise UnknownToSlurm(f"no job {job_id}")
        return next((each for each in kin if each.job_id == job_id), kin[0])

    def history(self, **asked: Any) -> list[Job]:
        self.asked_of.append(asked)
        return list(self.past)

    def asked(self, *job_ids: int) -> list[Asked]:
        return [Asked(job_id=each, stderr=self.stderr) for each in job_ids]

    def step_history(self, *job_ids: int) -> list[JobStep]:
        return [each for each in self.steps if each.job_id in job_ids]

    def running_usage(self, *job_ids: int) -> list[JobStep]:
        return self.step_history(*job_ids)

    def config(self) -> dict[str, str]:
        return {"ClusterName": "small"}


@dataclass
class FakeWriter:
    """Remembers what it was told."""

    told: list[tuple[int, str, str]] = field(default_factory=list)
    unknown: Sequence[int] = ()

    def set_admin_comment(self, job: Job, text: str, *, cluster: str, bin: object = None) -> None:  # noqa: A002
        if job.job_id in self.unknown:
            raise UnknownToSlurm(f"no job {job.job_id}")
        self.told.append((job.job_id, text, cluster))


def a_slurm(reader: FakeReader, writer: FakeWriter | None = None) -> Slurm:
    return Slurm(read=reader, write=writer or FakeWriter())  # type: ignore[arg-type]
