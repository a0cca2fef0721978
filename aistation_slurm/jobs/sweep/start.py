"""From a request and its members to arrays of jobs: one, or as many as MaxArraySize makes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from aistation_slurm.errors import RequestError, SlurmUnreachable
from aistation_slurm.jobs.catalogue import Catalogue
from aistation_slurm.jobs.fit import Adjustment
from aistation_slurm.jobs.request import TrainingRequest, request_json
from aistation_slurm.jobs.run_folder import RunFolder, folder_name
from aistation_slurm.jobs.submit import draft
from aistation_slurm.jobs.sweep.folder import LOG, Array, Sweep, folder_of, locked, with_arrays, write_new
from aistation_slurm.jobs.sweep.look import Attempt
from aistation_slurm.jobs.sweep.retry import by_script
from aistation_slurm.jobs.sweep.script import Part, sweep_script
from aistation_slurm.jobs.sweep.values import Params
from aistation_slurm.jobs.tag import Tag, read_tag, with_tag
from aistation_slurm.slurm.connect import Slurm

USUAL = 1001
"""MaxArraySize unless a site sets it: no task of an array has that number or a higher one."""
OUTPUT = TrainingRequest.__dataclass_fields__["output"].default


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A sweep as it was asked for."""

    request: TrainingRequest
    members: Sequence[Params]
    work_dir: Path
    submission: str
    at_once: int | None = None
    options: tuple[str, ...] = ()
    """What else sbatch is given, as `--mem=8G`; no `--array`, no `--dependency`, no `--comment`."""
    comment: str = ""
    after: str = ""
    """What it waits for, as `--dependency` takes it."""
    source: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ready:
    """A sweep that can be submitted: its arrays with their scripts, and what was changed to get there."""

    order: Order
    sweep: Sweep
    parts: Sequence[Part]
    scripts: Sequence[str]
    adjustments: Sequence[Adjustment]


def prepare(slurm: Slurm, order: Order, catalogue: Catalogue, *, most: int = USUAL) -> Ready:
    """Return the sweep as it would be submitted, in arrays of at most so many members; nothing is written.

    Raises:
        RequestError: it can't run, or an argument asks for a parameter that a member lacks.
    """
    made = draft(slurm, order.request, catalogue)
    path = folder_of(order.work_dir, made.request.name, order.submission)
    output = made.request.output
    relative = path.relative_to(order.work_dir)
    request = replace(made.request, output=f"{relative}/{LOG}" if output == OUTPUT else output)
    parts = [Part(path, first, with_limit(tasks, order.at_once)) for first, tasks in split(len(order.members), most)]
    scripts = [sweep_script(request, part, order.members, catalogue) for part in parts]
    sweep = Sweep(
        path=path,
        submission=order.submission,
        name=request.name,
        work_dir=order.work_dir,
        count=len(order.members),
        args=order.request.args,
        script=str(request.script),
        template=request.template,
        at_once=order.at_once,
        options=order.options,
        source=order.source,
        request=request_json(request),
    )
    return Ready(order, sweep, parts, scripts, made.adjustments)


def start(slurm: Slurm, ready: Ready, *, now: datetime) -> Sweep:
    """Write the sweep's folder, submit its arrays, and return it with them.

    Raises:
        RequestError: the folder can't be made.
        SlurmRefused: Slurm did not take it; of several arrays, those before the refused one stand in the folder.
    """
    write_new(ready.sweep, ready.order.members)
    for part, script in zip(ready.parts, ready.scripts, strict=True):
        ready.sweep.script_of(part.first).write_text(script)
    with locked(ready.sweep.path) as sweep:
        told = {part.first: part.tasks.partition("%")[0] for part in ready.parts}
        return _hand_in(slurm, sweep, told, ready.order.comment, after=ready.order.after, now=now)


def start_again(slurm: Slurm, path: Path, attempts: Sequence[Attempt], *, after: str = "", now: datetime) -> Sweep:
    """Submit these members again, each with its own parameters and checkpoints, and return the sweep with them.

    Raises:
        RequestError: another command works on the sweep, or has started one of them in the meantime.
        SlurmRefused: Slurm did not take it.
    """
    with locked(path) as sweep:
        latest = {member: arrays[-1] for member, arrays in sweep.arrays_of().items()}
        if any(latest.get(each.member) != each.array for each in attempts):
            raise RequestError("another command has just started members again", where=str(path), hint="look first")
        firsts = [int(each.stem) for each in path.glob("*.sbatch")]
        return _hand_in(slurm, sweep, by_script(attempts, firsts), "", after=after, now=now)


def split(count: int, most: int) -> list[tuple[int, str]]:
    """Return (first member, tasks) of each array, none of more than `most` members."""
    return [(first, f"0-{min(most, count - first) - 1}") for first in range(0, count, most)]


def with_limit(tasks: str, at_once: int | None) -> str:
    """Return `0-99%10`: so many at once."""
    return f"{tasks}%{at_once}" if at_once else tasks


def array_limit(slurm: Slurm) -> int:
    """Return how many members an array may have here."""
    text = slurm.read.config().get("MaxArraySize", "")
    return int(text) if text.isdecimal() and int(text) > 0 else USUAL


def _hand_in(slurm: Slurm, sweep: Sweep, told: Mapping[int, str], comment: str, *, after: str, now: datetime) -> Sweep:
    """Submit an array for each script; with a limit each waits for the one before, so that it holds over all."""
    previous = 0
    for first, tasks in told.items():
        waits = ",".join(filter(None, [after, f"afterany:{previous}" if previous and sweep.at_once else ""]))
        tag = Tag(sweep.submission if not sweep.arrays else f"{sweep.submission}.{len(sweep.arrays)}")
        options = (
            f"--array={with_limit(tasks, sweep.at_once)}",
            f"--comment={with_tag(comment, tag)}",
            *((f"--dependency={waits}",) if waits else ()),
            *sweep.options,
        )
        script = sweep.script_of(first).read_text()
        previous = _sbatch(slurm, script, options, sweep.work_dir, tag)
        array = Array(previous, first, tasks, now.astimezone(UTC).isoformat(timespec="seconds"))
        sweep = with_arrays(sweep, [array])
        _remember(sweep, array, tag, script)
    return sweep


def _sbatch(slurm: Slurm, script: str, options: Sequence[str], work_dir: Path, tag: Tag) -> int:
    """Return the array's id; where slurmctld did not answer in time, it is looked for before anybody tries again."""
    try:
        return slurm.write.sbatch(script, *options, cwd=work_dir)
    except SlurmUnreachable:
        for job in slurm.read.jobs(with_over=True):
            if read_tag(job.comment) == tag and job.array_job_id:
                return job.array_job_id
        raise


def _remember(sweep: Sweep, array: Array, tag: Tag, script: str) -> None:
    """Write the array's own run folder, as `aistation job submit` does; without it nothing is lost."""
    folder = RunFolder(sweep.work_dir / folder_name(sweep.name, array.job_id))
    told = {
        "submission": tag.submission,
        "submitted": array.submitted,
        "folder": str(sweep.work_dir),
        "request": dict(sweep.request),
        "options": list(sweep.options),
        "sweep": str(sweep.path),
    }
    with suppress(OSError):
        folder.path.mkdir(exist_ok=True)
        folder.request.write_text(json.dumps(told, indent=1) + "\n")
        folder.script.write_text(script)
