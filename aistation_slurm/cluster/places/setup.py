"""What an administrator does once so that files can be pushed by ssh: said, never done for them."""

from __future__ import annotations

import shlex
from pathlib import Path

from aistation_slurm.settings import Settings

_KEY = "ssh-ed25519 AAAA... (the key of step 1: run this again once it is there)"
# `restrict` takes away forwarding, terminals and rc files, with whatever a later OpenSSH adds to them (sshd(8)).
_RESTRICTED = "restrict"


def setup_lines(settings: Settings, *, program: Path, folder: Path, restart_with: str = "") -> list[str]:
    """Return the steps, in order, each with the very line to use.

    The host keys come by srun: slurmd and slurmctld know each other by MUNGE already, and nobody who only stands on the
    network can answer for a node. ssh-keyscan asks the network, so what it brings has to be compared by hand.
    """
    nodes = settings.nodes
    host_key = "/etc/ssh/ssh_host_ed25519_key.pub"
    name = "$(hostname -s)" if nodes.port == 22 else f"[$(hostname -s)]:{nodes.port}"
    ask = f"""'echo "{name} $(cut -d" " -f1,2 {host_key})"'"""
    return [
        "1. Here, as root: a key that only this may use.",
        f"   ssh-keygen -q -t ed25519 -N '' -C aistation -f {nodes.key}",
        f"2. On every node, in the authorized_keys of {nodes.user}: what the key may do there, and all it may.",
        f"   {authorized_line(settings, program=program, folder=folder, restart_with=restart_with)}",
        *_root_login(nodes.user),
        "3. Here: the nodes' host keys, by way of Slurm itself.",
        f"   srun -N NUMBER --ntasks-per-node=1 sh -c {ask} >> {nodes.known_hosts}",
        f"   For hosts without a slurmd: ssh-keyscan -t ed25519 HOST >> {nodes.known_hosts}, and compare what it says",
        f"   with `ssh-keygen -lf {host_key}` on the host itself.",
        f"4. In {settings.source or '/etc/aistation/aistation.toml'}:",
        '   [nodes]\n   files = "ssh"',
        "5. See that it works: aistation node files --check",
    ]


def authorized_line(settings: Settings, *, program: Path, folder: Path, restart_with: str = "") -> str:
    """Return the line for authorized_keys (sshd(8)): one command, whatever is asked for, and nothing beside it."""
    words = [str(program), "node", "files", "--folder", str(folder)]
    words += [word for name in settings.nodes.names for word in ("--name", name)]
    words += ["--restart-with", restart_with] if restart_with else []
    command = shlex.join(words).replace("\\", "\\\\").replace('"', '\\"')
    return f'{_RESTRICTED},command="{command}" {_public(settings.nodes.key)}'


def _public(key: Path) -> str:
    try:
        return key.with_name(f"{key.name}.pub").read_text(encoding="utf-8").strip()
    except OSError:
        return _KEY


def _root_login(user: str) -> list[str]:
    if user != "root":
        return []
    return ["   sshd_config there: `PermitRootLogin forced-commands-only` is enough for it."]
