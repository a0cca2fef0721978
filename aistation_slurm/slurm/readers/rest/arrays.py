"""The members of an array that wait together, which slurmdbd keeps as a bitmap and sacct spells out."""

from __future__ import annotations

from itertools import pairwise

_AT_LEAST, _WIDER_THAN = 5, 10
"""Slurm writes a step only for more members than this, over more numbers than this (`xlate_array_task_str`)."""


def spell_tasks(task: str, *, at_once: int) -> str:
    """Return `2-9%2` of `0x3FC` and 2 at once, as sacct prints it but never cut off; other text as it is."""
    if not task.startswith("0x"):
        return task
    bits = int(task, 16)
    members = [number for number in range(bits.bit_length()) if bits >> number & 1]
    spelled = _stepped(members) or ",".join(_runs(members))
    return f"{spelled}%{at_once}" if at_once else spelled


def _stepped(members: list[int]) -> str:
    """Return `0-20:2`; nothing where the numbers are not that regular, or too few."""
    if len(members) <= _AT_LEAST or members[-1] - members[0] <= _WIDER_THAN:
        return ""
    steps = {after - before for before, after in pairwise(members)}
    return f"{members[0]}-{members[-1]}:{steps.pop()}" if len(steps) == 1 and steps != {1} else ""


def _runs(members: list[int]) -> list[str]:
    """Return `1-3` and `7` of 1, 2, 3 and 7."""
    runs: list[list[int]] = []
    for member in members:
        if runs and member == runs[-1][-1] + 1:
            runs[-1][1:] = [member]
        else:
            runs.append([member])
    return ["-".join(map(str, run)) for run in runs]
