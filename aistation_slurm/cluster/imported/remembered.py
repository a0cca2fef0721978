"""What Slurm has no word for: taken from the cluster file that was applied last, where that is known."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from aistation_slurm.cluster.imported.quotas import Brevity, quota_of, told
from aistation_slurm.cluster.imported.seen import Remarks, Seen
from aistation_slurm.cluster.imported.words import Data
from aistation_slurm.cluster.wanted.limits import WIDE, WIDE_MEMORY
from aistation_slurm.errors import SpecError
from aistation_slurm.slurm.model import Limits
from aistation_slurm.slurm.tres import Tres
from aistation_slurm.spec import NIGHT, ClusterSpec, load_spec

TOP = ("timezone", "calendar", "over_request", "storage", "slurm", "cache", "alarms", "notices")
"""Keys of the file of which Slurm shows nothing, or only that there is something."""
_NIGHTS = "20:00-08:00"


def remembered(seen: Seen, data: Mapping[str, Data], remarks: Remarks) -> dict[str, Data]:
    """Return the file with what Slurm can't show; a site that we were never applied to has nothing of it."""
    before = _before(seen)
    if before is None:
        return {**data, **_nights(seen, remarks)}
    known = before.model_dump(mode="json", exclude_unset=True)
    top = {key: known[key] for key in TOP if known.get(key)}
    idle = known.get("environments", {}).get("idle")
    environments = {"environments": {**_mapping(data.get("environments")), "idle": idle}} if idle else {}
    quota = _with_storage(_mapping(data.get("quota")), known.get("quota", {}))
    top |= {"quota": quota} if quota else {}
    groups = {"groups": _with(data["groups"], known.get("groups", {}), ("cache",))}
    teams = {"teams": _with(data["teams"], known.get("teams", {}), ("description",))}
    return cast("dict[str, Data]", {**data, **top, **groups, **teams, **environments})


def _before(seen: Seen) -> ClusterSpec | None:
    """Return the cluster file that was applied last; None where none is known, or it is another cluster's."""
    if not seen.before:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cluster.yaml"
        path.write_text(seen.before, encoding="utf-8")
        try:
            spec = load_spec(path)
        except SpecError:  # of an older release, whose keys we no longer read
            return None
    return spec if spec.cluster == seen.cluster else None


def _nights(seen: Seen, remarks: Remarks) -> dict[str, Data]:
    """Return a calendar where QOS `night` is ours: without one it would go."""
    if not (seen.observed.is_our_qos(NIGHT) or f"\n  {NIGHT} = " in seen.our_rules):
        return {}
    remarks.note("calendar", f"no Slurm tells the hours of QOS night; {_NIGHTS} keeps it: write yours")
    limits = seen.observed.qos[NIGHT].limits if NIGHT in seen.observed.qos else Limits()
    user = _narrow(limits.max_tres_per_user, limits.max_jobs_per_user, limits.max_submit_jobs_per_user)
    team = _narrow(limits.max_tres_per_account, limits.max_jobs_per_account, limits.max_submit_jobs_per_account)
    quota = {who: said for who, said in (("per_user", user), ("per_team", team)) if said}
    return {"calendar": {"nights": _NIGHTS, **({"quota": quota} if quota else {})}}


def _narrow(tres: Tres, jobs: int | None, submitted: int | None) -> dict[str, Data]:
    """Return the limits of QOS `night` as a quota, without those that are only there to hide others."""
    own = {name: amount for name, amount in tres.items() if amount < (WIDE_MEMORY if name == "mem" else WIDE)}
    models = frozenset(name.removeprefix("gres/gpu:") for name in own)
    return told(quota_of(own, jobs=jobs, submitted=submitted, models=models).quota, Brevity.SHORT)


def _with(entries: Data, known: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Data]:
    """Return the groups or teams of ours, each with those keys that it had."""
    found: dict[str, Data] = {}
    for name, entry in _mapping(entries).items():
        is_ours = "managed_by" not in _mapping(entry)
        more = {key: known[name][key] for key in keys if is_ours and known.get(name, {}).get(key)}
        if is_ours and (storage := known.get(name, {}).get("quota", {}).get("storage")):
            more["quota"] = {**_mapping(_mapping(entry).get("quota")), "storage": storage}
        found[name] = {**_mapping(entry), **more}
    return found


def _with_storage(quotas: Mapping[str, Data], known: Mapping[str, Any]) -> dict[str, Data]:
    """Return the quotas over all groups with those of disks, which no Slurm knows."""
    found = dict(quotas)
    for who, quota in known.items():
        if storage := quota.get("storage"):
            found[who] = {**_mapping(quotas.get(who)), "storage": storage}
    return found


def _mapping(data: Data | None) -> Mapping[str, Data]:
    return data if isinstance(data, Mapping) else {}
