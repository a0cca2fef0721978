"""`aistation up` beside a Slurm that runs: it looks, writes a cluster file, serves the page; and takes it all back."""

import json
import shutil
import socket
import urllib.request

import pytest

from aistation_slurm.cli import adoption
from aistation_slurm.cli import station as stations
from aistation_slurm.errors import PortInUse
from aistation_slurm.settings import Settings, WebSettings
from aistation_slurm.spec import load_spec

pytestmark = pytest.mark.cluster


@pytest.fixture
def folder(station):
    """Return a folder that the page's user can read, too."""
    folder = station.scratch / "site"
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def beside(station, folder, monkeypatch):
    """Return the settings of a site that has this Slurm and nothing of ours; what `up` writes goes to the folder."""
    monkeypatch.setattr(adoption, "SITE_FILE", folder / "etc/aistation.toml")
    monkeypatch.setattr(adoption, "MADE", folder / "adopted.json")
    monkeypatch.setattr(adoption, "LOG", folder / "page.log")
    monkeypatch.setattr(adoption, "MARK", "(adopted in a test)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "site.toml"
    slurm = station.settings.slurm
    config.write_text(
        f'munge_socket = "{station.settings.munge_socket}"\n[web]\nlisten = "127.0.0.1:{port}"\n'
        f'[slurm]\nconf = "{slurm.conf}"\n' + (f'bin = "{slurm.bin}"\n' if slurm.bin else "")
    )
    yield Settings(web=WebSettings(listen=f"127.0.0.1:{port}"), slurm=slurm, source=config)
    if adoption.stands():
        adoption.forget(say=lambda _: None)


def test_a_running_slurm_is_found_and_our_own_is_not(station, beside):
    assert stations.running_slurm(beside) is not None
    assert stations.running_slurm(station.settings) is None


def test_adopting_changes_nothing_in_slurm_and_going_leaves_nothing(station, beside, folder):
    read = station.slurm.read
    before = read.partitions(), read.qos(), read.associations()
    said: list[str] = []

    adoption.adopt(station.slurm, beside, say=said.append, ask=stations.no_question)

    written = folder / "etc/cluster.yaml"
    assert "v100" in load_spec(written).groups
    with urllib.request.urlopen(f"http://{beside.web.listen}/healthz", timeout=10) as answer:
        assert json.load(answer)["status"] == "ok"
    assert (read.partitions(), read.qos(), read.associations()) == before

    adoption.forget(say=said.append)
    assert not written.exists()
    assert not adoption.stands()


def test_a_cluster_file_that_was_changed_is_kept(station, beside, folder):
    adoption.adopt(station.slurm, beside, say=lambda _: None, ask=stations.no_question)
    written = folder / "etc/cluster.yaml"
    written.write_text(written.read_text() + "# mine now\n")
    adoption.forget(say=lambda _: None)
    assert written.exists()


def test_a_no_changes_nothing(station, beside, folder):
    adoption.adopt(station.slurm, beside, say=lambda _: None, ask=lambda _: False)
    assert not (folder / "etc").exists()
    assert not adoption.stands()


def test_an_occupied_port_leaves_nothing_half_done(station, beside, folder):
    host, port = beside.web.listen.split(":")
    with socket.create_server((host, int(port))), pytest.raises(PortInUse):
        adoption.adopt(station.slurm, beside, say=lambda _: None, ask=stations.no_question)
    assert not (folder / "etc/cluster.yaml").exists()
