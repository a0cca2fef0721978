"""Which Slurm a cluster runs: what may be asked for, where it is found, what is said where it can't be had."""

import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aistation_slurm.assets import asset_dir
from aistation_slurm.devcluster import debian_suite, release_shelf
from aistation_slurm.devcluster.conf import settings_toml, slurm_conf, slurmdbd_conf
from aistation_slurm.devcluster.debian_suite import Mirror, make_prefix, raise_if_no_room
from aistation_slurm.devcluster.instance import DevCluster
from aistation_slurm.devcluster.paths import Paths, paths_of
from aistation_slurm.devcluster.plan import Wishes, choose_slurm
from aistation_slurm.devcluster.record import ClusterRecord, NodeRecord, Ports, save_record
from aistation_slurm.devcluster.release import PROGRAMS, program, put_link, read_release
from aistation_slurm.devcluster.release_shelf import made, provide, remove
from aistation_slurm.devcluster.services import our_env, slurmd
from aistation_slurm.devcluster.steps import Steps
from aistation_slurm.errors import DevClusterError, NoMirror, UnknownNameError, UsageError
from aistation_slurm.settings import read_settings
from aistation_slurm.spec import load_spec

SMALL = asset_dir("slurm_conf") / "examples" / "small.yaml"
HOST = "/usr/bin:/bin"
RECORD = ClusterRecord(
    name="dev",
    tag="dev1a2b",
    layout="loopback",
    slot=0,
    ports=Ports(slurmctld=21000, slurmdbd=21001, mariadb=21002, heartbeat=8171, web=8170, slurmd=21005),
    nodes=(NodeRecord(name="v100-01", address="127.0.0.1", port=21005, index=0),),
    users=(),
    slurm_cluster="small",
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def built(tmp_path) -> Path:
    """A folder that somebody built a Slurm into."""
    return a_build(tmp_path / "slurm-25.11")


def a_build(prefix: Path) -> Path:
    for each in PROGRAMS:
        path = prefix / each
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\necho slurm 25.11.7\n")
        path.chmod(0o755)
    (prefix / "lib" / "slurm").mkdir(parents=True)
    return prefix


def a_cluster(base: Path, slurm: str, name: str = "dev") -> DevCluster:
    paths = Paths(name, base)
    paths.etc.mkdir(parents=True)
    record = RECORD.model_copy(update={"name": name, "slurm": slurm})
    save_record(paths, record)
    put_link(paths, read_release(slurm, base))
    return DevCluster(paths, record)


def on_the_shelf(base: Path, spec: str) -> Path:
    prefix = a_build(base / "releases" / spec.replace(":", "-"))
    (prefix / "version").write_text("24.11.5\n")
    return prefix


@contextmanager
def a_mirror(status: int) -> Iterator[str]:
    """A mirror that answers each question by the same status."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(status)

        def log_message(self, *_) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/debian"
        server.shutdown()


def test_a_release_is_the_installed_one_a_debian_suites_or_a_build(tmp_path):
    assert read_release("installed", tmp_path).prefix is None
    assert read_release("debian:trixie", tmp_path).prefix == tmp_path / "releases" / "debian-trixie"
    assert read_release("/opt/slurm-25.11/", tmp_path).spec == "/opt/slurm-25.11"


@pytest.mark.parametrize("spec", ["", "24.11", "debian:", "debian:../x", "ubuntu:noble", "opt/slurm", "/a b", "/a\nb"])
def test_what_can_be_no_release_is_refused_with_what_can(spec, tmp_path):
    with pytest.raises(UsageError, match="is no release of Slurm") as error:
        read_release(spec, tmp_path)

    assert "debian:trixie" in error.value.hint


def test_a_folder_without_a_whole_slurm_is_named_with_what_it_lacks(built):
    (built / "sbin" / "slurmstepd").unlink()

    with pytest.raises(DevClusterError, match=f"{built}: no whole Slurm: sbin/slurmstepd missing"):
        provide(read_release(str(built), Path("/nowhere")), Path("/nowhere"), print)


def test_a_clusters_release_is_kept_and_not_changed_in_place():
    old = RECORD.model_copy(update={"slurm": "debian:trixie"})

    assert choose_slurm(Wishes(), None) == "installed"
    assert choose_slurm(Wishes(), old) == "debian:trixie"
    with pytest.raises(DevClusterError, match="dev runs the Slurm debian:trixie, not debian:forky") as error:
        choose_slurm(Wishes(slurm="debian:forky"), old)
    assert "dev down --name dev" in error.value.hint


def test_a_record_from_before_there_were_releases_runs_the_installed_one():
    old = RECORD.model_dump(exclude={"slurm"})
    assert ClusterRecord.model_validate(old).slurm == "installed"


def test_every_program_of_another_release_is_its_own(built, tmp_path):
    cluster = a_cluster(tmp_path, str(built))
    link = cluster.paths.slurm

    assert program(cluster.paths, "sinfo") == f"{link}/bin/sinfo"
    assert slurmd(cluster.paths, RECORD, RECORD.nodes[0]).argv == (
        f"{link}/sbin/slurmd", "-D", "-N", "v100-01", "-d", f"{link}/sbin/slurmstepd",
    )  # fmt: skip
    assert f"PluginDir={link}/lib/slurm\n" in slurm_conf(cluster.paths, RECORD, load_spec(SMALL), {})
    assert f"PluginDir={link}/lib/slurm\n" in slurmdbd_conf(cluster.paths, cluster.record, "x")


def test_our_own_programs_ask_by_the_clusters_release(built, tmp_path):
    cluster = a_cluster(tmp_path, str(built))
    file = tmp_path / "aistation.toml"
    file.write_text(settings_toml(cluster.paths, cluster.record))

    assert read_settings(file).slurm.bin == cluster.paths.slurm / "bin"
    assert our_env(cluster.paths)["PATH"].startswith(f"{cluster.paths.slurm}/bin:")


def test_a_cluster_of_the_installed_slurm_names_no_folder_of_it(tmp_path):
    cluster = a_cluster(tmp_path, "installed")
    file = tmp_path / "aistation.toml"
    file.write_text(settings_toml(cluster.paths, cluster.record))

    assert read_settings(file).slurm.bin is None
    assert "PluginDir" not in slurmdbd_conf(cluster.paths, cluster.record, "x")
    assert not cluster.paths.slurm.is_symlink()


def test_a_clusters_own_slurm_comes_first_and_another_clusters_not_at_all(built, tmp_path):
    one, two = a_cluster(tmp_path, str(built), "one"), a_cluster(tmp_path, "installed", "two")

    path = one.env(HOST)["PATH"]
    assert path.split(":")[:2] == [f"{one.paths.slurm}/bin", f"{one.paths.slurm}/sbin"]
    assert path.endswith(HOST)
    assert one.env(path)["PATH"] == path
    assert str(tmp_path) not in two.env(path)["PATH"]


def test_the_link_follows_the_release(built, tmp_path):
    cluster = a_cluster(tmp_path, str(built))
    other = a_build(tmp_path / "other")

    put_link(cluster.paths, read_release(str(other), tmp_path))
    assert cluster.paths.slurm.readlink() == other
    put_link(cluster.paths, read_release("installed", tmp_path))
    assert not cluster.paths.slurm.is_symlink()


def test_what_is_on_the_shelf_is_listed_with_who_runs_it(tmp_path):
    on_the_shelf(tmp_path, "debian:trixie")
    (tmp_path / "releases" / "debian-forky").mkdir()
    a_cluster(tmp_path, "debian:trixie", "mine")

    assert [(each.spec, each.version, each.used_by) for each in made(tmp_path)] == [
        ("debian:forky", "", ()),
        ("debian:trixie", "24.11.5", ("mine",)),
    ]


@needs_root
def test_a_release_is_removed_only_when_no_cluster_runs_it(tmp_path):
    base = tmp_path / "dev"
    on_the_shelf(base, "debian:trixie")
    cluster = a_cluster(base, "debian:trixie", "mine")
    with pytest.raises(DevClusterError, match="debian:trixie is what the cluster mine runs"):
        remove("debian:trixie", base, print)

    shutil.rmtree(cluster.paths.root)
    remove("debian:trixie", base, print)

    assert not base.exists()


@needs_root
def test_an_unknown_release_is_named_with_the_nearest(tmp_path):
    on_the_shelf(tmp_path, "debian:trixie")
    with pytest.raises(UnknownNameError, match="no release called 'debian:trixi'") as error:
        remove("debian:trixi", tmp_path, print)

    assert error.value.hint == "did you mean 'debian:trixie'?"


@needs_root
def test_what_an_interrupted_try_left_is_thrown_away_and_made_anew(tmp_path, monkeypatch):
    left = tmp_path / "releases" / "debian-trixie" / "box"
    left.mkdir(parents=True)
    monkeypatch.setattr(release_shelf, "machines_mirror", lambda: Mirror("http://mirror", None))
    monkeypatch.setattr(release_shelf, "make_prefix", lambda suite, prefix, *_: a_build(prefix))

    provide(read_release("debian:trixie", tmp_path), tmp_path, print)

    assert not left.exists()
    assert [each.version for each in made(tmp_path)] == ["25.11.7"]


@needs_root
def test_a_try_that_failed_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(release_shelf, "machines_mirror", lambda: Mirror("http://127.0.0.1:9/debian", None))

    with pytest.raises(NoMirror):
        provide(read_release("debian:trixie", tmp_path), tmp_path, print)

    assert list((tmp_path / "releases").iterdir()) == []


@pytest.mark.skipif(not shutil.which("apt-get"), reason="no apt-get")
def test_a_mirror_that_nobody_answers_at_is_named(tmp_path):
    with pytest.raises(NoMirror, match=r"http://127\.0\.0\.1:9/debian can't be reached"):
        make_prefix("trixie", tmp_path, Mirror("http://127.0.0.1:9/debian", None), Steps(print))


@pytest.mark.skipif(not shutil.which("apt-get"), reason="no apt-get")
def test_a_suite_that_the_mirror_lacks_is_named(tmp_path):
    with a_mirror(404) as site, pytest.raises(NoMirror, match=f"{site} has no suite 'warty'"):
        make_prefix("warty", tmp_path, Mirror(site, None), Steps(print))


def test_a_machine_that_is_no_debian_has_no_mirror(monkeypatch):
    monkeypatch.setattr(debian_suite, "find", lambda _: "/usr/bin/apt-get")
    monkeypatch.setattr(debian_suite, "run", lambda _: "http://archive/ubuntu noble main\n")
    monkeypatch.setattr(debian_suite, "os_release", lambda: {"ID": "ubuntu", "VERSION_CODENAME": "noble"})

    with pytest.raises(NoMirror, match="name no mirror of Debian"):
        debian_suite.machines_mirror()


def test_the_mirror_is_the_one_of_the_machines_own_suite(monkeypatch, tmp_path):
    said = "http://mirror/debian-security bookworm-security main\nhttp://mirror/debian bookworm main\n"
    monkeypatch.setattr(debian_suite, "find", lambda _: "/usr/bin/apt-get")
    monkeypatch.setattr(debian_suite, "run", lambda _: said)
    monkeypatch.setattr(debian_suite, "os_release", lambda: {"ID": "debian", "VERSION_CODENAME": "bookworm"})

    assert debian_suite.machines_mirror(tmp_path) == Mirror("http://mirror/debian", None)


def test_too_little_disk_says_how_much(tmp_path, monkeypatch):
    monkeypatch.setattr(debian_suite, "ROOM", 10**9)
    with pytest.raises(DevClusterError, match=f"{tmp_path}: a release takes 1000000000 MiB while it is made"):
        raise_if_no_room(tmp_path)


def test_the_shelf_is_no_name_for_a_cluster():
    with pytest.raises(DevClusterError, match="can't be called 'releases'"):
        paths_of("releases")
