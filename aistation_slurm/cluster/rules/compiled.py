"""The cluster file's policy as JSON beside slurm.conf: what `aistation job submit` reads instead of asking Slurm.

It says what the rules' table says, in the same numbers, and beside it what a command wants to know before it sends
anything: time limits, the QOS there are, Slurm's release. `jobs.compiled` reads it. Who is in which team is not in it:
slurmctld knows, and a user who comes or goes changes no file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from aistation_slurm.cluster.rules.table import Lua, table_groups, table_teams, table_tops
from aistation_slurm.cluster.wanted.desired import job_qos
from aistation_slurm.cluster.wanted.files import json_preamble
from aistation_slurm.jobs.compiled import COMPILED, FORMAT
from aistation_slurm.spec import ClusterSpec

__all__ = ["COMPILED", "compiled_text"]


def compiled_text(spec: ClusterSpec, *, source: str, release: str = "") -> str:
    """Return the file: a group or team a line. `release` is Slurm's own, `22.05.8`."""
    groups = {name: _group(spec, name, row) for name, row in table_groups(spec).items()}
    has_nights = spec.calendar.has_nights
    qos = dict.fromkeys(
        each for group in spec.managed_groups().values() for each in job_qos(group, has_nights=has_nights)
    )
    tops: dict[str, object] = {"format": FORMAT, "release": release, "qos": list(qos), **table_tops(spec)}
    lines = [f" {_json(key)}: {_json(value)},\n" for key, value in tops.items() if value is not None]
    blocks = [_block("groups", groups), _block("teams", table_teams(spec))]
    body = "".join(lines) + ",\n".join(blocks) + "\n}\n"
    return json_preamble(body, source) + body


def _group(spec: ClusterSpec, name: str, row: Mapping[str, Lua]) -> dict[str, object]:
    """Return the table's row of a group, with what only a command asks for; teams are a list."""
    group, said = spec.groups[name], dict[str, object](row)
    if isinstance(teams := said.get("teams"), Mapping):
        said["teams"] = list(teams)
    return {
        **said,
        "cpus_per_gpu": group.cpus_per_gpu,
        "max_time": int(group.max_time.total_seconds()) if group.max_time else None,
    }


def _block(name: str, rows: Mapping[str, object]) -> str:
    inside = ",\n".join(f"  {_json(key)}: {_json(row)}" for key, row in rows.items())
    return f" {_json(name)}: {{\n{inside}\n }}" if inside else f" {_json(name)}: {{}}"


def _json(value: object) -> str:
    if isinstance(value, Mapping):
        value = {key: each for key, each in value.items() if each is not None}
    return json.dumps(value, ensure_ascii=False)
