"""What is to happen over time and in trouble: environments, nights, emergencies, caches, alarms, notices."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

from aistation_slurm.spec.base import Spec
from aistation_slurm.spec.quotas import Quotas
from aistation_slurm.spec.types import Clocks, Country, Date, Domain, Duration, Memory, MoreThanZero, Percent

NIGHT = "night"
"""The QOS of jobs that run while people are away."""


class IdlePolicy(Spec):
    """What happens to a development environment that nobody uses."""

    remind_after: Duration = Field(timedelta(hours=1), description="How long until its owner is reminded.")
    stop_after: Duration | None = Field(None, description="How long until it is stopped; without it, never.")


class EnvironmentPolicy(Spec):
    """How many development environments a user may have, and how large."""

    per_user: int = Field(2, ge=0, le=1000, description="How many a user may have at the same time.")
    gpu_shares: int = Field(
        1, ge=0, le=4096, description="Shares of a GPU (whole GPUs where they are not shared) of each."
    )
    cpus: MoreThanZero = Field(2, description="CPUs of each.")
    memory: Memory = Field(8192, description="Memory of each, such as `7G`.")
    idle: IdlePolicy = Field(IdlePolicy.model_construct(), description="When an idle one is reminded of and stopped.")


class Calendar(Spec):
    """When people are away, and their GPUs may be used by others: jobs of QOS `night` run then, and only then."""

    nights: Clocks | None = Field(None, description="The hours of night, such as `20:00-08:00`.")
    weekends: bool = Field(False, description="True if Saturdays and Sundays count too.")
    holidays: Country | None = Field(None, description="The country whose public holidays count, such as `CN`.")
    extra: list[Date] = Field([], description="More days that count as a holiday, such as `[2026-12-24]`.")
    workdays: list[Date] = Field(
        [], description="Saturdays, Sundays and holidays on which people work nevertheless, such as `[2026-10-10]`."
    )
    quota: Quotas = Field(
        Quotas.model_construct(),
        description="What a user or a team may have under QOS `night`, over all groups; it takes the place of every "
        "other quota, but for how many jobs somebody may have over all groups. Without it, all others hold then too.",
    )

    @property
    def has_nights(self) -> bool:
        """True where it names times at all; without them there is no QOS `night`."""
        return bool(self.nights or self.weekends or self.holidays or self.extra)


class EmergencyPolicy(Spec):
    """What an emergency job may do beyond starting first."""

    over_quota: bool = Field(
        False,
        description="True: no quota holds for emergency jobs, but for how many jobs somebody may have over all groups. "
        "Else all do.",
    )


class CachePolicy(Spec):
    """How nodes keep copies of data sets. Read and checked; a later part of the product carries it out."""

    keep_free: Percent = Field(10, description="How much of a cache disk stays free, in percent.")
    drop_after: Duration | None = Field(
        None, description="How long a copy may lie unused; without it, until the space is needed."
    )


class AlarmPolicy(Spec):
    """When an administrator is to be told. Read and checked; a later part of the product carries it out."""

    node_down_after: Duration = Field(timedelta(minutes=5), description="How long a node may be lost.")
    gpu_temperature: int = Field(90, ge=30, le=120, description="From how many degrees Celsius a GPU is too hot.")
    disk_full: Percent = Field(90, description="From how many percent a disk is too full.")
    low_use: Percent | None = Field(
        None, description="Below how many percent of GPUs in use over a day; without it, never."
    )


class NoticePolicy(Spec):
    """What users are told, and how. Read and checked; a later part of the product carries it out."""

    by: list[Literal["mail", "page", "terminal"]] = Field(["page"], description="Ways to tell somebody.")
    mail_domain: Domain | None = Field(
        None,
        description="Where users have their mail, such as `example.org`: `ann` is written to as `ann@example.org`.",
    )
    before_end: Duration | None = Field(
        None, description="How long before its time limit a job's owner is told; without it, not at all."
    )


class AutoResumePolicy(Spec):
    """When a training that was submitted with `--auto-resume` and ended too soon is started again."""

    max_restarts: int = Field(
        5, ge=0, le=1000, description="How often at most, whatever its owner asked for; 0 switches it off."
    )
    unknown_tries: int = Field(2, ge=0, le=100, description="How often where nobody can tell why it ended.")
    at_once: MoreThanZero = Field(
        20, description="How many in one round: more that end together are a fault of ours, and wait for the next."
    )


class TrainingPolicy(Spec):
    """What is done for trainings."""

    auto_resume: AutoResumePolicy = Field(
        AutoResumePolicy.model_construct(), description="When one that ended too soon is started again."
    )
