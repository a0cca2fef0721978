"""Hugging Face Trainer: a callback makes its checkpoints whole, and hears Slurm's signal before the time limit.

aistation job submit --template pytorch-ddp --nodes 2 --gpus-per-node 2 checkpoint_transformers.py
"""

from __future__ import annotations

import argparse
import os

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

try:
    from aistation_slurm.frameworks.transformers_checkpoints import TransformersCheckpoints
except ImportError:  # the file lies beside this one
    from transformers_checkpoints import TransformersCheckpoints  # type: ignore[import-not-found,no-redef]


class Sines(nn.Module):
    """Learns the sum of 32 sines; stands for any model of the hub."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(32, 64), nn.Dropout(0.1), nn.Linear(64, 1))

    def forward(self, points: Tensor) -> dict[str, Tensor]:
        """Return the loss, as the Trainer wants it."""
        return {"loss": nn.functional.mse_loss(self.layers(points), points.sin().sum(1, keepdim=True))}


class Tell(TrainerCallback):
    """Prints each step."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: object
    ) -> None:
        """Print how far it is."""
        if state.is_world_process_zero:
            print(f"step {state.global_step}/{state.max_steps}", flush=True)


def main() -> None:
    """Train from the newest checkpoint, or from the beginning, to the last step."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--checkpoint-dir", default=os.environ.get("AISTATION_CHECKPOINT_DIR", "checkpoints"))
    options = parser.parse_args()
    torch.set_num_threads(1)  # sums are then added in one order
    torch.manual_seed(1)
    checkpoints = TransformersCheckpoints(options.checkpoint_dir)
    arguments = TrainingArguments(
        output_dir=checkpoints.output_dir,
        max_steps=options.steps,
        save_strategy="steps",
        save_steps=10,
        per_device_train_batch_size=32,
        learning_rate=1e-2,
        seed=1,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
        remove_unused_columns=False,
    )
    points = torch.randn(512, 32, generator=torch.Generator().manual_seed(7))
    trainer = Trainer(
        Sines(), arguments, train_dataset=[{"points": each} for each in points], callbacks=[checkpoints, Tell()]
    )
    trainer.train(resume_from_checkpoint=checkpoints.resume())
    if trainer.is_world_process_zero() and trainer.state.global_step >= options.steps:
        trained = trainer.model.eval()
        with torch.no_grad():
            print(f"final loss {trained(points.to(trainer.args.device))['loss'].item()!r}", flush=True)


if __name__ == "__main__":
    main()
