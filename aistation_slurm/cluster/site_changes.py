"""Edits of the site's files as changes of a plan; `moves` says in which order the files are replaced."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from aistation_slurm.cluster.changes import EditLines, EditLinesFirst, Effect, LineEdit, widest
from aistation_slurm.cluster.conf import Line, read_line
from aistation_slurm.cluster.effects import effect_of_key, effect_of_nodes
from aistation_slurm.cluster.lint.nodes import names_of
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
    yield kind(path, text, old, tuple(told_lines(lines)), edits=lines, effect=effect)


def told_lines(edits: Sequence[LineEdit]) -> Iterator[str]:
    """Yield the edits for people: of a NodeName line the keys that change, nodes that change alike together."""
    for said, alike in groupby(edits, key=_node_keys):
        found = list(alike)
        if said is None:
            yield from map(str, found)
            continue
        first, last = found[0].number, found[-1].number
        where = f"line {first}" if first == last else f"lines {first}-{last}"
        nodes = fold(name for edit in found for name in names_of(_line(edit.old).name) or ())
        yield f"~ {where}  NodeName={nodes}  {said}"


def _node_keys(edit: LineEdit) -> str | None:
    """Return which keys of its nodes the edit changes, and how; None where it is about something else."""
    old, new = _line(edit.old), _line(edit.new)
    if old.noun != "nodename" or old.name != new.name:
        return None
    keys = [key for key in new.pairs if new.pairs[key] != old.get(key)]
    keys += [key for key in old.pairs if key not in new.pairs]
    spelt = {key.lower(): key for key in re.findall(r"(\w+)\s*=", f"{edit.old} {edit.new}")}
    return "  ".join(f"{spelt[key]} {old.get(key) or 'none'} -> {new.get(key) or 'none'}" for key in keys)


def _line(text: str | None) -> Line:
    return read_line((text or "").partition("#")[0], path=Path(), number=0)


def _effect(said: Sequence[str], edits: SiteEdits, observed: Observed) -> Effect:
    """Return what must happen so that these lines, old and new, are in force."""
    release = observed.release
    effects = []
    for text in said:
        line = _line(text)
        if line.noun == "nodename":
            changed = [name for edit in edits.nodes for name in edit.changed]
            effects.append(effect_of_nodes(fold(changed) if changed else line.name, release))
        elif line.noun:
            effects.append(effect_of_key(text.partition("=")[0].strip(), release))
    return widest(effects) or effect_of_key("", release)
