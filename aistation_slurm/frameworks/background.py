"""Saving in the background: the training goes on while its checkpoint is written.

One file, standard library only, Python 3.9 and newer: it can be copied into an image beside `checkpoint.py`.

    with Saver(checkpoints) as saver:
        ...
        saver.save(step, lambda file: torch.save(state, file))
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import io
import logging
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal

try:
    from aistation_slurm.checkpoint import (
        PART_WITHIN,
        Checkpoints,
        Content,
        InFolder,
        Writer,
        files_below,
    )
except ImportError:  # the file lies beside this one, as in an image of your own
    from checkpoint import (  # type: ignore[import-not-found,no-redef]
        PART_WITHIN,
        Checkpoints,
        Content,
        InFolder,
        Writer,
        files_below,
    )

MEMORY = "/dev/shm"  # noqa: S108
_JUST_MADE = 60.0

log = logging.getLogger("aistation.checkpoint")


class Saver:
    """Saves in the background, one checkpoint at a time, while the training goes on; close it, or use it by `with`.

        with Saver(checkpoints) as saver:
            ...
            saver.save(step, lambda file: torch.save(state, file))

    The state is copied before `save` returns: a writer is called at once, into memory. Who has made a copy already says
    `frozen`, and the writer is called in the background. What goes wrong there is raised by the next call.

    Args:
        checkpoints: where to save; not to be used by anybody else meanwhile.
        if_busy: "wait" for the checkpoint that is being written, or "skip" the new one.
    """

    def __init__(self, checkpoints: Checkpoints, *, if_busy: Literal["wait", "skip"] = "wait") -> None:
        self.checkpoints = checkpoints
        self.if_busy = if_busy
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._memory: dict[str, _Memory] = {}

    def __enter__(self) -> Saver:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.close()
        except Exception as late:
            if error is None:
                raise
            log.error("%s", late)  # the training ends by an error of its own: that one is to be seen

    @property
    def is_busy(self) -> bool:
        """True while a checkpoint is being written."""
        return self._thread is not None and self._thread.is_alive()

    def save(self, step: int, content: Content, *, frozen: bool = False) -> bool:
        """Begin to save the state of this step; False where it was skipped. Raises what the last one failed of."""
        if self.if_busy == "skip" and self.is_busy:
            return False
        return self._begin(content, frozen, lambda copy: self.checkpoints.save(step, copy))

    def save_part(
        self, step: int, content: Content, *, ranks: int, within: float = PART_WITHIN, frozen: bool = False
    ) -> bool:
        """Begin to save this rank's part; it always waits, since ranks that skip apart would never meet."""
        save_part = self.checkpoints.save_part
        return self._begin(content, frozen, lambda copy: save_part(step, copy, ranks=ranks, within=within))

    def wait(self) -> None:
        """Return once nothing is being written; raises what the last save failed of."""
        if self._thread:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error:
            raise error

    def close(self) -> None:
        """Wait for the last checkpoint; raises what it failed of."""
        self.wait()

    def _begin(self, content: Content, frozen: bool, save: Callable[[Content], object]) -> bool:
        self.wait()  # before the copy: there is never more than one in memory
        copy = content if frozen else self._copied(content)

        def work() -> None:
            try:
                save(copy)
            except BaseException as error:  # it is raised on the training's own thread
                self._error = error

        self._thread = threading.Thread(target=work, name="checkpoint")  # not a daemon: Python's end waits for it
        self._thread.start()
        return True

    def _copied(self, content: Content) -> Content:
        """Return a copy that nobody changes any more."""
        if isinstance(content, InFolder):
            return _filled_in_memory(content)
        if isinstance(content, Mapping):
            return {name: self._copied_file(name, each) for name, each in content.items()}
        return self._copied_file("", content)

    def _copied_file(self, name: str, content: bytes | Writer) -> bytes | Writer:
        if not callable(content):
            return bytes(content)
        memory = self._memory.setdefault(name, _Memory())
        memory.begin()
        content(memory)
        return memory.write_to


class _Memory(io.BytesIO):
    """A file in memory that is written again and again: fresh memory for each save would take ten times as long."""

    end = 0

    def begin(self) -> None:
        """Forget what stands there, and keep the memory."""
        super().seek(0)
        self.end = 0

    def write_to(self, file: BinaryIO) -> None:
        """Write to the file what has been written here since `begin`."""
        with self.getbuffer() as whole, whole[: self.end] as written:
            file.write(written)

    def write(self, data: Any, /) -> int:
        """Write at the position, as any file."""
        count = super().write(data)
        self.end = max(self.end, self.tell())
        return count

    def writelines(self, lines: Iterable[Any], /) -> None:
        """Write one after the other."""
        for each in lines:
            self.write(each)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a position; the end is where the last `begin` and the writing since say it is."""
        return super().seek(*((self.end + offset, os.SEEK_SET) if whence == os.SEEK_END else (offset, whence)))

    def truncate(self, size: int | None = None, /) -> int:
        """Cut what is behind the position, or behind `size`."""
        self.end = min(self.end, self.tell() if size is None else size)
        return self.end


def _filled_in_memory(content: InFolder) -> InFolder:
    """Return content that brings what was written into a folder in memory just now."""
    memory = Path(tempfile.mkdtemp(dir=_place_in_memory()))
    filled = content.fill(memory)
    names = files_below(memory) if filled is None else list(filled)

    def bring(folder: Path) -> list[str]:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(memory / name, folder / name)
        return names

    weakref.finalize(bring, shutil.rmtree, memory, ignore_errors=True)
    return InFolder(bring)


@functools.cache
def _place_in_memory() -> Path:
    """Return this process's folder in memory; remove those that killed processes of this user have left there."""
    place = Path(MEMORY if os.path.isdir(MEMORY) else tempfile.gettempdir())
    mine = f"checkpoint-{os.geteuid()}-"
    for left in place.glob(f"{mine}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _JUST_MADE and _is_locked_by_me(left):
                shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=mine, dir=place))
    _is_locked_by_me(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _is_locked_by_me(folder: Path) -> bool:
    """Lock the folder until this process ends, however it does; False where another one has locked it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return False
    return True
