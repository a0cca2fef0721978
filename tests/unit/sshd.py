"""Real sshd on loopback addresses, each with a host key and a folder of its own, to push Slurm's files to."""

import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from aistation_slurm.cluster.places import Host, Hosts, open_place
from aistation_slurm.settings import NodesSettings, Settings

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
NEEDS_SSHD = [
    pytest.mark.skipif(SSHD is None, reason="no sshd here (Debian: openssh-server)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="sshd needs root"),
]
OLD, NEW = "old gres\n", "new gres\n"
COUNT = 3
CONFIG = """\
Port {port}
ListenAddress {address}
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PermitRootLogin forced-commands-only
Subsystem sftp internal-sftp
"""
# How a host can be broken; the healthy one is the very command that the setup names.
MODES = {
    "hang": "exec sleep 15",
    "garbage": "printf '\\377\\376 Welcome to gpu-07!\\n'",
    "flood": "exec head -c 50000000 /dev/zero",
    "silent": "exit 0",
    "missing": "exec /usr/bin/no-such-aistation node files",
    "torn": "head -c 90 | {command}",
    "lost": "{command} > /dev/null",
}


@dataclass
class Sshd:
    """One host: its sshd, its host key, its folder."""

    name: str
    address: str
    root: Path
    port: int

    @property
    def conf(self):
        return self.root / "slurm"

    @property
    def host_key(self):
        return " ".join((self.root / "host_key.pub").read_text().split()[:2])

    def start(self):
        config = CONFIG.format(port=self.port, address=self.address, folder=self.root)
        (self.root / "sshd_config").write_text(config)
        subprocess.run([SSHD, "-f", self.root / "sshd_config", "-E", self.root / "log"], check=True, timeout=20)
        until(lambda: answers(self.address, self.port))

    def stop(self):
        pid = self.root / "sshd.pid"
        if pid.exists():
            os.kill(int(pid.read_text()), 15)
            until(lambda: not pid.exists())

    def held(self):
        return {path.name: path.read_text() for path in self.conf.iterdir() if not path.name.startswith(".")}


def until(true, within=30):
    give_up = time.monotonic() + within
    while not true():
        assert time.monotonic() < give_up, "it did not come about"
        time.sleep(0.02)


def answers(address, port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


def key_at(path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path], check=True, timeout=20)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Site:
    """The hosts of a test, and the settings to push to them."""

    def __init__(self, root):
        self.root, self.port = root, free_port()
        self.key, self.known = root / "key", root / "known_hosts"
        key_at(self.key)
        Path("/run/sshd").mkdir(exist_ok=True)
        self.hosts = [self._host(each) for each in range(1, COUNT + 1)]

    def _host(self, number):
        host = Sshd(f"gpu-{number}", f"127.0.0.{10 + number}", self.root / f"gpu-{number}", self.port)
        host.conf.mkdir(parents=True)
        key_at(host.root / "host_key")
        return host

    def calm(self):
        """Let every host be as it was at the start."""
        for host in self.hosts:
            shutil.rmtree(host.conf)
            host.conf.mkdir()
            (host.conf / "gres.conf").write_text(OLD)
            self.let(host, "")
        self.known.write_text("".join(f"[{host.name}]:{host.port} {host.host_key}\n" for host in self.hosts))

    def let(self, host, mode):
        """Let the host's end be broken in this way; in none by an empty word."""
        command = (
            f"{sys.executable} -P -m aistation_slurm.node.files {host.conf} ''"  # what `aistation node files` becomes
        )
        if mode:
            (host.root / "broken").write_text(f"#!/bin/sh\n{MODES[mode].format(command=command)}\n")
            (host.root / "broken").chmod(0o755)
            command = str(host.root / "broken")
        public = self.key.with_name("key.pub").read_text()
        (host.root / "authorized_keys").write_text(f'restrict,command="{command}" {public}')

    @property
    def settings(self):
        return Settings(nodes=self.nodes())

    def nodes(self, **more):
        usual = {"key": self.key, "known_hosts": self.known, "connect_timeout": 20, "timeout": 60}
        return NodesSettings(files="ssh", port=self.port, **{**usual, **more})

    def place(self, *, only=None, **more):
        hosts = [Host(each.name, each.address) for each in self.hosts if only is None or each.name in only]
        return open_place(Settings(nodes=self.nodes(**more)), Hosts(tuple(hosts)))

    def held(self):
        return [host.held() for host in self.hosts]
