"""Slurm in trouble: each question and each order ends in its time with the right error, and leaves no process behind.

Errors are asked for with three seconds' patience, answers with the usual one: this machine may be slow.
"""

import os
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aistation_slurm.devcluster.processes import read_processes, services
from aistation_slurm.errors import AistationError, SlurmUnreachable, SlurmUnreadable
from aistation_slurm.slurm.marks import MARK
from aistation_slurm.slurm.model import Account, Association, Job, LimitsInUse, Node, Qos
from aistation_slurm.slurm.reader import SlurmReader
from aistation_slurm.slurm.readers.cli import CliReader
from aistation_slurm.slurm.runner import Completed, LocalRunner
from aistation_slurm.slurm.states import JobState, NodeState
from aistation_slurm.slurm.writer import SlurmWriter
from tests.cluster.spoiled_line import Address, SpoiledLine

pytestmark = pytest.mark.cluster
BRIEF, USUAL, HANGS = 3.0, 30.0, 90.0
"""Seconds: for an error, for an answer, and what is taken for a call that never ends."""
NOBODY, NO_JOB, NO_RESERVATION = "nobody-has-this-name", 66_000_000, "aistation-nobody"
LONG_AGO, SOON = datetime.now(UTC) - timedelta(hours=30), datetime.now(UTC) + timedelta(hours=1)
SLEEP = "#!/bin/sh\nexec sleep 300\n"

Ask = Callable[[SlurmReader], object]
Order = Callable[[SlurmWriter], object]

OF_SLURMCTLD: Mapping[str, Ask] = {
    "jobs": lambda read: read.jobs(with_over=True),
    "job": lambda read: read.job(NO_JOB),
    "steps": lambda read: read.steps(),
    "nodes": lambda read: read.nodes(),
    "partitions": lambda read: read.partitions(),
    "reservations": lambda read: read.reservations(),
    "config": lambda read: read.config(),
    "loaded_qos": lambda read: read.loaded_qos(),
    "limits_in_use": lambda read: read.limits_in_use(),
    "diag": lambda read: read.diag(),
    "fair_shares": lambda read: read.fair_shares(),
    "running_usage": lambda read: read.running_usage(NO_JOB),
    "priority_factors": lambda read: read.priority_factors(),
}
OF_SLURMDBD: Mapping[str, Ask] = {
    "qos": lambda read: read.qos(),
    "accounts": lambda read: read.accounts(),
    "users": lambda read: read.users(),
    "associations": lambda read: read.associations(),
    "tres": lambda read: read.tres(),
    "history": lambda read: read.history(),
    "step_history": lambda read: read.step_history(1),
    "usage": lambda read: read.usage(LONG_AGO, SOON),
}
GHOST = Job(job_id=NO_JOB, name=NOBODY, user="ann", state=JobState.RUNNING)
LOST = Node(name=NOBODY, state=NodeState.parse("DOWN+DRAIN"), reason="aistation: a test")
TO_SLURMCTLD: Mapping[str, Order] = {
    "sbatch_test": lambda write: write.sbatch_test(SLEEP),
    "scancel": lambda write: write.scancel(GHOST),
    "requeue": lambda write: write.requeue(NO_JOB),
    "hold": lambda write: write.hold(NO_JOB),
    "release": lambda write: write.release(NO_JOB),
    "update_job": lambda write: write.update_job(NO_JOB, nice=1),
    "down_node": lambda write: write.down_node(NOBODY, "aistation: a test"),
    "drain_node": lambda write: write.drain_node(NOBODY, "aistation: a test"),
    "resume_node": lambda write: write.resume_node(LOST),
    "undrain_node": lambda write: write.undrain_node(LOST),
    "set_features": lambda write: write.set_features(NOBODY, (), active=()),
    "update_node": lambda write: write.update_node(NOBODY, comment="x"),
    "update_partition": lambda write: write.update_partition(NOBODY, state="UP"),
    "create_reservation": lambda write: write.create_reservation(
        NO_RESERVATION, nodes=NOBODY, users=("ann",), duration=timedelta(1)
    ),
    "update_reservation": lambda write: write.update_reservation(NO_RESERVATION, users=("ann",)),
    "delete_reservation": lambda write: write.delete_reservation(NO_RESERVATION),
}
OURS = Account(name=NOBODY, description=MARK)
TO_SLURMDBD: Mapping[str, Order] = {
    "modify_qos": lambda write: write.modify_qos(Qos(name=NOBODY), priority=3),
    "delete_qos": lambda write: write.delete_qos(Qos(name=NOBODY, description=MARK)),
    "delete_account": lambda write: write.delete_account(OURS, cluster=NOBODY),
    "add_user": lambda write: write.add_user("ann", account=NOBODY, cluster=NOBODY),
    "remove_user": lambda write: write.remove_user("ann", account=OURS, cluster=NOBODY),
    "modify_user": lambda write: write.modify_user(NOBODY, default_account="face", cluster=NOBODY),
    "set_admin_comment": lambda write: write.set_admin_comment(GHOST, "JS1:Ghost", cluster=NOBODY),
    "modify_association": lambda write: write.modify_association(Association(cluster=NOBODY, account=NOBODY), share=3),
}


@pytest.fixture
def conf(station, tmp_path) -> Callable[..., Path]:
    """`conf(slurmctld=port, slurmdbd=port)`: a slurm.conf whose daemons are reached there, on 127.0.0.1.

    `gives_up` is how many seconds libslurm itself waits for a message.
    """

    def write(*, slurmctld: int | None = None, slurmdbd: int | None = None, gives_up: int = 2) -> Path:
        folder = Path(station.env()["SLURM_CONF"]).parent
        told: dict[str, object] = {"MessageTimeout": gives_up}
        if slurmctld:
            told |= {"SlurmctldHost": "localhost(127.0.0.1)", "SlurmctldPort": slurmctld}
        if slurmdbd:
            told |= {"AccountingStorageHost": "127.0.0.1", "AccountingStoragePort": slurmdbd}
        lines = (folder / "slurm.conf").read_text().replace("\nInclude ", f"\nInclude {folder}/").splitlines()
        kept = [line for line in lines if line.partition("=")[0] not in told]
        path = tmp_path / "slurm.conf"
        path.write_text("\n".join([*kept, *(f"{key}={value}" for key, value in told.items()), ""]))
        return path

    return write


def daemon(station, name: str) -> Address:
    """Where slurmctld or slurmdbd listens."""
    config = station.slurm.read.config()
    if name == "slurmdbd":
        return config["AccountingStorageHost"], int(config["AccountingStoragePort"])
    lines = Path(station.env()["SLURM_CONF"]).read_text().splitlines()
    host = next(line for line in lines if line.startswith("SlurmctldHost="))
    return host.partition("(")[2].rstrip(")"), int(config["SlurmctldPort"])


def freeze(station, name: str) -> None:
    """Stop the daemon where it stands; it goes on after the test."""
    station.broken.append((f"kill-{name}", ""))  # what is healed after the test
    os.kill(services(read_processes(), station.cluster.record.name)[name].pid, signal.SIGSTOP)


def outcomes(tried: Mapping[str, Callable[[object], object]], of: object) -> dict[str, object]:
    """What each came to: the answer, or the error; one that does not end fails the test."""

    def outcome(each: Callable[[object], object]) -> object:
        try:
            return each(of)
        except AistationError as error:
            return error

    with ThreadPoolExecutor(len(tried)) as pool:
        going = {name: pool.submit(outcome, each) for name, each in tried.items()}
        return {name: each.result(HANGS) for name, each in going.items()}


def kinds(found: Mapping[str, object]) -> dict[str, str]:
    return {name: type(each).__name__ for name, each in found.items()}


def all_unreachable(tried: Mapping[str, object]) -> dict[str, str]:
    return dict.fromkeys(tried, "SlurmUnreachable")


def left_over(conf: Path) -> list[str]:
    """The processes that were started with this slurm.conf and still live."""
    mine = f"SLURM_CONF={conf}".encode()
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            if mine in (each / "environ").read_bytes().split(b"\0"):
                found.append((each / "cmdline").read_text())
        except OSError:
            continue
    return found


@pytest.fixture
def reader(station) -> Callable[[Path, float], SlurmReader]:
    """`reader(conf, seconds)`: asks through this slurm.conf, by Slurm's commands; the other readers fill up from it."""
    return lambda conf, patience: CliReader(runner(station, conf), timeout=patience)


@pytest.fixture
def writer(station) -> Callable[..., SlurmWriter]:
    """`writer(conf, seconds)`: gives orders through this slurm.conf."""
    return lambda conf, patience=60.0: SlurmWriter(runner(station, conf), timeout=patience)


def runner(station, conf: Path) -> LocalRunner:
    return LocalRunner(slurm_conf=conf, bin=station.settings.slurm.bin)


@pytest.fixture(params=["kill-slurmctld", "hang-slurmctld"])
def without_slurmctld(request, station) -> str:
    station.fault(request.param)
    return request.param


def test_without_slurmctld_its_questions_are_unreachable_and_slurmdbd_s_are_answered(
    without_slurmctld, conf, reader, wait_for
):
    path = conf()
    assert kinds(outcomes(OF_SLURMCTLD, reader(path, BRIEF))) == all_unreachable(OF_SLURMCTLD)
    assert [each.is_up for each in reader(path, USUAL).controllers()] == [False]
    assert set(kinds(outcomes(OF_SLURMDBD, reader(conf(gives_up=20), USUAL))).values()) == {"list"}
    wait_for(lambda: not left_over(path))


def test_without_slurmctld_no_order_to_it_is_taken_for_done(without_slurmctld, conf, writer, wait_for):
    path = conf()
    write = writer(path, BRIEF)
    orders = dict(TO_SLURMCTLD)
    if without_slurmctld == "kill-slurmctld":  # one that is frozen would hear them later
        orders |= {"sbatch": lambda w: w.sbatch(SLEEP), "reconfigure": lambda w: w.reconfigure()}
    assert kinds(outcomes(orders, write)) == all_unreachable(orders)
    assert not writer(path).ping()
    wait_for(lambda: not left_over(path))


@pytest.mark.parametrize("is_frozen", [False, True], ids=["killed", "frozen"])
def test_without_slurmdbd_its_questions_are_unreachable_and_slurmctld_s_are_answered(
    station, conf, reader, writer, wait_for, is_frozen
):
    path = conf()
    if is_frozen:
        freeze(station, "slurmdbd")
    else:
        station.fault("kill-slurmdbd")
    assert kinds(outcomes(OF_SLURMDBD, reader(path, BRIEF))) == all_unreachable(OF_SLURMDBD)
    write = writer(path, BRIEF)
    assert kinds(outcomes(TO_SLURMDBD, write)) == all_unreachable(TO_SLURMDBD)
    answered = {name: each for name, each in OF_SLURMCTLD.items() if name != "job"}
    found = outcomes(answered, reader(conf(gives_up=20), USUAL))
    assert not [each for each in found.values() if isinstance(each, AistationError)]
    wait_for(lambda: not left_over(path))


def test_without_munged_nothing_can_be_asked_or_ordered(station, conf, reader, writer, wait_for):
    path = conf()
    station.fault("kill-munged")
    every = {**OF_SLURMCTLD, **OF_SLURMDBD}
    assert kinds(outcomes(every, reader(path, BRIEF))) == all_unreachable(every)
    orders = {**TO_SLURMCTLD, **TO_SLURMDBD}
    assert kinds(outcomes(orders, writer(path, BRIEF))) == all_unreachable(orders)
    wait_for(lambda: not left_over(path))


LIES = {
    "nothing at all": b"",
    "another language": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "a huge length": b"\xff\xff\xff\xf0" + b"x" * 100,
    "a message of zeros": (4096).to_bytes(4, "big") + bytes(4096),
    "a message of noise": (2000).to_bytes(4, "big") + bytes(each * 7 % 251 for each in range(2000)),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_that_is_none_is_no_answer(station, conf, reader, writer, wait_for, lie):
    with (
        SpoiledLine(daemon(station, "slurmctld"), garbage=LIES[lie]) as slurmctld,
        SpoiledLine(daemon(station, "slurmdbd"), garbage=LIES[lie]) as slurmdbd,
    ):
        path = conf(slurmctld=slurmctld.port, slurmdbd=slurmdbd.port)
        every = {**OF_SLURMCTLD, **OF_SLURMDBD}
        assert kinds(outcomes(every, reader(path, BRIEF))) == all_unreachable(every)
        orders = {**TO_SLURMCTLD, **TO_SLURMDBD, "reconfigure": lambda write: write.reconfigure()}
        write = writer(path, BRIEF)
        assert kinds(outcomes(orders, write)) == all_unreachable(orders)
        assert slurmctld.asked
        assert slurmdbd.asked
    wait_for(lambda: not left_over(path))


BY = ("job_id", "step_id", "array_task", "cluster", "account", "user", "partition", "name", "tres_id")
STILL = (Qos, Account, Association)


def gist(answer: object) -> object:
    """What is the same at the next look: of what stands still all of it, of the rest which ones there are."""
    if isinstance(answer, list):
        return [each if isinstance(each, STILL) else [getattr(each, key, "") for key in BY] for each in answer]
    if isinstance(answer, Job):
        return answer.job_id, answer.name
    if isinstance(answer, LimitsInUse):
        return gist(list(answer.associations)), gist(list(answer.qos))
    return sorted(answer) if isinstance(answer, dict | frozenset) else type(answer)


def is_honest(answer: object, truth: object) -> bool:
    """True where it says that nothing is known, or all that there is."""
    return isinstance(answer, SlurmUnreachable | SlurmUnreadable) or gist(answer) == gist(truth)


def test_a_slow_answer_is_waited_for_and_one_that_drips_is_not(station, conf, reader, wait_for):
    asked = {name: OF_SLURMCTLD[name] for name in ("jobs", "nodes", "config")}
    with SpoiledLine(daemon(station, "slurmctld"), delay=0.7) as line:
        path = conf(slurmctld=line.port, gives_up=20)
        found = outcomes(asked, reader(path, USUAL))
        assert len(found["nodes"]) == len(station.slurm.read.nodes())
        assert not [each for each in found.values() if isinstance(each, AistationError)]
    with SpoiledLine(daemon(station, "slurmctld"), drip=0.5) as line:
        path = conf(slurmctld=line.port)
        assert kinds(outcomes(asked, reader(path, BRIEF))) == all_unreachable(asked)
    wait_for(lambda: not left_over(path))


class Through:
    """Runs commands as one of the station's users, through a slurm.conf of ours."""

    def __init__(self, station, user: str, conf: Path) -> None:
        self.station = station
        self.user = user
        self.conf = station.user(user).folder / "slurm.conf"
        self.conf.write_text(conf.read_text())

    def run(self, argv: tuple[str, ...], *, stdin: str = "", timeout: float = 30) -> Completed:
        done = self.station.exec(
            ("env", f"SLURM_CONF={self.conf}", *argv), user=self.user, stdin=stdin, timeout=timeout
        )
        return Completed(done.returncode, done.stdout, done.stderr)


def test_a_submission_whose_answer_was_lost_is_there_once(station, conf, wait_for):
    name = "lost-answer"
    with SpoiledLine(daemon(station, "slurmctld"), cut_after=20) as line:
        write = SlurmWriter(Through(station, "ann", conf(slurmctld=line.port)))
        with pytest.raises(SlurmUnreachable):
            write.sbatch(SLEEP, "--hold", "-J", name, "-o", "/dev/null", cwd=Path("/tmp"))

    def there() -> list[Job]:
        return [each for each in station.slurm.read.jobs() if each.name == name]

    wait_for(there)
    assert len(there()) == 1


CUTS = (0, 3, 50, 400, 1500, 3000)


def test_half_an_answer_is_never_taken_for_the_whole(station, conf, reader, writer, ann, wait_for):
    job_id = ann.sbatch("sleep 300", "--gres=gpu:1", "--comment", "x" * 500)
    ann.sbatch("sleep 300", "--array=1-5", "--begin=now+1hour")
    wait_for(lambda: station.job(job_id).state is JobState.RUNNING)
    every = {**OF_SLURMCTLD, **OF_SLURMDBD, "job": lambda read: read.job(job_id)}
    truth = outcomes(every, reader(Path(station.env()["SLURM_CONF"]), USUAL))
    ends = daemon(station, "slurmctld"), daemon(station, "slurmdbd")
    for cut_after in CUTS:
        with (
            SpoiledLine(ends[0], cut_after=cut_after) as slurmctld,
            SpoiledLine(ends[1], cut_after=cut_after) as slurmdbd,
        ):
            path = conf(slurmctld=slurmctld.port, slurmdbd=slurmdbd.port)
            found = outcomes(every, reader(path, USUAL))
            orders = {**TO_SLURMCTLD, **TO_SLURMDBD} if cut_after == 3 else {}
            given = outcomes(orders, writer(path)) if orders else {}
        assert {name: each for name, each in found.items() if not is_honest(each, truth[name])} == {}, cut_after
        assert any(isinstance(each, SlurmUnreachable) for each in found.values()), cut_after
        assert kinds(given) == all_unreachable(orders)
        wait_for(lambda path=path: not left_over(path))
