"""The daemon's own parts: who may act, and what an error does to a duty."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from aistation_slurm import daemon
from aistation_slurm.daemon import Keeper, Leadership
from aistation_slurm.duties import DUTIES, duty
from aistation_slurm.errors import StoreError, UsageError
from aistation_slurm.ha import lease
from aistation_slurm.store.engine import open_store


@pytest.fixture
def engine(tmp_path):
    engine = open_store(f"sqlite:///{tmp_path}/a.db")
    yield engine
    engine.dispose()


def test_of_two_daemons_one_acts_and_the_other_takes_over_when_it_goes(engine):
    first, second = Leadership(engine, "a"), Leadership(engine, "b")
    assert (first.renew(), second.renew()) == (True, False)
    assert (first.leads(), second.leads()) == (True, False)
    first.give_up()
    assert not first.leads()
    assert second.renew()


def test_a_leader_that_can_not_renew_stops_before_its_lease_is_over(engine, monkeypatch, caplog):
    clock = [100.0]
    monkeypatch.setattr(daemon.time, "monotonic", lambda: clock[0])
    leader = Leadership(engine, "a")
    leader.renew()

    def fail(*_, **__):
        raise StoreError("disk is full")

    monkeypatch.setattr(lease, "acquire", fail)
    for _ in range(3):
        clock[0] += 2
        leader.renew()
    assert leader.leads()
    assert [each.getMessage() for each in caplog.records] == ["the lease can't be renewed: disk is full"]
    clock[0] += 2
    assert not leader.leads(), "2 s before it runs out for the others"


def test_who_does_not_lead_does_nothing():
    rounds = []
    Keeper(duty("watch"), lambda: rounds.append(1) or [], lambda: False)()
    assert rounds == []


def test_each_line_of_a_round_is_a_line_of_log(caplog):
    caplog.set_level(logging.INFO)
    Keeper(duty("watch"), lambda: ["down n1", "leave n2"], lambda: True)()
    assert [(each.name, each.getMessage()) for each in caplog.records] == [
        ("aistation.watch", "down n1"),
        ("aistation.watch", "leave n2"),
    ]


@pytest.mark.parametrize("error", [StoreError("disk is full"), ZeroDivisionError("division by zero")])
def test_an_error_ends_the_round_and_not_the_daemon_and_is_said_once(caplog, error):
    def fail():
        raise error

    keeper = Keeper(duty("watch"), fail, lambda: True)
    for _ in range(5):
        keeper()
    assert len(caplog.records) == 1
    assert str(error) in caplog.text


def test_a_duty_that_nobody_knows_is_a_usage_error():
    with pytest.raises(UsageError, match="no duty called 'wach'") as raised:
        duty("wach")
    assert all(each.name in raised.value.hint for each in DUTIES)


def aistation(*words, tmp_path):
    (tmp_path / "a.toml").write_text(f'database = "sqlite:///{tmp_path}/a.db"\nrun_dir = "{tmp_path}"\n')
    env = {"AISTATION_CONFIG": f"{tmp_path}/a.toml", "PATH": "/usr/bin:/bin"}
    argv = [sys.executable, "-m", "aistation_slurm", *words]
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_the_list_of_duties_is_a_table_or_json(tmp_path):
    done = aistation("duty", "list", "--json", tmp_path=tmp_path)
    assert [each["name"] for each in json.loads(done.stdout)] == [each.name for each in DUTIES]
    assert "watch" in aistation("duty", "list", tmp_path=tmp_path).stdout


def test_a_list_of_faults_without_a_database_is_one_sentence(tmp_path):
    done = aistation("fault", "list", tmp_path=tmp_path)
    assert done.returncode == 1
    assert "there is no database yet" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_list_of_faults_where_nothing_broke_says_so(tmp_path):
    open_store(f"sqlite:///{tmp_path}/a.db").dispose()
    done = aistation("fault", "list", tmp_path=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no node was ever lost\n")
    assert json.loads(aistation("fault", "list", "--json", tmp_path=tmp_path).stdout) == []


@pytest.mark.parametrize("words", [["daemon"], ["fault", "list"], ["duty", "run", "watch"]], ids=" ".join)
def test_on_a_light_installation_what_is_missing_is_one_sentence(words, monkeypatch, capsys, tmp_path):
    from aistation_slurm.cli.main import main

    (tmp_path / "a.toml").write_text("")
    monkeypatch.setenv("AISTATION_CONFIG", f"{tmp_path}/a.toml")
    gone = ("aistation_slurm.daemon", "aistation_slurm.store", "aistation_slurm.faults", "aistation_slurm.ha")
    for name in [each for each in sys.modules if each.startswith(gone)]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("apscheduler", "alembic", "sqlmodel", "sqlalchemy"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit, match="1"):
        main(words)
    assert "pip install 'aistation-slurm[server]'" in capsys.readouterr().err


def test_a_duty_that_another_process_does_is_refused(tmp_path):
    engine = open_store(f"sqlite:///{tmp_path}/a.db")
    Leadership(engine, "elsewhere:1").renew()
    engine.dispose()
    done = aistation("duty", "run", "watch", tmp_path=tmp_path)
    assert done.returncode == 1
    assert "elsewhere:1 does the duties" in done.stderr
