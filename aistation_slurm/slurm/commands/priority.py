"""What makes up the priority of the jobs that wait: sprio."""

from __future__ import annotations

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.commands.command import Command, shortened
from aistation_slurm.slurm.model import PriorityFactors
from aistation_slurm.slurm.units import read_count, read_integer

_FACTORS = "%i|%r|%A|%B|%F|%J|%P|%Q|%S|%N|%T|"
"""Each factor with its weight, the priority's own parts (man sprio, the same letters from 22.05 to 26.05)."""


def sprio_site() -> Command[dict[int, int]]:
    """The SiteFactor of each job that waits for its turn, by job id.

    slurmctld leaves out jobs that may not start yet: held, or before their begin time (man sprio; 22.05 to 26.05 print
    the factor as it was given, without the offset that they keep it with).
    """
    return Command(("sprio", "-h", "-o", "%i|%S|"), read=_site_factors)


def sprio() -> Command[list[PriorityFactors]]:
    """What makes up the priority of each job that waits for its turn; of a job in several partitions one for each."""
    return Command(("sprio", "-h", "-o", _FACTORS), read=lambda text: [_factors(cells) for cells in _lines(text, 11)])


def _site_factors(text: str) -> dict[int, int]:
    return {read_count(job_id): read_integer(factor) for job_id, factor in _lines(text, 2)}


def _factors(cells: list[str]) -> PriorityFactors:
    return PriorityFactors(
        job_id=read_count(cells[0]),
        partition=cells[1],
        age=read_integer(cells[2]),
        association=read_integer(cells[3]),
        fair_share=read_integer(cells[4]),
        job_size=read_integer(cells[5]),
        partition_factor=read_integer(cells[6]),
        qos=read_integer(cells[7]),
        site=read_integer(cells[8]),
        nice=read_integer(cells[9]),
        tres=sum(read_integer(part.rpartition("=")[2]) for part in cells[10].split(",") if part),
    )


def _lines(text: str, fields: int) -> list[list[str]]:
    if text and not text.endswith("|\n"):
        raise SlurmUnreadable(f"the answer ends in the middle of a line: {shortened(text[-40:])}")
    found = [[cell.strip() for cell in line.split("|")[:-1]] for line in text.splitlines()]
    if wrong := next((cells for cells in found if len(cells) != fields), None):
        raise SlurmUnreadable(f"{len(wrong)} of {fields} fields in {shortened('|'.join(wrong))}")
    return found
