"""One slurmrestd, asked by the newest version of its API that both sides know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlencode

from aistation_slurm.errors import SettingsError, SlurmUnreadable
from aistation_slurm.slurm.readers.rest.reply import Reply, read_reply
from aistation_slurm.slurm.readers.rest.transport import Deadline, UnixTransport, shown

Api = Literal["slurm", "slurmdb"]
Query = Sequence[tuple[str, str]]
"""A key that stands twice has two values: `step=6&step=14`."""
KNOWN = (38, 40, 41, 42, 43, 44, 45)
"""Each `x` of the `v0.0.x` that we read, 22.05 to 26.05; 23.02 has its v0.0.38 beside the odd v0.0.39."""


@dataclass(frozen=True, slots=True)
class Login:
    """A user and their token (JWT), for a slurmrestd with `-a rest_auth/jwt`; no message and no repr shows it."""

    user: str
    token: str = field(repr=False)

    def headers(self) -> dict[str, str]:
        """Return what slurmrestd reads it from.

        Raises:
            SettingsError: it holds a character that no header can hold.
        """
        for what, value in (("user", self.user), ("token", self.token)):
            if not value or not (value.isascii() and value.isprintable()):
                raise SettingsError(f"the {what} for slurmrestd is empty or holds a character that none has")
        return {"X-SLURM-USER-NAME": self.user, "X-SLURM-USER-TOKEN": self.token}


@dataclass(frozen=True, slots=True)
class Spoken:
    """What was agreed with a slurmrestd."""

    version: int
    """The `x` of `v0.0.x`."""
    release: str
    """`24.11.5`."""


class RestClient:
    """Asks one slurmrestd; safe for many threads, each question has a connection of its own."""

    def __init__(self, path: Path, *, login: Login | None = None) -> None:
        self._transport = UnixTransport(path, headers=login.headers() if login else None)
        self._by_token = login is not None
        self._spoken: Spoken | None = None

    def spoken(self, until: Deadline) -> Spoken:
        """Return what is spoken with this slurmrestd; asked once, and anew after it became another one.

        Raises:
            SlurmUnreachable: nobody answered in time.
            SlurmUnreadable: it knows no version that we read.
            NotPermitted: it does not know us.
        """
        spoken = self._spoken or self._newest(until)
        self._spoken = spoken
        return spoken

    def ask(self, api: Api, noun: str, query: Query = (), *, until: Deadline) -> Reply:
        """Return what slurmrestd answers to `GET /slurm/v0.0.x/noun`, be it that it refuses.

        Raises:
            SlurmUnreachable: it did not answer in time.
            SlurmUnreadable: it answered half, too much, or no JSON.
        """
        reply = self._ask(api, noun, query, until)
        if reply.is_elsewhere:
            self._spoken = None
            reply = self._ask(api, noun, query, until)
        spoken = self._spoken
        if spoken and reply.release not in {"", spoken.release}:
            self._spoken = None  # started anew as another release, which may know a newer version
        return reply

    def _ask(self, api: Api, noun: str, query: Query, until: Deadline) -> Reply:
        version = self.spoken(until).version
        asked = f"?{urlencode(query, quote_via=quote)}" if query else ""
        return self._get(f"/{api}/v0.0.{version}/{noun}{asked}", until)

    def _newest(self, until: Deadline) -> Spoken:
        """Return the newest version that is there, be it that slurmctld is away and its ping an error."""
        for version in sorted(KNOWN, reverse=True):
            reply = self._get(f"/slurm/v0.0.{version}/ping", until)
            if not reply.is_elsewhere:
                return Spoken(version, reply.release or _raise_for(reply))
        known = f"v0.0.{min(KNOWN)} to v0.0.{max(KNOWN)}"
        raise SlurmUnreadable(f"it knows no version of its API from {known}", where="slurmrestd")

    def _get(self, target: str, until: Deadline) -> Reply:
        return read_reply(self._transport.get(target, until=until), shown(target), by_token=self._by_token)


def _raise_for(reply: Reply) -> str:
    reply.whole()
    raise SlurmUnreadable("an answer that tells no release of Slurm", where=reply.where)
