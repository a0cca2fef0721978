"""What srun and salloc are to cli_filter.lua: their options, in a real Lua 5.1, with each command's own defaults.

    srun = LuaCommand(spec, "srun")
    sent = srun.run("ann", "--gpus-per-node=16")
    assert sent.options["gpus-per-node"] == "8"

An option that nobody gave reads as it does there (`ntasks` is 1, `nodes` is 1-0), and only `json_cli_options` tells
which were given. One that is set is read as the command would read it; a word that it would refuse is an error.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from types import ModuleType

from lupa import lua51

from aistation_slurm.cluster.rules.policy import filter_text
from aistation_slurm.spec import ClusterSpec
from tests.unit.lua_slurmctld import SLURM_USER

DEFAULTS = {
    "nodes": "1-0", "ntasks": "1", "ntasks-per-node": "-2", "ntasks-per-gpu": "-2", "cpus-per-task": "0",
    "cpus-per-gpu": "0", "mincpus": "-1", "jobid": "unset", "exclusive": "unset",
}  # fmt: skip
NUMBERS = frozenset({"ntasks", "ntasks-per-node", "ntasks-per-gpu", "cpus-per-task", "cpus-per-gpu", "mincpus"})
MEMORIES = frozenset({"mem", "mem-per-cpu", "mem-per-gpu"})
_GPUS = re.compile(r"(\w+:)?\d+")
_AROUND = """
local given, set, environment, said = {}, {}, {}, {}
slurm = { SUCCESS = 0, ERROR = -1 }
function slurm.json_cli_options() return given.json end
function slurm.log_debug(...) said[#said + 1] = "debug: " .. string.format((unpack or table.unpack)({...})) end
io = { stderr = { write = function(_, ...) said[#said + 1] = table.concat({...}) end } }
os, require = { getenv = function(name) return environment[name] end }, nil

function pre_submit(read, write, json, variables)
  given.json, environment, said = json, variables, {}
  local options = setmetatable({}, { __index = function(_, name) return read(name) end,
                                     __newindex = function(_, name, value) write(name, value) end })
  return slurm_cli_pre_submit(options, 0), said
end
"""


@dataclass(frozen=True)
class Sent:
    """What a command sends off, and what its user read first."""

    options: dict[str, str]
    said: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    """What the filter noted of its own mistakes."""
    code: int = 0


class LuaCommand:
    """`srun`, `salloc` or `sbatch` with the cli_filter.lua of this cluster file, or with another text."""

    def __init__(self, spec: ClusterSpec, kind: str = "srun", *, text: str = "", lua: ModuleType = lua51) -> None:
        self.kind = kind
        self.lua = lua.LuaRuntime(unpack_returned_tuples=True)
        self.lua.execute(_AROUND)
        loaded = self.lua.execute(text or filter_text(spec, source="cluster.yaml", exempt=SLURM_USER))
        assert loaded == 0, "the command takes any other number for a failure, and ends"

    def run(self, user: str, *words: str, uid: int = 1000, **environment: str) -> Sent:
        """Send a request of these options, such as `--gpus=2`."""
        given = dict(word.removeprefix("--").partition("=")[::2] for word in words)
        given = {name: read_option(name, value) for name, value in given.items()}
        sent = dict(given)

        def read(name: str) -> str | None:
            fixed = {"type": self.kind, "uid": str(uid)}
            return fixed.get(name) or sent.get(name) or DEFAULTS.get(name)

        def write(name: str, value: object) -> None:
            assert isinstance(value, str | int | float), f"{name} can't be set to {value!r}"
            sent[name] = read_option(name, str(value))

        call = self.lua.globals()["pre_submit"]
        variables = self.lua.table_from({"USER": user, **environment})
        text = json.dumps({**given, "argv": ['a","gpus":"9']}, separators=(",", ":"))
        code, said = call(read, write, text, variables)
        lines = [str(line).rstrip("\n") for line in said.values()]
        wrong = tuple(line for line in lines if line.startswith("debug:"))
        return Sent(sent, tuple(line for line in lines if line not in wrong), wrong, int(code))


def read_option(name: str, value: str) -> str:
    """Return the value as the command gives it back once it has read it (slurm_opt.c)."""
    if name in NUMBERS:
        assert value.isdigit(), f"--{name}={value}"
        return str(int(value))
    if name == "nodes":
        least, _, most = value.partition("-")
        assert int(least) <= int(most or least), f"--nodes={value}"
        return least if not most or most == least else value
    if name in MEMORIES:
        return write_memory(value)
    if name == "gres":
        return ",".join(f"gres:{word}" for word in re.sub(r"gres[:/]", "", value).split(","))
    if name.startswith("gpus"):
        assert all(_GPUS.fullmatch(word) for word in value.split(",")), f"--{name}={value}"
    return value


def write_memory(value: str) -> str:
    """Return `64G` for `65536M`: as the commands write it."""
    units = "KMGTP"
    number, unit = int(value.rstrip(units)), units.index(value[-1]) if value[-1] in units else 1
    while number and number % 1024 == 0 and unit < len(units) - 1:
        number, unit = number // 1024, unit + 1
    return f"{number}{units[unit]}"
