"""Requests that a template is tried with: the least, the most, hostile text, and each choice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from aistation_slurm.jobs.catalogue import Template
from aistation_slurm.jobs.parameter import Parameter
from aistation_slurm.jobs.request import TrainingRequest

HOSTILE = "a'b\"c $(id) `id` ; #SBATCH --uid=0 \\ 数据"
"""Free text as a person may well mean it, and as nobody should."""
_MOST: Mapping[str, Any] = {
    "args": ("--lr", "0.1"), "group": "v100", "account": "behavior", "qos": "night", "reservation": "course",
    "constraint": "ib&(rack1|rack2)", "gpu_type": "v100", "cpus_per_gpu": 4, "mem": "64G", "time": "1-00:00:00",
    "image": "/data/images/torch.sif", "datasets": {"coco": Path("/data/sets/coco")},
    "exports": {"WANDB_MODE": "offline"}, "checkpoint_dir": Path("/data/ann/checkpoints"), "mail": ("END", "FAIL"),
}  # fmt: skip
_SHAPE = ("nodes", "gpus_per_node", "cpus_per_gpu")


def variants(template: Template) -> Iterator[tuple[str, TrainingRequest]]:
    """Yield (what is special, request): the least, the most, hostile text, and each choice of each parameter."""
    least = TrainingRequest(script=Path("/data/ann/train.py"), template=template.name)
    most = replace(least, settings=_with_all(template, "x"), **_shape(template), **_MOST)
    yield "with the least", least
    yield "with the most", most
    yield "with hostile text", replace(most, args=(HOSTILE,), settings=_with_all(template, HOSTILE))
    yield "with a share of a GPU", replace(least, shares=1)
    for name, parameter in template.parameters.items():
        for choice in parameter.choices or (("yes", "no") if parameter.type == "bool" else ()):
            yield f"with {name} = {choice}", replace(most, settings={**_with_all(template, "x"), name: choice})


def _shape(template: Template) -> dict[str, Any]:
    return {name: 2 for name in ("nodes", "gpus_per_node") if _takes(template.parameters.get(name), 2)}


def _takes(parameter: Parameter | None, number: int) -> bool:
    return parameter is not None and (parameter.max is None or parameter.max >= number)


def _with_all(template: Template, text: str) -> dict[str, str]:
    """Return a setting for each parameter that is no matter of the request: this text where it takes any."""
    number = {"int": "3", "float": "0.5", "bool": "yes", "time": "1:00:00"}
    return {
        name: _setting(each, number.get(each.type, text))
        for name, each in template.parameters.items()
        if name not in _SHAPE
    }


def _setting(parameter: Parameter, text: str) -> str:
    if parameter.choices:
        return parameter.choices[-1]
    if parameter.type in ("int", "float") and parameter.default is None:
        least = float(text) if parameter.min is None else max(float(text), parameter.min)
        return f"{least if parameter.max is None else min(least, parameter.max):g}"
    if parameter.type in ("int", "float"):
        return str(parameter.default)
    return text
