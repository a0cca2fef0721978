"""`aistation NOUN VERB`: the nouns, each imported only when it is named."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from aistation_slurm import __version__
from aistation_slurm.cli.lazy import LazyGroup
from aistation_slurm.errors import AistationError, NotKnown, UsageError

# noun -> (module, one line of help). The help stands here so that `aistation --help` imports none of them.
NOUNS: dict[str, tuple[str, str]] = {
    "up": ("up", "Start an AI station: beside the Slurm that runs here, or with one of its own."),
    "down": ("up", "Take away what `aistation up` made, and nothing else."),
    "doctor": ("doctor", "Look at the Slurm that is here, and say what hinders us; changes nothing."),
    "cluster": ("cluster", "Check, plan and apply the cluster file."),
    "job": ("job", "Submit, list, watch and cancel trainings."),
    "template": ("template", "List, show and check the training templates."),
    "checkpoint": ("checkpoint", "List and verify a training's checkpoints."),
    "emergency": ("emergency", "Who may submit emergency jobs, which there are, and which goes first."),
    "storage": ("storage", "Who has stored how much; plan and set storage quotas."),
    "node": ("node", "Show the nodes, their heartbeats, and what recovery thinks of them."),
    "fault": ("fault", "What broke, what was done about it, and how long it took."),
    "duty": ("duty", "Run what recurs, once: the same functions that the daemon runs."),
    "dev": ("dev", "A real Slurm on this one machine, to try, test and break."),
    "serve": ("serve", "Serve the web page."),
    "daemon": ("daemon", "Run the duties until stopped."),
    "agent": ("agent", "Send this node's heartbeat until stopped."),
}
EXIT_USAGE = 64
EXIT_AGAIN = 75
"""What was ordered may be tried again without harm (EX_TEMPFAIL of sysexits.h)."""


@click.group(
    cls=LazyGroup,
    lazy={noun: (f"aistation_slurm.cli.{module}", help_line) for noun, (module, help_line) in NOUNS.items()},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="aistation")
def app() -> None:
    """An AI development platform beside an existing Slurm.

    \b
    Examples:
      aistation up --embedded                     a whole station on this one machine
      aistation job submit --template pytorch-ddp --nodes 2 --gpus-per-node 8 train.py
    """


def main(argv: list[str] | None = None) -> None:
    """Run the command line; an error becomes one clear sentence and an exit code, here and nowhere else."""
    try:
        code: Any = app.main(args=argv, prog_name="aistation", standalone_mode=False)
    except click.exceptions.Abort:
        complain("stopped")
        code = 130
    except click.UsageError as error:
        error.show()
        code = EXIT_USAGE
    except click.ClickException as error:
        error.show()
        code = 1
    except AistationError as error:
        complain(str(error), error.hint)
        code = EXIT_USAGE if isinstance(error, UsageError) else EXIT_AGAIN if isinstance(error, NotKnown) else 1
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("aistation_slurm"):
            raise
        complain(f"this needs the Python package {error.name!r}", "pip install 'aistation-slurm[server]'")
        code = 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    sys.exit(code if isinstance(code, int) else 0)


def complain(text: str, hint: str = "") -> None:
    """Say on stderr what went wrong and, below it, what to do next."""
    colour = None if not os.environ.get("NO_COLOR") else False
    click.secho(f"aistation: {text}", fg="red", err=True, color=colour)
    for line in hint.splitlines():
        click.secho(f"           {line}", err=True, color=colour)
