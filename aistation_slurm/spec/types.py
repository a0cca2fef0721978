"""What a single value of the cluster file may look like; each type refuses what Slurm could not take."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Annotated

from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

MAX_NODES = 100_000
"""A longer node list is taken for a slip of the finger before it fills the memory."""
MAX_COUNT = 1_000_000_000
"""More than any cluster has of anything, and far from where Slurm's own numbers end (32 bits)."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_RESERVED = frozenset({"all", "any", "default", "none", "root", "unlimited"})
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_NODES = re.compile(r"[A-Za-z][\w.-]*(?:\[[\d,-]+\][\w.-]*)*(?:,[A-Za-z][\w.-]*(?:\[[\d,-]+\][\w.-]*)*)*")
_BRACKETS = re.compile(r"\[([^\]]*)\]")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?) ?([MGT])(?:i?B)?", re.IGNORECASE)
_MIB = {"M": 1, "G": 1024, "T": 1024**2}
_DURATION = re.compile(r"(?:(\d+)d)? ?(?:(\d+)h)? ?(?:(\d+)m)? ?(?:(\d+)s)?")
_SLURM_TIME = re.compile(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_COUNTRY = re.compile(r"[A-Z]{2}")
_PROJECT_IDS = re.compile(r"(\d{1,10})-(\d{1,10})")
_PATH = re.compile(r"(?:/[A-Za-z0-9_.-]+)+/?|/")
_CLOCKS = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d")


def wrong(text: str, hint: str = "") -> PydanticCustomError:
    """Return the error that a validator raises: what is wrong, and what to write instead."""
    return PydanticCustomError("spec", "{text}", {"text": text, "hint": hint})


def read_name(text: str) -> str:
    """Return the name of a cluster or team: lower case, as slurmdbd folds it anyway."""
    if text.lower() in _RESERVED:
        raise wrong(f"{text!r} means something else to Slurm", "choose another name")
    if not _NAME.fullmatch(text):
        better = re.sub(r"[^a-z0-9_.-]+", "-", text.lower()).strip("-_.")[:40]
        raise wrong(f"{text!r} is no name that Slurm takes", f"write {better!r}" if better else "use a-z, 0-9, _ . -")
    return text


def read_word(text: str) -> str:
    """Return the name of a group or GPU model; slurmctld tells capitals from small letters in these."""
    if text.lower() in _RESERVED:
        raise wrong(f"{text!r} means something else to Slurm", "choose another name")
    if not _WORD.fullmatch(text):
        raise wrong(f"{text!r} is no name that Slurm takes", "use letters, digits, _ . and -, at most 40")
    return text


def fits(read: Callable[[str], str], text: str) -> bool:
    """True where the reader of a name takes the text."""
    try:
        read(text)
    except PydanticCustomError:
        return False
    return True


def read_user(text: str) -> str:
    """Return the name of a Unix user."""
    if text == "root":
        raise wrong("root belongs to no team", "name the person's own account")
    if not _USER.fullmatch(text):
        raise wrong(f"{text!r} is no Unix user name", "use a-z, 0-9, _ and -, at most 32 letters")
    return text


def read_nodes(text: str) -> str:
    """Return the node list once it is one that Slurm can read and that is not absurdly long."""
    text = text.replace(" ", "")
    if not _NODES.fullmatch(text):
        raise wrong(f"{text!r} is no node list", "write it as Slurm does, such as gpu-[01-16]")
    if (count := _how_many(text)) > MAX_NODES:
        raise wrong(f"{text!r} names {count} nodes", f"more than {MAX_NODES} are surely a slip")
    expand(text)
    return text


def expand(text: str) -> tuple[str, ...]:
    """Return the names in a node list, sorted."""
    try:
        return tuple(NodeSet(text, resolver=RESOLVER_NOGROUP))
    except NodeSetException as error:
        raise wrong(f"{text!r} is no node list: {error}", "write it as Slurm does, such as gpu-[01-16]") from error


def _how_many(text: str) -> int:
    """Return at most how many nodes the list names, without making them."""
    total = 1
    for ranges in _BRACKETS.findall(text):
        total *= max(1, sum(_width(each) for each in ranges.split(",")))
    return total


def _width(each: str) -> int:
    first, dash, last = each.partition("-")
    if not (first.isdigit() and (last.isdigit() or not dash)):
        raise wrong(f"[{each}] is no range of numbers", "write it as Slurm does, such as gpu-[01-16]")
    return int(last) - int(first) + 1 if dash else 1


def read_memory(value: object) -> int:
    """Return `256G` in MiB."""
    match = _MEMORY.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise wrong(f"{value!r} is no amount of memory", "say the unit, such as 256G or 7500M")
    return int(float(match[1]) * _MIB[match[2].upper()])


def write_memory(mib: int) -> str:
    """Return MiB in the largest whole unit."""
    return f"{mib // 1024}G" if mib % 1024 == 0 else f"{mib}M"


def read_duration(value: object) -> timedelta:
    """Return `4h`, `1d12h`, `90m` or Slurm's own `1-12:00:00` as a duration."""
    text = value.strip() if isinstance(value, str) else ""
    if (match := _SLURM_TIME.fullmatch(text)) or (text and (match := _DURATION.fullmatch(text))):
        days, hours, minutes, seconds = (int(each or 0) for each in match.groups())
    else:
        raise wrong(f"{value!r} is no duration", "say the unit, such as 30m, 4h or 2d")
    duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not duration:
        raise wrong(f"{value!r} is no time at all", "leave the key out where there is to be no limit")
    return duration


def whole_minutes(value: timedelta) -> timedelta:
    """Return the duration once it is one that Slurm can tell: its partitions count in minutes."""
    if value.total_seconds() % 60:
        raise wrong(
            f"{write_duration(value)} is not a whole number of minutes", "Slurm counts minutes here; round it up"
        )
    return value


def write_duration(value: timedelta) -> str:
    """Return the duration as `1d12h30m`."""
    minutes, seconds = divmod(int(value.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = {"d": days, "h": hours, "m": minutes, "s": seconds}
    return "".join(f"{number}{unit}" for unit, number in parts.items() if number)


def read_clocks(text: str) -> str:
    """Return a span of the day, `20:00-08:00`."""
    if not _CLOCKS.fullmatch(text):
        raise wrong(f"{text!r} is no span of the day", "write it as 20:00-08:00")
    return text


def read_date(value: object) -> date:
    """Return `2026-12-24` as a date."""
    if isinstance(value, date):
        return value
    text = value if isinstance(value, str) else ""
    try:
        return date.fromisoformat(text if _DATE.fullmatch(text) else "")
    except ValueError as error:
        raise wrong(f"{value!r} is no day of the calendar", "write it as 2026-12-24") from error


def read_country(text: str) -> str:
    """Return the two letters of a country."""
    if not _COUNTRY.fullmatch(text):
        raise wrong(f"{text!r} is no country", "write its two letters, such as CN or DE")
    return text


def read_path(text: str) -> str:
    """Return the absolute path of a folder, of letters that need no quotes anywhere."""
    if not _PATH.fullmatch(text) or ".." in text.split("/"):
        raise wrong(f"{text!r} is no absolute path", "write it as /home, of letters, digits and _ . -")
    return text.rstrip("/") or "/"


def read_team_folders(text: str) -> str:
    """Return the absolute path of teams' folders, once it says where the team's name stands in it."""
    if "{team}" not in text or "{" in text.replace("{team}", ""):
        raise wrong(f"{text!r} doesn't say where the team's name stands", "write it as /data/{team}")
    read_path(text.replace("{team}", "team"))
    return text.rstrip("/")


def read_project_ids(text: str) -> range:
    """Return `10000-19999` as a range; 0 is what every file has, and the kernel's numbers have 32 bits."""
    match = _PROJECT_IDS.fullmatch(text)
    first, last = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 < first <= last < 2**32 - 1:
        raise wrong(f"{text!r} is no range of project ids", "write it as 10000-19999")
    return range(first, last + 1)


def _is_project_ids(text: str) -> str:
    read_project_ids(text)
    return text


def read_timezone(text: str) -> str:
    """Return the name of a time zone that this machine knows."""
    from zoneinfo import ZoneInfo  # noqa: PLC0415  5 ms, for one key

    try:
        ZoneInfo(text)
    except (ValueError, OSError, KeyError) as error:
        raise wrong(f"no time zone called {text!r}", "write it as Asia/Shanghai or UTC") from error
    return text


def _no_repeats(kind: str) -> Callable[[list[str]], list[str]]:
    def check(names: list[str]) -> list[str]:
        seen: set[str] = set()
        for name in names:
            if name in seen:
                raise wrong(f"{kind} {name!r} stands there twice", "leave one out")
            seen.add(name)
        return names

    return check


Name = Annotated[str, AfterValidator(read_name)]
Word = Annotated[str, AfterValidator(read_word)]
UserName = Annotated[str, AfterValidator(read_user)]
NodeList = Annotated[str, AfterValidator(read_nodes)]
Names = Annotated[list[Name], AfterValidator(_no_repeats("name"))]
UserNames = Annotated[list[UserName], AfterValidator(_no_repeats("user"))]
Memory = Annotated[
    int,
    BeforeValidator(read_memory),
    PlainSerializer(write_memory),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)? ?[MGTmgt](i?B)?$", "examples": ["256G"]}),
]
Duration = Annotated[
    timedelta,
    BeforeValidator(read_duration),
    PlainSerializer(write_duration),
    WithJsonSchema({"type": "string", "examples": ["4h", "1d12h", "1-12:00:00"]}),
]
Minutes = Annotated[Duration, AfterValidator(whole_minutes)]
Size = Memory
"""An amount on a disk, in MiB; written as memory is."""
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
MoreThanZero = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Percent = Annotated[int, Field(ge=0, le=100)]
Clocks = Annotated[str, AfterValidator(read_clocks)]
TimeZone = Annotated[str, AfterValidator(read_timezone)]
Country = Annotated[str, AfterValidator(read_country)]
AbsolutePath = Annotated[str, AfterValidator(read_path)]
TeamFolders = Annotated[str, AfterValidator(read_team_folders)]
ProjectIds = Annotated[str, AfterValidator(_is_project_ids)]
Date = Annotated[
    date,
    BeforeValidator(read_date),
    PlainSerializer(date.isoformat),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-12-24"]}),
]
