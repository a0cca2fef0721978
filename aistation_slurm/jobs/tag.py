"""What a job of ours carries in Slurm's Comment, to know its submission again: `aistation:id=9f2c,resume=5`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

DEFAULT_RESUME = 5
"""How often `--auto-resume` lets a training be started again where it doesn't say."""
_TAG = re.compile(r"(?:^|\s)aistation:(?P<pairs>[A-Za-z0-9_.=,-]+)")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Tag:
    """What we remember with a job; it stands in its Comment, behind whatever the user has written there."""

    submission: str
    """The id of the submission: a retry has the same."""
    resume: int | None = None
    """How often it may be started again from its checkpoint, all in all; None where nobody asked for it."""

    def __str__(self) -> str:
        resume = "" if self.resume is None else f",resume={self.resume}"
        return f"aistation:id={self.submission}{resume}"


def new_submission() -> str:
    """Return an id that no other submission has."""
    return os.urandom(6).hex()


def is_submission(text: str) -> bool:
    """True where the text can be the id of a submission."""
    return bool(_ID.fullmatch(text))


def read_tag(comment: str) -> Tag | None:
    """Return the tag in a job's Comment; None where it has none, or one that we can't read."""
    match = _TAG.search(comment)
    if not match:
        return None
    pairs = dict(pair.partition("=")[::2] for pair in match["pairs"].split(","))
    if not is_submission(pairs.get("id", "")):
        return None
    resume = pairs.get("resume", "")
    return Tag(pairs["id"], int(resume) if resume.isdecimal() else None)


def with_tag(comment: str, tag: Tag) -> str:
    """Return the comment with this tag in place of any other."""
    kept = _TAG.sub("", comment).strip()
    return f"{kept} {tag}" if kept else str(tag)
