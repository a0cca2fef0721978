"""Which GPU group a training is for: the one that it names, or the best that its team may use.

The same choice, in the same words, as slurm_conf/aistation_groups.lua makes for a job that names none.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from aistation_slurm.errors import NotPermitted, RequestError
from aistation_slurm.jobs.adjustment import Adjustment
from aistation_slurm.jobs.compiled import Group, Policy
from aistation_slurm.jobs.request import TrainingRequest
from aistation_slurm.jobs.room import DEVELOPMENT


def choose_group(
    request: TrainingRequest, policy: Policy, *, account: str | None, wants_gpus: bool
) -> tuple[Group, list[Adjustment]]:
    """Return the group, and the change where it is another than was named.

    Raises:
        RequestError: there is no such group, none that has what is asked for, or no default.
        NotPermitted: the team may not use it.
    """
    if request.group is None:
        return _best(request, policy, account, wants_gpus=wants_gpus)
    named = policy.groups.get(request.group)
    if named is None:
        raise unknown_group(request.group, list(policy.groups))
    if not _has_it(request, named):
        return _instead_of(named, request, policy, account)
    _raise_if_barred(policy, account, [named])
    return named, []


def unknown_group(name: str, known: list[str]) -> RequestError:
    """Return the error that names the nearest group."""
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known) or 'none'}"
    return RequestError(f"no GPU group called {name!r}", where="--group", hint=hint)


def may_use(account: str | None, group: Group) -> bool:
    """True where jobs of the team may run there; of an unknown team, Slurm will say."""
    return account is None or group.teams is None or account in group.teams


def _best(
    request: TrainingRequest, policy: Policy, account: str | None, *, wants_gpus: bool
) -> tuple[Group, list[Adjustment]]:
    fitting = [each for each in policy.groups.values() if _has_it(request, each)]
    if not fitting:
        raise _nobody_has_it(request, policy)
    allowed = [each for each in fitting if may_use(account, each)]
    if not allowed:
        _raise_if_barred(policy, account, fitting)
    default = policy.groups.get(policy.default_group or "")
    if not (wants_gpus or request.shares):
        if default is None:
            raise _no_default(policy)
        return (default if default in allowed else allowed[0]), []
    if policy.is_asked and default is None and request.gpu_type is None and not request.shares:
        raise _no_default(policy)  # no rules choose one there
    suiting = [each for each in allowed if _suits(request, each)] or allowed
    return min(suiting, key=lambda each: _cost(request, each, policy)), []


def _no_default(policy: Policy) -> RequestError:
    known = ", ".join(policy.groups) or "none"
    return RequestError(
        "no GPU group was named, and there is no default one", where="--group", hint=f"there are: {known}"
    )


def _has_it(request: TrainingRequest, group: Group) -> bool:
    """True where the group has that model, and shares its GPUs if shares are asked for."""
    if request.gpu_type is not None and group.gpu_types and request.gpu_type not in group.gpu_types:
        return False
    return not request.shares or group.shards > 0


def _suits(request: TrainingRequest, group: Group) -> bool:
    if (request.qos or "").lower() == DEVELOPMENT:
        return group.use != "training"
    return group.use != "development" or bool(request.shares and request.qos is None)


def _cost(request: TrainingRequest, group: Group, policy: Policy) -> int:
    """GPUs that are not shared, and groups for training, come first; then the default; then the file's order."""
    cost = (0 if group.name == policy.default_group else 1) + (4 if group.use == "development" else 0)
    return cost + 2 if not request.shares and group.shards > 0 else cost


def _instead_of(
    named: Group, request: TrainingRequest, policy: Policy, account: str | None
) -> tuple[Group, list[Adjustment]]:
    """Return the group that has what the named one lacks."""
    others = [each for each in policy.groups.values() if _has_it(request, each)]
    if not others:
        raise _nobody_has_it(request, policy)
    allowed = [each for each in others if may_use(account, each)]
    if not allowed:
        _raise_if_barred(policy, account, others)
    suiting = [each for each in allowed if _suits(request, each)] or allowed
    best = min(suiting, key=lambda each: _cost(request, each, policy))
    why = f"its GPUs are {request.gpu_type}" if request.gpu_type else "its GPUs are shared"
    return best, [Adjustment("group", named.name, best.name, why)]


def _nobody_has_it(request: TrainingRequest, policy: Policy) -> RequestError:
    types = list(dict.fromkeys(kind for each in policy.groups.values() for kind in each.gpu_types))
    if request.gpu_type is not None and request.gpu_type not in types:
        return RequestError(
            f"no group has GPUs of type {request.gpu_type}",
            where="--gpu-type",
            hint=f"there are {', '.join(types) or 'none'}",
        )
    of_type = f" {request.gpu_type}" if request.gpu_type else ""
    return RequestError(f"no group shares its{of_type} GPUs", where="--share", hint="ask for whole ones: --gpus=1")


def _raise_if_barred(policy: Policy, account: str | None, groups: list[Group]) -> None:
    """Raise in the rules' own words where the team may use none of these."""
    if any(may_use(account, each) for each in groups):
        return
    lines = [f"team {account} may not use {each.name} ({_teams(each)} may)" for each in groups]
    mine = ", ".join(_names(policy, account))
    hint = f"it may use: {mine}" if mine else "there is no group that it may use"
    raise NotPermitted("; ".join(lines), where="--group", hint=hint)


def _teams(group: Group) -> str:
    return ", ".join(sorted(group.teams or ()))


def _names(policy: Policy, account: str | None) -> Iterator[str]:
    return (name for name, each in policy.groups.items() if may_use(account, each))
