"""The reference page of the cluster file, written from its models: `docs/cluster-file.md`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from aistation_slurm.assets import asset_dir
from aistation_slurm.spec.amounts import MAX_COUNT
from aistation_slurm.spec.base import Spec

HEAD = """# The cluster file

One YAML file says what the administrator wants of the cluster: GPU groups, quotas, teams. `aistation cluster plan`
shows what would change in Slurm, `aistation cluster apply` changes it. Unknown keys are refused, with the nearest known
one; every complaint names the file, the line and the column. Amounts of memory carry their unit (`256G`), and so do
durations (`30m`, `4h`, `1d12h`, or Slurm's own `1-12:00:00`). Whole numbers are plain digits: `08`, `1e3` and `0x10`
are refused, since not every reader of YAML takes them for the same; as a name they stand in quotes. Editors complete
the file with the schema that `aistation cluster schema` prints.

This page is written by `scripts/dev/docs` from the models in `aistation_slurm/spec/model.py`.
"""
PLAIN = {
    "integer": "whole number",
    "string": "text",
    "boolean": "`true` or `false`",
    "array": "list",
    "object": "mapping",
}
Schema = dict[str, Any]
_NAMED = frozenset({"GpuGroup", "Team", "FileSystem", "Switch"})
"""Models of which there are several, each under a name of its own."""


def reference_page(model: type[BaseModel]) -> str:
    """Return the page: an example, then a table for each mapping that the file can hold."""
    schema = model.model_json_schema()
    example = (asset_dir("slurm_conf") / "examples" / "small.yaml").read_text(encoding="utf-8")
    parts = [HEAD, f"## An example\n\n```yaml\n{example}```\n", *_tables(schema, schema["$defs"], "", set())]
    return "\n".join(parts)


def _tables(schema: Schema, defs: dict[str, Schema], place: str, seen: set[str]) -> Iterator[str]:
    inner: list[tuple[str, Schema]] = []
    rows = []
    for key, field in schema["properties"].items():
        rows.append(f"| `{key}` | {_kind(field)} | {_default(key, schema)} | {_told(field, defs)} |")
        inner += [(_below(place, key, name), defs[name]) for name in _models(field)]
    title = f"`{place}`" if place else "At the top"
    head = "| key | what it takes | default | what it says |\n| --- | --- | --- | --- |\n"
    yield f"## {title}\n\n{str(schema.get('description', '')).splitlines()[0]}\n\n{head}" + "\n".join(rows) + "\n"
    for deeper, each in inner:
        if each["title"] not in seen:
            seen.add(each["title"])
            yield from _tables(each, defs, deeper, seen)


def _below(place: str, key: str, model: str) -> str:
    path = f"{place}.{key}" if place else key
    return f"{path}.NAME" if model in _NAMED else path


def _models(field: Schema) -> list[str]:
    """Return the names of the models that the field's value holds."""
    inner = field.get("additionalProperties", {})
    refs = [each for each in (field, inner) if isinstance(each, dict)]
    refs += [deeper for each in list(refs) for one in each.get("anyOf", []) for deeper in (one, *one.get("anyOf", []))]
    return [str(each["$ref"]).rpartition("/")[2] for each in refs if "$ref" in each]


def _kind(field: Schema) -> str:
    choices = [each for each in field.get("anyOf", [field]) if each.get("type") != "null"]
    one = choices[0]
    if len(choices) == 1 and "anyOf" in one:
        choices = one["anyOf"]
    if len(choices) > 1 and _models(choices[-1]):
        return f"{_kind(choices[0])}, or a mapping"
    if _models(one):
        return "mapping"
    if "enum" in one:
        return ", ".join(f"`{each}`" for each in one["enum"])
    if one.get("examples"):
        return "such as " + ", ".join(f"`{each}`" for each in one["examples"])
    span = [
        f"{word} {one[key]}"
        for key, word in (("minimum", "from"), ("maximum", "to"))
        if one.get(key, MAX_COUNT) != MAX_COUNT
    ]
    return " ".join([PLAIN.get(str(one.get("type")), "value"), *span])


def _default(key: str, schema: Schema) -> str:
    if key in schema.get("required", []):
        return "**needed**"
    model = next(each for each in Spec.__subclasses__() if each.__name__ == schema["title"])
    if model.model_fields[key].is_required():
        return "**needed**, here or in `defaults`"
    value = model.model_construct().model_dump(mode="json")[key]
    if value in (None, [], {}, "") or isinstance(value, dict):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _told(field: Schema, defs: dict[str, Schema]) -> str:
    """Return what the key is for; pydantic leaves out what its model says in the same words."""
    models = [str(defs[name].get("description", "")).splitlines()[0] for name in _models(field)]
    return str(field.get("description") or "".join(models)).replace("|", "\\|")
