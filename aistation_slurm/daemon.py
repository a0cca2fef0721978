"""The daemon: hears the heartbeats, and runs the duties while it leads."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import Engine

from aistation_slurm.duties import DUTIES, Duty, Round, Station
from aistation_slurm.errors import AistationError, SlurmError, StoreError
from aistation_slurm.ha import lease
from aistation_slurm.node.receiver import Receiver
from aistation_slurm.settings import Settings
from aistation_slurm.slurm.connect import Slurm, connect
from aistation_slurm.store.engine import open_store

log = logging.getLogger("aistation.daemon")

RENEW_EVERY = 2.0
SAFETY = 2.0
"""Seconds before its lease runs out from which on a leader acts no more."""


@dataclass(slots=True)
class Leadership:
    """Whether this process leads; the clock that counts is its own, and steady."""

    engine: Engine
    holder: str
    _until: float = 0.0
    _was: bool | None = None
    _trouble: str = ""

    def renew(self) -> bool:
        """Take or renew the lease; a database that fails is no lease."""
        asked = time.monotonic()
        try:
            leads = lease.acquire(self.engine, holder=self.holder, now=datetime.now(UTC))
        except StoreError as error:
            self._complain(str(error))
            return self.leads()
        self._trouble = ""
        self._until = asked + lease.LENGTH.total_seconds() - SAFETY if leads else 0.0
        self._say(leads)
        return leads

    def leads(self) -> bool:
        """True while this process may act."""
        return time.monotonic() < self._until

    def give_up(self) -> None:
        """Give the lease back, so that the next one need not wait."""
        if self.leads():
            self._until = 0.0
            lease.release(self.engine, holder=self.holder, now=datetime.now(UTC))

    def _say(self, leads: bool) -> None:
        if leads is not self._was:
            log.info("%s", "leads: the duties are done here" if leads else "another daemon leads; standing by")
        self._was = leads

    def _complain(self, text: str) -> None:
        if text != self._trouble:
            log.error("the lease can't be renewed: %s", text)
        self._trouble = text


@dataclass(slots=True)
class Keeper:
    """Runs one duty, round after round, and lets none of its errors end the daemon."""

    duty: Duty
    do_round: Round
    may_act: Callable[[], bool]
    _trouble: str = ""
    _log: logging.Logger = field(init=False)

    def __post_init__(self) -> None:
        self._log = logging.getLogger(f"aistation.{self.duty.name}")

    def __call__(self) -> None:
        """Do one round, where this process leads; a line of log for each thing that it says."""
        if not self.may_act():
            return
        try:
            lines = self.do_round()
        except AistationError as error:
            self._complain(str(error))
        except Exception as error:
            self._complain(f"{type(error).__name__}: {error}", with_trace=True)
        else:
            self._trouble = ""
            for line in lines:
                self._log.info("%s", line)

    def _complain(self, text: str, *, with_trace: bool = False) -> None:
        if text != self._trouble:
            self._log.error("%s", text, exc_info=with_trace)
        self._trouble = text


def run_daemon(settings: Settings, *, dry_run: bool = False) -> None:
    """Hear the heartbeats and run the duties until SIGTERM or SIGINT.

    Raises:
        AistationError: it can't begin: tables, address or run folder can't be used.
    """
    stopped = _stop_signals()
    engine = open_store(settings.database)
    slurm = connect(settings.slurm)
    receiver = _receiver(settings)
    leadership = Leadership(engine, lease.me())
    station = Station(
        settings=settings, slurm=slurm, engine=engine, actor=lease.me(), dry_run=dry_run, learn=receiver.learn
    )
    _learn_nodes(slurm, receiver)
    receiver.start()
    leadership.renew()
    scheduler = schedule(station, leadership)
    scheduler.start()
    log.info("hears heartbeats on %s; recovery %s", settings.daemon.heartbeat, _mode(settings, dry_run=dry_run))
    stopped()
    log.info("stopping")
    scheduler.shutdown(wait=True)
    leadership.give_up()
    receiver.stop()
    engine.dispose()


def schedule(station: Station, leadership: Leadership) -> BackgroundScheduler:
    """Return a scheduler, not yet started, that renews the lease and runs each duty at its period."""
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # a round that outlasts its period is no news
    scheduler = BackgroundScheduler(
        executors={"default": ThreadPoolExecutor(len(DUTIES) + 1)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        timezone=UTC,
    )
    scheduler.add_job(leadership.renew, "interval", seconds=RENEW_EVERY, id="lease")
    for each in DUTIES:
        keeper = Keeper(each, each.begin(station), leadership.leads)
        scheduler.add_job(keeper, "interval", seconds=each.every.total_seconds(), id=each.name)
    return scheduler


def _receiver(settings: Settings) -> Receiver:
    try:
        return Receiver(
            settings.daemon.heartbeat,
            settings.run_dir,
            munge_socket=settings.munge_socket,
            uids=settings.daemon.agent_uids,
        )
    except OSError as error:
        raise AistationError(
            f"can't be used: {error.strerror}",
            where=str(settings.run_dir),
            hint="run_dir in aistation.toml must be a folder that the daemon may write",
        ) from error


def _learn_nodes(slurm: Slurm, receiver: Receiver) -> None:
    """Tell the receiver whom to believe; where Slurm is away the watch will, later."""
    try:
        receiver.learn([each.name for each in slurm.read.nodes()])
    except SlurmError as error:
        log.warning("Slurm can't be asked yet: %s", error)


def _stop_signals() -> Callable[[], None]:
    """Return what waits for SIGTERM or SIGINT: a pipe, since a handler may take no lock."""
    read_end, write_end = os.pipe()

    def stop(*_: object) -> None:
        os.write(write_end, b"x")

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, stop)

    def wait() -> None:
        os.read(read_end, 1)

    return wait


def _mode(settings: Settings, *, dry_run: bool) -> str:
    if not settings.daemon.recovery:
        return "is switched off"
    return "only says what it would do" if dry_run or settings.daemon.dry_run else "is on"
