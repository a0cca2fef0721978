"""What changes between two texts of the rules' table, for people: a long line is told by its values that change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


def table_changes(old: str, new: str) -> tuple[str, ...]:
    """Return what changes: `~ v100  user {gpus = 4} -> {gpus = 3}`; `+` and `-` for what comes and goes."""
    before, after = _entries(old), _entries(new)
    gone = [f"- {name} = {value}" for name, value in before.items() if name not in after]
    return (*gone, *_came_or_changed(before, after))


def _came_or_changed(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name, value in after.items():
        if name not in before:
            yield f"+ {name} = {value}"
        elif before[name] != value:
            yield f"~ {name}  {_changed(before[name], value)}"


def _changed(old: str, new: str) -> str:
    was, now = _fields(old), _fields(new)
    if not (was and now):
        return f"{old} -> {new}"
    keys = [key for key in (*now, *(each for each in was if each not in now)) if was.get(key) != now.get(key)]
    return "  ".join(f"{key} {was.get(key, 'none')} -> {now.get(key, 'none')}" for key in keys)


def _entries(text: str) -> dict[str, str]:
    """Return name -> value of each line that says one; `["a"]` and `a` are one name."""
    lines = (line.strip().rstrip(",") for line in text.splitlines())
    said = [line for line in lines if " = " in line and not line.startswith("--") and not line.endswith("{")]
    return {_name(line.partition(" = ")[0]): line.partition(" = ")[2] for line in said}


def _name(key: str) -> str:
    return key.removeprefix('["').removesuffix('"]')


def _fields(value: str) -> dict[str, str]:
    """Return the fields of `{a = 1, b = {c = 2}}`, or none where it is no such thing."""
    if not (value.startswith("{") and value.endswith("}")):
        return {}
    parts = [part for part in _parts(value[1:-1]) if " = " in part]
    return {_name(part.partition(" = ")[0]): part.partition(" = ")[2] for part in parts}


def _parts(text: str) -> Iterator[str]:
    """Yield what stands between commas that are in no braces and in no text."""
    depth, start, quoted = 0, 0, False
    for place, letter in enumerate(text):
        quoted ^= letter == '"'
        depth += 0 if quoted else (letter == "{") - (letter == "}")
        if letter == "," and not depth and not quoted:
            yield text[start:place].strip()
            start = place + 1
    yield text[start:].strip()
