"""What becomes of Slurm's files, and how slurmctld and the slurmd are told of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from aistation_slurm.cluster.changes import (
    NONE,
    RECONFIGURE,
    Change,
    Effect,
    WriteFile,
    WriteFilter,
    WriteRules,
    WriteRulesFirst,
)
from aistation_slurm.cluster.effects import effect_of_gres
from aistation_slurm.cluster.observed import Observed
from aistation_slurm.cluster.rules import policy
from aistation_slurm.cluster.rules.compiled import COMPILED, compiled_text
from aistation_slurm.cluster.rules.difference import table_changes
from aistation_slurm.cluster.site.changes import site_changes
from aistation_slurm.cluster.site.edits import SiteEdits
from aistation_slurm.cluster.site.keys import JOB_SUBMIT
from aistation_slurm.cluster.wanted.files import GRES, body_of, is_edited, is_ours, line_changes, read_lines
from aistation_slurm.slurm.nodelist import expand, fold
from aistation_slurm.spec import ClusterSpec


def file_changes(
    spec: ClusterSpec, observed: Observed, edits: SiteEdits, texts: dict[str, str], *, conf_dir: Path, source: str
) -> Iterator[Change]:
    """Yield what becomes of each file: of our own, of the site's, and of the rules of submission."""
    yield from _files(texts, observed, conf_dir, spec)
    yield from site_changes(spec, observed, edits)
    yield from _compiled(spec, observed, conf_dir, source)
    yield from _rules(spec, observed, conf_dir, source, first=JOB_SUBMIT in edits.keys)


def _files(texts: dict[str, str], observed: Observed, conf_dir: Path, spec: ClusterSpec) -> Iterator[WriteFile]:
    for name, text in texts.items():
        old = observed.files.get(name)
        if (old is None and not spec.is_ours) or (old is not None and _may_stay(old, text)):
            continue
        lines = line_changes(old or "", text)
        effect = _gres_effect(old or "", text, observed) if name == GRES else RECONFIGURE if lines else NONE
        yield WriteFile(conf_dir / name, text, old, lines, edited=bool(old) and is_edited(old or ""), effect=effect)


def _may_stay(old: str, text: str) -> bool:
    """True where the file says what it should, or is the site's own, such as a gres.conf that does."""
    return body_of(old) == body_of(text) or not is_ours(old)


def _rules(spec: ClusterSpec, observed: Observed, conf_dir: Path, source: str, *, first: bool) -> Iterator[WriteRules]:
    """Yield the files of job_submit.lua, which slurmctld reads again by itself; none where this Slurm has no Lua.

    That one is written with any other, even as it was: slurmctld sees no change but its time. `first`: slurmctld is
    about to be told of the plugin, and does not start without the file. A cli_filter.lua that the cluster file no
    longer wants is kept, and kept right, since some host's slurm.conf may still name it.
    """
    if observed.has_lua is False or not (spec.is_ours or is_ours(observed.files.get(policy.RULES) or "site")):
        return
    kind = WriteRulesFirst if first and observed.files.get(policy.RULES) is None else WriteRules
    has_filter = spec.slurm.cli_filter or is_ours(observed.files.get(policy.FILTER) or "site")
    exempt = policy.slurm_user(observed.config)
    release = observed.config.get("SLURM_VERSION", "")
    texts = policy.rules_files(spec, source=source, exempt=exempt, with_filter=has_filter, release=release)
    changed = {name for name, text in texts.items() if body_of(observed.files.get(name) or "") != body_of(text)}
    is_newer = bool(changed - {policy.FILTER})
    for name in (each for each in texts if each in changed or (is_newer and each == policy.RULES)):
        old, text = observed.files.get(name), texts[name]
        lines = table_changes(old, text) if old and name == policy.TABLE else ()
        written = WriteFilter if name == policy.FILTER else kind
        yield written(conf_dir / name, text, old, lines, edited=bool(old) and is_edited(old or ""))


def _compiled(spec: ClusterSpec, observed: Observed, conf_dir: Path, source: str) -> Iterator[WriteRules]:
    """Yield the policy that our own commands read; with Lua or without."""
    old = observed.files.get(COMPILED)
    if not (spec.is_ours or is_ours(old or "site")):
        return
    text = compiled_text(spec, source=source, release=observed.config.get("SLURM_VERSION", ""))
    if body_of(old or "") != body_of(text):
        yield WriteRules(conf_dir / COMPILED, text, old, edited=bool(old) and is_edited(old or ""))


def _gres_effect(old: str, new: str, observed: Observed) -> Effect:
    """Return who must be restarted: a slurmd takes its GPUs from gres.conf when it starts."""
    before, after = _gres_by_node(old), _gres_by_node(new)
    changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    return effect_of_gres(fold(changed), observed.release) if changed else NONE


def _gres_by_node(text: str) -> dict[str, frozenset[tuple[str, str]]]:
    """Return what gres.conf says of each node, in whichever of its lines."""
    found: dict[str, set[tuple[str, str]]] = {}
    for line in read_lines(text).values():
        said = {(line.name.partition(" ")[0] + key, value) for key, value in line.pairs.items() if key != "NodeName"}
        for name in expand(line.pairs.get("NodeName", "")):
            found.setdefault(name, set()).update(said)
    return {name: frozenset(said) for name, said in found.items()}
