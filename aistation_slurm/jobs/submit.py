"""From a request to a job: fit, render, hand to sbatch once, and keep what was submitted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aistation_slurm.errors import RequestError, SlurmRefused, SlurmUnreachable
from aistation_slurm.jobs.adjustment import Adjustment, read_adjustment
from aistation_slurm.jobs.batch_script import script_text
from aistation_slurm.jobs.fit import fit
from aistation_slurm.jobs.passthrough import value_of
from aistation_slurm.jobs.record import Record, keep
from aistation_slurm.jobs.request import TrainingRequest
from aistation_slurm.jobs.run_folder import RunFolder, folder_name
from aistation_slurm.jobs.script import render_script
from aistation_slurm.jobs.site import Site, open_site
from aistation_slurm.jobs.tag import Tag, new_submission, with_tag
from aistation_slurm.slurm.sbatch import Batch, Taken, WouldStart, sbatch, sbatch_test

_SHAPE = frozenset({"nodes", "gpus_per_node", "ntasks", "ntasks_per_node"})


@dataclass(frozen=True, slots=True)
class Draft:
    """A training that is ready to be submitted."""

    request: TrainingRequest
    adjustments: Sequence[Adjustment]
    script: str
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One submission: what sbatch is given, and what is remembered of it."""

    batch: Batch
    name: str
    folder: Path
    """Where the job starts, and where its own folder will be."""
    output: str = "slurm-%j.out"
    """The log, with Slurm's patterns, below `folder`."""
    submission: str = field(default_factory=new_submission)
    may_be_there: bool = False
    """True where the id was given by the user: an earlier try may have been taken."""
    resume: int | None = None
    """How often it may be started again from its checkpoint; None where nobody said."""
    comment: str = ""
    """The user's own; our tag stands behind it."""
    request: TrainingRequest | None = None
    record: Mapping[str, object] = field(default_factory=dict)
    """What is to be kept in `job.json` beside, such as `sweep`."""
    said: Sequence[Adjustment] = ()
    """What was adjusted already, and is not to be said a second time."""

    @property
    def tagged(self) -> Batch:
        """What sbatch is given, with our tag in the comment."""
        comment = with_tag(self.comment, Tag(self.submission, self.resume))
        return replace(self.batch, options=(*self.batch.options, f"--comment={comment}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job that Slurm has taken."""

    job_id: int
    """Of an array its own number."""
    submission: str
    name: str
    log: Path
    folder: Path
    """The run's own folder."""
    is_new: bool = True
    """False where an earlier try of the same id had been taken."""
    adjustments: Sequence[Adjustment] = ()
    """What Slurm's own rules changed, beyond what was said before."""
    notes: Sequence[str] = ()


def draft(request: TrainingRequest, site: Site) -> Draft:
    """Return the script of what fits, and what was changed to get there.

    Raises:
        RequestError: it can't run, or the template is not there or can't take a value.
        NotPermitted: the team may not use the group.
        SlurmError: there is no compiled policy, and Slurm can't be asked.
    """
    parameters = site.catalogue[request.template].parameters
    defaults: dict[str, Any] = {
        name: parameters[name].default
        for name in ("nodes", "gpus_per_node")
        if name in parameters and getattr(request, name) is None and request.gpus is None and not request.shares
    }
    policy = site.policy_for(request.group)
    account = None if request.account else site.account(policy)
    fitted = fit(replace(request, **defaults), policy, account=account, takes_nodes="nodes" in parameters)
    script = render_script(fitted.request, site.catalogue)
    return Draft(fitted.request, fitted.adjustments, script, fitted.notes)


def order_of(ready: Draft, *, folder: Path, options: Sequence[str] = (), **more: Any) -> Order:
    """Return the order that submits the draft, to run in this folder; `more` are fields of the order."""
    return Order(
        batch=Batch(text=ready.script, options=tuple(options), cwd=folder),
        name=value_of(options, "--job-name", "-J") or ready.request.name,
        folder=folder,
        output=ready.request.output,
        request=ready.request,
        said=ready.adjustments,
        **more,
    )


def would_start(order: Order, site: Site | None = None) -> WouldStart:
    """Return when and where the job would start; nothing is submitted.

    Raises:
        SlurmRefused: Slurm would not take it.
        SlurmError: it can't be asked.
    """
    site = site or open_site()
    try:
        return sbatch_test(site.runner, order.tagged)
    except SlurmRefused as error:
        raise _in_our_words(error, order, site) from error


def submit(order: Order, site: Site | None = None) -> Submission:
    """Hand the order to sbatch, once: an id that was taken before is answered with the job that it became.

    Raises:
        RequestError: the log's folder can't be made, or another try of this id still goes on.
        SlurmRefused: Slurm did not take it.
        NotKnown: nobody answered, and the job was not found.
    """
    site = site or open_site()
    if not order.may_be_there:
        return _hand_in(order, site)
    from aistation_slurm.jobs.earlier import noted  # noqa: PLC0415  (a first try needs none of it)
    from aistation_slurm.jobs.unanswered import found_before  # noqa: PLC0415

    with noted(order.submission, os.environ, cluster=str(site.places.conf)) as note:
        before = found_before(order.submission, note)
        if before is not None:
            note.write(before)
            return _made(order, before, is_new=False)
        made = _hand_in(order, site)
        note.write(made.job_id)
        return made


def _hand_in(order: Order, site: Site) -> Submission:
    _make_log_folder(order)
    notes: list[str] = []
    try:
        taken = sbatch(site.runner, order.tagged)
    except SlurmRefused as error:
        raise _in_our_words(error, order, site) from error
    except SlurmUnreachable as error:
        from aistation_slurm.jobs.unanswered import found_after  # noqa: PLC0415

        taken = Taken(found_after(order.submission, error))
        notes.append(f"sbatch got no answer ({error.text}), but the job is there")
    hindered = keep(_record(order), script_text(order.batch), taken.job_id)
    adjustments, said = _sorted(taken.said, order.said)
    if order.request is not None and any(each.what in _SHAPE for each in adjustments):
        said.append(f"the script was made for more: `aistation job cancel {taken.job_id}`, and ask for what fits")
    return _made(order, taken.job_id, adjustments=adjustments, notes=[*notes, *said, *filter(None, [hindered])])


def _sorted(lines: Iterable[str], before: Sequence[Adjustment]) -> tuple[list[Adjustment], list[str]]:
    """Return what Slurm's rules changed, and what else it said; nothing that was said before."""
    known = {str(each) for each in before}
    changes: list[Adjustment] = []
    said: list[str] = []
    for line in lines:
        if line in known:
            continue
        change = read_adjustment(line)
        if change:
            changes.append(change)
        else:
            said.append(line)
    return changes, said


def _made(order: Order, job_id: int, **more: Any) -> Submission:
    log = order.output.replace("%x", order.name).replace("%A", str(job_id))
    if value_of(order.batch.options, "--array", "-a") is None:  # each member of an array has a number of its own
        log = log.replace("%j", str(job_id))
    return Submission(
        job_id=job_id,
        submission=order.submission,
        name=order.name,
        log=order.folder / log,
        folder=RunFolder(order.folder / folder_name(order.name, job_id)).path,
        **more,
    )


def _record(order: Order) -> Record:
    return Record(
        submission=order.submission,
        submitted=datetime.now(UTC),
        folder=order.folder,
        name=order.name,
        options=order.batch.options,
        request=order.request,
        args=order.batch.args,
        more=order.record,
    )


def _make_log_folder(order: Order) -> None:
    """Slurm makes no folder for a log: the job would fail without a word."""
    folder = (order.folder / order.output.replace("%x", order.name)).parent
    try:
        if "%" not in str(folder):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(
            f"can't be made: {error.strerror}", where=str(folder), hint="name another --output"
        ) from error


def _in_our_words(error: SlurmRefused, order: Order, site: Site) -> SlurmRefused:
    from aistation_slurm.jobs.refused import in_our_words  # noqa: PLC0415

    qos = order.request.qos if order.request else value_of(order.batch.options, "--qos", "-q")
    return in_our_words(error, site, qos=qos)
