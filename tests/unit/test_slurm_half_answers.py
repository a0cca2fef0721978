"""An answer that was cut anywhere: never read as another one. The cuts are made into what real Slurms answered.

Between two records nothing tells that more were to come; there the command's exit status does, which is not 0 where
slurmctld or the command itself was ended (tests/cluster/test_slurm_faults.py).
"""

import pytest

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.readers.cli import CliReader
from aistation_slurm.slurm.runner import Completed
from tests.unit.test_slurm_recorded_stage import ASKED, FEW, RELEASES, recorded, remarked

CUTS = 150


def places(text: str) -> list[int]:
    """Where the text is cut: all over it, and around each end of a line; never at one."""
    spread = range(1, len(text), max(1, len(text) // CUTS))
    ends = [at for at, sign in enumerate(text) if sign == "\n"][-CUTS:]
    around = {at + step for at in ends for step in (-1, 0, 2)}
    return sorted(at for at in {*spread, *around} if 0 < at < len(text) and text[at - 1] != "\n")


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("name", sorted(set(ASKED) - FEW))
def test_an_answer_that_ends_inside_a_record_is_unreadable(release, name):
    argv, text = recorded(release, name)
    command = ASKED[name](argv)
    text = remarked(text, argv, command)
    for at in places(text):
        with pytest.raises((SlurmUnreadable, ValueError, LookupError)):
            pytest.fail(f"cut at {at}: {text[at - 30 : at]!r} was read as {command.read(text[:at])!r}"[:600])


class Cut:
    """Answers everything with half a line, as a command would that calls itself successful."""

    def run(self, argv: tuple[str, ...], *, stdin: str = "", timeout: float = 30) -> Completed:
        return Completed(0, "NodeName=v100-01 Arch=x86_64 Cor", "")


def test_half_a_line_with_a_success_is_unreadable_whatever_was_asked():
    reader = CliReader(Cut())
    for ask in (
        reader.jobs, reader.nodes, reader.partitions, reader.reservations, reader.config, reader.diag, reader.qos,
        reader.limits_in_use, reader.controllers, reader.accounts, reader.users, reader.associations, reader.tres,
        reader.fair_shares, reader.priority_factors, reader.history, lambda: reader.asked(1),
        lambda: reader.job(1), lambda: reader.step_history(1), lambda: reader.running_usage(1),
    ):  # fmt: skip
        with pytest.raises(SlurmUnreadable):
            ask()
