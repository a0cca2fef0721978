"""The training's arguments, where `{lr}` stands for what each member is given."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from aistation_slurm.errors import RequestError
from aistation_slurm.jobs.sweep.values import Params, unknown, variable, write_value
from aistation_slurm.render import Raw, printable

_PLACE = re.compile(r"\{\{(?P<literal>[A-Za-z_][A-Za-z0-9_.-]*)\}\}|\{(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)\}")


def for_script(args: Sequence[str], members: Sequence[Params]) -> tuple[str, ...]:
    """Return the arguments as they stand in the script: one without a place as it is, else as words of bash.

    `{lr}` becomes `"$AISTATION_PARAM_LR"`, one word whatever the value is; `{{lr}}` is the text `{lr}`.

    Raises:
        RequestError: a member has no such parameter.
    """
    return tuple(_word(each, members) for each in args)


def for_member(args: Sequence[str], params: Params) -> tuple[str, ...]:
    """Return the arguments as this member's training will have them."""

    def put(match: re.Match[str]) -> str:
        return f"{{{match['literal']}}}" if match["literal"] else write_value(params[match["name"]])

    return tuple(_PLACE.sub(put, each) for each in args)


def _word(arg: str, members: Sequence[Params]) -> str:
    if not _PLACE.search(arg):
        return arg
    parts, end = [], 0
    for match in _PLACE.finditer(arg):
        parts.append(_quoted(arg[end : match.start()]))
        parts.append(_place(match, members))
        end = match.end()
    return Raw("".join([*parts, _quoted(arg[end:])]))


def _place(match: re.Match[str], members: Sequence[Params]) -> str:
    if match["literal"]:
        return _quoted(f"{{{match['literal']}}}")
    name = match["name"]
    known = {each for params in members for each in params}
    if name not in known:
        raise unknown(name, known, where=match[0])
    without = next((number for number, params in enumerate(members) if name not in params), None)
    if without is not None:
        raise RequestError(f"member {without} has no {name!r}", where=match[0], hint="give one to each member")
    return f'"${{{variable(name)}}}"'


def _quoted(text: str) -> str:
    return shlex.quote(printable(text)) if text else ""
