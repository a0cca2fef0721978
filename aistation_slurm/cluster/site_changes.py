"""Edits of the site's files as changes of a plan, in an order in which slurmctld could start after each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from aistation_slurm.cluster.changes import EditLines, EditLinesFirst, EditLinesLast, Effect, widest
from aistation_slurm.cluster.conf import read_line
from aistation_slurm.cluster.effects import effect_of_key, effect_of_nodes
from aistation_slurm.cluster.files import body_of
from aistation_slurm.cluster.observed import Observed
from aistation_slurm.cluster.site import CONF
from aistation_slurm.cluster.site_edits import FIRST, SiteEdits, only_first
from aistation_slurm.cluster.site_text import SiteText
from aistation_slurm.slurm.nodelist import fold
from aistation_slurm.spec import ClusterSpec


def lacks_tres(spec: ClusterSpec, observed: Observed) -> tuple[str, ...]:
    """Return the TRES that quotas are about and slurmdbd has not heard of: it takes no limit on them."""
    if observed.tres is None or not spec.is_ours:
        return ()
    return tuple(each for each in spec.tres() if each not in observed.tres)


def site_changes(spec: ClusterSpec, observed: Observed, edits: SiteEdits, ours: str) -> Iterator[EditLines]:
    """Yield the edits of the site's files; `ours` is what aistation.conf is to say.

    Nothing in between would end slurmctld or a job at a start: an Include comes after the file that it names, and a
    partition that moves from one file to the other is in exactly one of them at any time.
    """
    for path, wanted in edits.files.items():
        now = SiteText(observed.site.texts[path])
        if lacks_tres(spec, observed):
            first = only_first(now, wanted, sorted(FIRST))
            yield from _change(EditLinesFirst, path, now, first, edits=edits, observed=observed)
            now = first
        includes, shall = _includes_ours(now), _includes_ours(wanted)
        if shall and not includes:
            yield from _change(EditLinesLast, path, now, wanted, edits=edits, observed=observed)
        elif shall and includes and _partitions(now) != _partitions(wanted):
            bridge = _bridge(wanted, body_of(ours))
            yield from _change(EditLines, path, now, bridge, edits=edits, observed=observed)
            yield from _change(EditLinesLast, path, bridge, wanted, edits=edits, observed=observed)
        else:
            yield from _change(EditLines, path, now, wanted, edits=edits, observed=observed)


def _change(
    kind: type[EditLines], path: Path, now: SiteText, wanted: SiteText, *, edits: SiteEdits, observed: Observed
) -> Iterator[EditLines]:
    lines = now.edits_to(wanted, path)
    old, text = now.text(), wanted.text()
    if old == text:
        return
    said = [each for line in lines for each in (line.old, line.new) if each]
    effect = _effect(said, edits, observed)
    yield kind(path, text, old, tuple(map(str, lines)), edits=lines, effect=effect)


def _effect(said: Sequence[str], edits: SiteEdits, observed: Observed) -> Effect:
    """Return what must happen so that these lines, old and new, are in force."""
    release = observed.release
    effects = []
    for text in said:
        line = read_line(text.partition("#")[0], path=observed.site.path, number=0)
        if line.noun == "nodename":
            changed = [name for edit in edits.nodes for name in edit.changed]
            effects.append(effect_of_nodes(fold(changed) if changed else line.name, release))
        elif line.noun:
            effects.append(effect_of_key(text.partition("=")[0].strip(), release))
    return widest(effects) or effect_of_key("", release)


def _includes_ours(text: SiteText) -> bool:
    return any(_is_include(line) for line in text.contents())


def _is_include(line: str) -> bool:
    words = line.partition("#")[0].split()
    return len(words) == 2 and words[0].lower() == "include" and Path(words[1]).name == CONF


def _partitions(text: SiteText) -> list[str]:
    return [line for line in text.contents() if line.lstrip().lower().startswith("partitionname")]


def _bridge(wanted: SiteText, body: str) -> SiteText:
    """Return the site's file with our own written out in the place of its Include.

    With it, a partition moves from the site's file to ours in one step; aistation.conf can then be written at leisure.
    """
    bridge = SiteText(wanted.text())
    lines = [line for line in body.splitlines() if line.strip() and not line.startswith("#")]
    for slot in bridge.slots:
        if _is_include(slot.content):
            slot.now, slot.added = "", [*lines, *slot.added]
        slot.added = [each for line in slot.added for each in (lines if _is_include(line) else [line])]
    return bridge
