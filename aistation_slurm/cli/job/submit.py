"""`aistation job submit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aistation_slurm.cli.show import json_option, say
from aistation_slurm.jobs.passthrough import Split, Takes, looks_like_ours, split
from aistation_slurm.jobs.tag import DEFAULT_RESUME

if TYPE_CHECKING:
    from aistation_slurm.cli.job.ordering import Asked

SPLIT = "aistation.job.submit"
"""Where the sorted command line stands in the context."""
_RESUME = "--auto-resume"


class SubmitCommand(click.Command):
    """A command that takes sbatch's options beside its own, and leaves alone what stands behind the script."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Sort whose each word is, and let click read ours."""
        own = self.own_options(ctx)
        found = split(args, own, defaults={_RESUME: f"{DEFAULT_RESUME}"})
        ctx.meta[SPLIT] = found
        if not found.is_parted and (bad := looks_like_ours(found.args, own)):
            ctx.meta[f"{SPLIT}.taken"] = f"{', '.join(bad)}: stands behind {found.script}, and so is its own argument"
        script = [] if found.script is None else [found.script]
        return super().parse_args(ctx, [*found.ours, "--", *script, *found.args])

    def own_options(self, ctx: click.Context) -> dict[str, Takes]:
        """Return our options, and which of them take a value."""
        found: dict[str, Takes] = {}
        for each in self.get_params(ctx):
            if isinstance(each, click.Option):
                takes: Takes = "nothing" if each.is_flag or each.count else "value"
                found |= dict.fromkeys((*each.opts, *each.secondary_opts), takes)
        return {**found, _RESUME: "maybe"}


@click.command(cls=SubmitCommand)
@click.option("--template", help="What makes a batch script of it; without it, one that suits what is asked for.")
@click.option("--group", "--partition", "-p", help="The GPU group; by default the best that your team may use.")
@click.option("--gpus", "-G", help="GPUs all in all: 16, v100:16.")
@click.option("--nodes", "-N", help="How many nodes.")
@click.option("--gpus-per-node", help="GPUs on each node.")
@click.option("--gpu-type", help="Their model.")
@click.option("--share", "shares", metavar="N", help="N shares of one GPU, where a group shares them.")
@click.option("--cpus-per-gpu", help="CPUs for each GPU.")
@click.option("--cpus-per-task", "-c", "cpus", help="CPUs of a task without GPUs.")
@click.option("--mem", help="Memory on each node: 64G.")
@click.option("--time", "-t", help="The time limit, as sbatch takes it: 90 (minutes), 1-12:00:00.")
@click.option("--name", "--job-name", "-J", help="The job's name; by default the script's.")
@click.option("--account", "-A", help="The team that it counts for.")
@click.option("--qos", "-q", help="The quality of service.")
@click.option("--emergency", is_flag=True, help="Before all others, for who may: --qos=emergency.")
@click.option("--night", is_flag=True, help="To run at night, beside the quota: --qos=night.")
@click.option("--reservation", help="The reservation to run in.")
@click.option("--constraint", "-C", help="Features that its nodes must have.")
@click.option("--dataset", "datasets", metavar="[NAME=]FOLDER", multiple=True, help="Data that the script is told of.")
@click.option("--image", help="The container image to run in.")
@click.option("--checkpoint-dir", help="Where checkpoints are kept, and gone on from; by default beside the log.")
@click.option(
    _RESUME,
    "auto_resume",
    type=click.IntRange(1, 1000),
    metavar="[=N]",
    help=f"Start it again from its checkpoint, N times at most ({DEFAULT_RESUME}), after a fault or its time limit.",
)
@click.option("--no-auto-resume", is_flag=True, help="Never start it again by itself.")
@click.option("--python", help="The Python that runs it; by default the active virtual environment's, or python3.")
@click.option("--output", "-o", help="The log; %x is the name, %j the job's id.  [default: %x-%j.log]")
@click.option("--mail-type", "mail", help="When to write a mail: END,FAIL.")
@click.option("--set", "settings", metavar="NAME=VALUE", multiple=True, help="What only this template knows.")
@click.option("--comment", help="Kept with the job; our own mark stands behind it.")
@click.option("--chdir", "-D", help="Where it runs; by default here.")
@click.option("--sbatch", "as_batch", is_flag=True, help="SCRIPT is a batch script, whatever it looks like.")
@click.option("--again", metavar="FOLDER|JOBID", help="What was submitted before, from its checkpoints; a new job.")
@click.option("--id", "submission", help="The submission's id: a retry with the same one never makes a second job.")
@click.option(
    "--dry-run", "--test-only", is_flag=True, help="Print the script, and when it would start; submit nothing."
)
@click.option("--wait", "-W", is_flag=True, help="Wait until it is over; the exit code is the job's.")
@click.option("--parsable", is_flag=True, help="Print the job's id only.")
@json_option
@click.argument("script", required=False)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def submit(ctx: click.Context, /, dry_run: bool, wait: bool, parsable: bool, as_json: bool, **given: Any) -> int | None:
    """Submit a training, to run in this folder; what stands behind SCRIPT is its own.

    SCRIPT is a training script, which a template makes a batch script of; a batch script, which is handed to sbatch as
    it is; or a run file (YAML), which says all of this. Any other option of sbatch is handed on. What can't run as it
    was asked for is adjusted, and said.

    \b
    Examples:
      aistation job submit --gpus 16 --time 1-0 train.py --epochs 90
      aistation job submit --template plain --mem 64G --dependency afterok:1234 evaluate.py
      aistation job submit --group v100 --mail-type END old-job.sbatch
      aistation job submit --dry-run run.yaml
      aistation job submit --again train-1234 --time 2-0
    """
    from aistation_slurm.cli.job import submitted
    from aistation_slurm.cli.job.ordering import order_from
    from aistation_slurm.jobs.site import open_site
    from aistation_slurm.jobs.submit import submit as hand_in

    found: Split = ctx.meta[SPLIT]
    for name in ("script", "args"):
        given.pop(name)
    if said := ctx.meta.get(f"{SPLIT}.taken"):
        say(f"note: {said}")
    site = open_site()
    asked: Asked = order_from(found, given, site, folder=Path.cwd(), make_folders=not dry_run)
    submitted.say_first(asked, site)
    if dry_run:
        return submitted.show_dry_run(asked, site, as_json=as_json)
    made = hand_in(asked.order, site)
    submitted.show(made, asked, as_json=as_json, parsable=parsable)
    return submitted.wait(made) if wait else None
