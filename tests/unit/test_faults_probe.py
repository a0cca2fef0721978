"""The second signal, over real sockets: only a program that is awake counts as an answer."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from aistation_slurm.faults.probe import Sign, probe, probe_all
from aistation_slurm.slurm.model import Node
from aistation_slurm.slurm.states import NodeState


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def answering(listener, answer):
    def serve():
        connection, _ = listener.accept()
        with connection:
            answer(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_a_slurmd_that_reads_our_end_and_hangs_up_answers(listener):
    thread = answering(listener, lambda connection: connection.recv(1))
    assert probe("127.0.0.1", listener.getsockname()[1]).sign is Sign.ANSWERS
    thread.join()


def test_a_slurmd_that_complains_first_answers_too(listener):
    thread = answering(listener, lambda connection: connection.sendall(b"error"))
    assert probe("127.0.0.1", listener.getsockname()[1]).sign is Sign.ANSWERS
    thread.join()


def test_a_stopped_slurmd_whose_kernel_still_accepts_does_not_answer(listener):
    began = time.monotonic()
    answer = probe("127.0.0.1", listener.getsockname()[1], wait=0.3)
    assert (answer.sign, answer.why) == (Sign.SILENT, "no answer within 0.3 s")
    assert time.monotonic() - began < 10


def test_a_slurmd_that_trickles_is_not_waited_for_for_ever(listener):
    stop = threading.Event()

    def trickle(connection):
        while not stop.wait(0.05):
            connection.sendall(b"x")

    thread = answering(listener, trickle)
    assert probe("127.0.0.1", listener.getsockname()[1], wait=0.3).sign is Sign.SILENT
    stop.set()
    thread.join()


def test_a_port_that_nobody_listens_on_does_not_answer(listener):
    port = listener.getsockname()[1]
    listener.close()
    answer = probe("127.0.0.1", port)
    assert (answer.sign, answer.why) == (Sign.SILENT, "Connection refused")


def test_a_name_that_can_not_be_looked_up_says_nothing_about_the_node():
    assert probe("no-such-host.invalid", 1).sign is Sign.UNKNOWN


def test_a_port_that_is_not_known_says_nothing_about_the_node():
    assert probe("127.0.0.1", 0).sign is Sign.UNKNOWN


def test_many_are_asked_side_by_side(listener):
    port = listener.getsockname()[1]
    nodes = [Node(name=f"n{n}", address="127.0.0.1", port=port, state=NodeState.parse("IDLE")) for n in range(40)]
    began = time.monotonic()
    answers = probe_all(nodes, wait=0.3)
    assert {each.sign for each in answers.values()} == {Sign.SILENT}
    assert len(answers) == 40
    assert time.monotonic() - began < 40 * 0.3, "asked one after the other"
    assert probe_all([]) == {}
