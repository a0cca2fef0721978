"""What the cluster file wants of file systems, and what is decided on it; nothing is asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aistation_slurm.cluster.planning.plan import Plan
from aistation_slurm.cluster.planning.storage import look_at_storage, storage_changes, storage_refusals
from aistation_slurm.data.quota import Amount, Limits, Seen, Tools, Usage, WantedStorage, decide, wanted_storage
from aistation_slurm.data.quota import mounts as mounts_module
from aistation_slurm.data.quota.ext4 import Ext4
from aistation_slurm.data.quota.folders import Folder
from aistation_slurm.data.quota.look import site_projects
from aistation_slurm.data.quota.model import show_size, write_size
from aistation_slurm.data.quota.mounts import Mount, mount_of, read_mounts
from aistation_slurm.data.quota.xfs import Xfs
from aistation_slurm.errors import SpecError, StorageUnusable, UnsafePlan
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState
from aistation_slurm.spec import load_spec

EXAMPLES = Path(__file__).resolve().parents[2] / "slurm_conf" / "examples"
GIB = 1024**3
MOUNT = Mount("/data", "ext4", "/dev/sda1")


def seen(users=None, teams=None, *, used=None, folders=None, free=(10000, 10001), backend=None, **other):
    """Return a look at a file system where ann is 1000 and bob 1001, and robot's folder is no project yet."""
    wanted = WantedStorage(name="data", path="/data", users=users or {}, teams=teams or {}, team_folders="/data/{team}")
    return Seen(
        wanted=wanted,
        mount=MOUNT,
        backend=backend or Ext4(),
        uids={"ann": 1000, "bob": 1001},
        usage={(kind, id_): Usage(id=id_, **usage) for (kind, id_), usage in (used or {}).items()},
        folders={"robot": folder("robot")} if folders is None else folders,
        free=free,
        **other,
    )


def folder(team, project=0, device=0):
    return Folder(f"/data/{team}", device, project, 100, passes_group_on=True)


def lines(decision):
    return [str(change) for change in decision.changes]


def test_those_whose_limits_become_alike_are_one_line_and_one_command():
    decision = decide(seen({"ann": Amount(500 * GIB, 1000), "bob": Amount(500 * GIB, 1000)}))
    assert lines(decision) == ["+ storage data  user ann,bob  space 500G  files 1000"]
    (order,) = decision.changes[0].orders
    assert order.argv == ("setquota", "-u", "-b", "/data")
    assert order.stdin == "1000 0 524288000 0 1000\n1001 0 524288000 0 1000\n"


def test_limits_that_are_as_they_should_be_are_left_alone():
    used = {("user", 1000): {"limits": Limits(space=500 * GIB, files=7)}}
    assert decide(seen({"ann": Amount(500 * GIB)}, used=used)).changes == ()


def test_a_change_says_what_was_and_what_will_be():
    used = {("user", 1000): {"limits": Limits(space=200 * GIB, files=7)}}
    assert lines(decide(seen({"ann": Amount(500 * GIB)}, used=used))) == [
        "~ storage data  user ann  space 200G -> 500G"
    ]


def test_a_soft_limit_of_somebody_else_stays_unless_the_hard_one_falls_below_it():
    used = {("user", 1000): {"limits": Limits(space=200 * GIB, soft_space=100 * GIB)}}
    (change,) = decide(seen({"ann": Amount(150 * GIB)}, used=used)).changes
    assert change.new == Limits(space=150 * GIB, soft_space=100 * GIB)
    (change,) = decide(seen({"ann": Amount(50 * GIB)}, used=used)).changes
    assert str(change) == "~ storage data  user ann  space 200G -> 50G  soft space 100G -> none"


def test_a_folder_becomes_a_project_before_it_gets_a_limit():
    decision = decide(seen(teams={"robot": Amount(GIB)}))
    assert lines(decision) == [
        "+ storage data  team robot  project 10000 on /data/robot and all below",
        "+ storage data  team robot  space 1G",
    ]


def test_a_folder_that_has_its_limit_already_is_not_walked_again():
    used = {("project", 10000): {"limits": Limits(space=GIB)}}
    decision = decide(seen(teams={"robot": Amount(2 * GIB)}, used=used, folders={"robot": folder("robot", 10000)}))
    assert lines(decision) == ["~ storage data  team robot  space 1G -> 2G"]


TWINS = {"robot": folder("robot", 5), "face": folder("face", 5)}


@pytest.mark.parametrize(
    ("folders", "free", "why"),
    [
        ({}, (1,), "there is no folder /data/robot"),
        ({"robot": folder("robot", None)}, (1,), "/data/robot can be no project: the file system knows none"),
        (TWINS, (1,), "its folder and that of face are one project, number 5"),
        ({"robot": folder("robot", device=9)}, (1,), "/data/robot lies on another file system than /data"),
        ({"robot": folder("robot")}, (), "no project from 10000 to 19999 is free: make project_ids larger"),
    ],
)  # fmt: skip
def test_a_team_whose_folder_can_carry_no_quota_gets_none_and_a_note_says_why(folders, free, why):
    decision = decide(seen(teams={"robot": Amount(GIB), "face": Amount()}, folders=folders, free=free))
    assert decision.changes == ()
    assert decision.notes == (f"storage data: team robot gets no quota: {why}",)


def test_a_user_whom_this_machine_does_not_know_gets_no_quota_and_a_note_says_so():
    decision = decide(seen({"zoe": Amount(GIB), "ann": Amount(GIB)}))
    assert lines(decision) == ["+ storage data  user ann  space 1G"]
    assert decision.notes == ("storage data: this machine knows no user zoe: they get no quota",)


_AMOUNTS = st.integers(0, 99)


@given(
    old=st.builds(Limits, space=_AMOUNTS, files=_AMOUNTS, soft_space=_AMOUNTS, soft_files=_AMOUNTS),
    space=st.none() | st.integers(1, 99),
    files=st.none() | st.integers(1, 99),
)  # fmt: skip
def test_what_was_decided_and_set_needs_no_second_decision(old, space, files):
    first = old.with_hard(space=space, files=files)
    assert first.with_hard(space=space, files=files) == first
    assert space is None or first.space == space
    assert files is None or first.files == files
    if old.soft_space <= old.space and old.soft_files <= old.files and space is None and files is None:
        assert first == old


def test_a_limit_of_less_than_a_block_is_one_block_not_none():
    (order,) = Ext4().orders(MOUNT, "user", [1000], Limits(space=1, files=1))
    assert order.stdin == "1000 0 1 0 1\n"
    (order,) = Xfs().orders(MOUNT, "user", [1000], Limits(space=1))
    assert order.argv == ("xfs_quota", "-x", "-c", "limit -u bsoft=0k bhard=1k isoft=0 ihard=0 1000", "/data")


def test_limits_of_many_users_are_set_on_xfs_by_few_commands():
    orders = Xfs().orders(MOUNT, "user", range(1000, 1120), Limits(space=GIB))
    assert [order.argv.count("-c") for order in orders] == [50, 50, 20]


# --- how it is told, and what it touches


def running(job_id, user, account="robot"):
    return Job(job_id=job_id, name="x", user=user, account=account, state=JobState.RUNNING)


OVER = {("user", 1000): {"space": 400 * GIB, "limits": Limits(space=500 * GIB)}}


def test_a_quota_below_what_is_stored_is_refused_while_jobs_of_that_user_run():
    changes, notes = storage_changes(
        [seen({"ann": Amount(300 * GIB)}, used=OVER)], [running(7, "ann"), running(8, "bob")]
    )
    assert changes[0].jobs == (7,)
    (refusal,) = storage_refusals(changes)
    assert str(refusal) == (
        "ann has stored more than the new quota, and jobs could write no more: 7; "
        "let some of it be deleted, or the jobs end; or give a larger quota"
    )
    assert notes == [
        "storage data: ann has 400G and 0 files already, more than it is to be: nothing more can be written"
    ]
    with pytest.raises(UnsafePlan):
        Plan(changes=tuple(changes), refusals=(refusal,)).raise_if_unsafe(force=True)


def test_a_quota_that_is_raised_but_still_below_what_is_stored_stops_nobody():
    used = {("user", 1000): {"space": 400 * GIB, "limits": Limits(space=200 * GIB)}}
    changes, notes = storage_changes([seen({"ann": Amount(300 * GIB)}, used=used)], [running(7, "ann")])
    assert (changes[0].jobs, list(storage_refusals(changes)), notes) == ((), [], [])


def test_a_team_over_its_quota_is_refused_for_the_jobs_of_its_account():
    used = {("project", 5): {"files": 9, "limits": Limits(files=10)}}
    look = seen(teams={"robot": Amount(None, 3)}, used=used, folders={"robot": folder("robot", 5)})
    changes, _ = storage_changes([look], [running(7, "ann", "robot"), running(8, "bob", "face")])
    assert [change.jobs for change in changes] == [(7,)]


def test_a_file_system_that_can_not_be_asked_is_a_note_and_stops_nothing():
    broken = Seen(wanted=seen({"ann": Amount(GIB)}).wanted, problem=StorageUnusable("is away", where="/x", hint="go"))
    changes, notes = storage_changes([broken, seen({"bob": Amount(GIB)})])
    assert [str(change) for change in changes] == ["+ storage data  user bob  space 1G"]
    assert notes == ["storage data: nothing is decided: /x: is away; go"]


def test_two_names_for_one_file_system_do_not_take_turns_at_its_quotas(tmp_path, monkeypatch):
    monkeypatch.setattr(Ext4, "probe", lambda *_: None)
    monkeypatch.setattr(Ext4, "look", lambda *_: {})
    info = tmp_path / "mountinfo"
    info.write_text(f"1 0 8:1 / {tmp_path} rw - ext4 /dev/sda1 rw\n")
    monkeypatch.setattr(mounts_module, "MOUNTINFO", info)
    (tmp_path / "a").mkdir()
    text = (
        (EXAMPLES / "small.yaml")
        .read_text()
        .replace("quota: {per_user: {gpu: 6}}", "quota: {per_user: {storage: {a: 1G, b: 2G}}}")
    )
    (tmp_path / "c.yaml").write_text(f"{text}\nstorage: {{a: {{path: {tmp_path}}}, b: {{path: {tmp_path}/a}}}}\n")
    first, second = look_at_storage(load_spec(tmp_path / "c.yaml"), Tools())
    assert first.problem is None
    assert "is the file system that 'a' is on" in str(second.problem)


# --- from the cluster file


def spec_of(tmp_path, quota, storage, teams="robot: {members: [ann]}"):
    path = tmp_path / "c.yaml"
    path.write_text(
        "cluster: x\ngroups: {g: {nodes: n-1, gpu_type: v100, gpus_per_node: 1, cpus: 4, memory: 8G}}\n"
        f"teams: {{{teams}}}\nquota: {quota}\nstorage: {storage}\n"
    )
    return load_spec(path)


def test_the_cluster_file_says_whose_and_how_much(tmp_path):
    quota = "{per_user: {storage: {home: 500G}}, per_team: {storage: {home: {files: 10}}}}"
    teams = (
        "robot: {members: [bob, ann]}, face: {quota: {storage: {home: 1T}}}, theirs: {members: [eve], managed_by: site}"
    )
    spec = spec_of(tmp_path, quota, '{home: {path: /home, team_folders: "/home/{team}", project_ids: 5-9}}', teams)
    (wanted,) = wanted_storage(spec)
    assert wanted.users == {"ann": Amount(500 * GIB), "bob": Amount(500 * GIB)}
    assert wanted.teams == {"robot": Amount(None, 10), "face": Amount(1024 * GIB)}
    assert (wanted.folder_of("face"), list(wanted.project_ids)) == ("/home/face", [5, 6, 7, 8, 9])


def test_a_file_system_without_a_quota_is_not_asked_when_planning(tmp_path):
    spec = spec_of(tmp_path, "{}", "{home: {path: /nonexistent}}")
    assert look_at_storage(spec) == ()
    assert len(look_at_storage(spec, everybody=True)) == 1


@pytest.mark.parametrize(
    ("quota", "storage", "text"),
    [
        ("{per_team: {storage: {home: 1T}}}", "{home: {path: /home}}", "'home' doesn't say where that is"),
        ("{per_user: {storage: {home: {files: 0}}}}", "{home: {path: /home}}", "0 means without end to a file system"),
        ("{}", '{home: {path: /home, team_folders: /home/team}}', "doesn't say where the team's name stands"),
        ("{}", '{home: {path: /home, team_folders: "/home/{user}"}}', "doesn't say where the team's name stands"),
        ("{}", '{home: {path: /home, team_folders: "home/{team}"}}', "is no absolute path"),
        ("{}", "{home: {path: /home, project_ids: 0-5}}", "is no range of project ids"),
        ("{}", "{home: {path: /home, project_ids: 9-5}}", "is no range of project ids"),
        ("{}", "{home: {path: /home, project_ids: 1-4294967295}}", "is no range of project ids"),
    ],
)  # fmt: skip
def test_a_storage_quota_that_can_not_be_meant_is_refused_where_it_stands(tmp_path, quota, storage, text):
    with pytest.raises(SpecError, match=r"c\.yaml:\d+") as error:
        spec_of(tmp_path, quota, storage)
    assert text in f"{error.value} {error.value.hint}"


# --- where a path lies


MOUNTINFO = """\
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,quota,usrquota
28 27 0:20 / /data\\040disk rw - xfs /dev/vdb rw,prjquota
29 27 0:21 / /data ro,relatime - nfs4 nas:/export/data rw,vers=4.2
30 29 0:22 / /data/fast rw master:2 propagate_from:1 - lustre 10.0.0.1@tcp:/fast rw
31 27 0:23 / /data rw - beegfs beegfs_nodev rw
cut off
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/datable", "ext4"),
        ("/data disk/x", "xfs"),
        ("/data/fast/x", "lustre"),
        ("/data/other", "beegfs"),
    ],
)
def test_a_path_lies_on_the_mount_that_is_nearest_above_it_and_seen(path, kind):
    assert mount_of(path, read_mounts(MOUNTINFO)).kind == kind


def test_the_options_of_a_mount_are_those_of_the_file_system_too():
    first = read_mounts(MOUNTINFO)[0]
    assert {"relatime", "usrquota"} <= first.options
    assert mount_of("relative", read_mounts(MOUNTINFO)) is None


def test_projects_that_the_site_has_written_down_are_not_given_away(tmp_path):
    (tmp_path / "projid").write_text("# ours\nweb:42\nold:77 # gone\n\n")
    (tmp_path / "projects").write_text("43:/srv/web\n")
    assert site_projects([tmp_path / "projid", tmp_path / "projects", tmp_path / "none"]) == {42, 77, 43}


def test_sizes_are_written_whole_in_lines_and_rounded_for_people():
    assert [write_size(size) for size in (0, 100, 1536 * 1024**2, 500 * GIB, 2 * 1024**5)] == [
        "0",
        "100",
        "1536M",
        "500G",
        "2P",
    ]
    assert [show_size(size) for size in (0, 100, 1536 * 1024**2, 500 * GIB, 1023)] == [
        "0",
        "100",
        "1.5G",
        "500G",
        "1023",
    ]


def test_a_look_that_failed_is_never_taken_for_one_that_saw_no_limits():
    fine = seen({"ann": Amount(GIB)})
    assert decide(replace(fine, mount=None)).changes == ()
    assert decide(replace(fine, backend=None)).changes == ()
