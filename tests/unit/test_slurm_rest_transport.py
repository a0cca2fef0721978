"""A slurmrestd that answers nonsense, half, without end, drop by drop or not at all: an error of ours, in time."""

import socket
import threading
import time

import pytest

from aistation_slurm.errors import (
    NotPermitted,
    SettingsError,
    SlurmError,
    SlurmRefused,
    SlurmUnreachable,
    SlurmUnreadable,
    UnknownToSlurm,
)
from aistation_slurm.slurm.readers.rest import Login, RestReader
from aistation_slurm.slurm.readers.rest.transport import Deadline, UnixTransport
from tests.unit.restd import elsewhere, http, recorded, saying, serving

SOON, LIMIT = 0.5, 1024**2
GENEROUS = 20.0
"""Seconds after which a question that should have ended within half a second is held to hang."""


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a Unix socket's path is short
    return tmp_path / "s"


def ask(path, *, seconds: float = GENEROUS, limit: int = LIMIT):
    return UnixTransport(path, limit=limit).get("/slurm/v0.0.42/jobs", until=Deadline.after(seconds))


def in_time(what):
    """What is raised, if that is within a generous time."""
    begin = time.monotonic()
    with pytest.raises(SlurmError) as raised:
        what()
    assert time.monotonic() - begin < GENEROUS
    return raised.value


def dripping(connection: socket.socket, what: bytes) -> None:
    for byte in what:
        connection.sendall(bytes([byte]))
        time.sleep(0.02)


def test_nobody_listens(path):
    assert isinstance(in_time(lambda: ask(path)), SlurmUnreachable)
    path.touch()
    assert isinstance(in_time(lambda: ask(path)), SlurmUnreachable)
    assert isinstance(in_time(lambda: ask(path / ("x" * 200))), SlurmUnreachable)


def test_it_says_nothing_until_the_time_is_over(path):
    with serving(path, lambda connection, _: connection.recv(1)):
        error = in_time(lambda: ask(path, seconds=SOON))
    assert isinstance(error, SlurmUnreachable)
    assert "within 0.5 s" in str(error)


def test_it_does_not_even_take_the_call(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(0)
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(str(path))  # the one that may wait
            error = in_time(lambda: ask(path, seconds=SOON))
    assert isinstance(error, SlurmUnreachable)
    assert "within 0.5 s" in str(error)


def test_it_is_busy_for_a_moment_and_then_takes_the_call(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(0)
        waiting = socket.socket(socket.AF_UNIX)
        waiting.connect(str(path))

        def take_both() -> None:
            time.sleep(SOON)
            listener.accept()[0].close()  # the one that waited
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(http(200, b"{}"))

        taking = threading.Thread(target=take_both)
        taking.start()
        assert ask(path).body == b"{}"
        taking.join(GENEROUS)
        waiting.close()


@pytest.mark.parametrize("what", [b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 10_000, http(200, b"x" * 10_000)])
def test_a_byte_at_a_time_does_not_outlive_the_deadline(path, what):
    with serving(path, lambda connection, _: dripping(connection, what)):
        assert isinstance(in_time(lambda: ask(path, seconds=SOON)), SlurmUnreachable)


def test_it_hangs_up(path):
    with serving(path, lambda connection, _: None):
        assert isinstance(in_time(lambda: ask(path)), SlurmUnreachable)


@pytest.mark.parametrize(
    "answer",
    [
        b"squeue: error\n",
        b"\x00\xff\xfe garbage without an end of a line",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000,
        http(200, b"x" * 100)[:-50],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf",
        http(200, b"x" * (LIMIT + 1)),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n",
    ],
    ids=["words", "bytes", "status", "headers", "half", "half a chunk", "too much", "announces too much"],
)
def test_what_is_no_whole_answer_is_unreadable(path, answer):
    with serving(path, saying(answer)):
        assert isinstance(in_time(lambda: ask(path)), SlurmUnreadable)


def test_an_answer_without_an_end_is_cut_off_at_the_limit(path):
    def endless(connection: socket.socket, _: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            connection.sendall(b"[" * 65536)

    with serving(path, endless):
        error = in_time(lambda: ask(path))
    assert isinstance(error, SlurmUnreadable)
    assert "more than 1 MiB" in str(error)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http(200, b"<html>", kind="text/html"), SlurmUnreadable),
        (http(200, b'{"jobs": ['), SlurmUnreadable),
        (http(200, b"[]"), SlurmUnreadable),
        (http(200, b"[" * 100_000), SlurmUnreadable),
        (http(200, b'{"jobs": [' + b"9" * 10_000 + b"]}"), SlurmUnreadable),
        (http(200, b"{}"), SlurmUnreadable),
        (http(200, b'{"errors": 7}'), SlurmUnreadable),
        (http(304, b""), SlurmUnreadable),
        (http(401, b"Authentication failure", kind="text/plain"), NotPermitted),
        (http(500, b"{}"), SlurmRefused),
        (http(502, b'{"errors": [{"error_number": 7000, "error": "Unable to connect to database"}]}'),
         SlurmUnreachable),
        (http(200, b'{"errors": [{"error_number": 1800, "error": "Unable to contact slurm controller (connect failure)"'
                   b'}]}'), SlurmUnreachable),
        (http(500, b'{"errors": [{"error_number": -1, "error": "Unspecified error"}]}'), SlurmUnreachable),
        (http(404, b'{"errors": [{"error_number": 2017, "error": "Invalid job id specified"}]}'), UnknownToSlurm),
        (http(500, b'{"errors": [{"errno": 2002, "error": "Access/permission denied"}]}'), NotPermitted),
        (http(200, b'{"errors": [{"error_number": {}, "error": [], "description": 5}]}'), SlurmRefused),
    ],
)  # fmt: skip
def test_each_bad_answer_is_its_own_error(path, answer, kind):
    ping = recorded(42)

    def talk(connection: socket.socket, request: str) -> None:
        if "/ping " in request:
            ping(connection, request)
        else:
            connection.sendall(answer)

    with serving(path, talk):
        assert type(in_time(RestReader(path, timeout=GENEROUS).jobs)) is kind


def test_a_server_that_knows_us_not_or_no_version_that_we_read_says_so(path):
    with serving(path, saying(elsewhere())):
        error = in_time(RestReader(path).jobs)
    assert isinstance(error, SlurmUnreadable)
    assert "v0.0.38 to v0.0.45" in str(error)
    with serving(path, saying(http(401, b"no", kind="text/plain"))):
        assert isinstance(in_time(RestReader(path).jobs), NotPermitted)


@pytest.mark.parametrize("question", ["jobs", "accounts", "users"])
def test_the_deadline_is_that_of_the_whole_question(path, question):
    """Each answer comes in time, all of them together do not."""
    ping = recorded(38)

    def slow(connection: socket.socket, request: str) -> None:
        time.sleep(SOON / 2)
        ping(connection, request)

    with serving(path, slow) as restd:
        assert isinstance(in_time(getattr(RestReader(path, timeout=SOON), question)), SlurmUnreachable)
    assert not any(question in each for each in restd.targets)


def test_the_token_goes_into_the_header_and_nowhere_else(path):
    login = Login("ann", "eyJhbGciOi.secret")
    with serving(path, recorded(42)) as restd:
        assert RestReader(path, login=login).jobs()
    assert all("X-SLURM-USER-NAME: ann\r\nX-SLURM-USER-TOKEN: eyJhbGciOi.secret\r\n" in each for each in restd.requests)
    assert "secret" not in "".join(restd.targets)
    assert "secret" not in repr(login)
    with serving(path, saying(http(401, b"no", kind="text/plain"))):
        assert "secret" not in str(in_time(RestReader(path, login=login).jobs))


def test_a_token_that_the_daemons_do_not_take_is_not_called_a_fault_of_munge(path):
    ping = recorded(42)
    answer = http(500, b'{"errors": [{"error_number": 1007, "error": "Protocol authentication error"}]}')

    def talk(connection: socket.socket, request: str) -> None:
        (ping if "/ping " in request else saying(answer))(connection, request)

    with serving(path, talk):
        assert type(in_time(RestReader(path).jobs)) is SlurmUnreachable
        error = in_time(RestReader(path, login=Login("ann", "old")).jobs)
    assert type(error) is NotPermitted
    assert "token" in error.hint


@pytest.mark.parametrize("token", ["sec\r\nX-Admin: yes", "sec\x00ret", "sécret", ""])
def test_a_token_that_can_stand_in_no_header_is_refused_and_not_repeated(path, token):
    with pytest.raises(SettingsError) as raised:
        RestReader(path, login=Login("ann", token))
    assert "sec" not in str(raised.value)


def test_nothing_but_get_is_ever_sent(path):
    with serving(path, recorded(42)) as restd:
        reader = RestReader(path)
        for question in reader.answers - {"job"}:
            getattr(reader, question)()
        reader.changed_since("jobs", 0)
    assert len(restd.requests) > 10
    assert {each.split(" ")[0] for each in restd.requests} == {"GET"}


def test_many_threads_ask_one_reader(path):
    found = []
    with serving(path, recorded(42)):
        reader = RestReader(path, timeout=GENEROUS)
        threads = [threading.Thread(target=lambda: found.append(len(reader.nodes()))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(GENEROUS)
    assert found == [3] * 20
