"""What kills slurmctld is found before it is written: by the linter, and by a shadow that harms nobody."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aistation_slurm.cluster.check import check_files, known_of
from aistation_slurm.cluster.conf import read_conf
from aistation_slurm.cluster.lint import Finding, Running, lint
from aistation_slurm.cluster.lint.look import complaints, look_at, read_files
from aistation_slurm.cluster.shadow.shadow import Verdict, try_files
from tests.cluster.broken_files import broken

pytestmark = pytest.mark.cluster

BROKEN = int(os.environ.get("AISTATION_TEST_BROKEN", "30"))
"""How many broken files are tried."""
SEED = int(os.environ.get("AISTATION_TEST_SEED", "20260905"))
NAMES = ("slurm.conf", "aistation.conf", "gres.conf")


@pytest.fixture
def etc(station) -> Path:
    return station.settings.slurm.conf.parent


@pytest.fixture
def texts(etc) -> dict[str, str]:
    return {name: (etc / name).read_text() for name in NAMES}


@pytest.fixture
def running(station, etc) -> Running:
    files = read_files(station.settings.slurm.conf)
    return look_at(files, station.settings.slurm, {}, station.slurm)


@pytest.fixture
def shadow(station, etc, running) -> Callable[..., Verdict]:
    """`shadow({"aistation.conf": text})`: what becomes of a slurmctld with that file."""

    def start(changed: dict[str, str]) -> Verdict:
        paths = {etc / name: text for name, text in changed.items()}
        conf = read_conf(etc / "slurm.conf", paths)
        return try_files(conf, paths, known=known_of(running), bin=station.settings.slurm.bin)

    return start


@pytest.fixture
def fatal(station, etc, running) -> Callable[..., list[Finding]]:
    """`fatal({"aistation.conf": text})`: what the linter finds in it that would end slurmctld or a slurmd."""

    def find(changed: dict[str, str]) -> list[Finding]:
        paths = {etc / name: text for name, text in changed.items()}
        files = read_files(etc / "slurm.conf", paths)
        known = replace(running, complaints=complaints(files.conf, station.settings.slurm))
        return [each for each in lint(files, known) if each.level == "fatal"]

    return find


def test_the_files_that_slurm_runs_with_pass_both_checks(station):
    report = check_files(station.settings.slurm, slurm=station.slurm)
    assert report.findings == ()
    assert report.shadow is not None
    assert report.shadow.started, report.shadow


FAULTS = {
    "an unknown node": ("Nodes=v100-[01-03]", "Nodes=v100-[01-09]", "Invalid node names", "unknown-node-in-partition"),
    "a QOS that nobody made": ("QOS=group-v100", "QOS=nobody-made", "invalid qos", "partition-names-missing-qos"),
    "a partition twice": ("PartitionName=v100", "PartitionName=site", "duplicate", "duplicate-partition"),
    "a key that Slurm has not": ("NodeSet=", "FooBar=1\nNodeSet=", "FooBar", "not-read-by-slurm"),
    "a plugin that is not installed": ("NodeSet=", "MCSPlugin=mcs/nowhere\nNodeSet=", "mcs", "plugin-not-there"),
    "a type that never was": ("NodeSet=", "SelectType=select/foo\nNodeSet=", "select/foo", "unknown-select-type"),
    "another name": ("NodeSet=", "ClusterName=other\nNodeSet=", "CLUSTER NAME MISMATCH", "identity-of-a-cluster"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_the_shadow_ends_of_what_the_linter_finds_and_says_why(fault, texts, shadow, fatal):
    old, new, words, rule = FAULTS[fault]
    changed = {"aistation.conf": texts["aistation.conf"].replace(old, new, 1)}
    verdict = shadow(changed)
    assert verdict.tried
    assert not verdict.started
    assert words in verdict.why
    assert rule in {each.rule for each in fatal(changed)}


def test_the_shadow_leaves_the_live_slurmctld_alone(station, shadow, texts, etc):
    conf = read_conf(etc / "slurm.conf")
    state, pid_file = Path(conf.value("StateSaveLocation")), Path(conf.value("SlurmctldPidFile"))
    config, pid = station.slurm.read.config(), pid_file.read_text()
    log = Path(conf.value("SlurmctldLogFile"))
    kept = {path: path.read_bytes() for path in (state / "clustername", *(etc / name for name in NAMES))}
    begun = log.stat().st_size

    assert shadow({}).started
    assert not shadow({"aistation.conf": texts["aistation.conf"].replace("v100-[01-03]", "ghost")}).started

    assert pid_file.read_text() == pid
    assert station.slurm.read.config()["BOOT_TIME"] == config["BOOT_TIME"]
    assert all(path.read_bytes() == before for path, before in kept.items())
    with log.open("rb") as file:
        file.seek(begun)
        assert b"slurmctld version" not in file.read()
    assert all(not node.state.is_down and not node.state.is_not_responding for node in station.slurm.read.nodes())


def test_the_shadow_leaves_nothing_behind(station, shadow, texts, monkeypatch):
    folder = station.scratch / "shadows"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    assert shadow({}).started
    assert not shadow({"aistation.conf": texts["aistation.conf"].replace("v100-[01-03]", "ghost")}).started
    folder.rmdir()  # it is empty
    assert str(folder) not in _environments()


def test_the_shadow_dies_with_whoever_started_it(station, etc, wait_for):
    code = (
        "import sys; from pathlib import Path; from aistation_slurm.cluster import conf\n"
        "from aistation_slurm.cluster.shadow import shadow\n"
        "shadow._STARTED = 'what it never says'\n"
        "shadow.try_files(conf.read_conf(Path(sys.argv[1])), bin=Path(sys.argv[2]) if sys.argv[2] else None)\n"
    )
    folder = station.scratch / "orphans"
    folder.mkdir()
    argv = [sys.executable, "-c", code, str(etc / "slurm.conf"), str(station.settings.slurm.bin or "")]
    with subprocess.Popen(argv, env={**os.environ, "TMPDIR": str(folder)}) as parent:
        wait_for(lambda: "SLURM_CONF=" + str(folder) in _environments())
        parent.kill()
    wait_for(lambda: str(folder) not in _environments())
    shutil.rmtree(folder)


def _environments() -> str:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            found.append(path.read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(found)


def test_a_running_job_does_not_notice_the_shadow(station, shadow, ann, wait_for):
    job = ann.sbatch("sleep 300")
    wait_for(lambda: station.job(job).state.is_running)
    start = station.job(job).start_time
    for _ in range(3):
        assert shadow({}).started
    assert station.job(job).state.is_running
    assert (station.job(job).start_time, station.job(job).restart_count) == (start, 0)


def test_what_starts_programs_is_taken_from_the_shadow(shadow, texts, tmp_path):
    mark = tmp_path / "started"
    script = tmp_path / "program"
    script.write_text(f"#!/bin/sh\ntouch {mark}\n")
    script.chmod(0o755)
    keys = ("SlurmctldPrimaryOnProg", "SlurmctldPrimaryOffProg", "PrologSlurmctld", "EpilogSlurmctld", "MailProg")
    lines = [f"{key}={script}" for key in keys if key.lower() not in texts["slurm.conf"].lower()]
    verdict = shadow({"slurm.conf": "\n".join([*lines, texts["slurm.conf"]])})
    assert verdict.started, verdict
    assert not mark.exists()


def test_a_removed_partition_with_a_job_is_refused_and_the_safe_way_is_said(station, texts, etc, ann, wait_for):
    job = ann.sbatch("sleep 300", "--partition=v100")
    wait_for(lambda: station.job(job).state.is_running)
    paths = {etc / "aistation.conf": "# nothing\n"}
    files = read_files(etc / "slurm.conf", paths)
    found = lint(files, look_at(files, station.settings.slurm, paths, station.slurm))
    lost = next(each for each in found if each.rule == "removing-a-partition-kills-its-jobs")
    assert lost.level == "kills jobs"
    assert str(job) in lost.what
    assert "scontrol update partition=v100 state=DRAIN" in lost.fix


def test_cluster_check_says_it_in_one_line_and_by_its_exit_code(station, etc, texts):
    argv = [sys.executable, "-m", "aistation_slurm", "cluster", "check"]
    good: subprocess.CompletedProcess[str] = station.exec(argv)
    assert good.returncode == 0, good.stderr
    assert "a shadow slurmctld started with these files" in good.stdout
    (etc / "slurm.conf").write_text(texts["slurm.conf"] + "NodeName=v100-01\n")
    try:
        bad = station.exec([*argv, "--no-shadow"])
    finally:
        (etc / "slurm.conf").write_text(texts["slurm.conf"])
    assert bad.returncode == 1
    assert "[duplicate-node]" in bad.stdout


def test_apply_writes_nothing_where_slurmctld_would_end(station, etc, texts):
    argv = [sys.executable, "-m", "aistation_slurm", "cluster", "apply", "--yes"]
    before = texts["aistation.conf"].replace("DefMemPerCPU=", "DefMemPerCPU=1")  # so that there is a file to write
    (etc / "aistation.conf").write_text(before)
    (etc / "slurm.conf").write_text("MCSPlugin=mcs/nowhere\n" + texts["slurm.conf"])
    try:
        refused = station.exec(argv)
        assert (etc / "aistation.conf").read_text() == before
    finally:
        for name in ("slurm.conf", "aistation.conf"):
            (etc / name).write_text(texts[name])
    assert refused.returncode == 1
    assert "[plugin-not-there]" in refused.stderr
    assert station.slurm.read.loaded_qos()


def test_no_broken_file_that_the_linter_passes_ends_the_shadow(texts, shadow, fatal):
    passed = 0
    for seed in range(SEED, SEED + BROKEN):
        changed, how = broken(seed, texts)
        if fatal(changed):
            continue
        passed += 1
        verdict = shadow(changed)
        assert verdict.started, f"seed {seed}: {how}: {verdict}"
    assert 0 < passed < BROKEN
