"""Record how a real Slurm refuses: as root, `python -m tests.recorded.record_refusals CLUSTER` of `aistation dev`.

Each refusal stands in `refusals/slurm-RELEASE.json` as it came: who gave the order and which, the exit status, both
outputs, and which of our errors a person says it is. The cluster is `small.yaml`; nothing of it stays changed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aistation_slurm.devcluster.cluster import DevCluster
from aistation_slurm.devcluster.login import become

HERE = Path(__file__).parent / "refusals"
SLEEP = "#!/bin/sh\nexec sleep 300\n"
NO_JOB, NOBODY = "66000000", "nobody-x"
UPDATE = ("scontrol", "update")
UPDATE_JOB = (*UPDATE, "JobId={waiting}")
BATCH = ("sbatch", "--parsable", "-o", "/dev/null", "-D", "/tmp")
RESERVE = ("scontrol", "create", "reservation", "ReservationName=aistation-x", "StartTime=now", "Duration=60")
MEMBER = ("account=face", "cluster=small")


@dataclass(frozen=True)
class Case:
    """An order that is refused; `{waiting}`, `{running}`, `{array}`, `{node}` are filled in."""

    kind: str
    argv: tuple[str, ...]
    user: str | None = "ann"
    stdin: str = ""


def _batch(kind: str, *options: str) -> Case:
    return Case(kind, (*BATCH, *options), stdin=SLEEP)


def _root(kind: str, *argv: str) -> Case:
    return Case(kind, argv, user=None)


CASES: dict[str, Case] = {
    "quota of a user's GPUs": _batch("QuotaExceeded", "-N3", "--gres=gpu:2"),
    "quota of a development job": _batch("QuotaExceeded", "-p", "dev", "-q", "development", "-c8", "--gres=shard:1"),
    "somebody else's job cancelled": Case("NotPermitted", ("scancel", "{waiting}"), user="eve"),
    "somebody else's job held": Case("NotPermitted", ("scontrol", "hold", "{waiting}"), user="eve"),
    "somebody else's job changed": Case("NotPermitted", (*UPDATE_JOB, "Nice=1"), user="eve"),
    "somebody else's job requeued": Case("NotPermitted", ("scontrol", "requeue", "{running}"), user="eve"),
    "a higher priority": Case("NotPermitted", (*UPDATE_JOB, "SiteFactor=9")),
    "a user drains": Case("NotPermitted", ("scontrol", "update", "NodeName={node}", "State=DRAIN", "Reason=x")),
    "a user closes a partition": Case("NotPermitted", ("scontrol", "update", "PartitionName=v100", "State=DOWN")),
    "a user reserves": Case("NotPermitted", (*RESERVE, "Nodes={node}", "Users=ann")),
    "a user reconfigures": Case("NotPermitted", ("scontrol", "reconfigure")),
    "a user adds a QOS": Case("NotPermitted", ("sacctmgr", "-i", "add", "qos", "qos-x")),
    "a user adds an account": Case("NotPermitted", ("sacctmgr", "-i", "add", "account", "account-x", "cluster=small")),
    "a user adds a user": Case("NotPermitted", ("sacctmgr", "-i", "add", "user", "ann", *MEMBER)),
    "a user changes a QOS": Case(
        "NotPermitted", ("sacctmgr", "-i", "modify", "qos", "where", "name=normal", "set", "priority=9")
    ),
    "a user deletes an account": Case("NotPermitted", ("sacctmgr", "-i", "delete", "account", "where", "name=face")),
    "a QOS that the user may not use": _batch("UnknownToSlurm", "-q", "emergency"),
    "a root partition": _batch("NotPermitted", "-p", "site"),
    "no such job held": Case("UnknownToSlurm", ("scontrol", "hold", NO_JOB)),
    "no such job requeued": Case("UnknownToSlurm", ("scontrol", "requeue", NO_JOB)),
    "no such job changed": Case("UnknownToSlurm", ("scontrol", "update", f"JobId={NO_JOB}", "Nice=1")),
    "no such job shown": Case("UnknownToSlurm", ("squeue", "-h", "-j", NO_JOB)),
    "no such job cancelled": Case("UnknownToSlurm", ("scancel", "--verbose", "--user=ann", NO_JOB)),
    "no such user's job cancelled": Case("UnknownToSlurm", ("scancel", f"--user={NOBODY}", "{waiting}")),
    "no such partition": _batch("UnknownToSlurm", "-p", NOBODY),
    "no such account": _batch("UnknownToSlurm", "-A", NOBODY),
    "no such QOS": _batch("UnknownToSlurm", "-q", NOBODY),
    "no such node asked for": _batch("UnknownToSlurm", "-w", NOBODY),
    "no such reservation used": _batch("UnknownToSlurm", f"--reservation={NOBODY}"),
    "no such node resumed": _root("UnknownToSlurm", "scontrol", "update", f"NodeName={NOBODY}", "State=RESUME"),
    "no such partition closed": _root("UnknownToSlurm", "scontrol", "update", f"PartitionName={NOBODY}", "State=DOWN"),
    "no such reservation changed": _root("UnknownToSlurm", *UPDATE, f"ReservationName={NOBODY}", "Users=ann"),
    "no such reservation deleted": _root("UnknownToSlurm", "scontrol", "delete", f"ReservationName={NOBODY}"),
    "no such node reserved": _root("UnknownToSlurm", *RESERVE, f"Nodes={NOBODY}", "Users=ann"),
    "no such account of a member": _root(
        "UnknownToSlurm", "sacctmgr", "-i", "add", "user", "ann", f"account={NOBODY}", "cluster=small"
    ),
    "no such cluster of a member": _root(
        "UnknownToSlurm", "sacctmgr", "-i", "add", "user", "ann", "account=face", f"cluster={NOBODY}"
    ),
    "no such parent": _root(
        "UnknownToSlurm", "sacctmgr", "-i", "add", "account", "account-x", f"parent={NOBODY}", "cluster=small"
    ),
    "no such QOS of an account": _root(
        "UnknownToSlurm", "sacctmgr", "-i", "add", "account", "account-x", f"qos={NOBODY}", "cluster=small"
    ),
    "no such default account": _root(
        "UnknownToSlurm", "sacctmgr", "-i", "modify", "user", "where", "name=ann", "cluster=small", "set",
        f"DefaultAccount={NOBODY}",
    ),
    "no such TRES": _root("UnknownToSlurm", "sacctmgr", "-i", "add", "qos", "qos-x", "GrpTRES=gres/frob=1"),
    "an account with a running job": _root(
        "InUse", "sacctmgr", "-i", "delete", "account", "where", "name=behavior", "cluster=small"
    ),
    "a partition with a running job": _root("InUse", "scontrol", "delete", "PartitionName=v100"),
    "a reservation of the same name": _root("InUse", *RESERVE, "Nodes={node}", "Users=ann"),
    "a reservation of taken nodes": _root("InUse", *RESERVE[:3], "ReservationName=aistation-y", *RESERVE[4:],
                                          "Nodes=dev-01", "Users=ann"),
    "more nodes than there are": _batch("InvalidRequest", "-N99"),
    "a GPU that nobody has": _batch("InvalidRequest", "--gres=gpu:none:1"),
    "a feature that no node has": _batch("InvalidRequest", "--constraint=frob"),
    "a wish that no node can fulfil": Case("InvalidRequest", (*UPDATE_JOB, "Prefer=frob")),
    "more time than there is": Case("InvalidRequest", (*UPDATE_JOB, "TimeLimit=never")),
    "no script": Case("InvalidRequest", BATCH, stdin="this is no script\n"),
    "no such option": _batch("InvalidRequest", "--frob"),
    "no such word of a job": Case("InvalidRequest", (*UPDATE_JOB, "Frob=1")),
    "a running job's name": Case("InvalidRequest", ("scontrol", "update", "JobId={running}", "Partition=dev")),
    "a priority of a held job": _root("InvalidRequest", "scontrol", "update", "JobId={held}", "Priority=9"),
    "a waiting job requeued": Case("InvalidRequest", ("scontrol", "requeue", "{waiting}")),
    "a dependency on itself": Case("InvalidRequest", ("scontrol", "update", "JobId={waiting}",
                                                      "Dependency=afterok:{waiting}")),
    "a node that is up resumed": _root("InvalidRequest", "scontrol", "update", "NodeName={node}", "State=RESUME"),
    "a drain without a reason": _root("InvalidRequest", "scontrol", "update", "NodeName={node}", "State=DRAIN"),
    "a feature that the node lacks": _root(
        "InvalidRequest", "scontrol", "update", "NodeName={node}", "AvailableFeatures=a", "ActiveFeatures=b"
    ),
    "a reservation for nobody": _root("InvalidRequest", *RESERVE, "Nodes={node}"),
    "a partition's state": _root("InvalidRequest", "scontrol", "update", "PartitionName=v100", "State=FROB"),
    "no such word of a QOS": _root("InvalidRequest", "sacctmgr", "-i", "add", "qos", "qos-x", "frob=1"),
    "a QOS's time": _root("InvalidRequest", "sacctmgr", "-i", "add", "qos", "qos-x", "MaxWall=never"),
}  # fmt: skip


def main() -> None:
    """Give each order once, and write how it was refused."""
    cluster = DevCluster.open(sys.argv[1])

    def run(argv: tuple[str, ...], user: str | None, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return _run(cluster, argv, user, stdin)

    filled = _stage(run)
    version = run(("squeue", "--version"), None).stdout.split()[-1]
    try:
        recorded = [_record(name, case, run, filled) for name, case in CASES.items()]
    finally:
        run(("scontrol", "delete", "ReservationName=aistation-x"), None)
        run(("scancel", "--user=ann"), None)
        for noun, name in (("qos", "qos-x"), ("account", "account-x")):
            run(("sacctmgr", "-i", "delete", noun, "where", f"name={name}"), None)
        run(("scontrol", "reconfigure"), None)
    path = HERE / f"slurm-{'.'.join(version.split('.')[:2])}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{path.name}: {len(recorded)} refusals of {version}", file=sys.stderr)


Run = Callable[..., "subprocess.CompletedProcess[str]"]


def _run(cluster: DevCluster, argv: tuple[str, ...], user: str | None, stdin: str) -> subprocess.CompletedProcess[str]:
    prepared = become(cluster, argv, user=user, cwd=Path("/"))
    account = prepared.account
    who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    return subprocess.run(
        prepared.argv, env=prepared.env, cwd="/", input=stdin, capture_output=True, text=True, timeout=60, check=False,
        **who,
    )  # fmt: skip


def _stage(run: Run) -> dict[str, str]:
    """Make a job that runs, one that waits and one that is held, and a reservation; return their ids."""
    ids = {
        "running": run((*BATCH, "-J", "running", "--gres=gpu:1"), "ann", SLEEP).stdout.strip(),
        "waiting": run((*BATCH, "-J", "waiting", "--begin=now+1hour"), "ann", SLEEP).stdout.strip(),
        "held": run((*BATCH, "-J", "held", "--hold"), "ann", SLEEP).stdout.strip(),
        "node": "v100-03",
    }
    run((*RESERVE, "Nodes=dev-01", "Users=chen"), None)
    for _ in range(200):
        if "RUNNING" in run(("squeue", "-h", "-j", ids["running"], "-o", "%T"), None).stdout:
            return ids
        time.sleep(0.1)
    raise SystemExit("the job does not run")


def _record(name: str, case: Case, run: Run, filled: dict[str, str]) -> dict[str, object]:
    argv = tuple(word.format(**filled) for word in case.argv)
    done = run(argv, case.user, case.stdin)
    print(f"{done.returncode:>3} {case.kind:<15} {name}: {' / '.join((done.stderr or done.stdout).split(chr(10)))}")
    return {
        "name": name, "kind": case.kind, "user": case.user or "root", "argv": argv, "returncode": done.returncode,
        "stdout": done.stdout, "stderr": done.stderr,
    }  # fmt: skip


if __name__ == "__main__":
    main()
