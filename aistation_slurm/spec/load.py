"""A cluster file, read and checked: all that is wrong with it is said at once, each with its place."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from aistation_slurm.spec.checks import check
from aistation_slurm.spec.complaints import as_error, from_pydantic, raise_all
from aistation_slurm.spec.model import ClusterSpec, Defaults
from aistation_slurm.spec.source import Path_, Problem, Source, read_source
from aistation_slurm.spec.suspicions import suspicions


def load_spec(path: Path) -> ClusterSpec:
    """Return what the cluster file wants, `defaults` merged into its groups.

    Raises:
        SpecError: it can't be read, or one thing in it is wrong; `where` is `file:line:column`.
        SpecErrors: several things are.
    """
    source = read_source(path)
    problems = list(source.problems)
    spec = _validated(source, problems)
    if spec is None:
        raise_all(source, problems)
        raise AssertionError("a file that is no ClusterSpec has a problem")
    raise_all(source, [*problems, *check(spec)])
    spec._warnings = tuple(_one_line(source, each) for each in suspicions(spec))
    return spec


def _validated(source: Source, problems: list[Problem]) -> ClusterSpec | None:
    inherited = merge_defaults(source)
    try:
        return ClusterSpec.model_validate(source.data)
    except ValidationError as error:
        found = from_pydantic(error, ClusterSpec, source)
        # What came from `defaults` is complained of there, once.
        problems += [each for each in found if each.path[:3] not in inherited]
        return None


def merge_defaults(source: Source) -> set[Path_]:
    """Give each group what it leaves to `defaults`, and return the places that were filled so."""
    defaults, groups = source.data.get("defaults"), source.data.get("groups")
    if not isinstance(defaults, dict) or not isinstance(groups, dict):
        return set()
    filled: set[Path_] = set()
    for name, group in groups.items():
        if not isinstance(group, dict):
            continue
        for key in Defaults.model_fields:
            if key in defaults and defaults[key] is not None and key not in group:
                group[key] = defaults[key]
                source.places["groups", name, key] = source.places["defaults", key]
                filled.add(("groups", name, key))
    return filled


def _one_line(source: Source, problem: Problem) -> str:
    error = as_error(source, problem)
    return f"{error} ({error.hint})" if error.hint else str(error)
