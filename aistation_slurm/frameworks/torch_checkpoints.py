"""Checkpoints of a PyTorch training: model, optimiser, schedule, and every rank's random numbers.

One file, Python 3.9 and newer: with `checkpoint.py` and `background.py` it can be copied into any image.

    with TorchCheckpoints(folder, {"model": model, "optimizer": optimizer, "schedule": schedule}) as checkpoints:
        first = checkpoints.restore()
        loader = DataLoader(data, batch_sampler=StepBatches(len(data), batch=64, first_step=first), generator=own)
        for step, batch in zip(range(first, steps), loader):
            ...
            stop = checkpoints.stop_wanted()
            if stop or (step + 1) % 100 == 0:
                checkpoints.save(step + 1)
            if stop:
                checkpoints.say_unfinished()
                break

Every rank calls every method, at the same step. A run that goes on from a checkpoint ends with the same weights, bit
for bit, as one that nothing happened to, if the step itself is deterministic. A DataLoader draws a number when it is
started: give it a generator of its own (`own = torch.Generator()`), or a resumed run has drawn one more.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

try:
    from aistation_slurm.checkpoint import Checkpoint, CheckpointError, Checkpoints, InFolder, Run, SaveSoon
    from aistation_slurm.frameworks.background import Saver
except ImportError:  # the files lie beside this one, as in an image of your own
    from background import Saver  # type: ignore[import-not-found,no-redef]
    from checkpoint import (  # type: ignore[import-not-found,no-redef]
        Checkpoint,
        CheckpointError,
        Checkpoints,
        InFolder,
        Run,
        SaveSoon,
    )


class TorchCheckpoints:
    """The checkpoints of one training, as each of its ranks holds them.

    Args:
        folder: shared by all nodes that may run this training.
        state: what a checkpoint holds, by name: anything with `state_dict` and `load_state_dict`.
        keep: how many of the newest checkpoints are kept.
        every: keeps the first checkpoint at or past each multiple of so many steps, for good.
        sharded: each rank saves what it has of the model and the optimisers (FSDP, tensor parallel), by
            torch.distributed.checkpoint; it can be restored on another number of ranks. Otherwise rank 0 saves.
        background: a copy is taken, and written while the training goes on; takes as much memory as the state.
        weights_only: as torch.load takes it; False for a state that holds objects of your own.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        state: Mapping[str, Any],
        *,
        keep: int = 3,
        every: int | None = None,
        sharded: bool = False,
        background: bool = False,
        weights_only: bool = True,
        run: Run | None = None,
    ) -> None:
        self.state = {name: _unwrapped(each) for name, each in state.items()}
        self.sharded = sharded
        self.weights_only = weights_only
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.ranks = dist.get_world_size() if dist.is_initialized() else 1
        mine = dataclasses.replace(run or Run.from_environment(), rank=self.rank)
        run_id = _from_rank_zero(mine.run_id)  # outside of Slurm each process would have one of its own
        self.checkpoints = Checkpoints(folder, keep=keep, every=every, run=dataclasses.replace(mine, run_id=run_id))
        self.saver = Saver(self.checkpoints) if background else None
        self._host = _Host()
        self.soon = SaveSoon()

    def __enter__(self) -> TorchCheckpoints:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.saver:
            self.saver.__exit__(kind, error, at)
        if error is None:
            self.checkpoints.release()

    def restore(self) -> int:
        """Take the folder over, load the newest whole checkpoint, and return its step; 0 where there is none.

        Raises:
            CheckpointError: another run holds the folder, or it can't be used; on every rank.
        """
        step: int = -1
        told, failed = "", None
        if self.rank == 0:
            try:
                start = self.checkpoints.claim()
                step = start.step if start else -1
            except CheckpointError as error:
                told, failed = str(error), error
        step, told = _from_rank_zero((step, told))
        if told:
            raise failed or CheckpointError(f"rank 0: {told}")
        if step >= 0:
            self.load(self.checkpoints.at(step))
        return int(max(step, 0))

    def load(self, checkpoint: Checkpoint) -> None:
        """Bring the state back from this checkpoint."""
        if (checkpoint.folder / _METADATA).exists():
            self._load_shards(checkpoint)
            return
        saved = torch.load(checkpoint.file, map_location="cpu", weights_only=self.weights_only)
        _bring_back(self.state, saved["state"], checkpoint)
        if len(saved["random"]) == self.ranks:
            set_random(saved["random"][self.rank])

    def save(self, step: int) -> None:
        """Save the state after so many steps; in the background, where that was asked for.

        Raises:
            ReplacedError: a newer run holds the folder: this one must end.
            CheckpointError: it can't be written; the last checkpoint stands. In the background, by the next call.
        """
        if self.sharded:
            self._save_shards(step)
            return
        of_all = _of_every_rank(get_random())
        if self.rank == 0:
            saved = {"state": {name: each.state_dict() for name, each in self.state.items()}, "random": of_all}
            if self.saver:
                self.saver.wait()  # what it writes from is written anew
                self.saver.save(step, functools.partial(torch.save, self._host.copy(saved)), frozen=True)
            else:
                self.checkpoints.save(step, functools.partial(torch.save, saved))

    def stop_wanted(self) -> bool:
        """True on every rank once any of them was told to save and leave, as Slurm does before the time limit."""
        return any(_of_every_rank(self.soon.wanted))

    def say_unfinished(self) -> None:
        """Ask for the job to be started again, once what is being saved stands; call it as the training leaves."""
        self.soon.say_unfinished(self.saver)

    # -- shards -----------------------------------------------------------------------------------------------------

    def _save_shards(self, step: int) -> None:
        how = self.saver or self.checkpoints
        how.save_part(step, InFolder(self._write_shards), ranks=self.ranks)

    def _write_shards(self, folder: Path) -> list[str]:
        """Write what this rank has, and return the names of its files."""
        from torch.distributed import checkpoint as dcp  # noqa: PLC0415  slow, and only for this

        dcp.save(self._shards(), storage_writer=dcp.FileSystemWriter(folder, overwrite=True))
        rest = {name: each.state_dict() for name, each in self._rest().items()}
        torch.save({"state": rest, "random": get_random()}, folder / _rest_name(self.rank))
        mine = [path.name for path in folder.glob(f"__{self.rank}_*")]
        return [*mine, _rest_name(self.rank), *([_METADATA] if self.rank == 0 else [])]

    def _load_shards(self, checkpoint: Checkpoint) -> None:
        from torch.distributed import checkpoint as dcp  # noqa: PLC0415
        from torch.distributed.checkpoint.state_dict import (  # noqa: PLC0415
            set_model_state_dict,
            set_optimizer_state_dict,
        )

        shards = self._shards()
        dcp.load(shards, storage_reader=dcp.FileSystemReader(checkpoint.folder))
        set_model_state_dict(self._model(), shards.pop("model"))
        for name, each in shards.items():
            set_optimizer_state_dict(self._model(), self.state[name], each)
        same_ranks = checkpoint.manifest().parts == self.ranks
        path = checkpoint.folder / _rest_name(self.rank if same_ranks else 0)
        saved = torch.load(path, map_location="cpu", weights_only=self.weights_only)
        _bring_back(self._rest(), saved["state"], checkpoint)
        if same_ranks:
            set_random(saved["random"])

    def _shards(self) -> dict[str, Any]:
        """Return the model's and the optimisers' states, by names that don't depend on the number of ranks."""
        from torch.distributed.checkpoint.state_dict import (  # noqa: PLC0415
            get_model_state_dict,
            get_optimizer_state_dict,
        )

        model = self._model()
        optimisers = {name: each for name, each in self.state.items() if isinstance(each, torch.optim.Optimizer)}
        states = {name: get_optimizer_state_dict(model, each) for name, each in optimisers.items()}
        return {"model": get_model_state_dict(model), **states}

    def _model(self) -> torch.nn.Module:
        models = [each for each in self.state.values() if isinstance(each, torch.nn.Module)]
        if len(models) != 1 or "model" in {n for n, each in self.state.items() if each is not models[0]}:
            raise CheckpointError("sharded: the state must hold one model; give several as one torch.nn.ModuleDict")
        return models[0]

    def _rest(self) -> dict[str, Any]:
        in_shards = (torch.nn.Module, torch.optim.Optimizer)
        return {name: each for name, each in self.state.items() if not isinstance(each, in_shards)}


class StepBatches:
    """The batches of each step, for DataLoader's `batch_sampler`: shuffled anew in each epoch, without an end.

    Which samples a step sees follows from the seed and the step's number alone. So there is no position to save, and
    a loader that has read ahead loses nothing.

    Args:
        samples: how many the data set has.
        batch: samples in a step, over all ranks.
        first_step: where to go on.
        seed: the same on all ranks.
    """

    def __init__(self, samples: int, *, batch: int, first_step: int = 0, seed: int = 0) -> None:
        if not 0 < batch <= samples:
            raise ValueError(f"batch={batch}: from 1 to the {samples} samples that there are")
        self.samples, self.batch, self.first_step, self.seed = samples, batch, first_step, seed
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.ranks = dist.get_world_size() if dist.is_initialized() else 1

    def __iter__(self) -> Iterator[list[int]]:
        step = self.first_step
        while True:
            epoch, position = divmod(step, self.samples // self.batch)
            order = torch.randperm(self.samples, generator=torch.Generator().manual_seed(self.seed * 1_000_003 + epoch))
            for start in range(position * self.batch, self.samples - self.batch + 1, self.batch):
                yield order[start : start + self.batch][self.rank :: self.ranks].tolist()
                step += 1


def settle_buckets(model: DistributedDataParallel, loss: Callable[[], torch.Tensor]) -> None:
    """Let DDP order its gradients now, by a backward pass that doesn't count; call it before `restore`.

    DDP does so after its first backward pass. A resumed run would add its gradients up in another order than one that
    was not disturbed, which on more than two ranks changes the last bits.
    """
    buffers = {name: each.clone() for name, each in model.named_buffers()}
    before = get_random()
    loss().backward()
    model.zero_grad(set_to_none=True)
    with torch.no_grad():
        for name, each in model.named_buffers():
            each.copy_(buffers[name])
    set_random(before)


def get_random() -> dict[str, Any]:
    """Return the state of this process's random numbers: PyTorch's, its GPU's, Python's, and NumPy's if it is used."""
    version, numbers, gauss = random.getstate()
    state: dict[str, Any] = {"torch": torch.get_rng_state(), "python": [version, list(numbers), gauss]}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    if numpy := sys.modules.get("numpy"):
        kind, keys, *others = numpy.random.get_state()
        state["numpy"] = [kind, keys.tolist(), *others]
    return state


def set_random(state: Mapping[str, Any]) -> None:
    """Bring this process's random numbers back."""
    torch.set_rng_state(state["torch"])
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    if "numpy" in state and (numpy := sys.modules.get("numpy")):
        numpy.random.set_state(tuple(state["numpy"]))


_METADATA = ".metadata"


def _rest_name(rank: int) -> str:
    return f"rest-{rank:05}"


def _bring_back(state: Mapping[str, Any], saved: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    if missing := [name for name in state if name not in saved]:
        raise CheckpointError(f"{checkpoint.folder}: it holds {', '.join(saved) or 'nothing'}, and not {missing[0]}")
    for name, each in state.items():
        each.load_state_dict(saved[name])


class _Host:
    """Copies of tensors in the host's memory, which is kept for the next copy.

    What comes from a GPU gets pinned memory: on an H200 a copy of 1 GiB into it takes 20 ms, one into fresh memory 700,
    and one through torch.save 1,200.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], torch.Tensor] = {}

    def copy(self, value: Any) -> Any:
        """Return the value with every tensor in it copied; the copy before is written over."""
        copied = self._copy(value, ())
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return copied

    def _copy(self, value: Any, at: tuple[object, ...]) -> Any:
        if isinstance(value, torch.Tensor):
            return self._tensor(value.detach(), at)
        if isinstance(value, dict):
            copied = copy.copy(value)  # of its own kind: a module's state has its version beside the tensors
            copied.update({name: self._copy(each, (*at, name)) for name, each in value.items()})
            return copied
        if type(value) in (list, tuple):
            return type(value)(self._copy(each, (*at, index)) for index, each in enumerate(value))
        return copy.deepcopy(value)

    def _tensor(self, value: torch.Tensor, at: tuple[object, ...]) -> torch.Tensor:
        if type(value) is not torch.Tensor or value.layout is not torch.strided:
            return value.clone()
        kept = self._kept.get(at)
        if kept is None or (kept.shape, kept.dtype) != (value.shape, value.dtype):
            kept = self._kept[at] = torch.empty(value.shape, dtype=value.dtype, pin_memory=value.is_cuda)
        return kept.copy_(value, non_blocking=True)


def _unwrapped(each: Any) -> Any:
    return each.module if isinstance(each, DistributedDataParallel) else each


def _from_rank_zero(value: Any) -> Any:
    if not dist.is_initialized():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def _of_every_rank(value: Any) -> list[Any]:
    if not dist.is_initialized():
        return [value]
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
