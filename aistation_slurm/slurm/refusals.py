"""What Slurm says when it can't or won't, and which of our errors that is.

The words are those of slurm_errno.c and sacctmgr from 22.05 to 26.05; the first that fits counts.
"""

from __future__ import annotations

import re

from aistation_slurm.errors import (
    InUse,
    InvalidRequest,
    NotPermitted,
    QuotaExceeded,
    SlurmError,
    SlurmRefused,
    SlurmUnreachable,
    UnknownToSlurm,
)
from aistation_slurm.slurm.runner import Completed, shown

_SAYS_SLURMCTLD = "is slurmctld alive? `scontrol ping` says so; its log says why"
_SAYS_SLURMDBD = "is slurmdbd alive? `sacctmgr show cluster` says so; its log says why"
_SAYS_MUNGE = "is munged running here, with the key of the cluster? `munge -n | unmunge` says so"
_SAYS_CONF = "the slurm.conf that SLURM_CONF (or [slurm] conf in aistation.toml) names is missing or wrong"
_SAYS_RELEASE = "these commands and the daemons are of different releases of Slurm"
_NO_ACCOUNTING = "this Slurm keeps no accounting: AccountingStorageType=accounting_storage/slurmdbd is needed"
_LATER = "nothing is wrong with the request: try again in a moment"

_Kind = tuple[type[SlurmError], str, str]

_NOT_ASKED: tuple[_Kind, ...] = (
    (SlurmRefused, r"not running a supported accounting_storage|accounting storage is disabled", _NO_ACCOUNTING),
    (SlurmUnreachable, r"munge (?:en|de)code failed|if munged is up|munge\.socket", _SAYS_MUNGE),
    (SlurmUnreachable, r"authentication (?:error|credential|agent)|auth_g_\w+", _SAYS_MUNGE),
    (SlurmUnreachable, r"slurm_persist|\bslurmdbd\b|unable to connect to database|database connection", _SAYS_SLURMDBD),
    (SlurmUnreachable, r"unable to contact (?:the )?slurm|controller not responding", _SAYS_SLURMCTLD),
    (SlurmUnreachable, r"connection (?:refused|reset|failure|timed out|rejected|forced closed)", _SAYS_SLURMCTLD),
    (SlurmUnreachable, r"socket timed out|zero bytes were transmitted|zero length message", _SAYS_SLURMCTLD),
    (
        SlurmUnreachable,
        r"message (?:send|receive) failure|header lengths are longer|failed to send entire",
        _SAYS_SLURMCTLD,
    ),
    (SlurmUnreachable, r"no route to host|network is unreachable|name or service not known", _SAYS_SLURMCTLD),
    (SlurmUnreachable, r"standby mode|can't find an address|unable to resolve (?:\"|')", _SAYS_SLURMCTLD),
    (SlurmUnreachable, r"rate limit exceeded", _LATER),
    (
        SlurmUnreachable,
        r"incompatible versions|invalid protocol version|insane message length",
        _SAYS_RELEASE,
    ),
    (SlurmUnreachable, r"configuration source|unable to process configuration|pars(?:e|ing) error", _SAYS_CONF),
)
_REFUSED: tuple[_Kind, ...] = (
    (QuotaExceeded, r"violates accounting/qos policy|breached requested qos|maxjobcount limit", ""),
    (QuotaExceeded, r"\b(?:Assoc|QOS)(?:Grp|Max|Min)\w+", ""),
    (NotPermitted, r"permission denied|access denied|have privilege|user's group not permitted", ""),
    (
        NotPermitted,
        r"invalid user id\s*(?:$|;|for job)|(?:only|must be).*\b(?:root|operator|administrator|super ?user)",
        "",
    ),
    (InUse, r"\bin use\b|job\(s\) active|default (?:account|qos)|jobs? running on", ""),
    (UnknownToSlurm, r"invalid (?:job id|partition|node name|qos|account|user(?: id)?: |wckey)", ""),
    (
        UnknownToSlurm,
        r"no (?:parent )?account\b|not found|doesn't exist|does not exist|unknown (?:association|user|account|qos)",
        "",
    ),
    (UnknownToSlurm, r"bad qos|no tres known|requested reservation is invalid|can't find|no such", ""),
    (SlurmRefused, r"try again|not available right now|presently disabled|submissions disabled", _LATER),
    (InvalidRequest, r"invalid|unrecogni[sz]ed|unknown|unsupported|not supported|not available|unable to open", ""),
    (InvalidRequest, r"already|no longer pending|is not|more .* than|exceeds|too (?:large|long)|must|requires?\b", ""),
    (InvalidRequest, r"does not look like a batch script|specification|incorrect|bad\b|unacceptable|missing", ""),
)
_SPEAKER = re.compile(
    r"^(?:\w+: )?(?:error: |fatal: )?(?:Batch job submission failed: |allocation failure: |slurm_\w+ error: ?)?"
)


def refusal(argv: tuple[str, ...], done: Completed) -> SlurmError:
    """Return the error that says why the command ended as it did, ready to be raised."""
    said = what_it_said(done)
    for kind, pattern, hint in (*_NOT_ASKED, *_REFUSED):
        if re.search(pattern, said, re.IGNORECASE):
            return kind(said, where=shown(argv), hint=hint)
    return SlurmRefused(said or f"ended with status {done.returncode}, and did not say why", where=shown(argv))


def what_it_said(done: Completed) -> str:
    """Return the command's complaint as one line: each of its lines once, without the speaker's name.

    sacctmgr complains on stdout too; what others print there is no complaint.
    """
    lines = [_SPEAKER.sub("", line.strip()).strip() for line in (done.stderr or done.stdout).splitlines()]
    return "; ".join(dict.fromkeys(line for line in lines if line))
