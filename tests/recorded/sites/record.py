"""Record what sites of their own answer: `python -m tests.recorded.sites.record CLUSTER SITE...`.

CLUSTER is a dev cluster that is up, and is spoiled by it: take it down afterwards. Of its slurmdbd all accounts and
QOS go, its slurmctld runs with the site's `slurm.conf` in the place of our nodes and partitions, and each line of
`accounting.sh` is carried out. The site's nodes have no slurmd. Then each question of an import is asked once.
"""

import re
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from aistation_slurm.cli.dev import start_cluster
from aistation_slurm.devcluster.cluster import DevCluster, bring_up, stop
from aistation_slurm.devcluster.plan import Wishes
from aistation_slurm.errors import SlurmError
from aistation_slurm.settings import read_settings
from aistation_slurm.slurm import commands
from aistation_slurm.slurm.connect import connect
from aistation_slurm.slurm.runner import LocalRunner
from tests.recorded.record import record

HERE = Path(__file__).parent
ASKED = {
    "nodes": commands.show_nodes,
    "partitions": commands.show_partitions,
    "qos": commands.show_qos,
    "accounts": commands.show_accounts,
    "associations": lambda: commands.show_associations("small"),
}
OURS = ("NodeName=", "PartitionName=", "Include ", "GresTypes=", "AccountingStorageTRES=", "JobSubmitPlugins=")


def main() -> None:
    """Make each site in turn, and write down what it answers."""
    cluster = start_cluster(Wishes(name=sys.argv[1]))
    settings = read_settings(cluster.paths.config).slurm
    slurm, kept = connect(settings), settings.conf.read_text()
    for name in sys.argv[2:]:
        forget(slurm)
        lines = [line for line in kept.splitlines(keepends=True) if not line.startswith(OURS)]
        own = resolvable((HERE / name / "slurm.conf").read_text())
        # A limit needs its TRES, which slurmctld makes; a partition's QOS must be there when slurmctld starts.
        settings.conf.write_text("".join(lines) + re.sub(r" QOS=\S+", "", own))
        restart(cluster)
        for line in (HERE / name / "accounting.sh").read_text().splitlines():
            subprocess.run(shlex.split(line), env=cluster.env(), check=True, timeout=60)
        settings.conf.write_text("".join(lines) + own)
        restart(cluster)
        runner = LocalRunner(slurm_conf=settings.conf, bin=settings.bin)
        for question, ask in ASKED.items():
            record(HERE / name / f"{question}.txt", runner, ask().argv)


def resolvable(text: str) -> str:
    """Return the site's lines with an address for each node: slurmctld looks for a minute for one that it lacks."""
    here = r"\1 NodeAddr=127.0.0.1 NodeHostname=localhost"
    return re.sub(r"^(NodeName=(?!DEFAULT)\S+)", here, text, flags=re.MULTILINE)


def forget(slurm) -> None:
    """Remove every account and every QOS but Slurm's own."""
    for row in slurm.read.associations():
        if row.account != "root":
            with suppress(SlurmError):  # gone with the one above it, or a user's default account: once more below
                slurm.write.sacctmgr("delete", "account", "where", f"name={row.account}")
    for qos in slurm.read.qos():
        if qos.name != "normal":
            slurm.write.sacctmgr("delete", "qos", "where", f"name={qos.name}")
    limits = ("MaxTRESPerUser=gres/gpu=-1", "MaxTRESPerAccount=gres/gpu=-1", "MaxJobsPerUser=-1")
    with suppress(SlurmError):  # "Nothing modified"
        slurm.write.sacctmgr("modify", "qos", "where", "name=normal", "set", *limits)


def restart(cluster: DevCluster) -> None:
    """Start slurmctld anew, with its files as they are now."""
    stop(cluster, lambda service: service == "slurmctld")
    bring_up(cluster, [each for each in cluster.services() if each.name == "slurmctld"])


if __name__ == "__main__":
    main()
