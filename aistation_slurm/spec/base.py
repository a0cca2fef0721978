"""What every part of the cluster file has in common, and how a part can be written as one word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema


class Spec(BaseModel):
    """What all parts of the cluster file have in common: unknown keys and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True, slots=True)
class Short:
    """Lets a mapping be written as one word: `500G` instead of `{space: 500G}`."""

    key: str
    """The key of the mapping that the word stands for."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._spelled_out, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        whole = handler(schema)
        word = handler.resolve_ref_schema(whole)["properties"][self.key]
        one = next(each for each in word.get("anyOf", [word]) if each.get("type") != "null")
        return {"anyOf": [{key: one[key] for key in ("type", "enum", "pattern", "examples") if key in one}, whole]}

    def _spelled_out(self, value: object) -> object:
        return value if value is None or isinstance(value, dict | BaseModel) else {self.key: value}
