"""From an order and its members to arrays of jobs: one, or as many as MaxArraySize makes of it.

Read on the way of every sweep, so nothing heavy is imported: what a submission needs, and no reader of Slurm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from aistation_slurm.errors import RequestError, UsageError
from aistation_slurm.jobs.passthrough import value_of, without
from aistation_slurm.jobs.request import TrainingRequest, read_request, request_json
from aistation_slurm.jobs.submit import Order, Submission, submit
from aistation_slurm.jobs.sweep.folder import LOG, Array, Sweep, folder_of, locked, with_arrays, with_members, write_new
from aistation_slurm.jobs.sweep.retry import by_script
from aistation_slurm.jobs.sweep.script import Part, sweep_script
from aistation_slurm.jobs.sweep.values import Params
from aistation_slurm.slurm.sbatch import Batch

if TYPE_CHECKING:
    from aistation_slurm.jobs.catalogue import Catalogue
    from aistation_slurm.jobs.site import Site
    from aistation_slurm.jobs.sweep.look import Attempt

USUAL = 1001
"""MaxArraySize unless a site sets it: no task of an array has that number or a higher one."""
_MAX_ARRAY_SIZE = re.compile(r"^MaxArraySize\s*=\s*(\d+)", re.MULTILINE)
_DEFAULT_OUTPUT = TrainingRequest.__dataclass_fields__["output"].default


@dataclass(frozen=True, slots=True)
class Ready:
    """A sweep that can be submitted: an order for each of its arrays."""

    sweep: Sweep
    members: Sequence[Params]
    parts: Sequence[Part]
    orders: Sequence[Order]


@dataclass(frozen=True, slots=True)
class Started:
    """A sweep that Slurm has taken, and what Slurm had to say to each array."""

    sweep: Sweep
    arrays: Sequence[Submission]


def prepare(
    order: Order,
    members: Sequence[Params],
    catalogue: Catalogue,
    *,
    at_once: int | None = None,
    after: str = "",
    source: Mapping[str, object] | None = None,
    most: int = USUAL,
) -> Ready:
    """Return the sweep as it would be submitted, in arrays of at most so many members; nothing is written.

    Args:
        order: that of one training, as `aistation job submit` would submit it.
        members: what each of them is given.
        catalogue: has the order's template.
        at_once: how many members run at once, at most.
        after: what it waits for, as `--dependency` takes it.
        source: how the members came about.
        most: what an array may hold here.

    Raises:
        UsageError: the order is none of a template's, or an array of its own.
        RequestError: an argument asks for a parameter that a member lacks.
    """
    if order.request is None:
        raise UsageError("a sweep is made by a template, not of a batch script", hint="name one: --template plain")
    if value_of(order.batch.options, "--array", "-a") is not None:
        raise UsageError("a sweep is an array already", hint="--at-once says how many members run at once")
    path = folder_of(order.folder, order.request.name, order.submission)
    request = replace(order.request, output=_output(order, path))
    waits = ",".join(filter(None, [after, value_of(order.batch.options, "--dependency", "-d")]))
    options = without(order.batch.options, "--dependency", "-d")
    parts = [Part(path, first, with_limit(tasks, at_once)) for first, tasks in split(len(members), most)]
    sweep = Sweep(
        path=path,
        submission=order.submission,
        name=request.name,
        work_dir=order.folder,
        count=len(members),
        args=request.args,
        template=request.template,
        at_once=at_once,
        options=options,
        comment=order.comment,
        resume=order.resume,
        source=source or {},
        request=request_json(request),
    )
    more = (f"--dependency={waits}",) if waits else ()
    orders = [
        _order(sweep, request, sweep_script(request, part, members, catalogue), (*options, *more), order)
        for part in parts
    ]
    return Ready(sweep, members, parts, orders)


def start(ready: Ready, site: Site, *, now: datetime) -> Started:
    """Write the sweep's folder, submit its arrays, and return it with them.

    Raises:
        RequestError: the folder can't be made.
        SlurmRefused: Slurm did not take it; of several arrays, those before the refused one stand in the folder.
        NotKnown: nobody answered, and no array was found.
    """
    write_new(ready.sweep, ready.members)
    for part, order in zip(ready.parts, ready.orders, strict=True):
        ready.sweep.script_of(part.first).write_text(order.batch.text)
    with locked(ready.sweep.path) as sweep:
        told = [(part.first, part.tasks.partition("%")[0]) for part in ready.parts]
        return _hand_in(sweep, list(zip(told, ready.orders, strict=True)), site, now=now)


def start_again(path: Path, attempts: Sequence[Attempt], site: Site, *, after: str = "", now: datetime) -> Started:
    """Submit these members again, each with its own parameters and checkpoints, and return the sweep with them.

    Raises:
        RequestError: another command works on the sweep, or has started one of them in the meantime.
        SlurmRefused: Slurm did not take it.
    """
    with locked(path) as sweep:
        latest = {member: arrays[-1] for member, arrays in sweep.arrays_of().items()}
        if any(latest.get(each.member) != each.array for each in attempts):
            raise RequestError("another command has just started members again", where=str(path), hint="look first")
        request, told = read_request(sweep.request), []
        for first, tasks in by_script(attempts, [int(each.stem) for each in path.glob("*.sbatch")]).items():
            options = [f"--array={with_limit(tasks, sweep.at_once)}", *sweep.options]
            options += [f"--dependency={after}"] if after else []
            text = sweep.script_of(first).read_text()
            told.append(((first, tasks), _order(sweep, request, text, options)))
        return _hand_in(sweep, told, site, now=now)


def start_more(path: Path, members: Sequence[Params], site: Site, *, now: datetime) -> Started:
    """Let the sweep have these members too, submit them as one array, and return the sweep with them.

    Raises:
        RequestError: another command works on the sweep, or an argument asks for a parameter that a member lacks.
        SlurmRefused: Slurm did not take it; the members are there, and a retry starts them.
    """
    with locked(path) as sweep:
        request, first, tasks = read_request(sweep.request), sweep.count, f"0-{len(members) - 1}"
        text = sweep_script(request, Part(path, first, with_limit(tasks, sweep.at_once)), members, site.catalogue)
        grown = with_members(sweep, members)
        grown.script_of(first).write_text(text)
        return _hand_in(grown, [((first, tasks), _order(grown, request, text, grown.options))], site, now=now)


def split(count: int, most: int) -> list[tuple[int, str]]:
    """Return (first member, tasks) of each array, none of more than `most` members."""
    return [(first, f"0-{min(most, count - first) - 1}") for first in range(0, count, most)]


def with_limit(tasks: str, at_once: int | None) -> str:
    """Return `0-99%10`: so many at once."""
    return f"{tasks}%{at_once}" if at_once else tasks


def array_limit(site: Site) -> int:
    """Return how many members an array may have here, as slurmctld says; what is usual where it doesn't."""
    found = _MAX_ARRAY_SIZE.search(site.runner.run(("scontrol", "show", "config")).stdout)
    return max(1, int(found[1])) if found else USUAL


def _output(order: Order, path: Path) -> str:
    """Return the log, which stands in the sweep's folder unless somebody named another; relative, as Slurm takes it."""
    return f"{path.relative_to(order.folder)}/{LOG}" if order.output == _DEFAULT_OUTPUT else order.output


def _order(
    sweep: Sweep, request: TrainingRequest, text: str, options: Sequence[str], before: Order | None = None
) -> Order:
    """Return the order of one array, which carries the sweep's id, and names the sweep in its `job.json`."""
    return Order(
        batch=Batch(text=text, options=tuple(options), cwd=sweep.work_dir),
        name=sweep.name,
        folder=sweep.work_dir,
        output=request.output,
        submission=sweep.submission,
        resume=sweep.resume,
        comment=sweep.comment,
        request=request,
        record={"sweep": str(sweep.path)},
        said=before.said if before else (),
    )


def _hand_in(sweep: Sweep, told: Sequence[tuple[tuple[int, str], Order]], site: Site, *, now: datetime) -> Started:
    """Submit each array; with a limit each waits for the one before, so that it holds over all."""
    made: list[Submission] = []
    for (first, tasks), order in told:
        number = len(sweep.arrays)
        named = replace(order, submission=f"{sweep.submission}.{number}" if number else sweep.submission)
        if made and sweep.at_once:
            named = _behind(named, made[-1].job_id)
        made.append(submit(named, site))
        taken = Array(made[-1].job_id, first, tasks, now.astimezone(UTC).isoformat(timespec="seconds"))
        sweep = with_arrays(sweep, [taken])
    return Started(sweep, made)


def _behind(order: Order, array_id: int) -> Order:
    options = order.batch.options
    waits = ",".join(filter(None, [value_of(options, "--dependency"), f"afterany:{array_id}"]))
    options = (*without(options, "--dependency"), f"--dependency={waits}")
    return replace(order, batch=replace(order.batch, options=options))
