"""Slurm's refusal of a submission, with what to do next where we know it."""

from __future__ import annotations

import os

from aistation_slurm.errors import SlurmRefused
from aistation_slurm.jobs.compiled import COMPILED, Policy
from aistation_slurm.jobs.site import Site

_GRANT = "`aistation emergency list` says who may; `aistation emergency grant` gives the right"
_TEAMS = "`sacctmgr show associations user=$USER format=account` says which teams you are in"
_AS_A_USER = "submit as one of its users, such as `aistation dev exec --as ann -- aistation job submit ...`"


def in_our_words(error: SlurmRefused, site: Site, *, qos: str | None) -> SlurmRefused:
    """Return the refusal, its hint ending with what to do; `qos` is the one that was asked for."""
    said = error.text.lower()
    if os.geteuid() == 0 and "account" in said:
        return SlurmRefused("root belongs to no team here, and can't train", hint=f"{_AS_A_USER}\n({error.text})")
    hint = ""
    if "invalid qos" in said:
        hint = _GRANT if qos == "emergency" else _known_qos(site)
    elif "invalid account" in said and not error.hint:
        hint = _TEAMS
    elif "invalid partition" in said and isinstance(site.compiled, Policy):
        hint = f"{site.places.conf.with_name(COMPILED)} may be out of date: `aistation cluster plan` says so"
    return type(error)(error.text, where=error.where, hint="\n".join(filter(None, [error.hint, hint])))


def _known_qos(site: Site) -> str:
    known = site.compiled.qos if isinstance(site.compiled, Policy) else ()
    return f"there are: {', '.join(known)}" if known else ""
