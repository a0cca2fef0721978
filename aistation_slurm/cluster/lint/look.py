"""A look at what the linter's rules need to know beside the files: what Slurm runs with, and what it can read."""

from __future__ import annotations

import pwd
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from aistation_slurm.cluster.conf import Conf, read_conf
from aistation_slurm.cluster.effects import release_of
from aistation_slurm.cluster.lint.finding import Files, Running
from aistation_slurm.cluster.lint.keys import munge_socket
from aistation_slurm.cluster.shadow.conf import other_files, whole_text
from aistation_slurm.errors import SlurmError
from aistation_slurm.settings import SlurmSettings
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.runner import LocalRunner

_LINE = re.compile(r'Parse error in file \S+ line (\d+): "(.*)"')
_SAID = re.compile(r"^scontrol: (?:error|fatal): (?:_?\w+: )?(.*)", re.MULTILINE)
_USUAL_PLUGINS = ("/usr/lib/x86_64-linux-gnu/slurm-wlm", "/usr/lib/aarch64-linux-gnu/slurm-wlm", "/usr/lib64/slurm")


def read_files(path: Path, texts: Mapping[Path, str] | None = None) -> Files:
    """Return slurm.conf and gres.conf as Slurm would read them; `texts` are files as they are to be.

    Raises:
        SpecError: slurm.conf can't be read.
    """
    gres, texts = path.with_name("gres.conf"), texts or {}
    is_there = gres in texts or gres.is_file()
    return Files(read_conf(path, texts), read_conf(gres, texts) if is_there else None)


def look_at(files: Files, settings: SlurmSettings, texts: Mapping[Path, str], slurm: Slurm | None = None) -> Running:
    """Return what the rules need to know; `slurm` is asked what it runs with, unless there is none that answers.

    Raises:
        SlurmError: it can't be asked.
    """
    known = Running(
        plugins=plugins_of(files.conf.value("PluginDir")),
        files=frozenset(other_files(files.conf, texts)),
        users=_users(files.conf),
        sockets=_sockets(files.conf),
        complaints=complaints(files.conf, settings),
    )
    if slurm is None:
        return known
    config = slurm.read.config()
    return replace(
        known,
        version=release_of(config),
        config=config,
        qos=_qos(slurm, config),
        nodes={each.name: each for each in slurm.read.nodes()},
        partitions={each.name: each for each in slurm.read.partitions()},
        jobs=tuple(slurm.read.jobs()),
        plugins=plugins_of(files.conf.value("PluginDir") or config.get("PluginDir", "")),
    )


def _qos(slurm: Slurm, config: Mapping[str, str]) -> frozenset[str] | None:
    """Return the QOS that slurmctld knows; where it enforces none yet, those that it will find at its next start."""
    if "slurmdbd" not in config.get("AccountingStorageType", ""):
        return None
    if "qos" in config.get("AccountingStorageEnforce", ""):
        return frozenset(each.lower() for each in slurm.read.loaded_qos())
    return frozenset(each.name.lower() for each in slurm.read.qos())


def _sockets(conf: Conf) -> frozenset[str]:
    name = munge_socket(conf)
    return frozenset({name}) if name and Path(name).is_socket() else frozenset()


def _users(conf: Conf) -> frozenset[str]:
    """Return those of the users named in the file who exist; a directory service lists nobody unasked."""
    found = set()
    for name in (conf.value("SlurmUser"), conf.value("SlurmdUser")):
        with suppress(KeyError):
            found.add(pwd.getpwnam(name).pw_name)
    return frozenset(found)


def plugins_of(plugin_dir: str) -> frozenset[str] | None:
    """Return the names of the plugins in `PluginDir`, or where packages put them; None where none are found."""
    folders = plugin_dir.split(":") if plugin_dir else _USUAL_PLUGINS
    return frozenset(path.stem for folder in folders for path in Path(folder).glob("*.so")) or None


def complaints(conf: Conf, settings: SlurmSettings) -> tuple[tuple[str, str], ...]:
    """Return (`file:line`, what) for all that Slurm's own parser says of the files.

    A client of Slurm reads slurm.conf by the same parser as slurmctld, and finds unknown keys and bad values, as this
    release knows them. Nobody is asked: `scontrol show hostnames` takes a list of nodes apart.
    """
    if conf.lost:  # it would wait a minute for the file
        return ()
    with tempfile.TemporaryDirectory(prefix="aistation-check-") as folder:
        path = Path(folder, "slurm.conf")
        path.write_text(whole_text(conf), encoding="utf-8")
        try:
            done = LocalRunner(slurm_conf=path, bin=settings.bin).run(("scontrol", "show", "hostnames", "a"))
        except SlurmError:
            return ()
    return () if done.returncode == 0 else _read_complaints(done.stderr, conf)


def _read_complaints(said: str, conf: Conf) -> tuple[tuple[str, str], ...]:
    lines = [(conf.lines[int(number) - 1].where, f"can't read {what!r}") for number, what in _LINE.findall(said)]
    words = [each for each in _SAID.findall(said) if "Parse error in file" not in each]
    telling = [each for each in words if "process configuration file" not in each] or words
    if lines:
        return tuple((where, f"{what} ({'; '.join(telling)})") for where, what in lines)
    return tuple((str(conf.path), each) for each in telling) or ((str(conf.path), said.strip() or "can't be read"),)
