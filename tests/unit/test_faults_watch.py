"""The rounds of recovery on a Slurm made of paper: what is done, in which order, and what is remembered."""

from __future__ import annotations

import dataclasses
import os
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import select

from aistation_slurm.errors import SlurmRefused, SlurmUnreachable, UnknownToSlurm
from aistation_slurm.faults import incidents
from aistation_slurm.faults.policy import Policy, policy_of
from aistation_slurm.faults.probe import Answer, Sign
from aistation_slurm.faults.recover import Recovery
from aistation_slurm.faults.tools import Tools
from aistation_slurm.faults.watch import Watch
from aistation_slurm.node.beats import BeatWriter
from aistation_slurm.node.heartbeat import Heartbeat
from aistation_slurm.settings import DaemonSettings
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Job, Node
from aistation_slurm.slurm.nodelist import expand
from aistation_slurm.slurm.states import JobState, NodeState
from aistation_slurm.store.engine import open_store, session
from aistation_slurm.store.tables import AuditEntry

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class PaperSlurm:
    """A Slurm that remembers what it was told."""

    def __init__(self):
        self.nodes_by_name = {}
        self.jobs_by_id = {}
        self.orders = []
        self.trouble = None
        self.requeues = True

    def add_node(self, name, state="IDLE", reason=""):
        node = Node(name=name, address="x", port=1, state=NodeState.parse(state), reason=reason, partitions=("v100",))
        self.nodes_by_name[name] = node

    def add_job(self, job_id, nodes, state="RUNNING", **more):
        self.jobs_by_id[job_id] = Job(
            job_id=job_id, name="t", user="ann", state=JobState.parse(state), nodes=nodes, **more
        )

    def change(self, job_id, **fields):
        if "state" in fields:
            fields["state"] = JobState.parse(fields["state"])
        self.jobs_by_id[job_id] = dataclasses.replace(self.jobs_by_id[job_id], **fields)

    # what is read

    def nodes(self):
        self._may_fail()
        return list(self.nodes_by_name.values())

    def jobs(self, *, with_over=False):
        self._may_fail()
        return list(self.jobs_by_id.values())

    def job(self, job_id):
        self._may_fail()
        if job_id not in self.jobs_by_id:
            raise UnknownToSlurm(f"no job {job_id}")
        return self.jobs_by_id[job_id]

    # what is ordered

    def down_node(self, name, reason):
        self._may_fail()
        self.orders.append(f"down {name}")
        self.add_node(name, "DOWN", reason)
        for job in list(self.jobs_by_id.values()):
            if name in expand(job.nodes) and self.requeues:
                self.change(
                    job.job_id,
                    state="PENDING",
                    reason="BeginTime",
                    restart_count=job.restart_count + 1,
                    nodes="",
                    eligible_time=NOON + timedelta(seconds=121),
                )

    def resume_node(self, node):
        self._may_fail()
        self.orders.append(f"resume {node.name}")
        self.add_node(node.name)
        return True

    def drain_node(self, name, reason):
        self._may_fail()
        self.orders.append(f"drain {name}")
        self.add_node(name, "IDLE+DRAIN", reason)

    def update_job(self, job_id, **fields):
        self._may_fail()
        self.orders.append(f"job {job_id} {fields}")
        if fields == {"start_now": True}:
            self.change(job_id, state="RUNNING", reason="", nodes="n3", eligible_time=NOON)

    def _may_fail(self):
        if self.trouble:
            raise self.trouble


class Lab:
    """A watch and a recovery over paper nodes n1 to n4, with a clock of its own."""

    def __init__(self, folder, **policy):
        self.now = NOON
        self.slurm = PaperSlurm()
        self.answers = {}
        self.probed = []
        self.folder = folder
        self.engine = open_store(f"sqlite:///{folder}/a.db")
        self.beats = BeatWriter(folder)
        for name in ("n1", "n2", "n3", "n4"):
            self.slurm.add_node(name)
            self.beats.heard(Heartbeat(name, "b", 1, 0), now=0, since=self.at(-600))
            os.utime(folder / "heartbeats" / name, (self.at(0), self.at(0)))
        self.policy = Policy(**policy)
        self.begin()

    def begin(self):
        """A daemon that starts anew."""
        tools = Tools(
            slurm=Slurm(self.slurm, self.slurm),
            engine=self.engine,
            run_dir=self.folder,
            policy=self.policy,
            actor="lab",
            clock=lambda: self.now,
        )
        self.learned = []
        self.watch = Watch(tools, learn=self.learned.append, probe=self.probe)
        self.recovery = Recovery(tools)

    def at(self, seconds):
        return (self.now + timedelta(seconds=seconds)).timestamp()

    def probe(self, nodes):
        self.probed += [each.name for each in nodes]
        return {each.name: self.answers.get(each.name, Answer(Sign.ANSWERS)) for each in nodes}

    def lose(self, *names):
        self.answers |= dict.fromkeys(names, Answer(Sign.SILENT, "no answer within 1 s"))

    def round(self, *, after=0.0, silent=(), receiver=True):
        """Let time pass; all but the silent beat; then one round of the watch."""
        self.now += timedelta(seconds=after)
        for name in {"n1", "n2", "n3", "n4"} - set(silent):
            os.utime(self.folder / "heartbeats" / name, (self.at(-0.1), self.at(-0.1)))
        if receiver:
            self.beats.at_work(now=self.at(0), since=NOON.timestamp() - 600)
            os.utime(self.folder / "heartbeats" / ".receiver", (self.at(0), self.at(0)))
        return self.watch.round()

    def recover(self, *, after=1.5):
        self.now += timedelta(seconds=after)
        return self.recovery.round()

    def audit(self):
        with session(self.engine) as work:
            return list(work.exec(select(AuditEntry.what)))


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path)
    yield lab
    lab.engine.dispose()


def test_where_all_beat_slurm_is_asked_rarely_and_nothing_is_done(lab):
    lab.round()
    assert lab.learned == [["n1", "n2", "n3", "n4"]]
    for _ in range(12):
        assert lab.round(after=0.25) == []
    assert len(lab.learned) == 1
    lab.round(after=2.1)
    assert len(lab.learned) == 2
    assert (lab.probed, lab.slurm.orders) == ([], [])


def test_a_lost_node_is_marked_down_and_its_job_runs_again(lab):
    lab.slurm.add_job(7, "n[1-2]")
    lab.slurm.add_job(8, "n2")
    lab.round()
    lab.lose("n1")
    assert lab.round(after=1.8, silent=["n1"]) == []
    (line,) = lab.round(after=0.25, silent=["n1"])
    assert line.startswith("down n1: no heartbeat for 2.1 s, slurmd does not answer")
    assert line.endswith("jobs 7 on it")
    assert lab.recover() == ["start job 7 now", "job 7 runs again on n3"]
    assert lab.slurm.orders == ["down n1", "job 7 {'start_now': True}"]
    (report,) = incidents.recent(lab.engine)
    assert (report.node, report.state, report.jobs[0].running_nodes) == ("n1", "away", "n3")
    assert report.to_down == timedelta(seconds=2.15)
    assert lab.audit() == [line.partition(";")[0], "start job 7 now"]


def test_a_node_is_marked_down_once(lab):
    lab.lose("n1")
    lab.round(after=2.5, silent=["n1"])
    for _ in range(8):
        assert lab.round(after=1, silent=["n1"]) == []
    assert lab.slurm.orders == ["down n1"]


def test_a_node_that_was_heard_while_we_asked_is_left_alone(lab):
    lab.round()
    asked = lab.probe

    def ask_slowly(nodes):
        found = asked(nodes)
        os.utime(lab.folder / "heartbeats" / "n1", (lab.at(0), lab.at(0)))
        return found

    lab.lose("n1")
    lab.watch.probe = ask_slowly
    assert lab.round(after=2.5, silent=["n1"]) == []
    assert lab.slurm.orders == []


def test_a_dead_agent_is_said_once_a_minute_and_asked_about_not_too_often(lab):
    lines = [line for _ in range(40) for line in lab.round(after=0.25, silent=["n1"])]
    assert lines == ["leave n1: its slurmd answers; only its agent is silent"]
    assert lab.probed.count("n1") == 6
    assert lab.slurm.orders == []
    lines = [line for _ in range(60) for line in lab.round(after=1, silent=["n1"])]
    assert lines == ["leave n1: its slurmd answers; only its agent is silent"]


def test_without_a_look_at_slurm_nothing_is_done(lab):
    lab.round()
    lab.lose("n1")
    lab.slurm.trouble = SlurmUnreachable("no answer within 30 s")
    assert lab.round(after=2.5, silent=["n1"]) == ["nothing done: no answer within 30 s"]
    assert lab.round(after=1, silent=["n1"]) == []
    assert incidents.recent(lab.engine) == []


def test_without_a_receiver_nothing_is_done_and_that_is_said(lab):
    lab.round()
    lab.lose("n1")
    lines = [line for _ in range(20) for line in lab.round(after=1, receiver=False)]
    assert lines == ["nothing done: nobody hears the heartbeats"]
    assert lab.slurm.orders == []


def test_a_third_lost_node_is_not_marked_and_that_is_said(lab):
    lab.lose("n1", "n2", "n3")
    assert len(lab.round(after=2.5, silent=["n1", "n2"])) == 2
    (line,) = lab.round(after=2.5, silent=["n1", "n2", "n3"])
    assert line.startswith("hold back: n3 lost, 2 before within 300 s")
    assert lab.round(after=1, silent=["n1", "n2", "n3"]) == []
    assert lab.slurm.orders == ["down n1", "down n2"]
    (line,) = lab.round(after=300, silent=["n1", "n2", "n3"])
    assert line.startswith("down n3"), "the period is over"


def test_a_network_that_takes_its_nodes_one_after_the_other_is_seen_through(lab):
    lab.round()
    lab.lose("n1", "n2", "n3")
    lab.round(after=1, silent=["n1", "n2"])
    (line,) = lab.round(after=1.1, silent=["n1", "n2", "n3"])
    assert line.startswith("hold back: n[1-2] lost, n3 silent too")
    (line,) = lab.round(after=0.9, silent=["n1", "n2", "n3"])
    assert line.startswith("hold back: n[1-3] lost, 0 before")
    assert lab.slurm.orders == []


def test_a_lost_beat_of_another_node_whose_slurmd_answers_delays_nothing(lab):
    lab.round()
    lab.lose("n1", "n2")
    lab.round(after=1, silent=["n1", "n2"])
    lab.round(after=1.1, silent=["n1", "n2", "n3"])
    assert lab.slurm.orders == ["down n1", "down n2"]


@pytest.mark.parametrize(
    ("policy", "said"),
    [({"dry_run": True}, "dry run: down n1"), ({"enabled": False}, "nothing done: recovery is switched off")],
)
def test_a_dry_run_and_a_switched_off_recovery_touch_nothing(tmp_path, policy, said):
    lab = Lab(tmp_path, **policy)
    lab.slurm.add_job(7, "n1")
    lab.lose("n1")
    (line,) = lab.round(after=2.5, silent=["n1"])
    assert line.startswith(said)
    assert (lab.recovery.round(), lab.slurm.orders, incidents.recent(lab.engine)) == ([], [], [])
    lab.engine.dispose()


def test_a_lost_node_is_given_back_after_ten_seconds_of_both_signals(lab):
    lab.lose("n1")
    lab.round(after=2.5, silent=["n1"])
    lab.answers.clear()
    lab.beats.heard(Heartbeat("n1", "b", 9, 0), now=0, since=lab.at(0))
    lines = [line for _ in range(9) for line in lab.round(after=1)]
    assert lines == ["take in n1: it is back; its old jobs are ended, new ones wait"]
    assert lab.slurm.orders == ["down n1", "resume n1", "drain n1"]
    assert incidents.recent(lab.engine)[0].state == "away"
    (line,) = [line for _ in range(3) for line in lab.round(after=1)]
    assert line.startswith("resume n1: beats and answers for 10.0 s")
    assert lab.slurm.orders == ["down n1", "resume n1", "drain n1", "resume n1"]
    assert incidents.recent(lab.engine)[0].state == "closed"


def test_a_slurmd_that_stops_answering_in_between_counts_anew(lab):
    lab.lose("n1")
    lab.round(after=2.5, silent=["n1"])
    lab.beats.heard(Heartbeat("n1", "b", 9, 0), now=0, since=lab.at(0))
    lab.answers.clear()
    for _ in range(8):
        lab.round(after=1)
    lab.lose("n1")
    lab.round(after=2)
    lab.answers.clear()
    assert [line for _ in range(9) for line in lab.round(after=1)] == []
    assert lab.slurm.orders == ["down n1", "resume n1", "drain n1"]


def test_a_node_that_somebody_else_marked_down_is_never_given_back(lab):
    lab.slurm.add_node("n1", "DOWN", "bad fan")
    assert [line for _ in range(30) for line in lab.round(after=1)] == []
    assert lab.slurm.orders == []


def test_a_node_that_somebody_else_gave_back_closes_its_incident(lab):
    lab.lose("n1")
    lab.round(after=2.5, silent=["n1"])
    lab.slurm.add_node("n1")
    lines = [line for _ in range(8) for line in lab.round(after=1)]
    assert lines == ["closed the incident of n1: somebody else gave it back"]


def test_a_daemon_that_was_killed_before_the_order_gives_it_when_it_is_back(lab):
    lab.slurm.add_job(7, "n1")
    lab.lose("n1")
    lab.round()
    lab.slurm.down_node = None
    with pytest.raises(TypeError):
        lab.round(after=2.5, silent=["n1"])
    assert incidents.recent(lab.engine)[0].down_at is None
    del lab.slurm.down_node
    lab.begin()
    lab.round(after=0.25, silent=["n1"])
    (report,) = incidents.recent(lab.engine)
    assert report.down_at is not None
    assert [job.job_id for job in report.jobs] == [7]


def test_a_daemon_that_was_killed_right_after_the_order_goes_on_from_there(lab, monkeypatch):
    lab.slurm.add_job(7, "n1")
    lab.lose("n1")
    lab.round()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patched.setattr(incidents, "marked_down", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        lab.round(after=2.5, silent=["n1"])
    assert lab.slurm.orders == ["down n1"]
    lab.begin()
    assert lab.recover(after=0) == []
    lab.round(after=0.25, silent=["n1"])
    assert lab.recover() == ["start job 7 now", "job 7 runs again on n3"]
    assert lab.slurm.orders[0:1] == ["down n1"], "and it was given once"


def test_a_node_that_is_lost_again_while_it_is_away_is_a_new_incident(lab):
    lab.lose("n1")
    lab.round(after=2.5, silent=["n1"])
    lab.slurm.add_node("n1")
    lab.round(after=1, silent=["n1"])
    assert [each.state for each in incidents.recent(lab.engine)] == ["away", "closed"]


def test_an_order_that_slurm_refuses_is_said_and_tried_again(lab):
    lab.round()
    lab.lose("n1")

    def refuse(*_):
        raise SlurmRefused("not you")

    lab.slurm.down_node = refuse
    (line,) = lab.round(after=2.5, silent=["n1"])
    assert line.endswith("not done: not you")
    assert lab.round(after=1, silent=["n1"]) == []
    del lab.slurm.down_node
    lab.round(after=1, silent=["n1"])
    assert lab.slurm.orders == ["down n1"]


def test_a_job_that_does_not_leave_at_once_is_looked_at_again_and_not_pushed(lab):
    lab.slurm.add_job(7, "n[1-2]")
    lab.lose("n1")
    lab.round(after=2.5, silent=["n1"])
    lab.slurm.change(7, state="COMPLETING")
    lab.recovery.tools.slurm.read.job(7)
    assert lab.recovery._step_all(incidents.jobs_to_follow(lab.engine)) == []
    lab.slurm.change(7, state="PENDING")
    assert lab.recover() == ["start job 7 now", "job 7 runs again on n3"]


def test_many_jobs_are_followed_by_one_look(lab):
    for job_id in range(10):
        lab.slurm.add_job(job_id, "n1")
    lab.lose("n1")
    lab.round(after=2.5, silent=["n1"])
    lab.slurm.job = None
    lines = lab.recover()
    assert sum(line.startswith("start job") for line in lines) == 10
    assert incidents.jobs_to_follow(lab.engine) == []


def test_a_job_that_may_not_be_requeued_is_let_go(lab):
    lab.slurm.add_job(7, "n1")
    lab.slurm.requeues = False
    lab.lose("n1")
    lab.round(after=2.5, silent=["n1"])
    lab.slurm.change(7, state="NODE_FAIL")
    assert lab.recover() == ["job 7: ended as NODE_FAIL"]


def test_the_settings_make_the_policy():
    made = policy_of(DaemonSettings(recovery=False, breaker_nodes=9, silent_after=3), dry_run=True)
    assert (made.enabled, made.dry_run, made.breaker_nodes) == (False, True, 9)
    assert made.silent_after == timedelta(seconds=3)
