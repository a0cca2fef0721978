"""The whole cluster file from what Slurm shows: what planning with it would change is not ours, or is said."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

from aistation_slurm.cluster.imported.groups import groups_of
from aistation_slurm.cluster.imported.parts import Parts
from aistation_slurm.cluster.imported.remembered import remembered
from aistation_slurm.cluster.imported.seen import Remarks, Seen
from aistation_slurm.cluster.imported.teams import common_qos, qos_quotas, teams_of, unsaid_qos, users_quota
from aistation_slurm.cluster.imported.words import WIDTH, Data, entry, section
from aistation_slurm.cluster.planning.accounting import accounting_changes
from aistation_slurm.cluster.wanted.desired import DEVELOPMENT, EMERGENCY, desired
from aistation_slurm.errors import SpecError
from aistation_slurm.spec import ClusterSpec

HEAD = (
    "# Written by `aistation cluster import` from what Slurm shows; read it through before you apply it.",
    "# What says `managed_by: site` is the site's own: it is known and shown, and never changed.",
)
_LONG = frozenset({"groups", "teams"})
_SPACED = _LONG | {"environments"}
_FEW = 5
"""So many lines of a plan are said; more are counted."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A cluster file, and what its reader should know beside it."""

    data: Mapping[str, Data]
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [*HEAD, *(line for remark in self.remarks for line in _comment(remark)), ""]
        for key, value in self.data.items():
            lines += [""] if lines[-1] and key in _SPACED else []
            if key in _LONG and isinstance(value, Mapping):
                lines += section(key, value)
            else:
                lines += entry(key, value, indent=0)
        return "\n".join(lines).rstrip("\n") + "\n"


def _comment(remark: str) -> list[str]:
    text = "".join(each if each.isprintable() else "?" for each in remark)
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False)


def tell(seen: Seen) -> Imported:
    """Return a cluster file that says what Slurm has; planning right after changes nothing but what its remarks say.

    Raises:
        SpecError: no partition has a node with GPUs.
    """
    remarks = Remarks()
    data = _data(seen, _our_teams(seen, remarks), remarks)
    changes = list(accounting_changes(desired(ClusterSpec.model_validate(data)), seen.observed))
    for change in changes[:_FEW]:
        remarks.note("what `plan` would change", str(change))
    if len(changes) > _FEW:
        remarks.note("what `plan` would change", f"and {len(changes) - _FEW} things more")
    return Imported(data, tuple(remarks.lines))


def _our_teams(seen: Seen, remarks: Remarks) -> frozenset[str]:
    """Return the accounts that are ours: those with our mark, where the QOS stand that we make before any account."""
    marked = frozenset(name for name in seen.teams if seen.observed.is_our_account(name))
    missing = [name for name in (DEVELOPMENT, EMERGENCY) if not seen.observed.is_our_qos(name)]
    if marked and missing:
        why = f"our mark, but no QOS {' and '.join(missing)} of ours: left to the site"
        remarks.note(f"account {', '.join(sorted(marked))}", why)
    return frozenset() if missing else marked


def _data(seen: Seen, ours: frozenset[str], remarks: Remarks) -> dict[str, Data]:
    """Return the file with these teams as ours."""
    groups = groups_of(seen, remarks)
    if not groups:
        hint = "\n".join(["does its slurm.conf say Gres=gpu:...?", *remarks.lines])
        raise SpecError("no partition has a node with GPUs", where=seen.cluster, hint=hint)
    models = frozenset(str(group.data["gpu_type"]) for group in groups.values())
    teams = teams_of(seen, ours, models, remarks)
    quotas = _quotas(seen, ours, models, remarks)
    _others(seen, remarks)
    data = remembered(seen, Parts(seen, groups, teams, quotas).briefest(), remarks)
    return {key: data[key] for key in ClusterSpec.model_fields if key in data}


def _quotas(
    seen: Seen, ours: frozenset[str], models: frozenset[str], remarks: Remarks
) -> Mapping[str, Mapping[str, Data]]:
    """Return the quotas over all groups: of our users where there are any, else of the site's."""
    whose = sorted(ours) or list(seen.teams)
    user = users_quota(seen, whose, models, remarks, of_most=bool(ours))
    common = "" if user or ours else common_qos(seen)
    unsaid_qos(seen, remarks, said=common)
    return qos_quotas(seen, common, models, remarks) if common else {"per_user": user}


def _others(seen: Seen, remarks: Remarks) -> None:
    for row in seen.narrow:
        remarks.add(f"{row.user or 'account'} in {row.account}", f"limits in partition {row.partition} alone")
