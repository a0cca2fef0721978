"""`aistation job submit` as a person meets it: a program stands in sbatch's place and notes what it was given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aistation_slurm.assets import asset_dir
from aistation_slurm.cli.main import main
from aistation_slurm.cluster.rules.compiled import COMPILED, compiled_text
from aistation_slurm.jobs.run_folder import RunFolder
from aistation_slurm.jobs.tag import read_tag
from aistation_slurm.spec import load_spec
from tests.unit.sbatch_stand_in import StandIn, stand_in

SPEC = load_spec(asset_dir("slurm_conf") / "examples" / "small.yaml")
WOULD_START = (
    "sbatch: Job 9 to start at 2026-11-26T11:03:32 using 16 processors on nodes v100-[01-02] in partition v100\n"
)


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A station whose sbatch is a stand-in, and an empty folder to work in."""
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "slurm.conf").touch()
    (etc / COMPILED).write_text(compiled_text(SPEC, source="cluster.yaml", release="22.05.8"))
    config = etc / "aistation.toml"
    config.write_text(f'[slurm]\nconf = "{etc}/slurm.conf"\nbin = "{tmp_path}/bin"\n')
    for name in [each for each in os.environ if each.startswith(("SLURM", "SBATCH"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AISTATION_CONFIG", str(config))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    (work / "train.py").write_text("print('hi')\n")
    (work / "old.sbatch").write_text("#!/bin/bash\n#SBATCH -J old --comment='mine'\necho $1\n#SBATCH --mem=1\n")
    return stand_in(tmp_path / "bin")


def submit(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["job", "submit", *words])
    return int(ended.value.code or 0)


def options_of(argv: list[str]) -> list[str]:
    """Return what sbatch was given but for what every submission has."""
    return [
        each
        for each in argv
        if not each.startswith(("--parsable", "--chdir", "--comment=aistation:")) and each != os.getcwd()
    ]


# -- the three forms --------------------------------------------------------------------------------------------------


def test_a_training_script_is_rendered_and_handed_in_to_run_here(sbatch: StandIn, capsys: pytest.CaptureFixture[str]):
    assert submit("--gpus", "4", "--mem=4G", "train.py", "--epochs", "3") == 0
    call = sbatch.calls[0]
    assert call["argv"][:3] == ["--parsable", "--chdir", os.getcwd()]
    assert "#SBATCH --nodes=2\n" in call["stdin"]
    assert "#SBATCH --mem=4G\n" in call["stdin"]
    assert "train.py --epochs 3" in call["stdin"]
    told = capsys.readouterr()
    assert told.out == "submitted job 77 (train)\n"
    assert "note: template: pytorch-ddp (several processes work together; --template names another)" in told.err
    assert f"its log: {os.getcwd()}/train-77.log" in told.err


@pytest.mark.parametrize(
    ("words", "template"),
    [
        (("train.py",), "pytorch-ddp"),
        (("--gpus", "1", "train.py"), "single-gpu"),
        (("--gpus", "v100:1", "train.py"), "single-gpu"),
        (("--share", "1", "train.py"), "single-gpu"),
        (("--gpus-per-node", "1", "--set", "launcher=srun", "train.py"), "pytorch-ddp"),
        (("--gpus", "2", "train.py"), "pytorch-ddp"),
        (("--nodes", "2", "train.py"), "pytorch-ddp"),
        (("--gpus", "0", "train.py"), "plain"),
        (("--gpus", "0", "--template", "pytorch-ddp", "train.py"), ""),
        (("-c", "4", "train.py"), "plain"),
        (("program",), "plain"),
    ],
)
def test_a_script_that_names_no_template_gets_one_that_suits_and_is_told(
    sbatch: StandIn, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], template: str
):
    Path("program").write_text("no script of a shell\n")
    assert submit("--json", *words) == 0
    told = capsys.readouterr()
    assert (f"note: template: {template} (" in told.err) == bool(template)
    folder = RunFolder(Path(json.loads(told.out)["folder"]))
    kept = json.loads(folder.request.read_text())["request"]
    assert kept["template"] == (template or "pytorch-ddp")
    assert ("--gpus-per-node=" in sbatch.calls[0]["stdin"]) == bool(kept.get("gpus_per_node"))


def test_other_options_of_sbatch_are_handed_on_as_they_are(sbatch: StandIn):
    assert submit("--nice=7", "-d", "afterok:5", "--begin", "now+1hour", "--frobnicate=9", "-v", "train.py") == 0
    assert options_of(sbatch.argv) == ["--nice=7", "-dafterok:5", "--begin=now+1hour", "--frobnicate=9", "-v"]


def test_a_batch_script_is_handed_in_as_it_is_with_our_options_as_sbatch_s_own(sbatch: StandIn):
    words = ["--group", "v100", "--gpus", "2", "--gpu-type", "v100", "--mail-type", "END", "-J", "new", "--nice"]
    assert submit(*words, "old.sbatch", "one", "--two") == 0
    assert sbatch.calls[0]["stdin"] == ""
    given = options_of(sbatch.argv)
    assert given[-3:] == ["old.sbatch", "one", "--two"]
    assert set(given[:-3]) == {
        "--partition=v100", "--gpus=v100:2", "--mail-type=END", "--job-name=new", "--nice", given[-4],
    }  # fmt: skip
    assert given[-4].startswith("--comment=mine aistation:id="), "the comment of its own #SBATCH line is kept"


def test_what_a_template_alone_knows_is_refused_for_a_batch_script(sbatch: StandIn, capsys: pytest.CaptureFixture[str]):
    assert submit("--checkpoint-dir", "c", "old.sbatch") == 64
    assert "--checkpoint-dir is for templates" in capsys.readouterr().err
    assert sbatch.calls == []


@pytest.mark.parametrize(
    ("name", "text", "words", "is_batch"),
    [
        ("a.sh", "#!/bin/sh\ntrue\n", (), True),
        ("a", "#!/usr/bin/env bash\ntrue\n", (), True),
        ("a.py", "#!/usr/bin/env python3\n#SBATCH -n 2\nprint()\n", (), True),
        ("a.py", "#!/usr/bin/env python3\nprint()\n#SBATCH -n 2\n", (), False),
        ("a.sh", "#!/bin/sh\ntrue\n", ("--template", "plain"), False),
        ("a.py", "print()\n", ("--sbatch",), True),
    ],
)
def test_a_batch_script_is_known_by_its_shell_or_its_directives(
    sbatch: StandIn, name: str, text: str, words: tuple[str, ...], is_batch: bool
):
    Path(name).write_text(text)
    assert submit(*words, name) == 0
    assert (sbatch.argv[-1] == name) == is_batch
    assert bool(sbatch.calls[0]["stdin"]) != is_batch


def test_a_command_of_wrap_needs_no_script(sbatch: StandIn):
    assert submit("--wrap", "hostname -f", "--time", "5") == 0
    assert options_of(sbatch.argv) == ["--time=5", "--wrap=hostname -f"]
    assert RunFolder(Path.cwd() / "wrap-77").script.read_text() == "#!/bin/sh\nhostname -f\n"


RUN_FILE = """\
template: plain
script: ../train.py
args: [--epochs, 3]
gpus: 2
night: false
auto_resume: 3
options: {nice: 5, exclusive: true}
"""


def test_a_run_file_says_what_the_command_line_would_which_goes_before(sbatch: StandIn):
    Path("runs").mkdir()
    Path("runs/a.yaml").write_text(RUN_FILE)
    assert submit("--gpus", "1", "runs/a.yaml", "more") == 0
    text = sbatch.calls[0]["stdin"]
    assert "#SBATCH --gpus-per-node=1\n" in text
    assert "train.py --epochs 3 more" in text
    assert options_of(sbatch.argv) == ["--nice=5", "--exclusive"]
    tag = read_tag(sbatch.argv[-1].removeprefix("--comment="))
    assert tag is not None
    assert tag.resume == 3


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("script: train.py\ngrup: v100\n", "run.yaml:2:1: grup is not known; did you mean 'group'?"),
        ("script: train.py\nnodes: many\n", "run.yaml:2:1: nodes: 'many' is no whole number"),
        ("script: train.py\n  nodes: 1\n", "run.yaml:2:"),
        ("gpus: 1\n", "run.yaml: says no script"),
        ("script: train.py\noptions: [nice]\n", "run.yaml:2:1: options: is to be pairs"),
    ],
)
def test_a_run_file_is_complained_about_with_its_line(
    sbatch: StandIn, capsys: pytest.CaptureFixture[str], text: str, complaint: str
):
    Path("run.yaml").write_text(text)
    assert submit("run.yaml") == 1
    assert complaint in capsys.readouterr().err
    assert sbatch.calls == []


# -- what is said -----------------------------------------------------------------------------------------------------


def test_what_slurm_adjusts_is_said_like_what_we_adjust_and_nothing_twice(
    sbatch: StandIn, capsys: pytest.CaptureFixture[str]
):
    ours = "gpus: 12 -> 4 (a user may have 4 GPUs of v100)"
    theirs = "cpus_per_task: 9 -> 8 (a node of v100 has no more)"
    sbatch.answers(stderr=f"sbatch: {ours}\nsbatch: {theirs}\nsbatch: welcome\n")
    assert submit("--gpus", "12", "train.py") == 0
    err = capsys.readouterr().err.splitlines()
    assert [line for line in err if line.startswith("adjusted: ")] == [f"adjusted: {ours}", f"adjusted: {theirs}"]
    assert "note: welcome" in err


def test_a_refusal_has_the_reason_of_the_rules_below_it(
    sbatch: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("aistation_slurm.jobs.refused.os.geteuid", lambda: 1000)
    why = "sbatch: error: team speech may not use 2080ti (face, robot may)\n"
    sbatch.answers(
        "", f"{why}sbatch: error: Batch job submission failed: Invalid account or account/partition combo\n", 1
    )
    assert submit("train.py") == 1
    err = capsys.readouterr().err.splitlines()
    assert err[-2:] == [
        "aistation: sbatch: Invalid account or account/partition combo",
        "           team speech may not use 2080ti (face, robot may)",
    ]


def test_a_policy_that_is_out_of_date_is_what_a_missing_partition_leads_to(
    sbatch: StandIn, capsys: pytest.CaptureFixture[str]
):
    sbatch.answers("", "sbatch: error: Batch job submission failed: Invalid partition name specified\n", 1)
    assert submit("train.py") == 1
    assert "aistation_policy.json may be out of date: `aistation cluster plan` says so" in capsys.readouterr().err


def test_root_is_told_to_submit_as_a_user(
    sbatch: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    sbatch.answers("", "sbatch: error: Batch job submission failed: Invalid account or account/partition combo\n", 1)
    monkeypatch.setattr("aistation_slurm.jobs.refused.os.geteuid", lambda: 0)
    assert submit("train.py") == 1
    assert "root belongs to no team here" in capsys.readouterr().err


def test_parsable_and_json_are_for_programs(sbatch: StandIn, capsys: pytest.CaptureFixture[str]):
    assert submit("--parsable", "train.py") == 0
    assert capsys.readouterr().out == "77\n"
    assert submit("--json", "--gpus", "12", "train.py") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["job_id"], told["name"], told["is_new"]) == (77, "train", True)
    assert told["adjustments"] == ["gpus: 12 -> 4 (a user may have 4 GPUs of v100)"]


def test_a_dry_run_prints_the_script_and_when_it_would_start(sbatch: StandIn, capsys: pytest.CaptureFixture[str]):
    sbatch.answers("", WOULD_START)
    assert submit("--dry-run", "--gpus", "4", "--nice=5", "train.py") == 0
    told = capsys.readouterr()
    assert told.out.startswith("#!/bin/bash\n")
    assert "beside the script: sbatch --nice=5" in told.err
    assert "would start at 2026-11-26 11:03:32 on v100-[01-02] (v100)" in told.err
    assert "--test-only" in sbatch.argv
    assert list(Path.cwd().glob("train-*")) == []


def test_a_dry_run_that_slurm_would_refuse_says_so(sbatch: StandIn, capsys: pytest.CaptureFixture[str]):
    sbatch.answers("", "allocation failure: Requested time limit is invalid (missing or exceeds some limit)\n", 1)
    assert submit("--dry-run", "train.py") == 1
    told = capsys.readouterr()
    assert told.out.startswith("#!/bin/bash\n")
    assert "Requested time limit is invalid" in told.err
    assert submit("--dry-run", "--json", "train.py") == 1
    assert "Requested time limit" in json.loads(capsys.readouterr().out)["refused"]


def test_options_behind_the_script_are_its_own_and_that_is_said(sbatch: StandIn, capsys: pytest.CaptureFixture[str]):
    assert submit("train.py", "--nodes", "2") == 0
    assert "note: --nodes: stands behind train.py, and so is its own argument" in capsys.readouterr().err
    assert submit("train.py", "--", "--nodes", "2") == 0
    assert "stands behind" not in capsys.readouterr().err


def test_a_retry_that_can_not_look_whether_the_job_is_there_submits_nothing(
    sbatch: StandIn, capsys: pytest.CaptureFixture[str]
):
    assert submit("--id", "abc", "train.py") == 75, "nothing stands in squeue's place"
    assert "try again with --id abc" in capsys.readouterr().err
    assert sbatch.calls == []


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        ((), 64, "name the script that is to run"),
        (("nope.py",), 1, "nope.py: there is no such file"),
        (("nope.yaml",), 1, "nope.yaml: there is no such file"),
        (("--group", "v10", "train.py"), 1, "no GPU group called 'v10'"),
        (("--template", "plian", "train.py"), 1, "no template called 'plian'"),
        (("--emergency", "--night", "train.py"), 64, "name one of them"),
        (("--night", "train.py"), 1, "there is no QOS 'night' here"),
        (("--id", "a b", "train.py"), 64, "--id 'a b'"),
        (("--set", "launcher", "train.py"), 64, "write it as NAME=VALUE"),
        (("--dataset", "/nowhere", "train.py"), 1, "the data set 'nowhere': there is no such folder"),
        (("--gpus", "v100:2", "--gpu-type", "p100", "train.py"), 64, "--gpu-type is p100"),
        (
            ("--template", "plain", "--gpus", "3", "train.py"),
            1,
            "3 GPUs are more than any node of v100 has, which is 2",
        ),
        (("--again", "nowhere"), 1, "nowhere: there is no such folder"),
        (("--again", ".", "train.py"), 64, "--again names what is submitted"),
        (("--auto-resume", "--no-auto-resume", "train.py"), 64, "exclude each other"),
        (("--checkpoint-dir", "train.py", "train.py"), 1, "train.py: is no folder"),
    ],
)
def test_bad_input_is_one_clear_sentence_and_nothing_is_submitted(
    sbatch: StandIn, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, complaint: str
):
    assert submit(*words) == code
    assert complaint in capsys.readouterr().err
    assert sbatch.calls == []


def test_a_broken_policy_is_said_and_slurm_is_asked(sbatch: StandIn, capsys: pytest.CaptureFixture[str]):
    compiled = Path(os.environ["AISTATION_CONFIG"]).with_name(COMPILED)
    compiled.write_text("{")
    assert submit("train.py") == 1, "the stand-in can't be asked"
    compiled.unlink()
    assert submit("old.sbatch") == 0, "a batch script needs none"


# -- what is kept -----------------------------------------------------------------------------------------------------


def test_what_was_submitted_is_kept_and_is_submitted_again_from_its_checkpoints(sbatch: StandIn):
    assert submit("--template", "plain", "--nice=5", "--time", "60", "train.py", "a b") == 0
    folder = RunFolder(Path.cwd() / "train-77")
    first = sbatch.calls[0]
    assert folder.script.read_text() == first["stdin"]
    kept = json.loads(folder.request.read_text())
    assert (kept["folder"], kept["options"], kept["request"]["args"]) == (os.getcwd(), ["--nice=5"], ["a b"])

    folder.checkpoints.mkdir()
    sbatch.answers("78\n")
    os.chdir("/")
    assert submit("--again", str(folder.path), "--time", "90") == 0
    second = sbatch.calls[1]
    assert f"AISTATION_CHECKPOINT_DIR={folder.checkpoints}" in second["stdin"]
    assert "#SBATCH --time=90\n" in second["stdin"]
    assert "--nice=5" in second["argv"]
    ids = [read_tag(each["argv"][-1].removeprefix("--comment=")) for each in (first, second)]
    assert ids[0] != ids[1]


def test_a_batch_script_is_submitted_again_from_its_copy(sbatch: StandIn):
    assert submit("--nice=5", "old.sbatch", "x") == 0
    Path("old.sbatch").unlink()
    assert submit("--again", "old-77") == 0
    assert sbatch.argv[-2:] == [str(Path.cwd() / "old-77" / "job.sbatch"), "x"]
    assert "--job-name=old" in sbatch.argv


def test_a_folder_that_can_not_be_made_is_said_and_fails_nothing(sbatch: StandIn, capsys: pytest.CaptureFixture[str]):
    Path("train-77").write_text("in the way")
    assert submit("train.py") == 0
    told = capsys.readouterr()
    assert told.out == "submitted job 77 (train)\n"
    assert "note: what was submitted can't be kept in" in told.err


def test_nothing_is_written_through_a_link_that_somebody_laid_there(sbatch: StandIn, tmp_path: Path):
    victim = tmp_path / "precious"
    victim.write_text("kept")
    Path("train-77").mkdir()
    Path("train-77/.job.json.new").symlink_to(victim)
    assert submit("train.py") == 0
    assert victim.read_text() == "kept"


# -- whose environment ------------------------------------------------------------------------------------------------


def handed_on(sbatch: StandIn, monkeypatch: pytest.MonkeyPatch, **variables: str) -> dict[str, str]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert submit("train.py") == 0
    env: dict[str, str] = sbatch.calls[-1]["env"]
    return env


def test_options_and_tokens_in_the_environment_are_not_handed_on(
    sbatch: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    env = handed_on(sbatch, monkeypatch, SBATCH_QOS="emergency", SLURM_JWT="x", OMP_NUM_THREADS="3", MASTER_PORT="1")
    assert not {"SBATCH_QOS", "SLURM_JWT"} & env.keys()
    assert (env["OMP_NUM_THREADS"], env["MASTER_PORT"], env["PATH"]) == ("3", "1", os.environ["PATH"])
    assert "note: SBATCH_QOS in your environment: not looked at" in capsys.readouterr().err


def test_from_inside_a_job_nothing_of_that_job_is_handed_on(sbatch: StandIn, monkeypatch: pytest.MonkeyPatch):
    leftovers = {
        "SLURM_JOB_ID": "5", "SLURM_RESTART_COUNT": "2", "SRUN_CPUS_PER_TASK": "9", "SLURMD_NODENAME": "n",
        "SBATCH_PARTITION": "dev", "CUDA_VISIBLE_DEVICES": "0", "MASTER_ADDR": "n1", "RANK": "3", "PMI_RANK": "3",
        "OMPI_COMM_WORLD_RANK": "3", "AISTATION_RUN_DIR": "/x", "AISTATION_CHECKPOINT_DIR": "/x",
    }  # fmt: skip
    env = handed_on(sbatch, monkeypatch, **leftovers, WANDB_API_KEY="mine", AISTATION_SITE="mine")
    assert not leftovers.keys() & env.keys()
    assert (env["WANDB_API_KEY"], env["AISTATION_SITE"]) == ("mine", "mine")


def test_our_own_python_is_not_handed_on_and_the_user_s_is(sbatch: StandIn, monkeypatch: pytest.MonkeyPatch):
    ours = str(Path(sys.modules["aistation_slurm"].__file__ or "").resolve().parent.parent)
    env = handed_on(sbatch, monkeypatch, PYTHONPATH=f"{ours}:/home/ann/lib", PYTHONHOME=sys.base_prefix)
    assert env["PYTHONPATH"] == "/home/ann/lib"
    assert "PYTHONHOME" not in env


# -- what it costs ----------------------------------------------------------------------------------------------------

HEAVY = (
    "pydantic", "ruamel", "rich", "ClusterShell", "sqlmodel", "sqlalchemy", "fastapi", "concurrent.futures", "asyncio",
    "http", "ssl", "email", "logging", "multiprocessing", "paramiko", "aistation_slurm.checkpoint",
    "aistation_slurm.settings", "aistation_slurm.spec", "aistation_slurm.slurm.connect", "aistation_slurm.slurm.model",
    "aistation_slurm.slurm.commands", "aistation_slurm.slurm.readers", "aistation_slurm.slurm.writer",
    "aistation_slurm.jobs.earlier", "aistation_slurm.jobs.unanswered", "aistation_slurm.jobs.run_file",
)  # fmt: skip


def test_nothing_heavy_is_imported_to_submit_a_training(sbatch: StandIn):
    program = (
        "import sys\nfrom aistation_slurm.cli.main import main\n"
        "try:\n    main(['job', 'submit', '--template', 'plain', '--gpus', '4', '--group', 'v100', 'train.py'])\n"
        "except SystemExit as end:\n    print(end.code, *sorted(sys.modules), file=sys.stderr)\n"
    )
    program = program.replace("'--gpus', '4'", "'--gpus', '2', '--mem', '99G'")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    code, *modules = done.stderr.splitlines()[-1].split()
    assert (code, done.stdout) == ("0", "submitted job 77 (train)\n")
    bad = [each for each in modules if any(each == name or each.startswith(f"{name}.") for name in HEAVY)]
    assert bad == []
