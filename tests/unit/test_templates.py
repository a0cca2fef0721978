"""The batch scripts that the templates render: golden files, bash's own opinion, hostile values."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from aistation_slurm.errors import RenderError, RequestError
from aistation_slurm.jobs.catalogue import Catalogue, open_catalogue, read_template
from aistation_slurm.jobs.parameter import Parameter
from aistation_slurm.jobs.request import TrainingRequest, read_request
from aistation_slurm.jobs.script import render_script

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "train"
OURS = {
    "accelerate", "deepspeed", "horovod", "jax", "mpi", "notebook-as-batch", "plain", "pytorch-ddp", "ray",
    "single-gpu", "tensorflow-multiworker",
}  # fmt: skip
CASES = sorted(path.name for path in GOLDEN.iterdir())


def rendered(**wanted: object) -> str:
    request = read_request({"script": "/data/ann/train.py", "nodes": 2, **wanted})
    return render_script(request, open_catalogue())


@pytest.mark.parametrize("case", CASES)
def test_a_request_becomes_this_script(case: str) -> None:
    request = read_request(json.loads((GOLDEN / case / "request.json").read_text()))
    script = render_script(request, open_catalogue())
    expected = GOLDEN / case / "expected.sbatch"
    if os.environ.get("AISTATION_GOLDEN") == "write":
        expected.write_text(script)
    assert script == expected.read_text(), "if this is what it should be: AISTATION_GOLDEN=write pytest ..."


@pytest.mark.parametrize("case", CASES)
def test_bash_can_read_the_script(case: str) -> None:
    done = subprocess.run(
        ["bash", "-n", GOLDEN / case / "expected.sbatch"], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say_of_any_script() -> None:
    """But for SC2317, functions that `bash -c` calls look unused; SC2016, single quotes are meant."""
    scripts = [GOLDEN / case / "expected.sbatch" for case in CASES]
    done = subprocess.run(
        ["shellcheck", "--shell=bash", "--exclude=SC2317,SC2016", "--format=gcc", *scripts],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""


def test_the_scripts_of_an_awkward_request_hand_over_exactly_what_was_asked_for() -> None:
    """Run the script with stand-ins for Slurm's commands, and look at what Python is given."""
    wanted = json.loads((GOLDEN / "awkward" / "request.json").read_text())
    assert handed_over(read_request(wanted)) == [wanted["script"], *wanted["args"]]


def handed_over(request: TrainingRequest) -> list[str]:
    """Return the arguments that the training script would see."""
    script = render_script(request, open_catalogue())
    body = re.search(r"^on_each_process\(\) \{\n.*?\n\}$", script, re.MULTILINE | re.DOTALL)
    assert body
    run = body[0].replace("exec ", "command_line ", 1)
    show = "command_line() { shift; printf '%s\\0' \"$@\"; }\n"
    slurm = "export SLURM_NODEID=1 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NTASKS=2 MASTER_ADDR=127.0.0.1\n"
    done = subprocess.run(["bash", "-c", f"{show}{slurm}{run}\non_each_process"], capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize(
    "wanted",
    [
        {"name": "two words"},
        {"name": "a\nb"},
        {"group": "v100 --uid=0"},
        {"account": "x;y"},
        {"qos": "$(id)"},
        {"time": "1 --uid=0"},
        {"output": "it's.log"},
        {"output": "a\n#SBATCH --uid=0"},
        {"python": ""},
        {"nodes": 0},
        {"surprise": 1},
    ],
)
def test_what_would_end_its_line_is_refused(wanted: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        rendered(**wanted)


def test_every_template_says_what_it_is_for() -> None:
    found = list(open_catalogue())
    assert {each.name for each in found} >= OURS
    for each in found:
        assert each.title
        assert each.what_for.endswith(".")
        assert all(parameter.help.endswith(".") for parameter in each.parameters.values())


def test_the_sites_own_template_comes_first(tmp_path: Path) -> None:
    folder = tmp_path / "train"
    folder.mkdir()
    (folder / "plain.sbatch.j2").write_text("{#\ntitle = 'Ours'\nwhat_for = 'us.'\n#}\n#!/bin/bash\nrun {{ script }}\n")
    (folder / "extra.sbatch.j2").write_text("{#\ntitle = 'More'\nwhat_for = 'more.'\n#}\n#!/bin/bash\n")
    catalogue = open_catalogue(tmp_path)
    assert set(catalogue.names()) >= {"extra", *OURS}
    assert catalogue["plain"].title == "Ours"
    request = TrainingRequest(script=Path("/a b.py"), template="plain")
    assert render_script(request, catalogue) == "#!/bin/bash\nrun '/a b.py'\n"


def test_a_template_that_is_not_there_is_named_with_its_nearest() -> None:
    with pytest.raises(RequestError, match="no template called 'pytorch-dpd'") as error:
        open_catalogue()["pytorch-dpd"]
    assert error.value.hint == "did you mean 'pytorch-ddp'?"


@pytest.mark.parametrize(
    ("front", "line", "complaint"),
    [
        ("", 1, "it has no front matter"),
        ("{# title = 'x' #}\n", 1, "it has no front matter"),
        ("{#\ntitle = 'x'\nwhat_for = [\n#}\n", 4, "its front matter is not TOML: "),
        ("{#\ntitle = x\n#}\n", 2, "its front matter is not TOML: Invalid value"),
        ("{#\ntitle = 'x'\n#}\n", 1, "'what_for' is a text that must be there"),
        ("{#\ntitle = 'x'\nwhat_for = 'y'\nmore = 1\n#}\n", 4, "unknown key 'more'"),
        ("{#\ntitle = 'x'\nwhat_for = 'y'\nparameters = 1\n#}\n", 4, "'parameters' is a table of tables"),
    ],
)
def test_a_template_without_usable_front_matter_is_named_with_its_line(
    tmp_path: Path, front: str, line: int, complaint: str
) -> None:
    path = tmp_path / "bad.sbatch.j2"
    path.write_text(front + "#!/bin/bash\n")
    with pytest.raises(RenderError, match=re.escape(complaint)) as error:
        read_template(path)
    assert error.value.where == f"{path}:{line}"


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("{help = 'x', typ = 'int'}", "'p' has an unknown key 'typ'"),
        ("{help = 'x', type = 'integer'}", "'p' has the type 'integer'; types are int, float"),
        ("{type = 'int'}", "'p' has no help"),
        ("{help = 'x', type = 'choice'}", "'p' has choices if, and only if, its type is 'choice'"),
        ("{help = 'x', type = 'int', choices = ['a']}", "'p' has choices if, and only if, its type is 'choice'"),
        ("{help = 'x', choices = ['a'], default = 'b'}", "the default of 'p' can't be used: p is one of a, not 'b'"),
        ("{help = 'x', type = 'int', min = 2, default = 1}", "the default of 'p' can't be used: p is at least 2"),
        ("{help = 'x', type = 'int', min = 'two'}", "'min' of 'p' is a number"),
        ("{help = 'x', min = 1}", "'min' of 'p' is a number"),
        ("'x'", "'p' is a table"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_named_with_its_line(tmp_path: Path, table: str, complaint: str) -> None:
    path = tmp_path / "bad.sbatch.j2"
    path.write_text(f"{{#\ntitle = 'x'\nwhat_for = 'y'\n[parameters]\np = {table}\n#}}\n#!/bin/bash\n")
    with pytest.raises(RenderError, match=re.escape(complaint)) as error:
        read_template(path)
    assert error.value.where == f"{path}:5"


@pytest.mark.parametrize(
    ("kind", "good", "bad", "said"),
    [
        ("int", {"7": 7, "-3": -3, 4: 4}, ["seven", "1.5", "", "٣", "1_0"], "is a whole number"),
        ("float", {"1e-3": 0.001, "2": 2.0, 0.5: 0.5}, ["nan", "inf", "x", "1_0", "٣"], "is a number"),
        ("bool", {"yes": True, "OFF": False, True: True, "1": True}, ["perhaps", "", "2"], "is yes or no"),
        ("string", {"a b": "a b", "": "", "数据": "数据"}, ["a\nb", "a\x1bb", "a\u2028b", "a" * 100_001], ""),
        ("time", {"90": "90", "1-12": "1-12", 30: "30"}, ["soon", "", "UNLIMITED", "1:2:3:4"], "is a time"),
        ("path", {"/data/x": "/data/x", "-rf": "./-rf"}, ["", "a\0b"], ""),
    ],
)
def test_a_value_is_read_by_the_type_of_its_parameter(
    kind: Any, good: dict[object, object], bad: list[str], said: str
) -> None:
    parameter = Parameter(kind, help="x")
    assert {value: parameter.read("p", value) for value in good} == good
    for value in bad:
        with pytest.raises(RequestError, match=f"^p.*{said}"):
            parameter.read("p", value)


def test_a_number_has_a_least_and_a_most() -> None:
    parameter = Parameter("float", min=0.5, max=2)
    assert parameter.read("p", "2") == 2
    with pytest.raises(RequestError, match=r"^p is at least 0\.5, not 0\.4$"):
        parameter.read("p", "0.4")
    with pytest.raises(RequestError, match=r"^p is at most 2, not 2\.1$"):
        parameter.read("p", "2.1")


def test_all_values_that_a_template_can_not_take_are_said_at_once() -> None:
    with pytest.raises(RequestError, match="2 values can't be used") as error:
        rendered(settings={"restarts": "often", "notice": "0"})
    assert error.value.hint == "restarts is a whole number, not 'often'\nnotice is at least 1, not 0"


def test_a_name_that_the_template_uses_and_nobody_knows_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "odd.sbatch.j2").write_text("{#\ntitle = 'x'\nwhat_for = 'y'\n#}\n\n{{ nope }}\n")
    with pytest.raises(RenderError, match="'nope' is undefined") as error:
        render_script(TrainingRequest(script=Path("/t.py"), template="odd"), Catalogue(tmp_path))
    assert error.value.where == f"{tmp_path}/train/odd.sbatch.j2:6"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"launcher": "mpirun"}, "launcher is one of torchrun, srun, not 'mpirun'"),
        ({"notice": "soon"}, "notice is a whole number, not 'soon'"),
        ({"notce": "1"}, "no parameter 'notce'"),
    ],
)
def test_a_setting_that_the_template_can_not_take_is_said(settings: dict[str, str], complaint: str) -> None:
    with pytest.raises(RequestError, match=re.escape(complaint)):
        rendered(settings=settings)


@pytest.mark.parametrize("option", ["python", "image"])
def test_what_would_be_taken_for_an_option_of_what_it_is_given_to_is_refused(option: str) -> None:
    with pytest.raises(RequestError, match=f"--{option}: '-x' begins with a dash"):
        rendered(**{option: "-x"})


def test_the_plain_template_takes_one_node_only() -> None:
    with pytest.raises(RequestError, match="'plain' runs on one node, not with nodes = 2"):
        rendered(template="plain")


@pytest.mark.parametrize(
    ("name", "executable", "command"),
    [("a.py", True, "python3 {}"), ("a.sh", False, "bash {}"), ("a", True, "{}"), ("a", False, "python3 {}")],
)
def test_a_plain_script_is_run_by_what_can_run_it(tmp_path: Path, name: str, executable: bool, command: str) -> None:
    script = tmp_path / name
    script.touch(mode=0o755 if executable else 0o644)
    text = render_script(TrainingRequest(script=script, template="plain"), open_catalogue())
    assert f"    exec {command.format(script)}\n" in text
