"""Our tables: made, brought up to date, and never ahead of their migrations."""

from __future__ import annotations

import sqlite3
import stat
from datetime import UTC, datetime, timedelta, timezone

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlmodel import SQLModel, select

from aistation_slurm.errors import StoreError
from aistation_slurm.store import engine as stores
from aistation_slurm.store.engine import open_store, session
from aistation_slurm.store.tables import AuditEntry, Incident, LostJob

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/aistation.db"


def test_the_migrations_make_what_the_models_say(url):
    engine = open_store(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []
    engine.dispose()


def test_opening_twice_changes_nothing(url):
    open_store(url).dispose()
    engine = open_store(url)
    assert stores.current(engine) == stores.head()
    engine.dispose()


def test_sqlite_lets_a_reader_look_while_the_daemon_writes(url):
    engine = open_store(url)
    with session(engine) as work:
        work.add(AuditEntry(at=NOON, actor="daemon", what="down n1"))
        work.flush()
        with session(engine) as reader:
            assert reader.exec(select(AuditEntry)).all() == []
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    engine.dispose()


def test_a_time_comes_back_aware_and_in_utc(url):
    engine = open_store(url)
    shanghai = NOON.astimezone(timezone(timedelta(hours=8)))
    with session(engine) as work:
        work.add(Incident(node="n1", noticed_at=shanghai))
    with session(engine) as work:
        noticed = work.exec(select(Incident)).one().noticed_at
    assert noticed == NOON
    assert noticed.tzinfo is UTC
    engine.dispose()


def test_what_goes_wrong_is_taken_back_whole(url):
    engine = open_store(url)
    with pytest.raises(StoreError, match="NOT NULL"), session(engine) as work:  # noqa: PT012
        work.add(Incident(node="n1", noticed_at=NOON))
        work.flush()
        work.add(Incident(node=None, noticed_at=NOON))
    with session(engine) as work:
        assert work.exec(select(Incident)).all() == []
    engine.dispose()


def test_a_lost_job_belongs_to_an_incident(url):
    engine = open_store(url)
    with pytest.raises(StoreError, match="FOREIGN KEY"), session(engine) as work:
        work.add(LostJob(incident_id=7, job_id=1))
    engine.dispose()


def test_a_file_is_copied_before_it_is_migrated(url, tmp_path):
    path = tmp_path / "aistation.db"
    with sqlite3.connect(path) as raw:
        raw.execute("create table alembic_version (version_num varchar(32) primary key)")
        raw.execute("insert into alembic_version values ('0000')")
        raw.execute("create table precious (what text)")
    raw.close()
    with pytest.raises(StoreError, match="newer than this program"):
        open_store(url)
    stores._copy(path, tmp_path / "copy.db")
    with sqlite3.connect(tmp_path / "copy.db") as copy:
        assert copy.execute("select count(*) from precious").fetchone() == (0,)
    copy.close()
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600


def test_a_command_that_looks_makes_no_database(url, tmp_path):
    with pytest.raises(StoreError, match="no database yet") as raised:
        open_store(url, create=False)
    assert "aistation daemon" in raised.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_one_sentence(tmp_path):
    (tmp_path / "x.db").write_text("not a database, but long enough to be read as a header of one" * 20)
    with pytest.raises(StoreError, match="not a database"):
        open_store(f"sqlite:///{tmp_path}/x.db")


def test_a_password_in_the_url_is_never_shown():
    with pytest.raises((StoreError, ModuleNotFoundError)) as raised:
        open_store("postgresql://me:secret@127.0.0.1:1/x")
    assert "secret" not in str(raised.value)
