"""What a name in the cluster file may look like; each reader refuses what Slurm could not take."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException
from pydantic_core import PydanticCustomError

from aistation_slurm.spec.shown import shown, stranger

ROOT = "root"
MAX_NODES = 100_000
"""A longer node list is taken for a slip of the finger before it fills the memory."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_RESERVED = frozenset({"all", "any", "default", "none", "root", "unlimited"})
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_PATH = re.compile(r"(?:/[A-Za-z0-9_.-]+)+/?|/")
_DOMAIN = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+)*")
_NODE = r"[A-Za-z][\w.-]*(?:\[[\d,-]+\][\w.-]*)*"
_NODES = re.compile(rf"{_NODE}(?:,{_NODE})*", re.ASCII)
_EACH = re.compile(_NODE, re.ASCII)
_BRACKETS = re.compile(r"\[([^\]]*)\]")
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
_LONGEST_NODE = 63
"""The longest name of a host (RFC 1123)."""
_AS_SLURM = "write it as Slurm does, such as gpu-[01-16]"


def wrong(text: str, hint: str = "") -> PydanticCustomError:
    """Return the error that a validator raises: what is wrong, and what to write instead."""
    return PydanticCustomError("spec", "{text}", {"text": text, "hint": hint})


def fits(read: Callable[[str], str], text: str) -> bool:
    """True where the reader of a name takes the text."""
    try:
        read(text)
    except PydanticCustomError:
        return False
    return True


def read_name(text: str) -> str:
    """Return the name of a cluster or team: lower case, as slurmdbd folds it anyway."""
    if text.lower() in _RESERVED:
        raise wrong(f"{shown(text)} means something else to Slurm", "choose another name")
    if not _NAME.fullmatch(text):
        better = re.sub(r"[^a-z0-9_.-]+", "-", text[:80].lower()).strip("-_.")[:40]
        hint = f"write {better!r}" if better else "use a-z, 0-9, _ . and -, at most 40"
        raise wrong(f"{shown(text)} is no name that Slurm takes", stranger(text) or hint)
    return text


def read_parent(text: str) -> str:
    """Return the name of the team above another one; root is above all."""
    return text if text == ROOT else read_name(text)


def read_word(text: str) -> str:
    """Return the name of a group or GPU model; slurmctld tells capitals from small letters in these."""
    if text.lower() in _RESERVED:
        raise wrong(f"{shown(text)} means something else to Slurm", "choose another name")
    if not _WORD.fullmatch(text):
        hint = stranger(text) or "use letters, digits, _ . and -, at most 40"
        raise wrong(f"{shown(text)} is no name that Slurm takes", hint)
    return text


def read_user(text: str) -> str:
    """Return the name of a Unix user."""
    if text == "root":
        raise wrong("root belongs to no team", "name the person's own account")
    if not _USER.fullmatch(text):
        hint = stranger(text) or "use a-z, 0-9, _ and -, at most 32 letters"
        raise wrong(f"{shown(text)} is no Unix user name", hint)
    return text


def read_path(text: str) -> str:
    """Return the absolute path of a folder, of letters that need no quotes anywhere."""
    if len(text) > MAX_PATH or not _PATH.fullmatch(text) or not {".", ".."}.isdisjoint(text.split("/")):
        hint = stranger(text) or "write it as /home, of letters, digits and _ . -"
        raise wrong(f"{shown(text)} is no absolute path", hint)
    return text.rstrip("/") or "/"


MAX_PATH = 255


def read_domain(text: str) -> str:
    """Return the domain of mail addresses."""
    if len(text) > MAX_PATH or not _DOMAIN.fullmatch(text):
        raise wrong(f"{shown(text)} is no domain", stranger(text) or "write it as example.org")
    return text


def read_text(text: str) -> str:
    """Return one line for people, of letters that can be seen."""
    if not text.isprintable():
        letter = next(each for each in text if not each.isprintable())
        raise wrong(f"U+{ord(letter):04X} in {shown(text)} can't be seen", "write one line of plain text")
    if len(text) > MAX_TEXT:
        raise wrong(f"{shown(text)} is {len(text)} letters long", f"write {MAX_TEXT} at most")
    return text


MAX_TEXT = 200


def read_nodes(text: str) -> str:
    """Return the node list once it is one that Slurm can read and that is not absurdly long."""
    text = text.replace(" ", "")
    if not _NODES.fullmatch(text):
        raise wrong(f"{shown(text)} is no node list", stranger(text) or _AS_SLURM)
    if (count := sum(map(_how_many, _EACH.findall(text)))) > MAX_NODES:
        raise wrong(f"{shown(text)} names {count} nodes", f"more than {MAX_NODES} are surely a slip")
    names = expand(text)
    if len(names) != count:
        raise wrong(f"{shown(text)} names {_twice(text)} twice", "Slurm takes a node once; leave one out")
    if reserved := next((each for each in names if each.lower() in _RESERVED), ""):
        raise wrong(f"{reserved!r} means something else to Slurm", "name the nodes one by one, such as gpu-[01-16]")
    if (longest := max(names, key=len))[_LONGEST_NODE:]:
        raise wrong(f"{shown(longest)} is no name of a host", f"{_LONGEST_NODE} letters are the most that one has")
    return text


def expand(text: str) -> tuple[str, ...]:
    """Return the names in a node list, sorted."""
    try:
        return tuple(NodeSet(text, resolver=RESOLVER_NOGROUP))
    except NodeSetException as error:
        raise wrong(f"{shown(text)} is no node list: {error}", _AS_SLURM) from error


def _twice(text: str) -> str:
    found = Counter(node for each in _EACH.findall(text) for node in _each_of(each))
    return found.most_common(1)[0][0]


def _each_of(text: str) -> list[str]:
    """Return the names that one part of a list stands for, as often as it names them."""
    found = _BRACKETS.search(text)
    if not found:
        return [text]
    head, rest = text[: found.start()], text[found.end() :]
    return [f"{head}{number}{tail}" for number in _numbers(found[1]) for tail in _each_of(rest)]


def _numbers(ranges: str) -> list[str]:
    spans = [_span(each) for each in ranges.split(",")]
    return [str(number).zfill(width) for first, last, width in spans for number in range(first, last + 1)]


def _how_many(text: str) -> int:
    """Return how many nodes one part of a list names, without making them."""
    total = 1
    for ranges in _BRACKETS.findall(text):
        total *= sum(max(1, last - first + 1) for first, last, _ in map(_span, ranges.split(",")))
    return total


def _span(text: str) -> tuple[int, int, int]:
    """Return `01-16` as first, last and how many digits they are written with."""
    found = _RANGE.fullmatch(text)
    if not found:
        raise wrong(f"[{shown(text)[1:-1]}] is no range of numbers", _AS_SLURM)
    first = int(found[1])
    return first, first if found[2] is None else int(found[2]), len(found[1])


def no_repeats(kind: str) -> Callable[[list[str]], list[str]]:
    """Return a check that no name stands in a list twice."""

    def check(names: list[str]) -> list[str]:
        seen: set[str] = set()
        for name in names:
            if name in seen:
                raise wrong(f"{kind} {name!r} stands there twice", "leave one out")
            seen.add(name)
        return names

    return check
