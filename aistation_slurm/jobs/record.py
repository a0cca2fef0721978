"""What was submitted, kept in the run's folder: `job.json` and `job.sbatch`, from which it can be submitted again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from aistation_slurm.errors import RequestError
from aistation_slurm.jobs.request import TrainingRequest, read_request, request_json
from aistation_slurm.jobs.run_folder import RunFolder, folder_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What was submitted."""

    submission: str
    submitted: datetime
    folder: Path
    """Where it was submitted, and where the job starts."""
    name: str
    options: tuple[str, ...] = ()
    """sbatch's own, beside those in the script."""
    request: TrainingRequest | None = None
    """None of a batch script of the user's own."""
    args: tuple[str, ...] = ()
    """The batch script's."""
    more: Mapping[str, object] = field(default_factory=dict)
    """What others keep with it, such as `sweep`."""

    def to_json(self) -> str:
        """Return it as it stands in `job.json`."""
        said: dict[str, object] = {
            "submission": self.submission,
            "submitted": self.submitted.isoformat(timespec="seconds"),
            "folder": str(self.folder),
            "name": self.name,
            "request": request_json(self.request) if self.request else None,
            "options": list(self.options),
            "args": list(self.args),
            **self.more,
        }
        return json.dumps(said, indent=2, ensure_ascii=False) + "\n"


def keep(record: Record, script: str, job_id: int) -> str:
    """Write both files into the run's folder; return what hindered it, or nothing.

    The job was taken already: that this can't be kept is said, and fails nothing.
    """
    folder = RunFolder(record.folder / folder_name(record.name, job_id))
    try:
        folder.path.mkdir(exist_ok=True)
        if folder.path.lstat().st_uid != os.geteuid():  # in a folder that all may write to, somebody was there first
            return f"{folder.path} is another user's: what was submitted is not kept, and `--again` won't find it"
        _write(folder.script, script)
        _write(folder.request, record.to_json())
    except OSError as error:
        where = error.filename or folder.path
        return f"what was submitted can't be kept in {where} ({error.strerror}): `--again` won't find it"
    return ""


def read_record(folder: RunFolder) -> Record:
    """Return what was submitted as the job of this folder.

    Raises:
        RequestError: there is no such folder, nothing was kept in it, or that can't be read.
    """
    path = folder.request
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return _record(raw)
    except FileNotFoundError as error:
        what = "holds no job.json" if folder.exists else "there is no such folder"
        hint = "it is written by `aistation job submit`; name the run's folder, NAME-JOBID, or the job's id"
        raise RequestError(what, where=str(folder.path), hint=hint) from error
    except OSError as error:
        raise RequestError(f"can't be read ({error.strerror})", where=str(path)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RequestError("is not what `aistation job submit` writes", where=str(path)) from error


def _record(raw: dict[str, Any]) -> Record:
    known = {"submission", "submitted", "folder", "name", "request", "options", "args"}
    return Record(
        submission=raw["submission"],
        submitted=datetime.fromisoformat(raw["submitted"]),
        folder=Path(raw["folder"]),
        name=raw["name"],
        options=tuple(raw["options"]),
        request=read_request(raw["request"]) if raw["request"] else None,
        args=tuple(raw.get("args", ())),
        more={key: value for key, value in raw.items() if key not in known},
    )


def _write(path: Path, text: str) -> None:
    """Write it beside, and put it in place whole; no fsync: it can be written again by hand."""
    fresh = path.with_name(f".{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(fresh, flags, 0o644), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
