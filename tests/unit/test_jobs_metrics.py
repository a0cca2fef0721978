"""Metrics out of logs and event files that the real libraries wrote (tests/recorded/trainings)."""

from __future__ import annotations

import json
import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from aistation_slurm.jobs.metrics import best, last_metrics, read_metrics
from aistation_slurm.jobs.metrics.log import last_in_log, read_log_metrics
from aistation_slurm.jobs.metrics.shapes import Sighting, look_at
from aistation_slurm.jobs.metrics.tensorboard import last_in_events, read_events
from aistation_slurm.jobs.run_folder import RunFolder
from aistation_slurm.progress import Progress
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState

TRAININGS = Path(__file__).parents[1] / "recorded" / "trainings"
JOB = Job(job_id=7, name="t", user="ann", state=JobState.RUNNING, elapsed=timedelta(hours=1))


def steps(name: str) -> list[int]:
    return [each.step for each in read_log_metrics(TRAININGS / name)]


def values(name: str, metric: str) -> dict[int, float]:
    return {each.step: each.metrics[metric] for each in read_log_metrics(TRAININGS / name) if metric in each.metrics}


def test_lightnings_bar_tells_the_step_of_the_whole_training_and_its_losses():
    assert steps("lightning-2.6.log") == list(range(5, 61, 5))
    assert values("lightning-2.6.log", "train_loss")[5] == 0.752
    assert values("lightning-2.6.log", "val_loss")[60] == 5.21e-05


def test_lightnings_sanity_check_and_validation_are_no_steps_of_the_training():
    text = (TRAININGS / "lightning-2.6.log").read_text()
    assert "Sanity Checking DataLoader 0: 100%" in text
    assert "Validation DataLoader 0: 100%" in text
    assert max(steps("lightning-2.6.log")) == 60  # 3 epochs of 20


def test_lightnings_rich_bar_tells_the_total_too():
    assert last_in_log(TRAININGS / "lightning-2.6-rich.log").step == 60
    assert last_in_log(TRAININGS / "lightning-2.6-rich.log").total == 60


def test_what_hf_trainer_logs_belongs_to_the_bar_that_is_drawn_after_it():
    assert values("transformers-5.24.log", "loss") == {8: 0.6925, 16: 0.6935, 24: 0.6926, 32: 0.6924}
    assert values("transformers-5.24.log", "eval_loss") == {16: 0.6926, 32: 0.6926}
    assert read_log_metrics(TRAININGS / "transformers-5.24.log")[-1].total == 32


def test_the_bar_of_an_evaluation_below_the_trainings_own_is_passed_over():
    assert "8/8" in (TRAININGS / "transformers-5.24.log").read_text()
    assert {each.total for each in read_log_metrics(TRAININGS / "transformers-5.24.log")} == {32}


def test_hf_trainer_before_its_release_5_prints_numbers(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        "{'loss': 0.51, 'grad_norm': 1.5, 'learning_rate': 5e-05, 'epoch': 0.3}\n 10%|#  | 6/60 [00:01<00:09]\n"
    )
    assert read_log_metrics(log)[0].metrics == {"loss": 0.51, "grad_norm": 1.5, "learning_rate": 5e-05, "epoch": 0.3}
    assert read_log_metrics(log)[0].step == 6


@pytest.mark.parametrize("name", ["keras-3.15.log", "keras-3.15-verbose-2.log"])
def test_keras_counts_its_epochs_into_the_step(name):
    assert values(name, "val_loss") == {10: 0.7619, 20: 0.7407, 30: 0.7217}
    assert last_in_log(TRAININGS / name).total == 30


def test_keras_2_draws_its_bar_with_brackets():
    piece = " 10/100 [==>...........................] - ETA: 1:03 - loss: 0.1250 - accuracy: 0.9375"
    assert look_at(piece) == Sighting(10, 100, {"loss": 0.125, "accuracy": 0.9375}, is_in_epoch=True)
    assert look_at("100/100 [==============================] - 2s 20ms/step - loss: 1e-3").metrics == {"loss": 0.001}


@pytest.mark.parametrize(
    "piece",
    [
        "Map: 100%|##########| 5/5 [00:00<00:00, 3.1it/s]",
        "Downloading: 3%|#  | 1/30 [00:00<00:09, 3.1MB/s, loss=3]",
        "1/2 of the data is missing",
        "12/24 - 2026: the date of the set",
        "{'model': 'resnet', 'depth': 50}",
        "{'loss': __import__('os').system('true')}",
        "Epoch three begins",
        "| table | 3/4 |",
        "aistation: run 1 of job 7 ended with code 0 at 12.000",
    ],
)
def test_what_only_looks_like_a_metric_is_none(piece):
    assert look_at(piece) is None


def test_a_requeued_run_in_the_same_log_counts_from_its_own_beginning(tmp_path):
    log = tmp_path / "log"
    run = "aistation: run {} of job 7 on v100-01 at 1.000\n{}"
    keras = (TRAININGS / "keras-3.15-verbose-2.log").read_text()
    log.write_text(run.format(0, keras) + run.format(1, "5/10 - 0s - 5ms/step - loss: 0.5\n"))
    last = read_log_metrics(log)[-1]
    assert (last.restart_count, last.step, last.metrics) == (1, 5, {"loss": 0.5})


def test_the_end_of_a_long_log_is_enough_for_the_last_metrics(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"x" * (3 << 20) + b"\n" + (TRAININGS / "transformers-5.24.log").read_bytes())
    assert last_in_log(log).step == 32
    assert last_in_log(log).metrics["loss"] == 0.6924
    assert last_in_log(log).time == log.stat().st_mtime


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("torch-2.13", {0: {"train/loss": 1.0, "val/acc": 0.0}, 40: {"train/loss": 0.2, "val/acc": 0.4}}),
        ("tensorboardX-2.6", {0: {"loss": 0.5}, 2: {"loss": 0.3}}),
        ("tensorboard-2.21-tensors", {0: {"epoch_loss": 0.0}, 1: {"epoch_loss": 0.25}, 2: {"epoch_loss": 0.75}}),
    ],
)
def test_event_files_of_tensorboard_tell_the_scalars_and_nothing_else(name, expected):
    found = {each.step: dict(each.metrics) for each in read_events(TRAININGS / name)}
    assert {step: found[step] for step in expected} == {
        step: pytest.approx(metrics, rel=1e-6) for step, metrics in expected.items()
    }


def test_an_event_file_with_a_wrong_byte_is_read_up_to_there(tmp_path):
    (source,) = (TRAININGS / "tensorboardX-2.6").iterdir()
    data = bytearray(source.read_bytes())
    data[-10] ^= 1  # in the last scalar
    (tmp_path / source.name).write_bytes(data)
    assert [each.step for each in read_events(tmp_path)] == [0, 1]
    (tmp_path / source.name).write_bytes(source.read_bytes()[:-3])  # still being written
    assert [each.step for each in read_events(tmp_path)] == [0, 1]


def test_the_end_of_a_long_event_file_is_found_without_reading_the_rest(tmp_path):
    (source,) = (TRAININGS / "torch-2.13").iterdir()
    (tmp_path / source.name).write_bytes(source.read_bytes() * 40)
    assert last_in_events(tmp_path).step == 40
    assert last_in_events(tmp_path).metrics["train/loss"] == pytest.approx(0.2)


def test_a_file_of_rubbish_that_is_called_an_event_file_tells_nothing(tmp_path):
    (tmp_path / "events.out.tfevents.1.host").write_bytes(os.urandom(200_000))
    assert read_events(tmp_path) == []
    assert last_in_events(tmp_path) is None


def test_the_trainings_own_report_comes_before_its_event_files_and_those_before_its_log(tmp_path):
    folder, log = RunFolder(tmp_path / "t-7"), TRAININGS / "keras-3.15.log"
    folder.path.mkdir()
    assert last_metrics(JOB, folder, log).step == 30

    shutil.copytree(TRAININGS / "torch-2.13", folder.path / "tb")
    assert last_metrics(JOB, folder, log).step == 40
    assert len(read_metrics(JOB, folder, log)) == 5

    folder.progress_file.write_text(json.dumps({"step": 3, "total": 9, "time": 1.0, "metrics": {"loss": 2}}) + "\n")
    assert last_metrics(JOB, folder, log) == Progress(3, 9, 1.0, 0, {"loss": 2.0})
    assert read_metrics(JOB, folder, log) == [Progress(3, 9, 1.0, 0, {"loss": 2.0})]


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path):
    folder = RunFolder(tmp_path / "t-7")
    folder.path.mkdir()
    pipes = (folder.progress_file, folder.path / "events.out.tfevents.1.host", tmp_path / "log")
    for path in pipes:
        os.mkfifo(path)
    assert read_metrics(JOB, folder, pipes[-1]) == []
    assert last_metrics(JOB, folder, pipes[-1]) is None


def test_what_can_not_be_read_tells_nothing(tmp_path):
    assert read_metrics(JOB, RunFolder(tmp_path / "none"), tmp_path / "none.log") == []
    assert last_metrics(JOB, RunFolder(tmp_path / "none"), tmp_path / "none.log") is None
    assert last_metrics(JOB, None, None) is None


def test_the_best_of_a_loss_is_the_least_and_of_an_accuracy_the_most():
    reports = [
        Progress(1, None, 0.0, 0, {"loss": 2.0, "val_acc": 0.5, "epoch": 0.0}),
        Progress(2, None, 0.0, 0, {"loss": 1.0, "val_acc": 0.7, "epoch": 1.0}),
        Progress(3, None, 0.0, 0, {"loss": float("nan"), "val_acc": 0.6, "epoch": 2.0}),
    ]
    assert best(reports) == {"loss": (1.0, 2), "val_acc": (0.7, 2)}
