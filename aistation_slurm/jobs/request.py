"""What a person wants trained, before anybody has looked whether it fits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from aistation_slurm.errors import RequestError, SlurmUnreadable, UnprintableError
from aistation_slurm.render import printable
from aistation_slurm.slurm.units import read_duration

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def _is_time(text: str) -> str:
    try:
        read_duration(text)
    except SlurmUnreadable as error:
        raise ValueError(error.text) from error
    return text


def _is_printable(text: str) -> str:
    try:
        return printable(text)
    except UnprintableError as error:
        raise ValueError(error.text) from error


Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._@+-]{0,127}$")]
"""A name that Slurm can take as it is: no blank, no quote, no list."""
Text = Annotated[str, Field(min_length=1), AfterValidator(_is_printable)]
FileName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f'\"\\#]+$")]
"""A file as `--output` takes it: quotes, backslashes and `#` mean something else there."""
Time = Annotated[str, AfterValidator(_is_time)]


class TrainingRequest(BaseModel):
    """One training: a script, where it runs, and on how much."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    template: Word = Field("pytorch-ddp", description="The template that makes a batch script of it.")
    script: Path = Field(description="The training script.")
    args: tuple[str, ...] = Field((), description="What the script is given on its command line.")
    name: Word = Field("", description="The job's name; by default the script's.", validate_default=False)
    group: Word | None = Field(None, description="The GPU group; by default Slurm's default partition.")
    nodes: int | None = Field(None, ge=1, description="How many nodes.")
    gpus_per_node: int | None = Field(None, ge=0, description="How many GPUs on each node.")
    cpus_per_gpu: int | None = Field(None, ge=1, description="How many CPUs for each GPU.")
    time: Time | None = Field(None, description="The time limit, as sbatch takes it: `90`, `1-12:00:00`.")
    account: Word | None = Field(None, description="The team that it counts for.")
    qos: Word | None = Field(None, description="The quality of service.")
    python: Text = Field("python3", description="The Python that runs the script.")
    output: FileName = Field(
        "%x-%j.log", description="The log, with Slurm's patterns: %x is the name, %j the job's id."
    )
    checkpoint_dir: Path | None = Field(None, description="Where checkpoints are; by default beside the log.")
    settings: dict[str, str] = Field({}, description="What only this template knows, such as `launcher`.")

    @model_validator(mode="before")
    @classmethod
    def _name_after_the_script(cls, raw: dict[str, Any]) -> dict[str, Any]:
        if raw.get("name"):
            return raw
        stem = _NOT_IN_A_NAME.sub("_", Path(str(raw.get("script", ""))).stem).strip("._-")
        return {**raw, "name": stem[:64] or "training"}


def training_request(**wanted: object) -> TrainingRequest:
    """Return the request; what is None was not asked for.

    Raises:
        RequestError: a value can't be used, or the script isn't there.
    """
    try:
        request = TrainingRequest.model_validate({key: value for key, value in wanted.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        raise RequestError(_said(first), where="--" + str(first["loc"][0]).replace("_", "-")) from error
    for each in (*request.args, str(request.script), str(request.checkpoint_dir), *request.settings.values()):
        _raise_if_unprintable(each)
    if not request.script.is_file():
        raise RequestError("there is no such file", where=str(request.script), hint="name the training script")
    return request.model_copy(update={"script": request.script.absolute()})


def _said(error: Any) -> str:
    """Return pydantic's complaint in our words."""
    if error["type"] == "string_pattern_mismatch":
        return f"{error['input']!r} can't be used here: it holds a character that means something else to Slurm"
    return str(error["msg"]).removeprefix("Value error, ")


def _raise_if_unprintable(text: str) -> None:
    try:
        printable(text)
    except UnprintableError as error:
        raise RequestError(error.text, hint=error.hint) from error
