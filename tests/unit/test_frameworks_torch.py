"""PyTorch trainings, killed and gone on from: the same final loss, bit for bit, as if nothing had happened."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.trainings import EXAMPLES, Trainer, newest_whole, start_trainer, stop_trainer

DDP, SHARDED = EXAMPLES / "checkpoint_ddp.py", EXAMPLES / "checkpoint_sharded.py"
WAYS = {
    "ddp": (DDP, "--foreground"),
    "ddp in the background": (DDP,),
    "sharded": (SHARDED,),
    "sharded in the background": (SHARDED, "--background"),
}
QUICK = "ddp in the background"


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainer]:
    trainer = start_trainer(
        tmp_path_factory.mktemp("logs"), "torch", "torch.distributed.checkpoint.state_dict", "torch.distributed.fsdp"
    )
    yield trainer
    stop_trainer(trainer)


@pytest.mark.parametrize("way", [QUICK, *(pytest.param(way, marks=pytest.mark.slow) for way in WAYS if way != QUICK)])
def test_a_training_that_is_killed_ends_with_the_very_loss_of_one_that_is_not(
    trainer: Trainer, tmp_path: Path, way: str
) -> None:
    script, *args = WAYS[way]
    undisturbed = trainer.finish(script, *args, "--steps=60", folder=tmp_path / "a")
    trainer.kill_again_and_again(script, *args, "--steps=60", folder=tmp_path / "b", times=2)
    assert trainer.finish(script, *args, "--steps=60", folder=tmp_path / "b") == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_training_that_is_told_to_leave_saves_the_step_it_is_at(trainer: Trainer, tmp_path: Path, way: str) -> None:
    script, *args = WAYS[way]
    (run_dir := tmp_path / "run").mkdir()
    codes, log = trainer.run(
        script,
        *args,
        "--steps=100000",
        folder=tmp_path / "c",
        kill_after=13,
        sent=signal.SIGUSR2,
        env={"AISTATION_RUN_DIR": str(run_dir)},
    )
    assert codes == [0, 0]
    newest = newest_whole(tmp_path / "c")
    assert newest is not None
    assert newest.step == int(log.rsplit("\nstep ", 1)[1].split("/")[0])
    assert (run_dir / "unfinished").exists()


@pytest.mark.slow
def test_a_sharded_training_goes_on_over_another_number_of_ranks(trainer: Trainer, tmp_path: Path) -> None:
    trainer.finish(SHARDED, "--steps=20", folder=tmp_path / "c", ranks=2)
    newest = newest_whole(tmp_path / "c")
    assert newest is not None
    assert newest.manifest().parts == 2
    codes, log = trainer.run(SHARDED, "--steps=30", folder=tmp_path / "c", ranks=1)
    assert codes == [0]
    assert log.splitlines()[0].startswith("step 21/30")
    newest = newest_whole(tmp_path / "c")
    assert newest is not None
    assert (newest.step, newest.manifest().parts) == (30, 1)


@pytest.mark.slow
def test_a_replaced_training_is_told_so_on_every_rank(trainer: Trainer, tmp_path: Path) -> None:
    trainer.finish(DDP, "--steps=10", folder=tmp_path / "c")
    trainer.starts -= 2  # as an older run of the job, whose node comes back
    codes, log = trainer.run(DDP, "--steps=20", folder=tmp_path / "c")
    trainer.starts += 1
    assert 0 not in codes
    assert "this run was replaced by claim 1" in log
