"""Slurm's daemons are restarted by the site's own commands, and slurmctld never where it could not start."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from aistation_slurm.cluster.applying import restart
from aistation_slurm.errors import SlurmRefused, SlurmUnreachable
from aistation_slurm.settings import SlurmSettings
from aistation_slurm.slurm.connect import Slurm


@dataclass
class Daemons:
    """slurmctld and slurmdbd, alive or not."""

    slurmdbd: bool = True
    pings: int = 0
    """So many pings go unanswered."""

    def qos(self) -> list[object]:
        if not self.slurmdbd:
            raise SlurmUnreachable("nobody answered")
        return []

    def ping(self) -> bool:
        self.pings -= 1
        return self.pings < 0

    @property
    def slurm(self) -> Slurm:
        return Slurm(read=self, write=self)


def settings(*argv: str) -> SlurmSettings:
    return SlurmSettings(conf=Path("/etc/slurm/slurm.conf"), restart_controller=argv, restart_nodes=argv)


def writes(path: Path, *words: str) -> tuple[str, ...]:
    """Return a command that writes its words into the file."""
    program = f"import sys; open({str(path)!r}, 'a').write(' '.join(sys.argv[1:]))"
    return (sys.executable, "-c", program, *words)


def test_slurmctld_is_restarted_by_the_sites_command_and_waited_for(tmp_path):
    done = tmp_path / "done"
    restart.restart_controller(settings(*writes(done, "slurmctld; rm -rf /")), Daemons(pings=2).slurm)
    assert done.read_text() == "slurmctld; rm -rf /"


def test_slurmctld_is_not_restarted_while_slurmdbd_is_away(tmp_path):
    done = tmp_path / "done"
    with pytest.raises(SlurmUnreachable, match="not restarted while slurmdbd is away: nobody answered"):
        restart.restart_controller(settings(*writes(done)), Daemons(slurmdbd=False).slurm)
    assert not done.exists()


def test_a_slurmctld_that_does_not_come_back_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(restart, "PATIENCE", 0.3)
    with pytest.raises(SlurmUnreachable, match="slurmctld does not answer"):
        restart.restart_controller(settings(*writes(tmp_path / "done")), Daemons(pings=1000).slurm)


def test_a_command_that_fails_says_its_own_last_words():
    argv = (
        sys.executable,
        "-c",
        "import sys; print('Unit slurmctld.service not found.', file=sys.stderr); sys.exit(5)",
    )
    with pytest.raises(SlurmRefused, match="exit code 5") as refused:
        restart.restart_controller(settings(*argv), Daemons().slurm)
    assert refused.value.hint == "Unit slurmctld.service not found."


@pytest.mark.parametrize("argv", [(), ("/there/is/no/such/command",)])
def test_without_a_command_it_says_how_to_name_one(argv):
    with pytest.raises(SlurmRefused) as refused:
        restart.restart_controller(settings(*argv), Daemons().slurm)
    assert "restart_controller" in refused.value.hint


def test_nodes_are_named_to_the_sites_command(tmp_path):
    done = tmp_path / "done"
    assert restart.restart_nodes(settings(*writes(done, "--on", "{nodes}")), "v100-[01-03]")
    assert done.read_text() == "--on v100-[01-03]"
    assert not restart.restart_nodes(settings(), "v100-[01-03]")


@pytest.mark.parametrize(("version", "does"), [("22.05.8", False), ("23.11.0", True), ("24.05.1", True), ("", False)])
def test_from_2311_on_a_reconfigure_does_what_a_restart_does(version, does):
    assert restart.restarts_by_reconfigure({"SLURM_VERSION": version}) is does
