"""Credentials and heartbeats, by a munged of the test's own."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aistation_slurm import munge
from aistation_slurm.errors import AistationError, CredentialRefused, MungeUnreachable, UsageError
from aistation_slurm.node import heartbeat
from aistation_slurm.node.agent import Agent
from aistation_slurm.node.beats import read_beats
from aistation_slurm.node.receiver import Receiver

MUNGED = shutil.which("munged", path="/usr/sbin:/usr/bin")


@pytest.fixture(scope="session")
def munged(tmp_path_factory):
    """The socket of a munged with a key of its own."""
    if os.geteuid() != 0 or MUNGED is None:
        pytest.skip("a munged of our own needs root and munge")
    folder = Path(f"/run/aistation-test-munge-{os.getpid()}")  # munged wants a folder that only root may write
    folder.mkdir()
    key, path = folder / "key", folder / "socket"
    key.write_bytes(os.urandom(64))
    key.chmod(0o600)
    files = {"key-file": key, "socket": path, "pid-file": folder / "pid", "seed-file": folder / "seed"}
    argv = [MUNGED, "--foreground", "--force", *(f"--{name}={each}" for name, each in files.items())]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(path.exists)
    yield path
    process.terminate()
    process.wait()
    shutil.rmtree(folder)


def wait_for(predicate, within=5.0):
    give_up = time.monotonic() + within
    while not (found := predicate()):
        assert time.monotonic() < give_up
        time.sleep(0.02)
    return found


def test_a_credential_tells_who_wrote_what(munged):
    credential = munge.decode(munge.encode(b"\x00hello\xff", socket=munged), socket=munged)
    assert (credential.payload, credential.uid, credential.gid) == (b"\x00hello\xff", 0, 0)


def test_an_empty_message_is_a_message(munged):
    assert munge.decode(munge.encode(b"", socket=munged), socket=munged).payload == b""


def test_a_credential_is_good_once(munged):
    text = munge.encode(b"x", socket=munged)
    munge.decode(text, socket=munged)
    with pytest.raises(CredentialRefused, match="Replayed"):
        munge.decode(text, socket=munged)


@pytest.mark.parametrize("forged", ["", "MUNGE:", "MUNGE:AAAA:", "none at all", "é\x00"])
def test_a_forged_credential_is_refused(munged, forged):
    with pytest.raises(CredentialRefused):
        munge.decode(forged, socket=munged)


def test_a_changed_credential_is_refused(munged):
    text = munge.encode(b"x" * 90, socket=munged)
    with pytest.raises(CredentialRefused):
        munge.decode(text[:60] + ("A" if text[60] != "A" else "B") + text[61:], socket=munged)


def test_a_munged_that_is_away_is_one_sentence(tmp_path):
    with pytest.raises(MungeUnreachable, match="munged does not answer") as raised:
        munge.encode(b"x", socket=tmp_path / "none")
    assert raised.value.hint == "is munged running?"


def test_a_heartbeat_arrives_as_it_was_sent(munged):
    beat = heartbeat.next_beat("gpu-01", boot_id="b")
    heard = heartbeat.unpack(heartbeat.pack(beat, munge_socket=munged), munge_socket=munged)
    assert (heard.beat, heard.uid) == (beat, 0)
    assert len(heartbeat.pack(beat, munge_socket=munged)) < 400


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"{}", b"[" * 900, b'{"node":"a/b","boot_id":"","seq":1,"time":1}', b"\xff",
     b'{"node":"../x","boot_id":"","seq":1,"time":1}', b'{"node":".x","boot_id":"","seq":1,"time":1}',
     b'{"node":"n","boot_id":"","seq":"x","time":1}', b'{"node":"n","boot_id":"","seq":1e999,"time":1}'],
)  # fmt: skip
def test_a_signed_message_that_is_no_heartbeat_is_refused(munged, payload):
    datagram = munge.encode(payload, socket=munged).encode()
    with pytest.raises(CredentialRefused):
        heartbeat.unpack(datagram, munge_socket=munged)


@pytest.mark.parametrize("text", ["", "host", "host:", ":1", "host:0", "host:65536", "host:x"])
def test_an_address_without_host_and_port_is_a_usage_error(text):
    with pytest.raises(UsageError):
        heartbeat.address(text)


@pytest.fixture
def receiver(munged, tmp_path):
    receiver = Receiver("127.0.0.1:0", tmp_path, munge_socket=munged, uids=(0,))
    receiver.learn(["n1", "n2"])
    receiver.start()
    yield receiver
    receiver.stop()


@pytest.fixture
def an_agent(munged):
    agents = []

    def make(node, to, munge_socket=munged):
        agents.append(Agent(node, ("127.0.0.1", to) if isinstance(to, int) else to, munge_socket))
        return agents[-1]

    yield make
    for each in agents:
        each.close()


def test_a_node_that_beats_is_seen(receiver, tmp_path, an_agent):
    an_agent("n1", receiver.port).beat()
    wait_for(lambda: "n1" in read_beats(tmp_path).seen)
    beats = read_beats(tmp_path)
    assert abs(beats.seen["n1"].last.timestamp() - time.time()) < 2
    assert beats.seen["n1"].boot_id == heartbeat.boot_id()


def test_a_node_that_slurm_does_not_know_is_not_believed(receiver, tmp_path, caplog, an_agent):
    an_agent("stranger", receiver.port).beat()
    an_agent("n2", receiver.port).beat()
    wait_for(lambda: "n2" in read_beats(tmp_path).seen)
    assert set(read_beats(tmp_path).seen) == {"n2"}
    assert "a heartbeat of stranger, which Slurm does not know" in caplog.text


def test_a_user_who_is_not_allowed_is_not_believed(munged, tmp_path, caplog, an_agent):
    receiver = Receiver("127.0.0.1:0", tmp_path, munge_socket=munged, uids=(12345,))
    receiver.learn(["n1"])
    receiver.start()
    an_agent("n1", receiver.port).beat()
    wait_for(lambda: "uid 0, who is not allowed" in caplog.text)
    receiver.stop()
    assert read_beats(tmp_path).seen == {}


def test_an_old_beat_that_is_signed_anew_is_not_believed(munged, receiver, tmp_path, caplog):
    now = heartbeat.next_beat("n1", boot_id="b")
    old = heartbeat.Heartbeat("n1", "b", now.seq - 1, now.time)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for each in (now, old):
            out.sendto(heartbeat.pack(each, munge_socket=munged), ("127.0.0.1", receiver.port))
    wait_for(lambda: "an old heartbeat of n1" in caplog.text)


def test_rubbish_is_complained_of_once_and_harms_nobody(receiver, tmp_path, caplog, an_agent):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for size in (0, 1, 100, 9000):
            out.sendto(b"\xff" * size, ("127.0.0.1", receiver.port))
    an_agent("n1", receiver.port).beat()
    wait_for(lambda: "n1" in read_beats(tmp_path).seen)
    assert len([each for each in caplog.records if each.name == "aistation.receiver"]) == 1


def test_a_receiver_says_that_it_is_at_work_and_stops_saying_so(munged, tmp_path):
    receiver = Receiver("127.0.0.1:0", tmp_path, munge_socket=munged, uids=(0,))
    receiver.start()
    time.sleep(0.6)
    assert read_beats(tmp_path).at_work is None, "it knows no node yet, and can't tell who is silent"
    receiver.learn(["n1"])
    first = wait_for(lambda: read_beats(tmp_path).at_work)
    wait_for(lambda: read_beats(tmp_path).at_work > first)
    receiver.stop()
    last = read_beats(tmp_path).at_work
    time.sleep(0.6)
    assert read_beats(tmp_path).at_work == last


def test_a_receiver_whose_munged_is_away_is_blind_and_counts_anew_once_it_is_back(
    munged, tmp_path, monkeypatch, an_agent
):
    receiver = Receiver("127.0.0.1:0", tmp_path, munge_socket=munged, uids=(0,))
    receiver.learn(["n1"])
    receiver.start()
    agent = an_agent("n1", receiver.port)
    before = wait_for(lambda: read_beats(tmp_path).since)
    monkeypatch.setattr(receiver, "_munge_socket", tmp_path / "none")
    agent.beat()
    time.sleep(0.6)
    blind = read_beats(tmp_path).at_work
    time.sleep(0.6)
    assert read_beats(tmp_path).at_work == blind
    monkeypatch.setattr(receiver, "_munge_socket", munged)
    agent.beat()
    wait_for(lambda: read_beats(tmp_path).since > before)
    receiver.stop()


def test_two_receivers_at_one_address_is_one_sentence(munged, receiver, tmp_path):
    with pytest.raises(AistationError, match="Address already in use") as raised:
        Receiver(f"127.0.0.1:{receiver.port}", tmp_path, munge_socket=munged, uids=(0,))
    assert "another daemon" in raised.value.hint


def test_an_agent_without_munged_keeps_on_and_says_so_once(munged, receiver, tmp_path, caplog, an_agent):
    caplog.set_level(logging.INFO)
    agent = an_agent("n1", receiver.port, tmp_path / "none")
    assert [agent.beat() for _ in range(3)] == [False, False, False]
    agent.munge_socket = munged
    assert agent.beat()
    said = [each.getMessage() for each in caplog.records if each.name == "aistation.agent"]
    assert len(said) == 2
    assert "no heartbeat sent: munged does not answer" in said[0]
    assert "sent again, after" in said[1]


def test_an_agent_whose_daemon_is_away_keeps_on(an_agent):
    agent = an_agent("n1", 9)
    assert all(agent.beat() for _ in range(3))


def test_an_agent_whose_daemon_has_no_such_name_keeps_on(caplog, an_agent):
    agent = an_agent("n1", ("no-such-host.invalid", 9))
    assert [agent.beat(), agent.beat()] == [False, False]
    assert len(caplog.records) == 1


def test_the_agent_is_small_and_ends_when_it_is_asked_to(munged, receiver, tmp_path):
    argv = [sys.executable, "-m", "aistation_slurm", "agent", "--node", "n1", "--every", "0.1",
            "--to", f"127.0.0.1:{receiver.port}", "--munge-socket", str(munged)]  # fmt: skip
    process = subprocess.Popen(argv, stderr=subprocess.PIPE)
    wait_for(lambda: "n1" in read_beats(tmp_path).seen, within=20)
    status = Path(f"/proc/{process.pid}/status").read_text()
    maps = Path(f"/proc/{process.pid}/maps").read_text()
    process.send_signal(signal.SIGTERM)
    _, words = process.communicate(timeout=5)
    assert process.returncode == 0, words
    assert int(status.split("VmRSS:")[1].split()[0]) < 25_000
    assert "pydantic" not in maps
    assert words.count(b"\n") == 1, words


@pytest.mark.parametrize(
    "wrong",
    [["--node", "a/b"], ["--to", "x"], ["--every", "0"], ["--every", "nan"]],
    ids=" ".join,
)
def test_a_wrong_word_to_the_agent_is_one_sentence(wrong):
    argv = [sys.executable, "-m", "aistation_slurm", "agent", "--node", "n1", "--to", "127.0.0.1:9", *wrong]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 64
    assert "Traceback" not in done.stderr


def test_what_a_beat_says_is_small(munged):
    beat = heartbeat.next_beat("n1", boot_id="b")
    payload = munge.decode(heartbeat.pack(beat, munge_socket=munged).decode(), socket=munged).payload
    assert set(json.loads(payload)) == {"v", "node", "boot_id", "seq", "time"}
