"""From a request to a job: look, fit, render, hand to sbatch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aistation_slurm.errors import RequestError, SlurmRefused
from aistation_slurm.jobs.catalogue import Catalogue
from aistation_slurm.jobs.fit import Adjustment, find_group, fit
from aistation_slurm.jobs.request import TrainingRequest
from aistation_slurm.jobs.script import render_script
from aistation_slurm.slurm.connect import Slurm


@dataclass(frozen=True, slots=True)
class Draft:
    """A training that is ready to be submitted."""

    request: TrainingRequest
    adjustments: Sequence[Adjustment]
    script: str


@dataclass(frozen=True, slots=True)
class Submission:
    """A training that Slurm has taken."""

    job_id: int
    name: str
    log: Path
    adjustments: Sequence[Adjustment]


def draft(slurm: Slurm, request: TrainingRequest, catalogue: Catalogue) -> Draft:
    """Return the script of what fits, and what was changed to get there; asks Slurm what there is.

    Raises:
        RequestError: it can't run, or the template is not there or can't take a value.
    """
    template = catalogue[request.template]
    defaults: dict[str, Any] = {
        name: parameter.default
        for name, parameter in template.parameters.items()
        if name in {"nodes", "gpus_per_node"} and getattr(request, name) is None
    }
    group = find_group(request.group, slurm.read.partitions(), slurm.read.nodes())
    fitting, adjustments = fit(replace(request, **defaults, group=group.name), group)
    return Draft(fitting, adjustments, render_script(fitting, catalogue))


def submit(slurm: Slurm, ready: Draft, *, folder: Path) -> Submission:
    """Hand the script to sbatch, to run in this folder.

    Raises:
        RequestError: the log's folder can't be made.
        SlurmRefused: Slurm did not take it.
    """
    output = folder / ready.request.output.replace("%x", ready.request.name)
    _make_folder(output.parent)
    try:
        job_id = slurm.write.sbatch(ready.script, cwd=folder)
    except SlurmRefused as error:
        if os.geteuid() == 0 and "account" in error.text.lower():
            raise SlurmRefused(
                "root belongs to no team here, and can't train",
                hint="submit as one of its users, such as `aistation dev exec --as ann -- aistation job submit ...`\n"
                f"({error.text})",
            ) from error
        raise
    log = output.with_name(output.name.replace("%j", str(job_id)))
    return Submission(job_id, ready.request.name, log, ready.adjustments)


def _make_folder(folder: Path) -> None:
    """Slurm makes no folder for a log: the job would fail without a word."""
    try:
        if "%" not in str(folder):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(
            f"can't be made: {error.strerror}", where=str(folder), hint="name another --output"
        ) from error
