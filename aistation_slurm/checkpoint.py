"""Checkpoints that are whole or not there, and that a replaced run can't spoil.

Standard library only, one file, Python 3.9 and newer: it can be copied into any image, beside the training script.

    checkpoints = Checkpoints(os.environ["AISTATION_CHECKPOINT_DIR"])
    start = checkpoints.claim()                                    # rank 0 only; None where there is nothing yet
    ...
    checkpoints.save(step, lambda file: torch.save(state, file))   # rank 0 only
    checkpoints.save_part(step, part, ranks=8)                     # or every rank its own part

How it is kept right, on local disks and on NFS-like file systems, without any lock:

- A folder holds `claims/000001.json, 000002.json, ...` and one folder for each run, `runs/RUN_ID/`. A run writes into
  its own folder only. **The folder of the newest claim is the lineage**, and nothing else ever is.
- To take over, a run first hard-links the newest claim holder's checkpoints into its own folder, and only then makes
  the next claim, in one atomic step that fails if somebody was quicker. So a claim is always complete, and from that
  moment on whatever the replaced run still writes, prunes or deletes happens in a folder where nobody looks again:
  between a check and a rename there is nothing to win.
- The check in `save` is therefore a courtesy, which stops a replaced run soon. It raises `ReplacedError`.
- A checkpoint is a folder, `step-000000000040/`, with its files and a manifest of sizes and SHA-256. It is written
  under another name, synced, and renamed. Reading chooses the newest whose files agree with the manifest.
- The parts of many ranks meet in the folder under its other name. Each rank puts a receipt beside its part, and rank 0
  makes the manifest out of the receipts once all are there: no rank waits for another one's disk but rank 0.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import logging
import os
import pwd
import re
import shutil
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from types import FrameType, TracebackType
from typing import Any, BinaryIO, Literal, Protocol, Union

Writer = Callable[[BinaryIO], object]
"""Writes the state into the open file, as `lambda file: torch.save(state, file)` does."""


@dataclass(frozen=True)
class InFolder:
    """Content that `fill` writes into the folder it is given; it returns the names, or None for all that is there."""

    fill: Callable[[Path], Iterable[str] | None]


class HasWait(Protocol):
    """What saves in the background, as Saver of `aistation_slurm.frameworks.background` does."""

    def wait(self) -> None:
        """Return once nothing is being written."""


Content = Union[bytes, Writer, Mapping[str, Union[bytes, Writer]], InFolder]  # noqa: UP007
"""What to save: one file's bytes, one file's writer, several of them by name, or a folder that fills itself."""

STATE = "state"
MANIFEST = "manifest.json"
UNFINISHED = "unfinished"
PART_WITHIN = 600.0
TAKEOVER = "AISTATION_CHECKPOINT_TAKEOVER"
_RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
_STEP = re.compile(r"step-(\d{12})")
_CLAIM = re.compile(r"(\d{6,})\.json")
_NEW = re.compile(r"\.new-(\d+|old)-.*")
_RECEIPT = re.compile(r"\.part-(\d{5,})\.json")
_NO_LINKS = {errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES}
_BLOCK = 1 << 22
_CLAIM_TRIES = 100

log = logging.getLogger("aistation.checkpoint")


class CheckpointError(Exception):
    """A checkpoint can't be saved or read; those that were whole before still are."""


class ReplacedError(CheckpointError):
    """A newer run holds the folder: this one must end. Nothing that it saves from now on will be chosen."""


class DoubleStartError(CheckpointError):
    """Slurm started this very run of the job twice, and the other one came first."""


@dataclass(frozen=True)
class Run:
    """Who saves: one run of one job. All ranks of it, and its restarts inside the job, share `run_id`.

    The templates export a fresh AISTATION_RUN_ID each time that Slurm starts the script. Without it the job and its
    restart count stand for the run, and a job that Slurm started twice can't be told from one that restarted inside.
    """

    run_id: str
    job_id: str = ""
    restart_count: int = 0
    rank: int = 0
    attempt: int = 0
    """How often torchrun has started the processes anew inside this run; parts of two attempts never mix."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", self.run_id):
            raise CheckpointError(f"{self.run_id!r} can't be the id of a run: letters, digits, '.', '_' and '-' only")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Run:
        """Return the run that this process belongs to; outside of Slurm, a run of its own."""
        environ = os.environ if environ is None else environ
        job_id = environ.get("SLURM_JOB_ID", "")
        restart_count = int(environ.get("SLURM_RESTART_COUNT") or 0)
        own = environ.get("AISTATION_RUN_ID") or ("" if job_id else uuid.uuid4().hex)
        return cls(
            run_id="-".join(filter(None, [f"{job_id}.{restart_count}" if job_id else "", own])),
            job_id=job_id,
            restart_count=restart_count,
            rank=int(next(filter(None, map(environ.get, _RANKS)), 0)),
            attempt=int(environ.get("TORCHELASTIC_RESTART_COUNT") or 0),
        )


@dataclass(frozen=True)
class Claim:
    """Who took the folder, and what they went on from."""

    number: int
    run_id: str
    job_id: str = ""
    restart_count: int = 0
    host: str = ""
    time: float = 0.0
    steps: list[int] = field(default_factory=list)
    """The steps of the checkpoints that it took over, oldest first."""

    def __str__(self) -> str:
        job = f"job {self.job_id}, restart {self.restart_count}" if self.job_id else f"run {self.run_id}"
        return f"claim {self.number} ({job}, on {self.host})"


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint should consist of, and who saved it."""

    files: dict[str, tuple[int, str]]
    """Name -> (bytes, SHA-256)."""
    run_id: str = ""
    time: float = 0.0
    parts: int = 0
    """How many ranks saved a part; 0 where one process saved all."""


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint that stands in a folder; `fault` tells whether it is whole."""

    step: int
    folder: Path

    @property
    def file(self) -> Path:
        """The file that `save` was given the content of."""
        return self.folder / STATE

    def part(self, rank: int) -> Path:
        """Return the file that `save_part` was given the content of, on this rank."""
        return self.folder / _part_name(rank)

    def manifest(self) -> Manifest:
        """Return what was written down of the checkpoint when it was saved.

        Raises:
            CheckpointError: the manifest is missing, broken, or another step's.
        """
        try:
            raw = json.loads((self.folder / MANIFEST).read_bytes())
            files = {str(name): (int(each["size"]), str(each["sha256"])) for name, each in raw["files"].items()}
            if raw["step"] != self.step or not files or not all(map(_is_safe, files)):
                raise ValueError("it describes something else")
            return Manifest(files, str(raw.get("run_id", "")), float(raw.get("time", 0)), int(raw.get("parts", 0)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{self.folder}: no usable manifest ({error})") from error

    def files(self) -> dict[str, tuple[int, str]]:
        """Return name -> (bytes, SHA-256), as the manifest says; raises CheckpointError as `manifest` does."""
        return self.manifest().files

    def fault(self, seen: Callable[[int], object] | None = None) -> str:
        """Return why the checkpoint must not be used, all of it read; an empty text says that it is whole.

        Args:
            seen: told the size of each block that was read, for a progress bar.
        """
        return self._fault(lambda name, digest: _sha256(self.folder / name, seen) == digest)

    def fault_at_a_glance(self) -> str:
        """Return what manifest and sizes say is wrong; reads no state, so a flipped bit goes unseen."""
        return self._fault(lambda name, digest: True)

    def _fault(self, is_right: Callable[[str, str], bool]) -> str:
        try:
            for name, (size, digest) in self.files().items():
                if (found := (self.folder / name).stat().st_size) != size:
                    return f"{name} has {found} bytes instead of {size}"
                if not is_right(name, digest):
                    return f"{name} is not what was saved (SHA-256 differs)"
        except (OSError, CheckpointError) as error:
            return str(error)
        return ""


def to_prune(standing: Sequence[Checkpoint], *, keep: int, every: int | None) -> list[Checkpoint]:
    """Return those that need not be kept, oldest first: neither among the last `keep`, nor kept for good.

    Kept for good is the first checkpoint at or past each multiple of `every`.
    """
    periods = [each.step // every if every else 0 for each in standing]
    for_good = {place for place, period in enumerate(periods) if period > (periods[place - 1] if place else 0)}
    return [each for place, each in enumerate(standing[:-keep]) if place not in for_good]


class Checkpoints:
    """The checkpoints of one training in one folder, as one run of it sees them.

    Args:
        folder: shared by all nodes that may run this training; made if missing.
        keep: how many of the newest checkpoints are kept.
        every: keeps the first checkpoint at or past each multiple of so many steps, for good.
        run: who saves; by default what Slurm and the template say in the environment.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, keep: int = 3, every: int | None = None, run: Run | None = None
    ) -> None:
        if keep < 1:
            raise CheckpointError(f"keep={keep}: at least one checkpoint must be kept")
        if every is not None and every < 1:
            raise CheckpointError(f"every={every}: a number of steps from 1 on, or None")
        self.folder = Path(folder)
        self.keep = keep
        self.every = every
        self.run = run or Run.from_environment()
        self.claimed: Claim | None = None
        self._read_before: dict[int, Claim] = {}
        self._tries: tuple[int, int] = (-1, 0)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()

    # -- taking over ------------------------------------------------------------------------------------------------

    def claim(self) -> Checkpoint | None:
        """Take the folder over for this run, and return the newest whole checkpoint to go on from.

        Raises:
            ReplacedError: a newer run of this job holds it already.
            DoubleStartError: another start of this same run holds it.
            CheckpointError: the folder can't be used.
        """
        self._only_rank_zero()
        try:
            self._claims_folder.mkdir(parents=True, exist_ok=True)
            for _ in range(_CLAIM_TRIES):
                numbers = self._numbers()  # one look: who holds it, and which number comes next
                held = self._read_claims(numbers)
                self.claimed = self._claim_of_mine(held) or self._next_claim(held, [0, *numbers][-1] + 1)
                if self.claimed:
                    start = self.latest()
                    _write_whole(self._start(self.claimed), b"" if start is None else str(start.step).encode())
                    return start
        except OSError as error:
            raise CheckpointError(f"{self.folder}: {_reason(error, self.folder)}") from error
        raise CheckpointError(f"{self.folder}: others claimed it {_CLAIM_TRIES} times while this run tried to")

    def follow(self, *, within: float = PART_WITHIN) -> Checkpoint | None:
        """Wait until rank 0 has claimed, and return what it goes on from; for the other ranks, instead of `claim`.

        Who has a process group may as well broadcast the step, and use `at`.

        Raises:
            CheckpointError: rank 0 has not claimed the folder in time, or goes on from what is not here.
        """
        began = time.monotonic()
        while True:
            held = self.claims()
            if held and held[-1].run_id == self.run.run_id:
                name = self._start(held[-1]).name
                if name in _fresh_names(self._claims_folder):
                    step = (self._claims_folder / name).read_text()
                    return self.at(int(step)) if step else None
            waited = time.monotonic() - began
            if waited > within:
                raise CheckpointError(f"{self.folder}: within {within:g} s {self._not_claimed()}")
            time.sleep(min(0.01 + waited / 10, 0.5))

    def _not_claimed(self) -> str:
        return (
            f"rank 0 has not claimed the folder for run {self.run.run_id}: it has to do so first, "
            "and AISTATION_RUN_ID must be the same on all ranks"
        )

    def release(self) -> None:
        """Say that this run ended in good order, so that the same job may be started by hand once more."""
        if self.claimed:
            with contextlib.suppress(OSError):
                self._ended(self.claimed).touch()

    def _claim_of_mine(self, held: list[Claim]) -> Claim | None:
        """Return the claim that this run already has, from before a restart inside the job."""
        newest = held[-1] if held else None
        if newest and newest.run_id == self.run.run_id:
            _remove_unfinished(self._mine)
            self._ended(newest).unlink(missing_ok=True)
            return newest
        if newest and any(each.run_id == self.run.run_id for each in held):
            raise ReplacedError(f"{self.folder}: this run was replaced by {newest}")
        if newest and self.run.job_id and os.environ.get(TAKEOVER) != "1":
            self._raise_if_rivalled(newest, held)
        return None

    def _raise_if_rivalled(self, newest: Claim, held: list[Claim]) -> None:
        """Raise where a newer run of this job has been here, or another start of this very run may be alive."""
        job, count = self.run.job_id, self.run.restart_count
        hint = f"start with {TAKEOVER}=1 if that is not so"
        if later := [each for each in held if each.job_id == job and each.restart_count > count]:
            raise ReplacedError(f"{self.folder}: this run was replaced by {later[-1]}; {hint}")
        if (newest.job_id, newest.restart_count) == (job, count) and not self.has_ended(newest):
            raise DoubleStartError(f"{self.folder}: job {job}, restart {count}, runs on {newest.host} already; {hint}")

    def _next_claim(self, held: list[Claim], number: int) -> Claim | None:
        """Copy what the newest claim holder has, then claim; None where somebody was quicker."""
        shutil.rmtree(self._mine, ignore_errors=True)
        self._mine.mkdir(parents=True)
        steps = _adopt(self._runs_folder / held[-1].run_id, self._mine) if held else []
        _sync_folder(self._mine)
        _sync_folder(self._runs_folder)
        claim = Claim(
            number=number,
            run_id=self.run.run_id,
            job_id=self.run.job_id,
            restart_count=self.run.restart_count,
            host=os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
            time=time.time(),
            steps=steps,
        )
        path = self._claims_folder / f"{claim.number:06}.json"
        return claim if _create_whole(path, json.dumps(asdict(claim)).encode(), self.run.run_id) else None

    # -- saving -----------------------------------------------------------------------------------------------------

    def save(self, step: int, content: Content) -> Checkpoint:
        """Save the state of this step, whole or not at all, prune the oldest, and return the checkpoint.

        Raises:
            ReplacedError: a newer run holds the folder.
            CheckpointError: it can't be written, or the step is older than what stands; nothing was changed.
        """
        self._only_rank_zero()
        if self.claimed is None:
            self.claim()
        unfinished = self._mine / f".new-{step}-{uuid.uuid4().hex[:8]}"

        def write() -> Manifest:
            unfinished.mkdir()
            return Manifest(_write(unfinished, content, STATE))

        with self._in_one_sentence(step):
            self.raise_if_replaced()
            return self._make_whole(step, unfinished, write)

    def save_part(
        self,
        step: int,
        content: Content,
        *,
        ranks: int,
        within: float = PART_WITHIN,
        barrier: Callable[[], object] | None = None,
    ) -> Checkpoint:
        """Save this rank's part of the state of this step; every rank calls it, and rank 0 makes the whole of it.

        The ranks meet in the folder: rank 0 returns once the checkpoint stands, the others once their part is on the
        disk. Files that content names must have another name on each rank.

        Args:
            step: the step, the same on all ranks.
            content: this rank's part.
            ranks: how many parts make the whole.
            within: seconds that rank 0 waits for the parts of the others.
            barrier: called on every rank when its part is written, also when that failed; spares rank 0 the looking.

        Raises:
            ReplacedError: a newer run holds the folder.
            CheckpointError: a part can't be written, or did not come in time; nothing was changed.
        """
        if self.run.rank == 0 and self.claimed is None:
            self.claim()
        self._tries = (step, self._tries[1] + 1 if self._tries[0] == step else 1)
        unfinished = self._mine / f".new-{step}-{self.run.attempt}.{self._tries[1]}"

        with self._in_one_sentence(step):
            try:
                self.raise_if_replaced()
                self._write_part(unfinished, content)
            finally:
                if barrier:
                    barrier()
            if self.run.rank:
                return self.at(step)
            return self._make_whole(step, unfinished, lambda: self._gather(unfinished, ranks, within))

    @contextlib.contextmanager
    def _in_one_sentence(self, step: int) -> Iterator[None]:
        """Turn an OSError into a sentence, and leave nothing unfinished."""
        try:
            yield
        except OSError as error:
            self.raise_if_replaced()  # the newer run has removed our folder: that is the reason to tell
            given_up = self.run.rank and isinstance(error, FileNotFoundError)
            why = "rank 0 has given it up" if given_up else _reason(error, self.folder)
            raise CheckpointError(f"{self.folder}: step {step} was not saved: {why}") from error
        finally:
            if self.run.rank == 0:
                _remove_unfinished(self._mine, up_to=step)

    def _make_whole(self, step: int, unfinished: Path, write: Callable[[], Manifest]) -> Checkpoint:
        """Return the checkpoint that stands already, or write it and give it its name; prune."""
        saved = self._standing(step) or self._finish(unfinished, self.at(step), write())
        self.raise_if_replaced()
        self._prune()
        return saved

    def _finish(self, unfinished: Path, final: Checkpoint, manifest: Manifest) -> Checkpoint:
        raw = {
            "format": 1,
            "step": final.step,
            "run_id": self.run.run_id,
            "time": time.time(),
            "files": {name: {"size": size, "sha256": digest} for name, (size, digest) in manifest.files.items()},
            **({"parts": manifest.parts} if manifest.parts else {}),
        }
        _write_synced(unfinished / MANIFEST, json.dumps(raw, indent=1).encode())
        _sync_folder(unfinished)
        self.raise_if_replaced()
        _rename_folder(unfinished, final.folder)
        _sync_folder(self._mine)
        return final

    def _write_part(self, unfinished: Path, content: Content) -> None:
        """Write this rank's part, and last of all its receipt: what it wrote, or why it could not."""
        receipt: dict[str, object] = {}
        try:
            if not self._mine.is_dir():
                raise CheckpointError(f"{self.folder}: {self._not_claimed()}")
            unfinished.mkdir(exist_ok=True)
            receipt["files"] = _write(unfinished, content, _part_name(self.run.rank))
        except Exception as error:
            receipt["error"] = _reason(error, self.folder)
            raise
        finally:
            with contextlib.suppress(OSError) if "error" in receipt else contextlib.nullcontext():
                _write_whole(_receipt(unfinished, self.run.rank), json.dumps(receipt).encode())

    def _gather(self, unfinished: Path, ranks: int, within: float) -> Manifest:
        """Return the manifest of all parts, once the receipt of each rank is there."""
        began = time.monotonic()
        files: dict[str, tuple[int, str]] = {}
        missing = set(range(ranks))
        while True:
            there = {int(match[1]) for name in _fresh_names(unfinished) if (match := _RECEIPT.fullmatch(name))}
            for rank in missing & there:
                part = _read_receipt(unfinished, rank)
                if twice := files.keys() & part:
                    raise CheckpointError(f"{unfinished}: not saved: two ranks saved a file called {min(twice)}")
                files.update(part)
            missing -= there
            if not missing:
                break
            waited = time.monotonic() - began
            if waited > within:
                who = ", ".join(map(str, sorted(missing)))
                raise CheckpointError(f"{unfinished}: not saved: within {within:g} s no part came of rank {who}")
            self.raise_if_replaced()
            time.sleep(min(0.005 + waited / 10, 0.5))  # so that the looking costs a tenth of the wait at most
        for rank in range(ranks):
            _receipt(unfinished, rank).unlink()
        return Manifest(files, parts=ranks)

    def raise_if_replaced(self) -> None:
        """Raise ReplacedError where a newer run has claimed the folder; an ordinary look, good for once a step too."""
        if self.claimed:
            replaced = max(self._numbers(), default=0) > self.claimed.number
        else:  # a rank other than 0, which doesn't know the number
            held = self.claims() if self.run.rank else []
            replaced = any(each.run_id == self.run.run_id for each in held[:-1]) and held[-1].run_id != self.run.run_id
        if replaced:
            raise ReplacedError(f"{self.folder}: this run was replaced by {self.claims()[-1]}")

    def _standing(self, step: int) -> Checkpoint | None:
        """Return the whole checkpoint of this very step, from before a restart inside the job; make room otherwise."""
        for each in reversed(_checkpoints_in(self._mine)):
            if each.step < step:
                return None
            if fault := each.fault():
                log.warning("%s is set aside: %s", each.folder, fault)
                _remove_folder(each.folder)
            elif each.step == step:
                return each
            else:
                raise CheckpointError(
                    f"{self.folder}: step {step} is older than step {each.step}, which stands: go on from there, "
                    "or use another folder"
                )
        return None

    def _prune(self) -> None:
        """Remove this run's oldest, and the folders of the runs before it, which nobody reads any more."""
        for claim in self.claims():
            folder = self._runs_folder / claim.run_id
            if self.claimed and claim.number < self.claimed.number and folder.is_dir():
                self._take_for_good(folder)
                shutil.rmtree(folder, ignore_errors=True)
        for each in to_prune(_checkpoints_in(self._mine), keep=self.keep, every=self.every):
            _remove_folder(each.folder)

    def _take_for_good(self, folder: Path) -> None:
        """Move here what is older than what was taken over: where links are impossible, that was only the newest.

        The replaced run may still write there, but nothing older than what stands: so that is never taken.
        """
        start = min(self.claimed.steps, default=0) if self.claimed and self.every else 0
        for each in _checkpoints_in(folder):
            if each.step < start and not each.fault():
                with contextlib.suppress(OSError):
                    each.folder.rename(self.at(each.step).folder)

    # -- reading ----------------------------------------------------------------------------------------------------

    def latest(self) -> Checkpoint | None:
        """Return the newest whole checkpoint of the lineage, or None; each that is not whole is told in the log."""
        for each in reversed(_checkpoints_in(self._mine) if self.claimed else self.checkpoints()):
            if not (fault := each.fault()):
                return each
            log.warning("%s is passed over: %s", each.folder, fault)
        return None

    def at(self, step: int) -> Checkpoint:
        """Return this run's checkpoint of a step that rank 0 has chosen; for the other ranks."""
        return Checkpoint(step, self._mine / f"step-{step:012}")

    def checkpoints(self) -> list[Checkpoint]:
        """Return what stands in the folder of the newest claim, whole or not, oldest first."""
        held = self.claims()
        return _checkpoints_in(self._runs_folder / held[-1].run_id) if held else []

    def claims(self) -> list[Claim]:
        """Return every claim that was made, oldest first."""
        return self._read_claims(self._numbers())

    def has_ended(self, claim: Claim) -> bool:
        """True once the run that made the claim has said that it ended in good order."""
        return self._ended(claim).exists()

    # -- the folder -------------------------------------------------------------------------------------------------

    @property
    def _claims_folder(self) -> Path:
        return self.folder / "claims"

    @property
    def _runs_folder(self) -> Path:
        return self.folder / "runs"

    @property
    def _mine(self) -> Path:
        return self._runs_folder / self.run.run_id

    def _only_rank_zero(self) -> None:
        if self.run.rank:
            raise CheckpointError(f"rank {self.run.rank} must not claim or save: only rank 0 does")

    def _numbers(self) -> list[int]:
        return _claim_numbers(_fresh_names(self._claims_folder))

    def _read_claims(self, numbers: list[int]) -> list[Claim]:
        for number in numbers:
            if number not in self._read_before:  # a claim never changes
                self._read_before[number] = _read_claim(self._claims_folder / f"{number:06}.json")
        return [self._read_before[number] for number in numbers]

    def _start(self, claim: Claim) -> Path:
        return self._claims_folder / f"{claim.number:06}.start-{self.run.attempt}"

    def _ended(self, claim: Claim) -> Path:
        return self._claims_folder / f"{claim.number:06}.ended"


class SaveSoon:
    """Told by a signal to save at the next step and leave; `wanted` is what the training loop asks.

    USR2 comes from the batch script, ahead of the time limit or a preemption. TERM, if asked for, means that Slurm
    wants the node now: a loop that has not asked `wanted` within `react_within` seconds hangs in a collective whose
    other side is gone, and the process then ends itself. It must be made in the main thread.
    """

    def __init__(self, *signals: signal.Signals, react_within: float = 1.0) -> None:
        self._told = False  # not an Event: its lock would catch a handler that interrupts a handler
        self._heard = threading.Event()
        self._react_within = react_within
        for each in signals or (signal.SIGUSR2,):
            signal.signal(each, self._on_signal)
        if signal.SIGTERM in signals:
            self._watch_for_term()

    @property
    def wanted(self) -> bool:
        """True once a signal has come."""
        if self._told:
            self._heard.set()
        return self._told

    def say_unfinished(self, saver: HasWait | None = None) -> None:
        """Tell the template's batch script, as the training leaves, to requeue it; wait for `saver` before."""
        if saver:
            saver.wait()
        if folder := os.environ.get("AISTATION_RUN_DIR"):
            Path(folder, UNFINISHED).touch()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._told = True

    def _watch_for_term(self) -> None:
        """Listen beside the main thread, which runs no Python handler while it waits inside a collective."""
        reading, writing = socket.socketpair()
        writing.setblocking(False)
        signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._leave_if_stuck, args=(reading, writing), daemon=True).start()

    def _leave_if_stuck(self, reading: socket.socket, writing: socket.socket) -> None:
        while received := reading.recv(1):
            if received[0] == signal.SIGTERM:
                self._told = True
                if not self._heard.wait(self._react_within):
                    os._exit(128 + signal.SIGTERM)


def newest_step(folder: str | os.PathLike[str]) -> int | None:
    """Return the newest step that stands in the folder, by names alone; None where there is none.

    For those who look on: it claims, reads and writes no state, and a user who may only list the folder may ask.
    Whether the checkpoint is whole is for `latest` to say; an NFS client may answer half a minute late.

    Raises:
        CheckpointError: the folder is there, and can't be looked into.
    """
    claims, seen = Path(folder) / "claims", None
    while (number := max(_claim_numbers(_names(claims)), default=0)) != seen:  # a replaced run's folder may just go
        if number == 0:
            return None
        run = Path(folder) / "runs" / _read_claim(claims / f"{number:06}.json").run_id
        steps = [int(match[1]) for name in _names(run) if (match := _STEP.fullmatch(name))]
        if steps:
            return max(steps)
        seen = number
    return None


# -- files ------------------------------------------------------------------------------------------------------------


def _write(folder: Path, content: Content, name: str) -> dict[str, tuple[int, str]]:
    """Write the content into the folder, synced, and return its part of the manifest; `name` is for a single file."""
    if isinstance(content, InFolder):
        names = content.fill(folder)
        names = files_below(folder) if names is None else list(names)
        for each in names:
            _sync_file(folder / each)
    else:
        files = content if isinstance(content, Mapping) else {name: content}
        names = list(files)
        for each in names:
            if not _is_safe(each):
                raise CheckpointError(f"{each!r} can't be the name of a file in a checkpoint")
            (folder / each).parent.mkdir(parents=True, exist_ok=True)
            _write_synced(folder / each, files[each])
    for parent in {(folder / each).parent for each in names}:
        _sync_folder(parent)
    return {each: ((folder / each).stat().st_size, _sha256(folder / each)) for each in names}


def files_below(folder: Path) -> list[str]:
    """Return the names of all files in the folder and its folders, receipts of parts left out."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(name for path in paths if not (name := path.relative_to(folder).as_posix()).startswith(".part-"))


def _part_name(rank: int) -> str:
    return f"{STATE}-{rank:05}"


def _receipt(folder: Path, rank: int) -> Path:
    return folder / f".part-{rank:05}.json"


def _read_receipt(folder: Path, rank: int) -> dict[str, tuple[int, str]]:
    """Return what the rank wrote, once the sizes agree with it."""
    try:
        receipt = json.loads(_receipt(folder, rank).read_bytes())
        files = {str(name): (int(size), str(digest)) for name, (size, digest) in receipt.get("files", {}).items()}
    except ValueError as error:
        raise CheckpointError(f"{folder}: not saved: the receipt of rank {rank} can't be read ({error})") from error
    if "error" in receipt:
        raise CheckpointError(f"{folder}: not saved: rank {rank}: {receipt['error']}")
    return files


def _is_safe(name: str) -> bool:
    """True for the name of a file inside the checkpoint's folder that is not one of ours."""
    path = PurePosixPath(name)
    return str(path) == name != MANIFEST and not path.is_absolute() and bool(path.parts) and ".." not in path.parts


def _reason(error: BaseException, folder: Path) -> str:
    """Return why it failed, for a person: how much room is left, whose the folder is."""
    if not isinstance(error, OSError):
        return str(error) or type(error).__name__
    what = error.strerror or str(error)
    with contextlib.suppress(OSError):
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            free = shutil.disk_usage(folder).free
            return f"{what} ({free / 1e6:.1f} MB are free there); what was saved before still stands"
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            place = Path(os.fsdecode(error.filename)) if error.filename else folder
            place = next(each for each in [place, *place.parents] if os.path.exists(each))
            owner, me = _user(place.stat().st_uid), _user(os.geteuid())
            return f"{what}: {place} belongs to {owner}, mode {place.stat().st_mode & 0o7777:o}, and this runs as {me}"
    return f"{what} ({error.filename})" if error.filename else what


def _adopt(source: Path, target: Path) -> list[int]:
    """Link the checkpoints of one folder into another, and return their steps.

    The other side may still save and prune: look again until nothing new stands there. Where links are impossible
    (BeeGFS has none between folders), the newest whole one is copied, and no other.
    """
    settled: set[int] = set()
    while fresh := [each for each in reversed(_checkpoints_in(source)) if each.step not in settled]:
        for each in fresh:
            settled.add(each.step)
            try:
                how = _link(each, target)
            except (CheckpointError, FileNotFoundError):
                continue  # pruned before our eyes, or broken
            if how == "copied" and not Checkpoint(each.step, target / each.folder.name).fault():
                return [each.step]
    return [each.step for each in _checkpoints_in(target)]


def _link(checkpoint: Checkpoint, target: Path) -> Literal["linked", "copied"]:
    how: Literal["linked", "copied"] = "linked"
    unfinished = target / f".new-{checkpoint.step}"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    for name in [*checkpoint.files(), MANIFEST]:
        (unfinished / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(checkpoint.folder / name, unfinished / name)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            shutil.copyfile(checkpoint.folder / name, unfinished / name)
            _sync_file(unfinished / name)
            how = "copied"
    _sync_folder(unfinished)
    _rename_folder(unfinished, target / checkpoint.folder.name)
    return how


def _create_whole(path: Path, content: bytes, who: str) -> bool:
    """Create the file with its content in one step; False where it stands already.

    A hard link does it on every NFS. The link count tells whether it was ours when the answer got lost on the way.
    """
    fresh = path.with_name(f".{who}.new")
    _write_synced(fresh, content)
    try:
        os.link(fresh, path)
    except FileExistsError:
        return fresh.stat().st_nlink == 2
    finally:
        fresh.unlink(missing_ok=True)
        _sync_folder(path.parent)
    return True


def _read_claim(path: Path) -> Claim:
    known = {each.name for each in fields(Claim)}
    try:
        return Claim(**{key: value for key, value in json.loads(path.read_bytes()).items() if key in known})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: it says who holds this folder, and can't be read ({error})") from error


def _claim_numbers(names: list[str]) -> list[int]:
    return sorted(int(match[1]) for name in names if (match := _CLAIM.fullmatch(name)))


def _checkpoints_in(folder: Path) -> list[Checkpoint]:
    names = _fresh_names(folder) if folder.is_dir() else []
    found = ((_STEP.fullmatch(name), name) for name in names)
    return sorted(
        (Checkpoint(int(match[1]), folder / name) for match, name in found if match), key=lambda each: each.step
    )


def _fresh_names(folder: Path) -> list[str]:
    """Return the names in the folder as the server has them now.

    An NFS client may show a list that is half a minute old; making a file there tells it that the folder has changed.
    """
    with contextlib.suppress(OSError):
        look = folder / f".look-{uuid.uuid4().hex[:8]}"
        look.touch()
        look.unlink()
    return _names(folder)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CheckpointError(f"{folder}: can't be looked into ({error.strerror})") from error


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _remove_unfinished(folder: Path, *, up_to: int | None = None) -> None:
    """Remove what was never finished; with `up_to`, not what the ranks have begun of a later step."""
    for path in folder.glob(".new-*"):
        match = _NEW.fullmatch(path.name)
        if up_to is None or not match or match[1] == "old" or int(match[1]) <= up_to:
            shutil.rmtree(path, ignore_errors=True)


def _remove_folder(folder: Path) -> None:
    """Take the checkpoint's name away first, so that half of it never stands under it."""
    aside = folder.with_name(f".new-old-{uuid.uuid4().hex[:8]}")
    with contextlib.suppress(OSError):
        folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _rename_folder(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except FileNotFoundError:
        if source.exists() or not target.exists():  # else NFS did it, and lost the answer
            raise


def _write_synced(path: Path, content: bytes | Writer) -> None:
    raw = _Remembering(path, "wb")
    try:
        with io.BufferedWriter(raw) as file:
            if callable(content):
                content(file)
            else:
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except Exception:
        path.unlink(missing_ok=True)  # on a full disk, room for the word of it
        if raw.error:  # some writers turn it into an error of their own, which says nothing of a full disk
            raise raw.error from None
        raise


def _write_whole(path: Path, content: bytes) -> None:
    fresh = path.with_name(f"{path.name}.new")
    _write_synced(fresh, content)
    fresh.replace(path)


class _Remembering(io.FileIO):
    """A file that remembers why a write failed."""

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.error = error
            raise


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems can't sync a folder, and need not
        _sync_file(path)


def _sha256(path: Path, seen: Callable[[int], object] | None = None) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            if seen:
                seen(len(block))
    return digest.hexdigest()
