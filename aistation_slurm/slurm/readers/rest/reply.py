"""What slurmrestd answered, and which of our errors a bad answer is."""

from __future__ import annotations

import json
from dataclasses import dataclass

from aistation_slurm.errors import NotPermitted, SlurmError, SlurmUnreachable, SlurmUnreadable
from aistation_slurm.slurm.readers.rest.transport import Answer
from aistation_slurm.slurm.readers.rest.values import Record, records
from aistation_slurm.slurm.refusals import refusal
from aistation_slurm.slurm.runner import Completed

_NOT_MODIFIED, _UNAUTHORIZED, _NOT_FOUND = 304, 401, 404
# slurm_errno.h: SLURM_NO_CHANGE_IN_DATA, ESLURM_REST_EMPTY_RESULT, SLURM_ERROR.
_NO_CHANGE, _EMPTY, _UNSPECIFIED = 1900, 9003, -1
_AWAY = "is slurmctld alive, and slurmdbd? slurmrestd does not say why it failed, its log does"
_LOGIN = "slurmrestd takes root and its own user on its socket, others by a token (rest_auth/jwt, SLURM_JWT=daemon)"
_NOT_TAKEN = "the token is another user's, too old, or not of this cluster: `scontrol token username=...` makes one"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with what it was asked; `said` is empty where it is no JSON."""

    where: str
    status: int
    said: Record
    is_json: bool = True
    by_token: bool = False
    """True where it was asked with a token."""

    @property
    def is_unchanged(self) -> bool:
        """True where nothing is new since the `update_time` that was asked with."""
        return self.status == _NOT_MODIFIED

    @property
    def is_partly_unchanged(self) -> bool:
        """True where a part is new, and slurmrestd takes the other part's "no change" for an error.

        It asks for partitions with the same `update_time` as for nodes, and answers 500; v0.0.38 does not say why, so
        that it may be another failure too.
        """
        return _NO_CHANGE in self._numbers or self._numbers == {_UNSPECIFIED}

    @property
    def is_empty(self) -> bool:
        """True where nothing was found, which v0.0.38 takes for an error."""
        return self._numbers == {_EMPTY}

    @property
    def is_elsewhere(self) -> bool:
        """True where this slurmrestd has no such address: another version of its API than before."""
        return self.status == _NOT_FOUND and not self.is_json

    @property
    def release(self) -> str:
        """`24.11.5`; nothing where the answer tells none."""
        meta = self.said.get("meta")
        slurm = (meta.get("slurm") or meta.get("Slurm")) if isinstance(meta, dict) else None
        return str(slurm.get("release", "")) if isinstance(slurm, dict) else ""

    def whole(self) -> Record:
        """Return what was said.

        Raises:
            SlurmUnreachable: slurmrestd could not ask the daemon.
            SlurmUnreadable: no JSON.
            SlurmRefused: it refused, and said why.
        """
        if self.status == _UNAUTHORIZED:
            raise NotPermitted("slurmrestd does not know us", where=self.where, hint=_LOGIN)
        if not self.is_json:
            raise SlurmUnreadable(f"no JSON, and HTTP status {self.status}", where=self.where)
        if self._errors or self.status >= 400:
            raise self._refusal()
        return self.said

    @property
    def _errors(self) -> list[Record]:
        return records(self.said.get("errors") or [])

    @property
    def _numbers(self) -> set[int]:
        numbers = (each.get("error_number", each.get("errno")) for each in self._errors)
        return {number for number in numbers if isinstance(number, int)}

    def _refusal(self) -> SlurmError:
        said = "; ".join(dict.fromkeys(filter(None, map(_complaint, self._errors))))
        if self._numbers == {_UNSPECIFIED}:  # slurmrestd forgot why it failed: on 22.05 always
            return SlurmUnreachable(said or "did not say why", where=self.where, hint=_AWAY)
        said = said or f"HTTP status {self.status}, and did not say why"
        if self.by_token and "authentication" in said.lower():  # slurmrestd takes any token, the daemons do not
            return NotPermitted(said, where=self.where, hint=_NOT_TAKEN)
        error = refusal(("GET",), Completed(1, "", said))
        return type(error)(error.text, where=self.where, hint=error.hint)


def read_reply(answer: Answer, where: str, *, by_token: bool = False) -> Reply:
    """Return the answer read; control characters and odd bytes in somebody's text are borne.

    Raises:
        SlurmUnreadable: it says that it is JSON, and is none.
    """
    if answer.status == _NOT_MODIFIED or answer.content_type != "application/json":
        return Reply(where, answer.status, {}, is_json=False, by_token=by_token)
    try:
        said = json.loads(answer.body.decode(errors="replace"), strict=False)
    except (ValueError, RecursionError) as error:
        raise SlurmUnreadable(f"no JSON: {error!s:.120}", where=where) from error
    if not isinstance(said, dict):
        raise SlurmUnreadable("no JSON object", where=where)
    return Reply(where, answer.status, said, by_token=by_token)


def _complaint(error: Record) -> str:
    parts = (error.get("error"), error.get("description"))
    return ": ".join(dict.fromkeys(str(part) for part in parts if part))
