"""What Slurm says when it can't or won't, and which of our errors that is.

The words are those of slurm_errno.c and sacctmgr from 22.05 to 26.05; the first that fits counts.
"""

from __future__ import annotations

import re
import signal

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
    (SlurmUnreachable, r"authentication (?:error|credential|agent)|auth_g_\w+|unpack credential", _SAYS_MUNGE),
    (SlurmUnreachable, r"slurm_persist|\bslurmdbd\b|unable to connect to database|database connection", _SAYS_SLURMDBD),
    (
        SlurmUnreachable,
        r"unable to contact (?:the )?slurm|controller not responding|restore slurmctld",
        _SAYS_SLURMCTLD,
    ),
    (SlurmUnreachable, r"connection (?:refused|reset|failure|timed out|rejected|forced closed)", _SAYS_SLURMCTLD),
    (SlurmUnreachable, r"socket timed out|zero bytes were transmitted|zero length message", _SAYS_SLURMCTLD),
    (SlurmUnreachable, r"message (?:send|receive) failure|failed to send entire|broken pipe", _SAYS_SLURMCTLD),
    (SlurmUnreachable, r"header lengths are longer|communication shutdown|transport endpoint", _SAYS_SLURMCTLD),
    (SlurmUnreachable, r"missing socket error|slurm_(?:msg_sendto|receive_msgs?|send_\w+|unpack_\w+)", _SAYS_SLURMCTLD),
    (SlurmUnreachable, r"operation timed out|resource temporarily unavailable|bad file descriptor", _SAYS_SLURMCTLD),
    (SlurmUnreachable, r"no route to host|network is unreachable|name or service not known", _SAYS_SLURMCTLD),
    (SlurmUnreachable, r"standby mode|can't find an address|unable to resolve (?:\"|')", _SAYS_SLURMCTLD),
    (SlurmUnreachable, r"rate limit exceeded", _LATER),
    (SlurmUnreachable, r"incompatible versions|invalid protocol version|insane message length", _SAYS_RELEASE),
    (SlurmUnreachable, r"unexpected message received|stream version number", _SAYS_RELEASE),
    (SlurmUnreachable, r"configuration source|unable to process configuration|pars(?:e|ing) error", _SAYS_CONF),
)
_REFUSED: tuple[_Kind, ...] = (
    (QuotaExceeded, r"violates accounting/qos policy|breached requested qos|maxjobcount limit", ""),
    (QuotaExceeded, r"\b(?:Assoc|QOS)(?:Grp|Max|Min)\w+|step limit reached|buffer resource limit", ""),
    (UnknownToSlurm, r"invalid parent account|aren't associated with", ""),
    (NotPermitted, r"permission denied|access denied|have privilege|user's group not permitted", ""),
    (NotPermitted, r"invalid user id\s*(?:$|;|for job)|coordinators can not", ""),
    (NotPermitted, r"(?:only|must be).*\b(?:root|operator|administrator|super ?user)", ""),
    (InUse, r"\bin use\b|job\(s\) active|default (?:account|qos)\b|jobs? running on", ""),
    (InUse, r"nodes are busy|ports? busy|overlaps with another|duplicate reservation", ""),
    (InvalidRequest, r"relative qos", ""),
    (UnknownToSlurm, r"invalid (?:job id|partition|node name|qos|account\b|user(?: id)?: |user name|wckey)", ""),
    (UnknownToSlurm, r"no (?:parent )?account\b|not found|(?:does not|doesn't) exist", ""),
    (UnknownToSlurm, r"unknown (?:association|user|account|qos)|unable to resolve (?:user|group) id", ""),
    (UnknownToSlurm, r"bad qos|no tres known|requested reservation is invalid|can't find|no such", ""),
    (SlurmRefused, r"try again|not available right now|presently disabled|submissions disabled|can not start", _LATER),
    (InvalidRequest, r"invalid|unrecogni[sz]ed|unknown|unsupported|not supported|not available|unable to open", ""),
    (
        InvalidRequest,
        r"already|no longer pending|is pending|is in held|is not|more .*than|exceeds|larger than|must",
        "",
    ),
    (InvalidRequest, r"too (?:large|long|wide|many)", ""),
    (InvalidRequest, r"not look like a batch script|\bspecifi|incorrect|bad\b|unacceptable|missing|requires?\b", ""),
    (
        InvalidRequest,
        r"not permitted on individual|not in this partition|not subset|dependency problem|not persistent|no changes",
        "",
    ),
    (InvalidRequest, r"can ?not|can't|can only|\blacks\b|\bloop\b|duplicate|circular|not heterogen", ""),
)
_NO_COMPLAINT = re.compile(
    r"\S+: No error$|\w+: (?:[a-z_]+/[a-z_]+: |Terminating |Signal \d+ to |Job is in transitional state)"
)
"""That one member of an array was changed, and what scancel tells with --verbose."""
_BROKEN_OFF = re.compile(r"^\w+: error: .*(?:\bDBD_\w+|response is not type)", re.MULTILINE)
"""The question to slurmdbd that got no answer, or a wrong one (dbd_conn.c, accounting_storage_slurmdbd.c)."""
_LAST_LINES = 6
_SPEAKER = re.compile(
    r"^(?:[A-Za-z]\w*: )?(?:error: |fatal: )?"
    r"(?:Batch job submission failed: |allocation failure: |slurm_\w+ error: ?)?"
)


def refusal(argv: tuple[str, ...], done: Completed) -> SlurmError:
    """Return the error that says why the command ended as it did, ready to be raised."""
    said = what_it_said(done)
    if done.returncode < 0:
        text = f"was ended by {_signal_name(-done.returncode)}" + (f": {said}" if said else "")
        return SlurmUnreachable(text, where=shown(argv))
    for kind, pattern, hint in (*_NOT_ASKED, *_REFUSED):
        if re.search(pattern, said, re.IGNORECASE):
            return kind(said, where=shown(argv), hint=hint)
    return SlurmRefused(said or f"ended with status {done.returncode}, and did not say why", where=shown(argv))


def broken_off(argv: tuple[str, ...], done: Completed) -> SlurmError | None:
    """Return the error where a command calls itself successful though slurmdbd was gone in the middle of its answer.

    sacct then prints no job at all, and sacctmgr leaves out the names that it had still to ask for, both with status 0
    (22.05.8). A complaint of another kind may be one that was overcome, such as a second try at munged.
    """
    if done.returncode or not _BROKEN_OFF.search(done.stderr):
        return None
    error = refusal(argv, done)
    return SlurmUnreachable(error.text, where=error.where, hint=_SAYS_SLURMDBD) if _is_vague(error) else error


def _is_vague(error: SlurmError) -> bool:
    return type(error) is SlurmRefused


def _signal_name(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def what_it_said(done: Completed) -> str:
    """Return the command's complaint as one line: each of its lines once, without the speaker's name.

    sacctmgr complains on stdout too, and so does `scontrol show config` below the configuration.
    """
    complaints = complaints_in(done.stderr) or complaints_in(done.stdout)[-_LAST_LINES:]
    lines = [_SPEAKER.sub("", line).strip() for line in complaints]
    return "; ".join(dict.fromkeys(line for line in lines if line))


def complaints_in(text: str) -> list[str]:
    """Return the lines in which a command complains; what it tells beside them is left out."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not _NO_COMPLAINT.match(line)]
