"""The plan: what must change so that Slurm is what the cluster file says. Decided here, done in `apply`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

from aistation_slurm.cluster.changes import (
    Change,
    DeleteAccounts,
    DeleteQos,
    Effect,
    Refusal,
    RemoveUsers,
    WriteFile,
    widest,
)
from aistation_slurm.cluster.history.entry import State
from aistation_slurm.cluster.history.history import History
from aistation_slurm.cluster.observed import Observed, look
from aistation_slurm.cluster.planning.accounting import accounting_changes, strangers
from aistation_slurm.cluster.planning.drift import with_drift
from aistation_slurm.cluster.planning.files import file_changes
from aistation_slurm.cluster.planning.nodes import node_complaints
from aistation_slurm.cluster.planning.refusals import refusals_of
from aistation_slurm.cluster.planning.storage import look_at_storage, storage_changes, storage_refusals
from aistation_slurm.cluster.planning.tell import told
from aistation_slurm.cluster.planning.touched import Jobs, with_jobs
from aistation_slurm.cluster.planning.unfinished import with_unfinished
from aistation_slurm.cluster.rules import policy
from aistation_slurm.cluster.site.edits import SiteEdits, shares_to_be, wanted_edits
from aistation_slurm.cluster.site.keys import advice, lacking, misfits
from aistation_slurm.cluster.wanted.desired import desired
from aistation_slurm.cluster.wanted.files import GRES, NAMES, gres_to_keep, is_ours, wanted_files, wanted_names
from aistation_slurm.errors import SlurmUnreachable, SpecError, SpecErrors, UnsafePlan
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.spec import ClusterSpec, load_spec

BY_HAND = "changed by hand since the last apply"
FEW = 3
"""So many deletions are never too many: in a small cluster every one is a large share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What must change so that Slurm is what the cluster file says; nothing is changed by having one."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()
    """What would be better, but is not ours to change."""
    existing: int = 0
    """How many accounts, users and QOS of ours there are now."""
    refusals: tuple[Refusal, ...] = ()
    """Why the plan must not be carried out now, whoever wants it: a job would be killed."""

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __str__(self) -> str:
        return "\n".join([*self.lines(), self.summary()])

    def lines(self) -> list[str]:
        """Return every change as one line, and below a file's what changes in it."""
        return [line for change in self.changes for line in self.lines_of(change)]

    def lines_of(self, change: Change) -> list[str]:
        """Return one change as a line, and below it what changes in a file, and what was changed by hand."""
        inside = [f"    {line}" for line in change.lines] if isinstance(change, WriteFile) else []
        by_hand = [f"    ! {BY_HAND}: {said}" for said in change.by_hand]
        return [str(change), *inside, *by_hand]

    def summary(self) -> str:
        """Return the last line of the plan: its name, and how much it would change."""
        if not self.changes:
            return "nothing to do: Slurm is what the cluster file says"
        counts = self.counts
        return (
            f"plan {self.checksum}: {counts['create']} to create, {counts['update']} to update, "
            f"{counts['delete']} to delete"
        )

    @property
    def counts(self) -> dict[str, int]:
        """How many things would be created, updated and deleted."""
        found = Counter[str]()
        for change in self.changes:
            found[change.sign] += change.count
        return {"create": found["+"], "update": found["~"], "delete": found["-"]}

    @property
    def effect(self) -> Effect:
        """The effect of all its changes together."""
        return widest(change.effect for change in self.changes)

    @property
    def checksum(self) -> str:
        """Names the plan, so that what was reviewed is what is applied."""
        texts = [change.text for change in self.changes if isinstance(change, WriteFile)]
        return sha256("\n".join([*self.lines(), *texts]).encode()).hexdigest()[:12]

    def raise_if_unsafe(self, *, share: float = 0.3, force: bool = False) -> None:
        """Do nothing where the plan may be carried out.

        Raises:
            UnsafePlan: a job would be killed; or, without `force`, more than `share` of what exists would be deleted.
        """
        if self.refusals:
            first, *others = self.refusals
            raise UnsafePlan(first.text, hint="\n".join([first.safe_way, *map(str, others)]))
        kinds = (RemoveUsers, DeleteAccounts, DeleteQos)
        deletions = sum(change.count for change in self.changes if isinstance(change, kinds))
        if not force and deletions > max(FEW, share * self.existing):
            text = f"{deletions} of {self.existing} accounts, users and QOS would be deleted"
            raise UnsafePlan(text, hint="is it the right cluster file? say --force if you mean it")


def make_plan(spec: ClusterSpec, slurm: Slurm, *, conf_dir: Path, gpu_device: str, source: str) -> Plan:
    """Look at Slurm and return what must change there so that it is what the cluster file says.

    Raises:
        SpecError: the site's slurm.conf or nodes lack what the cluster file rests on, or a name is taken.
        SlurmError: Slurm can't be asked.
    """
    history = History(conf_dir)
    cut_off = history.interrupted()
    if cut_off and not slurm.write.ping():
        hint = f"{cut_off.told()}; the next apply puts Slurm's files back and starts it"
        raise SlurmUnreachable("slurmctld does not answer", hint=hint)
    observed = replace(look(slurm, conf_dir=conf_dir), storage=look_at_storage(spec))
    last = _last_applied(history)
    made = decide(spec, observed, conf_dir=conf_dir, gpu_device=gpu_device, source=source, last=last)
    notes = (
        (*made.notes, f"{cut_off.told()}; the next apply finishes it, `rollback` undoes it") if cut_off else made.notes
    )
    return replace(made, changes=with_unfinished(made.changes, cut_off), notes=notes)


def _last_applied(history: History) -> ClusterSpec | None:
    """Return the cluster file as it was last applied; None where nobody knows: none was, or one was not ended."""
    entries, done = history.entries(), history.last_done()
    if done is None or entries[-1].state not in {State.DONE, State.UNDONE}:
        return None
    with suppress(SpecError):
        return load_spec(done.spec_path)
    return None


def decide(
    spec: ClusterSpec,
    observed: Observed,
    *,
    conf_dir: Path,
    gpu_device: str,
    source: str,
    last: ClusterSpec | None = None,
) -> Plan:
    """Return what must change, from what is wanted and what is there. Changes nothing, asks nobody.

    `last` is the cluster file as it was last applied: what is there and it did not say was changed by hand since.

    Raises:
        SpecError: the site's slurm.conf or nodes lack what the cluster file rests on, or a name is taken.
    """
    wanted, edits = desired(spec), wanted_edits(spec, observed.site, has_lua=observed.has_lua)
    _raise_all([*complaints(spec, observed, edits), *strangers(wanted, observed)], where=str(observed.site.path))
    shares = partial(shares_to_be, observed.site, edits)
    kept = gres_to_keep(observed.files.get(GRES), spec, observed.nodes, shares=shares)
    texts = wanted_files(spec, gpu_device=gpu_device, source=source, kept_gres=kept)
    changes: list[Change] = [*accounting_changes(wanted, observed)]
    changes += file_changes(spec, observed, edits, texts, conf_dir=conf_dir, source=source)
    changes += told(spec, observed, edits, changes, frozenset(wanted.qos))
    stored, storage_notes = storage_changes(observed.storage, observed.jobs)
    changes += stored
    jobs = Jobs(observed.jobs)
    changes = with_jobs(sorted(changes, key=lambda change: change.rank), jobs, observed)
    changes = with_drift(changes, last, observed)
    return Plan(
        changes=tuple(changes),
        notes=(*_notes(spec, observed, edits), *storage_notes),
        existing=_existing(observed),
        refusals=(*refusals_of(spec, observed, changes, jobs), *storage_refusals(changes)),
    )


def complaints(spec: ClusterSpec, observed: Observed, edits: SiteEdits) -> Iterator[SpecError]:
    """Yield what the site's own files and nodes lack, and no edit of ours puts right."""
    where = str(observed.site.path)
    yield from misfits(spec, observed.site, has_lua=observed.has_lua)
    yield from edits.by_hand if edits.files else lacking(spec, observed.site)
    yield from node_complaints(spec, observed.nodes, where=where, settled=edits.settled)
    for name, text in observed.files.items() if spec.is_ours else ():
        if text is not None and not is_ours(text) and name not in _left_alone(spec):
            path = str(observed.site.path.with_name(name))
            yield SpecError("was not written by aistation", where=path, hint=f"move it away: mv {path} {path}.site")


def _left_alone(spec: ClusterSpec) -> set[str]:
    """Return the files that may be the site's own."""
    return {GRES, *NAMES, *([] if spec.slurm.cli_filter else [policy.FILTER])} - ({*wanted_names(spec)} - {GRES})


def _notes(spec: ClusterSpec, observed: Observed, edits: SiteEdits) -> Iterator[str]:
    yield from advice(spec, observed.site, observed.config, has_lua=observed.has_lua, edited=bool(edits.files))
    if spec.managed_groups() and not is_ours(observed.files.get(GRES) or ""):
        yield f"{observed.site.path.with_name(GRES)} is the site's own, and is left as it is"


def _raise_all(errors: Sequence[SpecError], *, where: str) -> None:
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise SpecErrors(errors, where=where)


def _existing(observed: Observed) -> int:
    rows = sum(observed.is_our_account(account) for account, _ in observed.associations)
    return rows + sum(map(observed.is_our_qos, observed.qos))
