"""The right to submit emergency jobs: given and taken in the cluster file and in Slurm, so that the two agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aistation_slurm.errors import (
    SlurmError,
    SlurmUnreachable,
    SpecError,
    StalePlan,
    UnknownNameError,
    UnknownToSlurm,
    UsageError,
)
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Association
from aistation_slurm.spec import ClusterSpec, load_spec
from aistation_slurm.spec.edit import read_text, with_emergency, without_emergency, write_spec

EMERGENCY = "emergency"
"""The QOS of emergency jobs."""


@dataclass(frozen=True, slots=True)
class ChangeRight:
    """The right that an association in Slurm is to be given, or to lose; nothing else about it changes."""

    cluster: str
    team: str
    user: str
    give: bool

    def __str__(self) -> str:
        return f"~ user {self.user}  in {self.team} {self.word}"

    @property
    def word(self) -> str:
        """What sacctmgr is to set."""
        return f"QOS{'+' if self.give else '-'}={EMERGENCY}"

    def argv(self) -> tuple[str, ...]:
        """Return the command that makes the change."""
        where = (f"name={self.user}", f"account={self.team}", f"cluster={self.cluster}")
        return ("sacctmgr", "modify", "user", "where", *where, "set", self.word)


@dataclass(frozen=True, slots=True, kw_only=True)
class RightPlan:
    """What must change so that the file and Slurm both say that a user may, or may not."""

    path: Path
    team: str
    user: str
    give: bool
    old: str
    new: str
    """The file's text; the same as the old one where it says so already."""
    order: ChangeRight | None
    """None where Slurm has it so already."""

    def __bool__(self) -> bool:
        return self.old != self.new or self.order is not None

    def lines(self) -> list[str]:
        """Return each change as one line."""
        sign = "+" if self.give else "-"
        file = f"~ file {self.path}  teams.{self.team}.{EMERGENCY}: {sign} {self.user}"
        return [*([file] if self.old != self.new else []), *([str(self.order)] if self.order else [])]

    def summary(self) -> str:
        """Return who may do what now, or may no more, in one line: what the audit remembers."""
        may = "may submit" if self.give else "may no longer submit"
        return f"{self.user} of team {self.team} {may} emergency jobs"


def plan_right(path: Path, slurm: Slurm, *, user: str, team: str | None, give: bool) -> RightPlan:
    """Look at the file and at Slurm, and return what must change; changes nothing.

    Raises:
        SpecError: the file is wrong, knows no such user or team, leaves it to the site, or can't be edited safely.
        UsageError: the user is in several teams, and none was named.
        UnknownToSlurm: the user's association is not there yet.
        SlurmError: Slurm can't be asked.
    """
    spec = load_spec(path)
    where = team_of(spec, user, team, path=path)
    if not spec.teams[where].is_ours:
        command = f"sacctmgr modify user where name={user} account={where} set QOS{'+' if give else '-'}={EMERGENCY}"
        raise SpecError(f"team {where} is the site's own", where=str(path), hint=f"not ours to change: {command}")
    edit = with_emergency if give else without_emergency
    new = edit(path, team=where, user=user)
    running = slurm.read.config().get("ClusterName", "").lower()
    if running != spec.cluster:
        raise SpecError(f"is about cluster {spec.cluster!r}, but this Slurm is {running!r}", where=str(path))
    found = association_of(slurm.read.associations(spec.cluster), where, user)
    has = EMERGENCY in found.qos
    order = None if has is give else ChangeRight(spec.cluster, where, user, give)
    return RightPlan(path=path, team=where, user=user, give=give, old=read_text(path), new=new, order=order)


def team_of(spec: ClusterSpec, user: str, team: str | None, *, path: Path) -> str:
    """Return the team in which the user's right is meant.

    Raises:
        UnknownNameError: the file knows no such user or team.
        SpecError: the user is not in that team.
        UsageError: the user is in several, and none was named.
    """
    if team is not None and team not in spec.teams:
        raise UnknownNameError("team", team, where=str(path), known=spec.teams)
    teams = spec.teams_of(user)
    if not teams:
        raise UnknownNameError("user", user, where=str(path), known=spec.users())
    if team is not None and team not in teams:
        raise SpecError(f"{user} is not in team {team}", where=str(path), hint=f"{user} is in {' and '.join(teams)}")
    if team is None and len(teams) > 1:
        raise UsageError(f"{user} is in {' and '.join(teams)}", hint=f"say in which: --team {teams[0]}")
    return team or teams[0]


def association_of(associations: Iterable[Association], team: str, user: str) -> Association:
    """Return what ties the user to the team on this cluster.

    Raises:
        UnknownToSlurm: nothing does.
    """
    for each in associations:
        if (each.account, each.user, each.partition) == (team, user, ""):
            return each
    raise UnknownToSlurm(f"Slurm has no {user} in {team} yet", hint="bring it first: aistation cluster apply")


def carry_out(plan: RightPlan, slurm: Slurm) -> Iterator[str]:
    """Change the file, then Slurm, and yield each change once it is done; where Slurm says no, the file is restored.

    In this order: whoever is killed in between finds the rest in `aistation cluster plan`, and by the same command.

    Raises:
        StalePlan: somebody changed the file since; nothing was done.
        NotPermitted: the file can't be written, or Slurm takes no such order from this user.
        SlurmError: Slurm refused; the file is as it was.
    """
    lines = iter(plan.lines())
    if plan.old != plan.new:
        if read_text(plan.path) != plan.old:
            raise StalePlan("somebody changed it in this moment", where=str(plan.path), hint="do it once more")
        write_spec(plan.path, plan.new)
        yield next(lines)
    if plan.order is None:
        return
    try:
        slurm.write.sacctmgr(*plan.order.argv()[1:])
        _check(plan.order, slurm)
    except BaseException as error:
        if plan.old != plan.new:
            write_spec(plan.path, plan.old, keep_old=False)
        if isinstance(error, SlurmError):
            raise type(error)(error.text, where=error.where, hint=_undone(error)) from error
        raise
    yield next(lines)


def _check(order: ChangeRight, slurm: Slurm) -> None:
    found = association_of(slurm.read.associations(order.cluster), order.team, order.user)
    if (EMERGENCY in found.qos) is not order.give:
        raise SlurmError(f"slurmdbd took it, but {order.user}'s QOS are {', '.join(found.qos)}", where=order.team)


def _undone(error: SlurmError) -> str:
    """Return what to do next, with how things stand."""
    stands = "the cluster file is as it was"
    if isinstance(error, SlurmUnreachable):
        stands += "; whether Slurm heard is not known: aistation cluster plan"
    return "\n".join(filter(None, [error.hint, stands]))
