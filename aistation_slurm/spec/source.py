"""The text of a cluster file: plain values, and the line and column at which each of them stands.

The file is composed to YAML's node tree and read from there, not loaded: that is quicker, every duplicate key is seen
with its line, and an alias can be followed with care (a few lines of aliases can stand for a billion values).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from aistation_slurm.errors import SpecError
from aistation_slurm.spec.shown import MOST, OddNumber, shown

Step = str | int
Path_ = tuple[Step, ...]
Place = tuple[int, int]
"""Line and column; both begin with 1, and a column counts letters."""
Value = str | int | float | bool | None | list["Value"] | dict[str, "Value"]

MAX_BYTES = 10_000_000
MAX_VALUES = 200_000
MAX_DEPTH = 20
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_DIRECTIVE = re.compile(r"%YAML[ \t]+(?!1\.2\b)(\S+)")
_TAGS = frozenset({"str", "int", "float", "bool", "null", "timestamp", "map", "seq", "value", "merge"})
"""What YAML gives by itself; all other tags were written there by somebody."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the file: where, what, and how to put it right."""

    path: Path_
    text: str
    hint: str = ""
    unknown: tuple[str, str, tuple[str, ...]] | None = None
    """The kind and the name of something that nobody defined, and the names that somebody did."""


@dataclass(slots=True)
class Source:
    """What a cluster file says, and where it says it."""

    path: Path
    data: dict[str, Value] = field(default_factory=dict)
    places: dict[Path_, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    _values: int = 0

    def known(self, path: Path_) -> Path_:
        """Return the value's path, or that of the nearest thing around it that stands in the file."""
        while path and path not in self.places:
            path = path[:-1]
        return path

    def place(self, path: Path_) -> Place:
        """Return line and column of the value's key, or of the nearest thing around it."""
        return self.places.get(self.known(path), (1, 1))

    def where(self, path: Path_) -> str:
        """Return `file:line:column` of the value's key, or of the nearest thing around it."""
        line, column = self.place(path)
        return f"{self.path}:{line}:{column}"

    def read(self, node: Node, path: Path_ = ()) -> Value:
        """Return the node's value, and note its places.

        Raises:
            SpecError: it is deeper or larger than any honest file.
        """
        self._values += 1
        if len(path) > MAX_DEPTH or self._values > MAX_VALUES:
            where = _where(self.path, *_place(node))
            raise SpecError("too deep or too large", where=where, hint="write the file without aliases")
        if (tag := _tag(node)) not in _TAGS:
            written = shown(tag if tag.startswith("!") else f"!!{tag}")
            text = f"the tag {written} says nothing in a cluster file"
            self._problem((*path, f"tag {tag}"), node, text, "leave it out")
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self._item(each, (*path, index)) for index, each in enumerate(node.value)]
        return _scalar(node)

    def _item(self, node: Node, path: Path_) -> Value:
        self.places[path] = _place(node)
        return self.read(node, path)

    def _problem(self, path: Path_, node: Node, text: str, hint: str) -> None:
        self.places[path] = _place(node)
        self.problems.append(Problem(path, text, hint))

    def _mapping(self, node: MappingNode, path: Path_) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for key_node, value_node in node.value:
            line, _ = _place(key_node)
            if _tag(key_node) == "merge":
                hint = "write the keys out; what groups have in common belongs into `defaults`"
                self._problem((*path, f"line {line}"), key_node, "merge keys (<<) are not taken", hint)
            elif not isinstance(key_node, ScalarNode) or _tag(key_node) != "str":
                self._problem((*path, f"line {line}"), key_node, "a key must be text", "put it in quotes")
            elif (key := key_node.value) in values:
                first, _ = self.places[*path, key]
                text = f"{shown(key)} stands there twice"
                self._problem((*path, f"{key} on line {line}"), key_node, text, f"first on line {first}; keep one")
            else:
                here = (*path, key)
                self.places[here] = _place(key_node)
                values[key] = self.read(value_node, here)
        return values


def _place(node: Node) -> Place:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _where(path: Path, line: int, column: int) -> str:
    return f"{path}:{line}:{column}"


def _tag(node: Node) -> str:
    """Return the node's kind; other people's tags whole."""
    return str(node.tag).removeprefix("tag:yaml.org,2002:")


def _scalar(node: Node) -> Value:
    """Return what YAML 1.2 takes the word for: `no` and `on` stay words there."""
    text, kind = str(node.value), _tag(node)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind in {"int", "float"}:
        return int(text) if _WHOLE.fullmatch(text) else OddNumber(text)
    return text


def read_source(path: Path) -> Source:
    """Return what the file says.

    Raises:
        SpecError: it can't be read, is not UTF-8, not YAML, empty, or no mapping.
    """
    node = compose(_read_text(path), path)
    if node is None:
        raise SpecError("is empty", where=str(path), hint="begin with one of slurm_conf/examples/*.yaml")
    if not isinstance(node, MappingNode):
        raise SpecError("must be a mapping, such as `cluster: station`", where=_where(path, *_place(node)))
    source = Source(path)
    value = source.read(node)
    assert isinstance(value, dict)
    source.data = value
    return source


def compose(text: str, path: Path) -> Node | None:
    """Return the file's node tree, or None where it says nothing.

    Raises:
        SpecError: it is not YAML.
    """
    for number, line in enumerate(text.splitlines(), 1):
        if other := _DIRECTIVE.match(line):
            hint = "take the line out: in YAML 1.1 `no` and `on` mean false and true"
            raise SpecError(f"{shown(other[0])} is not taken", where=_where(path, number, 1), hint=hint)
        if line[:1] not in {"#", "%", ""}:
            break
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False  # it would write to stderr; an alias means what stood last, as YAML says
    try:
        found: Node | None = yaml.compose(text)
    except MarkedYAMLError as error:
        raise _not_yaml(error, text, path) from error
    except ReaderError as error:
        before = text[: error.position]
        where = _where(path, before.count("\n") + 1, len(before) - before.rfind("\n"))
        said = f"is not YAML: U+{ord(text[error.position]):04X} can't stand in a text"
        raise SpecError(said, where=where, hint="take the letter out") from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise SpecError(f"is not YAML: {shown(str(error))}", where=_where(path, 1, 1)) from error
    return found


def _not_yaml(error: MarkedYAMLError, text: str, path: Path) -> SpecError:
    mark = error.problem_mark or error.context_mark
    where = _where(path, mark.line + 1, mark.column + 1) if mark else str(path)
    said = str(error.problem or error.context)
    if "another document" in said:
        return SpecError("a second document begins here", where=where, hint="one file, one cluster: take the `---` out")
    line = text[text.rfind("\n", 0, mark.index) + 1 :].partition("\n")[0] if mark else ""
    hint = "indent with blanks, not with tabs" if "\t" in line else ""
    return SpecError(f"is not YAML: {said[: 2 * MOST]}", where=where, hint=hint)


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        hint = "name the file, or set cluster_file in aistation.toml" if isinstance(error, FileNotFoundError) else ""
        raise SpecError(f"can't be read ({error.strerror})", where=str(path), hint=hint) from error
    if len(data) > MAX_BYTES:
        raise SpecError("is larger than any cluster file can be", where=str(path))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        where = _where(path, before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        raise SpecError("is not UTF-8 text", where=where, hint="save it as UTF-8") from error
