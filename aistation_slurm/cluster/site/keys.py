"""Keys that Slurm takes only once: the site's own slurm.conf must hold them, since the last one silently wins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aistation_slurm.cluster.effects import NEED_RESTART
from aistation_slurm.cluster.site.conf import CONF, SiteConf
from aistation_slurm.errors import SpecError
from aistation_slurm.spec import ClusterSpec

# Submit -> first line of the script: 2.6-3.0 s by default, 0.24-0.7 s with these (measured on 22.05.8).
FAST_START = {
    "batch_sched_delay": "0",
    "sched_min_interval": "100000",
    "bf_interval": "1",
    "sched_interval": "1",
}
PROFILES: Mapping[str, Mapping[str, str]] = {"quick-start": FAST_START, "none": {}}
"""Name of a profile of the scheduler -> its parameters."""
MIN_JOB_AGE = "900"
"""Seconds that slurmctld holds a job that is over: a training is started again only while it does (`duty requeue`).

Slurm's 300 s are one round of a cron that runs each five minutes; a job that ends while one is late would be forgotten.
Each of them counts for MaxJobCount (slurm.conf(5)), so that it should not be much longer.
"""
JOB_SUBMIT = "JobSubmitPlugins"
CLI_FILTER = "CliFilterPlugins"
LUA = frozenset({JOB_SUBMIT, CLI_FILTER})
"""Keys that name a plugin which runs Lua of ours: its file must be there first."""
LISTS = frozenset({"GresTypes", "AccountingStorageTRES", "AccountingStorageEnforce", "SchedulerParameters", *LUA})
"""Keys that may hold more than we ask for."""
ADVISED = frozenset({"SchedulerParameters", "EnforcePartLimits", "MinJobAge", *LUA}) | {
    f"PriorityWeight{each}" for each in ("Age", "FairShare", "QOS")
}
"""Keys without which all works, only later or in another order, or what can never start waits for ever."""
_AFTERWARDS = {
    JOB_SUBMIT: " once apply has written job_submit.lua (slurmctld doesn't start without), then `scontrol reconfigure`",
    CLI_FILTER: " once cli_filter.lua is on every host that srun, salloc or sbatch is run on (they fail without), "
    "then `scontrol reconfigure`",
}


def site_keys(spec: ClusterSpec) -> dict[str, str]:
    """Return the keys that the site's slurm.conf must hold so that the cluster file means what it says.

    Emergency rests on preemption by QOS (slurm.conf(5), PreemptType); quotas on `limits`, `qos` and every GPU model
    among the tracked TRES: a typed request is not seen by an untracked type.
    """
    has_weights = any(team.weight is not None for team in spec.managed_teams().values())
    profile = PROFILES[spec.slurm.profile]
    keys = {
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "GresTypes": ",".join(spec.gres_types()),
        "AccountingStorageTRES": ",".join(spec.tres()),
        "AccountingStorageEnforce": "associations,limits,qos",
        "PriorityType": "priority/multifactor",
        "PriorityWeightAge": "1000",
        "PriorityWeightFairShare": "1000" if has_weights else "",
        "PriorityWeightQOS": "100000",
        "PreemptType": "preempt/qos",
        "PreemptMode": "REQUEUE",
        "JobRequeue": "1",
        "MinJobAge": MIN_JOB_AGE if spec.training.auto_resume.max_restarts else "",
        "EnforcePartLimits": "ALL",
        "SchedulerParameters": ",".join(f"{key}={value}" for key, value in profile.items()),
        JOB_SUBMIT: "lua",
        "TopologyPlugin": "topology/tree" if spec.slurm.topology else "",
        **({CLI_FILTER: "lua"} if spec.slurm.cli_filter else {}),
    }
    return {key: value for key, value in keys.items() if value}


def misfits(spec: ClusterSpec, site: SiteConf, *, has_lua: bool | None = None) -> Iterator[SpecError]:
    """Yield what no edit of a line puts right; `has_lua`: see `policy.has_plugin`."""
    name = site.value("ClusterName")
    if name and name.lower() != spec.cluster:
        hint = f"write `cluster: {name.lower()}`, or name the slurm.conf of {spec.cluster} in aistation.toml"
        yield SpecError(f"this is cluster {name!r}, not {spec.cluster!r}", where=site.where("ClusterName"), hint=hint)
    if spec.is_ours and has_lua is False and not fixed(JOB_SUBMIT, "lua", site.value(JOB_SUBMIT)):
        text = (
            f"{JOB_SUBMIT}={site.value(JOB_SUBMIT)}, but this Slurm was built without Lua: slurmctld ends at its start"
        )
        yield SpecError(text, where=site.where(JOB_SUBMIT), hint="take `lua` out of that line")


def lacking(spec: ClusterSpec, site: SiteConf) -> Iterator[SpecError]:
    """Yield what the site's slurm.conf lacks, each with the exact line to write."""
    if not spec.is_ours:
        return
    if CONF not in site.includes:
        yield SpecError(f"does not include {CONF}", where=str(site.path), hint=f"add the line: Include {CONF}")
    for group in spec.managed_groups():
        if where := site.partitions.get(group):
            yield SpecError(
                f"partition {group} stands here too", where=where, hint="take that line out: apply writes it anew"
            )
    for key, value in site_keys(spec).items():
        if key not in ADVISED and (fix := fixed(key, value, site.value(key))):
            then = ", and restart slurmctld and every slurmd" if key in NEED_RESTART else ""
            hint = f"{_verb(key, site)} the line: {key}={fix}{then}"
            yield SpecError(_says(key, site), where=site.where(key), hint=hint)


def advice(
    spec: ClusterSpec,
    site: SiteConf,
    running: Mapping[str, str],
    *,
    has_lua: bool | None = None,
    edited: bool = False,
) -> Iterator[str]:
    """Yield what would be better in the site's slurm.conf, or is not yet in force, as one line each.

    `edited`: its lines are edited by the plan, which tells slurmctld too, so that nothing of that is left to say; but
    for Lua where nobody knows whether this Slurm can run it.
    """
    if not spec.is_ours:
        return
    for key, value in site_keys(spec).items():
        if key == JOB_SUBMIT and has_lua is False:
            yield f"{site.path}: this Slurm was built without Lua, so no request is made to fit when it is submitted"
        elif (key == CLI_FILTER and has_lua is False) or (edited and not (key in LUA and has_lua is None)):
            continue
        elif key in ADVISED and (fix := fixed(key, value, site.value(key))):
            yield f"{site.where(key)}: better with the line {key}={fix}{_AFTERWARDS.get(key, '')}"
        elif running and fixed(key, value, running.get(key, "")):
            then = "run `scontrol reconfigure`" if key in LUA else "restart it"
            yield f"{site.where(key)}: slurmctld still runs with {key}={running.get(key, '')}; {then}"


def _says(key: str, site: SiteConf) -> str:
    return f"{key}={site.value(key)} does not do" if site.value(key) else f"lacks {key}"


def _verb(key: str, site: SiteConf) -> str:
    return "change it to" if site.value(key) else "add"


def fixed(key: str, wanted: str, found: str) -> str:
    """Return the value that the key should have instead, or nothing where the one found will do."""
    if key not in LISTS:
        return "" if _same(key, wanted, found) else wanted
    have = [each.strip() for each in found.split(",") if each.strip()]
    known = {each.partition("=")[0].lower() if key == "SchedulerParameters" else each.lower() for each in have}
    if key == "AccountingStorageEnforce" and "all" in known:
        return ""
    lack = [each for each in wanted.split(",") if _name(key, each) not in known]
    return ",".join([*have, *lack]) if lack else ""


def _name(key: str, word: str) -> str:
    return (word.partition("=")[0] if key == "SchedulerParameters" else word).lower()


def _same(key: str, wanted: str, found: str) -> bool:
    if key == "SelectTypeParameters":  # any that counts memory will do, and more may stand beside it
        return any(each.strip().upper().endswith("_MEMORY") for each in found.split(","))
    if key == "JobRequeue" and not found:
        return True  # the default
    if key == "MinJobAge":  # 0 is for ever; slurmctld tells it as `300 sec`
        seconds = found.partition(" ")[0]
        return seconds.isdigit() and (int(seconds) == 0 or int(seconds) >= int(wanted))
    if key.startswith("PriorityWeight"):
        return found.isdigit() and int(found) > 0
    return found.lower() == wanted.lower()
