"""What the key of `aistation cluster apply` may do on this node, and all it may: speak this protocol.

sshd starts it as the key's forced command. On stdin comes one request, a line of JSON and then as many bytes as it
announces; on stdout goes one line of JSON, and that is all:

    {"verb": "stage", "push": "5f...", "files": [{"name": "gres.conf", "size": 120, "sha256": "9c..."}]}
    {"ok": true, "version": 1}

The verbs are `look`, `stage`, `switch`, `back`, `drop` and, where this node's own command line names a command for it,
`restart`. Nothing that comes is run, or becomes part of a path; SSH_ORIGINAL_COMMAND is not looked at. Standard library
only, as all of this room.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from aistation_slurm.errors import PlaceError, UsageError
from aistation_slurm.node.folder import NAMES, PLAIN, Folder
from aistation_slurm.node.handle import MAX_FILE

VERSION = 1
MAX_LINE = 64 * 1024
MAX_FILES = 64
MAX_TOTAL = 64 * 1024 * 1024
LIMIT = 120
"""Seconds after which a process that hears nothing, or can't go on, is ended: it may be at any step."""
RESTART_LIMIT = 60.0
_DIGEST = re.compile(r"[0-9a-f]{64}")

Request = dict[str, Any]
Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Node:
    """What this node allows: the folder, the files in it, and how its slurmd is restarted, if it may be."""

    folder: Path
    names: frozenset[str] = NAMES
    restart: tuple[str, ...] = ()


def serve(node: Node, incoming: BinaryIO, outgoing: BinaryIO) -> int:
    """Answer the one request; return 0 where it was carried out, 1 where it was refused or none."""
    try:
        request = read_request(incoming)
        answer: Answer = {"ok": True, "version": VERSION, **VERBS[request["verb"]](node, request, incoming)}
    except PlaceError as error:
        answer = {"ok": False, "version": VERSION, "error": str(error)}
    with suppress(BrokenPipeError):  # whoever asked is gone; what was done stays done
        outgoing.write(json.dumps(answer).encode() + b"\n")
        outgoing.flush()
    return 0 if answer["ok"] else 1


def read_request(incoming: BinaryIO) -> Request:
    """Return the request, its verb one of ours; the bytes that it announces are still to be read.

    Raises:
        PlaceError: what came is none.
    """
    line = incoming.readline(MAX_LINE + 1)
    if not line.endswith(b"\n"):
        raise PlaceError("a request that does not end, or is too long")
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise PlaceError("no request: it is not JSON") from error
    verb = request.get("verb") if isinstance(request, dict) else None
    if not isinstance(verb, str) or verb not in VERBS:
        raise PlaceError(f"no request: its verb is none of {', '.join(VERBS)}")
    found: Request = request
    return found


def _look(node: Node, request: Request, _: BinaryIO) -> Answer:
    names = request.get("names")
    if not isinstance(names, list) or len(names) > MAX_FILES or not all(isinstance(each, str) for each in names):
        raise PlaceError("no list of names")
    with Folder(node.folder, names=node.names) as folder:
        return {"files": folder.look(names), "state": folder.state}


def _stage(node: Node, request: Request, incoming: BinaryIO) -> Answer:
    files = list(_files(request, incoming))
    with Folder(node.folder, names=node.names) as folder:
        folder.stage(_push(request), files)
    return {}


def _switch(node: Node, request: Request, _: BinaryIO) -> Answer:
    with Folder(node.folder, names=node.names) as folder:
        folder.switch(_push(request))
    return {}


def _back(node: Node, request: Request, _: BinaryIO) -> Answer:
    with Folder(node.folder, names=node.names) as folder:
        folder.back(_push(request))
    return {}


def _drop(node: Node, request: Request, _: BinaryIO) -> Answer:
    with Folder(node.folder, names=node.names) as folder:
        folder.drop(_push(request))
    return {}


def _restart(node: Node, request: Request, _: BinaryIO) -> Answer:
    """Run the one command that this node's own command line names for it; the request adds nothing to it."""
    if not node.restart:
        raise PlaceError("this key may not restart slurmd here (--restart-with)")
    try:
        done = subprocess.run(node.restart, capture_output=True, timeout=RESTART_LIMIT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PlaceError(f"{node.restart[0]}: {getattr(error, 'strerror', None) or 'did not end'}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise PlaceError(f"{node.restart[0]}: exit code {done.returncode}: {' '.join(said[-1:])[:300]}")
    return {}


VERBS: dict[str, Callable[[Node, Request, BinaryIO], Answer]] = {
    "look": _look,
    "stage": _stage,
    "switch": _switch,
    "back": _back,
    "drop": _drop,
    "restart": _restart,
}


def _files(request: Request, incoming: BinaryIO) -> Iterator[tuple[str, bytes | None]]:
    """Yield (name, content) of each file that the request announces; None where it is to be taken away."""
    listed = request.get("files")
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_FILES:
        raise PlaceError("no list of files")
    entries = [_entry(each) for each in listed]
    if len({name for name, _, _ in entries}) < len(entries) or sum(size or 0 for _, size, _ in entries) > MAX_TOTAL:
        raise PlaceError(f"a file twice, or more than {MAX_TOTAL} bytes in all")
    for name, size, digest in entries:
        content = None if size is None else incoming.read(size)
        if content is not None and (len(content) != size or sha256(content).hexdigest() != digest):
            raise PlaceError(f"{name[:80]!r}: what came is not what was announced; did the connection break off?")
        yield name, content


def _entry(entry: object) -> tuple[str, int | None, str]:
    found = entry if isinstance(entry, dict) else {}
    name, size, digest = found.get("name"), found.get("size"), found.get("sha256")
    if not isinstance(name, str):
        raise PlaceError("a file without a name")
    if size is None and digest is None:
        return name, None, ""
    if type(size) is not int or not 0 <= size <= MAX_FILE:
        raise PlaceError(f"{name[:80]!r}: no size, or over {MAX_FILE} bytes")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise PlaceError(f"{name[:80]!r}: no SHA-256")
    return name, size, digest


def _push(request: Request) -> str:
    push = request.get("push")
    if not isinstance(push, str):
        raise PlaceError("no id of a push")
    return push


def main(argv: Sequence[str]) -> int:
    """Serve one request with `FOLDER RESTART NAME...`: what `aistation node files` becomes, to be small and quick.

    Raises:
        UsageError: a name that can't be pushed.
    """
    folder, restart, *names = argv
    if bad := [each for each in names if not PLAIN.fullmatch(each)]:
        raise UsageError(f"{bad[0]!r} is no plain name of a file")
    node = Node(Path(folder), NAMES | set(names), tuple(shlex.split(restart)))
    signal.alarm(LIMIT)
    return serve(node, sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
