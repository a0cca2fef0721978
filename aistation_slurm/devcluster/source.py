"""Which cluster file a start is from, and the same with fewer nodes."""

from __future__ import annotations

import io
from collections.abc import MutableMapping
from pathlib import Path

from ClusterShell.NodeSet import NodeSet, NodeSetException
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from aistation_slurm.assets import asset_dir
from aistation_slurm.devcluster.paths import Paths
from aistation_slurm.errors import SpecError
from aistation_slurm.render import write_whole

DEFAULT_FILE = "small.yaml"


def choose_file(paths: Paths, file: Path | None) -> Path:
    """Return the cluster file to start from: the one that was named, the cluster's own copy, else the small example.

    Raises:
        SpecError: the one that was named isn't there.
    """
    if file is None:
        return paths.spec if paths.spec.exists() else asset_dir("slurm_conf") / "examples" / DEFAULT_FILE
    if not file.is_file():
        examples = asset_dir("slurm_conf") / "examples"
        raise SpecError("no such file", where=str(file), hint=f"examples are in {examples}")
    return file.resolve()


def scaled(file: Path, most: int, into: Path) -> Path:
    """Write the cluster file with at most so many nodes in each group, all else as it was, and return where.

    Raises:
        SpecError: the file can't be read.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 200
    try:
        data = yaml.load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise SpecError("can't be read as YAML", where=str(file)) from error
    groups = data.get("groups") if isinstance(data, MutableMapping) else None
    for group in groups.values() if isinstance(groups, MutableMapping) else ():
        if isinstance(group, MutableMapping) and "nodes" in group:
            group["nodes"] = first_nodes(str(group["nodes"]), most)
    text = io.StringIO()
    yaml.dump(data, text)
    into.parent.mkdir(parents=True, exist_ok=True)
    write_whole(into, text.getvalue())
    return into


def first_nodes(nodes: str, most: int) -> str:
    """Return the first so many of a node list; one that can't be read comes back as it is, for the loader to name."""
    try:
        return str(NodeSet(nodes)[:most])
    except NodeSetException:
        return nodes
