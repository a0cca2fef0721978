"""Which reader answers which question, on which release of Slurm: what the readers declare, in one place."""

from __future__ import annotations

from collections.abc import Mapping

from aistation_slurm.slurm.reader import QUESTIONS
from aistation_slurm.slurm.readers.libslurm.reader import BY_LIBSLURM, BY_PYSLURM
from aistation_slurm.slurm.readers.rest.answers import answered

PYSLURM_FITS = "25.11"
"""The one release that the pyslurm of the `pyslurm` extra is built against."""
REST_VERSIONS: Mapping[str, int] = {
    "22.05": 38, "23.02": 38, "23.11": 40, "24.05": 41, "24.11": 42, "25.05": 43, "25.11": 44, "26.05": 45,
}  # fmt: skip
"""Release -> the newest `x` of the `v0.0.x` that its slurmrestd and our reader both know."""


def declared(release: str, *, with_pyslurm: bool = False) -> dict[str, frozenset[str]]:
    """Return reader -> the questions that it answers whole on this release, such as `24.11`.

    Raises:
        KeyError: no such release is known.
    """
    return {
        "cli": QUESTIONS,
        "libslurm": BY_LIBSLURM | BY_PYSLURM if with_pyslurm else BY_LIBSLURM,
        "rest": answered(REST_VERSIONS[release], f"{release}.0"),
    }
