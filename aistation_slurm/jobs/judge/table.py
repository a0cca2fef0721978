"""The table of failures: ours, `slurm_conf/failures.toml`, and before it a site's own, of the same form."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, get_args

from aistation_slurm.assets import asset_dir
from aistation_slurm.errors import SettingsError
from aistation_slurm.jobs.judge.linear import compiled
from aistation_slurm.jobs.judge.model import WEIGHTS, Rule, Whose
from aistation_slurm.slurm.states import JobState

FILE = "failures.toml"
_KEYS = ("name", "whose", "why", "retry", "weight", "states", "exit_codes", "signals", "log")
_WHOSE: tuple[Whose, ...] = get_args(Whose)
_HEADER = re.compile(r"^\s*\[\[\s*rule\s*\]\]", re.MULTILINE)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")


def load_table(site: Path | None = None) -> tuple[Rule, ...]:
    """Return the rules: the site's, if it has such a file, before ours; one of the same name replaces ours.

    Raises:
        SettingsError: the site's file can't be read, or a rule in it can't be used.
    """
    ours = _ours()
    if site is None or not site.exists():
        return ours
    own = tuple(replace(rule, is_sites=True) for rule in read_table(site))
    replaced = {rule.name for rule in own}
    return (*own, *(rule for rule in ours if rule.name not in replaced))


def site_table(settings_file: Path | None) -> Path:
    """Return where a site's own table is looked for: beside its aistation.toml."""
    return (settings_file.parent if settings_file else Path("/etc/aistation")) / FILE


@cache
def _ours() -> tuple[Rule, ...]:
    return read_table(asset_dir("slurm_conf") / FILE)


def read_table(path: Path) -> tuple[Rule, ...]:
    """Return the rules of one file, in its order.

    Raises:
        SettingsError: it can't be read, is not TOML, or holds a rule that can't be used; `where` is `file:line`.
    """
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"can't be read ({error.strerror})", where=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"is not TOML: {error}", where=str(path)) from error
    rules = raw.pop("rule", [])
    if raw or not isinstance(rules, list):
        raise SettingsError(f"knows only [[rule]], not {next(iter(raw), 'rule')!r}", where=str(path))
    lines = [text.count("\n", 0, match.end()) + 1 for match in _HEADER.finditer(text)] + [1] * len(rules)
    return tuple(
        _unlike(path, lines, [_rule(each, f"{path}:{line}") for each, line in zip(rules, lines, strict=False)])
    )


def _unlike(path: Path, lines: list[int], rules: Iterable[Rule]) -> Iterator[Rule]:
    seen = set()
    for rule, line in zip(rules, lines, strict=False):
        if rule.name in seen:
            raise SettingsError(f"a second rule called {rule.name!r}", where=f"{path}:{line}")
        seen.add(rule.name)
        yield rule


def _rule(raw: Any, where: str) -> Rule:
    if not isinstance(raw, dict):
        raise SettingsError("a rule is a table: write [[rule]] above it", where=where)
    if unknown := next((key for key in raw if key not in _KEYS), None):
        close = get_close_matches(unknown, _KEYS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(_KEYS)}"
        raise SettingsError(f"a rule has no key {unknown!r}", where=where, hint=hint)
    try:
        return _read(raw)
    except ValueError as error:
        raise SettingsError(f"the rule {raw.get('name', '')!r} can't be used: {error}", where=where) from error


def _read(raw: Mapping[str, Any]) -> Rule:
    name, whose, why = (_text(raw, key) for key in ("name", "whose", "why"))
    if not _NAME.fullmatch(name):
        raise ValueError("name is made of a-z, 0-9 and -")
    log = compiled(_text(raw, "log")) if "log" in raw else None
    weight = raw.get("weight", "cause" if log else "last")
    retry = raw.get("retry", whose in {"platform", "unknown"})
    for key, value, known in (("whose", whose, _WHOSE), ("weight", weight, WEIGHTS), ("retry", retry, (True, False))):
        if value not in known:
            raise ValueError(f"{key} is one of {', '.join(map(str, known)).lower()}, not {value!r}")
    if retry and whose in {"user", "success"}:
        raise ValueError(
            f"whose = {whose!r} is never tried again; for a fault that may pass take 'platform' or 'unknown'"
        )
    rule = Rule(
        name=name,
        whose=whose,  # type: ignore[arg-type]
        why=why,
        retry=retry,
        weight=weight,
        states=frozenset(_states(raw)),
        exit_codes=frozenset(_numbers(raw, "exit_codes", most=255)),
        signals=frozenset(_numbers(raw, "signals", most=64)),
        log=log,
    )
    if not (rule.states or rule.exit_codes or rule.signals or rule.log):
        raise ValueError("it names nothing to know a failure by: states, exit_codes, signals or log")
    return rule


def _text(raw: Mapping[str, Any], key: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} is missing, or no text")
    return value


def _states(raw: Mapping[str, Any]) -> Iterator[JobState]:
    for word in raw.get("states", ()):
        state = JobState.parse(word) if isinstance(word, str) else JobState.UNKNOWN
        if not state.is_over:
            raise ValueError(f"states: {word!r} is no state that a job ends in, such as FAILED or NODE_FAIL")
        yield state


def _numbers(raw: Mapping[str, Any], key: str, *, most: int) -> list[int]:
    found = raw.get(key, [])
    if not isinstance(found, list) or not all(type(each) is int and 0 < each <= most for each in found):
        raise ValueError(f"{key} is a list of numbers from 1 to {most}")
    return found
