"""What a training measured: what it reported itself, else its TensorBoard files, else what its log says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import isnan
from pathlib import Path

from aistation_slurm import progress
from aistation_slurm.jobs.metrics.log import last_in_log, read_log_metrics
from aistation_slurm.jobs.metrics.tensorboard import last_in_events, read_events
from aistation_slurm.jobs.run_folder import RunFolder
from aistation_slurm.progress import Progress
from aistation_slurm.slurm.model import Job

_LESS_IS_BETTER = re.compile(r"loss|error|(?:^|_)err(?:$|_)|perplexity|ppl|rmse|mse|mae|wer|cer", re.IGNORECASE)
_MORE_IS_BETTER = re.compile(r"acc|f1|auc|iou|bleu|rouge|dice|recall|precision|reward|(?:^|_)map(?:$|_)", re.IGNORECASE)


def read_metrics(job: Job, folder: RunFolder | None, log: Path | None) -> list[Progress]:
    """Return all that the training measured, oldest first; nothing where nobody may read it, or it tells nothing.

    A log tells no time: `time` is 0 there, but for the last line's, which is when the log was last written.
    """
    if folder and (reports := list(progress.read(folder.progress_file))):
        return reports
    if folder and (found := read_events(folder.path)):
        return found
    return read_log_metrics(log) if log else []


def last_metrics(job: Job, folder: RunFolder | None, log: Path | None) -> Progress | None:
    """Return how far the training is and what it measured last; reads the ends of files only."""
    if folder and (told := folder.latest()):
        return told
    if folder and (found := last_in_events(folder.path)):
        return found
    return last_in_log(log) if log else None


def best(reports: Iterable[Progress]) -> dict[str, tuple[float, int]]:
    """Return metric -> (its best value, at which step), of those whose name tells whether less or more is better."""
    found: dict[str, tuple[float, int]] = {}
    for report in reports:
        for name, value in report.metrics.items():
            sense = 1 if _LESS_IS_BETTER.search(name) else -1 if _MORE_IS_BETTER.search(name) else 0
            if sense and not isnan(value) and (name not in found or sense * value < sense * found[name][0]):
                found[name] = (value, report.step)
    return found
