"""Lustre and BeeGFS by stand-ins that speak as they do (`tests/recorded/quota`)."""

import json
import os
import pwd
import shutil
from pathlib import Path

import pytest

from aistation_slurm.data.quota import (
    Amount,
    Tools,
    WantedStorage,
    decide,
    look,
    look_at_all,
    look_own,
    mounts,
    overview,
)
from aistation_slurm.data.quota.beegfs import read_csv
from aistation_slurm.data.quota.lustre import read_lfs_quota
from aistation_slurm.data.quota.model import Limits, Usage
from aistation_slurm.errors import StorageError, StorageRefused, StorageUnusable

RECORDED = Path(__file__).resolve().parents[1] / "recorded" / "quota"
GIB = 1024**3
ME = pwd.getpwuid(os.geteuid()).pw_name
ANN = pwd.getpwnam("daemon").pw_uid


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A folder that is said to be a file system of some kind, with the stand-in of its tool."""

    def build(kind, tool, **state):
        (tools := tmp_path / "bin").mkdir()
        (point := tmp_path / "disk").mkdir()
        shutil.copy(RECORDED / tool, tools / tool)
        (tools / "state.json").write_text(json.dumps({"mount": str(point), "rows": {}, **state}))
        info = tmp_path / "mountinfo"
        info.write_text(f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:9 / {point} rw,relatime - {kind} store@tcp:/x rw\n")
        monkeypatch.setattr(mounts, "MOUNTINFO", info)
        monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
        return point

    return build


def rows(point):
    return json.loads((point.parent / "bin" / "state.json").read_text())["rows"]


def wanted(point, **other):
    return WantedStorage(
        **{"name": "home", "path": str(point), "users": {"daemon": Amount(500 * GIB)}, "teams": {}, **other}
    )


def carry_out(decision):
    for change in decision.changes:
        change.carry_out(Tools())
    return [str(change) for change in decision.changes]


@pytest.mark.parametrize("version", ["2.12", "2.17"])
def test_lustre_is_asked_told_and_then_there_is_nothing_to_do(system, monkeypatch, version):
    monkeypatch.setenv("LFS", version)
    point = system("lustre", "lfs", rows={f"-u {ANN}": {"used": 77, "files": 3, "soft": 5, "hard_files": 9}})
    want = wanted(point, users={"daemon": Amount(500 * GIB), "nobody": Amount(500 * GIB, 1000)})
    assert carry_out(decide(look(want, Tools()))) == [
        "~ storage home  user daemon  space none -> 500G",
        "+ storage home  user nobody  space 500G  files 1000",
    ]
    assert rows(point)[f"-u {ANN}"] == {
        "used": 77,
        "files": 3,
        "soft": 5,
        "hard": 524288000,
        "soft_files": 0,
        "hard_files": 9,
    }
    again = look(want, Tools())
    assert decide(again).changes == ()
    assert again.usage["user", ANN] == Usage(
        id=ANN, space=77 * 1024, files=3, limits=Limits(soft_space=5 * 1024, space=500 * GIB, files=9)
    )


def test_lustre_without_quotas_is_said_to_have_none_and_where_they_are_switched_on(system):
    seen = look(wanted(system("lustre", "lfs", off=True)), Tools())
    assert isinstance(seen.problem, StorageUnusable)
    assert "has no such quotas (usr quotas are not enabled.)" in str(seen.problem)
    assert "on the servers" in seen.problem.hint


def test_lustre_whose_server_is_away_tells_what_is_used_but_no_limit_that_it_is_not_sure_of(system):
    point = system("lustre", "lfs", rows={f"-u {ANN}": {"used": 77, "hard": 100, "away": "usage"}})
    assert look(wanted(point), Tools()).usage["user", ANN].space == 77 * 1024
    state = json.loads((point.parent / "bin" / "state.json").read_text())
    state["rows"][f"-u {ANN}"]["away"] = "limits"
    (point.parent / "bin" / "state.json").write_text(json.dumps(state))
    assert "does not know its limits: a server is away" in str(look(wanted(point), Tools()).problem)


@pytest.mark.parametrize(
    "text",
    [
        "/mnt 2931* 2000 5000 6d23h59m 2 1 100 -\n",
        "           /mnt   2931*   2000    5000 expired       2*      1     100 6d23h\nuid 5 is using default ...\n",
        "/mnt\n                 2931    2000    5000       -       2       1     100       -\n",
    ],
)
def test_lfs_is_read_over_its_limit_within_grace_by_default_quota_and_on_two_lines(text):
    limits = Limits(soft_space=2000 * 1024, space=5000 * 1024, soft_files=1, files=100)
    assert read_lfs_quota(text, 5, where="/mnt") == Usage(id=5, space=2931 * 1024, files=2, limits=limits)


@pytest.mark.parametrize("text", ["", "Permission denied.\n", "/mnt 1 2 3\n"])
def test_lfs_that_says_nothing_of_an_id_is_not_read_as_no_limit(text):
    assert read_lfs_quota(text, 5, where="/mnt") is None


@pytest.mark.parametrize("quiet", [True, False])
def test_beegfs_is_asked_told_and_then_there_is_nothing_to_do(system, quiet):
    point = system(
        "beegfs", "beegfs-ctl", quiet=quiet, rows={f"--uid {ANN}": {"name": "a, b c", "used": 5, "files": "7+"}}
    )
    want = wanted(point, users={"daemon": Amount(500 * GIB), "nobody": Amount(500 * GIB)})
    decision = decide(look(want, Tools()))
    assert carry_out(decision) == ["+ storage home  user daemon,nobody  space 500G"]
    assert rows(point)[f"--uid {ANN}"]["size"] == 500 * GIB
    again = look(want, Tools())
    assert decide(again).changes == ()
    assert again.usage["user", ANN] == Usage(id=ANN, space=5, files=7, limits=Limits(space=500 * GIB))


@pytest.mark.skipif(os.geteuid() != 0, reason="chgrp needs root")
def test_a_team_on_beegfs_goes_by_the_unix_group_of_its_folder(system):
    point = system("beegfs", "beegfs-ctl")
    for team, group in {"robot": 3, "face": 0, "foot": 4, "hand": 5, "mind": 5}.items():
        (point / team).mkdir()
        os.chown(point / team, -1, group)
    (point / "foot").chmod(0o2770)
    teams = dict.fromkeys(("robot", "face", "foot", "hand", "gone"), Amount(GIB)) | {"mind": Amount()}
    decision = decide(look(wanted(point, users={}, teams=teams, team_folders=f"{point}/{{team}}"), Tools()))
    assert carry_out(decision) == ["+ storage home  team robot,foot  space 1G"]
    assert rows(point) == {"--gid 3": {"size": GIB, "inodes": None}, "--gid 4": {"size": GIB, "inodes": None}}
    assert decision.notes == (
        f"storage home: new files in {point}/robot don't get its group: chmod g+s {point}/robot",
        f"storage home: team face gets no quota: {point}/face belongs to the group root: chgrp it to the team's own",
        "storage home: team hand gets no quota: its folder and that of mind are one group, number 5",
        f"storage home: team gone gets no quota: there is no folder {point}/gone",
    )


def test_beegfs_whose_servers_are_away_is_no_beegfs_without_limits(system):
    problem = look(wanted(system("beegfs", "beegfs-ctl", off=True)), Tools()).problem
    assert "its servers don't answer (Communication with server failed" in str(problem)


def test_beegfs_rows_that_are_cut_are_not_read():
    with pytest.raises(StorageError, match="what we can't read"):
        read_csv("name,id,size,hard,files,hard\nann,1000,5\n", where="/x")


@pytest.mark.parametrize(("kind", "tool"), [("lustre", "lfs"), ("beegfs", "beegfs-ctl")])
def test_a_user_sees_their_own_and_may_set_nothing(system, monkeypatch, kind, tool):
    flag = "-u" if tool == "lfs" else "--uid"
    point = system(kind, tool, rows={f"{flag} {os.geteuid()}": {"used": 1024, "size": 4096, "hard": 4, "files": 2}})
    (row,) = overview(look_own(wanted(point), ME, Tools()))
    assert (row.name, row.space_limit, row.files) == (ME, 4096, 2)
    decision = decide(look(wanted(point), Tools()))
    monkeypatch.setenv("USER", "ann")
    with pytest.raises(StorageRefused, match="only root may"):
        decision.changes[0].carry_out(Tools())


def test_a_tool_that_is_not_there_is_named_with_where_it_comes_from(system, monkeypatch):
    point = system("lustre", "lfs")
    monkeypatch.setenv("PATH", "/nonexistent")
    problem = look(wanted(point), Tools()).problem
    assert str(problem) == f"{point}: lfs is not installed here"
    assert problem.hint.startswith("install Lustre's client")


def test_a_tool_that_hangs_is_ended_and_told(system, monkeypatch):
    from aistation_slurm.data.quota import tools

    point = system("lustre", "lfs")
    (point.parent / "bin" / "lfs").write_text("#!/bin/sh\nsleep 1000\n")
    monkeypatch.setattr(tools, "ASK", 0.3)
    assert "no answer within 0.3 s" in str(look(wanted(point), Tools()).problem)


def test_a_file_system_that_hangs_is_left_behind_and_the_others_are_seen(system, tmp_path):
    point = system("lustre", "lfs")
    os.mkfifo(tmp_path / "hangs")
    (tmp_path / "bin" / "lfs").write_text(f"#!/bin/sh\ncat {tmp_path}/hangs\n")
    slow, fine = wanted(point), wanted("/nonexistent", name="other")
    seen = look_at_all([slow, fine], Tools(), patience=0.5)
    (tmp_path / "hangs").open("w").close()  # lets the reader go
    assert [str(each.problem) for each in seen] == [
        f"{point}: does not answer within 0.5 s",
        "/nonexistent: is not there on this machine",
    ]


def test_tools_are_asked_in_english_whatever_the_administrator_speaks(system, monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    point = system("lustre", "lfs")
    (point.parent / "bin" / "lfs").write_text('#!/bin/sh\necho "$LC_ALL/$LANGUAGE" >&2; exit 1\n')
    assert str(look(wanted(point), Tools()).problem) == f"{point}: C.UTF-8/"


@pytest.mark.parametrize(
    ("kind", "said", "text"),
    [
        ("nfs4", "auto", "is NFS: its quotas are set on store@tcp"),
        ("autofs", "auto", "is mounted only when somebody comes"),
        ("tmpfs", "auto", "is tmpfs: we know no quotas of it"),
        ("lustre", "xfs", "is lustre, not xfs as the cluster file says"),
    ],
)
def test_a_file_system_that_we_can_not_serve_says_why(system, kind, said, text):
    problem = look(wanted(system(kind, "lfs"), backend=said), Tools()).problem
    assert isinstance(problem, StorageUnusable)
    assert text in str(problem)
