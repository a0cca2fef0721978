"""Checkpoints of a Lightning training, by a callback: saved whole, gone on from, and before the time limit.

One file, Python 3.9 and newer: with `checkpoint.py`, `background.py` and `torch_checkpoints.py` it can be copied into
any image.

    checkpoints = LightningCheckpoints(folder, every_n_steps=500)
    trainer = Trainer(
        callbacks=[checkpoints],
        enable_checkpointing=False,                                # Lightning's own ModelCheckpoint
        plugins=[SLURMEnvironment(auto_requeue=False)],            # the batch script requeues
    )
    trainer.fit(model, ckpt_path=checkpoints.resume())
"""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer

try:
    from aistation_slurm.checkpoint import CheckpointError, Checkpoints, InFolder, Run, SaveSoon, files_below
    from aistation_slurm.frameworks.background import Saver
    from aistation_slurm.frameworks.torch_checkpoints import get_random, set_random
except ImportError:  # the files lie beside this one, as in an image of your own
    from background import Saver  # type: ignore[import-not-found,no-redef]
    from checkpoint import (  # type: ignore[import-not-found,no-redef]
        CheckpointError,
        Checkpoints,
        InFolder,
        Run,
        SaveSoon,
        files_below,
    )
    from torch_checkpoints import get_random, set_random  # type: ignore[import-not-found,no-redef]

FILE = "lightning.ckpt"
_RANDOM = "aistation_random"
_SHARD = re.compile(r"(?:.*/)?__(\d+)_[^/]*")


class LightningCheckpoints(Callback):
    """Saves every so many steps, at the end, and when Slurm asks the training to leave; every rank has one.

    What it saves is what Lightning would, and each rank's random numbers. Strategies that save shards (FSDP) save them
    here. A training that is to go on in the middle of an epoch, bit for bit, needs batches that follow from the step:
    `StepBatches` of torch_checkpoints, begun at `trainer.global_step` in `train_dataloader`, with
    `Trainer(use_distributed_sampler=False)`.

    Args:
        folder: shared by all nodes that may run this training.
        every_n_steps: optimiser steps between checkpoints.
        keep: how many of the newest checkpoints are kept.
        every: keeps the first checkpoint at or past each multiple of so many steps, for good.
        background: Lightning writes into memory, and the disk is written while the training goes on.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        every_n_steps: int,
        keep: int = 3,
        every: int | None = None,
        background: bool = False,
        run: Run | None = None,
    ) -> None:
        if not os.environ.get("AISTATION_RUN_ID"):  # outside of our templates: for the ranks that Lightning starts
            os.environ["AISTATION_RUN_ID"] = uuid.uuid4().hex
        self.every_n_steps = every_n_steps
        self.checkpoints = Checkpoints(folder, keep=keep, every=every, run=run or _run_of_this_rank())
        self.saver = Saver(self.checkpoints) if background else None
        self.soon: SaveSoon | None = None
        self.saved = -1
        self._random: list[dict[str, Any]] | None = None

    def resume(self) -> str | None:
        """Return what `trainer.fit(ckpt_path=...)` takes: the newest whole checkpoint, or None; call it on every rank.

        Raises:
            CheckpointError: another run holds the folder, or it can't be used.
        """
        start = self.checkpoints.follow() if self.checkpoints.run.rank else self.checkpoints.claim()
        if start is None:
            return None
        self.saved = start.step
        return str(start.folder / FILE)

    # -- Lightning calls these --------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin to listen for USR2."""
        if stage == "fit":
            if trainer.global_rank != self.checkpoints.run.rank:
                mine = f"rank {self.checkpoints.run.rank} of the environment is rank {trainer.global_rank} of Lightning"
                raise CheckpointError(f"{self.checkpoints.folder}: {mine}: start every rank by srun or torchrun")
            self.soon = SaveSoon()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Bring the random numbers back before the first step; Lightning has drawn some while it started."""
        if self._random and len(self._random) == trainer.world_size:
            set_random(self._random[trainer.global_rank])
        self._random = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save where it is time to, or where any rank was asked to leave."""
        step = trainer.global_step
        wanted = self.soon is not None and self.soon.wanted
        stop = bool(trainer.strategy.reduce_boolean_decision(wanted, all=False))
        if step > self.saved and (stop or step % self.every_n_steps == 0):
            self._save(trainer, step)
        if stop and not trainer.should_stop:
            trainer.should_stop = True
            if self.soon and not self._is_done(trainer):
                self.soon.say_unfinished(self.saver)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the last step."""
        if trainer.global_step > self.saved:
            self._save(trainer, trainer.global_step)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Wait for what is being written, and say that the run has ended."""
        if stage == "fit":
            if self.saver:
                self.saver.close()
            self.checkpoints.release()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add every rank's random numbers."""
        of_all: list[Any] = [get_random()]
        if dist.is_initialized():
            of_all = [None] * dist.get_world_size()
            dist.all_gather_object(of_all, get_random())
        checkpoint[_RANDOM] = of_all

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the random numbers for the first step."""
        self._random = checkpoint.get(_RANDOM)

    # -- saving -----------------------------------------------------------------------------------------------------

    def _save(self, trainer: Trainer, step: int) -> None:
        def fill(folder: Path) -> list[str]:
            trainer.save_checkpoint(folder / FILE)
            return [name for name in files_below(folder) if _rank_of(name) == trainer.global_rank]

        (self.saver or self.checkpoints).save_part(step, InFolder(fill), ranks=trainer.world_size)
        self.saved = step

    @staticmethod
    def _is_done(trainer: Trainer) -> bool:
        return bool(0 <= trainer.max_steps <= trainer.global_step)


def _rank_of(name: str) -> int:
    """Return who writes the file: a shard's rank stands in its name, all else is rank 0's."""
    match = _SHARD.fullmatch(name)
    return int(match[1]) if match else 0


def _run_of_this_rank() -> Run:
    run = Run.from_environment()
    if run.rank == 0 and "RANK" not in os.environ and (local := os.environ.get("LOCAL_RANK")):
        return Run(run.run_id, run.job_id, run.restart_count, int(local), run.attempt)  # started by Lightning itself
    return run
