"""One host asked by ssh: known by its key, let in by a key that can run one command there, a limit on everything."""

from __future__ import annotations

import json
import logging
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import paramiko

from aistation_slurm.cluster.places.base import Host
from aistation_slurm.cluster.places.known import SETUP, KnownHosts
from aistation_slurm.errors import HostUnreachable, PlaceError, SettingsError
from aistation_slurm.node.files import MAX_LINE, VERSION
from aistation_slurm.settings import NodesSettings

COMMAND = "aistation node files"
"""What we ask for; sshd runs the key's forced command instead, whatever it is."""
Answer = Mapping[str, Any]

logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # what goes wrong is said once, by us


class Asker(Protocol):
    """Asks one host one thing."""

    def ask(self, host: Host, request: Mapping[str, object], body: bytes = b"") -> Answer:
        """Return the host's answer.

        Raises:
            HostUnreachable: it was not asked: it does not answer, is not known, or does not let us in.
            PlaceError: it was asked, and refused, or did not answer as it should.
        """
        ...


class Ssh:
    """Asks by ssh. Used by many threads at once; each question is a connection of its own."""

    def __init__(self, settings: NodesSettings, known: KnownHosts, key: paramiko.PKey) -> None:
        self._settings, self._known, self._key = settings, known, key

    def ask(self, host: Host, request: Mapping[str, object], body: bytes = b"") -> Answer:
        """Return the host's answer."""
        give_up = time.monotonic() + self._settings.timeout
        with self._let_in(host) as transport:
            try:
                return _exchange(transport, json.dumps(request).encode() + b"\n" + body, give_up)
            except TimeoutError:
                raise PlaceError(f"no answer within {self._settings.timeout:g} s") from None
            except (OSError, EOFError, paramiko.SSHException) as error:
                raise PlaceError(f"the connection broke off ({error or type(error).__name__})") from error

    @contextmanager
    def _let_in(self, host: Host) -> Iterator[paramiko.Transport]:
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        try:
            yield self._connect(client, host)
        finally:
            client.close()

    def _connect(self, client: paramiko.SSHClient, host: Host) -> paramiko.Transport:
        port, limit = self._settings.port, self._settings.connect_timeout
        for key in self._known_keys(host):
            client.get_host_keys().add(host.name if port == 22 else f"[{host.name}]:{port}", key.get_name(), key)
        try:
            client.connect(
                host.name,
                port,
                self._settings.user,
                pkey=self._key,
                sock=socket.create_connection((host.address, port), limit),
                timeout=limit,
                banner_timeout=limit,
                auth_timeout=limit,
                channel_timeout=limit,
                allow_agent=False,
                look_for_keys=False,
            )
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise HostUnreachable(self._why(error)) from error
        transport = client.get_transport()
        if transport is None:
            raise HostUnreachable("the connection broke off")
        return transport

    def _known_keys(self, host: Host) -> list[paramiko.PKey]:
        keys = self._known.keys_of(host.name, host.address, port=self._settings.port)
        if not keys:
            raise HostUnreachable(f"its host key is not in {self._settings.known_hosts}; it was not let near")
        return keys

    def _why(self, error: Exception) -> str:
        match error:
            case paramiko.BadHostKeyException():
                return f"it shows another host key than the one in {self._settings.known_hosts}; nothing was sent"
            case paramiko.AuthenticationException():
                return f"it does not let {self._settings.user} in with the key {self._settings.key}"
            case TimeoutError():
                return f"it does not answer within {self._settings.connect_timeout:g} s"
            case socket.gaierror():
                return "no address is known for it"
            case OSError():
                return f"it can't be reached ({error.strerror or error})"
            case _:
                return f"no ssh connection came about ({str(error).strip() or type(error).__name__})"


def open_ssh(settings: NodesSettings, known: KnownHosts) -> Ssh:
    """Return what asks hosts by ssh; connects to nobody yet.

    Raises:
        SettingsError: the private key is missing, encrypted, or readable by others.
    """
    return Ssh(settings, known, _private_key(settings.key))


def _private_key(path: Path) -> paramiko.PKey:
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SettingsError("others can read this private key", where=str(path), hint=f"chmod 600 {path}")
        return paramiko.PKey.from_path(path)
    except OSError as error:
        raise SettingsError(f"the key can't be read ({error.strerror})", where=str(path), hint=SETUP) from error
    except (paramiko.PasswordRequiredException, TypeError) as error:  # cryptography's own word for it, by paramiko 5
        hint = "apply asks nobody: make one without (`aistation node files --setup`)"
        raise SettingsError("the key has a passphrase", where=str(path), hint=hint) from error
    except (paramiko.SSHException, ValueError, paramiko.pkey.UnknownKeyType) as error:
        raise SettingsError(f"is no private key of ssh ({error})", where=str(path), hint=SETUP) from error


def _exchange(transport: paramiko.Transport, request: bytes, give_up: float) -> Answer:
    with transport.open_session(timeout=_left(give_up)) as channel:
        channel.settimeout(_left(give_up))
        channel.exec_command(COMMAND)
        with suppress(OSError):  # it may have said no before it heard all; its answer tells
            channel.sendall(request)
        channel.shutdown_write()
        return _read_answer(_line(channel, give_up), lambda: _last_words(channel))


def _line(channel: paramiko.Channel, give_up: float) -> bytes:
    heard = bytearray()
    while b"\n" not in heard and len(heard) <= MAX_LINE:
        channel.settimeout(_left(give_up))
        piece = channel.recv(4096)
        if not piece:
            break
        heard += piece
    return bytes(heard.partition(b"\n")[0])


def _read_answer(line: bytes, last_words: Any) -> Answer:
    try:
        answer = json.loads(line)
        if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
            raise ValueError("no answer")
    except (ValueError, RecursionError):
        said = _printable(line) or last_words() or "nothing"
        raise PlaceError(f"its answer is none of `{COMMAND}`: {said}") from None
    if answer.get("version") != VERSION:
        raise PlaceError(f"its aistation speaks version {answer.get('version')!r:.20} of this, not {VERSION}")
    if not answer["ok"]:
        raise PlaceError(_printable(str(answer.get("error", "")).encode()) or "it refused, and does not say why")
    return answer


def _last_words(channel: paramiko.Channel) -> str:
    channel.settimeout(1)
    with suppress(OSError):
        return _printable(channel.recv_stderr(2000))
    return ""


def _printable(said: bytes) -> str:
    text = said.decode(errors="replace").strip()[:300]
    return "".join(each if each.isprintable() else " " for each in text)


def _left(give_up: float) -> float:
    left = give_up - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
