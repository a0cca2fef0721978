"""Slurm's files pushed to real sshd on loopback addresses, each with a host key and a folder of its own."""

import json
import subprocess
import sys
from pathlib import Path

import paramiko
import pytest

from aistation_slurm.cluster.places import differing
from aistation_slurm.cluster.places.setup import authorized_line
from aistation_slurm.errors import HostsDiffer, PlaceError, SettingsError
from tests.unit.sshd import COUNT, NEEDS_SSHD, NEW, OLD, Site, key_at

pytestmark = NEEDS_SSHD
FILES = {"gres.conf": NEW, "aistation.conf": "quite new\n"}


@pytest.fixture(scope="module")
def all_hosts(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        for host in site.hosts:
            host.start()
        yield site
    finally:
        for host in site.hosts:
            host.stop()


@pytest.fixture
def site(all_hosts):
    all_hosts.calm()
    return all_hosts


def nothing_changed(site):
    return site.held() == [{"gres.conf": OLD}] * COUNT


def test_files_are_staged_then_in_force_on_every_host_and_can_be_taken_back(site):
    place = site.place()
    assert len(differing(place.look(FILES), FILES)) == 1
    place.stage(FILES)
    assert nothing_changed(site)
    place.switch()
    assert site.held() == [FILES] * COUNT
    assert differing(place.look(FILES), FILES) == []
    place.back()
    assert nothing_changed(site)


def test_the_line_that_the_setup_shows_is_all_that_a_node_needs(site):
    host = site.hosts[0]
    program = Path(sys.executable).with_name("aistation")
    line = authorized_line(
        site.settings, program=program, folder=host.conf, restart_with=f"touch {host.root}/restarted"
    )
    (host.root / "authorized_keys").write_text(f"{line}\n")
    place = site.place(only={"gpu-1"})
    place.stage(FILES)
    place.switch()
    assert host.held() == FILES
    place.restart()
    assert (host.root / "restarted").exists()


def test_a_node_whose_line_names_no_command_is_not_restarted_and_says_so(site):
    with pytest.raises(PlaceError, match="1 host did not restart slurmd") as caught:
        site.place(only={"gpu-1"}).restart()
    assert caught.value.failed == {"gpu-1": "this key may not restart slurmd here (--restart-with)"}


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("garbage", "its answer is none of `aistation node files`: \ufffd\ufffd Welcome to gpu-07!"),
        ("flood", "its answer is none of `aistation node files`"),
        ("silent", "its answer is none of `aistation node files`: nothing"),
        ("missing", "no-such-aistation: not found"),
        ("torn", "a request that does not end"),
    ],
)
def test_a_host_that_fails_while_it_is_staged_changes_nothing_anywhere(site, mode, why):
    site.let(site.hosts[1], mode)
    place = site.place(only={"gpu-1", "gpu-2"})
    with pytest.raises(PlaceError, match="1 host could not take the new files; nothing was changed") as caught:
        place.stage(FILES)
    assert why in caught.value.hint
    assert caught.value.hint.startswith("gpu-2: ")
    assert nothing_changed(site)
    assert site.place(only={"gpu-1"}).look(FILES).unfinished == {}


def test_a_host_that_hangs_is_waited_for_no_longer_than_it_may(site):
    site.let(site.hosts[0], "hang")
    with pytest.raises(PlaceError) as caught:
        site.place(only={"gpu-1"}, timeout=1.5).stage(FILES)
    assert caught.value.failed == {"gpu-1": "no answer within 1.5 s"}


def test_a_host_whose_answers_are_lost_in_the_switch_is_named_since_it_may_hold_either(site):
    place = site.place(only={"gpu-1", "gpu-2"})
    place.stage(FILES)
    site.let(site.hosts[1], "lost")
    with pytest.raises(HostsDiffer, match="1 host could not be switched back and may hold the new files") as caught:
        place.switch()
    assert set(caught.value.failed) == {"gpu-2"}
    assert nothing_changed(site)  # it did switch, and did switch back, and could not say so


def test_a_host_that_dies_between_the_phases_leaves_the_old_files_everywhere(site):
    place = site.place()
    place.stage(FILES)
    site.hosts[2].stop()
    try:
        with pytest.raises(PlaceError, match="1 host could not put them in force; nothing was changed") as caught:
            place.switch()
        assert not isinstance(caught.value, HostsDiffer)
        assert caught.value.failed == {"gpu-3": "it can't be reached (Connection refused)"}
        assert nothing_changed(site)
    finally:
        site.hosts[2].start()
    assert site.place(only={"gpu-3"}).look(FILES).unfinished  # back again, it still holds what was staged
    place = site.place()
    place.stage(FILES)
    place.switch()
    assert site.held() == [FILES] * COUNT


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_a_host_whose_disk_takes_nothing_changes_nothing_anywhere(site, trouble):
    host = site.hosts[1]
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", host.conf], check=False, timeout=20)
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        (host.conf / "gres.conf").write_text(OLD)
        if trouble == "read-only":
            subprocess.run(["mount", "-o", "remount,ro", host.conf], check=True, timeout=20)
        with pytest.raises(PlaceError) as caught:
            site.place(only={"gpu-1", "gpu-2"}).stage({**FILES, "gres.conf": "x" * 200_000})
        said = {"full": "No space left on device", "read-only": "Read-only file system"}[trouble]
        assert said in caught.value.failed["gpu-2"]
        assert nothing_changed(site)
    finally:
        subprocess.run(["umount", host.conf], check=True, timeout=20)


def test_a_host_that_is_not_known_is_sent_nothing(site):
    site.known.write_text("")
    with pytest.raises(PlaceError) as caught:
        site.place(only={"gpu-1"}).stage(FILES)
    assert "its host key is not in" in caught.value.failed["gpu-1"]
    assert "session opened" not in (site.hosts[0].root / "log").read_text()


@pytest.mark.parametrize("revoked", [False, True])
def test_a_host_that_shows_another_key_is_sent_nothing(site, revoked):
    key = site.hosts[1].host_key if not revoked else site.hosts[0].host_key
    lines = f"[gpu-1]:{site.port} {key}\n"
    site.known.write_text(f"@revoked * {key}\n{lines}" if revoked else lines)
    with pytest.raises(PlaceError) as caught:
        site.place(only={"gpu-1"}).stage(FILES)
    wanted = "its host key is not in" if revoked else "it shows another host key"
    assert wanted in caught.value.failed["gpu-1"]
    assert nothing_changed(site)


def test_hashed_names_and_addresses_are_known_too(site):
    first, second = site.hosts[:2]
    lines = f"[{first.name}]:{site.port} {first.host_key}\n[{second.address}]:{site.port} {second.host_key}\n"
    site.known.write_text(lines)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", site.known], check=True, timeout=20, capture_output=True)
    assert first.name not in site.known.read_text()
    assert site.place(only={"gpu-1", "gpu-2"}).look(FILES).failed == {}


def test_a_key_that_is_not_let_in_is_told(site, tmp_path):
    key_at(tmp_path / "other")
    seen = site.place(only={"gpu-1"}, key=tmp_path / "other").look(FILES)
    assert "does not let root in with the key" in seen.failed["gpu-1"]


def test_the_key_can_do_nothing_but_push(site, tmp_path):
    """Whatever it asks for it gets our protocol: no command, no sftp, no forwarding, no terminal."""
    host = site.hosts[0]
    with paramiko.SSHClient() as client:
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        client.connect(
            host.address, host.port, "root", key_filename=str(site.key), allow_agent=False, look_for_keys=False
        )
        stdin, stdout, _ = client.exec_command(f"touch {tmp_path}/broken; cat /etc/shadow", timeout=60)
        stdin.channel.shutdown_write()
        assert "too long" in json.loads(stdout.read())["error"]
        transport = client.get_transport()
        with pytest.raises(paramiko.SSHException):
            transport.open_channel("direct-tcpip", (host.address, host.port), ("127.0.0.1", 0), timeout=60)
        with pytest.raises(paramiko.SSHException):
            transport.open_session(timeout=60).get_pty()
        with transport.open_session(timeout=60) as sftp:
            sftp.invoke_subsystem("sftp")
            sftp.sendall(b"\x00\x00\x00\x05\x01\x00\x00\x00\x03\n")
            assert json.loads(sftp.makefile().read())["error"].startswith("no request")
    assert not (tmp_path / "broken").exists()
    assert nothing_changed(site)


PUSHER = """\
import sys, time
from pathlib import Path
from aistation_slurm.cluster.places import Host, Hosts, open_place
from aistation_slurm.settings import Settings
hosts = Hosts(tuple(Host(*each.split("=")) for each in sys.argv[2:]))
place = open_place(Settings.model_validate_json(sys.argv[1]), hosts)
place.stage({"gres.conf": "of the dead one\\n"})
print("staged", flush=True)
time.sleep(600)
"""


def test_a_pusher_that_is_killed_between_the_phases_is_cleaned_up_after_by_the_next_one(site):
    hosts = [f"{each.name}={each.address}" for each in site.hosts]
    argv = [sys.executable, "-c", PUSHER, site.settings.model_dump_json(), *hosts]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as pusher:
        try:
            assert pusher.stdout.readline() == b"staged\n"
        finally:
            pusher.kill()
    place = site.place()
    assert nothing_changed(site)
    assert set(place.look(FILES).unfinished) == {host.name for host in site.hosts}
    place.stage(FILES)
    place.switch()
    assert site.held() == [FILES] * COUNT
    assert place.look(FILES).unfinished == {}
    assert not [path for host in site.hosts for path in host.conf.glob(".*-new")]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda key: key.unlink(), "can't be read"),
        (lambda key: key.chmod(0o644), "others can read"),
        (lambda key: key.write_text("no key\n"), "is no private key"),
        (
            lambda key: subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", key], check=True),
            "has a passphrase",
        ),
    ],
)
def test_a_private_key_that_can_not_be_used_is_told_before_anybody_is_asked(site, tmp_path, spoil, why):
    key_at(tmp_path / "key")
    spoil(tmp_path / "key")
    with pytest.raises(SettingsError, match=why):
        site.place(key=tmp_path / "key")


def test_known_hosts_that_are_not_there_are_told_before_anybody_is_asked(site, tmp_path):
    with pytest.raises(SettingsError, match="known hosts can't be read"):
        site.place(known_hosts=tmp_path / "none")
