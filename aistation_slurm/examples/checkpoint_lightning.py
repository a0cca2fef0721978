"""Lightning: a callback saves, goes on from the newest checkpoint, and hears Slurm's signal before the time limit.

aistation job submit --template pytorch-ddp --launcher srun --nodes 2 --gpus-per-node 2 checkpoint_lightning.py
"""

from __future__ import annotations

import argparse
import os

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

try:
    from aistation_slurm.frameworks.lightning_checkpoints import LightningCheckpoints
    from aistation_slurm.frameworks.torch_checkpoints import StepBatches
except ImportError:  # the files lie beside this one
    from lightning_checkpoints import LightningCheckpoints  # type: ignore[import-not-found,no-redef]
    from torch_checkpoints import StepBatches  # type: ignore[import-not-found,no-redef]


class Sines(LightningModule):
    """Learns the sum of 32 sines."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.layers = nn.Sequential(nn.Linear(32, 64), nn.Dropout(0.1), nn.Linear(64, 1))
        self.points = torch.randn(512, 32, generator=torch.Generator().manual_seed(7))

    def loss(self, points: Tensor) -> Tensor:
        """Return how far off it is."""
        return nn.functional.mse_loss(self.layers(points), points.sin().sum(1, keepdim=True))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        return self.loss(batch[0])

    def configure_optimizers(self) -> dict[str, object]:
        """Return the optimiser and its schedule."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        """Return the batches from the step on that the training is at."""
        batches = StepBatches(len(self.points), batch=64, first_step=self.trainer.global_step)
        return DataLoader(TensorDataset(self.points), batch_sampler=batches, generator=torch.Generator())


class Tell(Callback):
    """Prints each step."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Print how far it is."""
        if trainer.is_global_zero:
            print(f"step {trainer.global_step}/{trainer.max_steps}", flush=True)


def main() -> None:
    """Train from the newest checkpoint, or from the beginning, to the last step."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--checkpoint-dir", default=os.environ.get("AISTATION_CHECKPOINT_DIR", "checkpoints"))
    parser.add_argument("--background", action="store_true", help="Write while the training goes on.")
    options = parser.parse_args()
    torch.set_num_threads(1)  # sums are then added in one order
    torch.manual_seed(1)
    checkpoints = LightningCheckpoints(options.checkpoint_dir, every_n_steps=10, background=options.background)
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    trainer = Trainer(
        max_steps=options.steps,
        devices=int(os.environ.get("LOCAL_WORLD_SIZE", ranks)),
        num_nodes=ranks // int(os.environ.get("LOCAL_WORLD_SIZE", ranks)),
        accelerator="auto",
        strategy="ddp" if ranks > 1 else "auto",
        callbacks=[checkpoints, Tell()],
        use_distributed_sampler=False,  # StepBatches gives each rank its own
        enable_checkpointing=False,
        enable_progress_bar=False,
        logger=False,
    )
    model = Sines(options.steps)
    trainer.fit(model, ckpt_path=checkpoints.resume())
    if trainer.is_global_zero and trainer.global_step >= options.steps:
        model.eval()
        with torch.no_grad():
            print(f"final loss {model.loss(model.points.to(model.device)).item()!r}", flush=True)


if __name__ == "__main__":
    main()
