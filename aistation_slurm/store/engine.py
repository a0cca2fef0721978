"""Opening our tables: SQLite by default, MariaDB or PostgreSQL by URL; always at the newest migration."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session

from aistation_slurm.errors import StoreError

MIGRATIONS = Path(__file__).parent / "migrations"
log = logging.getLogger("aistation.store")
logging.getLogger("alembic").setLevel(logging.WARNING)

_BUSY_TIMEOUT_MS = 5000


def open_store(url: str, *, create: bool = True) -> Engine:
    """Return an engine on our tables, made or brought up to date first.

    Before a migration touches a SQLite file, the file is copied beside itself.

    Args:
        url: a SQLAlchemy URL.
        create: False only opens what is there: for commands that look.

    Raises:
        StoreError: the URL can't be used, the tables are newer than this program, or there are none and
            `create` is off.
    """
    target = _parse(url)
    path = _sqlite_path(target)
    try:
        is_missing = path is not None and not create and not path.exists()
    except OSError as error:
        raise StoreError(
            f"our tables may not be read by everybody ({error.strerror})", where=str(path), hint="ask as root"
        ) from error
    if is_missing:
        raise StoreError("there is no database yet", where=str(path), hint="`aistation daemon` makes it")
    try:
        if path is not None and create:
            _make_file(path)
        engine = _engine(target)
        _migrate(engine, path, may_change=create)
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise StoreError(f"our tables can't be opened: {_first_line(error)}", where=_shown(target)) from error
    return engine


@contextmanager
def session(engine: Engine) -> Iterator[Session]:
    """Yield a session that commits at its end, and takes all back where something goes wrong.

    Raises:
        StoreError: the database failed.
    """
    try:
        with Session(engine, expire_on_commit=False) as work:
            yield work
            work.commit()
    except SQLAlchemyError as error:
        raise StoreError(f"our tables can't be used: {_first_line(error)}", where=_shown(engine.url)) from error


def head() -> str:
    """Return the name of the newest migration."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def current(engine: Engine) -> str:
    """Return the migration that the tables are at; empty where there are none."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() or ""


def _migrate(engine: Engine, path: Path | None, *, may_change: bool) -> None:
    script, found = ScriptDirectory.from_config(_config()), current(engine)
    newest = script.get_current_head()
    if found == newest:
        return
    if found and found not in {each.revision for each in script.walk_revisions()}:
        raise StoreError(
            f"the tables are newer than this program (at {found})",
            where=_shown(engine.url),
            hint="upgrade aistation-slurm, or point `database` at another file",
        )
    if not may_change:
        raise StoreError(
            "the tables are older than this program",
            where=_shown(engine.url),
            hint="restart `aistation daemon`, which brings them up to date",
        )
    if path is not None and found:
        _copy(path, path.with_name(f"{path.name}.before-{newest}"))
    log.info("%s: tables brought from %s to %s", _shown(engine.url), found or "nothing", newest)
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _engine(target: URL) -> Engine:
    engine = create_engine(target, pool_pre_ping=target.get_backend_name() != "sqlite")
    if target.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _set_pragmas)
    return engine


def _set_pragmas(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for each in (f"busy_timeout={_BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        with contextlib.suppress(sqlite3.OperationalError):  # a reader may not change the mode, and need not
            cursor.execute(f"PRAGMA {each}")
    cursor.close()


def _make_file(path: Path) -> None:
    """Make an empty file that belongs to whom its folder belongs to: root may be first, the daemon is not root."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return
    path.touch(mode=0o640)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _copy(source: Path, target: Path) -> None:
    """Copy by SQLite's own backup, which sees what still stands in the WAL."""
    with contextlib.closing(sqlite3.connect(source)) as old, contextlib.closing(sqlite3.connect(target)) as new:
        old.backup(new)
    target.chmod(0o600)


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:
        raise StoreError(
            f"{url!r} is no database URL", hint="such as sqlite:////var/lib/aistation/aistation.db"
        ) from error


def _sqlite_path(url: URL) -> Path | None:
    if url.get_backend_name() != "sqlite" or url.database in {None, "", ":memory:"}:
        return None
    return Path(url.database or "")


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
