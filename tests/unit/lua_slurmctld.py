"""What slurmctld is to job_submit.lua: the table `slurm`, job_desc and the job's record, in a real Lua 5.1.

    ctld = LuaSlurmctld(spec, tmp_path)
    answer = ctld.submit("ann", tres_per_node="gres:gpu:16")
    assert answer.said[0] == "gpus_per_node: 16 -> 8 (a node of v100 has no more)"

Fields that nobody gave are numbers of "no value", as Slurm has them; a field of another type is refused as there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from lupa import lua51

from aistation_slurm.cluster.rules.policy import RULES, TABLE, rules_files
from aistation_slurm.spec import ClusterSpec

NO_VAL, NO_VAL16, NO_VAL64 = 4294967294, 65534, 18446744073709551614
SLURM_USER = 64030
REFUSED, NO_TEAM, ERROR = 2050, 2045, -1
TEXTS = (
    "account", "default_account", "partition", "qos", "script", "user_name", "tres_per_node", "tres_per_job",
    "tres_per_task", "tres_per_socket", "cpus_per_tres", "mem_per_tres", "tres_bind",
    "array_inx", "prefer",
)  # fmt: skip
NUMBERS = {
    "min_nodes": NO_VAL, "max_nodes": NO_VAL, "num_tasks": NO_VAL, "min_cpus": NO_VAL, "max_cpus": NO_VAL,
    "het_job_offset": NO_VAL, "ntasks_per_node": NO_VAL16, "cpus_per_task": NO_VAL16, "pn_min_cpus": NO_VAL16,
    "ntasks_per_tres": NO_VAL16,
}  # fmt: skip
_AROUND = """
local said, logged = {}, {}
slurm = { SUCCESS = 0, ERROR = -1, FAILURE = -1, ESLURM_ACCOUNTING_POLICY = 2050, ESLURM_INVALID_ACCOUNT = 2045,
          NO_VAL = 4294967294, NO_VAL16 = 65534, NO_VAL64 = 18446744073709551614 }
function slurm.log_user(...) said[#said + 1] = string.format((unpack or table.unpack)({...})) end
function slurm.log_error(...) logged[#logged + 1] = string.format((unpack or table.unpack)({...})) end
slurm.log_info = slurm.log_error
io, os, require = nil, nil, nil

local function guarded(fields, texts, numbers)
  return setmetatable({}, {
    __index = function(_, key) return fields[key] end,
    __newindex = function(_, key, value)
      if texts[key] then
        if type(value) ~= "string" and type(value) ~= "number" then error(key .. " is a text") end
        fields[key] = value ~= "" and tostring(value) or nil
      elseif numbers[key] then
        if type(value) ~= "number" then error(key .. " is a number") end
        fields[key] = value
      else
        error("unrecognized field: " .. tostring(key))
      end
    end })
end

function submitted(fields, texts, numbers, partitions, uid)
  said, logged = {}, {}
  local code = slurm_job_submit(guarded(fields, texts, numbers), partitions, uid)
  return code, said, logged
end

function modified(fields, texts, numbers, before, partitions, uid)
  said, logged = {}, {}
  local code = slurm_job_modify(guarded(fields, texts, numbers), before, partitions, uid)
  return code, said, logged
end
"""


@dataclass(frozen=True)
class Answer:
    """What became of a job."""

    code: int
    said: tuple[str, ...]
    job: dict[str, object]
    logged: tuple[str, ...] = ()

    @property
    def is_accepted(self) -> bool:
        return self.code == 0


class LuaSlurmctld:
    """A slurmctld that has read the rules of this cluster file; up to 22.05 it knows no names of errors."""

    def __init__(
        self,
        spec: ClusterSpec,
        folder: Path,
        *,
        release: tuple[int, int] = (24, 11),
        version: str = "",
        table: str | None = None,
        lua: ModuleType = lua51,
    ) -> None:
        self.spec = spec
        for name, text in rules_files(spec, source="cluster.yaml", exempt=SLURM_USER, release=version).items():
            (folder / name).write_text(text if table is None or name != TABLE else table)
        self.lua = lua.LuaRuntime(unpack_returned_tuples=True)
        self.lua.execute(_AROUND)
        if release >= (23, 2):
            self.lua.execute("slurm.ESLURM_INVALID_QOS = 2066")
        loaded = self.lua.globals().dofile(str(folder / RULES))
        assert loaded == 0, "slurmctld takes any other number for a failure"

    def submit(self, user: str = "ann", *, uid: int = 1000, site_default: str = "", **fields: object) -> Answer:
        """Submit a job; of srun with `script=None`."""
        found = self._fields(user, {"script": "#!/bin/sh\n", "min_cpus": 1, **fields}, unset=True)
        if found["script"] is not None and "environment" not in found:
            found["environment"] = {"PATH": "/bin"}
        return self._answer("submitted", found, (), site_default, uid)

    def modify(self, user: str = "ann", *, before: Mapping[str, object], uid: int = 1000, **fields: object) -> Answer:
        """Change a job whose record is `before`."""
        record = {**self._fields(user, before, unset=False), "job_state": before.get("job_state", 0)}
        return self._answer("modified", self._fields(user, fields, unset=True), (record,), "", uid)

    def _fields(self, user: str, fields: Mapping[str, object], *, unset: bool) -> dict[str, object]:
        team = next(iter(self.spec.teams_of(user)), None)
        numbers = NUMBERS if unset else {}
        return {**numbers, "user_name": user, "default_account": team, **fields}

    def _answer(
        self, function: str, fields: dict[str, object], more: tuple[Mapping[str, object], ...], site: str, uid: int
    ) -> Answer:
        own = {key: value for key, value in fields.items() if value is not None}
        environment = dict(own.pop("environment", {}))
        job = self.lua.table_from(own)
        if environment:
            job.environment = self.lua.table_from(environment)
        texts = self.lua.table_from(dict.fromkeys(TEXTS, True))
        numbers = dict.fromkeys([*NUMBERS, "min_mem_per_node", "min_mem_per_cpu"], True)
        others = [self.lua.table_from({k: v for k, v in each.items() if v is not None}) for each in more]
        partitions = {name: self.lua.table_from({"flag_default": 0}) for name in self.spec.groups}
        if site:
            partitions[site] = self.lua.table_from({"flag_default": 1})
        table = self.lua.table_from(partitions)
        call = self.lua.globals()[function]
        code, said, logged = call(job, texts, self.lua.table_from(numbers), *others, table, uid)
        return Answer(code, tuple(said.values()), plain(job), tuple(logged.values()))


def plain(table: object) -> dict[str, object]:
    """Return a Lua table as a dict, without the numbers that mean "no value"."""
    found = {}
    for key, value in table.items():  # type: ignore[attr-defined]
        if hasattr(value, "items"):
            found[key] = plain(value)
        elif value not in (NO_VAL, NO_VAL16, NO_VAL64):
            found[key] = int(value) if isinstance(value, float) and value.is_integer() else value
    return found


def gpus_in(text: object, name: str = "gpu") -> int:
    """Return how many GPUs a list such as `gres:gpu:v100:2` asks for."""
    found = re.findall(rf"(?:^|,)(?:gres[:/])?{name}(?:[:=][^,]*?)?[:=](\d+)(?=,|$)", str(text or ""))
    return sum(map(int, found))
