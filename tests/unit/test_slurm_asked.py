"""What a job asked for and what makes up its priority, as real Slurms print it."""

from __future__ import annotations

import pytest

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.commands.asked import FIELDS, show_asked
from aistation_slurm.slurm.commands.priority import sprio
from aistation_slurm.slurm.model import Asked, PriorityFactors
from aistation_slurm.slurm.tres import Gres

# squeue 22.05.8 of `sbatch -n3 -c2 --mem-per-gpu=1G --gpus=2`, and of `-w v100-01 --exclusive --gpus-per-node=1 ...`
BY_JOB = ("7", "gres:gpu:2", "N/A", "N/A", "N/A", "N/A", "gres:gpu:1024", "3", "2", "0", "2", "2G", "2", "", "(null)",
          "(null)", "OK", "/data/e-%j")  # fmt: skip
BY_NODE = ("8", "N/A", "gres:gpu:v100:1", "N/A", "N/A", "gpu:4", "N/A", "3", "2", "2", "4", "3G", "3", "v100-01",
           "v100-01", "(null)", "NO", "(null)")  # fmt: skip
NEWER = ("9", "cpu=2,gres/gpu=2", "gres/gpu:v100:1", "N/A", "N/A", "gres/gpu:4", "N/A", "1", "N/A", "0", "1", "0", "0",
         "", "", "(null)", "OK", "/data/slurm-9.out")  # fmt: skip


def read(*rows: tuple[str, ...]) -> list[Asked]:
    command = show_asked(7, 8)
    mark = command.argv[-1].split(",")[0].removeprefix(FIELDS[0] + ":")
    return command.read("".join("".join(cell + mark for cell in row) + "\n" for row in rows))


def test_what_was_asked_for_the_whole_job_is_told_from_what_was_asked_for_each_node() -> None:
    first, second = read(BY_JOB, BY_NODE)
    assert first == Asked(
        job_id=7, tres_per_job=(Gres(name="gpu", count=2),), memory_per_gpu=1024, tasks=3, cpus_per_task=2,
        cpus_per_node=2, memory=2048, max_nodes=2, stderr="/data/e-%j",
    )  # fmt: skip
    assert second.tres_per_node == (Gres(name="gpu", type="v100", count=1),)
    assert (second.nodes, second.planned_nodes, second.is_exclusive) == ("v100-01", "v100-01", True)
    assert second.cpus_per_gpu == 4


def test_the_writing_of_later_releases_is_read_too() -> None:
    (found,) = read(NEWER)
    assert found.tres_per_job == (Gres(name="gpu", count=2),)
    assert (found.cpus_per_gpu, found.cpus_per_task) == (4, 0)


def test_an_answer_that_is_cut_is_unreadable() -> None:
    with pytest.raises(SlurmUnreadable):
        read(BY_JOB, BY_NODE[:5])


# sprio 22.05.8: without weights for TRES the last field is empty
def test_the_factors_of_a_priority_are_told() -> None:
    text = "7|v100|12|0|300|5|10|1000|-4|100||\n8|v100|12|0|300|5|10|1000|0|0|cpu=3,gres/gpu=40|\n"
    first, second = sprio().read(text)
    assert first == PriorityFactors(
        job_id=7, partition="v100", age=12, fair_share=300, job_size=5, partition_factor=10, qos=1000, site=-4, nice=100
    )
    assert second.tres == 43


@pytest.mark.parametrize("text", ["7|v100|12|", "7|v100|12|0|300\n", "7|v100|12|\n"])
def test_factors_that_are_cut_are_unreadable(text: str) -> None:
    with pytest.raises(SlurmUnreadable):
        sprio().read(text)
