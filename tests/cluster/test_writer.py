"""Orders to the real Slurm: what was ordered is what its readers then see, and what is so already is no error."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aistation_slurm.errors import InUse, InvalidRequest, NotPermitted, SlurmError, UnknownToSlurm
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.marks import MARK
from aistation_slurm.slurm.model import Account, Association, Job, Limits, Qos, Reservation
from aistation_slurm.slurm.readers.cli import CliReader
from aistation_slurm.slurm.runner import Completed
from aistation_slurm.slurm.states import JobState
from aistation_slurm.slurm.writer import SlurmWriter

pytestmark = pytest.mark.cluster
SLEEP = "#!/bin/sh\nexec sleep 300\n"
NOBODY, NO_JOB = "nobody-has-this-name", 66_000_000
QOS, ACCOUNT, RESERVATION = "qos-of-a-test", "account-of-a-test", "aistation-of-a-test"
EVERY_LIMIT = Limits(
    grp_tres={"cpu": 40, "gres/gpu": 9},
    grp_jobs=8,
    grp_submit_jobs=80,
    max_tres_per_job={"cpu": 4, "mem": 7168},
    max_tres_per_user={"gres/gpu": 3, "node": 2},
    max_tres_per_account={"cpu": 30},
    max_tres_per_node={"cpu": 6},
    max_jobs_per_user=5,
    max_submit_jobs_per_user=50,
    max_jobs_per_account=7,
    max_submit_jobs_per_account=70,
    max_wall=timedelta(days=1, hours=2, minutes=3),
)


class As:
    """Runs every command as one of the station's users."""

    def __init__(self, station, user: str) -> None:
        self.station = station
        self.user = user

    def run(self, argv: tuple[str, ...], *, stdin: str = "", timeout: float = 30) -> Completed:
        done = self.station.exec(argv, user=self.user, stdin=stdin, timeout=timeout)
        return Completed(done.returncode, done.stdout, done.stderr)


def acting(station, user: str) -> Slurm:
    runner = As(station, user)
    return Slurm(read=CliReader(runner), write=SlurmWriter(runner))


@pytest.fixture
def slurm(station) -> Slurm:
    return station.slurm


@pytest.fixture
def as_ann(station) -> Slurm:
    return acting(station, "ann")


@pytest.fixture
def submit(as_ann):
    def sbatch(*options: str) -> int:
        return as_ann.write.sbatch(SLEEP, "-o", "/dev/null", *options, cwd=Path("/tmp"))

    return sbatch


@pytest.fixture
def tidy(slurm):
    """Take away what a test may have left in slurmdbd and slurmctld."""

    def sweep() -> None:
        cluster = slurm.read.config()["ClusterName"]
        slurm.write.delete_reservation(RESERVATION)
        slurm.write.delete_account(Account(name=ACCOUNT, description=MARK), cluster=cluster)
        slurm.write.delete_qos(Qos(name=QOS, description=MARK))

    sweep()
    yield
    sweep()


def members(slurm: Slurm, array: int) -> list[Job]:
    return [each for each in slurm.read.jobs() if each.array_job_id == array]


def the_qos(slurm: Slurm) -> Qos:
    return next(each for each in slurm.read.qos() if each.name == QOS)


def the_reservation(slurm: Slurm) -> Reservation | None:
    return next((each for each in slurm.read.reservations() if each.name == RESERVATION), None)


def test_a_member_of_an_array_is_cancelled_alone_though_the_array_has_its_id(slurm, as_ann, submit, wait_for):
    array = submit("--array=0-1", "--gres=gpu:1", "-J", "a,b |x")
    wait_for(lambda: len([each for each in members(slurm, array) if each.state is JobState.RUNNING]) == 2)
    namesake = next(each for each in members(slurm, array) if each.job_id == array)
    assert as_ann.write.scancel(namesake)
    wait_for(lambda: slurm.read.job(array).state.is_over)
    assert [each.state for each in members(slurm, array) if not each.state.is_over] == [JobState.RUNNING]
    assert as_ann.write.scancel(*members(slurm, array))
    assert not as_ann.write.scancel(namesake)


def test_the_waiting_members_of_an_array_with_a_stride_are_named_whole(slurm, as_ann, submit):
    array = submit("--array=0-600:3%2", "--begin=now+1hour")
    as_ann.write.hold(array)
    as_ann.write.update_job(array, nice=1)
    (waiting,) = members(slurm, array)
    as_ann.write.update_job(waiting, time_limit=timedelta(minutes=7))
    assert {each.time_limit for each in members(slurm, array)} == {timedelta(minutes=7)}
    as_ann.write.scancel(*(each for each in members(slurm, array)))
    assert [each for each in members(slurm, array) if not each.state.is_over] == []


def test_the_members_of_a_long_array_are_listed_to_the_last(slurm, submit):
    array = submit("--array=0-600:3", "--begin=now+1hour")
    slurm.write.update_job(next(iter(members(slurm, array))), site_factor=1)
    slurm.write.hold(Job(job_id=array, array_job_id=array, array_task="3", name="", user="ann", state=JobState.PENDING))
    listed = [task for each in members(slurm, array) for task in each.array_task.split(",")]
    assert sorted(map(int, listed)) == list(range(0, 601, 3))


def test_a_job_is_not_cancelled_by_its_id_alone(slurm, submit):
    job = slurm.read.job(submit("--hold", "-J", "mine"))
    strangers = (
        Job(job_id=job.job_id, name="mine", user="chen", state=job.state),
        Job(job_id=job.job_id, name="other", user="ann", state=job.state),
    )
    for stranger in strangers:
        assert not slurm.write.scancel(stranger)
    assert slurm.read.job(job.job_id).state is JobState.PENDING
    assert slurm.write.scancel(job)


def test_a_heterogeneous_job_is_cancelled_by_its_first_part_as_a_whole(slurm, as_ann, submit):
    first = submit("--hold", "-N1", ":", "-N1", "-J", "another-name")
    parts = sorted((each for each in slurm.read.jobs() if each.het_job_id == first), key=lambda each: each.het_offset)
    assert [each.het_offset for each in parts] == [0, 1]
    with pytest.raises(InvalidRequest, match=str(first)):
        as_ann.write.scancel(parts[1])
    assert as_ann.write.scancel(parts[0])
    assert not [each for each in slurm.read.jobs() if each.het_job_id == first]


def test_a_signal_reaches_the_job_and_does_not_end_it(slurm, as_ann, ann, wait_for):
    job_id = ann.sbatch("trap 'echo got it' USR1; echo ready; while :; do sleep 0.1; done")
    wait_for(lambda: "ready" in ann.output(job_id))
    ann.run("scancel", "--batch", "--signal=USR1", str(job_id))
    wait_for(lambda: "got it" in ann.output(job_id))
    assert as_ann.write.scancel(slurm.read.job(job_id), signal="CONT")
    assert slurm.read.job(job_id).state is JobState.RUNNING


def test_what_is_changed_about_a_job_is_what_is_read(slurm, as_ann, submit):
    job_id = submit("--begin=now+1hour", "-t", "5")
    begin = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
    as_ann.write.update_job(
        job_id,
        nice=7,
        time_limit=timedelta(minutes=3),
        start_time=begin,
        name="a b|c",
        comment="x=1 State=FAILED\n'quoted' \"twice\"",
    )
    job = slurm.read.job(job_id)
    assert (job.nice, job.time_limit, job.eligible_time) == (7, timedelta(minutes=3), begin)
    assert (job.name, job.comment) == ("a b|c", "x=1 State=FAILED\n'quoted' \"twice\"")
    as_ann.write.update_job(job_id, comment="")
    assert slurm.read.job(job_id).comment == ""
    slurm.write.update_job(job_id, priority=4321, time_limit=None, admin_comment="JS1:abc")
    job = slurm.read.job(job_id)
    assert (job.priority, job.time_limit, job.admin_comment) == (4321, None, "JS1:abc")


def test_a_site_factor_changes_the_priority_at_once(slurm, submit):
    job_id = submit("--begin=now+1hour")
    slurm.write.update_job(job_id, site_factor=100)
    before = slurm.read.job(job_id).priority
    slurm.write.update_job(job_id, site_factor=1100)
    assert slurm.read.job(job_id).priority == before + 1000


def test_a_job_in_the_queue_is_requeued_already_and_one_that_runs_can_be_held_there(slurm, as_ann, submit, wait_for):
    assert not as_ann.write.requeue(submit("--hold"))
    job_id = submit("--requeue")
    wait_for(lambda: slurm.read.job(job_id).state is JobState.RUNNING)
    assert as_ann.write.requeue(job_id, hold=True)
    wait_for(lambda: slurm.read.job(job_id).state is JobState.PENDING)
    assert slurm.read.job(job_id).priority == 0
    as_ann.write.release(job_id)
    assert slurm.read.job(job_id).priority > 0


def test_a_node_s_features_are_what_was_ordered(station, slurm):
    name = slurm.read.nodes()[-1].name
    try:
        slurm.write.set_features(name, ("ib", "ssd"), active=("ssd",))
        assert (station.node(name).features, station.node(name).active_features) == (("ib", "ssd"), ("ssd",))
        slurm.write.set_features(name, ("nvme",), active=("nvme",))
        assert (station.node(name).features, station.node(name).active_features) == (("nvme",), ("nvme",))
        with pytest.raises(InvalidRequest, match="subset"):
            slurm.write.set_features(name, ("nvme",), active=("ib",))
    finally:
        slurm.write.set_features(name, (), active=())
    assert (station.node(name).features, station.node(name).active_features) == ((), ())


def test_a_node_that_is_down_and_drained_is_undrained_and_stays_down(station, slurm):
    name = slurm.read.nodes()[-1].name
    try:
        slurm.write.down_node(name, "aistation: a test")
        slurm.write.drain_node(name, "aistation: a test")
        assert slurm.write.undrain_node(station.node(name))
        node = station.node(name)
        assert (node.state.is_down, node.state.is_draining) == (True, False)
        assert not slurm.write.undrain_node(node)
    finally:
        slurm.write.resume_node(station.node(name))
    slurm.write.update_node(name, comment="a b=c", weight=3)
    assert station.node(name).comment == "a b=c"
    slurm.write.update_node(name, comment="", weight=1)


def test_a_partition_is_closed_timed_and_opened(slurm):
    def partition():
        return next(each for each in slurm.read.partitions() if each.name == before.name)

    before = next(each for each in slurm.read.partitions() if each.is_default)
    try:
        slurm.write.update_partition(before.name, state="DOWN", max_time=timedelta(hours=30), is_hidden=True)
        slurm.write.update_partition(before.name, allow_accounts=("face",), allow_qos=("normal",), max_nodes=2)
        now = partition()
        assert (now.state, now.max_time, now.is_hidden) == ("DOWN", timedelta(hours=30), True)
        assert (now.allow_accounts, now.allow_qos, now.max_nodes) == (("face",), ("normal",), 2)
    finally:
        slurm.write.update_partition(
            before.name,
            state="UP",
            max_time=before.max_time,
            is_hidden=before.is_hidden,
            allow_accounts=before.allow_accounts,
            allow_qos=before.allow_qos,
            max_nodes=before.max_nodes,
        )
    assert partition() == before


def test_a_reservation_of_ours_is_made_changed_and_deleted(slurm, tidy):
    begin = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    nodes = slurm.read.nodes()[-1].name
    wishes = {"start_time": begin, "duration": timedelta(hours=2), "nodes": nodes}
    assert slurm.write.create_reservation(RESERVATION, users=("ann", "bob"), flags=("FLEX",), **wishes) == RESERVATION
    made = the_reservation(slurm)
    assert (made.nodes, made.start_time, made.users) == (nodes, begin, ("ann", "bob"))
    assert made.end_time == begin + timedelta(hours=2)
    assert "FLEX" in made.flags
    with pytest.raises(InUse):
        slurm.write.create_reservation(RESERVATION, users=("ann",), **wishes)
    with pytest.raises(InUse):
        slurm.write.create_reservation(f"{RESERVATION}-2", users=("ann",), **wishes)
    slurm.write.update_reservation(RESERVATION, users=("chen",), duration=timedelta(hours=3))
    assert the_reservation(slurm).users == ("chen",)
    assert the_reservation(slurm).end_time == begin + timedelta(hours=3)
    assert slurm.write.delete_reservation(RESERVATION)
    assert the_reservation(slurm) is None
    assert not slurm.write.delete_reservation(RESERVATION)
    with pytest.raises(UnknownToSlurm):
        slurm.write.update_reservation(RESERVATION, users=("chen",))


def test_a_reservation_of_what_is_not_there_is_unknown(slurm, tidy):
    hour = {"duration": timedelta(hours=1)}
    node = slurm.read.nodes()[-1].name
    for wishes in ({"nodes": NOBODY}, {"node_count": 1, "partition": NOBODY}):
        with pytest.raises(UnknownToSlurm):
            slurm.write.create_reservation(RESERVATION, users=("ann",), **hour, **wishes)
    with pytest.raises(InvalidRequest):
        slurm.write.create_reservation(RESERVATION, **hour, nodes=node)


def test_every_limit_of_a_qos_can_be_set_changed_and_taken_back(slurm, tidy):
    assert slurm.write.add_qos(QOS, priority=7, flags=("DenyOnLimit",), limits=EVERY_LIMIT)
    assert not slurm.write.add_qos(QOS, priority=8)
    made = the_qos(slurm)
    assert (made.limits, made.description) == (EVERY_LIMIT, MARK)
    assert (made.priority, made.flags) == (7, ("DenyOnLimit",))
    fewer = Limits(grp_tres={"cpu": 41}, max_tres_per_user={"node": 2}, max_jobs_per_user=5)
    slurm.write.modify_qos(made, limits=fewer, flags=(), preempt=("normal",), grace_time=timedelta(minutes=1))
    changed = the_qos(slurm)
    assert (changed.limits, changed.flags, changed.preempt) == (fewer, (), ("normal",))
    assert (changed.priority, changed.grace_time) == (7, timedelta(minutes=1))
    slurm.write.modify_qos(changed, limits=Limits(), preempt=(), grace_time=None, usage_factor=0.5)
    cleared = the_qos(slurm)
    assert (cleared.limits, cleared.preempt, cleared.usage_factor) == (Limits(), (), 0.5)
    assert not cleared.grace_time
    assert slurm.write.delete_qos(cleared)
    assert not slurm.write.delete_qos(cleared)
    with pytest.raises(UnknownToSlurm):
        slurm.write.modify_qos(cleared, priority=1)


def test_a_team_and_its_member_are_made_limited_and_taken_away(slurm, tidy):
    cluster = slurm.read.config()["ClusterName"]

    def association(user: str = "") -> Association | None:
        found = slurm.read.associations(cluster)
        return next((each for each in found if (each.account, each.user) == (ACCOUNT, user)), None)

    slurm.write.add_qos(QOS)
    limits = Limits(grp_tres={"gres/gpu": 4}, grp_jobs=3)
    made = slurm.write.add_account(ACCOUNT, cluster=cluster, share=5, qos=("normal", QOS), limits=limits)
    assert made
    assert not slurm.write.add_account(ACCOUNT, cluster=cluster)
    own = Limits(
        grp_submit_jobs=8,
        max_tres_per_job={"cpu": 2},
        max_tres_per_node={"cpu": 1},
        max_jobs_per_user=2,
        max_submit_jobs_per_user=9,
        max_wall=timedelta(hours=9),
    )
    assert slurm.write.add_user("ann", account=ACCOUNT, cluster=cluster, limits=own)
    assert not slurm.write.add_user("ann", account=ACCOUNT, cluster=cluster)
    assert (association().limits, association().share) == (limits, 5)
    assert (association("ann").limits, set(association("ann").qos)) == (own, {"normal", QOS})
    slurm.write.modify_association(association(), limits=Limits(grp_jobs=4), share=6, parent="face")
    assert association().parent == "face"
    slurm.write.modify_association(association(), parent="root")
    with pytest.raises(UnknownToSlurm):
        slurm.write.modify_association(association(), parent=NOBODY)
    slurm.write.modify_association(association("ann"), limits=Limits(), share=None, qos=(QOS,), default_qos=QOS)
    ann = association("ann")
    assert (association().limits, association().share) == (Limits(grp_jobs=4), 6)
    assert (ann.limits, ann.share, ann.qos, ann.default_qos) == (Limits(), None, (QOS,), QOS)
    account = next(each for each in slurm.read.accounts() if each.name == ACCOUNT)
    assert slurm.write.remove_user("ann", account=account, cluster=cluster)
    assert not slurm.write.remove_user("ann", account=account, cluster=cluster)
    with pytest.raises(UnknownToSlurm):
        slurm.write.modify_association(ann, share=3)
    assert slurm.write.delete_account(account, cluster=cluster)
    assert not slurm.write.delete_account(account, cluster=cluster)
    assert "ann" in {each.name for each in slurm.read.users()}


def test_names_that_slurmdbd_does_not_know_are_unknown(slurm, tidy):
    cluster = slurm.read.config()["ClusterName"]
    for order in (
        lambda: slurm.write.add_user("ann", account=NOBODY, cluster=cluster),
        lambda: slurm.write.add_user("ann", account="face", cluster=NOBODY),
        lambda: slurm.write.add_account(ACCOUNT, cluster=cluster, parent=NOBODY),
        lambda: slurm.write.add_account(ACCOUNT, cluster=cluster, qos=(NOBODY,)),
        lambda: slurm.write.add_qos(QOS, limits=Limits(grp_tres={"gres/frob": 1})),
        lambda: slurm.write.modify_user("ann", default_account=NOBODY, cluster=cluster),
        lambda: slurm.write.modify_user(NOBODY, default_account="face", cluster=cluster),
    ):
        with pytest.raises(UnknownToSlurm):
            order()
    assert ACCOUNT not in {each.account for each in slurm.read.associations()}


def test_a_user_changes_nothing_of_the_cluster(station, slurm):
    ann, node = acting(station, "ann"), slurm.read.nodes()[-1]
    cluster = slurm.read.config()["ClusterName"]
    down = Qos(name="normal", description=MARK)
    orders = {
        "drain": lambda: ann.write.drain_node(node.name, "aistation: mine"),
        "features": lambda: ann.write.set_features(node.name, ("x",), active=("x",)),
        "partition": lambda: ann.write.update_partition(node.partitions[0], state="DOWN"),
        "reservation": lambda: ann.write.create_reservation(
            RESERVATION, nodes=node.name, users=("ann",), duration=timedelta(1)
        ),
        "qos": lambda: ann.write.add_qos(QOS),
        "delete qos": lambda: ann.write.delete_qos(down),
        "account": lambda: ann.write.add_account(ACCOUNT, cluster=cluster),
        "user": lambda: ann.write.add_user("ann", account="face", cluster=cluster),
        "reconfigure": ann.write.reconfigure,
    }
    told: dict[str, type[SlurmError] | None] = {}
    for name, order in orders.items():
        try:
            order()
            told[name] = None
        except SlurmError as error:
            told[name] = type(error)
    assert told == dict.fromkeys(orders, NotPermitted)
    assert station.node(node.name).state.is_usable


def test_an_order_comes_back_within_its_time(slurm):
    begin = time.monotonic()
    with pytest.raises(UnknownToSlurm):
        slurm.write.hold(NO_JOB)
    assert time.monotonic() - begin < 60


def test_a_whole_array_is_cancelled_by_its_number_on_the_command_line(station, slurm, submit, wait_for):
    def cancel(*job_ids: int) -> list[str]:
        argv = ("aistation", "job", "cancel", *map(str, job_ids))
        return station.exec(argv, user="ann", cwd=Path("/tmp")).stderr.splitlines()

    array, alone = submit("--array=0-3", "--gres=gpu:1"), submit("--hold")
    wait_for(lambda: any(each.state is JobState.RUNNING for each in members(slurm, array)))
    assert cancel(array, alone) == [f"{array} cancelled", f"{alone} cancelled"]
    wait_for(lambda: not {array, alone} & {each.array_job_id or each.job_id for each in slurm.read.jobs()})
    assert cancel(array, alone) == [f"{each} was over already (CANCELLED)" for each in (array, alone)]
