"""`aistation job sweep retry`, `limit` and `cancel`."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from aistation_slurm.cli.job.sweep.show import find_here, sweep_argument
from aistation_slurm.cli.show import json_option, say, show_json
from aistation_slurm.errors import UsageError


@click.command()
@sweep_argument
@click.option("--cancelled", is_flag=True, help="Also those that were cancelled.")
@click.option("--members", metavar="LIST", help="These and no others, such as 3,5-9, whatever became of them.")
@click.option("--after", multiple=True, metavar="ID[:HOW]", help="Wait for a job or sweep: ok, any, notok or corr.")
@click.option("--dry-run", is_flag=True, help="Say which; submit nothing.")
@click.option("--parsable", is_flag=True, help="Print the ids of the new arrays only.")
@json_option
def retry(
    sweep_id: str | None,
    cancelled: bool,
    members: str | None,
    after: tuple[str, ...],
    dry_run: bool,
    parsable: bool,
    as_json: bool,
) -> None:
    """Start the members that failed again, and no other; each has its own parameters and goes on from its checkpoints.

    Failed is whatever ended by itself but not well: an exit code, a lost node, the time limit, too little memory.

    \b
    Examples:
      aistation job sweep retry
      aistation job sweep retry 1234 --cancelled
      aistation job sweep retry 1234 --members 3,5-9
    """
    from aistation_slurm.cli.job.sweep.start import after_of, say_answers
    from aistation_slurm.jobs.site import open_site
    from aistation_slurm.jobs.sweep.look import look
    from aistation_slurm.jobs.sweep.retry import to_retry
    from aistation_slurm.jobs.sweep.start import start_again
    from aistation_slurm.jobs.sweep.tasks import chosen, counted, fold
    from aistation_slurm.slurm.connect import connect

    slurm, now = connect(), datetime.now(UTC)
    sweep = find_here(slurm, sweep_id)
    attempts = look(sweep, slurm)
    named = None if members is None else set(chosen(members, count=sweep.count))
    again = to_retry(attempts, cancelled=cancelled, members=named)
    if unknown := [each.member for each in attempts if each.is_unknown and each not in again]:
        say(f"left alone, since nobody knows what became of them: {fold(unknown)} (--members names them)")
    folded = fold(each.member for each in again)
    if again and not dry_run:
        waits = after_of(after, now=now) if after else ""
        made = start_again(sweep.path, again, open_site(), after=waits, now=now)
        say_answers(made)
        arrays = [each.job_id for each in made.arrays]
    else:
        arrays = []
    if as_json:
        show_json({"sweep": sweep.submission, "members": [each.member for each in again], "jobs": arrays})
    elif parsable:
        click.echo("".join(f"{each}\n" for each in arrays), nl=False)
    elif not again:
        click.echo(f"sweep {sweep.submission}: no member has failed; nothing was submitted")
    else:
        verb = "would start again" if dry_run else f"started again, as job {', '.join(map(str, arrays))}"
        click.echo(f"sweep {sweep.submission}: {counted(len(again))} {verb}: {folded}")


@click.command()
@click.argument("words", metavar="[ID] N", nargs=-1, required=True)
def limit(words: tuple[str, ...]) -> None:
    """Change how many members of a sweep run at once, N; 0 is no limit. Those that run already go on.

    \b
    Examples:
      aistation job sweep limit 8
      aistation job sweep limit 1234 0
    """
    from aistation_slurm.jobs.sweep.change import set_limit
    from aistation_slurm.slurm.connect import connect

    *named, number = words
    if len(named) > 1 or not number.isdecimal():
        raise UsageError(f"{' '.join(words)}: name a sweep, or none, and how many members", hint="limit 1234 8")
    slurm, at_once = connect(), int(number)
    sweep = find_here(slurm, named[0] if named else None)
    changed = set_limit(slurm, sweep, at_once)
    so_many = f"at most {at_once} members at once" if at_once else "no limit"
    click.echo(f"sweep {sweep.submission}: {so_many}" if changed else f"sweep {sweep.submission}: no member waits")


@click.command()
@sweep_argument
@click.option("--waiting", is_flag=True, help="Only those that wait; what runs goes on.")
def cancel(sweep_id: str | None, waiting: bool) -> None:
    """Cancel the members of a sweep that wait or run; checkpoints and logs stay.

    \b
    Examples:
      aistation job sweep cancel 1234
      aistation job sweep cancel 1234 --waiting
    """
    from aistation_slurm.jobs.sweep.change import cancel_members
    from aistation_slurm.jobs.sweep.tasks import counted
    from aistation_slurm.slurm.connect import connect

    slurm = connect()
    sweep = find_here(slurm, sweep_id)
    count = cancel_members(slurm, sweep, only_waiting=waiting)
    click.echo(f"sweep {sweep.submission}: {counted(count)} cancelled")
