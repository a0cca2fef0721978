"""What a file system's quotas are made of: whose, how much, and the one line that a change says itself in."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

Kind = Literal["user", "group", "project"]
"""Whose quota: a Unix user's, a Unix group's, or a project's, which is a folder with all below it."""
KINDS: tuple[Kind, ...] = ("user", "group", "project")

_UNITS = (("P", 1024**5), ("T", 1024**4), ("G", 1024**3), ("M", 1024**2), ("K", 1024))


def write_size(size: int) -> str:
    """Return bytes in the largest whole unit: `500G`, `1536M`, `100` where it is no whole KiB."""
    return next((f"{size // unit}{name}" for name, unit in _UNITS if size and size % unit == 0), str(size))


def show_size(size: int) -> str:
    """Return bytes as a person reads them, `311.2G`; rounded, unlike `write_size`."""
    name, unit = next(((name, unit) for name, unit in _UNITS if size >= unit), ("", 1))
    return f"{size / unit:.1f}".removesuffix(".0") + name


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much may be stored: bytes and files, hard and soft; 0 is no limit, as with all of these file systems."""

    space: int = 0
    files: int = 0
    soft_space: int = 0
    soft_files: int = 0

    def __bool__(self) -> bool:
        return bool(self.space or self.files or self.soft_space or self.soft_files)

    def with_hard(self, *, space: int | None, files: int | None) -> Limits:
        """Return these limits with other hard ones; None leaves one as it is.

        A soft limit that somebody set stays, but never above the hard one: that would mean nothing.
        """
        hard = replace(self, space=self.space if space is None else space, files=self.files if files is None else files)
        return replace(
            hard,
            soft_space=_at_most(hard.soft_space, hard.space),
            soft_files=_at_most(hard.soft_files, hard.files),
        )


def _at_most(soft: int, hard: int) -> int:
    return soft if not hard or soft <= hard else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one user, group or project has stored, and may."""

    id: int
    space: int = 0
    """Bytes."""
    files: int = 0
    limits: Limits = field(default=Limits())


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """Whose quota it is, by number, and the name that people know: of a user, or of a team."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Order:
    """A command that sets something, and what it is to read."""

    argv: tuple[str, ...]
    stdin: str = ""
    is_silent: bool = False
    """True where whatever it says on stderr is a refusal, even with the exit status 0."""
