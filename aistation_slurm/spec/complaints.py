"""pydantic's findings and our own, as sentences with a file, a line, a column and a way out."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from aistation_slurm.errors import SpecError, SpecErrors, UnknownNameError
from aistation_slurm.spec.shown import MOST, OddNumber, shown, stranger
from aistation_slurm.spec.source import Path_, Problem, Source, Step

MANY = 100
"""So many complaints are made at once; who spoils a whole list is told of its beginning."""

_NEEDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list, such as [ann, bob]",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_BARE = re.compile(r"[0-9]{1,18}|true|false")
_WORDS = {"yes": "true", "on": "true", "no": "false", "off": "false", "y": "true", "n": "false"}


def raise_all(source: Source, problems: Iterable[Problem]) -> None:
    """Raise what is wrong, in the file's order; do nothing where nothing is.

    Raises:
        SpecError: one problem.
        SpecErrors: several, all at once.
    """
    inorder = sorted(problems, key=lambda problem: source.place(problem.path))
    errors = list({str(error): error for error in (as_error(source, each) for each in inorder)}.values())
    if len(errors) > MANY:
        errors[MANY:] = [SpecError(f"{len(errors) - MANY} more things are wrong", where=str(source.path))]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise SpecErrors(errors, where=str(source.path))


def as_error(source: Source, problem: Problem) -> SpecError:
    """Return the problem as an error that names its file, line and column."""
    if problem.unknown:
        kind, name, known = problem.unknown
        return UnknownNameError(kind, name, where=source.where(problem.path), known=known)
    return SpecError(problem.text, where=source.where(problem.path), hint=problem.hint)


def unknown_name(path: Path_, kind: str, name: str, known: Iterable[str]) -> Problem:
    """Return the problem of a name that nobody defined, with the nearest one that somebody did."""
    return Problem(path, "", unknown=(kind, name, tuple(known)))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `did you mean ...?`, or what there is where nothing comes near."""
    names = list(known)
    if len(name) <= MOST and (close := get_close_matches(name, names, n=1)):
        return f"did you mean {close[0]!r}?"
    return f"there is {', '.join(names[:12])}" if names else ""


def from_pydantic(error: ValidationError, model: type[BaseModel], source: Source) -> Iterator[Problem]:
    """Yield each of pydantic's findings as a problem."""
    for detail in error.errors(include_url=False):
        yield _problem(detail, model, source)


def _problem(detail: ErrorDetails, model: type[BaseModel], source: Source) -> Problem:
    path: Path_ = tuple(step for step in detail["loc"] if step != "[key]")
    kind, given = detail["type"], detail["input"]
    # A mapping that is written as one word has keys for pydantic that do not stand in the file.
    key = next((_short(step) for step in reversed(source.known(path)) if isinstance(step, str)), "the file")
    context: dict[str, Any] = detail.get("ctx", {})
    if kind == "spec":
        return Problem(path, f"{key}: {context['text']}", context["hint"])
    if kind == "missing":
        return Problem(path[:-1], f"{_said(path[:-1])}lacks {path[-1]!r}", described(model, path))
    if kind == "extra_forbidden":
        return Problem(path, f"unknown key {shown(path[-1])}", _hint_for_key(str(path[-1]), model, path[:-1]))
    if kind == "literal_error":
        words = [each.strip(" '") for each in str(context["expected"]).replace(" or ", ",").split(",")]
        return Problem(path, f"{key}: can't be {shown(given)}", nearest(given if isinstance(given, str) else "", words))
    if kind in _NEEDS:
        hint = _rewritten(kind, given, key) or described(model, path)
        return Problem(path, f"{key}: needs {_NEEDS[kind]}, not {shown(given)}", hint)
    message = detail["msg"].replace("Input should be", "must be").replace("Dictionary should", "must")
    return Problem(path, f"{key}: {message}, not {shown(given)}", described(model, path))


def _rewritten(kind: str, given: object, key: str) -> str:
    """Return how the same is written so that it is taken, where that can be told."""
    if kind == "string_type" and isinstance(given, int | float):
        return "put it in quotes"
    if kind == "int_type" and isinstance(given, OddNumber):
        return "write it in plain digits" if given.meant is None else f"write {given.meant}"
    if kind in {"int_type", "bool_type"} and isinstance(given, str) and _BARE.fullmatch(given):
        return "take the quotes away"
    if kind == "bool_type" and str(given).lower() in _WORDS:
        return f"write {_WORDS[str(given).lower()]}"
    if kind.startswith("model") and given is None:
        return f"write `{key}: {{}}` where it says no more"
    return ""


def _hint_for_key(key: str, model: type[BaseModel], path: Path_) -> str:
    return stranger(key) or nearest(key, keys_at(model, path))


def _short(step: str) -> str:
    return step if step.isprintable() and len(step) <= MOST else shown(step)


def _said(path: Path_) -> str:
    return f"{'.'.join(_short(str(step)) for step in path)} " if path else ""


def keys_at(model: type[BaseModel], path: Path_) -> list[str]:
    """Return the keys that the mapping at this place may have."""
    found = _annotation(model, path)
    return list(found.model_fields) if isinstance(found, type) and issubclass(found, BaseModel) else []


def described(model: type[BaseModel], path: Path_) -> str:
    """Return what the key at this place is for, as its model says."""
    while path and isinstance(path[-1], int):
        path = path[:-1]
    holder = _annotation(model, path[:-1]) if path else None
    if isinstance(holder, type) and issubclass(holder, BaseModel) and str(path[-1]) in holder.model_fields:
        return f"{path[-1]}: {holder.model_fields[str(path[-1])].description or ''}".replace("`", "")
    return ""


def _annotation(model: type[BaseModel], path: Path_) -> object:
    found: object = model
    for step in path:
        found = _inside(found, step)
    return found


def _inside(annotation: object, step: Step) -> object:
    """Return the type of what stands under this key or index."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(str(step))
        return bare(field.annotation) if field else None
    arguments = get_args(annotation)
    return bare(arguments[-1]) if arguments else None


def bare(annotation: object) -> object:
    """Return the type without Annotated and without `| None`."""
    while get_origin(annotation) in {Annotated, Union, types.UnionType}:
        annotation = next(each for each in get_args(annotation) if each is not type(None))
    return annotation
