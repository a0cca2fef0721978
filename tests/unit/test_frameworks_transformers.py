"""Hugging Face trainings, killed and gone on from by the callback."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.trainings import EXAMPLES, Trainer, newest_whole, start_trainer, stop_trainer

SCRIPT = EXAMPLES / "checkpoint_transformers.py"
TORCHRUN = {"LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "x", "GROUP_RANK": "0"}

pytestmark = pytest.mark.slow  # and skipped where it is not installed


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainer]:
    trainer = start_trainer(tmp_path_factory.mktemp("logs"), "transformers", "accelerate", "transformers.trainer")
    yield trainer
    stop_trainer(trainer)


def test_a_training_that_is_killed_ends_with_the_very_loss_of_one_that_is_not(trainer: Trainer, tmp_path: Path) -> None:
    trainer.env = TORCHRUN
    undisturbed = trainer.finish(SCRIPT, "--steps=60", folder=tmp_path / "a")
    trainer.kill_again_and_again(SCRIPT, "--steps=60", folder=tmp_path / "b", times=2, after=12)
    assert trainer.finish(SCRIPT, "--steps=60", folder=tmp_path / "b") == undisturbed


def test_a_training_that_is_told_to_leave_saves_the_step_it_is_at(trainer: Trainer, tmp_path: Path) -> None:
    (run_dir := tmp_path / "run").mkdir()
    codes, log = trainer.run(
        SCRIPT,
        "--steps=100000",
        folder=tmp_path / "c",
        kill_after=13,
        sent=signal.SIGUSR2,
        env={**TORCHRUN, "AISTATION_RUN_DIR": str(run_dir)},
    )
    assert codes == [0, 0]
    newest = newest_whole(tmp_path / "c")
    assert newest is not None
    assert newest.step == int(log.rsplit("\nstep ", 1)[1].split("/")[0])
    assert (run_dir / "unfinished").exists()
