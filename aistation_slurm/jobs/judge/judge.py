"""The judge: pure. The rules that fit are weighed; the strongest wins, and among equals what came first in the log.

One rank that breaks takes the others along: their logs are full of closed connections, and end later. So a line that
only tells that a peer is gone is a symptom, and counts where nothing else does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from aistation_slurm.jobs.judge.model import WEIGHTS, Ending, Rule, Verdict

LONGEST_LINE = 400
"""So many characters of a line are looked at: what a pattern may cost grows with it."""
MOST_LINES = 4000
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_RANK = re.compile(
    r"(?:\[rank ?\d{1,6}\]:? ?|\[default\d{1,6}\]: ?|\d{1,6}: "  # torch, torchrun, srun --label
    r"|\[\d{1,6},\d{1,6}\](?:<std(?:err|out)>)?: ?|\([A-Za-z_.]{1,60} pid=[^)]{1,80}\) ?"  # mpirun, Ray
    r")"
)
_FRAME = re.compile(r'  File "[^"]{1,380}", line \d')
_UNKNOWN = Verdict("unknown", "no-rule", "nothing in the table fits", retry=False)


def judge(ending: Ending, table: Sequence[Rule]) -> Verdict:
    """Return whose fault the ending was, by the rule of the table that fits best."""
    fitting = [rule for rule in table if rule.fits(ending)]
    found = [*_by_log(ending.log_tail, fitting), *((rule, -1, "") for rule in fitting if rule.log is None)]
    if not found:
        return _UNKNOWN
    place = {rule.name: number for number, rule in enumerate(table)}
    rule, _, line = min(
        found,
        key=lambda each: (
            WEIGHTS.index(each[0].weight),
            not each[0].is_sites,
            each[1] < 0,
            each[1],
            place[each[0].name],
        ),
    )
    return Verdict(rule.whose, rule.name, rule.why, rule.retry, line)


def _by_log(tail: str, rules: Sequence[Rule]) -> Iterator[tuple[Rule, int, str]]:
    """Yield for each line the first rule that knows it, with the line and its number."""
    patterns = [(rule, rule.log) for rule in rules if rule.log is not None]
    is_source = False
    for number, raw in enumerate(tail.splitlines()[-MOST_LINES:]):
        line = bare_line(raw)
        is_frame = bool(_FRAME.match(line))
        found = None
        if not (is_frame or is_source):
            found = next((rule for rule, pattern in patterns if pattern.search(line)), None)
        is_source = is_frame  # what stands below a frame is a line of the program, whatever errors it names
        if found is not None:
            yield found, number, line


def bare_line(raw: str) -> str:
    """Return the line as its program printed it: without colours, and the rank that torchrun, srun, ... put before."""
    line = _COLOURS.sub("", raw[: 2 * LONGEST_LINE])
    while match := _RANK.match(line):
        line = line[match.end() :]
    return line[:LONGEST_LINE].rstrip()
