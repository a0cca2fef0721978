"""The folder of a sweep: what its members are given, and which arrays were submitted for them.

    NAME-sweeps/ID/
        sweep.json            what was asked for, and each array that was submitted
        params.jsonl          line N+1 is what member N is given
        params.bash           the same, as the batch script reads it
        0.sbatch              the script; N.sbatch of a further array, whose task 0 is member N
        logs/ARRAY_TASK.log   what each run of a member printed
        checkpoints/N/        of member N, in whichever array it runs

It is written before anything is submitted, under the id of the submission: a member that starts at once finds it.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from aistation_slurm.errors import RequestError
from aistation_slurm.jobs.run_folder import RunFolder, folder_name
from aistation_slurm.jobs.sweep.tasks import unfold
from aistation_slurm.jobs.sweep.values import Params, for_bash
from aistation_slurm.render import write_whole

SUFFIX = "-sweeps"
FILE = "sweep.json"
LOG = "logs/%A_%a.log"


@dataclass(frozen=True, slots=True)
class Array:
    """One array of jobs that was submitted for members of a sweep."""

    job_id: int
    first: int
    """The member that its task 0 is; Slurm allows no task above MaxArraySize."""
    tasks: str
    """Its tasks, `0-999`."""
    submitted: str = ""
    """When, ISO 8601."""

    def members(self) -> list[int]:
        """Return the members that it runs."""
        return [self.first + task for task in unfold(self.tasks)]


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is known of a sweep without asking Slurm."""

    path: Path
    submission: str
    name: str
    """The jobs' name."""
    work_dir: Path
    count: int
    """How many members there are."""
    args: tuple[str, ...] = ()
    template: str = ""
    at_once: int | None = None
    options: tuple[str, ...] = ()
    """What else sbatch was given."""
    comment: str = ""
    """The user's own."""
    resume: int | None = None
    """How often a member may be started again by itself; None where nobody said."""
    source: Mapping[str, object] = field(default_factory=dict)
    """How the members came about: the grid, the file, the seed."""
    request: Mapping[str, object] = field(default_factory=dict)
    arrays: tuple[Array, ...] = ()
    """In the order in which they were submitted: of two that run a member, the later one counts."""

    def members(self) -> list[Params]:
        """Return what each member is given.

        Raises:
            RequestError: the folder is not what it was.
        """
        lines = _read(self.path / "params.jsonl").splitlines()
        if len(lines) != self.count:
            raise RequestError(f"it has {len(lines)} lines for {self.count} members", where=str(self.path))
        return [json.loads(line) for line in lines]

    def arrays_of(self) -> dict[int, list[Array]]:
        """Return member -> the arrays that were submitted for it, the last one last."""
        found: dict[int, list[Array]] = {}
        for array in self.arrays:
            for member in array.members():
                found.setdefault(member, []).append(array)
        return found

    def script_of(self, first: int) -> Path:
        """Return the script of the array whose task 0 is this member."""
        return self.path / f"{first}.sbatch"

    def log(self, array: Array, member: int) -> Path:
        """Return what the member printed in this array; `--output` may have put it elsewhere."""
        return self.path / LOG.replace("%A", str(array.job_id)).replace("%a", str(member - array.first))

    def run_folder(self, array: Array, member: int) -> RunFolder:
        """Return the folder of the member's run in this array."""
        return RunFolder(self.work_dir / folder_name(self.name, f"{array.job_id}_{member - array.first}"))


def folder_of(work_dir: Path, name: str, submission: str) -> Path:
    """Return where the sweep of this submission is, or would be."""
    return work_dir / folder_name(name, SUFFIX[1:]) / submission


def write_new(sweep: Sweep, members: Sequence[Params]) -> None:
    """Make the sweep's folder, with what its members need.

    Raises:
        RequestError: it can't be made, or stands already.
    """
    try:
        (sweep.path / "logs").mkdir(parents=True)
        (sweep.path / "params.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in members))
        (sweep.path / "params.bash").write_text("".join(f"{for_bash(each)}\n" for each in members))
        save(sweep)
    except OSError as error:
        raise RequestError(f"can't be made: {error.strerror}", where=str(sweep.path)) from error


def with_members(sweep: Sweep, members: Sequence[Params]) -> Sweep:
    """Let the sweep have more members, and return it with them; `locked` while it is done."""
    for name, lines in (("params.jsonl", map(json.dumps, members)), ("params.bash", map(for_bash, members))):
        kept = _read(sweep.path / name).splitlines()[: sweep.count]  # a command that was killed may have left more
        write_whole(sweep.path / name, "".join(f"{line}\n" for line in (*kept, *lines)))
    fuller = replace(sweep, count=sweep.count + len(members))
    save(fuller)
    return fuller


def read_sweep(path: Path) -> Sweep:
    """Return the sweep of this folder.

    Raises:
        RequestError: it is none, or can't be read.
    """
    try:
        raw = json.loads(_read(path / FILE))
        raw["arrays"] = tuple(Array(**each) for each in raw["arrays"])
        raw["args"], raw["options"] = tuple(raw["args"]), tuple(raw["options"])
        return Sweep(path=path, work_dir=Path(raw.pop("work_dir")), **raw)
    except (ValueError, TypeError, KeyError) as error:
        raise RequestError(f"can't be understood: {error}", where=str(path / FILE)) from error


def with_arrays(sweep: Sweep, arrays: Iterable[Array]) -> Sweep:
    """Note arrays that were submitted, and return the sweep with them; `locked` while it is done."""
    fuller = replace(sweep, arrays=(*sweep.arrays, *arrays))
    save(fuller)
    return fuller


@contextmanager
def locked(path: Path) -> Iterator[Sweep]:
    """Hold the sweep for oneself, and yield it as it is now.

    Raises:
        RequestError: another command holds it, or this user may not write there.
    """
    try:
        with (path / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield read_sweep(path)
    except BlockingIOError as error:
        raise RequestError("another command works on this sweep", where=str(path), hint="try again later") from error
    except (PermissionError, FileNotFoundError) as error:
        raise RequestError(f"can't be written: {error.strerror}", where=str(path)) from error


def sweeps_in(work_dir: Path) -> list[Path]:
    """Return the folders of the sweeps that were submitted in this folder."""
    return sorted(each.parent for each in work_dir.glob(f"*{SUFFIX}/*/{FILE}"))


def save(sweep: Sweep) -> None:
    """Write what is known of the sweep, in one step; `locked` while it is done."""
    raw = {**asdict(sweep), "work_dir": str(sweep.work_dir)}
    del raw["path"]
    write_whole(sweep.path / FILE, json.dumps(raw, indent=1, default=str) + "\n")


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise RequestError(f"can't be read: {why}", where=str(path)) from error
