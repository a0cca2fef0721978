"""Asking libslurm: where it is found, when pyslurm fits, and what becomes of an answer. The rest needs a real Slurm."""

import os
from pathlib import Path

import pytest

from aistation_slurm.errors import SlurmMissing, SlurmUnreachable, SlurmUnreadable
from aistation_slurm.slurm.conditional import Conditional
from aistation_slurm.slurm.readers.libslurm import (
    LibslurmProbe,
    LibslurmReader,
    find_library,
    installed_pyslurm,
    libslurm_worker,
    pyslurm_misfit,
)
from aistation_slurm.slurm.worker import Worker

ROOT = Path(__file__).resolve().parents[2]


def touched(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize(
    "place",
    [
        "lib/slurm/libslurmfull.so",
        "lib64/slurm/libslurmfull.so",
        "lib/x86_64-linux-gnu/slurm-wlm/libslurmfull.so",
        "lib/aarch64-linux-gnu/slurm/libslurmfull.so",
        "lib/libslurm.so.44",
        "lib64/libslurm.so.45.0.0",
    ],
)
def test_libslurm_is_found_beside_the_commands(tmp_path, place):
    touched(tmp_path / "bin" / "scontrol")
    library = touched(tmp_path / place)
    assert find_library(bin=tmp_path / "bin") == library


def test_the_full_library_and_the_shorter_name_come_first(tmp_path):
    touched(tmp_path / "bin" / "scontrol")
    for place in ("lib/libslurm.so.45.0.0", "lib/libslurm.so.45"):
        last = touched(tmp_path / place)
    assert find_library(bin=tmp_path / "bin") == last
    full = touched(tmp_path / "lib/slurm/libslurmfull.so")
    assert find_library(bin=tmp_path / "bin") == full


def test_a_link_to_the_folder_of_a_release_leads_to_its_library(tmp_path):
    touched(tmp_path / "release" / "bin" / "scontrol")
    library = touched(tmp_path / "release" / "lib" / "slurm" / "libslurmfull.so")
    (tmp_path / "slurm").symlink_to(tmp_path / "release")
    assert find_library(bin=tmp_path / "slurm" / "bin").samefile(library)


def test_without_a_library_one_sentence_says_so_and_what_is_done_instead(tmp_path):
    with pytest.raises(SlurmMissing, match=r"no libslurmfull\.so and no libslurm\.so") as caught:
        libslurm_worker(bin=tmp_path / "bin")
    assert caught.value.where == str(tmp_path / "lib")
    assert "the commands are asked" in caught.value.hint


@pytest.mark.parametrize(
    ("slurm", "pyslurm", "why"),
    [
        ("25.11.7", "25.11.2", None),
        ("slurm 25.11.0-0rc1", "25.11.2", None),
        ("22.05.8", None, "pyslurm is not installed"),
        ("22.05.8", "25.11.2", "pyslurm 25.11.2 is made for Slurm 25.11, and this is 22.05.8"),
        ("26.05.3", "25.11.2", "pyslurm 25.11.2 is made for Slurm 25.11, and this is 26.05.3"),
        ("25.5.1", "25.05.0", None),
        ("unknown", "25.11.2", "no release that we know"),
        ("25.11.7", "dev", "no release that we know"),
    ],
)
def test_pyslurm_fits_the_one_release_that_it_is_made_for_and_else_it_says_why_not(slurm, pyslurm, why):
    said = pyslurm_misfit(slurm, pyslurm)
    assert said is None if why is None else why in said


def test_the_installed_pyslurm_is_named_without_being_imported(monkeypatch, tmp_path):
    metadata = tmp_path / "pyslurm-25.11.2.dist-info" / "METADATA"
    touched(metadata).write_text("Metadata-Version: 2.1\nName: pyslurm\nVersion: 25.11.2\n")
    touched(tmp_path / "pyslurm" / "__init__.py").write_text("raise SystemExit(1)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed_pyslurm() == "25.11.2"


SAYS = """
def make(answer):
    return lambda question, *arguments: eval(answer)
"""


@pytest.fixture
def saying(tmp_path):
    (tmp_path / "says.py").write_text(SAYS)
    made = []

    def make(answer: object) -> Worker:
        env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
        made.append(Worker("says:make", repr(answer), name="libslurm", env=env))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


def test_a_reader_without_pyslurm_declares_only_what_libslurm_itself_prints(saying):
    reader = LibslurmReader(saying(b""))
    assert reader.answers == {"nodes", "partitions", "reservations", "config"}
    with pytest.raises(SlurmUnreadable, match="only pyslurm"):
        reader.steps()


@pytest.mark.parametrize("with_pyslurm", [True, False])
def test_whatever_is_declared_has_a_method_of_that_name(saying, with_pyslurm):
    reader = LibslurmReader(saying(b""), with_pyslurm=with_pyslurm)
    assert all(callable(getattr(reader, question)) for question in reader.answers)


@pytest.mark.parametrize("answer", [b"NodeName=a State=ID", b"nonsense\n", b"\xff\xfe\n", 7, None])
@pytest.mark.parametrize("question", ["nodes", "partitions", "reservations", "config"])
def test_half_an_answer_or_another_one_is_unreadable_and_names_the_question(saying, question, answer):
    reader = LibslurmReader(saying(answer))
    with pytest.raises(SlurmUnreadable) as caught:
        getattr(reader, question)()
    assert caught.value.where == f"libslurm {question}"


def test_no_reservation_is_an_answer(saying):
    assert LibslurmReader(saying(b"")).reservations() == []


@pytest.mark.parametrize(("answer", "stamp"), [(1795668042, 1795668042), (None, None)])
def test_the_probe_says_when_something_changed_or_that_nothing_did(saying, answer, stamp):
    probe: Conditional = LibslurmProbe(saying(answer))
    assert probe.changed_since("jobs", 1) == stamp


def test_the_probe_takes_nothing_else_for_a_moment(saying):
    with pytest.raises(SlurmUnreadable, match="no moment"):
        LibslurmProbe(saying("soon")).changed_since("nodes", 1)


def test_a_slurm_conf_that_is_not_there_is_an_error_at_once_and_no_death(tmp_path):
    touched(tmp_path / "bin" / "scontrol")
    touched(tmp_path / "lib" / "slurm" / "libslurmfull.so")
    worker = libslurm_worker(slurm_conf=tmp_path / "slurm.conf", bin=tmp_path / "bin")
    reader = LibslurmReader(worker)
    for _ in range(5):
        with pytest.raises(SlurmUnreachable, match=r"there is no such slurm\.conf") as caught:
            reader.nodes()
        assert caught.value.where == str(tmp_path / "slurm.conf")
    worker.close()


def test_a_file_that_is_no_library_is_missing(tmp_path):
    touched(tmp_path / "bin" / "scontrol")
    touched(tmp_path / "lib" / "slurm" / "libslurmfull.so").write_text("no library")
    worker = libslurm_worker(slurm_conf=touched(tmp_path / "slurm.conf"), bin=tmp_path / "bin")
    with pytest.raises(SlurmMissing, match="can't be opened"):
        LibslurmReader(worker).nodes()
    worker.close()


def test_nobodys_own_wishes_reach_libslurm(monkeypatch, tmp_path):
    touched(tmp_path / "bin" / "scontrol")
    touched(tmp_path / "lib" / "slurm" / "libslurmfull.so")
    monkeypatch.setenv("SLURM_BITSTR_LEN", "1")
    monkeypatch.setenv("SLURM_TIME_FORMAT", "relative")
    conf = touched(tmp_path / "slurm.conf")
    worker = libslurm_worker(slurm_conf=conf, bin=tmp_path / "bin")
    with pytest.raises(SlurmMissing):
        worker.ask("nodes")
    kept = Path(f"/proc/{worker.pid}/environ").read_bytes().split(b"\0")
    slurms = {each for each in kept if each.startswith(b"SLURM_")}
    assert slurms == {b"SLURM_TIME_FORMAT=%s", f"SLURM_CONF={conf}".encode()}
    worker.close()
