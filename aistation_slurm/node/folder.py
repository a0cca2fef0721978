"""Slurm's files in one folder of this node: held ready beside the old ones, put in force, or put back.

Killed between any two steps it leaves the old files, the new ones, or a state that the next step finishes. The state
is in the name of one file, so that going on to the next is a rename, which needs no room on a full disk:

    .aistation-push.staged      .NAME.aistation-new stand ready; nothing else has changed
    .aistation-push.switching   .NAME.aistation-old stand ready too; each NAME is old or new
    .aistation-push.switched    each NAME is new
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from aistation_slurm.errors import PlaceError
from aistation_slurm.node.handle import Handle

NAMES = frozenset(
    {
        "slurm.conf",
        "aistation.conf",
        "gres.conf",
        "cgroup.conf",
        "topology.conf",
        "topology.yaml",
        "job_submit.lua",
        "cli_filter.lua",
        "aistation_fit.lua",
        "aistation_groups.lua",
        "aistation_policy.json",
        "aistation_policy.lua",
        "aistation_request.lua",
    }
)
"""The files that may be pushed; more only by name, where the node's own command line says so."""
State = Literal["", "staged", "switching", "switched"]
_STATES: tuple[State, ...] = ("switching", "staged", "switched")
_MARK = ".aistation-push."
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ID = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one push is about: its id, and name -> SHA-256 before and after, None of no file."""

    id: str
    old: Mapping[str, str | None]
    new: Mapping[str, str | None]

    def to_json(self) -> bytes:
        """Return it as it stands on disk."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Manifest:
        """Return what stands on disk.

        Raises:
            ValueError: it is none.
        """
        raw = json.loads(text)
        if not isinstance(raw, dict) or {type(raw.get(key)) for key in ("old", "new")} != {dict}:
            raise ValueError("no manifest")
        if set(raw["old"]) != set(raw["new"]):
            raise ValueError("not of the same files")
        return cls(str(raw.get("id")), raw["old"], raw["new"])


class Folder:
    """The folder that holds Slurm's files on this node.

    Raises `PlaceError` wherever a name may not be pushed, something else than a plain file stands in its place, or the
    disk says no.
    """

    def __init__(self, path: Path, *, names: Iterable[str] = NAMES, step: Callable[[str], object] = str) -> None:
        self._names = frozenset(names)
        self._files = Handle(path, step=step)

    def __enter__(self) -> Folder:
        """Open and lock the folder."""
        self._files.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._files.__exit__(None, None, None)

    @property
    def state(self) -> State:
        """How far the last push got."""
        return next((each for each in _STATES if self._files.stat(_MARK + each)), "")

    def look(self, names: Iterable[str]) -> dict[str, str | None]:
        """Return name -> SHA-256 of the files; None where there is none."""
        return {name: self._files.digest(name) for name in [self._allowed(each) for each in names]}

    def stage(self, push: str, files: Iterable[tuple[str, bytes | None]]) -> None:
        """Hold the files ready beside the old ones; None stands for one that is to be taken away.

        What an earlier push left half done is undone first. The manifest comes last: without it nothing is staged.
        """
        _check_id(push)
        contents = {self._allowed(name): content for name, content in files}
        self._settle()
        old = self.look(contents)
        new = {name: None if each is None else sha256(each).hexdigest() for name, each in contents.items()}
        for name, content in contents.items():
            if content is not None:
                self._files.write(_new(name), content, like=name)
        self._files.write(f"{_MARK}part", Manifest(push, old, new).to_json())
        self._files.rename(f"{_MARK}part", f"{_MARK}staged")
        self._files.sync()

    def switch(self, push: str) -> None:
        """Put what was staged under this id in force, the old files kept beside; done already, it does nothing."""
        state, manifest = self._of(push)
        if manifest is None:
            raise PlaceError("nothing is staged here under this push; has another one come between?")
        if state == "staged":
            self._keep_old(manifest)
            self._rename_state("staged", "switching")
        if state != "switched":
            for name, digest in manifest.new.items():
                self._put(name, digest)
            self._files.sync()
            self._rename_state("switching", "switched")

    def back(self, push: str) -> None:
        """Put the files from before this push in force again; where it changed nothing yet, drop it."""
        state, manifest = self._of(push)
        if manifest is not None and state != "staged":
            self._put_back(manifest)
        elif manifest is not None:
            self._drop()

    def drop(self, push: str) -> None:
        """Take away what is staged under this id; what is in force already stays."""
        state, manifest = self._of(push)
        if manifest is not None and state == "staged":
            self._drop()

    def _settle(self) -> None:
        """Undo what an earlier push left half done, and forget one that was done."""
        if self.state == "switching":
            self._put_back(self._manifest("switching"))
        self._drop()
        self._files.unlink(f"{_MARK}switched")

    def _of(self, push: str) -> tuple[State, Manifest | None]:
        _check_id(push)
        state = self.state
        manifest = self._manifest(state) if state else None
        return state, manifest if manifest and manifest.id == push else None

    def _manifest(self, state: State) -> Manifest:
        name = f"{_MARK}{state}"
        try:
            manifest = Manifest.from_json(self._files.read(name))
        except (ValueError, RecursionError) as error:
            raise PlaceError(f"{name} is damaged; look at the files beside it, and remove it") from error
        for each in manifest.new:
            self._allowed(each)
        return manifest

    def _keep_old(self, manifest: Manifest) -> None:
        """Give each old file its second name, once it is sure that nobody changed one since it was staged."""
        for name, digest in manifest.old.items():
            if self._files.digest(name) != digest:
                raise PlaceError(f"{name} was changed since the push began")
        for name, digest in manifest.old.items():
            self._files.unlink(_old(name))
            if digest is not None:
                self._files.link(name, _old(name))
        self._files.sync()

    def _put(self, name: str, digest: str | None) -> None:
        if digest is None:
            self._files.unlink(name)
        elif self._files.stat(_new(name)):  # else its turn has come already
            self._files.rename(_new(name), name)

    def _put_back(self, manifest: Manifest) -> None:
        for name, digest in manifest.old.items():
            if self._files.digest(name) not in {digest, manifest.new[name]}:
                raise PlaceError(f"{name} was changed by hand since the push, and is left as it is")
        for name, digest in manifest.old.items():
            if digest is None:
                self._files.unlink(name)
            elif self._files.digest(name) != digest:
                self._files.rename(_old(name), name)
        self._files.sync()
        for name in manifest.old:
            self._files.unlink(_old(name))
        for state in ("switching", "switched"):
            self._files.unlink(f"{_MARK}{state}")
        self._drop()

    def _drop(self) -> None:
        for mark in ("staged", "part"):
            self._files.unlink(f"{_MARK}{mark}")
        for name in sorted(self._names):
            self._files.unlink(_new(name))
        self._files.sync()

    def _rename_state(self, old: State, new: State) -> None:
        self._files.rename(f"{_MARK}{old}", f"{_MARK}{new}")
        self._files.sync()

    def _allowed(self, name: str) -> str:
        if name not in self._names or not PLAIN.fullmatch(name):
            raise PlaceError(f"{name[:80]!r} is none of the files that may be pushed")
        return name


def _check_id(push: str) -> None:
    if not _ID.fullmatch(push):
        raise PlaceError("no id of a push")


def _new(name: str) -> str:
    return f".{name}.aistation-new"


def _old(name: str) -> str:
    return f".{name}.aistation-old"
