"""Checkpoints of a Hugging Face Trainer, by a callback: its `checkpoint-N` made whole, fenced, and gone on from.

One file, Python 3.9 and newer: with `checkpoint.py` it can be copied into any image.

    checkpoints = TransformersCheckpoints(folder)
    arguments = TrainingArguments(output_dir=checkpoints.output_dir, save_strategy="steps", save_steps=500, ...)
    trainer = Trainer(model, arguments, callbacks=[checkpoints], ...)
    trainer.train(resume_from_checkpoint=checkpoints.resume())
    trainer.save_model("my-model")
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

try:
    from aistation_slurm.checkpoint import Checkpoints, InFolder, Run, SaveSoon, files_below
except ImportError:  # the file lies beside this one, as in an image of your own
    from checkpoint import (  # type: ignore[import-not-found,no-redef]
        Checkpoints,
        InFolder,
        Run,
        SaveSoon,
        files_below,
    )

log = logging.getLogger("aistation.checkpoint")


class TransformersCheckpoints(TrainerCallback):
    """Takes over what the Trainer saves, and asks it to save and stop when Slurm wants the training to leave.

    The Trainer writes `checkpoint-N` file by file, under its final name: killed in the middle of it, it leaves half of
    one, and two runs may write into the same. So each run has an `output_dir` of its own, and what the Trainer has
    finished there is moved to the checkpoints: with a manifest, under a name that it gets only when all is on the disk.

    Args:
        folder: shared by all nodes that may run this training.
        keep: how many of the newest checkpoints are kept; the Trainer's own `save_total_limit` has nothing left to do.
        every: keeps the first checkpoint at or past each multiple of so many steps, for good.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, keep: int = 3, every: int | None = None, run: Run | None = None
    ) -> None:
        self.checkpoints = Checkpoints(folder, keep=keep, every=every, run=run)
        self.soon = SaveSoon()

    @property
    def output_dir(self) -> str:
        """This run's own folder for the Trainer to write to, on the disk of the checkpoints."""
        return str(self._works / self.checkpoints.run.run_id)

    def resume(self) -> str | None:
        """Return what `trainer.train(resume_from_checkpoint=...)` takes: the newest whole one, or None; on every rank.

        Raises:
            CheckpointError: another run holds the folder, or it can't be used.
        """
        if self.checkpoints.run.rank:
            start = self.checkpoints.follow()
        else:
            start = self.checkpoints.claim()
            for left in self._works.glob("*"):  # of runs that were killed
                if left.name != self.checkpoints.run.run_id:
                    shutil.rmtree(left, ignore_errors=True)
        return str(start.folder) if start else None

    # -- the Trainer calls these ------------------------------------------------------------------------------------

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Say so where the Trainer writes elsewhere."""
        if Path(args.output_dir) != Path(self.output_dir):
            log.warning("output_dir is %s: a run that was replaced may write there, too", args.output_dir)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        """Save and stop at this step, if any rank was told to."""
        if self._any_rank(self.soon.wanted, args.device):
            control.should_save = control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        """Move the Trainer's checkpoint to where it is whole."""
        written = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if dist.is_initialized():
            dist.barrier()  # each rank has written its random numbers
        if state.is_world_process_zero:
            move = shutil.copyfile if args.load_best_model_at_end else shutil.move

            def bring(folder: Path) -> list[str]:
                names = files_below(written)
                for name in names:
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    move(written / name, folder / name)
                return names

            self.checkpoints.save(state.global_step, InFolder(bring))
            if not args.load_best_model_at_end:
                shutil.rmtree(written, ignore_errors=True)
        if control.should_training_stop and self.soon.wanted and state.global_step < state.max_steps:
            self.soon.say_unfinished()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Say that the run has ended in good order."""
        self.checkpoints.release()

    @property
    def _works(self) -> Path:
        return self.checkpoints.folder / "works"

    @staticmethod
    def _any_rank(told: bool, device: torch.device) -> bool:
        if not dist.is_initialized():
            return told
        flag = torch.tensor([float(told)], device=device)
        dist.all_reduce(flag)
        return bool(flag.item() > 0)
