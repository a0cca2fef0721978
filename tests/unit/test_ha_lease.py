"""One leader at a time, whoever asks, however often."""

from __future__ import annotations

import multiprocessing
import time
from datetime import UTC, datetime, timedelta

import pytest

from aistation_slurm.errors import NotLeader
from aistation_slurm.ha import lease
from aistation_slurm.store.engine import open_store

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def engine(tmp_path):
    engine = open_store(f"sqlite:///{tmp_path}/a.db")
    yield engine
    engine.dispose()


def after(seconds):
    return NOON + timedelta(seconds=seconds)


def test_the_first_who_asks_leads(engine):
    assert lease.acquire(engine, holder="a", now=NOON)
    assert not lease.acquire(engine, holder="b", now=after(9))


def test_a_leader_who_asks_again_leads_longer(engine):
    lease.acquire(engine, holder="a", now=NOON)
    assert lease.acquire(engine, holder="a", now=after(8))
    assert not lease.acquire(engine, holder="b", now=after(17))
    assert lease.holder_of(engine, now=after(17)).name == "a"


def test_a_lease_that_ran_out_goes_to_the_next(engine):
    lease.acquire(engine, holder="a", now=NOON)
    assert lease.acquire(engine, holder="b", now=after(10))
    assert not lease.acquire(engine, holder="a", now=after(11))
    assert lease.holder_of(engine, now=after(11)).term == 2


def test_a_leader_who_slept_over_the_end_starts_a_new_term(engine):
    lease.acquire(engine, holder="a", now=NOON)
    assert lease.acquire(engine, holder="a", now=after(60))
    assert lease.holder_of(engine, now=after(60)).term == 2


def test_a_lease_given_back_is_free_at_once(engine):
    lease.acquire(engine, holder="a", now=NOON)
    lease.release(engine, holder="a", now=after(1))
    assert lease.holder_of(engine, now=after(1)) is None
    assert lease.acquire(engine, holder="b", now=after(1))


def test_nobody_gives_back_what_is_another_s(engine):
    lease.acquire(engine, holder="a", now=NOON)
    lease.release(engine, holder="b", now=after(1))
    assert not lease.acquire(engine, holder="b", now=after(1))


def test_two_leases_have_nothing_to_do_with_each_other(engine):
    assert lease.acquire(engine, holder="a", now=NOON, name="one")
    assert lease.acquire(engine, holder="b", now=NOON, name="two")


def test_who_must_lead_and_does_not_is_told_who_does(engine):
    lease.acquire(engine, holder="a:1", now=NOON)
    with pytest.raises(NotLeader, match="a:1 does the duties"):
        lease.require(engine, holder="b", now=after(1))


def compete(url, holder, start, wins):
    engine = open_store(url)
    while time.time() < start:
        time.sleep(0.001)
    if lease.acquire(engine, holder=holder, now=NOON):
        wins.put(holder)
    engine.dispose()


@pytest.mark.parametrize("first", [None, "before"])
def test_of_many_processes_that_ask_at_once_one_leads(tmp_path, first):
    url = f"sqlite:///{tmp_path}/a.db"
    engine = open_store(url)
    if first:
        lease.acquire(engine, holder=first, now=NOON - timedelta(hours=1))
    context = multiprocessing.get_context("spawn")
    wins = context.Queue()
    start = time.time() + 3
    several = [context.Process(target=compete, args=(url, str(n), start, wins)) for n in range(4)]
    for each in several:
        each.start()
    for each in several:
        each.join()
    winner = wins.get(timeout=5)
    assert wins.empty()
    assert lease.holder_of(engine, now=NOON).name == winner
    engine.dispose()


def test_a_leader_of_this_machine_that_was_killed_is_not_waited_for(engine):
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(0,))
    process.start()
    process.join()
    killed = f"{lease.me().rpartition(':')[0]}:{process.pid}"
    lease.acquire(engine, holder=killed, now=NOON)
    assert lease.acquire(engine, holder="b", now=after(1))
    assert lease.holder_of(engine, now=after(1)).term == 2


def test_a_leader_of_another_machine_is_waited_for(engine):
    lease.acquire(engine, holder="elsewhere/4026531836:999999", now=NOON)
    assert not lease.acquire(engine, holder="b", now=after(1))


def test_a_leader_who_lives_is_waited_for(engine):
    lease.acquire(engine, holder=lease.me(), now=NOON)
    assert not lease.acquire(engine, holder="b", now=after(1))
