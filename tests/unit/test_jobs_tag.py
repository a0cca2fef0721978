"""What a job carries in its Comment, and where its folder is."""

from __future__ import annotations

from pathlib import Path

import pytest

from aistation_slurm.jobs.run_folder import run_folder
from aistation_slurm.jobs.tag import Tag, new_submission, read_tag, with_tag
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState


@pytest.mark.parametrize("tag", [Tag("9f2c"), Tag("nightly.7-b", 0), Tag(new_submission(), 5)])
@pytest.mark.parametrize("comment", ["", "for the paper, figure 3", "aistation:id=old,resume=2", "a aistation:id=old"])
def test_a_tag_is_read_again_from_whatever_comment_it_was_put_into(tag: Tag, comment: str):
    assert read_tag(with_tag(comment, tag)) == tag
    assert with_tag(comment, tag).count("aistation:") == 1


@pytest.mark.parametrize("comment", ["", "notaistation:id=7", "aistation:", "aistation:id=", "aistation:resume=3"])
def test_a_comment_without_an_id_is_nobodys_tag(comment: str):
    assert read_tag(comment) is None


def test_what_a_user_wrote_before_a_tag_stays():
    assert with_tag("figure 3 aistation:id=a", Tag("b", 1)) == "figure 3 aistation:id=b,resume=1"


@pytest.mark.parametrize(
    ("known", "folder"),
    [
        ({"name": "t", "job_id": 7}, "/d/t-7"),
        ({"name": "my run/1", "job_id": 7}, "/d/my_run_1-7"),
        ({"name": "t", "job_id": 12, "array_job_id": 9, "array_task": "3"}, "/d/t-9_3"),
    ],
)
def test_a_run_folder_is_named_after_the_job(known: dict[str, object], folder: str):
    found = run_folder(Job(user="ann", state=JobState.RUNNING, work_dir="/d", **known))  # type: ignore[arg-type]
    assert found
    assert found.path == Path(folder)
