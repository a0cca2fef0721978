"""What our Lua itself costs: microseconds of a call, and milliseconds to load it, with 100 groups and 500 teams.

The very files run in Lua 5.1, with plain tables as jobs: without what slurmctld spends to hand a job to Lua and back.
`submit_rate` measures both together.

    scripts/dev/bench submit_lua
    scripts/dev/bench submit_lua --groups 10 --teams 20
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from lupa import lua51

from aistation_slurm.cluster.rules.policy import RULES, filter_text, rules_files
from aistation_slurm.spec import ClusterSpec, load_spec

AIM = 1000
"""Microseconds."""
JOBS = {
    "no GPUs": {},
    "fits": {"tres_per_node": "gres:gpu:8", "min_nodes": 1, "partition": "g050"},
    "no group said": {"tres_per_job": "gres:gpu:4"},
    "made to fit": {"tres_per_node": "gres:gpu:16", "min_nodes": 1, "ntasks_per_node": 4, "partition": "g050"},
    "of another team": {"tres_per_job": "gres:gpu:4", "partition": "g051"},
}
_AROUND = """
slurm = { SUCCESS = 0, ERROR = -1, ESLURM_ACCOUNTING_POLICY = 2050, ESLURM_INVALID_ACCOUNT = 2045,
          ESLURM_INVALID_QOS = 2066, log_user = function() end, log_error = error,
          json_cli_options = function(options) return options.json end, log_debug = error }

function a_call(fields, count)
  local parts, begin = {}, 0
  begin = os.clock()
  for _ = 1, count do
    local job = { user_name = "u7", default_account = "t007", script = "#!/bin/sh", environment = { PATH = "/bin" } }
    for name, value in pairs(fields) do job[name] = value end
    slurm_job_submit(job, parts, 1000)
  end
  return (os.clock() - begin) / count * 1e6
end

function a_load(read, count)
  local begin = os.clock()
  for _ = 1, count do read() end
  return (os.clock() - begin) / count * 1e3
end
"""


def cluster_file(groups: int, teams: int) -> str:
    """Return a cluster file with so many groups of 4 nodes and teams of two; every other group is of ten teams."""
    said = [
        f"  g{each:03}: {{nodes: 'g{each:03}-[01-04]', gpu_type: v{each % 7}, gpus_per_node: 8, cpus: 64, "
        f"memory: 256G, teams: {[f't{(each + k) % teams:03}' for k in range(10)] if each % 2 else []}, "
        "quota: {per_user: {gpu: 16}, per_team: {gpu: 32}}}"
        for each in range(groups)
    ]
    members = [
        f"  t{each:03}: {{members: [u{2 * each}, u{2 * each + 1}], quota: {{gpu: 64}}}}" for each in range(teams)
    ]
    head = ["cluster: bench", "default_group: g000", "quota: {per_user: {gpu: 24}}", "groups:", *said, "teams:"]
    return "\n".join([*head, *members, ""])


def spec_of(groups: int, teams: int) -> ClusterSpec:
    """Return that cluster."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cluster.yaml"
        file.write_text(cluster_file(groups, teams))
        return load_spec(file)


def main() -> None:
    """Measure, and print what a call and a load cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=100)
    parser.add_argument("--teams", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=7)
    wanted = parser.parse_args()
    spec = spec_of(wanted.groups, wanted.teams)
    with tempfile.TemporaryDirectory() as folder:
        for name, text in rules_files(spec, source="bench").items():
            (Path(folder) / name).write_text(text)
        filtered = Path(folder) / "cli_filter.lua"
        filtered.write_text(filter_text(spec, source="bench"))
        worst = report(Path(folder) / RULES, filtered, wanted.rounds)
    print(f"aim {AIM} us a call: {'kept' if worst < AIM else 'MISSED'}")
    sys.exit(worst >= AIM)


def report(rules: Path, filtered: Path, rounds: int) -> float:
    """Print each figure, the median of so many rounds, and return the dearest call."""
    lua = lua51.LuaRuntime()
    lua.execute(_AROUND)
    run = lua.globals()
    for file in (rules, filtered):
        read = lua.eval(f"function() dofile({str(file)!r}) end")
        taken = statistics.median(run.a_load(read, 5) for _ in range(rounds))
        print(f"load {file.name:16} {taken:8.2f} ms  ({file.stat().st_size / 1024:.0f} KiB)")
    lua.eval("dofile")(str(rules))
    costs = {}
    for name, fields in JOBS.items():
        job = lua.table_from(fields)
        costs[name] = statistics.median(run.a_call(job, 300) for _ in range(rounds))
        print(f"call {name:16} {costs[name]:8.1f} us")
    return max(costs.values())


if __name__ == "__main__":
    main()
