"""What the real tools of ext4 and XFS said, of two Debian releases, and what we make of it."""

import re
from pathlib import Path

import pytest

from aistation_slurm.data.quota.ext4 import Ext4, read_quota, read_repquota
from aistation_slurm.data.quota.model import Limits, Usage
from aistation_slurm.data.quota.mounts import Mount
from aistation_slurm.data.quota.tools import Tools, refused
from aistation_slurm.data.quota.xfs import Xfs, read_report
from aistation_slurm.errors import StorageError, StorageRefused, StorageUnusable
from aistation_slurm.slurm.runner import Completed

RECORDED = Path(__file__).resolve().parents[1] / "recorded" / "quota"
VERSIONS = sorted(RECORDED.glob("quota-*.txt"))
KIB = 1024
EXT4 = Mount("/media/ext4", "ext4", "/dev/loop0", frozenset({"usrquota", "grpquota", "prjquota"}))
XFS = Mount("/media/xfs", "xfs", "/dev/loop1", frozenset({"usrquota", "grpquota", "prjquota"}))
USERS = {
    0: (3, Limits()),
    1001: (2, Limits(soft_space=2000 * KIB, space=5000 * KIB, soft_files=1, files=100)),
    1002: (0, Limits(space=5120 * KIB)),
    1003: (1, Limits(files=9)),
    1004: (0, Limits(soft_space=1024 * KIB, space=2048 * KIB, soft_files=3, files=4)),
    1005: (0, Limits(space=1024**5, files=4_000_000_000)),
    424242: (1, Limits()),
}


class Answers:
    """Answers as the tools did, and remembers what they were asked."""

    def __init__(self, path: Path) -> None:
        self.said: dict[str, Completed] = {}
        for part in re.split(r"^### (?!err)", path.read_text(), flags=re.MULTILINE)[1:]:
            head, _, body = part.partition("\n")
            name, code, command = head.split(" ", 2)
            out, _, err = body.partition("### err\n")
            self.said[name] = Completed(int(code), out, err)
            self.said.setdefault(command.removeprefix("as_user "), self.said[name])

    def run(self, argv, *, stdin="", timeout=0):
        return self.said[" ".join(argv)]


@pytest.fixture(params=VERSIONS, ids=lambda path: path.stem)
def answers(request):
    return Answers(request.param)


def test_two_versions_were_recorded():
    assert [path.stem for path in VERSIONS] == ["quota-4.06", "quota-4.09"]


@pytest.mark.parametrize("name", ["repquota-u", "repquota-u-grace"])
def test_repquota_is_read_with_graces_as_seconds_as_days_and_without(answers, name):
    found = read_repquota(answers.said[name].stdout, where="/x")
    assert {id_: (each.files, each.limits) for id_, each in found.items()} == USERS
    assert found[1001].space == 2931 * KIB
    assert found[424242].space == 293 * KIB


def test_repquota_of_xfs_is_read_past_its_last_words(answers):
    found = read_repquota(answers.said["repquota-xfs"].stdout, where="/x")
    assert {id_: each.limits for id_, each in found.items()} == {id_: limits for id_, (_, limits) in USERS.items()}


def test_ext4_says_what_everybody_has_and_may(answers):
    found = Ext4().look(EXT4, "user", [1001], Tools(answers))
    assert found[1002] == Usage(id=1002, limits=Limits(space=5120 * KIB))
    assert Ext4().look(EXT4, "project", [1], Tools(answers))[10001].limits == Limits(space=51200 * KIB)


def test_xfs_says_what_everybody_has_and_may(answers):
    found = Xfs().look(XFS, "user", [1001], Tools(answers))
    assert {id_: each.limits for id_, each in found.items()} == {id_: limits for id_, (_, limits) in USERS.items()}
    assert (found[1001].space, found[1001].files) == (2932 * KIB, 2)
    assert Xfs().look(XFS, "project", [1], Tools(answers))[10001].limits == Limits(space=51200 * KIB)


def test_a_user_sees_their_own_on_ext4_over_the_limit_or_with_nothing(answers):
    assert Ext4().own(EXT4, 1, Tools(answers)) == Usage(id=1)
    over = read_quota(answers.said["quota-over"].stdout, 1001, "/dev/loop0", where="/x")
    assert over == Usage(id=1001, space=2931 * KIB, files=2, limits=USERS[1001][1])


def test_a_user_sees_their_own_on_xfs_over_the_limit_or_with_nothing(answers):
    assert Xfs().own(XFS, 1, Tools(answers)) == Usage(id=1)
    assert Xfs().own(XFS, 1001, Tools(answers)) == Usage(id=1001, space=2932 * KIB, files=2, limits=USERS[1001][1])


def test_ext4_with_its_quotas_on_passes_the_probe_and_off_does_not(answers):
    Ext4().probe(EXT4, {"user"}, Tools(answers))
    answers.said["quotaon -p -u /media/ext4"] = answers.said["quotaon-off"]
    with pytest.raises(StorageUnusable, match="has its user quotas switched off"):
        Ext4().probe(EXT4, {"user"}, Tools(answers))


def test_the_empty_report_that_others_than_root_get_is_no_report(answers):
    answers.said["repquota -u -n -p -v /media/ext4"] = answers.said["repquota-not-root"]
    with pytest.raises(StorageRefused, match="shows nobody's quota") as error:
        Ext4().look(EXT4, "user", [1001], Tools(answers))
    assert error.value.hint.startswith("run it as root")


def test_the_empty_report_of_an_xfs_without_quotas_is_no_report(answers):
    answers.said["xfs_quota -x -c report -u -n -N -b -i /media/xfs"] = answers.said["xfs-off"]
    with pytest.raises(StorageUnusable, match="shows no user quotas: they are switched off"):
        Xfs().look(XFS, "user", [1001], Tools(answers))


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("setquota-not-root", StorageRefused, "only root may"),
        ("xfs-not-root", StorageRefused, "only root may"),
        ("xfs-limit-not-root", StorageRefused, "only root may"),
        ("setquota-too-large", StorageRefused, "can't take so large a limit"),
        ("setquota-unknown", StorageRefused, "knows no such user, group or project"),
        ("xfs-unknown", StorageRefused, "knows no such user, group or project"),
        ("xfs-no-mount", StorageUnusable, "is not mounted as XFS"),
        ("xfs-limit-off", StorageUnusable, "has no such quotas"),
        ("repquota-no-mount", StorageUnusable, "has no such quotas"),
        ("repquota-no-projects", StorageUnusable, "has no such quotas"),
        ("setquota-no-projects", StorageUnusable, "has no such quotas"),
        ("repquota-no-file", StorageUnusable, "has no quota file"),
    ],
)
def test_what_a_tool_refuses_becomes_one_clear_sentence(answers, name, kind, text):
    error = refused(answers.said[name], where="/home")
    assert type(error) is kind
    assert str(error).startswith(f"/home: {text} (")
    assert "\n" not in str(error)


def test_words_that_nobody_foresaw_are_handed_on():
    error = refused(Completed(7, "", "setquota: the moon is full\nand more\n"), where="/home")
    assert (type(error), str(error)) == (StorageRefused, "/home: setquota: the moon is full")
    assert str(refused(Completed(7, "", ""), where="/home")) == "/home: its tool ended with 7"


@pytest.mark.parametrize(
    "row", ["#1001 ++ 2931 2000", "#x -- 1 2 3 4 5 6", "#1001 -- 1 2 3 4 5 6 7", "#1 -- 1 2 3 a b c d e"]
)
def test_a_row_of_repquota_that_is_cut_or_strange_is_no_quota(row):
    with pytest.raises(StorageError, match="what we can't read"):
        read_repquota(f"header\n{row}\n", where="/x")


def test_a_row_of_xfs_quota_that_is_cut_or_strange_is_no_quota():
    with pytest.raises(StorageError, match="what we can't read"):
        read_report("#1001 2932 2000 5000 00 [--------] 2 1\n", where="/x")


def test_usage_below_zero_as_a_broken_quota_file_has_it_is_none():
    assert read_repquota("#5 -- -12 0 100 0 -1 0 0 0\n", where="/x")[5] == Usage(id=5, limits=Limits(space=100 * KIB))
