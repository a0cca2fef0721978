"""Rules about keys of the whole cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator

from aistation_slurm.cluster.changes import RESTART_ALL
from aistation_slurm.cluster.conf import NOUNS, Conf
from aistation_slurm.cluster.effects import NEED_RESTART, effect_of_key
from aistation_slurm.cluster.lint.finding import Files, Finding, Running

USUAL_SOCKET = "/run/munge/munge.socket.2"
_FIRST_OPEN_PORT = 1024
_MAY_REPEAT = frozenset({"slurmctldhost", "include"})
_IDENTITY = ("ClusterName", "StateSaveLocation", "SelectType", "AuthType", "CredType")
_TRES = frozenset({"billing", "cpu", "energy", "mem", "node", "pages", "vmem", "bb", "fs", "gres", "ic", "license"})


def missing_include(files: Files, running: Running) -> Iterator[Finding]:
    """An Include of what is not there: every program of Slurm waits 60 s for it, then ends."""
    for line, path in (*files.conf.lost, *(files.gres.lost if files.gres else ())):
        what = f"includes {path}, which is not there: slurmctld would wait a minute for it, and end"
        yield Finding("missing-include", "fatal", line.where, what, "write that file first, or take the line out")


def not_read_by_slurm(files: Files, running: Running) -> Iterator[Finding]:
    """A line that Slurm's own parser can't read."""
    for where, what in running.complaints:
        yield Finding("not-read-by-slurm", "fatal", where, what)


def no_pair(files: Files, running: Running) -> Iterator[Finding]:
    """A line that is not KEY=VALUE throughout."""
    for line in files.conf.lines:
        if line.rest or not line.pairs:
            yield Finding("no-pair", "fatal", line.where, f"{(line.rest or line.text)[:60]!r} is not KEY=VALUE")
        elif line.noun not in NOUNS and len(line.pairs) > 1:
            what = f"{list(line.pairs)[1]} stands in the line of {line.noun}"
            yield Finding("no-pair", "fatal", line.where, what, "give it a line of its own")


def key_given_twice(files: Files, running: Running) -> Iterator[Finding]:
    """A key of the whole cluster in two lines: the last one silently wins."""
    seen: dict[str, str] = {}
    for line in files.conf.lines:
        if not line.noun or line.noun in NOUNS or line.noun in _MAY_REPEAT:
            continue
        if first := seen.get(line.noun):
            what = f"{line.noun} stands in {first} too, and this line wins"
            yield Finding("key-given-twice", "note", line.where, what, "keep one of the two")
        seen[line.noun] = line.where


def privileged_port(files: Files, running: Running) -> Iterator[Finding]:
    """A SlurmctldPort that only root may open."""
    ports = [int(each) for each in re.findall(r"\d+", files.conf.value("SlurmctldPort"))]
    user = files.conf.value("SlurmUser")
    if user not in {"", "root", "0"} and any(port < _FIRST_OPEN_PORT for port in ports):
        what = f"SlurmctldPort={files.conf.value('SlurmctldPort')}, which SlurmUser={user} may not open"
        yield Finding("privileged-port", "fatal", files.conf.where("SlurmctldPort"), what, "SlurmctldPort=6817")


_REMOVED = {"max_job_bf": "bf_max_job_test"}
"""SchedulerParameters that end slurmctld, and what they are called now."""


def removed_option(files: Files, running: Running) -> Iterator[Finding]:
    """An option of the scheduler that is no longer one, and that it ends at."""
    words = [each.partition("=")[0].strip() for each in files.conf.value("SchedulerParameters").split(",")]
    for word in (each for each in words if each in _REMOVED):
        where = files.conf.where("SchedulerParameters")
        yield Finding("removed-option", "fatal", where, f"SchedulerParameters={word}", f"write {_REMOVED[word]}")


def munge_not_there(files: Files, running: Running) -> Iterator[Finding]:
    """A socket of munged that is not there: slurmctld ends from 24.11 on, and before that nobody can talk to it."""
    socket = munge_socket(files.conf)
    if socket and running.sockets is not None and socket not in running.sockets:
        what = f"munged has no socket {socket}"
        fix = "start munged, or name its socket: AuthInfo=socket=PATH"
        yield Finding("munge-not-there", "fatal", files.conf.where("AuthInfo"), what, fix)


def munge_socket(conf: Conf) -> str:
    """Return where these files look for munged, or nothing where they don't use it."""
    if not (conf.value("AuthType") or "auth/munge").endswith("munge"):
        return ""
    found = re.search(r"(?i)(?:^|,)\s*socket=([^,]+)", conf.value("AuthInfo"))
    return found[1] if found else USUAL_SOCKET


def unknown_slurm_user(files: Files, running: Running) -> Iterator[Finding]:
    """A SlurmUser or SlurmdUser whom this machine doesn't know."""
    for key in ("SlurmUser", "SlurmdUser"):
        name = files.conf.value(key)
        if name and running.users is not None and name not in running.users and not name.isdigit():
            yield Finding("unknown-slurm-user", "fatal", files.conf.where(key), f"{key}={name}: there is no such user")


def unknown_tres(files: Files, running: Running) -> Iterator[Finding]:
    """An AccountingStorageTRES that Slurm can't count."""
    value = files.conf.value("AccountingStorageTRES")
    for each in filter(None, (part.strip().lower() for part in value.split(","))):
        kind, _, name = each.partition("/")
        needs_name = kind in {"gres", "fs", "bb", "ic", "license"}
        if kind not in _TRES or needs_name != bool(name):
            where = files.conf.where("AccountingStorageTRES")
            yield Finding("unknown-tres", "fatal", where, f"{each!r} is no TRES", "such as gres/gpu")


def enforced_without_slurmdbd(files: Files, running: Running) -> Iterator[Finding]:
    """Limits or TRES without the slurmdbd that would know them."""
    if "slurmdbd" in files.conf.value("AccountingStorageType").lower():
        return
    for key in ("AccountingStorageEnforce", "AccountingStorageTRES"):
        if files.conf.value(key) not in {"", "0", "none"}:
            what = f"{key}={files.conf.value(key)} without AccountingStorageType=accounting_storage/slurmdbd"
            yield Finding("enforced-without-slurmdbd", "fatal", files.conf.where(key), what, "add that line")


def bad_licenses(files: Files, running: Running) -> Iterator[Finding]:
    """Licenses that can't be read."""
    value = files.conf.value("Licenses")
    if value and not re.fullmatch(r"[^,;:=\s]+([:=]\d+)?([,;][^,;:=\s]+([:=]\d+)?)*", value):
        yield Finding("bad-licenses", "fatal", files.conf.where("Licenses"), f"Licenses={value}", "such as matlab:4")


def bad_weights(files: Files, running: Running) -> Iterator[Finding]:
    """Weights of TRES that can't be read."""
    value = files.conf.value("PriorityWeightTRES")
    if value and not all(re.fullmatch(r"[^=]+=\d+(\.\d+)?", each.strip()) for each in value.split(",")):
        where = files.conf.where("PriorityWeightTRES")
        yield Finding("bad-weights", "fatal", where, f"PriorityWeightTRES={value}", "such as CPU=1000,GRES/gpu=3000")


def identity_of_a_cluster(files: Files, running: Running) -> Iterator[Finding]:
    """What a cluster can't change while it has jobs."""
    for key in _IDENTITY:
        now, wanted = running.config.get(key, ""), files.conf.value(key)
        if not (now and wanted) or now.lower() == wanted.lower():
            continue
        what = f"{key} {now} -> {wanted}"
        if key == "ClusterName":
            fix = "slurmctld refuses to start with the state of another cluster"
            yield Finding("identity-of-a-cluster", "fatal", files.conf.where(key), what, fix)
        elif running.alive:
            fix = f"wait until its {len(running.alive)} jobs are gone, stop every daemon, then change it"
            jobs = tuple(job.job_id for job in running.alive)
            yield Finding("identity-of-a-cluster", "kills jobs", files.conf.where(key), what, fix, jobs=jobs)
        else:
            fix = "stop every daemon, change it, start them"
            yield Finding("identity-of-a-cluster", "restart", files.conf.where(key), what, fix)


def key_needs_restart(files: Files, running: Running) -> Iterator[Finding]:
    """A key that only a restart brings."""
    for key in sorted(NEED_RESTART - set(_IDENTITY)):
        now, wanted = running.config.get(key, ""), files.conf.value(key)
        effect = effect_of_key(key, running.version)
        if now and wanted and effect.restarts_controller and _differ(key, now, wanted):
            fix = "restart slurmctld and every slurmd" if effect == RESTART_ALL else "restart slurmctld"
            yield Finding("key-needs-restart", "restart", files.conf.where(key), f"{key} {now} -> {wanted}", fix)


def _differ(key: str, now: str, wanted: str) -> bool:
    if key == "AccountingStorageTRES":  # slurmctld counts some of its own beside them
        return not _words(wanted) <= _words(now)
    return _words(now) != _words(wanted)


def _words(value: str) -> set[str]:
    return {each.strip().lower() for each in value.split(",")}
