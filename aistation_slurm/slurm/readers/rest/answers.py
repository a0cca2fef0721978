"""Which questions a slurmrestd answers whole: every field of the model as Slurm's own commands tell it.

Told better than by the commands: a node's port where it is SlurmdPort, which scontrol leaves out; that a job without a
script has no host that runs one, where squeue names the host that asked for it; in a history an exit code of 128 and
more, of which sacct takes 128 off up to 25.05, and a long list of waiting members, which sacct cuts.

Never declared, in any version:

- `partitions`: up to v0.0.44 neither whether one is hidden or the default nor its preempt mode; v0.0.45 says
  `CLUSTER_GLOBAL` for the mode of slurm.conf, which it does not tell. v0.0.38 takes that one for `OFF`.
- `qos`: the preempt mode `WITHIN` is left out; in v0.0.38 GrpSubmitJobs too.
- `fair_shares`: without fair tree sshare works the factor out by itself.
- `steps`, `config`, `loaded_qos`, `limits_in_use`, `usage`: there is no such address.
"""

from __future__ import annotations

_ALWAYS = frozenset({"nodes", "tres", "accounts", "users", "associations"})
# v0.0.38 asks slurmctld for the hosts that it pings, tells a number instead of a reservation's name in a history, can't
# be asked for the earlier runs of a requeued job, and leaves out the CPUs of a job that named no tasks.
_FROM_40 = frozenset({"controllers", "history", "job", "jobs", "step_history"})
# v0.0.40 leaves the longest backfill cycle out.
_NOT_IN_40 = frozenset({"diag"})
# Comments of reservations are there from 23.02 on, and no version tells them.
_BEFORE_23_02 = frozenset({"reservations"})


def answered(version: int, release: str) -> frozenset[str]:
    """Return the names of the questions that `v0.0.{version}` of this release of Slurm answers whole."""
    found = _ALWAYS | (_FROM_40 if version >= 40 else frozenset()) | (_NOT_IN_40 if version != 40 else frozenset())
    return found | _BEFORE_23_02 if release.startswith("22.05.") else found
