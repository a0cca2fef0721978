"""From members to arrays: what sbatch is handed, told by an sbatch that writes down what it was given."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aistation_slurm.errors import RequestError, SlurmRefused, UsageError
from aistation_slurm.jobs.catalogue import open_catalogue
from aistation_slurm.jobs.request import training_request
from aistation_slurm.jobs.site import Site
from aistation_slurm.jobs.submit import Order
from aistation_slurm.jobs.sweep.folder import read_sweep
from aistation_slurm.jobs.sweep.look import attempts
from aistation_slurm.jobs.sweep.start import array_limit, prepare, start, start_again
from aistation_slurm.settings_file import Places
from aistation_slurm.slurm.runner import LocalRunner
from aistation_slurm.slurm.sbatch import Batch

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SBATCH = """#!/bin/bash
number=$(($(ls "{0}" | grep -c '^call') + 1))
[[ $number != 3 || ! -e "{0}/refuse" ]] || {{ echo 'sbatch: error: Invalid qos specification' >&2; exit 1; }}
printf '%s\\n' "$@" >"{0}/call$number"
cat >"{0}/script$number"
echo $((100 + number))
"""
SCONTROL = "#!/bin/sh\necho 'MaxArraySize            = 4'\n"


@pytest.fixture
def site(tmp_path) -> Site:
    commands = tmp_path / "commands"
    commands.mkdir()
    for name, text in {"sbatch": SBATCH.format(tmp_path), "scontrol": SCONTROL}.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    conf = tmp_path / "slurm.conf"
    return Site(Places(conf=conf), LocalRunner(slurm_conf=conf, bin=commands))


@pytest.fixture
def order(tmp_path) -> Order:
    (tmp_path / "train.py").touch()
    request = training_request(template="plain", script=tmp_path / "train.py", group="v100", args=("{lr}",))
    options = ("--mem=4G", "--dependency=afterok:7")
    return Order(
        batch=Batch(options=options, cwd=tmp_path), name="train", folder=tmp_path, output=request.output,
        submission="abc", request=request, comment="mine", resume=3,
    )  # fmt: skip


def members(count: int) -> list[dict[str, object]]:
    return [{"lr": number} for number in range(count)]


def calls(folder: Path) -> list[list[str]]:
    """Return what each sbatch was given, but for where it runs."""
    return [
        [word for word in path.read_text().splitlines() if word not in {"--parsable", "--chdir", str(folder)}]
        for path in sorted(folder.glob("call*"))
    ]


def test_a_sweep_is_one_call_of_sbatch_which_finds_all_in_the_sweeps_folder(tmp_path, site, order):
    made = start(prepare(order, members(4), open_catalogue(), at_once=2), site, now=NOON)
    tag = "--comment=mine aistation:id=abc,resume=3"
    assert calls(tmp_path) == [["--mem=4G", "--dependency=afterok:7", tag]]
    script = (tmp_path / "script1").read_text()
    assert script == made.sweep.script_of(0).read_text()
    assert "#SBATCH --array=0-3%2\n" in script
    assert "#SBATCH --output=train-sweeps/abc/logs/%A_%a.log\n" in script
    assert read_sweep(tmp_path / "train-sweeps" / "abc") == made.sweep
    assert [(each.job_id, each.members()) for each in made.sweep.arrays] == [(101, [0, 1, 2, 3])]
    kept = json.loads((tmp_path / "train-101" / "job.json").read_text())
    assert (kept["sweep"], kept["submission"]) == (str(made.sweep.path), "abc")


def test_more_than_an_array_holds_are_several_and_the_limit_holds_over_all(tmp_path, site, order):
    assert array_limit(site) == 4
    ready = prepare(order, members(10), open_catalogue(), at_once=2, after="afterany:8", most=array_limit(site))
    made = start(ready, site, now=NOON)
    waits = [next(word for word in call if word.startswith("--dependency")) for call in calls(tmp_path)]
    assert waits == [
        "--dependency=afterany:8,afterok:7",
        "--dependency=afterany:8,afterok:7,afterany:101",
        "--dependency=afterany:8,afterok:7,afterany:102",
    ]
    assert [call[-1] for call in calls(tmp_path)] == [
        f"--comment=mine aistation:id={each},resume=3" for each in ("abc", "abc.1", "abc.2")
    ]
    assert [each.members() for each in made.sweep.arrays] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    for number, (first, tasks) in enumerate([(0, "0-3%2"), (4, "0-3%2"), (8, "0-1%2")], start=1):
        script = (tmp_path / f"script{number}").read_text()
        assert f"#SBATCH --array={tasks}\n" in script
        assert f"AISTATION_SWEEP_MEMBER=$(({first} + " in script


def test_members_are_started_again_by_the_script_and_the_task_that_they_had(tmp_path, site, order):
    sweep = start(prepare(order, members(10), open_catalogue(), most=4), site, now=NOON).sweep
    again = [each for each in attempts(sweep, {}) if each.member in {1, 3, 9}]
    made = start_again(sweep.path, again, site, after="afterok:5", now=NOON)
    assert [call[:3] for call in calls(tmp_path)[3:]] == [
        ["--array=1,3", "--mem=4G", "--dependency=afterok:5"],
        ["--array=1", "--mem=4G", "--dependency=afterok:5"],
    ]
    assert (tmp_path / "script4").read_text() == (tmp_path / "script1").read_text()
    assert (tmp_path / "script5").read_text() == (tmp_path / "script3").read_text()
    assert [each.members() for each in made.sweep.arrays[3:]] == [[1, 3], [9]]
    with pytest.raises(RequestError, match="has just started members again"):
        start_again(sweep.path, again, site, now=NOON)


def test_what_slurm_took_before_it_refused_is_kept_and_the_rest_can_be_started(tmp_path, site, order):
    (tmp_path / "refuse").touch()
    with pytest.raises(SlurmRefused):
        start(prepare(order, members(10), open_catalogue(), most=4), site, now=NOON)
    sweep = read_sweep(tmp_path / "train-sweeps" / "abc")
    assert [each.job_id for each in sweep.arrays] == [101, 102]
    never = [each for each in attempts(sweep, {}) if each.array is None]
    assert [each.member for each in never] == [8, 9]
    (tmp_path / "refuse").unlink()
    made = start_again(sweep.path, never, site, now=NOON)
    assert made.sweep.arrays[-1].members() == [8, 9]


def test_what_can_be_no_sweep_is_one_clear_sentence(order):
    array = Order(**{**fields_of(order), "batch": Batch(options=("--array=0-3",))})
    batch = Order(**{**fields_of(order), "request": None})
    for each, said in ((array, "a sweep is an array already"), (batch, "not of a batch script")):
        with pytest.raises(UsageError, match=said):
            prepare(each, members(2), open_catalogue())


def fields_of(order: Order) -> dict[str, object]:
    return {name: getattr(order, name) for name in Order.__dataclass_fields__}
