"""The cluster's own MariaDB: made once, small, on loopback, its password generated."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
from pathlib import Path

from aistation_slurm.devcluster.commands import find, run
from aistation_slurm.devcluster.paths import Paths
from aistation_slurm.devcluster.record import ClusterRecord

USER = "mysql"
_SMALL = (
    "--innodb-buffer-pool-size=24M",
    "--innodb-log-file-size=16M",
    "--innodb-log-buffer-size=2M",
    "--innodb-lock-wait-timeout=900",
    # A killed mariadbd loses nothing; a machine that loses its power, at most the last second.
    "--innodb-flush-log-at-trx-commit=2",
    "--key-buffer-size=1M",
    "--aria-pagecache-buffer-size=4M",
    "--max-allowed-packet=16M",
    "--max-connections=40",
    "--performance-schema=OFF",
    "--skip-log-bin",
    "--skip-name-resolve",
)


def make_database(paths: Paths) -> bool:
    """Make the empty database; False if it is there already. One that was not finished is made anew."""
    if (paths.mysql / "ready").exists():
        return False
    shutil.rmtree(paths.mysql, ignore_errors=True)
    paths.mysql.mkdir(mode=0o700)
    account = pwd.getpwnam(USER)
    os.chown(paths.mysql, account.pw_uid, account.pw_gid)
    data = paths.mysql / "data"
    run((
        find("mariadb-install-db"), "--no-defaults", f"--user={USER}", f"--datadir={data}", "--skip-test-db",
        "--auth-root-authentication-method=socket", "--innodb-log-file-size=16M",
        f"--tmpdir={paths.run / 'mysql'}",  # in a shared one, two at a time disturb each other
    ))  # fmt: skip
    (paths.mysql / "ready").touch()
    return True


def password(paths: Paths) -> str:
    """Return the generated password, the same for as long as the cluster lives."""
    path = paths.etc / "database.secret"
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_hex(24))
        fresh.replace(path)
    return path.read_text().strip()


def init_sql(paths: Paths) -> Path:
    """Write and return what mariadbd runs at each start: slurmdbd's account exists, with the password that we know."""
    path = paths.mysql / "init.sql"
    word = password(paths)
    who = "'slurm'@'127.0.0.1'"
    text = (
        "CREATE DATABASE IF NOT EXISTS slurm_acct_db;\n"
        f"CREATE USER IF NOT EXISTS {who} IDENTIFIED BY '{word}';\n"
        f"ALTER USER {who} IDENTIFIED BY '{word}';\n"
        f"GRANT ALL ON slurm_acct_db.* TO {who};\n"
    )
    path.touch(mode=0o600)
    path.write_text(text)
    account = pwd.getpwnam(USER)
    os.chown(path, account.pw_uid, account.pw_gid)
    return path


def mariadbd_argv(paths: Paths, record: ClusterRecord) -> tuple[str, ...]:
    """Return the command line of mariadbd."""
    folder = paths.run / "mysql"
    return (
        find("mariadbd"), "--no-defaults", f"--datadir={paths.mysql / 'data'}", f"--socket={folder / 'mysql.sock'}",
        f"--pid-file={folder / 'mariadbd.pid'}", f"--port={record.ports.mariadb}", "--bind-address=127.0.0.1",
        f"--init-file={paths.mysql / 'init.sql'}", f"--tmpdir={folder}", *_SMALL,
    )  # fmt: skip
