"""Which template a script gets that names none, by what it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aistation_slurm.jobs.catalogue import Catalogue

DDP, SINGLE, PLAIN = "pytorch-ddp", "single-gpu", "plain"


def default_template(wanted: Mapping[str, object], catalogue: Catalogue) -> tuple[str, str]:
    """Return the template and why that one.

    Where nothing is said it is `pytorch-ddp`, on one GPU: a script that knows nothing of it runs there as well.
    """
    gpus, shares = _count(wanted, "gpus", "gpus_per_node"), wanted.get("shares")
    if Path(str(wanted.get("script", ""))).suffix != ".py":
        return PLAIN, "it is no Python script"
    if (_count(wanted, "nodes") or 1) > 1 or (gpus or 0) > 1:
        return DDP, "several processes work together"
    if gpus == 0 or (
        gpus is None and shares is None and (wanted.get("cpus") or _settings_of(PLAIN, wanted, catalogue))
    ):
        return PLAIN, "no GPU was asked for"
    if gpus is None and shares is None:
        return DDP, "nothing else was asked for"
    one = SINGLE if SINGLE in catalogue.names() else PLAIN
    if gpus == 1 and _settings_of(DDP, wanted, catalogue) and not _settings_of(one, wanted, catalogue):
        return DDP, "--set names what it knows"
    return one, "a share of a GPU" if shares else "one GPU on one node"


def _count(wanted: Mapping[str, object], *names: str) -> int | None:
    """Return the first that is given and is a number; `v100:2` is 2. What is none is said later."""
    for name in names:
        text = str(wanted.get(name, "")).rpartition(":")[2]
        if text.isdecimal():
            return int(text)
    return None


def _settings_of(template: str, wanted: Mapping[str, object], catalogue: Catalogue) -> bool:
    """True where there are settings, and this template knows all of them."""
    settings = wanted.get("settings")
    if not isinstance(settings, Mapping) or not settings:
        return False
    return set(settings) <= set(catalogue[template].parameters)
