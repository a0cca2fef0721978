"""Storage quotas on real file systems: what the plan says is what the kernel then holds people to."""

import json
import os
import pwd

import pytest

from aistation_slurm.cli.main import main
from aistation_slurm.cluster.planning.storage import carry_out, look_at_storage, storage_changes
from aistation_slurm.data.quota.folders import look_at_folder
from aistation_slurm.spec import load_spec

from .conftest import ANN, BOB, MEBI, SPEC, run, write_as


def plan(disk):
    changes, notes = storage_changes(look_at_storage(load_spec(disk.cluster_file)))
    return changes, [note.replace(str(disk.path), "DISK") for note in notes]


def apply(disk):
    return [line.replace(str(disk.path), "DISK") for line in carry_out(plan(disk)[0])]


@pytest.fixture
def aistation(disk, capsys):
    """Run `aistation storage VERB ... FILE` as a user, in this process: a new Python takes seconds in a slow kernel."""

    def call(*words, user="root", code=0):
        os.seteuid(pwd.getpwnam(user).pw_uid)
        try:
            with pytest.raises(SystemExit) as ended:
                main(["storage", *words, str(disk.cluster_file)])
        finally:
            os.seteuid(0)
        said = capsys.readouterr()
        assert int(ended.value.code or 0) == code, said
        return said.out + said.err

    return call


def test_what_the_plan_says_is_set_once_and_then_there_is_nothing_to_do(disk):
    assert apply(disk) == [
        "+ storage disk  team robot  project 10000 on DISK/teams/robot and all below",
        "+ storage disk  team face  project 10001 on DISK/teams/face and all below",
        "+ storage disk  user daemon,nobody  space 8M  files 50",
        "+ storage disk  team robot  space 24M",
        "+ storage disk  team face  space 40M",
    ]
    assert plan(disk) == ([], [])


def test_a_user_is_stopped_at_the_quota_and_nobody_else_is(disk):
    apply(disk)
    assert "Disk quota exceeded" in write_as(ANN, disk.path / "home" / "ann", 12 * MEBI)
    assert write_as(BOB, disk.path / "home" / "bob", 4 * MEBI) == ""
    assert write_as("bin", disk.path / "home" / "stranger", 12 * MEBI) == ""


def test_a_team_is_stopped_at_the_quota_of_its_folder_with_what_lay_there_before(disk):
    old = disk.path / "teams" / "robot" / "deep" / "er"
    old.mkdir(parents=True)
    assert write_as("root", old / "before", 16 * MEBI) == ""
    apply(disk)
    os.chmod(disk.path / "teams" / "robot", 0o777)
    said = write_as("bin", disk.path / "teams" / "robot" / "after", 12 * MEBI)
    assert "Disk quota exceeded" in said or "No space left" in said  # XFS says so of projects
    assert write_as("bin", disk.path / "home" / "elsewhere", 12 * MEBI) == ""


@pytest.mark.slow
def test_a_quota_is_raised_and_lowered_and_only_that_line_is_in_the_plan(disk):
    apply(disk)
    disk.say(SPEC.replace("space: 8M", "space: 12M"))
    assert apply(disk) == ["~ storage disk  user daemon,nobody  space 8M -> 12M"]
    assert write_as(ANN, disk.path / "home" / "ann", 10 * MEBI) == ""
    disk.say(SPEC.replace("40M", "32M").replace("space: 8M", "space: 12M"))
    assert apply(disk) == ["~ storage disk  team face  space 40M -> 32M"]


@pytest.mark.slow
def test_a_quota_below_what_is_stored_is_told_and_refused_without_force(disk, aistation):
    apply(disk)
    assert write_as(ANN, disk.path / "home" / "ann", 6 * MEBI) == ""
    disk.say(SPEC.replace("space: 8M", "space: 4M"))
    (change,), (note,) = plan(disk)
    assert change.change.over == (ANN,)
    assert note.startswith("storage disk: daemon has 6")
    assert note.endswith("more than it is to be: nothing more can be written")
    assert "daemon has stored more than the new quota" in aistation("apply", "--yes", code=1)
    assert "space 8M -> 4M" in aistation("apply", "--yes", "--force")


@pytest.mark.slow
def test_what_somebody_else_set_stays(disk):
    uid = pwd.getpwnam("bin").pw_uid
    mine = pwd.getpwnam(ANN).pw_uid
    if disk.kind == "ext4":
        run("setquota", "-u", str(uid), "1000", "2000", "3", "4", disk.path)
        run("setquota", "-u", str(mine), "4096", "0", "10", "0", disk.path)
    else:
        run("xfs_quota", "-x", "-c", f"limit -u bsoft=1000k bhard=2000k isoft=3 ihard=4 {uid}", disk.path)
        run("xfs_quota", "-x", "-c", f"limit -u bsoft=4096k isoft=10 {mine}", disk.path)
    lines = apply(disk)
    assert "~ storage disk  user daemon  space none -> 8M  files none -> 50" in lines
    assert "+ storage disk  user nobody  space 8M  files 50" in lines
    (seen,) = look_at_storage(load_spec(disk.cluster_file))
    stranger, ann = seen.usage["user", uid].limits, seen.usage["user", mine].limits
    assert (stranger.soft_space, stranger.space, stranger.soft_files, stranger.files) == (
        1000 * 1024,
        2000 * 1024,
        3,
        4,
    )
    assert (ann.soft_space, ann.space, ann.soft_files, ann.files) == (4 * MEBI, 8 * MEBI, 10, 50)


@pytest.mark.slow
def test_a_folder_keeps_the_project_that_it_has_and_a_project_that_is_taken_is_not_given(disk):
    from aistation_slurm.data.quota.folders import mark

    (disk.path / "theirs").mkdir()
    mark(str(disk.path / "theirs"), 10000)
    mark(str(disk.path / "teams" / "face"), 4711)
    lines = apply(disk)
    assert "+ storage disk  team robot  project 10001 on DISK/teams/robot and all below" in lines
    assert look_at_folder(str(disk.path / "teams" / "face")).project == 4711
    assert plan(disk)[0] == []


@pytest.mark.slow
def test_a_quota_that_the_file_no_longer_names_is_told_and_left_alone(disk):
    apply(disk)
    disk.say(SPEC.replace("face: {{members: [nobody], quota: {{storage: {{disk: 40M}}}}}}", "hand: {{}}"))
    changes, notes = plan(disk)
    assert changes == []
    assert notes == [
        "storage disk: team hand gets no quota: there is no folder DISK/teams/hand",
        "storage disk: project 10001 still has a quota of 40M, and no team of the file: it is left alone",
    ]


@pytest.mark.slow
def test_marking_follows_no_link_bears_pipes_and_enters_no_other_file_system(disk, new_disk):
    home, outside = disk.path / "teams" / "robot", disk.path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    (home / "link").symlink_to(outside)
    (home / "dead").symlink_to("nowhere")
    os.mkfifo(home / "pipe")
    (home / "other").mkdir()
    other = new_disk(disk.kind, "usrquota", "prjquota")
    run("mount", "--bind", other.path, home / "other")
    try:
        apply(disk)
        assert look_at_folder(str(outside)).project == 0
        assert look_at_folder(str(other.path)).project == 0
        assert look_at_folder(str(home)).project == 10000
        (home / "new").mkdir()
        assert look_at_folder(str(home / "new")).project == 10000
    finally:
        run("umount", home / "other")


@pytest.mark.slow
def test_marking_that_was_ended_in_the_middle_is_finished_by_the_next_apply(disk):
    from aistation_slurm.data.quota import folders

    home = disk.path / "teams" / "robot"
    for name in ("a", "b"):
        (home / name).mkdir()
    handle = os.open(home, os.O_RDONLY)
    folders._give(handle, 10000, inherit=True)  # as far as the first step
    os.close(handle)
    assert "~ storage disk  team robot  project 10000 on DISK/teams/robot and all below" in apply(disk)
    assert {look_at_folder(str(home / name)).project for name in ("a", "b")} == {10000}


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_quotas_that_would_hold_nobody_are_not_set(new_disk, kind):
    disk = new_disk(kind, "grpquota")
    changes, (note,) = plan(disk)
    assert changes == []
    assert note.startswith("storage disk: nothing is decided: DISK: is mounted without prjquota: limits of a project")


@pytest.mark.slow
def test_quotas_that_are_only_counted_are_not_set_on_xfs(new_disk):
    disk = new_disk("xfs", "prjquota", "uqnoenforce")
    assert "is mounted with uqnoenforce: limits of a user would hold nobody" in plan(disk)[1][0]


@pytest.mark.slow
def test_quota_files_that_are_off_are_not_written_on_ext4(new_disk):
    disk = new_disk("ext4")
    disk.unmount()
    run("mkfs.ext4", "-q", "-F", "-O", "^quota,^project", disk.image)
    disk.mount("usrquota")
    disk.say(
        SPEC.replace(", per_team: {{storage: {{disk: 24M}}}}", "").replace(", quota: {{storage: {{disk: 40M}}}}", "")
    )
    assert "has its user quotas switched off; quotaon -u DISK" in plan(disk)[1][0]
    run("quotacheck", "-cum", disk.path)
    run("quotaon", "-u", disk.path)
    assert apply(disk) == ["+ storage disk  user daemon,nobody  space 8M  files 50"]
    assert plan(disk) == ([], [])


@pytest.mark.slow
def test_the_command_line_sets_and_shows_and_a_user_sees_their_own(disk, aistation):
    assert "user daemon,nobody  space 8M  files 50" in aistation("plan")
    aistation("apply", "--yes")
    aistation("plan", "--detailed-exitcode")
    assert write_as(ANN, disk.path / "home" / "ann", 4 * MEBI) == ""
    rows = json.loads(aistation("show", "--json"))["rows"]
    assert {(row["kind"], row["name"]) for row in rows} == {
        ("user", ANN),
        ("user", BOB),
        ("team", "robot"),
        ("team", "face"),
    }
    ann = next(row for row in rows if row["name"] == ANN)
    assert 4 * MEBI <= ann["space"] < 4 * MEBI + 65536  # ext4 counts the folders' blocks too
    assert (ann["space_limit"], ann["percent"]) == (8 * MEBI, 50)
    (own,) = json.loads(aistation("show", "--json", user=ANN))["rows"]
    assert {**own, "files": ann["files"]} == ann


@pytest.mark.slow
def test_whoever_is_not_root_is_told_so(disk, aistation):
    said = aistation("plan", user=ANN, code=1)
    assert "nothing is decided" in said
    assert "only root may" in said or "run it as root" in said
    assert "only root may see what nobody has stored" in aistation("show", "--user", BOB, user=ANN, code=1)
