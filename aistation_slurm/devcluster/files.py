"""The folders and files of a cluster, each with its owner, made again wherever something is missing."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from aistation_slurm.devcluster.conf import (
    SLURM_USER,
    cgroup_conf,
    hosts_file,
    proctrack,
    settings_toml,
    slurm_conf,
    slurm_version,
    slurmdbd_conf,
)
from aistation_slurm.devcluster.database import USER as MYSQL_USER
from aistation_slurm.devcluster.database import password
from aistation_slurm.devcluster.paths import Paths
from aistation_slurm.devcluster.record import ClusterRecord
from aistation_slurm.devcluster.release import has_plugin, program, version_said
from aistation_slurm.devcluster.services import MUNGE_USER, REST_USER
from aistation_slurm.render import write_whole
from aistation_slurm.spec import ClusterSpec

_NVIDIA = 195
_LUA_KEYS = ("JobSubmitPlugins", "CliFilterPlugins")
_NULL = (1, 3)


def make_folders(paths: Paths, record: ClusterRecord) -> None:
    """Make every folder, with its owner and mode."""
    for folder, user, mode in _folders(paths, record):
        folder.mkdir(parents=True, exist_ok=True)
        account = pwd.getpwnam(user)
        os.chown(folder, account.pw_uid, account.pw_gid)
        folder.chmod(mode)


def _folders(paths: Paths, record: ClusterRecord) -> Iterator[tuple[Path, str, int]]:
    for folder in (paths.root, paths.etc, paths.run, paths.state, paths.spool, paths.devices):
        yield folder, "root", 0o755
    yield paths.log, SLURM_USER, 0o755
    yield paths.etc / "munge", MUNGE_USER, 0o700
    yield paths.run / "munge", MUNGE_USER, 0o755
    yield paths.log / "munge", MUNGE_USER, 0o700
    yield paths.state / "munge", MUNGE_USER, 0o700
    yield paths.run / "mysql", MYSQL_USER, 0o700
    yield paths.run / "slurm", SLURM_USER, 0o755
    yield paths.run / "aistation", SLURM_USER, 0o755
    yield paths.run / "slurmrestd", REST_USER, 0o755
    yield paths.state / "slurmctld", SLURM_USER, 0o700
    yield paths.state / "aistation", SLURM_USER, 0o750
    for node in record.nodes:
        yield paths.spool / node.name, "root", 0o755


def make_munge_key(paths: Paths) -> None:
    """Make the key of the cluster's munged, if it has none."""
    key = paths.etc / "munge" / "munge.key"
    if not key.exists():
        fresh = key.with_name(".munge.key.new")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        fresh.write_bytes(os.urandom(128))
        account = pwd.getpwnam(MUNGE_USER)
        os.chown(fresh, account.pw_uid, account.pw_gid)
        fresh.replace(key)


def make_gpus(paths: Paths, count: int) -> None:
    """Make the GPUs' device files: nodes of NVIDIA's number, whose driver needn't be there; the same for all nodes.

    Where that number is refused they are copies of /dev/null; where all device files are, links to it.
    """
    for number in range(count):
        path = paths.devices / f"nvidia{number}"
        if not path.exists():
            path.unlink(missing_ok=True)
            _make_device(path, number)


def _make_device(path: Path, number: int) -> None:
    for major, minor in ((_NVIDIA, number), _NULL):
        with suppress(PermissionError):
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(major, minor))
            path.chmod(0o666)
            return
    path.symlink_to("/dev/null")


def write_site(
    paths: Paths, record: ClusterRecord, spec: ClusterSpec, site_keys: Mapping[str, str], rules: Mapping[str, str]
) -> bool:
    """Write the site's files, and return True if slurm.conf says something else than before.

    `rules` are job_submit.lua and what it reads, by name: with JobSubmitPlugins=lua slurmctld doesn't start without.
    """
    if has_plugin(paths, "job_submit/lua"):
        _write_missing(paths.etc, rules)
    else:
        site_keys = {key: value for key, value in site_keys.items() if key not in _LUA_KEYS}
    text = slurm_conf(paths, record, spec, site_keys)
    changed = not paths.slurm_conf.exists() or paths.slurm_conf.read_text() != text
    for name in ("aistation.conf", "gres.conf"):
        _write_empty(paths.etc / name)
    version = slurm_version(version_said(program(paths, "slurmd")))
    write_whole(paths.etc / "cgroup.conf", cgroup_conf(version, proctrack()))
    write_whole(paths.hosts, hosts_file(record, _text(Path("/etc/hosts"))))
    write_whole(paths.config, settings_toml(paths, record))
    _write_slurmdbd(paths, slurmdbd_conf(paths, record, password(paths)))
    write_whole(paths.slurm_conf, text)
    return changed


def _write_missing(folder: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        if not (folder / name).exists():
            write_whole(folder / name, text)


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _write_empty(path: Path) -> None:
    """Slurm includes no file that isn't there, and complains of one that is empty."""
    if not path.exists() or not path.stat().st_size:
        path.write_text("# Nothing yet: `aistation cluster apply` writes it.\n")


def _write_slurmdbd(paths: Paths, text: str) -> None:
    """Slurmdbd takes the file only if it is SlurmUser's own and nobody else can read it."""
    path = paths.etc / "slurmdbd.conf"
    if path.exists() and path.read_text() == text:
        return
    fresh = path.with_name(".slurmdbd.conf.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    account = pwd.getpwnam(SLURM_USER)
    os.chown(fresh, account.pw_uid, account.pw_gid)
    fresh.replace(path)


def keep_spec(paths: Paths, source: Path) -> None:
    """Keep a copy of the cluster file."""
    if source.resolve() != paths.spec.resolve():
        write_whole(paths.spec, source.read_text(encoding="utf-8"))


def remove_files(paths: Paths) -> None:
    """Remove the cluster's folder, its record last, so that an interrupted removal can go on."""
    if paths.root.exists():
        for each in paths.root.iterdir():
            if each == paths.record:
                continue
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each)
            else:
                each.unlink()
        shutil.rmtree(paths.root)
