"""The host keys that are believed, and nothing else: a known_hosts file of ours, as OpenSSH writes it (sshd(8))."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from paramiko.hostkeys import HostKeyEntry, HostKeys, InvalidHostKey
from paramiko.pkey import PKey
from paramiko.ssh_exception import SSHException

from aistation_slurm.errors import SettingsError

SETUP = "`aistation node files --setup` says how to write it"


class KnownHosts:
    """Which key each host has. Names stand plain or hashed; patterns (`*`) and certificates are not looked at."""

    def __init__(self, entries: Iterator[tuple[str, PKey]], revoked: frozenset[bytes] = frozenset()) -> None:
        self._plain: dict[str, list[PKey]] = {}
        self._hashed: list[tuple[str, PKey]] = []
        self._revoked = revoked
        for name, key in entries:
            if name.startswith("|1|"):
                self._hashed.append((name, key))
            else:
                self._plain.setdefault(name, []).append(key)

    def keys_of(self, *names: str, port: int) -> list[PKey]:
        """Return the keys of the first of these names that has any; a port other than 22 is part of the name."""
        for name in names:
            wanted = name if port == 22 else f"[{name}]:{port}"
            found = [*self._plain.get(wanted, ()), *self._hashed_keys(wanted)]
            if found:
                return [key for key in found if key.asbytes() not in self._revoked]
        return []

    def _hashed_keys(self, name: str) -> Iterator[PKey]:
        for hashed, key in self._hashed:
            if HostKeys.hash_host(name, hashed) == hashed:
                yield key


def read_known_hosts(path: Path) -> KnownHosts:
    """Return the host keys that the file holds; lines that can't be read are passed over, as ssh does.

    Raises:
        SettingsError: there is no such file.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise SettingsError(f"the known hosts can't be read ({error.strerror})", where=str(path), hint=SETUP) from error
    revoked = (line.partition(" ")[2] for line in lines if line.startswith("@revoked "))
    plain = (line for line in lines if line.strip() and not line.startswith(("#", "@")))
    return KnownHosts(_entries(plain), frozenset(key.asbytes() for _, key in _entries(revoked)))


def _entries(lines: Iterator[str]) -> Iterator[tuple[str, PKey]]:
    for line in lines:
        try:
            entry = HostKeyEntry.from_line(line)
        except (InvalidHostKey, SSHException, ValueError):
            continue
        for name in entry.hostnames if entry else ():
            yield name, entry.key
