"""The batch script of an array of members: the template's own, and a part that finds out which member it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import TemplateError

from aistation_slurm.errors import RenderError
from aistation_slurm.jobs.catalogue import FOLDER, SUFFIX, Catalogue
from aistation_slurm.jobs.request import TrainingRequest
from aistation_slurm.jobs.script import context, script_environment, where
from aistation_slurm.jobs.sweep.arguments import for_script
from aistation_slurm.jobs.sweep.tasks import unfold
from aistation_slurm.jobs.sweep.values import Params
from aistation_slurm.render import Raw, shell_word


@dataclass(frozen=True, slots=True)
class Part:
    """What `templates/train/_member.sh.j2` is told: one array's share of a sweep."""

    folder: Path
    """The sweep's."""
    first: int
    """The member that the array's task 0 is."""
    tasks: str
    """As `--array` takes it: `0-999%10`."""

    @property
    def count(self) -> int:
        """How many members it runs."""
        return len(unfold(self.tasks))


def sweep_script(request: TrainingRequest, part: Part, members: Sequence[Params], catalogue: Catalogue) -> str:
    """Return the batch script of one array; no value of a parameter stands in it.

    Raises:
        RequestError: an argument asks for a parameter that a member lacks, or the template can't take a value.
        RenderError: the template is wrong.
    """
    asked = replace(request, args=for_script(request.args, members))
    template = catalogue[asked.template]
    environment = script_environment(*catalogue.folders)
    told = {**context(asked, template), "checkpoint_dir": _checkpoints(request), "sweep": part}
    try:
        return environment.get_template(f"{FOLDER}/{asked.template}{SUFFIX}").render(**told)
    except TemplateError as error:
        raise RenderError(f"it can't be rendered: {error}", where=where(error, template.path)) from error


def _checkpoints(request: TrainingRequest) -> Raw:
    """Return each member's own folder, which is the same in every array that runs it."""
    asked = request.checkpoint_dir
    root = shell_word(asked.absolute()) if asked else '"$AISTATION_SWEEP_DIR"/checkpoints'
    return Raw(f'{root}/"$AISTATION_SWEEP_MEMBER"')
