"""PyTorch, fully sharded (FSDP2): no rank has the whole model, and each saves its own part of it.

aistation job submit --template pytorch-ddp --nodes 2 --gpus-per-node 2 checkpoint_sharded.py
"""

from __future__ import annotations

import argparse
import os

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.utils.data import DataLoader, TensorDataset

try:
    from aistation_slurm.frameworks.torch_checkpoints import StepBatches, TorchCheckpoints
except ImportError:  # the file lies beside this one
    from torch_checkpoints import (  # type: ignore[import-not-found,no-redef]
        StepBatches,
        TorchCheckpoints,
    )


def data() -> TensorDataset:
    """Return 512 points to learn from, the same on every rank."""
    points = torch.randn(512, 32, generator=torch.Generator().manual_seed(7))
    return TensorDataset(points, points.sin().sum(1, keepdim=True))


def main() -> None:
    """Train from the newest checkpoint, or from the beginning, to the last step."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--checkpoint-dir", default=os.environ.get("AISTATION_CHECKPOINT_DIR", "checkpoints"))
    parser.add_argument("--background", action="store_true", help="Write while the training goes on.")
    options = parser.parse_args()
    torch.set_num_threads(1)  # sums are then added in one order
    gpu = torch.cuda.is_available()
    dist.init_process_group("nccl" if gpu else "gloo")
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)

    torch.manual_seed(1)  # the same weights on every rank ...
    model = nn.Sequential(nn.Linear(32, 64), nn.Dropout(0.1), nn.Linear(64, 1)).to(device)
    for layer in (model[0], model[2], model):
        fully_shard(layer)
    torch.manual_seed(2 + dist.get_rank())  # ... and dropout of its own
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=options.steps)

    state = {"model": model, "optimizer": optimizer, "schedule": schedule}
    with TorchCheckpoints(options.checkpoint_dir, state, sharded=True, background=options.background) as checkpoints:
        first = checkpoints.restore()
        points = data()
        batches = StepBatches(len(points), batch=64, first_step=first)
        own = torch.Generator()  # else the loader would draw from the random numbers that were just brought back
        loader = DataLoader(points, batch_sampler=batches, generator=own)
        for done, (inputs, wanted) in zip(range(first + 1, options.steps + 1), loader):  # noqa: B905
            loss = nn.functional.mse_loss(model(inputs.to(device)), wanted.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            stop = checkpoints.stop_wanted()
            if stop or done % 10 == 0 or done == options.steps:
                checkpoints.save(done)
            if dist.get_rank() == 0:
                print(f"step {done}/{options.steps} loss {loss.item():.6f}", flush=True)
            if stop and done < options.steps:
                checkpoints.say_unfinished()  # the batch script requeues the job
                break
        else:
            model.eval()
            with torch.no_grad():
                final = nn.functional.mse_loss(model(points.tensors[0].to(device)), points.tensors[1].to(device))
            if dist.get_rank() == 0:
                print(f"final loss {final.item()!r}", flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
