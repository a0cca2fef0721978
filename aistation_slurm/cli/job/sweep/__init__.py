"""`aistation job sweep`: submit one training over many sets of parameters; look at it, start failed members again."""

from __future__ import annotations

import click

from aistation_slurm.cli.lazy import LazyGroup

# command -> (module, one line of help)
COMMANDS: dict[str, tuple[str, str]] = {
    "start": ("start", "Submit a sweep; the word `start` may be left out."),
    "show": ("show", "Show each member: its parameters, state and last metrics, best first."),
    "best": ("show", "Print the best member's parameters."),
    "search": ("search", "Let Optuna choose what is tried next, round by round."),
    "list": ("show", "List the sweeps of the last week."),
    "retry": ("change", "Start the failed members again, and no other."),
    "limit": ("change", "Change how many members run at once."),
    "cancel": ("change", "Cancel the members that wait or run."),
}


class _SweepGroup(LazyGroup):
    """A group whose first command is meant where none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words; those that begin with no command of ours are those of `start`."""
        if args and args[0] not in self.lazy and args[0] not in ctx.help_option_names:
            args = ["start", *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=_SweepGroup,
    lazy={verb: (f"aistation_slurm.cli.job.sweep.{module}", line) for verb, (module, line) in COMMANDS.items()},
)
def sweep() -> None:
    """Submit a training over many sets of parameters, as one array of jobs, and see which is best.

    ID is a sweep's id, the id of one of its arrays, or its folder; without it, the last sweep of this folder is meant.

    \b
    Examples:
      aistation job sweep --grid lr=0.1,0.01 --grid batch=32,64 --at-once 4 train.py -- --lr {lr} --batch {batch}
      aistation job sweep show --by loss
      aistation job sweep retry
    """
