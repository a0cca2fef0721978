"""What `aistation job submit` says: before, after, in a dry run, and while it waits."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from aistation_slurm.cli.show import say, show_json
from aistation_slurm.errors import SlurmRefused, SlurmUnreachable
from aistation_slurm.jobs.compiled import Unreadable
from aistation_slurm.jobs.submit import Submission, would_start

if TYPE_CHECKING:
    from aistation_slurm.cli.job.ordering import Asked
    from aistation_slurm.jobs.site import Site
    from aistation_slurm.slurm.model import Job
    from aistation_slurm.slurm.sbatch import WouldStart


def say_first(asked: Asked, site: Site) -> None:
    """Say what was adjusted, and what is worth knowing, before anything is handed to Slurm."""
    if asked.order.request is not None and isinstance(broken := site.compiled, Unreadable):
        say(f"note: {broken.why}; Slurm was asked instead")
    if site.stray_options:
        names = ", ".join(site.stray_options)
        say(f"note: {names} in your environment: not looked at; give the option, or set it in the script")
    for change in asked.adjustments:
        say(f"adjusted: {change}")
    for note in asked.notes:
        say(f"note: {note}")


def show(made: Submission, asked: Asked, *, as_json: bool, parsable: bool) -> None:
    """Show what became of it: data on stdout, words on stderr."""
    for change in made.adjustments:
        say(f"adjusted: {change}")
    for note in made.notes:
        say(f"note: {note}")
    if as_json:
        show_json(_as_json(made, asked))
    elif parsable:
        click.echo(made.job_id)
    else:
        what = "submitted" if made.is_new else "was submitted before, as"
        click.echo(f"{what} job {made.job_id} ({made.name})")
        say(f"its log: {made.log}\nfollow it: aistation job logs -f {made.job_id}")


def show_dry_run(asked: Asked, site: Site, *, as_json: bool) -> int:
    """Show the script and when it would start; return 1 where Slurm would refuse it."""
    start, refused = _ask(asked, site)
    if as_json:
        show_json(_dry_json(asked, start, refused))
        return 1 if isinstance(refused, SlurmRefused) else 0
    click.echo(asked.script, nl=not asked.script.endswith("\n"))
    options = asked.order.batch.options
    if options:
        say(f"beside the script: sbatch {shlex.join(options)}")
    for line in start.said if start else ():
        say(f"{'adjusted' if ' -> ' in line else 'note'}: {line}")
    if start:
        say(str(start))
    if isinstance(refused, SlurmRefused):
        raise refused
    if refused:
        say(f"note: Slurm can't be asked when it would start: {refused.text}")
    return 0


def wait(made: Submission) -> int:
    """Return the job's exit code once it is over; Ctrl-C ends the waiting, not the job."""
    from aistation_slurm.jobs.wait import wait_for
    from aistation_slurm.slurm.connect import connect

    try:
        return wait_for(connect(), made.job_id, tell=_teller())
    except KeyboardInterrupt:
        say(f"\njob {made.job_id} goes on; `aistation job logs -f {made.job_id}` follows it")
        return 130


def _ask(asked: Asked, site: Site) -> tuple[WouldStart | None, SlurmRefused | SlurmUnreachable | None]:
    try:
        return would_start(asked.order, site), None
    except (SlurmRefused, SlurmUnreachable) as error:
        return None, error


def _as_json(made: Submission, asked: Asked) -> dict[str, Any]:
    return {
        "job_id": made.job_id,
        "submission": made.submission,
        "name": made.name,
        "log": made.log,
        "folder": made.folder,
        "is_new": made.is_new,
        "adjustments": [str(each) for each in (*asked.adjustments, *made.adjustments)],
        "notes": [*asked.notes, *made.notes],
    }


def _dry_json(asked: Asked, start: WouldStart | None, refused: Exception | None) -> dict[str, Any]:
    from aistation_slurm.jobs.request import request_json

    return {
        "request": request_json(asked.order.request) if asked.order.request else None,
        "adjustments": [str(each) for each in asked.adjustments],
        "notes": list(asked.notes),
        "options": list(asked.order.batch.options),
        "script": asked.script,
        "would_start": {"at": start.start, "nodes": start.nodes, "group": start.partition} if start else None,
        "slurm_said": list(start.said) if start else [],
        "refused": str(refused) if refused else None,
    }


def _teller() -> Callable[[Sequence[Job]], None]:
    """Return what shows how the jobs are: one line on a terminal, over and over; else a line for each change."""
    on_terminal, last = sys.stderr.isatty(), [""]

    def tell(jobs: Sequence[Job]) -> None:
        line = _line(jobs)
        if on_terminal:
            click.echo(f"\r\x1b[K{line}", err=True, nl=all(each.state.is_over for each in jobs))
        elif line.partition("  ")[0] != last[0]:
            last[0] = line.partition("  ")[0]
            say(line)

    return tell


def _line(jobs: Sequence[Job]) -> str:
    from collections import Counter

    if len(jobs) > 1:
        counts = Counter(each.state.value for each in jobs)
        return f"{len(jobs)} jobs: " + ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    from aistation_slurm.jobs.listing import training_of

    found = training_of(jobs[0])
    elapsed = str(found.job.elapsed or "").partition(".")[0]
    step = f"step {found.done}" if found.done else ""
    where = "" if found.where == "()" else f" {found.where}"
    return f"job {found.job.job_id} {found.job.state.value}{where}" + "".join(
        f"  {each}" for each in (elapsed, step) if each
    )
