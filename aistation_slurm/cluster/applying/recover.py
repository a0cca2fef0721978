"""An apply that was killed is finished forward by the next one, or its files are put back, so that slurmctld starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aistation_slurm.cluster.applying.restart import answers, restart_controller
from aistation_slurm.cluster.applying.target import Target
from aistation_slurm.cluster.history.entry import Entry
from aistation_slurm.cluster.writing.moves import MAIN, NEXT, Swap, is_between
from aistation_slurm.cluster.writing.replacing import content, replace_files
from aistation_slurm.cluster.writing.whole import drop

PATIENCE = 5.0
"""Seconds that a slurmctld may need which somebody else is starting at this moment."""

Say = Callable[[str], None]


def recover(target: Target, say: Say, *, patience: float = PATIENCE) -> Entry | None:
    """Return the apply that was interrupted, or None; afterwards slurmctld answers, and can be planned for.

    Called with the lock held. Where slurmctld answers, nothing but half a replacement is finished: the next plan begins
    with what is there. Where it does not, all files are as they were before the interrupted apply, and it is started.

    Raises:
        SlurmError: slurmctld can't be started; its files are as they were before the interrupted apply.
    """
    entry = target.history.interrupted()
    if entry is None:
        return None
    drop([copy.path for copy in entry.files])
    _finish_replacement(target, entry)
    if not answers(target.slurm, within=patience):
        if names := files_back(target, entry):
            say(f"slurmctld does not answer: put back as before {entry.kind} {entry.number}: {', '.join(names)}")
        restart_controller(target.settings.slurm, target.slurm)
        say("slurmctld was started")
    return entry


def files_back(target: Target, entry: Entry) -> Sequence[str]:
    """Make every file what it was before that apply, and return the names of those that were not.

    Raises:
        NotPermitted: one can't be written.
    """
    swaps = [Swap(each.path, content(each.path), entry.before(each)) for each in entry.files]
    changed = [each for each in swaps if each.old != each.new]
    kept = {each.path: entry.before_path(each) for each in entry.files if each.was_there}
    replace_files(changed, conf_dir=target.conf_dir, kept=kept)
    return [each.path.name for each in changed]


def _finish_replacement(target: Target, entry: Entry) -> None:
    """Where it was killed between the files that belong together, give slurm.conf and ours their last content."""
    main, following = target.conf_dir / MAIN, target.conf_dir / NEXT
    drop([main, following, *(copy.path for copy in entry.files)])
    if is_between(content(main) or b""):
        ahead = content(following)
        going_back = ahead is not None and any(entry.before(each) == ahead for each in entry.files)
        pair = [each for each in entry.files if each.path in (main, following.with_name("aistation.conf"))]
        swaps = [Swap(each.path, None, entry.before(each) if going_back else entry.after(each)) for each in pair]
        ours_first = sorted(swaps, key=lambda swap: swap.path == main)
        for swap in ours_first:
            replace_files([swap], conf_dir=target.conf_dir)
    following.unlink(missing_ok=True)
