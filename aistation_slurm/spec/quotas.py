"""How much somebody may have at the same time: of GPUs, of what goes with them, and of disks."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from aistation_slurm.spec.amounts import write_memory
from aistation_slurm.spec.base import Short, Spec
from aistation_slurm.spec.names import wrong
from aistation_slurm.spec.types import Count, Memory, Size, Word


class StorageQuota(Spec):
    """How much of one file system; `500G` alone is short for `{space: 500G}`."""

    space: Size | None = Field(None, description="How much may lie there, such as `500G` or `1.5T`.")
    files: Count | None = Field(None, description="How many files and folders may lie there.")

    def __str__(self) -> str:
        space = "" if self.space is None else write_memory(self.space)
        return " ".join(filter(None, [space, "" if self.files is None else f"{self.files} files"]))

    @model_validator(mode="after")
    def _says_something(self) -> StorageQuota:
        if self.space is None and self.files is None:
            raise wrong("says neither space nor files", "write 500G, or {space: 500G, files: 1000000}")
        return self


Storage = Annotated[StorageQuota, Short("space")]


class Quota(Spec):
    """At most this much at the same time; what is left out is not limited."""

    gpu: Count | None = Field(
        None, description="Whole GPUs of any model. CPUs and memory follow from it where they are left out."
    )
    gpu_types: dict[Word, Count] = Field({}, description="Whole GPUs of one model, such as `{v100: 8, p100: 16}`.")
    shards: Count | None = Field(None, description="Shares of GPUs, in groups that share them.")
    cpu: Count | None = Field(None, description="CPUs.")
    memory: Memory | None = Field(None, description="Memory, such as `512G`.")
    nodes: Count | None = Field(None, description="Nodes that jobs run on; one with several jobs counts once.")
    jobs: Count | None = Field(None, description="Running jobs.")
    submitted: Count | None = Field(None, description="Running and waiting jobs; one more is refused.")
    storage: dict[Word, Storage] = Field(
        {}, description="How much of a file system of `storage`, such as `{home: 500G}`; not in a group's quota."
    )

    def __bool__(self) -> bool:
        return any(value not in (None, {}) for _, value in self)

    def said(self) -> dict[str, object]:
        """Return what it limits, for people: `gpu`, `gpu:v100`, `memory`, `home` -> how much."""
        plain = self.model_dump(exclude_none=True, exclude={"gpu_types", "storage"})
        models = {f"gpu:{model}": count for model, count in self.gpu_types.items()}
        return {**plain, **models, **{name: str(quota) for name, quota in self.storage.items()}}

    def over(self, base: Quota) -> Quota:
        """Return this quota with what it leaves out taken from another one; GPU models and file systems one by one."""
        own: dict[str, Any] = {key: value for key, value in self if value is not None}
        own |= {key: getattr(base, key) | getattr(self, key) for key in ("gpu_types", "storage")}
        return base.model_copy(update=own)


class Quotas(Spec):
    """Quotas for each user and for each team."""

    per_user: Quota = Field(Quota.model_construct(), description="What one user may have.")
    per_team: Quota = Field(Quota.model_construct(), description="What all members of one team may have together.")

    def __bool__(self) -> bool:
        return bool(self.per_user or self.per_team)
