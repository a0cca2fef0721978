"""What makes up the priority of the jobs that wait: sprio."""

from __future__ import annotations

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.commands.command import Command, shortened
from aistation_slurm.slurm.units import read_count, read_integer


def sprio_site() -> Command[dict[int, int]]:
    """The SiteFactor of each job that waits for its turn, by job id.

    slurmctld leaves out jobs that may not start yet: held, or before their begin time (man sprio; 22.05 to 26.05 print
    the factor as it was given, without the offset that they keep it with).
    """
    return Command(("sprio", "-h", "-o", "%i|%S|"), read=_site_factors)


def _site_factors(text: str) -> dict[int, int]:
    if text and not text.endswith("|\n"):
        raise SlurmUnreadable(f"the answer ends in the middle of a line: {shortened(text[-40:])}")
    found: dict[int, int] = {}
    for line in text.splitlines():
        cells = line.split("|")
        if len(cells) != 3:
            raise SlurmUnreadable(f"{len(cells) - 1} of 2 fields in {shortened(line)}")
        found[read_count(cells[0].strip())] = read_integer(cells[1].strip())
    return found
