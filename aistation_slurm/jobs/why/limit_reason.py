"""The reasons that name a limit, such as `QOSMaxGRESPerUser`: their names are put together, so they are taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

_NAME = re.compile(
    r"(?P<of>QOS|Assoc)?(?P<bound>Grp|Max|Min)"
    r"(?P<what>Cpu|CPU|Mem(?:ory)?|Node|GRES|Billing|Energy|License|BB|Unknown|SubmitJobs?|Jobs|Wall(?:Duration)?)"
    r"(?P<time>RunMin(?:ute)?s|Minutes)?(?:Per(?P<per>Job|Node|User|Account))?(?:Limit|NotSatisfied)?"
)
_WHAT = {
    "Cpu": "cpu", "CPU": "cpu", "Mem": "mem", "Memory": "mem", "Node": "node", "GRES": "gres", "Billing": "billing",
    "Energy": "energy", "License": "license", "BB": "bb", "Unknown": "", "SubmitJobs": "submit", "SubmitJob": "submit",
    "Jobs": "jobs", "Wall": "wall", "WallDuration": "wall",
}  # fmt: skip
_WORDS = {
    "cpu": "CPU", "mem": "memory", "node": "node", "gres": "GPU", "billing": "billing", "energy": "energy",
    "license": "license", "bb": "burst buffer", "": "TRES", "submit": "submitted jobs", "jobs": "running jobs",
    "wall": "time",
}  # fmt: skip

Bound = Literal["all", "user", "account", "job", "node", "least"]
"""What the limit bounds: all jobs of the QOS or association together, those of a user or an account, one job, one
node of it; or it is the least that a job must ask for."""


@dataclass(frozen=True, slots=True)
class LimitReason:
    """A limit that Slurm's reason names; which QOS or association has it, the reason does not say."""

    of: Literal["qos", "association"]
    bound: Bound
    what: str
    """A kind of TRES (`cpu`, `mem`, `gres`, ...; empty: Slurm has no name for it), or `jobs`, `submit`, `wall`."""
    time: Literal["", "minutes", "run minutes"] = ""
    """`minutes`: what was used over time; `run minutes`: what running jobs may still use up."""

    @property
    def is_of_the_job_alone(self) -> bool:
        """True where the job itself asks for more (or less) than any job may: waiting does not help."""
        return self.bound in {"job", "node", "least"}

    @property
    def short(self) -> str:
        """`user's GPU quota`."""
        thing = _WORDS[self.what] + (f" {self.time}" if self.time else "")
        if self.bound == "least":
            return f"{thing} minimum"
        if self.is_of_the_job_alone:
            return f"{thing} limit per {self.bound}"
        whose = {"user": "user's ", "account": "team's "}.get(self.bound, "QOS's " if self.of == "qos" else "")
        return f"{whose}{thing} quota"

    @property
    def says(self) -> str:
        """The same as a sentence, as far as the name alone tells."""
        thing = _WORDS[self.what] + (f" {self.time}" if self.time else "")
        where = "QOS" if self.of == "qos" else "association"
        if self.bound == "least":
            return f"it asks for less than the {thing} that each job must ask for (a limit of its {where})"
        if self.is_of_the_job_alone:
            return f"it asks for more than the {thing} that one {self.bound} may have (a limit of its {where})"
        whose = "all jobs under its QOS" if self.of == "qos" else "its user, its team or a team above"
        whose = {"user": "its user", "account": "its team"}.get(self.bound, whose)
        return f"the {thing} quota of {whose} leaves no room for it"


def read_limit_reason(name: str) -> LimitReason | None:
    """Return the limit that a reason names; None where it names none.

    `MaxGRESPerAccount` and its kin are limits of a QOS too (src/slurmctld/acct_policy.c, 22.05 to 26.05).
    """
    match = _NAME.fullmatch(name)
    if not match:
        return None
    of: Literal["qos", "association"] = "association" if match["of"] == "Assoc" else "qos"
    time: Literal["", "minutes", "run minutes"] = ""
    if match["time"]:
        time = "minutes" if match["time"] == "Minutes" else "run minutes"
    return LimitReason(of, _bound(match), _WHAT[match["what"]], time)


def _bound(match: re.Match[str]) -> Bound:
    if match["bound"] == "Min":
        return "least"
    if match["per"] is None:  # AssocMaxJobsLimit: of this user with this account
        return "all"
    bounds: dict[str, Bound] = {"Job": "job", "Node": "node", "User": "user", "Account": "account"}
    return bounds[match["per"]]
