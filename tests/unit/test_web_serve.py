"""`aistation serve`: where it listens, and what it says when it can't."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from aistation_slurm.cli.main import main
from aistation_slurm.cli.serve import address, listening, url_of
from aistation_slurm.errors import PortInUse, UsageError


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("127.0.0.1:8170", ("127.0.0.1", 8170)),
        ("[::1]:80", ("::1", 80)),
        (":8170", ("", 8170)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, where: tuple[str, int]) -> None:
    assert address(text) == where


@pytest.mark.parametrize("text", ["8170", "localhost", "localhost:http", "a:99999", "a:-1", ""])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no address"):
        address(text)


def test_an_occupied_port_is_one_clear_sentence() -> None:
    with listening("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(PortInUse, match=f"somebody already listens on 127.0.0.1:{port}") as refused:
            listening("127.0.0.1", port)
        assert "--listen" in refused.value.hint


def test_an_address_of_another_machine_is_one_clear_sentence() -> None:
    with pytest.raises(UsageError, match=r"can.t listen on 192\.0\.2\.1:0"):
        listening("192.0.2.1", 0)


def test_a_name_that_nobody_knows_is_one_clear_sentence() -> None:
    with pytest.raises(UsageError, match="is no address of this machine"):
        listening("no-such-host.invalid", 0)


def test_the_address_shown_is_one_that_a_browser_takes() -> None:
    with listening("127.0.0.1", 0) as server:
        assert url_of(server) == f"http://127.0.0.1:{server.getsockname()[1]}/"
    with listening("0.0.0.0", 0) as server:
        assert url_of(server).startswith("http://localhost:")


def test_the_command_refuses_an_occupied_port(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("AISTATION_CONFIG", str(_settings(tmp_path)))
    with listening("127.0.0.1", 0) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SystemExit) as stopped:
            main(["serve", "--listen", where])
    assert stopped.value.code == 1
    assert f"somebody already listens on {where}" in capsys.readouterr().err


def test_it_says_where_it_is_serves_without_a_slurm_and_stops_when_told(tmp_path: Path) -> None:
    environ = os.environ | {"AISTATION_CONFIG": str(_settings(tmp_path))}
    argv = [sys.executable, "-m", "aistation_slurm", "serve", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            said = server.stdout.readline() if server.stdout else ""
            url = re.search(r"http://127\.0\.0\.1:\d+/", said)
            assert url, said
            with urllib.request.urlopen(url[0], timeout=20) as page:
                text = page.read().decode()
        finally:
            server.send_signal(signal.SIGTERM)
            _, complaints = server.communicate(timeout=20)
    assert "Slurm has not answered yet" in text
    assert "Traceback" not in complaints


def test_a_port_just_left_can_be_taken_again() -> None:
    with listening("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        server_side, _ = first.accept()
        server_side.close()
        client.close()
    listening("127.0.0.1", port).close()


def _settings(folder: Path) -> Path:
    path = folder / "aistation.toml"
    path.write_text(
        f'database = "sqlite:///{folder}/none.db"\n[slurm]\nconf = "{folder}/slurm.conf"\nbin = "{folder}"\n'
    )
    return path
