"""Who asks Slurm, and what of it: the choice, and one reader filled with another."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aistation_slurm.errors import SettingsError, SlurmMissing, SlurmUnreachable
from aistation_slurm.settings import SlurmSettings, read_settings
from aistation_slurm.slurm.conditional import What
from aistation_slurm.slurm.connect import Choice, OnDemand, connect, ways_here
from aistation_slurm.slurm.filled import Filled
from aistation_slurm.slurm.model import Node, Partition
from aistation_slurm.slurm.reader import QUESTIONS
from aistation_slurm.slurm.readers.cli import CliReader
from aistation_slurm.slurm.runner import Completed, LocalRunner
from aistation_slurm.slurm.states import NodeState

NODE = Node(name="n1", state=NodeState.parse("IDLE"))


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """Slurm's commands, of which only `sinfo -V` says something; each writes down that it was started."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sinfo", "squeue", "scontrol", "sacctmgr"):
        said = "echo slurm-wlm 22.05.8" if name == "sinfo" else "exit 1"
        (folder / name).write_text(f"#!/bin/sh\necho {name} >> {tmp_path}/started\n{said}\n")
        (folder / name).chmod(0o755)
    return folder


def there(commands: Path, **more: object) -> SlurmSettings:
    """Settings of a Slurm that is there: its commands, and a slurm.conf."""
    conf = commands.parent / "slurm.conf"
    conf.touch()
    return SlurmSettings.model_validate({"conf": conf, "bin": commands, **more})


def started(commands: Path) -> list[str]:
    log = commands.parent / "started"
    return log.read_text().split() if log.exists() else []


def with_pyslurm(monkeypatch: pytest.MonkeyPatch, folder: Path, version: str) -> None:
    """Install a pyslurm that says its version and can't be imported here: importing it may end the process."""
    (folder / "site" / "pyslurm").mkdir(parents=True)
    (folder / "site" / "pyslurm" / "__init__.py").write_text("raise SystemExit('imported')")
    info = folder / "site" / f"pyslurm-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: pyslurm\nVersion: {version}\n")
    monkeypatch.syspath_prepend(str(folder / "site"))


def test_the_commands_are_asked_where_pyslurm_is_not_installed_and_none_is_started_for_it(
    commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aistation_slurm.slurm.ways.find_spec", lambda _: None)
    slurm = connect(there(commands))
    assert slurm.choice == Choice("cli", "pyslurm is not installed")
    assert str(slurm.choice) == "Slurm is asked by cli: pyslurm is not installed"
    assert slurm.read.name == "cli"
    assert started(commands) == []


def test_a_pyslurm_of_another_release_is_left_alone_and_named(
    commands: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_pyslurm(monkeypatch, tmp_path, "25.11.2")
    slurm = connect(there(commands))
    assert slurm.choice == Choice("cli", "pyslurm 25.11.2 is made for Slurm 25.11, and this is 22.05.8")
    assert started(commands) == ["sinfo"]  # which asks slurmctld nothing


def test_a_pyslurm_that_fits_is_chosen_but_not_imported_here(
    commands: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_pyslurm(monkeypatch, tmp_path, "22.5.0")
    library = tmp_path / "lib" / "slurm" / "libslurmfull.so"
    library.parent.mkdir(parents=True)
    library.touch()
    slurm = connect(there(commands))
    assert slurm.choice == Choice("libslurm", "the installed pyslurm fits this Slurm")
    assert slurm.read.name == "libslurm"
    assert "pyslurm" not in sys.modules


def test_a_pyslurm_that_fits_is_not_chosen_where_there_is_no_libslurm(
    commands: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_pyslurm(monkeypatch, tmp_path, "22.5.0")
    slurm = connect(there(commands))
    assert slurm.choice.reader == "cli"
    assert "no libslurm" in slurm.choice.why


def test_the_commands_that_the_settings_name_are_asked_whatever_is_installed(
    commands: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_pyslurm(monkeypatch, tmp_path, "22.5.0")
    slurm = connect(there(commands, reader="cli"))
    assert slurm.choice == Choice("cli", "[slurm] reader in aistation.toml names it")
    assert isinstance(slurm.read, CliReader)


def test_a_reader_that_the_settings_name_and_that_is_not_here_is_an_error_and_no_other_is_taken(commands: Path) -> None:
    with pytest.raises(SettingsError, match=r'reader = "libslurm" can\'t be used here: .*no libslurm'):
        connect(there(commands, reader="libslurm"))


def test_slurmrestd_without_a_socket_is_an_error(commands: Path) -> None:
    with pytest.raises(SettingsError, match=r"no .*rest_socket"):
        connect(there(commands, reader="rest"))


def test_a_token_that_can_t_be_read_is_an_error_that_names_the_file(commands: Path, tmp_path: Path) -> None:
    settings = SlurmSettings(reader="rest", rest_socket=tmp_path / "s", rest_user="ann", rest_token_file=tmp_path / "t")
    with pytest.raises(SettingsError) as caught:
        connect(settings)
    assert caught.value.where == str(tmp_path / "t")


def test_slurmrestd_that_is_away_is_a_failure_and_the_commands_are_not_asked_instead(
    commands: Path, tmp_path: Path
) -> None:
    slurm = connect(there(commands, reader="rest", rest_socket=tmp_path / "nobody.socket"))
    assert slurm.choice.reader == "rest"
    with pytest.raises(SlurmUnreachable):
        slurm.read.jobs()
    assert started(commands) == []


def test_another_reader_than_we_have_is_refused_with_the_key(tmp_path: Path) -> None:
    path = tmp_path / "aistation.toml"
    path.write_text('[slurm]\nreader = "drmaa"\n')
    with pytest.raises(SettingsError, match=r"slurm\.reader"):
        read_settings(path)


def test_every_way_says_whether_it_can_be_used_and_by_what_or_why_not(commands: Path) -> None:
    ways = {way.name: way for way in ways_here(there(commands))}
    assert ways["cli"].why == "the commands of Slurm 22.05.8"
    assert (ways["cli"].is_usable, ways["cli"].leaves) == (True, ())
    assert "no libslurm" in ways["libslurm"].why
    assert "rest_socket" in ways["rest"].why
    assert not ways["libslurm"].is_usable
    assert not ways["rest"].is_usable


def test_without_a_slurm_conf_nothing_is_waited_for(
    commands: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_pyslurm(monkeypatch, tmp_path, "22.5.0")
    slurm = connect(SlurmSettings(conf=tmp_path / "nowhere", bin=commands))
    assert slurm.choice.reader == "cli"
    assert "there is no such slurm.conf" in slurm.choice.why
    assert started(commands) == []


def test_a_slurm_without_commands_is_said_and_ends_nothing(tmp_path: Path) -> None:
    ways = {way.name: way for way in ways_here(there(tmp_path / "nowhere"))}
    assert not any(way.is_usable for way in ways.values())
    assert "can't be started" in ways["cli"].why


def test_a_quick_command_imports_no_reader_that_it_does_not_ask() -> None:
    program = (
        "import sys; from aistation_slurm.slurm import ways; ways.find_spec = lambda _: None  # no pyslurm\n"
        "from aistation_slurm.slurm.connect import connect; from aistation_slurm.settings import SlurmSettings\n"
        "connect(SlurmSettings()); print('\\n'.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = ("aistation_slurm.slurm.readers.rest", "aistation_slurm.slurm.readers.libslurm", "pyslurm", "ctypes")
    assert [name for name in done.stdout.split() if name.startswith(heavy)] == []


# One reader filled with another


class Nothing:
    """A runner on a machine where nobody answers."""

    def run(self, argv: tuple[str, ...], *, stdin: str = "", timeout: float = 30) -> Completed:
        raise SlurmUnreachable("nobody answers", where=argv[0])


class OnlyNodes:
    """A reader that declares its nodes, and perhaps can't tell them."""

    name = "nodes"
    answers = frozenset({"nodes"})

    def __init__(self, *, is_broken: bool = False) -> None:
        self.is_broken = is_broken

    def nodes(self) -> list[Node]:
        if self.is_broken:
            raise SlurmUnreachable("the library is gone")
        return [NODE]


class Everything(CliReader):
    """Says by which reader it was asked."""

    def __init__(self) -> None:
        super().__init__(LocalRunner())

    def nodes(self) -> list[Node]:
        raise AssertionError("asked for what the other one declares")

    def partitions(self) -> list[Partition]:
        return [Partition(name="main")]


def test_what_is_declared_is_asked_of_the_chosen_reader_and_the_rest_of_the_commands() -> None:
    filled = Filled(OnlyNodes(), Everything())
    assert filled.nodes() == [NODE]
    assert filled.partitions() == [Partition(name="main")]
    assert (filled.name, filled.answers) == ("nodes", QUESTIONS)


def test_what_is_declared_and_not_answered_is_a_failure_and_never_asked_elsewhere() -> None:
    with pytest.raises(SlurmUnreachable, match="the library is gone"):
        Filled(OnlyNodes(is_broken=True), Everything()).nodes()


ABOUT_A_JOB = ("job", "asked", "batch_script", "step_history", "running_usage")


@pytest.mark.parametrize("question", sorted(QUESTIONS))
def test_every_question_of_the_contract_reaches_the_reader_that_fills(question: str) -> None:
    since = datetime(2026, 11, 23, tzinfo=UTC)
    given = {"usage": (since, since.replace(day=24)), **dict.fromkeys(ABOUT_A_JOB, (1,))}
    with pytest.raises(SlurmUnreachable, match="nobody answers"):
        getattr(Filled(Empty(), CliReader(Nothing())), question)(*given.get(question, ()))


class Empty:
    """Declares nothing."""

    name = "empty"
    answers: frozenset[str] = frozenset()


# Whether anything changed


def test_what_asks_whether_anything_changed_is_made_when_it_is_asked_first() -> None:
    made: list[str] = []

    class Changes:
        def changed_since(self, what: What, since: int) -> int | None:
            return since + 1

    probe = OnDemand(lambda: made.append("once") or Changes())  # type: ignore[func-returns-value]
    assert made == []
    assert [probe.changed_since("jobs", 1), probe.changed_since("nodes", 5)] == [2, 6]
    assert made == ["once"]


def test_where_there_is_no_libslurm_the_probe_says_so(commands: Path) -> None:
    slurm = connect(there(commands))
    assert slurm.conditional is not None
    with pytest.raises(SlurmMissing):
        slurm.conditional.changed_since("jobs", 0)
