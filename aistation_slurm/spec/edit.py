"""Editing a cluster file that a person keeps: the few letters that must change are changed, every other byte stays.

The places come from YAML's node tree. A round trip would keep comments and quotes, but lay the file's lists and
columns out anew; here even those stay. What was edited is read again, and must say what it said, but for the change.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from aistation_slurm.errors import NotPermitted, SpecError, UnsafePlan
from aistation_slurm.render import write_whole
from aistation_slurm.spec.load import load_spec
from aistation_slurm.spec.model import ClusterSpec
from aistation_slurm.spec.source import Source, Value, read_source

EMERGENCY, MEMBERS = "emergency", "members"
AS_OWNER = "run it as root, or as whoever the cluster file belongs to"
_TURNS = 50
_BOM = "\ufeff"


def with_emergency(path: Path, *, team: str, user: str) -> str:
    """Return the file's text with the user among those of the team who may submit emergency jobs.

    Raises:
        SpecError: it can't be read, or is written in a way that can't be edited safely.
    """
    return _edited(path, team=team, user=user, give=True)


def without_emergency(path: Path, *, team: str, user: str) -> str:
    """Return the file's text without the user among those of the team who may submit emergency jobs.

    Raises:
        SpecError: it can't be read, or is written in a way that can't be edited safely.
    """
    return _edited(path, team=team, user=user, give=False)


def read_text(path: Path) -> str:
    """Return the file's text as it stands there, line ends and byte order mark too.

    Raises:
        SpecError: it can't be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise SpecError(f"can't be read ({error.strerror})", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise SpecError("is not UTF-8 text", where=str(path), hint="save it as UTF-8") from error


def write_spec(path: Path, text: str, *, keep_old: bool = True) -> None:
    """Replace the cluster file in one step, with its mode and its owner; the old one stays beside it, as `.old`.

    Without `keep_old` the file beside it stays as it is: for taking a change back.

    Raises:
        NotPermitted: it can't be written.
    """
    place = path.resolve()
    try:
        found = place.stat()
        if keep_old:
            write_whole(place.with_name(f"{place.name}.old"), read_text(place), mode=found.st_mode & 0o777)
        write_whole(place, text, mode=found.st_mode & 0o777)
        _give_back(place, found)
    except OSError as error:
        raise NotPermitted(f"can't be written ({error.strerror})", where=str(path), hint=AS_OWNER) from error


def _give_back(place: Path, owner: os.stat_result) -> None:
    """Make the file its owner's again; who is not root can at least leave it to the group that shares it."""
    for uid, gid in ((-1, owner.st_gid), (owner.st_uid, -1)):
        with suppress(PermissionError):
            os.chown(place, uid, gid)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the cluster file: of two who edit it at a time, one would undo the other's change.

    Raises:
        SpecError: it can't be read.
        NotPermitted: this user may not write it.
        UnsafePlan: somebody else edits it, for longer than we wait.
    """
    place = path.resolve()
    read_text(place)
    if not (os.access(place, os.W_OK) and os.access(place.parent, os.W_OK)):
        raise NotPermitted("can't be written by you", where=str(path), hint=AS_OWNER)
    descriptor = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    for _ in range(_TURNS):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.1)
    raise UnsafePlan("somebody else is editing it", where=str(path), hint="wait for their end")


def _edited(path: Path, *, team: str, user: str, give: bool) -> str:
    spec, whole = load_spec(path), read_text(path)
    if (user in spec.teams[team].emergency) is give:
        return whole
    mark, text = (_BOM, whole[1:]) if whole.startswith(_BOM) else ("", whole)
    node = _at(YAML(typ="safe", pure=True).compose(text), "teams", team)
    edited = _given(text, node, user) if give else _taken(text, node, user)
    if edited is None or not _says_only(path, edited, team=team, user=user, give=give, before=spec):
        raise _by_hand(path, team=team, user=user, give=give)
    return mark + edited


def _by_hand(path: Path, *, team: str, user: str, give: bool) -> SpecError:
    where = read_source(path).where(("teams", team, EMERGENCY))
    verb, word = ("write", "into") if give else ("take", "out of")
    hint = f"{verb} {user} {word} `{EMERGENCY}` of team {team} by hand, then: aistation cluster apply"
    return SpecError("is written in a way that can't be edited safely", where=where, hint=hint)


def _says_only(path: Path, text: str, *, team: str, user: str, give: bool, before: ClusterSpec) -> bool:
    """True where the edited text says what the file said, but for this one right."""
    source, wanted = Source(path), read_source(path)
    try:
        data = source.read(YAML(typ="safe", pure=True).compose(text))
    except YAMLError:
        return False
    teams = wanted.data["teams"]
    assert isinstance(teams, dict)
    told = teams[team]
    assert isinstance(told, dict)
    rest = [each for each in before.teams[team].emergency if each != user]
    names: list[Value] = [*rest, user] if give else list(rest)
    return not source.problems and data == {**wanted.data, "teams": {**teams, team: {**told, EMERGENCY: names}}}


def _at(node: Node, *keys: str) -> MappingNode:
    for key in keys:
        pair = _pair(node, key)
        assert pair is not None
        node = pair[1]
    assert isinstance(node, MappingNode)
    return node


def _pair(node: Node, key: str) -> tuple[ScalarNode, Node] | None:
    """Return the key's node and its value's, or None where the mapping has none."""
    pairs = node.value if isinstance(node, MappingNode) else []
    return next(((name, value) for name, value in pairs if name.value == key), None)


def _given(text: str, team: MappingNode, user: str) -> str | None:
    found = _pair(team, EMERGENCY)
    if found is None:
        return _with_key(text, team, user)
    key, value = found
    if not isinstance(value, SequenceNode) or _is_elsewhere(key, value):
        return None
    if not value.value:
        here = value.start_mark.index + 1
        return f"{text[:here]}{user}{text[here:]}"
    last = value.value[-1].end_mark.index
    if value.flow_style:
        return f"{text[:last]}, {user}{text[last:]}"
    return _with_line(text, last, f"{' ' * value.start_mark.column}- {user}")


def _with_key(text: str, team: MappingNode, user: str) -> str | None:
    """Return the text with the key behind the team's members, in the way that the team is written."""
    found = _pair(team, MEMBERS)
    if found is None:
        return None
    key, members = found
    said = f"{EMERGENCY}: [{user}]"
    if team.flow_style:
        end = members.end_mark.index
        return f"{text[:end]}, {said}{text[end:]}"
    end = members.end_mark.index
    if isinstance(members, SequenceNode) and members.value and not members.flow_style:
        end = members.value[-1].end_mark.index
    return _with_line(text, end, f"{' ' * key.start_mark.column}{said}")


def _with_line(text: str, after: int, line: str) -> str:
    """Return the text with one line more, below the one in which the place is."""
    end = text.find("\n", after)
    if end < 0:
        return f"{text}\n{line}\n"
    newline = "\r\n" if text[end - 1 : end] == "\r" else "\n"
    return f"{text[: end + 1]}{line}{newline}{text[end + 1 :]}"


def _taken(text: str, team: MappingNode, user: str) -> str | None:
    found = _pair(team, EMERGENCY)
    if found is None or not isinstance(found[1], SequenceNode) or _is_elsewhere(*found):
        return None
    items, index = found[1].value, next(i for i, each in enumerate(found[1].value) if each.value == user)
    if found[1].flow_style:
        return _without_item(text, items, index)
    return _without_line(text, found[1], index, colon=text.index(":", found[0].end_mark.index) + 1)


def _without_item(text: str, items: list[Node], index: int) -> str:
    """Return the text without one item of `[a, b]`, and without a comma too many; comments stay."""
    start, end = items[index].start_mark.index, items[index].end_mark.index
    comma = text[end:].lstrip(" ").startswith(",")
    after = text.index(",", end) + 1 if comma else end
    if index + 1 < len(items):
        wide = (start, items[index + 1].start_mark.index)
    else:
        wide = (items[index - 1].end_mark.index, end) if index else (start, after)
    if not {"#", "\n"} & set(text[slice(*wide)]):
        return text[: wide[0]] + text[wide[1] :]
    line, stop = text.rfind("\n", 0, start) + 1, text.find("\n", after)
    if not (text[line:start] + text[after:stop]).strip():
        return text[:line] + text[stop + 1 :]
    return text[:start] + text[after:]


def _without_line(text: str, value: SequenceNode, index: int, *, colon: int) -> str:
    """Return the text without one line `- a`; where it was the only one, an empty list stands there."""
    start = text.rfind("\n", 0, value.value[index].start_mark.index) + 1
    end = text.find("\n", value.value[index].end_mark.index)
    without = text[:start] + (text[end + 1 :] if end >= 0 else "")
    return without if len(value.value) > 1 else f"{without[:colon]} []{without[colon:]}"


def _is_elsewhere(key: Node, value: Node) -> bool:
    """True where the list is written somewhere else, and an alias stands here; or others may point to it."""
    return value.start_mark.index < key.end_mark.index or bool(value.anchor)
