"""Edits of the site's files as changes of a plan; `moves` says in which order the files are replaced."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from aistation_slurm.cluster.changes import RECONFIGURE, EditLines, EditLinesFirst, Effect, LineEdit, widest
from aistation_slurm.cluster.conf import NOUNS, Line, read_line
from aistation_slurm.cluster.effects import effect_of_key, effect_of_nodes
from aistation_slurm.cluster.lint.nodes import names_of
from aistation_slurm.cluster.observed import Observed
from aistation_slurm.cluster.site.edits import FIRST, SiteEdits, only_first
from aistation_slurm.cluster.site.text import SiteText
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
            yield from _change(EditLinesFirst, path, now, first, observed=observed)
            now = first
        yield from _change(EditLines, path, now, wanted, observed=observed)


def _change(
    kind: type[EditLines], path: Path, now: SiteText, wanted: SiteText, *, observed: Observed
) -> Iterator[EditLines]:
    lines = now.edits_to(wanted, path)
    old, text = now.text(), wanted.text()
    if old == text:
        return
    said = [each for line in lines for each in (line.old, line.new) if each]
    effect = _effect(said, observed)
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


def _effect(said: Sequence[str], observed: Observed) -> Effect:
    """Return what must happen so that these lines, old and new, are in force."""
    lines = [(text, _line(text)) for text in said]
    nodes = {name for _, line in lines if line.noun == "nodename" for name in names_of(line.name) or ()}
    keys = [text.partition("=")[0].strip() for text, line in lines if line.noun not in {"", *NOUNS}]
    effects = [effect_of_key(key, observed.release) for key in keys]
    if nodes:
        effects.append(effect_of_nodes(fold(nodes), observed.release))
    return widest(effects) or RECONFIGURE
