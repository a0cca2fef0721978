"""`aistation emergency`: who may submit emergency jobs, which there are, and which goes first."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from aistation_slurm.cli.show import json_option, say, show_json, show_table

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from aistation_slurm.priority.emergency import EmergencyJob
    from aistation_slurm.settings import Settings
    from aistation_slurm.slurm.connect import Slurm

team_option = click.option("--team", metavar="TEAM", help="In which team, where the user is in several.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


@click.group()
def emergency() -> None:
    """Who may submit emergency jobs, which there are, and which goes first.

    An emergency job (`sbatch --qos=emergency`) starts before all others, and takes the place of ordinary ones.

    \b
    Examples:
      aistation emergency grant ann
      aistation emergency order 4711 --first
    """


@emergency.command()
@click.argument("user")
@team_option
@dry_run_option
@json_option
def grant(user: str, team: str | None, dry_run: bool, as_json: bool) -> None:
    """Let USER submit emergency jobs: in the cluster file, and at once in Slurm.

    Only this is changed; whatever else the cluster file and Slurm disagree about waits for `aistation cluster apply`.

    \b
    Examples:
      aistation emergency grant ann --dry-run
      aistation emergency grant chen --team face
    """
    _change_right(user, team, give=True, dry_run=dry_run, as_json=as_json)


@emergency.command()
@click.argument("user")
@team_option
@dry_run_option
@json_option
def revoke(user: str, team: str | None, dry_run: bool, as_json: bool) -> None:
    """Let USER submit no more emergency jobs: in the cluster file, and at once in Slurm.

    Those that run go on; those that wait can't start any more.

    \b
    Examples:
      aistation emergency revoke ann --dry-run
      aistation emergency revoke chen --team face
    """
    _change_right(user, team, give=False, dry_run=dry_run, as_json=as_json)


@emergency.command("list")
@json_option
def list_emergency(as_json: bool) -> None:
    """Show who may submit emergency jobs, and those that run and wait, in their order.

    \b
    Examples:
      aistation emergency list
      aistation emergency list --json
    """
    from aistation_slurm.priority.emergency import listed, rights
    from aistation_slurm.spec import load_spec

    settings, slurm = _here()
    spec = load_spec(settings.cluster_file)
    who = rights(spec, slurm.read.associations(spec.cluster))
    jobs = listed(slurm.read.jobs(), datetime.now(UTC))
    if as_json:
        show_json({"rights": who, "jobs": [_as_dict(each) for each in jobs]})
        return
    if who:
        show_table(("USER", "TEAM", "NOTE"), [(each.user, each.team, each.note) for each in who])
    else:
        say("nobody may submit emergency jobs; let somebody: aistation emergency grant USER")
    if jobs:
        columns = (
            "PLACE",
            "JOB",
            "USER",
            "TEAM",
            "STATE",
            "GPUS",
            "PRIORITY",
            "SINCE",
            "FOR",
            "REASON OR NODES",
            "NAME",
        )
        show_table(columns, [_row(each) for each in jobs])
    else:
        say("no emergency job runs or waits")


@emergency.command()
@click.argument("job")
@click.option("--first", is_flag=True, help="Before all other emergency jobs that wait.")
@click.option("--before", metavar="JOB", help="Right before this one.")
@dry_run_option
@json_option
def order(job: str, first: bool, before: str | None, dry_run: bool, as_json: bool) -> None:
    """Let the emergency job JOB, which waits, start before others.

    \b
    Examples:
      aistation emergency order 4711 --first
      aistation emergency order 4711 --before 4702 --dry-run
    """
    from aistation_slurm.errors import UsageError
    from aistation_slurm.priority.administrator import here, require_administrator
    from aistation_slurm.priority.emergency import carry_out, plan_order

    if first is (before is not None):
        raise UsageError("say --first or --before JOB", hint=f"aistation emergency order {job} --first")
    settings, slurm = _here()
    if not dry_run:
        require_administrator(slurm, uid=here())
    plan = plan_order(slurm, job, before=before)
    if dry_run or not plan.changes:
        where = f"before {before}" if before else "first"
        _tell(plan.lines(), f"job {job} is {where} already", dry_run=dry_run, as_json=as_json)
        return
    with _Audit(settings) as audit:
        done = _said(carry_out(plan, slurm), as_json=as_json)
        audit(plan.summary())
    _tell_end(done, plan.summary(), as_json=as_json)


def _change_right(user: str, team: str | None, *, give: bool, dry_run: bool, as_json: bool) -> None:
    from contextlib import nullcontext

    from aistation_slurm.priority.rights import carry_out, plan_right
    from aistation_slurm.spec.edit import alone

    settings, slurm = _here()
    path = settings.cluster_file
    with nullcontext() if dry_run else alone(path):
        plan = plan_right(path, slurm, user=user, team=team, give=give)
        if dry_run or not plan:
            _tell(plan.lines(), f"nothing to do: {plan.summary()}", dry_run=dry_run, as_json=as_json)
            return
        with _Audit(settings) as audit:
            done = _said(carry_out(plan, slurm), as_json=as_json)
            audit(plan.summary())
        _note_in_history(settings, slurm, kind="grant" if give else "revoke")
    _tell_end(done, plan.summary(), as_json=as_json)
    if not give:
        _tell_stranded(slurm, user, plan.team)


def _note_in_history(settings: Settings, slurm: Slurm, *, kind: str) -> None:
    """Let the history have what the cluster file says now, if Slurm is all of it: else a rollback would lose the right.

    Where it can't be noted, by who may not look there, the next apply notes it.
    """
    from contextlib import suppress

    from aistation_slurm.cluster.applying.carry_out import Wish, note
    from aistation_slurm.cluster.applying.target import Target
    from aistation_slurm.errors import AistationError
    from aistation_slurm.spec.edit import read_text

    target = Target(settings=settings, slurm=slurm, cluster_file=settings.cluster_file.absolute())
    with suppress(AistationError):
        note(target, Wish(spec=target.load(), text=read_text(target.cluster_file), kind=kind))


def _tell_stranded(slurm: Slurm, user: str, team: str) -> None:
    """Say which of the user's emergency jobs wait for good now."""
    from aistation_slurm.priority.emergency import is_emergency, label

    jobs = [
        label(job)
        for job in slurm.read.jobs()
        if is_emergency(job) and job.state.is_waiting and (job.user, job.account) == (user, team)
    ]
    if jobs:
        say(f"these wait and can't start any more: {', '.join(jobs)}")
        say(f"make them ordinary jobs, or cancel them: scontrol update JobId={','.join(jobs)} QOS=normal")


def _here() -> tuple[Settings, Slurm]:
    from aistation_slurm.settings import load_settings
    from aistation_slurm.slurm.connect import connect

    settings = load_settings()
    return settings, connect(settings.slurm)


class _Audit:
    """Our tables, opened before anything is done: what can't be remembered is not done."""

    def __init__(self, settings: Settings) -> None:
        from aistation_slurm.store.engine import open_store

        self._engine: Engine = open_store(settings.database)

    def __enter__(self) -> _Audit:
        return self

    def __call__(self, what: str) -> None:
        from aistation_slurm.priority.administrator import here, who_acts
        from aistation_slurm.store.audit import audit

        audit(self._engine, what, actor=who_acts(os.environ, uid=here()), now=datetime.now(UTC))

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()


def _said(lines: Iterable[str], *, as_json: bool) -> list[str]:
    """Carry out, and print each line once it is done."""
    done = []
    for line in lines:
        done.append(line)
        if not as_json:
            click.echo(line)
    return done


def _tell(lines: Sequence[str], otherwise: str, *, dry_run: bool, as_json: bool) -> None:
    """Print what would be done, or that nothing is to do."""
    if as_json:
        show_json({"dry_run": dry_run, "changes": lines, "done": []})
    elif lines:
        click.echo("\n".join(lines))
        say("Nothing was changed.")
    else:
        click.echo(otherwise)


def _tell_end(done: list[str], summary: str, *, as_json: bool) -> None:
    if as_json:
        show_json({"dry_run": False, "changes": done, "done": done})
    else:
        click.echo(summary)


def _as_dict(each: EmergencyJob) -> dict[str, object]:
    from aistation_slurm.priority.emergency import label

    job = each.job
    return {
        "place": each.place, "job": label(job), "user": job.user, "team": job.account, "name": job.name,
        "state": job.state, "reason": job.reason, "nodes": job.nodes, "gpus": job.gpus, "priority": job.priority,
        "since": each.since, "for": each.for_,
    }  # fmt: skip


def _row(each: EmergencyJob) -> tuple[object, ...]:
    from aistation_slurm.priority.emergency import label

    job, since = each.job, each.since
    return (
        each.place or "", label(job), job.user, job.account, job.state, job.gpus, job.priority,
        since.astimezone().strftime("%Y-%m-%d %H:%M:%S") if since else "", _span(each.for_),
        job.nodes if job.state.is_running else job.reason, job.name,
    )  # fmt: skip


def _span(span: timedelta | None) -> str:
    """Return how long, to the second."""
    return str(timedelta(seconds=max(0, round(span.total_seconds())))) if span is not None else ""
