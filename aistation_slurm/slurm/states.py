"""States, read once and then asked questions; nobody outside this file compares a state with a string."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

_MARKS = "*~#!%$@^-"
"""What sinfo and scontrol append: not responding, powered down, powering up, ... (man sinfo, NODE STATE CODES)."""
_BASES = frozenset({"DOWN", "IDLE", "ALLOCATED", "ERROR", "MIXED", "FUTURE", "UNKNOWN"})
_UNUSABLE = frozenset({
    "UNKNOWN", "FUTURE", "INVAL", "INVALID", "INVALID_REG", "POWER_DOWN", "POWERING_DOWN", "POWERED_DOWN",
    "REBOOT_ISSUED", "PERFCTRS", "BLOCKED", "EXTERNAL",
})  # fmt: skip


class JobState(StrEnum):
    """The one state that Slurm prints for a job: a flag where one is set, else the base state.

    man squeue, JOB STATE CODES; slurm_protocol_defs.c `job_state_string`, 22.05 to 26.05.
    """

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    COMPLETING = "COMPLETING"
    CONFIGURING = "CONFIGURING"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    NODE_FAIL = "NODE_FAIL"
    PREEMPTED = "PREEMPTED"
    BOOT_FAIL = "BOOT_FAIL"
    LAUNCH_FAILED = "LAUNCH_FAILED"
    DEADLINE = "DEADLINE"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    REQUEUED = "REQUEUED"
    REQUEUE_HOLD = "REQUEUE_HOLD"
    REQUEUE_FED = "REQUEUE_FED"
    EXPEDITING = "EXPEDITING"
    RESV_DEL_HOLD = "RESV_DEL_HOLD"
    RESIZING = "RESIZING"
    REVOKED = "REVOKED"
    SIGNALING = "SIGNALING"
    SPECIAL_EXIT = "SPECIAL_EXIT"
    STAGE_OUT = "STAGE_OUT"
    STOPPED = "STOPPED"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def parse(cls, text: str) -> JobState:
        """Return the state of `RUNNING`, `CANCELLED by 1000` or `TIMEOUT+`; a word we don't know is UNKNOWN."""
        word = text.split(" ", maxsplit=1)[0].rstrip("+").upper()
        return cls(word) if word in cls._value2member_map_ else cls.UNKNOWN

    @property
    def is_waiting(self) -> bool:
        """True while the job waits for its turn."""
        return self in {JobState.PENDING, JobState.REQUEUED, JobState.REQUEUE_HOLD, JobState.REQUEUE_FED,
                        JobState.EXPEDITING, JobState.RESV_DEL_HOLD, JobState.SPECIAL_EXIT}  # fmt: skip

    @property
    def is_running(self) -> bool:
        """True while the job holds resources and does its work."""
        return self in {JobState.RUNNING, JobState.CONFIGURING, JobState.SUSPENDED, JobState.STOPPED,
                        JobState.RESIZING, JobState.SIGNALING}  # fmt: skip

    @property
    def is_leaving(self) -> bool:
        """True while the job is over but has not quite left its nodes."""
        return self in {JobState.COMPLETING, JobState.STAGE_OUT}

    @property
    def is_over(self) -> bool:
        """True once the job will not run again by itself."""
        return not (self.is_waiting or self.is_running or self.is_leaving or self is JobState.UNKNOWN)

    @property
    def is_success(self) -> bool:
        """True once the job ended as it should."""
        return self is JobState.COMPLETED


@dataclass(frozen=True, slots=True)
class NodeState:
    """One node's state: a base, and flags, as in `IDLE+DRAIN*`."""

    words: frozenset[str]
    is_not_responding: bool = False
    """True while slurmctld hears nothing from the node's slurmd; the `*` of sinfo."""

    @classmethod
    def parse(cls, text: str) -> NodeState:
        """Return the state of `MIXED+DRAIN`, `idle*` or `DOWN+NOT_RESPONDING`."""
        words = {word.rstrip(_MARKS) for word in text.upper().split("+")} - {""}
        return cls(frozenset(words - {"NOT_RESPONDING"}), "*" in text or "NOT_RESPONDING" in words)

    @property
    def is_down(self) -> bool:
        """True while Slurm starts nothing there and has given up its jobs."""
        return bool(self.words & {"DOWN", "ERROR"})

    @property
    def is_working(self) -> bool:
        """True while a job runs on the node, or has not quite left it."""
        return bool(self.words & {"ALLOCATED", "ALLOC", "MIXED", "MIX", "COMPLETING", "COMP"})

    @property
    def is_idle(self) -> bool:
        """True while the node could take any job and has none."""
        taken = {"COMPLETING", "MAINTENANCE", "MAINT", "RESERVED", "PLANNED"}
        return "IDLE" in self.words and self.is_usable and not self.words & taken

    @property
    def is_draining(self) -> bool:
        """True from the moment the node is set aside, whether or not jobs are still on it."""
        return bool(self.words & {"DRAIN", "DRAINED", "DRAINING", "DRNG", "FAIL", "FAILING"})

    @property
    def is_drained(self) -> bool:
        """True once the node is set aside and empty; `sinfo` says `drained`."""
        return self.is_draining and not self.is_working

    @property
    def is_away_on_purpose(self) -> bool:
        """True while the node is switched off, rebooted, kept or not made yet because somebody wants it so."""
        return any(word.startswith(("POWER", "REBOOT", "MAINT", "FUTURE", "UNKNOWN")) for word in self.words)

    @property
    def is_usable(self) -> bool:
        """True while the node may be given to a job: responding, neither down nor set aside."""
        return not (self.is_down or self.is_draining or self.is_not_responding or self.words & _UNUSABLE)

    def __str__(self) -> str:
        words = sorted(self.words, key=lambda word: (word not in _BASES, word))
        return "+".join(words).lower() + ("*" if self.is_not_responding else "")
