"""Slurm's daemons are restarted, by the commands that aistation.toml names; never where slurmctld could not start."""

from __future__ import annotations

import time
from collections.abc import Mapping

from aistation_slurm.errors import SlurmError, SlurmMissing, SlurmRefused, SlurmUnreachable
from aistation_slurm.settings import SlurmSettings
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.runner import LocalRunner, shown

PATIENCE = 60.0
"""Seconds that slurmctld may take until it answers again: one with few jobs, half a minute with 100,000."""
COMMAND_SECONDS = 300.0
RECONFIGURE_RESTARTS = (23, 11)
"""From this release on slurmctld and slurmd start anew at a reconfigure (release notes of 23.11)."""


def restart_controller(settings: SlurmSettings, slurm: Slurm) -> None:
    """Restart slurmctld, and return once it answers.

    Raises:
        SlurmUnreachable: slurmdbd is away, so slurmctld might not start; or it does not answer in time.
        SlurmRefused: the command failed, or there is none.
    """
    if not settings.restart_controller:
        hint = "restart it, then apply once more; or say in aistation.toml how: [slurm] restart_controller"
        raise SlurmRefused("slurmctld must be restarted, which is done by hand here", hint=hint)
    _raise_without_slurmdbd(slurm)
    _run(settings, settings.restart_controller)
    if not answers(slurm, within=PATIENCE):
        hint = "its log says why; slurmctld -D -vvv shows it"
        raise SlurmUnreachable(f"slurmctld does not answer {PATIENCE:.0f} s after its restart", hint=hint)


def restart_nodes(settings: SlurmSettings, nodes: str) -> bool:
    """Restart the slurmd of these nodes; False where that is left to a person.

    Raises:
        SlurmRefused: the command failed.
    """
    if not settings.restart_nodes:
        return False
    _run(settings, tuple(word.replace("{nodes}", nodes) for word in settings.restart_nodes))
    return True


def answers(slurm: Slurm, *, within: float = 0.0) -> bool:
    """True as soon as slurmctld answers; False where it does not within so many seconds."""
    give_up = time.monotonic() + within
    while not slurm.write.ping():
        if time.monotonic() >= give_up:
            return False
        time.sleep(0.2)
    return True


def restarts_by_reconfigure(config: Mapping[str, str]) -> bool:
    """True where this release's reconfigure does what a restart does."""
    major, _, rest = config.get("SLURM_VERSION", "0").partition(".")
    minor = rest.partition(".")[0]
    return major.isdigit() and minor.isdigit() and (int(major), int(minor)) >= RECONFIGURE_RESTARTS


def _raise_without_slurmdbd(slurm: Slurm) -> None:
    """A slurmctld that enforces associations ends at its start where slurmdbd is away and nothing is cached."""
    try:
        slurm.read.qos()
    except SlurmError as error:
        hint = "start slurmdbd first; nothing was restarted"
        raise SlurmUnreachable(f"slurmctld is not restarted while slurmdbd is away: {error}", hint=hint) from error


def _run(settings: SlurmSettings, argv: tuple[str, ...]) -> None:
    try:
        done = LocalRunner(slurm_conf=settings.conf).run(argv, timeout=COMMAND_SECONDS)
    except SlurmMissing as error:
        hint = "say in aistation.toml how Slurm's daemons are restarted: [slurm] restart_controller, restart_nodes"
        raise SlurmRefused(error.text, where=error.where, hint=hint) from error
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise SlurmRefused(f"exit code {done.returncode}", where=shown(argv), hint="\n".join(said[-5:]))
