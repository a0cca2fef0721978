"""The text of a cluster file: plain values, and the line on which each of them stands.

The file is composed to YAML's node tree and read from there, not loaded: that is quicker, every duplicate key is seen
with its line, and an alias can be followed with care (a few lines of aliases can stand for a billion values).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from aistation_slurm.errors import SpecError

Step = str | int
Path_ = tuple[Step, ...]
Value = str | int | float | bool | None | list["Value"] | dict[str, "Value"]

MAX_BYTES = 10_000_000
MAX_VALUES = 200_000
MAX_DEPTH = 20


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
    """What a cluster file says, and on which line it says it."""

    path: Path
    data: dict[str, Value] = field(default_factory=dict)
    lines: dict[Path_, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    _values: int = 0

    def where(self, path: Path_) -> str:
        """Return `file:line` of the value, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.path}:{self.lines.get(path, 1)}"

    def read(self, node: Node, path: Path_ = ()) -> Value:
        """Return the node's value, and note its lines.

        Raises:
            SpecError: it is deeper or larger than any honest file.
        """
        self._values += 1
        if len(path) > MAX_DEPTH or self._values > MAX_VALUES:
            line = node.start_mark.line + 1
            raise SpecError("too deep or too large", where=f"{self.path}:{line}", hint="write the file without aliases")
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self._item(each, (*path, index)) for index, each in enumerate(node.value)]
        return _scalar(node)

    def _item(self, node: Node, path: Path_) -> Value:
        self.lines[path] = node.start_mark.line + 1
        return self.read(node, path)

    def _mapping(self, node: MappingNode, path: Path_) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value if isinstance(key_node, ScalarNode) else None
            if key is None or not _is_text(key_node):
                self.problems.append(Problem((*path, f"line {line}"), "a key must be text", "put it in quotes"))
                self.lines[(*path, f"line {line}")] = line
                continue
            here = (*path, key)
            if key in values:
                first = self.lines[here]
                twice = (*path, f"{key} on line {line}")
                self.lines[twice] = line
                self.problems.append(Problem(twice, f"{key!r} stands there twice", f"first on line {first}; keep one"))
                continue
            self.lines[here] = line
            values[key] = self.read(value_node, here)
        return values


def _is_text(node: ScalarNode) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:str")


def _scalar(node: Node) -> Value:
    """Return what YAML 1.2 takes the word for: `no` and `on` stay words there."""
    text: str = node.value
    kind = str(node.tag).rpartition(":")[2]
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind in {"int", "float"}:
        return _number(text, kind)
    return text


def _number(text: str, kind: str) -> Value:
    try:
        return (
            int(text.replace("_", ""), 0 if text[:2].lower() in {"0x", "0o"} else 10) if kind == "int" else float(text)
        )
    except ValueError:
        return text


def read_source(path: Path) -> Source:
    """Return what the file says.

    Raises:
        SpecError: it can't be read, is not UTF-8, not YAML, empty, or no mapping.
    """
    text = _read_text(path)
    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise SpecError(f"is not YAML: {error.problem or error.context}", where=where, hint=_yaml_hint(text)) from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise SpecError(f"is not YAML: {str(error).splitlines()[0]}", where=str(path)) from error
    if node is None:
        raise SpecError("is empty", where=str(path), hint="begin with one of slurm_conf/examples/*.yaml")
    if not isinstance(node, MappingNode):
        raise SpecError("must be a mapping, such as `cluster: station`", where=f"{path}:{node.start_mark.line + 1}")
    source = Source(path)
    value = source.read(node)
    assert isinstance(value, dict)
    source.data = value
    return source


def _read_text(path: Path) -> str:
    try:
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            raise SpecError("is larger than any cluster file can be", where=str(path))
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        hint = "name the file, or set cluster_file in aistation.toml" if isinstance(error, FileNotFoundError) else ""
        raise SpecError(f"can't be read ({error.strerror})", where=str(path), hint=hint) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SpecError("is not UTF-8 text", where=f"{path}:{line}", hint="save it as UTF-8") from error


def _yaml_hint(text: str) -> str:
    return "indent with blanks, not with tabs" if "\t" in text else ""
