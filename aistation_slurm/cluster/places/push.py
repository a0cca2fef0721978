"""Two phases over many hosts: staged everywhere, then switched everywhere; one that fails, and nothing has changed."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from aistation_slurm.cluster.places.base import Files, Host, Hosts, Seen, digest, encoded, folded
from aistation_slurm.cluster.places.ssh import Answer, Asker
from aistation_slurm.errors import HostsDiffer, HostUnreachable, PlaceError
from aistation_slurm.node.folder import NAMES

GIVE_UP_AFTER = 64
"""So many hosts that fail are enough to know: the others are not asked any more."""
LINES = 20
_HINT = (
    "mend them, or let Slurm know that they are down (`scontrol update node=... state=down`): then they are left out"
)


@dataclass(slots=True)
class Outcome:
    """What came of asking many hosts the same thing."""

    answers: dict[Host, Answer] = field(default_factory=dict)
    refused: dict[Host, str] = field(default_factory=dict)
    """Asked, and refused, or the answer was lost: it may have been done."""
    unreached: dict[Host, str] = field(default_factory=dict)
    """Not asked at all."""

    @property
    def failed(self) -> dict[str, str]:
        """Host -> why, of all that did not do it."""
        return {host.name: why for host, why in sorted([*self.refused.items(), *self.unreached.items()])}

    @property
    def touched(self) -> list[Host]:
        """The hosts that did it, or may have."""
        return [*self.answers, *self.refused]


class Push:
    """Slurm's files on hosts that are asked one by one, many at a time."""

    name = "ssh"

    def __init__(self, asker: Asker, hosts: Hosts, *, at_once: int = 32, names: Iterable[str] = ()) -> None:
        self._asker, self._hosts, self._at_once = asker, hosts, at_once
        self._names = NAMES | set(names)
        self._staged, self._switched = "", ""
        self._touched: Sequence[Host] = hosts.up
        """Who may hold the new files since the last switch."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that it brings files to."""
        return tuple(host.name for host in self._hosts.up)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Hosts that should have the files too, and are down."""
        return self._hosts.left_out

    def cannot_carry(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return which of the names a node does not take, each as a sentence of why."""
        why = "nodes don't take it; add it to [nodes] names, and to the nodes' line (aistation node files --setup)"
        return tuple(f"{name}: {why}" for name in names if name not in self._names)

    def look(self, names: Iterable[str]) -> Seen:
        """Return what the hosts hold now."""
        seen = self._ask(self._hosts.up, {"verb": "look", "names": list(names)})
        states = {host.name: str(answer.get("state", "")) for host, answer in seen.answers.items()}
        return Seen(
            {host.name: _digests(answer) for host, answer in sorted(seen.answers.items())},
            seen.failed,
            {name: _UNFINISHED[state] for name, state in sorted(states.items()) if state in _UNFINISHED},
        )

    def stage(self, files: Files) -> None:
        """Let every host hold the new files beside the old ones."""
        self._staged, self._switched = secrets.token_hex(8), ""
        contents = {name: None if text is None else encoded(text) for name, text in files.items()}
        entries = [_entry(name, content, files[name]) for name, content in contents.items()]
        body = b"".join(content for content in contents.values() if content is not None)
        request = {"verb": "stage", "push": self._staged, "files": entries}
        try:
            outcome = self._ask(self._hosts.up, request, body) if files else Outcome()
            if outcome.failed:
                raise _nothing_changed("could not take the new files", outcome.failed)
        except BaseException:  # Ctrl-C too
            self.drop()
            raise

    def switch(self) -> None:
        """Put what was staged in force on every host; staged nothing, it does nothing."""
        if not self._staged:
            return
        self._staged, self._switched, self._touched = "", self._staged, self._hosts.up
        try:
            outcome = self._ask(self._hosts.up, {"verb": "switch", "push": self._switched})
            if outcome.failed:
                self._touched = outcome.touched
                raise _nothing_changed("could not put them in force", outcome.failed)
        except BaseException:
            self.back()
            raise

    def back(self) -> None:
        """Put the files from before the last `switch` in force again; after none, it does nothing."""
        if not self._switched:
            return
        push, self._switched = self._switched, ""
        outcome = self._ask(self._touched, {"verb": "back", "push": push}, enough=len(self._hosts.up))
        if outcome.failed:
            text = f"{_hosts(outcome.failed)} could not be switched back and may hold the new files"
            hint = "\n".join([*_lines(outcome.failed), "the next apply brings all of them together"])
            raise HostsDiffer(text, hint=hint, failed=outcome.failed)

    def drop(self) -> None:
        """Take away what was staged and not switched; a host that can't be asked does so at the next push."""
        if self._staged:
            push, self._staged = self._staged, ""
            self._ask(self._hosts.up, {"verb": "drop", "push": push})

    def restart(self) -> None:
        """Let every host restart its slurmd, each by the command that its own side of the key names.

        Raises:
            PlaceError: some host could not; the others did.
        """
        outcome = self._ask(self._hosts.up, {"verb": "restart"})
        if outcome.failed:
            text = f"{_hosts(outcome.failed)} did not restart slurmd"
            raise PlaceError(text, hint="\n".join(_lines(outcome.failed)), failed=outcome.failed)

    def _ask(
        self, hosts: Sequence[Host], request: Mapping[str, object], body: bytes = b"", *, enough: int = GIVE_UP_AFTER
    ) -> Outcome:
        outcome, failed = Outcome(), list[Host]()

        def one(host: Host) -> Answer:
            if len(failed) >= enough:
                raise HostUnreachable("not asked any more, since so many failed")
            try:
                return self._asker.ask(host, request, body)
            except PlaceError:
                failed.append(host)
                raise

        with ThreadPoolExecutor(max(1, min(self._at_once, len(hosts))), thread_name_prefix="push") as pool:
            asked = {pool.submit(one, host): host for host in hosts}
            try:
                for each in as_completed(asked):
                    _note(outcome, asked[each], each)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        return outcome


_UNFINISHED = {
    "staged": "holds files that were never put in force; the next apply drops them",
    "switching": "was cut off between old files and new ones; the next apply mends it",
}


def _note(outcome: Outcome, host: Host, future: Future[Answer]) -> None:
    try:
        outcome.answers[host] = future.result()
    except HostUnreachable as error:
        outcome.unreached[host] = str(error)
    except PlaceError as error:
        outcome.refused[host] = str(error)


def _entry(name: str, content: bytes | None, text: str | None) -> dict[str, object]:
    return {"name": name} if content is None else {"name": name, "size": len(content), "sha256": digest(text)}


def _digests(answer: Answer) -> dict[str, str | None]:
    files = answer.get("files")
    return {str(name): each and str(each) for name, each in files.items()} if isinstance(files, Mapping) else {}


def _nothing_changed(what: str, failed: Mapping[str, str]) -> PlaceError:
    return PlaceError(
        f"{_hosts(failed)} {what}; nothing was changed", hint="\n".join([*_lines(failed), _HINT]), failed=failed
    )


def _hosts(failed: Mapping[str, str]) -> str:
    return "1 host" if len(failed) == 1 else f"{len(failed)} hosts"


def _lines(failed: Mapping[str, str]) -> list[str]:
    lines = folded(failed)
    return lines if len(lines) <= LINES else [*lines[:LINES], f"... and {len(lines) - LINES} lines more"]
