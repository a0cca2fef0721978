"""`aistation job show` and `aistation job results`: all that is known of one job."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from aistation_slurm.cli.show import json_option, say, show_json

if TYPE_CHECKING:
    from aistation_slurm.jobs.efficiency import Efficiency
    from aistation_slurm.jobs.results import About

Pair = tuple[str, str]


@click.command()
@click.argument("job")
@json_option
def show(job: str, as_json: bool) -> None:
    """Show a job: its state and why, how far it is, when it may be done, its runs, and where its files are.

    Of an array, name a member: 1234_5.

    \b
    Examples:
      aistation job show 1234
      aistation job show --json 1234_5
    """
    from aistation_slurm.cli.job.looks import show_pairs

    found = _find(job)
    if as_json:
        show_json(_plain(found))
        return
    now = datetime.now(UTC)
    show_pairs([*_head(found, now), *_how_far(found, now), *_runs(found, now), *_end(found), *_places(found)])


@click.command()
@click.argument("job")
@json_option
def results(job: str, as_json: bool) -> None:
    """Show what came of a job: how it ended and whose fault that was, last and best metrics, files, and what it used.

    \b
    Examples:
      aistation job results 1234
      aistation job results --json 1234
    """
    from aistation_slurm.cli.job.looks import show_pairs

    found = _find(job)
    if not found.job.state.is_over:
        say(f"job {job} is not over yet ({found.job.state.value}): this is how far it is")
    if as_json:
        show_json(_plain(found))
        return
    now = datetime.now(UTC)
    show_pairs([*_outcome(found, now), *_end(found), *_metrics(found), *_lost(found), *_places(found), *_used(found)])


def _find(text: str) -> About:
    from aistation_slurm.jobs.judge import load_table, site_table
    from aistation_slurm.jobs.named import find_job, read_job_name
    from aistation_slurm.jobs.results import about
    from aistation_slurm.settings import find_settings, load_settings
    from aistation_slurm.slurm.connect import connect

    slurm = connect(load_settings().slurm)
    return about(slurm, find_job(slurm, read_job_name(text)), table=load_table(site_table(find_settings(os.environ))))


def _plain(found: About) -> dict[str, Any]:
    from aistation_slurm.cli.job.listing import as_plain
    from aistation_slurm.cli.show import plain

    return {
        **as_plain(found.training),
        "restarts": found.restarts,
        "request": plain(found.request),
        "runs": plain(found.runs),
        "pace": plain(found.pace),
        "best": {name: {"value": value, "step": step} for name, (value, step) in found.best.items()},
        "checkpoints": plain(found.saved),
        "steps_lost": found.steps_lost,
        "verdict": plain(found.verdict),
        "used": _plain_usage(found),
        "advice": found.advice,
    }


def _plain_usage(found: About) -> dict[str, Any] | None:
    from aistation_slurm.cli.show import plain

    used = found.used
    if used is None:
        return None
    shares = {name: getattr(used, name) for name in ("cpus_used", "cpu_share", "memory_share", "wall_share")}
    return {**plain(used), **shares, "measured_by": found.measured_by}


def _head(found: About, now: datetime) -> Iterator[Pair]:
    from aistation_slurm.cli.job.looks import clock, moment
    from aistation_slurm.jobs.named import shown_id

    job = found.job
    yield "job", f"{shown_id(job)} {job.name}"
    yield "user", f"{job.user} ({job.account})" if job.account else job.user
    yield "group", " ".join(filter(None, [job.partition, f"qos {job.qos}" if job.qos not in {"", "normal"} else ""]))
    yield "state", f"{job.state.value} on {job.nodes}" if job.nodes and job.state.is_running else job.state.value
    yield from _waiting(found, now)
    yield "has" if job.state.is_running else "asks for" if job.state.is_waiting else "had", _resources(found)
    yield "submitted", moment(job.submit_time, now)
    if not job.state.is_waiting:
        yield "started", moment(job.start_time, now)
    yield "ended", moment(job.end_time, now) if job.state.is_over else ""
    limit = f" of {clock(job.time_limit)}" if job.time_limit else ""
    yield "time", f"{clock(job.elapsed)}{limit}" if job.elapsed and not job.state.is_waiting else limit[4:]
    yield "request", _request(found.request)


def _waiting(found: About, now: datetime) -> Iterator[Pair]:
    from aistation_slurm.cli.job.looks import moment
    from aistation_slurm.jobs.why.reasons import read_reason

    job = found.job
    if not job.state.is_waiting:
        return
    reason = read_reason(job.reason)
    yield "waits", f"{reason.says} ({job.reason})" if job.reason else reason.says
    yield "", f"`aistation job why {found.job.job_id}` tells more"
    yield "may start", moment(job.start_time, now) if job.start_time and job.start_time > now else ""


def _resources(found: About) -> str:
    from aistation_slurm.slurm.units import write_memory

    job = found.job
    memory = job.tres.get("mem", 0)
    parts = [
        f"{job.node_count} node{'s' if job.node_count != 1 else ''}" if job.node_count else "",
        f"{job.gpus} GPU{'s' if job.gpus != 1 else ''}" if job.gpus else "",
        f"{job.shards} shares of GPUs" if job.shards else "",
        f"{job.cpus} CPU{'s' if job.cpus != 1 else ''}" if job.cpus else "",
        f"{write_memory(memory)} memory" if memory else "",
    ]
    return ", ".join(filter(None, parts))


def _request(request: Mapping[str, Any]) -> str:
    told = request.get("request")
    if not isinstance(told, dict):
        return " ".join(str(each) for each in request.get("options") or [])
    args = told.get("args") or []
    words = [str(told.get("script") or ""), *(str(each) for each in args)]
    return f"{told.get('template', '')}: {' '.join(filter(None, words))}".strip(": ")


def _how_far(found: About, now: datetime) -> Iterator[Pair]:
    from aistation_slurm.cli.job.looks import bar, moment
    from aistation_slurm.jobs.listing import headline

    training = found.training
    if training.progress is None:
        return
    share = f" ({training.share:.0%})" if training.share is not None else ""
    yield "progress", f"{bar(training.share)} step {training.done}{share}".strip()
    yield "metrics", headline(training.progress, most=6)
    if found.pace is not None:
        done = f", done at {moment(found.pace.done_at, now)}" if found.pace.done_at else ""
        yield "pace", f"{found.pace}{done}"
        yield "", _limit_warning(found)


def _limit_warning(found: About) -> str:
    """Return a warning where the training will not be done within its time limit."""
    job, pace = found.job, found.pace
    if pace is None or pace.done_at is None or job.start_time is None or job.time_limit is None:
        return ""
    over = pace.done_at - (job.start_time + job.time_limit)
    return "its time limit comes before that" if over.total_seconds() > 0 else ""


def _runs(found: About, now: datetime) -> Iterator[Pair]:
    from aistation_slurm.cli.job.looks import moment

    if len(found.runs) < 2:
        return
    for run in found.runs:
        steps = f", steps {run.first_step}-{run.last_step}" if run.first_step is not None else ""
        ended = f", {run.ended}" if run.ended else ""
        yield "runs", f"{run.number}: {moment(run.start, now)} on {run.nodes}{steps}{ended}"


def _outcome(found: About, now: datetime) -> Iterator[Pair]:
    from aistation_slurm.cli.job.looks import clock, moment
    from aistation_slurm.jobs.named import shown_id
    from aistation_slurm.jobs.runs import time_running

    job = found.job
    yield "job", f"{shown_id(job)} {job.name}"
    yield "state", f"{job.state.value}, {moment(job.end_time, now)}" if job.state.is_over else job.state.value
    whole = time_running(found.runs, now)
    yield "ran", clock(whole or job.elapsed) + (f", in {len(found.runs)} runs" if len(found.runs) > 1 else "")
    if found.training.progress:
        yield "steps", found.training.done


def _end(found: About) -> Iterator[Pair]:
    job = found.job
    if not job.state.is_over or job.state.is_success:
        return
    code, _, signal = job.exit_code.partition(":")
    yield "exit", f"signal {signal}" if signal not in {"", "0"} else f"code {code}" if code not in {"", "0"} else ""
    if found.verdict is not None:
        yield "verdict", str(found.verdict)
        yield "", f"its log says: {found.verdict.line.strip()}" if found.verdict.line else ""


def _metrics(found: About) -> Iterator[Pair]:
    from aistation_slurm.jobs.results import last_and_best

    for name, value, best in last_and_best(found):
        at = f"   best {best[0]:.6g} at step {best[1]}" if best else ""
        yield "metrics", f"{name} {value:.6g}{at}"


def _lost(found: About) -> Iterator[Pair]:
    if found.restarts:
        lost = f", {found.steps_lost} steps done again" if found.steps_lost else ", no step done again"
        known = any(run.first_step is not None for run in found.runs)
        yield "restarts", f"{found.restarts}{lost if known else ''}"


def _places(found: About) -> Iterator[Pair]:
    from aistation_slurm.jobs.results import short_size

    training = found.training
    yield "log", str(training.log) if training.log else ""
    yield "run folder", str(training.run_dir) if training.run_dir else ""
    if found.saved and training.folder:
        steps = ", ".join(str(each.step) for each in found.saved)
        size = short_size(sum(each.size for each in found.saved))
        yield "checkpoints", f"{training.folder.checkpoints.resolve()}\nof steps {steps}; {size} in all"
    yield "worked in", found.job.work_dir


def _used(found: About) -> Iterator[Pair]:
    used = found.used
    if used is None:
        return
    for text in _usage(used):
        yield "used", text
    yield "", f"by {found.measured_by}" if found.measured_by and used.cpu_share is not None else ""
    yield "advice", found.advice


def _usage(used: Efficiency) -> Iterator[str]:
    from aistation_slurm.cli.job.looks import clock
    from aistation_slurm.slurm.units import write_memory

    if used.cpus_used is not None and used.cpus:
        yield f"{used.cpus_used:.1f} of {used.cpus} CPUs ({used.cpu_share:.0f} %)"
    if used.memory_used is not None and used.memory:
        yield f"{used.memory_used} of {used.memory} MiB memory ({used.memory_share:.0f} %)"
    if used.gpu_busy is not None:
        yield f"{used.gpus} GPUs busy {used.gpu_busy:.0f} % of the time"
    if used.gpu_memory_used is not None:
        yield f"{write_memory(used.gpu_memory_used)} GPU memory"
    if used.wall_share is not None:
        yield f"{clock(used.wall)} of {clock(used.time_limit)} time ({used.wall_share:.0f} %)"
    if used.cpu_share is None and used.memory_share is None:
        yield "CPU and memory: nobody measured them (JobAcctGatherType in slurm.conf)"
