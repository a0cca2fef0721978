"""For tests of `cluster apply`: a cluster file that changes nearly everything, and what Slurm is at a moment."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aistation_slurm.cluster.applying.carry_out import Outcome, Wish, carry_out
from aistation_slurm.cluster.applying.target import Target
from aistation_slurm.cluster.conf import read_conf
from aistation_slurm.cluster.shadow.shadow import Verdict, try_files
from aistation_slurm.cluster.writing.replacing import Witness, nobody
from aistation_slurm.slurm.connect import connect
from aistation_slurm.spec.edit import read_text

DRIVER = Path(__file__).with_name("apply_driver.py")
FILES = (
    "slurm.conf",
    "aistation.conf",
    "gres.conf",
    "job_submit.lua",
    "aistation_policy.lua",
    "aistation_policy.json",
    "aistation_fit.lua",
)


PLAIN = "slurm: {profile: none}\n"
"""With it nothing is wanted of the site's SchedulerParameters."""


def changed(text: str, *, shares: bool = False) -> str:
    """Return the small cluster's file with another quota, team, member, limit and rule, and with faster scheduling.

    With other `shares` of a GPU too, a node's line changes, and slurmctld and a slurmd must be restarted.
    """
    for old, new in (
        ("quota: {per_user: {gpu: 4}}", "quota: {per_user: {gpu: 3}}, max_time: 2d"),
        ("members: [ann, bob]", "members: [ann]"),
        ("  face: ", "  robot:    {description: Robots, members: [bob, eve], emergency: [eve]}\n  face: "),
        ("per_user: 2,", "per_user: 3,"),
        ("shards_per_gpu: 4", "shards_per_gpu: 2" if shares else "shards_per_gpu: 4"),
        (PLAIN, ""),
    ):
        assert old in text
        text = text.replace(old, new)
    return f"{text}over_request: remind\n"


@dataclass(frozen=True)
class Applying:
    """The station, as one who applies sees it."""

    station: Any
    old: Path
    """The cluster's own file."""
    new: Path
    """The file that changes nearly everything."""

    @property
    def conf_dir(self) -> Path:
        """Slurm's files."""
        return self.station.settings.slurm.conf.parent

    def target(self, path: Path) -> Target:
        """What `aistation cluster apply PATH` acts on."""
        settings = self.station.settings
        return Target(settings=settings, slurm=connect(settings.slurm), cluster_file=path)

    def apply(self, path: Path, *, canary: bool = False, watch: bool = False, witness: Witness = nobody) -> Outcome:
        """Apply the file."""
        target = self.target(path)
        wish = Wish(spec=target.load(), text=read_text(path), force=True, canary=canary, watch=watch)
        return carry_out(target, wish, witness=witness)

    def killed_at(self, moment: int | str) -> list[str]:
        """Apply the new file in a process that is killed at that moment, and return the moments until then."""
        done = self.station.exec([sys.executable, str(DRIVER), str(self.new), str(moment)], timeout=120)
        assert done.returncode == (-9 if moment else 0), done.stderr
        return done.stdout.splitlines()

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start `aistation WORDS`, which hears an interrupt even where this process, in the background, does not."""
        return subprocess.Popen(
            [sys.executable, "-m", "aistation_slurm", *words],
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  (no threads here)
            env=self.station.env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def aistation(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `aistation WORDS`."""
        return self.station.exec([sys.executable, "-m", "aistation_slurm", *words], timeout=120)

    def picture(self) -> dict[str, str]:
        """What Slurm and its files are now, but for what the time of day changes.

        Not the accounts: sacctmgr deletes them cluster by cluster, and a name without associations stays behind.
        """
        show = ("sacctmgr", "-nP", "show")
        said = {
            "qos": (*show, "qos", "format=name,description,priority,flags,preempt,maxtrespu,maxjobspu,maxsubmitpu"),
            "association": (*show, "assoc", "format=account,user,qos,defaultqos,grptres,grpjobs"),
            "partition": ("scontrol", "-o", "show", "partition"),
        }
        found = {name: _sorted(self.station.exec(list(argv)).stdout) for name, argv in said.items()}
        files = {name: _body((self.conf_dir / name).read_text()) for name in FILES}
        return found | files

    def shadow(self) -> Verdict:
        """What becomes of a slurmctld that starts with the files as they are now."""
        return try_files(read_conf(self.station.settings.slurm.conf), bin=self.station.settings.slurm.bin)


def _sorted(text: str) -> str:
    return "\n".join(sorted(line for line in text.splitlines() if line.strip()))


def _body(text: str) -> str:
    """Return a file without the line that names the cluster file it came from."""
    return "\n".join(line for line in text.splitlines() if "Written by `aistation cluster apply`" not in line)
