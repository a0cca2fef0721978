"""A request and a template become a batch script."""

from __future__ import annotations

import os

from jinja2 import TemplateError

from aistation_slurm.errors import RenderError
from aistation_slurm.jobs.catalogue import FOLDER, SUFFIX, Catalogue, Template, Value
from aistation_slurm.jobs.request import TrainingRequest
from aistation_slurm.render import Raw, shell_word, templates

_COMMON = ("nodes", "gpus_per_node", "cpus_per_gpu")
_LEFT_FOR_REQUEUE = 15
"""Seconds before the time limit at which a training that did not leave is requeued."""


def render_script(request: TrainingRequest, catalogue: Catalogue) -> str:
    """Return the batch script, ready for sbatch.

    Raises:
        RequestError: the template is not there, or can't take a value.
        RenderError: the template is wrong.
    """
    template = catalogue[request.template]
    environment = templates(*catalogue.folders, finalize=shell_word)
    try:
        return environment.get_template(f"{FOLDER}/{request.template}{SUFFIX}").render(**context(request, template))
    except TemplateError as error:
        raise RenderError(f"it can't be rendered: {error}", where=str(template.path)) from error


def context(request: TrainingRequest, template: Template) -> dict[str, object]:
    """Return what the template may use; each value is quoted where it is put into the script."""
    common: dict[str, Value] = {name: getattr(request, name) for name in _COMMON}
    values = template.values({**common, **request.settings})
    gpus, cpus = _number(values, "gpus_per_node"), _number(values, "cpus_per_gpu")
    ranks = max(1, gpus)
    launcher = values.get("launcher", "torchrun")
    processes = ranks if launcher == "srun" else 1
    notice = _number(values, "notice")
    return {
        **values,
        "name": request.name,
        "group": request.group,
        "account": request.account,
        "qos": request.qos,
        "time": request.time,
        "output": request.output,
        "script": request.script,
        "args": request.args,
        "python": request.python,
        "command": _command(request),
        "checkpoint_dir": request.checkpoint_dir and request.checkpoint_dir.absolute(),
        "ranks_per_node": ranks,
        "cpus_per_task": cpus * ranks // processes if cpus else None,
        "threads": cpus or 1,
        "may_lose_nodes": _number(values, "nodes") > 1,
        "grace": max(1, notice - _LEFT_FOR_REQUEUE),
    }


def _number(values: dict[str, Value], name: str) -> int:
    value = values.get(name)
    return value if isinstance(value, int) else 0


def _command(request: TrainingRequest) -> Raw:
    """Return what runs the script: bash, the script itself if it may be run, else Python."""
    script = shell_word(request.script)
    if request.script.suffix in {".sh", ".bash"}:
        return Raw(f"bash {script}")
    if request.script.suffix != ".py" and os.access(request.script, os.X_OK):
        return Raw(script)
    return Raw(f"{shell_word(request.python)} {script}")
