"""Real file systems with quotas, on images that are loop-mounted; needs root and a kernel that has quotas.

    def test_a_limit_holds(disk): ...

`disk` is ext4, then XFS. A kernel without QFMT_V2 or XFS_QUOTA can't hold anybody to a limit: what is needed is tried
out first, and the tests are skipped with what hindered. `test_in_another_kernel.py` runs them all the same, in a
user-mode Linux.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

MEBI = 1024**2
ANN, BOB = "daemon", "nobody"
"""Two users whom every machine has: `ann` and `bob` of the cluster file below."""

SPEC = """
cluster: disks
groups: {{v100: {{nodes: v100-01, gpu_type: v100, gpus_per_node: 2, cpus: 8, memory: 16G}}}}
teams: {{robot: {{members: [daemon]}}, face: {{members: [nobody], quota: {{storage: {{disk: 40M}}}}}}}}
quota: {{per_user: {{storage: {{disk: {{space: 8M, files: 50}}}}}}, per_team: {{storage: {{disk: 24M}}}}}}
storage: {{disk: {{path: {path}, team_folders: "{path}/teams/{{team}}", project_ids: 10000-10009}}}}
"""


def run(*argv: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(each) for each in argv], capture_output=True, text=True, check=check, timeout=120)


def write_as(user: str, path: Path, size: int) -> str:
    """Write so many bytes as the user, and return what the kernel said of it: nothing where it let them."""
    uid = pwd.getpwnam(user).pw_uid
    argv = ("dd", "if=/dev/zero", f"of={path}", "bs=64k", f"count={size // 65536}", "status=none")
    done = subprocess.run(
        argv, user=uid, group=uid, extra_groups=[], capture_output=True, text=True, check=False, timeout=120
    )
    return done.stderr.strip()


@dataclass(frozen=True)
class Disk:
    """A file system of its own, and a cluster file about it."""

    kind: str
    path: Path
    image: Path
    cluster_file: Path

    def mount(self, *options: str) -> None:
        run("mount", "-o", ",".join(["loop", *options]), self.image, self.path)

    def unmount(self) -> None:
        run("umount", self.path)

    def say(self, text: str) -> None:
        """Let the cluster file say this instead."""
        self.cluster_file.write_text(text.format(path=self.path))


def make(kind: str, folder: Path, options: tuple[str, ...] = ("usrquota", "grpquota", "prjquota")) -> Disk:
    """Make a file system and mount it; what hinders is raised as CalledProcessError."""
    disk = Disk(kind, folder / "disk", folder / "image", folder / "cluster.yaml")
    disk.path.mkdir()
    with disk.image.open("wb") as file:
        file.truncate((64 if kind == "ext4" else 320) * MEBI)
    if kind == "ext4":
        quotas = ("-O", "quota,project", "-E", "quotatype=usrquota:grpquota:prjquota")
        run("mkfs.ext4", "-q", "-F", *quotas, disk.image)
    else:
        run("mkfs.xfs", "-q", "-f", disk.image)
    disk.mount(*options)
    return disk


@cache
def hindrance(kind: str) -> str:
    """Return why this machine can hold nobody to a limit on such a file system, or nothing: it was tried."""
    if os.geteuid() != 0:
        return "needs root"
    if os.environ.get("AISTATION_TEST_HAS_QUOTAS"):  # a kernel that we chose
        return ""
    tools = {"ext4": ("mkfs.ext4", "setquota", "repquota"), "xfs": ("mkfs.xfs", "xfs_quota")}[kind]
    if missing := [each for each in tools if not shutil.which(each)]:
        return f"no {', '.join(missing)} here"
    folder = Path(run("mktemp", "-d").stdout.strip())
    folder.chmod(0o755)
    try:
        disk = make(kind, folder)
    except subprocess.CalledProcessError as error:
        shutil.rmtree(folder)
        return f"this kernel has no quotas for {kind}: {error.stderr.strip().splitlines()[0]}"
    try:
        return _does_not_hold(disk)
    finally:
        disk.unmount()
        shutil.rmtree(folder)


def _does_not_hold(disk: Disk) -> str:
    disk.path.chmod(0o777)
    uid = str(pwd.getpwnam(ANN).pw_uid)
    tool = (
        ("setquota", "-u", uid, "0", "1024", "0", "0")
        if disk.kind == "ext4"
        else ("xfs_quota", "-x", "-c", f"limit -u bhard=1m {uid}")
    )
    done = run(*tool, disk.path, check=False)
    said = write_as(ANN, disk.path / "probe", 4 * MEBI)
    return "" if "quota" in said.lower() else f"a limit holds nobody on {disk.kind} here: {done.stderr.strip() or said}"


@pytest.fixture
def new_disk(tmp_path: Path) -> Iterator[Callable[..., Disk]]:
    """Make file systems: `new_disk("ext4", "usrquota")`; skips the test where the kernel has no quotas."""
    made: list[Disk] = []

    def build(kind: str, *options: str) -> Disk:
        if why := hindrance(kind):
            pytest.skip(why)
        tmp_path.chmod(0o755)
        (folder := tmp_path / f"{kind}-{len(made)}").mkdir()
        made.append(disk := make(kind, folder, options))
        disk.say(SPEC)
        for team, user in (("robot", ANN), ("face", BOB)):
            (home := disk.path / "teams" / team).mkdir(parents=True)
            shutil.chown(home, user)
        (disk.path / "home").mkdir()
        (disk.path / "home").chmod(0o777)
        return disk

    for parent in tmp_path.parents:
        if parent.owner() == "root" and "pytest" in parent.name:
            parent.chmod(0o755)
    yield build
    for disk in made:
        run("umount", disk.path, check=False)
        disk.image.unlink()


@pytest.fixture(params=["ext4", "xfs"])
def disk(request: pytest.FixtureRequest, new_disk: Callable[..., Disk]) -> Disk:
    """A file system with quotas of all kinds switched on."""
    return new_disk(request.param, "usrquota", "grpquota", "prjquota")
