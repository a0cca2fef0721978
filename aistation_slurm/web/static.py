"""The files that a browser gets as they are: read once at the start, so that no path can lead out of the folder."""

from __future__ import annotations

import gzip
import mimetypes
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

_TYPES = {".woff2": "font/woff2", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_SERVED = frozenset(_TYPES)


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file, ready to be sent."""

    content: bytes
    packed: bytes | None
    media_type: str
    version: str
    """The beginning of its SHA-256; stands in its address, so that browsers may keep it for ever."""


def read_static(folder: Path) -> dict[str, StaticFile]:
    """Return what the page may ask for, by its path below `folder`; licences and lists stay at home."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in _SERVED)
    return {path.relative_to(folder).as_posix(): _read(path) for path in paths}


def _read(path: Path) -> StaticFile:
    content = path.read_bytes()
    packed = gzip.compress(content, 6, mtime=0) if path.suffix != ".woff2" else None
    media_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return StaticFile(content, packed, media_type, sha256(content).hexdigest()[:12])
