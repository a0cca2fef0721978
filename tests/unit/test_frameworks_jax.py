"""JAX trainings over several processes, killed and gone on from: each process saves its own shards."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.trainings import EXAMPLES, Trainer, newest_whole, start_trainer, stop_trainer

SCRIPT = EXAMPLES / "checkpoint_jax.py"

pytestmark = pytest.mark.slow  # and skipped where it is not installed


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainer]:
    trainer = start_trainer(tmp_path_factory.mktemp("logs"), "jax")
    trainer.env = {"JAX_PLATFORMS": "cpu"}
    yield trainer
    stop_trainer(trainer)


@pytest.mark.parametrize("args", [(), ("--background",)], ids=["in the foreground", "in the background"])
def test_a_training_that_is_killed_ends_with_the_very_loss_of_one_that_is_not(
    trainer: Trainer, tmp_path: Path, args: tuple[str, ...]
) -> None:
    undisturbed = trainer.finish(SCRIPT, *args, "--steps=60", folder=tmp_path / "a")
    trainer.kill_again_and_again(SCRIPT, *args, "--steps=60", folder=tmp_path / "b", times=2, after=12)
    assert trainer.finish(SCRIPT, *args, "--steps=60", folder=tmp_path / "b") == undisturbed


def test_each_process_saves_its_own_shards_and_another_number_of_processes_can_go_on(
    trainer: Trainer, tmp_path: Path
) -> None:
    trainer.finish(SCRIPT, "--steps=20", folder=tmp_path / "c", ranks=2)
    newest = newest_whole(tmp_path / "c")
    assert newest is not None
    sizes = {name: size for name, (size, _) in newest.files().items() if name.endswith(".npz")}
    assert len(sizes) == 2
    assert min(sizes.values()) > 0.8 * max(sizes.values())
    codes, log = trainer.run(SCRIPT, "--steps=30", folder=tmp_path / "c", ranks=1)
    assert codes == [0]
    resumed = log.splitlines()[0].rsplit(" ", 1)
    assert resumed[0] == "step 21/30 loss"
    codes, log = trainer.run(SCRIPT, "--steps=21", folder=tmp_path / "d", ranks=1)
    assert float(resumed[1]) == pytest.approx(float(log.split("step 21/21 loss ")[1].split()[0]), rel=1e-4)


def test_a_training_that_is_told_to_leave_saves_the_step_it_is_at(trainer: Trainer, tmp_path: Path) -> None:
    (run_dir := tmp_path / "run").mkdir()
    codes, log = trainer.run(
        SCRIPT,
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
