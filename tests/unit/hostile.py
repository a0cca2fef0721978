"""A thousand values that nobody means well with, and the request that carries them into every place of a template."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aistation_slurm.errors import RequestError
from aistation_slurm.jobs.catalogue import Template
from aistation_slurm.jobs.request import complaint_about

COUNT = 1000
# `hit` is a command that tells; `> hit` makes a file of that name
_ATTACKS = (
    "$(hit)", "`hit`", ";hit;", "&&hit&&", "|hit|", "\nhit\n", "\r\nhit\r\n", ">hit", "<(hit)", "$((`hit`))",
    "${x:=$(hit)}", "'$(hit)'", '"$(hit)"', "';hit;'", '";hit;"', "')$(hit)('", "\\$(hit)", "\\';hit;\\'",
    "'\"'$(hit)'\"'", "a[$(hit)]", "}\nhit\n{", "END\nhit\n", "#SBATCH --uid=0", "\n#SBATCH --uid=0\n", "hetjob",
    "--uid=0", "-x", "--", "-rf /", "--help", "{{ 7 * 7 }}", "{% raw %}", "{# #}", "{{ ''.__class__ }}", "%x%j",
    "%(hit)s", "~root", "*", "?", "[a-z]", "!!", "!hit", "\u2028hit\u2028", "\u2029hit", "\x85hit", "\x0bhit",
    "\x0chit", "\x1b[31m", "\x00hit", "\u202ehit", "\ufeff", "\ud800", "\xa0", "数据", "é", "🚀", "Ω≈ç", "\t", "\t#\t",
    " ", "  a  b  ", "'", '"', "\\", "\\\\", "\\\n", "a\\b", "$'\\x41'", "$x", "$$", "$#", "#", " # x", "a#b", "=",
    "a=b", ":", ",", "a:b,c", "()", "(hit)", "{hit,hit}", "<<END", "[[ hit ]]", "x" * 300, "y'" * 2000,
)  # fmt: skip


def hostile_values() -> list[str]:
    """Return a thousand different values, the same each time: the attacks, then pieces of them put together."""
    chance = random.Random(20261126)
    values = dict.fromkeys(_ATTACKS)
    while len(values) < COUNT:
        values["".join(chance.choices(_ATTACKS[:-2], k=chance.randint(2, 4)))] = None
    return list(values)


@dataclass(frozen=True)
class Carrier:
    """A request with a value in each place: whole, or a mark that stands for it."""

    wanted: Mapping[str, object]
    values: Mapping[str, str]
    """Place -> what stands there."""


PLACES = (
    "name", "group", "account", "qos", "reservation", "constraint", "gpu_type", "mem", "time", "output", "image",
    "python", "script", "args", "checkpoint_dir", "datasets", "exports", "mail",
)  # fmt: skip


def places(template: Template) -> Sequence[str]:
    """Return every place of a request for this template: fields of the request, and the template's parameters."""
    return (*PLACES, *(f"set.{name}" for name in template.parameters))


def mark(template: Template, place: str) -> str:
    """Return the harmless value of a place, which stands nowhere else in the script."""
    if not place.startswith("set."):
        number = f"{PLACES.index(place):02}"
        special = {"time": f"7:{number}:07", "mem": f"77{number}M", "mail": "END"}
        return special.get(place, f"Mark{number}X")
    parameter = template.parameters[place.removeprefix("set.")]
    free = {"string": f"Mark{place[4:]}X", "path": f"/Mark{place[4:]}X"}
    if parameter.type in free:
        return free[parameter.type]
    value = parameter.choices[-1] if parameter.choices else {"time": "7:07:07"}.get(parameter.type, parameter.default)
    return "2" if value is None else "yes" if value is True else "no" if value is False else str(value)


def is_taken(template: Template, place: str, value: str) -> bool:
    """True where a request takes the value at this place; false where it refuses it, in words."""
    if place.startswith("set."):
        try:
            template.parameters[place.removeprefix("set.")].read(place, value)
        except RequestError as error:
            return str(error) == ""  # refused in words
        return True
    if place in ("python", "image") and value.startswith("-"):
        return False  # where the script is rendered: tests/unit/test_templates.py
    field, whole = next(iter(_whole({place: value}).items()))
    return not complaint_about(field, whole)


def carrier(template: Template, values: Mapping[str, str]) -> Carrier:
    """Return the request with these values, and with marks in all other places."""
    all_values = {place: values.get(place, mark(template, place)) for place in places(template)}
    wanted = _whole({place: value for place, value in all_values.items() if not place.startswith("set.")})
    shape = ("nodes", "gpus_per_node", "cpus_per_gpu")
    settings = {place[4:]: value for place, value in all_values.items() if place.startswith("set.")}
    counts = {name: int(settings.pop(name)) for name in shape if name in settings}
    return Carrier({**wanted, **counts, "template": template.name, "settings": settings}, all_values)


def _whole(values: Mapping[str, str]) -> dict[str, object]:
    """Return the fields of a request; a file is one in a folder, and a list or table has one thing."""
    make = {
        "script": lambda text: Path("/Folder12X") / text,
        "args": lambda text: (text,),
        "checkpoint_dir": lambda text: Path("/Folder14X") / text,
        "datasets": lambda text: {"set": Path("/Folder15X") / text},
        "exports": lambda text: {"NOTE": text},
        "mail": lambda text: (text,),
    }
    return {place: make.get(place, str)(value) for place, value in values.items()}
