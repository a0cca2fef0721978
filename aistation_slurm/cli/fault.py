"""`aistation fault`: what broke, what was done about it, and how long it took."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aistation_slurm.cli.show import json_option, plain, say, show_json, show_table
from aistation_slurm.errors import RequestError, UsageError

if TYPE_CHECKING:
    from aistation_slurm.faults.incidents import IncidentReport, JobReport
    from aistation_slurm.jobs.judge import Ending, Verdict


@click.group()
def fault() -> None:
    """What broke, what was done about it, and how long it took.

    \b
    Examples:
      aistation fault list
      aistation fault list --json -n 1
      aistation fault restarts
      aistation fault judge 1234
    """


@fault.command("list")
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(1), help="The newest so many.")
@json_option
def list_faults(limit: int, as_json: bool) -> None:
    """List the nodes that were lost, their jobs, and how long each phase took, newest first."""
    from aistation_slurm.faults.incidents import recent
    from aistation_slurm.settings import load_settings
    from aistation_slurm.store.engine import open_store

    engine = open_store(load_settings().database, create=False)
    found = recent(engine, limit=limit)
    engine.dispose()
    if as_json:
        show_json([_as_json(each) for each in found])
    elif found:
        columns = ("ID", "LOST", "NODE", "STATE", "DOWN", "JOB", "REQUEUED", "KICKED", "RUNNING", "ON", "NOTE")
        show_table(columns, [row for each in found for row in _rows(each)])
        say("durations are counted from the last heartbeat of the node")
    else:
        say("no node was ever lost")


@fault.command()
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(1), help="The newest so many.")
@click.option("--job", "job_id", type=click.IntRange(1), help="Of this job only.")
@json_option
def restarts(limit: int, job_id: int | None, as_json: bool) -> None:
    """List the trainings that ended too soon: which were started again, which were not, and why; newest first."""
    from aistation_slurm.faults.resume_memory import resumed
    from aistation_slurm.settings import load_settings
    from aistation_slurm.store.engine import open_store

    engine = open_store(load_settings().database, create=False)
    found = resumed(engine, job_id=job_id, limit=limit)
    engine.dispose()
    if as_json:
        show_json(found)
    elif found:
        columns = ("DECIDED", "JOB", "NAME", "USER", "RUN", "WHAT", "RULE", "STEP", "WHY")
        show_table(columns, [
            (_clock(each.decided_at), each.job_id, each.name, each.user, each.restart_count, _WHAT[each.action],
             each.rule, "" if each.step is None else each.step, "; ".join(filter(None, (each.why, each.note))))
            for each in found
        ])  # fmt: skip
    else:
        say("no training with --auto-resume has ended too soon")


_WHAT = {"restart": "started again", "stop": "told its owner"}


@fault.command()
@click.argument("job_id", type=click.IntRange(1), required=False)
@click.option("--log", type=click.Path(dir_okay=False, path_type=Path), help="Its log, where Slurm no longer knows it.")
@click.option("--state", default="FAILED", show_default=True, help="Without a job: the state that it ended in.")
@click.option("--exit-code", type=click.IntRange(0, 255), default=1, show_default=True, help="Without a job.")
@click.option("--signal", type=click.IntRange(0, 64), default=0, help="Without a job: the signal that ended it.")
@json_option
def judge(job_id: int | None, log: Path | None, state: str, exit_code: int, signal: int, as_json: bool) -> None:
    """Say whose fault a job's end was, by which rule, and whether another try can help.

    The rules are the site's failures.toml, beside aistation.toml, and after it ours. They look at Slurm's state, the
    exit code, the signal, and the last lines of the log of the last run.

    \b
    Examples:
      aistation fault judge 1234
      aistation fault judge --log t-1234.log --exit-code 1
    """
    from aistation_slurm.jobs.judge import judge as decide
    from aistation_slurm.jobs.judge import load_table, site_table
    from aistation_slurm.settings import load_settings

    if job_id is None and log is None:
        raise UsageError("which job?", hint="aistation fault judge 1234, or --log FILE --exit-code N")
    settings = load_settings()
    ending = _ending(job_id, log) if job_id else _kept(log or Path(), state, exit_code, signal)
    verdict = decide(ending, load_table(site_table(settings.source)))
    if as_json:
        show_json({**plain(verdict), "state": ending.state})
    else:
        _say_verdict(verdict, ending)


def _ending(job_id: int, log: Path | None) -> Ending:
    from aistation_slurm.jobs.judge import ending_of
    from aistation_slurm.slurm.connect import connect

    job = connect().read.job(job_id)
    if not job.state.is_over:
        raise RequestError(f"job {job_id} is {job.state.value}: it has not ended", hint=f"aistation job show {job_id}")
    return ending_of(job, log or (Path(job.stdout) if job.stdout else None))


def _kept(log: Path, state: str, exit_code: int, signal: int) -> Ending:
    from aistation_slurm.jobs.judge import read_ending
    from aistation_slurm.slurm.states import JobState

    ended = JobState.parse(state)
    if not ended.is_over:
        raise UsageError(f"--state {state}: a job does not end in it", hint="such as FAILED, TIMEOUT or NODE_FAIL")
    try:
        return read_ending(log, state=ended, exit_code=exit_code, signal=signal)
    except OSError as error:
        raise RequestError(f"can't be read: {error.strerror}", where=str(log)) from error


def _say_verdict(verdict: Verdict, ending: Ending) -> None:
    click.echo(str(verdict))
    if verdict.line:
        click.echo(f"  {verdict.line}")
    if not ending.log_tail and not verdict.line:
        say("its log says nothing, or can't be read; --log names another one")
    if verdict.whose != "success":
        click.echo("another try can help" if verdict.retry else "another try would end the same")


def _rows(incident: IncidentReport) -> list[tuple[str, ...]]:
    began = incident.began_at
    head = (str(incident.id), _clock(began), incident.node, incident.state, _span(incident.to_down))
    if not incident.jobs:
        return [(*head, "-", "", "", "", "", incident.note)]
    rows = []
    for index, job in enumerate(incident.jobs):
        lead = head if index == 0 else ("",) * len(head)
        rows.append((*lead, *_job_cells(job, began), job.note or (incident.note if index == 0 else "")))
    return rows


def _job_cells(job: JobReport, began: datetime) -> tuple[str, ...]:
    times = (job.requeued_at, job.kicked_at, job.running_at)
    return (str(job.job_id), *(_span(each - began if each else None) for each in times), job.running_nodes)


def _as_json(incident: IncidentReport) -> object:
    spans = {"to_down": incident.to_down, "to_requeued": incident.to_requeued, "to_running": incident.to_running}
    return {**plain(incident), "state": incident.state, **plain(spans)}


def _span(span: timedelta | None) -> str:
    return f"{span.total_seconds():.1f} s" if span is not None else ""


def _clock(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
