"""How long the customer's cluster (95 nodes, 760 GPUs, 120 users) takes to stand here, and how much memory it holds.

Started for the first time, then once more after all its processes were killed. What stands is held against the
cluster file by the distribution's own sinfo and sacctmgr.

scripts/dev/bench bringup
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from aistation_slurm.assets import asset_dir
from aistation_slurm.devcluster.processes import end_all, read_processes, services
from aistation_slurm.spec import load_spec

FILE = asset_dir("slurm_conf") / "examples/six-teams.yaml"
OURS = (sys.executable, "-m", "aistation_slurm")
AIM = 30.0


def bring_up(name: str) -> tuple[float, float]:
    """Return the seconds in all, and those that making the database took."""
    words = (*OURS, "dev", "up", "--name", name, "--file", str(FILE), "--layout", "loopback")
    said = subprocess.run(words, capture_output=True, text=True, check=True).stderr
    total = re.search(r"([\d.]+) s  \S+ is up", said)
    database = re.search(r"([\d.]+) s  database made", said)
    if total is None:
        sys.exit(said)
    return float(total[1]), float(database[1]) if database else 0.0


def on(name: str, *argv: str) -> list[str]:
    done = subprocess.run(
        (*OURS, "dev", "exec", "--name", name, "--", *argv), capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def memory(name: str) -> int:
    """Return the proportional set size of all its daemons, in MiB."""
    rollups = (Path(f"/proc/{each.pid}/smaps_rollup").read_text() for each in services(read_processes(), name).values())
    return sum(int(re.search(r"^Pss: +(\d+)", text, re.MULTILINE)[1]) for text in rollups) // 1024


def check(name: str) -> None:
    """Hold what Slurm's own commands say against the file."""
    spec = load_spec(FILE)
    nodes = {line.split()[0]: line.split() for line in on(name, "sinfo", "-h", "-N", "-o", "%N %T %G")}
    idle = sum(words[1] == "idle" for words in nodes.values())
    gpus = sum(int(re.search(r"gpu:\w+:(\d+)", words[2])[1]) for words in nodes.values())
    groups = {line.rstrip("*") for line in on(name, "sinfo", "-h", "-o", "%P")}
    accounts = set(on(name, "sacctmgr", "-nP", "show", "account", "format=account"))
    users = [line for line in on(name, "sacctmgr", "-nP", "show", "assoc", "format=user,grptres") if line[0] != "|"]
    limited = sum("gres/gpu=24" in line for line in users)
    quotas = on(name, "sacctmgr", "-nP", "show", "qos", "format=name,maxtrespu")
    sixteen = sum("gres/gpu=16" in line for line in quotas)
    print(f"sinfo: {idle} nodes idle, {gpus} GPUs; groups {'agree' if set(spec.groups) <= groups else 'DIFFER'}")
    print(f"sacctmgr: teams {'agree' if set(spec.teams) <= accounts else 'DIFFER'}; {limited} users with 24 GPUs over "
          f"all groups; {sixteen} groups with 16 GPUs a user")  # fmt: skip
    if (idle, gpus, limited, sixteen) != (95, spec.total_gpus, len(spec.users()), 3):
        sys.exit("that is not what the cluster file says")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="bringup")
    name = parser.parse_args().name
    total, database = bring_up(name)
    print(f"first start {total:.1f} s, of which {database:.1f} s made the database")
    check(name)
    print(f"memory of all its daemons: {memory(name)} MiB")
    end_all(lambda found: services(found, name).values())
    again, _ = bring_up(name)
    print(f"after all was killed {again:.1f} s")
    check(name)
    subprocess.run((*OURS, "dev", "down", "--name", name), capture_output=True, check=True)
    print(f"aim {AIM:.0f} s: {'kept' if max(total - database, again) <= AIM else 'MISSED'}")


if __name__ == "__main__":
    main()
