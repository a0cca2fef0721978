"""`aistation cluster`: check, show, plan and apply the cluster file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aistation_slurm.cli.cluster_apply import apply, rollback
from aistation_slurm.cli.cluster_history import history
from aistation_slurm.cli.cluster_import import facts, import_
from aistation_slurm.cli.node_files import other_hosts
from aistation_slurm.cli.plan_page import as_dict, colour, print_plan, what_next
from aistation_slurm.cli.show import file_argument, json_option, say, show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aistation_slurm.cluster import Plan
    from aistation_slurm.settings import Settings
    from aistation_slurm.slurm.connect import Slurm
    from aistation_slurm.spec import ClusterSpec, Quota

EXIT_CHANGES = 2


@click.group()
def cluster() -> None:
    """Check, show, plan and apply the cluster file.

    FILE is the one that aistation.toml names where you leave it out.

    \b
    Examples:
      aistation cluster plan                      what would change; changes nothing
      aistation cluster apply --checksum 58f9ffe07e29
    """


@cluster.command()
@file_argument
@json_option
@click.option("--no-shadow", is_flag=True, help="Start no shadow slurmctld.")
def check(file: Path | None, as_json: bool, no_shadow: bool) -> None:
    """Say what is wrong with the cluster file, and with Slurm's files as they would be after `apply`.

    Slurm's files are checked where its slurm.conf is on this machine: by rules, then by a slurmctld that is started
    with them where it can do no harm. Exits with 1 where they would end slurmctld or a job. Changes nothing.

    \b
    Examples:
      aistation cluster check
      aistation cluster check --no-shadow slurm_conf/examples/six-teams.yaml
    """
    from aistation_slurm.cli.cluster_check import check_slurm

    path, spec = _load(file)
    report, why_not = check_slurm(path, spec, shadow=not no_shadow)
    if as_json:
        show_json({"file": path, "warnings": spec.warnings, **report.as_dict(), "not_checked": why_not})
        sys.exit(1 if report.refusals() else 0)
    for warning in spec.warnings:
        click.secho(f"warning: {warning}", fg="yellow", err=True, color=colour())
    for line in report.lines():
        click.secho(line, fg="red" if line in report.refusals() else None, color=colour())
    if why_not:
        say(f"note: Slurm's files were not checked: {why_not}")
    click.echo(f"{path}: {_summary(spec)}")
    sys.exit(1 if report.refusals() else 0)


@cluster.command()
@file_argument
@json_option
def show(file: Path | None, as_json: bool) -> None:
    """Show what the cluster file says: groups, quotas and teams.

    \b
    Examples:
      aistation cluster show
      aistation cluster show --json cluster.yaml
    """
    path, spec = _load(file)
    if as_json:
        show_json(spec.model_dump(mode="json", exclude_none=True))
        return
    show_table(("GROUP", "NODES", "GPUS", "TYPE", "SHARED BY", "USE", "TEAMS", "QUOTA"), _group_rows(spec))
    show_table(("TEAM", "MEMBERS", "EMERGENCY", "QUOTA", "DESCRIPTION"), _team_rows(spec))
    click.echo(f"{path}: {_summary(spec)}")


@cluster.command()
@file_argument
@json_option
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 0 if nothing is to do, 1 on an error, 2 on changes.")
@click.option(
    "--no-hosts", is_flag=True, help="Don't ask the other hosts which files they hold, where those are pushed."
)
def plan(file: Path | None, as_json: bool, detailed_exitcode: bool, no_hosts: bool) -> None:
    """Show what `apply` would change, and change nothing.

    \b
    Examples:
      aistation cluster plan
      aistation cluster plan --detailed-exitcode cluster.yaml
    """
    made, _ = _plan(file)
    hosts = [] if no_hosts else other_hosts()
    if as_json:
        show_json({**as_dict(made), "hosts": hosts})
    else:
        print_plan(made)
        for line in hosts:
            say(f"note: {line}")
        if made:
            say(f"Nothing was changed. {what_next(made)}")
    sys.exit(EXIT_CHANGES if (made or hosts) and detailed_exitcode else 0)


@cluster.command()
def schema() -> None:
    """Print the JSON schema of the cluster file, for editors.

    \b
    Examples:
      aistation cluster schema > cluster.schema.json
      echo '# yaml-language-server: $schema=cluster.schema.json' | cat - cluster.yaml
    """
    from aistation_slurm.spec import ClusterSpec

    show_json(ClusterSpec.model_json_schema())


def _load(file: Path | None) -> tuple[Path, ClusterSpec]:
    from aistation_slurm.settings import load_settings
    from aistation_slurm.spec import load_spec

    path = file or load_settings().cluster_file
    return path, load_spec(path)


def _plan(file: Path | None) -> tuple[Plan, Slurm]:
    from aistation_slurm.cluster import make_plan
    from aistation_slurm.settings import load_settings
    from aistation_slurm.slurm.connect import connect

    settings: Settings = load_settings()
    path, spec = _load(file or settings.cluster_file)
    slurm = connect(settings.slurm)
    made = make_plan(
        spec,
        slurm,
        conf_dir=settings.slurm.conf.parent,
        gpu_device=settings.slurm.gpu_device,
        source=str(path.absolute()),
    )
    return made, slurm


def _summary(spec: ClusterSpec) -> str:
    return (
        f"cluster {spec.cluster}: {len(spec.groups)} groups, {spec.total_nodes} nodes, {spec.total_gpus} GPUs, "
        f"{len(spec.teams)} teams, {len(spec.users())} users"
    )


def _group_rows(spec: ClusterSpec) -> list[tuple[object, ...]]:
    return [
        (
            f"{name}*" if name == spec.default_group else name,
            group.nodes,
            group.total_gpus,
            group.gpu_type,
            group.shards_per_gpu if group.shards_per_gpu > 1 else "-",
            group.use,
            ",".join(group.teams) or "all",
            _quotas(dict(group.quota)),
        )
        for name, group in spec.groups.items()
    ]


def _team_rows(spec: ClusterSpec) -> list[tuple[object, ...]]:
    return [
        (
            name,
            len(team.members),
            ",".join(team.emergency) or "-",
            _quotas({"team": team.quota, **dict(spec.quota)}),
            team.description,
        )
        for name, team in spec.teams.items()
    ]


def _quotas(quotas: Mapping[str, Quota]) -> str:
    said = [
        f"{what}={amount} {who.replace('_', ' ')}"
        for who, quota in quotas.items()
        for what, amount in quota.said().items()
    ]
    return ", ".join(said) or "-"


for _command in (apply, history, rollback, import_, facts):
    cluster.add_command(_command)
