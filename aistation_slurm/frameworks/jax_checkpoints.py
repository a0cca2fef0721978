"""Checkpoints of a JAX training: any pytree of arrays, each process saving the shards that it has.

One file, Python 3.9 and newer: with `checkpoint.py` and `background.py` it can be copied into any image.

    with JaxCheckpoints(folder) as checkpoints:
        first, state = checkpoints.restore(state)
        for step in range(first, steps):
            state = train_step(state, batch_of(step))
            stop = checkpoints.stop_wanted()
            if stop or (step + 1) % 100 == 0:
                checkpoints.save(step + 1, state)
            if stop:
                checkpoints.say_unfinished()
                break

Every process calls every method, at the same step. The state that `restore` is given says how its arrays are to be laid
out; that may be another number of processes, or another mesh, than the one that saved.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, BinaryIO

import jax
import numpy as np
from jax.experimental import multihost_utils

try:
    from aistation_slurm.checkpoint import Checkpoint, CheckpointError, Checkpoints, Run, SaveSoon, Writer
    from aistation_slurm.frameworks.background import Saver
except ImportError:  # the files lie beside this one, as in an image of your own
    from background import Saver  # type: ignore[import-not-found,no-redef]
    from checkpoint import (  # type: ignore[import-not-found,no-redef]
        Checkpoint,
        CheckpointError,
        Checkpoints,
        Run,
        SaveSoon,
        Writer,
    )

Box = tuple[tuple[int, int], ...]
"""Where a shard lies in its array: (start, stop) of each dimension."""


class JaxCheckpoints:
    """The checkpoints of one training, as each of its processes holds them.

    Args:
        folder: shared by all nodes that may run this training.
        keep: how many of the newest checkpoints are kept.
        every: keeps the first checkpoint at or past each multiple of so many steps, for good.
        background: the arrays are copied to the host, and written while the training goes on.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        keep: int = 3,
        every: int | None = None,
        background: bool = False,
        run: Run | None = None,
    ) -> None:
        run = dataclasses.replace(run or Run.from_environment(), rank=jax.process_index())
        self.checkpoints = Checkpoints(folder, keep=keep, every=every, run=run)
        self.saver = Saver(self.checkpoints) if background else None
        self.soon = SaveSoon()

    def __enter__(self) -> JaxCheckpoints:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.saver:
            self.saver.__exit__(kind, error, at)
        if error is None:
            self.checkpoints.release()

    def restore(self, state: Any) -> tuple[int, Any]:
        """Take the folder over; return the newest whole checkpoint's step and state, or 0 and the given state.

        Raises:
            CheckpointError: another run holds the folder, it can't be used, or holds another kind of state.
        """
        start = self.checkpoints.follow() if self.checkpoints.run.rank else self.checkpoints.claim()
        return (start.step, load(start, state)) if start else (0, state)

    def save(self, step: int, state: Any) -> None:
        """Save the state after so many steps; in the background, where that was asked for.

        Raises:
            ReplacedError: a newer run holds the folder: this one must end.
            CheckpointError: it can't be written; the last checkpoint stands. In the background, by the next call.
        """
        if self.saver:
            self.saver.wait()  # before the copy: there is never more than one in memory
        arrays, index = _shards_here(state)
        part: Mapping[str, bytes | Writer] = {
            _name(jax.process_index(), "npz"): functools.partial(_save_arrays, arrays),
            _name(jax.process_index(), "json"): json.dumps(index).encode(),
        }
        ranks = jax.process_count()
        if self.saver:
            self.saver.save_part(step, part, ranks=ranks, frozen=True)
        else:
            self.checkpoints.save_part(step, part, ranks=ranks)

    def stop_wanted(self) -> bool:
        """True on every process once any of them was told to save and leave, as Slurm does before the time limit."""
        if jax.process_count() == 1:
            return self.soon.wanted
        return bool(np.any(multihost_utils.process_allgather(np.array(self.soon.wanted))))

    def say_unfinished(self) -> None:
        """Ask for the job to be started again, once what is being saved stands; call it as the training leaves."""
        self.soon.say_unfinished(self.saver)


def load(checkpoint: Checkpoint, state: Any) -> Any:
    """Return the checkpoint's state, laid out as the given one is.

    Raises:
        CheckpointError: it lacks an array, or has it in another shape.
    """
    saved = _Saved(checkpoint)
    leaves, structure = jax.tree_util.tree_flatten_with_path(state)
    return jax.tree_util.tree_unflatten(structure, [saved.leaf(_path(path), each) for path, each in leaves])


class _Saved:
    """The shards of all processes, read only as far as they are needed."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.folder = checkpoint.folder
        self.shards: dict[str, list[tuple[Box, str, str]]] = {}
        self.kinds: dict[str, tuple[tuple[int, ...], str]] = {}
        self.files: dict[str, Any] = {}
        for path in sorted(self.folder.glob("arrays-*.json")):
            for each in json.loads(path.read_bytes()):
                box = tuple((start, stop) for start, stop in each["box"])
                self.shards.setdefault(each["leaf"], []).append((box, path.with_suffix(".npz").name, each["key"]))
                self.kinds[each["leaf"]] = tuple(each["shape"]), each["dtype"]

    def leaf(self, path: str, like: Any) -> Any:
        """Return one leaf, as the kind of thing that `like` is."""
        if _is_key(like):
            data = self.leaf(path, jax.random.key_data(like))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(like))
        shape = self._shape(path, like)
        if isinstance(like, jax.Array):
            return jax.make_array_from_callback(shape, like.sharding, lambda index: self._read(path, index))
        found = self._read(path, tuple(slice(0, size) for size in shape))
        return found if isinstance(like, np.ndarray) else type(like)(found.item())

    def _shape(self, path: str, like: Any) -> tuple[int, ...]:
        wanted = np.shape(like), np.dtype(getattr(like, "dtype", type(like))).name
        if path not in self.kinds:
            raise CheckpointError(f"{self.folder}: it holds no array for {path}")
        if self.kinds[path] != wanted:
            raise CheckpointError(f"{self.folder}: {path} is {self.kinds[path]} there, and {wanted} in this training")
        return wanted[0]

    def _read(self, path: str, index: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        """Return one part of an array, put together from all shards that lie in it."""
        shape, dtype = self.kinds[path]
        wanted = _box(index, shape)
        array: np.ndarray[Any, Any] = np.empty([stop - start for start, stop in wanted], _dtype(dtype))
        for box, file, key in self.shards[path]:
            both = [(max(a, c), min(b, d)) for (a, b), (c, d) in zip(wanted, box)]  # noqa: B905
            if all(start < stop for start, stop in both):
                there = tuple(slice(s - a, e - a) for (s, e), (a, _) in zip(both, box))  # noqa: B905
                here = tuple(slice(s - a, e - a) for (s, e), (a, _) in zip(both, wanted))  # noqa: B905
                array[here] = self._shard(file, key, dtype, box)[there]
        return array

    def _shard(self, file: str, key: str, dtype: str, box: Box) -> np.ndarray[Any, Any]:
        if file not in self.files:
            self.files[file] = np.load(self.folder / file)
        flat: np.ndarray[Any, Any] = self.files[file][key].view(_dtype(dtype))
        return flat.reshape([stop - start for start, stop in box])


def _save_arrays(arrays: dict[str, np.ndarray[Any, Any]], file: BinaryIO) -> None:
    savez: Any = np.savez  # its own types take the names for options
    savez(file, **arrays)


def _shards_here(state: Any) -> tuple[dict[str, np.ndarray[Any, Any]], list[dict[str, object]]]:
    """Return this process's shards as bytes on the host, and what each of them is; no two processes save the same."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    index: list[dict[str, object]] = []
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        each = jax.random.key_data(leaf) if _is_key(leaf) else leaf
        for box, shard in _pieces(each):
            key = str(len(arrays))
            shape, dtype = list(np.shape(each)), shard.dtype.name
            arrays[key] = np.frombuffer(np.ascontiguousarray(shard).tobytes(), np.uint8)  # NumPy knows no bfloat16
            index.append({"leaf": _path(path), "key": key, "shape": shape, "dtype": dtype, "box": box})
    return arrays, index


def _pieces(each: Any) -> Iterator[tuple[Box, np.ndarray[Any, Any]]]:
    """Yield where each shard lies that this process is to save, and a copy of it."""
    if isinstance(each, jax.Array) and not each.is_fully_addressable:
        for shard in each.addressable_shards:
            if shard.replica_id == 0:
                yield _box(shard.index, each.shape), np.array(shard.data)
    elif jax.process_index() == 0:
        whole = np.array(each)
        yield tuple((0, size) for size in whole.shape), whole


def _box(index: tuple[slice, ...], shape: tuple[int, ...]) -> Box:
    return tuple(each.indices(size)[:2] for each, size in zip(index, shape))  # noqa: B905


def _path(path: Any) -> str:
    return str(jax.tree_util.keystr(path))


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _dtype(name: str) -> Any:
    return jax.numpy.dtype(name)


def _name(rank: int, kind: str) -> str:
    return f"arrays-{rank:05}.{kind}"
