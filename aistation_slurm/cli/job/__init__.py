"""`aistation job`: submit, list, watch and cancel trainings; each command is in a module of its own."""

from __future__ import annotations

import click

from aistation_slurm.cli.lazy import LazyGroup

# command -> (module, one line of help)
COMMANDS: dict[str, tuple[str, str]] = {
    "submit": ("submit", "Submit a training, to run in this folder."),
    "sweep": ("sweep", "Submit a training over many sets of parameters, and see which is best."),
    "list": ("listing", "List the jobs that wait, run, or ended within the last minutes."),
    "show": ("details", "Show a job: its state and why, how far it is, its runs, and where its files are."),
    "why": ("why", "Tell why a job waits, when it may start, and what would start it sooner."),
    "logs": ("logs", "Print what a job has printed, or follow it."),
    "top": ("top", "Watch the running jobs: how far they are, what they use."),
    "events": ("events", "Show a job's life, from its submission to its end."),
    "results": ("details", "Show what came of a job, and what it used."),
    "cancel": ("cancel", "Cancel jobs; their checkpoints and logs stay."),
}


@click.group(
    cls=LazyGroup,
    lazy={verb: (f"aistation_slurm.cli.job.{module}", help_line) for verb, (module, help_line) in COMMANDS.items()},
)
def job() -> None:
    """Submit, list, watch and cancel trainings.

    \b
    Examples:
      aistation job submit --template pytorch-ddp --group v100 --nodes 2 --gpus-per-node 8 train.py -- --epochs 90
      aistation job logs -f 1234
    """
