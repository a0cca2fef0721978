"""The templates' scripts on a real Slurm: what sbatch reads, an image, members of an array, Accelerate, notebooks."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aistation_slurm.jobs.catalogue import open_catalogue
from aistation_slurm.jobs.request import read_request
from aistation_slurm.jobs.script import render_script
from aistation_slurm.jobs.variants import variants
from aistation_slurm.render import sbatch_word
from tests.unit.hostile import hostile_values

pytestmark = pytest.mark.cluster
CATALOGUE = open_catalogue()
ACCELERATED = """
import torch
from accelerate import Accelerator

torch.manual_seed(1)
accelerator = Accelerator()
x = torch.randn(256, 8)
data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True)), batch_size=16)
model = torch.nn.Linear(8, 1)
model, optimizer, data = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.05), data)
for _ in range(4):
    for a, b in data:
        loss = torch.nn.functional.mse_loss(model(a), b)
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
if accelerator.is_main_process:
    print("processes", accelerator.num_processes, accelerator.distributed_type, "loss went to", loss.item())
"""
NOTEBOOK = {
    "cells": [
        {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "lr = 1", "outputs": [], "id": "a",
         "execution_count": None},
        {"cell_type": "code", "metadata": {}, "source": "import os; print('the rate is', lr, 'in', os.getcwd())",
         "outputs": [], "id": "b", "execution_count": None},
    ],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}  # fmt: skip


@dataclass(frozen=True)
class Desk:
    """Ann, who renders scripts and hands them to sbatch."""

    station: Any
    ann: Any
    wait_for: Callable[..., object]

    def submit(self, template: str, *options: str, **wanted: object) -> int:
        """Submit what the template makes of it, in her folder, and return the job's id."""
        request = read_request({"template": template, "name": "t", "group": "v100", "time": "10", **wanted})
        text = render_script(request, CATALOGUE)
        return int(self.ann.run("sbatch", "--parsable", *options, stdin=text).split(";")[0])

    def until_over(self, job_id: int) -> str:
        """Return its log once it has ended well."""
        self.wait_for(lambda: self.station.job(job_id).state.is_over, within=120)
        log = self.log(f"t-{job_id}.log")
        assert self.station.job(job_id).state.is_success, log[-3000:]
        return log

    def log(self, name: str) -> str:
        path = self.ann.folder / name
        return path.read_text() if path.exists() else ""

    def file(self, name: str, text: str) -> Path:
        path = Path(self.ann.folder) / name
        path.write_text(text)
        path.chmod(0o755)
        return path


@pytest.fixture
def desk(station, ann, wait_for) -> Desk:
    return Desk(station, ann, wait_for)


@pytest.mark.parametrize("name", CATALOGUE.names())
def test_sbatch_takes_the_script_of_every_template(desk, name):
    """Where this little cluster could run it: with names of its own, and no more than it has."""
    for label, request in variants(CATALOGUE[name]):
        plain = {"account": None, "qos": None, "reservation": None, "constraint": None, "gpu_type": None, "mem": None}
        text = render_script(type(request)(**{**_fields(request), **plain, "group": "v100"}), CATALOGUE)
        done = desk.station.exec(["sbatch", "--test-only"], user="ann", cwd=desk.ann.folder, stdin=text)
        assert done.returncode == 0, (label, done.stderr)
        assert "to start at" in done.stderr


def _fields(request: Any) -> dict[str, Any]:
    fewest = {"shares": None, "cpus_per_gpu": 1 if request.cpus_per_gpu else None}
    return {name: getattr(request, name) for name in request.__dataclass_fields__} | fewest


def test_sbatch_reads_every_hostile_value_of_an_option_as_it_was(desk):
    """As the comment of a job that waits: Slurm keeps that as it is, and shows it."""
    values = [each for each in hostile_values()[:90] if each.isprintable() and len(each) < 100]
    assert len(values) > 60
    for number in range(0, len(values), 8):
        comment = "|".join(values[number : number + 8])
        text = f"#!/bin/sh\n#SBATCH --comment={sbatch_word(comment)}\ntrue\n"
        job_id = int(desk.ann.run("sbatch", "--parsable", "--hold", "-p", "v100", stdin=text))
        assert desk.ann.run("squeue", "-h", "-j", str(job_id), "-o", "%k") == comment + "\n"


def test_the_work_runs_in_an_image_and_finds_its_folders_there(desk):
    """By Charliecloud, from a folder: the only runtime of Debian's that needs no more than an ordinary user."""
    if not shutil.which("ch-run"):
        pytest.skip("charliecloud-runtime is not installed")
    image = an_image(desk.ann.folder / "image")
    dataset = desk.ann.folder.parent / "data set"
    dataset.mkdir(exist_ok=True)
    (dataset / "pictures").write_text("two cats\n")
    script = desk.file(
        "train.sh",
        'cat /which "$AISTATION_DATASET/pictures"; echo "in $PWD with $1 of $SLURM_NTASKS"\n'
        'cat >"$AISTATION_CHECKPOINT_DIR/saved" <<<whole\n',
    )
    with_it = {"script": script, "args": ["it's $(me)"], "image": str(image), "datasets": {"cats": dataset}}
    refused = desk.submit("plain", **with_it)
    desk.wait_for(lambda: desk.station.job(refused).state.is_over, within=60)
    assert f"make the folder {desk.ann.folder} in it, to mount on\n" in desk.log(f"t-{refused}.log")

    shutil.chown(image, "ann")
    for each in image.rglob("*"):
        shutil.chown(each, "ann")
    job_id = desk.submit("plain", **with_it)
    log = desk.until_over(job_id)
    assert f"the image\ntwo cats\nin {desk.ann.folder} with it's $(me) of 1\n" in log
    assert (desk.ann.folder / f"t-{job_id}" / "checkpoints" / "saved").read_text() == "whole\n"


def an_image(folder: Path) -> Path:
    """Return a folder that is an image: bash, cat and the like, with what they link to, and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    tools = [shutil.which(name) or name for name in ("bash", "cat", "env", "mkdir", "sh")]
    linked = subprocess.run(["ldd", *tools], capture_output=True, text=True, check=True).stdout.split()
    for source in {*tools, *(each for each in linked if each.startswith("/") and not each.endswith(":"))}:
        target = folder / source.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    for name in ("dev", "proc", "sys", "tmp", "etc", "home", "var/tmp", "mnt"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in ("etc/passwd", "etc/group", "etc/hosts", "etc/resolv.conf"):
        (folder / name).touch()
    (folder / "which").write_text("the image\n")
    shutil.rmtree(folder / "bin", ignore_errors=True)
    (folder / "bin").symlink_to("usr/bin")
    return folder


def test_an_image_that_nothing_here_can_run_is_one_clear_sentence(desk):
    desk.file("train.sh", "echo never\n")
    job_id = desk.submit("plain", script=desk.ann.folder / "train.sh", image="/nowhere/torch.sif")
    desk.wait_for(lambda: desk.station.job(job_id).state.is_over, within=60)
    log = desk.log(f"t-{job_id}.log")
    assert "aistation: the image /nowhere/torch.sif can't be used: there is no such file or folder\n" in log
    assert "never" not in log


def test_a_member_of_an_array_has_a_folder_of_its_own_and_requeues_nobody_else(desk):
    """The last member has the array's own number: by that, Slurm would requeue all of them."""
    script = desk.file(
        "member.sh",
        'echo here; [[ $SLURM_ARRAY_TASK_ID = 0 ]] && exec sleep 300\ntouch "$AISTATION_RUN_DIR/unfinished"\n',
    )
    array = desk.submit("plain", "--array=0-1", script=script, output="%x-%A_%a.log")
    desk.wait_for(lambda: "is requeued" in desk.log(f"t-{array}_1.log"), within=60)
    desk.wait_for(lambda: "here" in desk.log(f"t-{array}_0.log"), within=60)
    members = json.loads(desk.ann.run("squeue", "--json"))["jobs"]
    restarts = {each["array_task_id"]: each["restart_cnt"] for each in members if each["array_job_id"] == array}
    assert restarts == {0: 0, 1: 1}
    assert {each.name for each in desk.ann.folder.glob(f"t-{array}_*/started-0")} == {"started-0"}
    assert len(list(desk.ann.folder.glob(f"t-{array}_*/started-0"))) == 2


def test_accelerate_trains_on_two_nodes(desk):
    if not importlib.util.find_spec("accelerate") or not importlib.util.find_spec("torch"):
        pytest.skip("accelerate and PyTorch are not installed (scripts/dev/accelerate)")
    script = desk.file("accelerated.py", ACCELERATED)
    job_id = desk.submit("accelerate", script=script, nodes=2, gpus_per_node=0, python=sys.executable)
    assert "processes 2 DistributedType.MULTI_CPU loss went to 0.00" in desk.until_over(job_id)


def test_a_notebook_runs_as_a_job_with_its_parameters_and_its_copy_shows_what_it_printed(desk):
    if not importlib.util.find_spec("papermill") or not importlib.util.find_spec("ipykernel"):
        pytest.skip("papermill and ipykernel are not installed (scripts/dev/accelerate)")
    notebook = desk.file("look at it.ipynb", json.dumps(NOTEBOOK))
    job_id = desk.submit("notebook-as-batch", script=notebook, args=["-p", "lr", "0.5"], python=sys.executable)
    log = desk.until_over(job_id)
    assert f"the rate is 0.5 in {desk.ann.folder}" in log
    copy = json.loads((desk.ann.folder / f"t-{job_id}" / "look at it.ipynb").read_text())
    assert "the rate is 0.5" in json.dumps(copy["cells"][-1]["outputs"])
