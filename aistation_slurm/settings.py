"""Where this station's Slurm, files and services are: `aistation.toml`, and nothing else.

Looked for in this order: the file that `AISTATION_CONFIG` names, `/etc/aistation/aistation.toml`, and, where neither
stands, the one one-machine cluster that is on this machine. `SLURM_CONF` from the environment wins over the file's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aistation_slurm.errors import SettingsError
from aistation_slurm.settings_file import DEV_ROOT, SITE_FILE, SLURM_CONF, TEMPLATES, find_settings, load_toml

__all__ = [
    "DEV_ROOT",
    "SITE_FILE",
    "DaemonSettings",
    "NodesSettings",
    "Settings",
    "SlurmSettings",
    "WebSettings",
    "find_settings",
    "load_settings",
    "read_settings",
]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SlurmSettings(_Table):
    """Which Slurm this is."""

    conf: Path = Field(SLURM_CONF, description="The slurm.conf of the cluster.")
    bin: Path | None = Field(None, description="Folder of Slurm's commands; without it, those on PATH.")
    reader: Literal["auto", "cli", "libslurm", "rest"] = Field(
        "auto",
        description="Who asks Slurm: its commands, pyslurm or slurmrestd; auto is pyslurm where it fits, else cli.",
    )
    rest_socket: Path | None = Field(None, description="The Unix socket of slurmrestd, for the reader `rest`.")
    rest_token_file: Path | None = Field(None, description="A file with a token (JWT), where slurmrestd wants one.")
    rest_user: str = Field("", description="Whose token that is.")
    gpu_device: str = Field("/dev/nvidia", description="What the GPUs' device files begin with, before their number.")
    restart_controller: tuple[str, ...] = Field(
        ("systemctl", "restart", "slurmctld"),
        description="What restarts slurmctld, word by word; empty where a person does it.",
    )
    restart_nodes: tuple[str, ...] = Field(
        (), description="What restarts the slurmd of `{nodes}`, word by word; empty where a person does it."
    )
    canary_user: str = Field("", description="Who submits the canary job after an apply; without it, who applies.")


class DaemonSettings(_Table):
    """What the daemon does, and where the nodes' agents find it."""

    heartbeat: str = Field("127.0.0.1:8171", description="UDP address that the agents send their heartbeats to.")
    recovery: bool = Field(True, description="False switches the automatic recovery off.")
    dry_run: bool = Field(False, description="True only says what would be done.")
    summaries: bool = Field(
        True, description="False keeps no summary of an ended job in its AdminComment, as where a site runs jobstats."
    )
    silent_after: float = Field(2.0, ge=1, description="Seconds without a heartbeat after which a node is suspect.")
    back_after: float = Field(10.0, ge=1, description="Seconds that a lost node must be well before it is given back.")
    breaker_nodes: int = Field(2, ge=0, description="So many nodes, or 5 % if that is more, are marked down ...")
    breaker_period: float = Field(300.0, gt=0, description="... within so many seconds, and no more.")
    agent_uids: tuple[int, ...] = Field((0,), description="Unix users (by number) whose heartbeats are believed.")


class WebSettings(_Table):
    """Where the web page is served."""

    listen: str = Field("127.0.0.1:8170", description="Address and port of the web page.")


class NodesSettings(_Table):
    """How Slurm's files reach the other hosts."""

    files: Literal["shared", "configless", "ssh"] = Field(
        "shared", description="`shared`: a folder that all mount; `configless`: slurmctld hands them out; or `ssh`."
    )
    also: str = Field("", description="More hosts that hold the files, by ssh: `login-[01-02],ctl2`.")
    names: tuple[str, ...] = Field((), description="More files that nodes take: what the site's slurm.conf includes.")
    user: str = Field("root", description="Whom to log in as: the owner of Slurm's files there.")
    port: int = Field(22, gt=0, le=65535, description="Where sshd listens.")
    key: Path = Field(Path("/etc/aistation/push_key"), description="The private key, which may run one command only.")
    known_hosts: Path = Field(Path("/etc/aistation/known_hosts"), description="The host keys that are believed.")
    at_once: int = Field(32, ge=1, le=256, description="So many hosts are spoken to at a time.")
    connect_timeout: float = Field(5.0, gt=0, le=60, description="Seconds that a host has to let us in.")
    timeout: float = Field(30.0, gt=0, le=600, description="Seconds that it has for each step, all in all.")


class Settings(_Table):
    """Where this station's Slurm, files and services are."""

    cluster_file: Path = Field(Path("/etc/aistation/cluster.yaml"), description="The cluster file.")
    templates: Path = Field(TEMPLATES, description="The site's own templates; they come first.")
    database: str = Field("sqlite:////var/lib/aistation/aistation.db", description="SQLAlchemy URL of our tables.")
    run_dir: Path = Field(Path("/run/aistation"), description="Heartbeats, pid files and sockets; may be lost.")
    munge_socket: Path = Field(Path("/run/munge/munge.socket.2"), description="The socket of munged.")
    simulated: bool = Field(False, description="True on a one-machine cluster: its GPUs are simulated, and it says so.")
    slurm: SlurmSettings = SlurmSettings.model_construct()
    daemon: DaemonSettings = DaemonSettings.model_construct()
    web: WebSettings = WebSettings.model_construct()
    nodes: NodesSettings = NodesSettings.model_construct()
    source: Path | None = Field(None, exclude=True, description="The file that these came from.")


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of this station.

    Raises:
        SettingsError: the file is missing though it was named, is not TOML, or holds an unknown key or a bad value.
    """
    environ = os.environ if environ is None else environ
    path = find_settings(environ)
    settings = read_settings(path) if path else Settings.model_validate({})
    if conf := environ.get("SLURM_CONF"):
        slurm = settings.slurm.model_copy(update={"conf": Path(conf)})
        settings = settings.model_copy(update={"slurm": slurm})
    return settings


def read_settings(path: Path) -> Settings:
    """Return what the file says.

    Raises:
        SettingsError: it can't be read, is not TOML, or holds an unknown key or a bad value.
    """
    try:
        return Settings.model_validate({**load_toml(path), "source": path})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(each) for each in first["loc"])
        raise SettingsError(f"{key}: {first['msg']}", where=str(path)) from error
