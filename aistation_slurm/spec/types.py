"""The types of single values in the cluster file: how each is read, written, and told to an editor."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from aistation_slurm.spec.amounts import (
    MAX_COUNT,
    read_clocks,
    read_country,
    read_date,
    read_duration,
    read_memory,
    read_size,
    read_timezone,
    whole_minutes,
    write_duration,
    write_memory,
)
from aistation_slurm.spec.names import (
    no_repeats,
    read_domain,
    read_name,
    read_nodes,
    read_parent,
    read_path,
    read_text,
    read_user,
    read_word,
)

_AMOUNT = r"^\d+(\.\d+)? ?[MGTPmgtp](i?B)?$"

Name = Annotated[str, AfterValidator(read_name)]
Word = Annotated[str, AfterValidator(read_word)]
ParentName = Annotated[str, AfterValidator(read_parent)]
UserName = Annotated[str, AfterValidator(read_user)]
NodeList = Annotated[str, AfterValidator(read_nodes)]
Names = Annotated[list[Name], AfterValidator(no_repeats("name"))]
Words = Annotated[list[Word], AfterValidator(no_repeats("name"))]
UserNames = Annotated[list[UserName], AfterValidator(no_repeats("user"))]
Text = Annotated[str, AfterValidator(read_text)]
AbsolutePath = Annotated[str, AfterValidator(read_path)]
Domain = Annotated[str, AfterValidator(read_domain)]
Memory = Annotated[
    int,
    BeforeValidator(read_memory),
    PlainSerializer(write_memory),
    WithJsonSchema({"type": "string", "pattern": _AMOUNT, "examples": ["256G"]}),
]
Size = Annotated[
    int,
    BeforeValidator(read_size),
    PlainSerializer(write_memory),
    WithJsonSchema({"type": "string", "pattern": _AMOUNT, "examples": ["500G", "1.5T"]}),
]
"""An amount on a disk, in MiB; written as memory is."""
Duration = Annotated[
    timedelta,
    BeforeValidator(read_duration),
    PlainSerializer(write_duration),
    WithJsonSchema({"type": "string", "examples": ["4h", "1d12h", "1-12:00:00"]}),
]
Minutes = Annotated[Duration, AfterValidator(whole_minutes)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
MoreThanZero = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Percent = Annotated[int, Field(ge=0, le=100)]
Clocks = Annotated[str, AfterValidator(read_clocks)]
TimeZone = Annotated[str, AfterValidator(read_timezone)]
Country = Annotated[str, AfterValidator(read_country)]
Date = Annotated[
    date,
    BeforeValidator(read_date),
    PlainSerializer(date.isoformat),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-12-24"]}),
]
