"""A cluster file's data as YAML, the way the examples are written: a group or a team a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

Data = str | int | bool | Sequence["Data"] | Mapping[str, "Data"]
"""What stands in a cluster file."""

WIDTH = 120
_PLAIN = re.compile(r"[A-Za-z][\w.-]*", re.ASCII)
_AMOUNT = re.compile(r"\d+[MGT]|(?:\d+[dhms])+")
_WORDS_OF_YAML = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def word(text: str) -> str:
    """Return the text as YAML; quoted where YAML, of whatever version, could take it for something else."""
    is_plain = (_PLAIN.fullmatch(text) and text.lower() not in _WORDS_OF_YAML) or _AMOUNT.fullmatch(text)
    return text if is_plain else json.dumps(text)


def flow(data: Data) -> str:
    """Return the data on one line: `{gpu: 8, teams: [robot, face]}`."""
    if isinstance(data, bool):
        return "true" if data else "false"
    if isinstance(data, int):
        return str(data)
    if isinstance(data, str):
        return word(data)
    if isinstance(data, Mapping):
        return f"{{{', '.join(f'{word(key)}: {flow(value)}' for key, value in data.items())}}}"
    return f"[{', '.join(map(flow, data))}]"


def entry(name: str, data: Data, *, indent: int = 2) -> list[str]:
    """Return `name: data` as one line, or as several where that would be too long."""
    head = f"{' ' * indent}{word(name)}:"
    line = f"{head} {flow(data)}"
    if len(line) <= WIDTH or isinstance(data, str | int) or not data:
        return [line]
    if not isinstance(data, Mapping):
        return [f"{head} [", *_wrapped(map(flow, data), indent + 2), f"{' ' * indent}]"]
    pairs = [f"{word(key)}: {flow(value)}" for key, value in data.items()]
    if max(map(len, pairs)) < WIDTH - len(head) - 4:
        first, *others = _wrapped(pairs, len(head) + 2)
        return [f"{head} {{{first.strip()}", *others[:-1], f"{others[-1].rstrip(',')}}}"]
    return [head, *(line for key, value in data.items() for line in entry(key, value, indent=indent + 2))]


def _wrapped(words: Iterable[str], indent: int) -> list[str]:
    """Return the words, a comma behind each, on lines that are short enough."""
    lines = [" " * indent]
    for each in words:
        longer = f"{lines[-1]}{' ' if lines[-1].strip() else ''}{each},"
        if len(longer) > WIDTH and lines[-1].strip():
            lines.append(f"{' ' * indent}{each},")
        else:
            lines[-1] = longer
    return lines


def section(title: str, rows: Mapping[str, Data]) -> list[str]:
    """Return a key of the file whose value is a mapping of names, each on a line of its own."""
    lines = [line for name, data in rows.items() for line in entry(name, data)]
    return [f"{title}:", *lines, ""] if lines else [f"{title}: {{}}", ""]
