"""A batch script of the user's own as an order: handed to sbatch as it is, our options being sbatch's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aistation_slurm.errors import UsageError
from aistation_slurm.jobs.batch_script import directive_options
from aistation_slurm.jobs.passthrough import value_of, without
from aistation_slurm.jobs.submit import Order
from aistation_slurm.slurm.sbatch import Batch

OPTION_OF: Mapping[str, str] = {
    "group": "--partition",
    "name": "--job-name",
    "mail": "--mail-type",
    "cpus": "--cpus-per-task",
    **{
        name: "--" + name.replace("_", "-")
        for name in (
            "nodes", "gpus", "gpus_per_node", "cpus_per_gpu", "mem", "time", "account", "qos", "reservation",
            "constraint", "output",
        )
    },
}  # fmt: skip
"""Field of a request -> what sbatch calls it."""
_OF_TEMPLATES = ("template", "image", "datasets", "checkpoint_dir", "settings")
_PLAIN_NAME = "wrap"
"""What sbatch calls a job of `--wrap`."""


def batch_order(
    file: Path | None,
    args: Sequence[str],
    wanted: Mapping[str, Any],
    options: Sequence[str],
    *,
    folder: Path,
    **more: Any,
) -> Order:
    """Return the order; without a file the options hold `--wrap`. `more` are fields of the order.

    Raises:
        UsageError: an option is for templates only.
    """
    if bad := next((name for name in _OF_TEMPLATES if wanted.get(name)), None):
        option = {"datasets": "--dataset", "settings": "--set"}.get(bad, "--" + bad.replace("_", "-"))
        raise UsageError(f"{option} is for templates: a batch script says such things itself", hint="see --help")
    given = (*_as_options(wanted), *options)
    inside = directive_options(file) if file else ()
    known = (*inside, *given)
    name = value_of(known, "--job-name", "-J") or (file.name if file else _PLAIN_NAME)
    is_array = value_of(known, "--array", "-a") is not None
    comment = value_of(known, "--comment")
    return Order(
        batch=Batch(file=file, args=tuple(args), options=without(given, "--comment")),
        name=name,
        folder=Path(value_of(known, "--chdir", "-D") or folder).absolute(),
        output=value_of(known, "--output", "-o") or ("slurm-%A_%a.out" if is_array else "slurm-%j.out"),
        comment=comment or "",
        **more,
    )


def _as_options(wanted: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what was asked for in sbatch's words."""
    found = dict(wanted)
    kind = found.pop("gpu_type", None)
    if kind is not None:
        place = next((name for name in ("gpus", "gpus_per_node") if found.get(name) is not None), None)
        if place is None:
            raise UsageError("--gpu-type says of which model, and not how many", hint="add --gpus or --gpus-per-node")
        found[place] = f"{kind}:{found[place]}"
    shares = found.pop("shares", None)
    options = [
        f"{OPTION_OF[name]}={_text(value)}" for name, value in found.items() if name in OPTION_OF and value is not None
    ]
    return (*options, *([f"--gres=shard:{shares}"] if shares else []))


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
