"""Edits of the site's files as changes of a plan; `moves` says in which order the files are replaced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from aistation_slurm.cluster.changes import EditLines, EditLinesFirst, Effect, widest
from aistation_slurm.cluster.conf import read_line
from aistation_slurm.cluster.effects import effect_of_key, effect_of_nodes
from aistation_slurm.cluster.observed import Observed
from aistation_slurm.cluster.site_edits import FIRST, SiteEdits, only_first
from aistation_slurm.cluster.site_text import SiteText
from aistation_slurm.slurm.nodelist import fold
from aistation_slurm.spec import ClusterSpec


def lacks_tres(spec: ClusterSpec, observed: Observed) -> tuple[str, ...]:
    """Return the TRES that quotas are about and slurmdbd has not heard of: it takes no limit on them."""
    if observed.tres is None or not spec.is_ours:
        return ()
    return tuple(each for each in spec.tres() if each not in observed.tres)


def site_changes(spec: ClusterSpec, observed: Observed, edits: SiteEdits) -> Iterator[EditLines]:
    """Yield the edits of the site's files; those that slurmdbd must hear of come before all else."""
    for path, wanted in edits.files.items():
        now = SiteText(observed.site.texts[path])
        if lacks_tres(spec, observed):
            first = only_first(now, wanted, sorted(FIRST))
            yield from _change(EditLinesFirst, path, now, first, edits=edits, observed=observed)
            now = first
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
