"""Patterns that can't run away: a site's mistake in one must not stop what reads it.

Python's `re` tries again at each repetition. Where one stands inside another that takes time exponential in the line;
side by side it is a power of the line's length, which the judge bounds. So a repeated group is refused, a reference
back as well, and on each way through the pattern there may be two wide repetitions.
"""

from __future__ import annotations

import re

MOST_WIDE = 2
LONGEST_PATTERN = 1000
_NARROW = 20
"""A repetition of at most so many characters costs next to nothing."""
_TOKEN = re.compile(
    r"\\(?P<back>[1-9])|(?P<named>\(\?P=)|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]"
    r"|(?P<group>\)(?:[*+]|\{\d*,?\d*\}))|(?P<open>[*+]|\{\d*,\})|\{(?:\d*,)?(?P<most>\d+)\}|.",
    re.DOTALL,
)


def compiled(text: str) -> re.Pattern[str]:
    """Return the pattern.

    Raises:
        ValueError: it is no regular expression, or one that may take very long; the text says which.
    """
    if fault := _fault(text):
        raise ValueError(f"its pattern {fault}")
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"its pattern is no regular expression: {error}") from error


def _fault(text: str) -> str:
    if len(text) > LONGEST_PATTERN:
        return f"has more than {LONGEST_PATTERN} characters"
    tokens = list(_TOKEN.finditer(text))
    if any(each["back"] or each["named"] for each in tokens):
        return "refers back to a group, which may take very long"
    if any(each["group"] for each in tokens):
        return "repeats a group, which may take very long; a group may be optional, `(...)?`"
    if _wide(tokens) > MOST_WIDE:
        return f"has more than {MOST_WIDE} wide repetitions (`*`, `+`, `{{0,200}}`) in a row, which may take very long"
    return ""


def _wide(tokens: list[re.Match[str]]) -> int:
    """Return how many wide repetitions there are on the worst way through the pattern."""
    worst, here = [0], [0]  # of the group that is open, and of those around it
    for token in tokens:
        if token[0] == "(":
            worst.append(0)
            here.append(0)
        elif token[0] in {"|", ")"}:
            worst[-1] = max(worst[-1], here[-1])
            here[-1] = 0
            if token[0] == ")" and len(here) > 1:
                inner = worst.pop()
                here.pop()
                here[-1] += inner
        elif token["open"] or int(token["most"] or 0) > _NARROW:
            here[-1] += 1
    return max(worst[-1], here[-1])
