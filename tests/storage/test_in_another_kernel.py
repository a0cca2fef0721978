"""The tests of `test_for_real.py` in a kernel that has quotas, where this machine's has none: user-mode Linux.

It is an ordinary program (Debian: user-mode-linux) whose root is this machine's, read-only, and that boots in 2 s.
It runs the most telling ones; with AISTATION_TEST_QUOTAS=all every one of them.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import hindrance

ROOT = Path(__file__).resolve().parents[2]
MODULES = Path("/usr/lib/uml/modules")
INIT = """#!{python} -S
import ctypes, os, subprocess, sys

def mount(kind, where, *options):
    subprocess.run(["mount", "-t", kind, *options, "none", where], check=True)

os.environ |= {environment!r}
for kind, where in (("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/run"), ("tmpfs", "/media")):
    mount(kind, where)
mount("hostfs", "/mnt", "-o", {results!r})
sys.stdout = sys.stderr = open("/mnt/said", "w", buffering=1)
for module in {modules!r}:
    with open(module, "rb") as file:
        if ctypes.CDLL(None, use_errno=True).syscall({finit_module}, file.fileno(), b"", 0):
            print(module, os.strerror(ctypes.get_errno()))
os.makedirs(os.environ["TMPDIR"])
os.chdir({root!r})
done = subprocess.run({argv!r}, stdout=sys.stdout, stderr=sys.stdout)
with open("/mnt/code", "w") as file:
    file.write(str(done.returncode))
os.sync()
ctypes.CDLL(None).reboot({power_off})
"""
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/media/tmp",
    "TMPDIR": "/media/tmp",
    "LC_ALL": "C.UTF-8",
    "PYTHONPATH": str(ROOT),
    "PYTHONDONTWRITEBYTECODE": "1",
    "AISTATION_TEST_HAS_QUOTAS": "1",
}
PYTEST = (sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "--basetemp=/media/tmp/pytest")
POWER_OFF = 0x4321FEDC
FINIT_MODULE = 313
"""Its number on x86-64, the one machine that user-mode Linux runs on."""


def test_storage_quotas_hold_in_a_kernel_that_has_them(tmp_path):
    if not (hindrance("ext4") or hindrance("xfs")):
        pytest.skip("this kernel has quotas: they are tried in it")
    linux = shutil.which("linux.uml") or shutil.which("linux")
    if os.geteuid() != 0 or not linux:
        pytest.skip(f"{hindrance('ext4')}; and no user-mode Linux: apt-get install user-mode-linux quota xfsprogs")
    if missing := [each for each in ("mkfs.xfs", "setquota") if not shutil.which(each)]:
        pytest.skip(f"no {' and '.join(missing)} here: apt-get install quota xfsprogs")
    modules = [next(MODULES.rglob(f"{name}.ko")) for name in ("loop", "quota_tree", "quota_v2")]
    init = tmp_path / "init"
    which = () if os.environ.get("AISTATION_TEST_QUOTAS") == "all" else ("-m", "not slow")
    init.write_text(
        INIT.format(
            python=sys.executable,
            environment=ENVIRONMENT,
            results=str(tmp_path),
            modules=[str(each) for each in modules],
            finit_module=FINIT_MODULE,
            root=str(ROOT),
            argv=[*PYTEST, *which, str(Path(__file__).with_name("test_for_real.py"))],
            power_off=POWER_OFF,
        )
    )
    init.chmod(0o755)
    argv = [linux, "mem=1G", "root=/dev/root", "rootfstype=hostfs", "ro", f"init={init}", "con=null", "con0=null,fd:1"]
    console = boot(argv)
    said = (tmp_path / "said").read_text() if (tmp_path / "said").exists() else console[-3000:]
    assert (tmp_path / "code").exists(), said
    assert (tmp_path / "code").read_text() == "0", said
    assert " passed" in said
    assert " skipped" not in said, said


def boot(argv: list[str], within: float = 280) -> str:
    """Return what the kernel said until it ended; all its processes go with it when the time is over."""
    kernel = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace", start_new_session=True
    )
    try:
        return kernel.communicate(timeout=within)[0]
    finally:
        if kernel.poll() is None:
            os.killpg(kernel.pid, signal.SIGKILL)
            kernel.communicate()
