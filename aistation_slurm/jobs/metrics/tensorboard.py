"""TensorBoard's event files: the framing of TFRecord, and of its messages the few fields that a scalar needs.

A record is its length (8 bytes, little endian), the masked CRC-32C of that, the data, and the data's masked CRC-32C.
The data is a protobuf message, Event: 1 wall_time (double), 2 step, 5 summary; a summary's 1 are values with 1 tag,
2 simple_value (float), 8 tensor (TensorFlow 2's scalars: 1 dtype, 4 tensor_content, 5 float_val, 6 double_val).
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from aistation_slurm.progress import Progress

_PATTERN = "events.out.tfevents."
_MOST_FILES, _MOST_FOLDERS, _DEPTH = 64, 200, 4
_MOST_BYTES = 1 << 26
"""Of one file; what is longer was not written by scalars."""
_TAIL = 1 << 16
_LONGEST_SCALAR = 4096
"""A record that is longer holds an image, a histogram or a graph, and is passed over unread."""
_HEAD = struct.Struct("<QI")
_CRC = struct.Struct("<I")
_FLOAT, _DOUBLE = 1, 2


@dataclass(frozen=True)
class Scalar:
    """One value of one tag."""

    tag: str
    step: int
    time: float
    value: float


def read_events(folder: Path) -> list[Progress]:
    """Return what the event files below the folder say, one report for each step, in the order of time."""
    return _by_step(scalar for path in event_files(folder) for scalar in read_scalars(path))


def last_in_events(folder: Path) -> Progress | None:
    """Return the newest step of the event files below the folder, with the last value of each tag; reads their ends."""
    scalars = sorted(
        (each for path in event_files(folder) for each in read_scalars(path, tail=_TAIL)), key=lambda each: each.time
    )
    if not scalars:
        return None
    return Progress(scalars[-1].step, None, scalars[-1].time, 0, {each.tag: each.value for each in scalars})


def event_files(folder: Path) -> list[Path]:
    """Return the newest event files in the folder or a few steps below; what can't be looked into is left out."""
    found: list[Path] = []
    for visited, (at, folders, names) in enumerate(os.walk(folder)):
        if visited >= _MOST_FOLDERS:
            break
        depth = len(Path(at).relative_to(folder).parts)
        folders[:] = [] if depth >= _DEPTH else sorted(name for name in folders if name != "checkpoints")
        found += [path for name in names if name.startswith(_PATTERN) and os.path.isfile(path := Path(at, name))]
    return sorted(found, key=lambda path: path.name)[-_MOST_FILES:]


def read_scalars(path: Path, *, tail: int | None = None) -> Iterator[Scalar]:
    """Yield the scalars of a file, or those that its last bytes hold; a broken or half record ends it."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if tail is not None and size > tail:
                _seek_record(file, size - tail)
            elif size > _MOST_BYTES:
                _seek_record(file, size - _MOST_BYTES)
            for data in _records(file):
                yield from _scalars(data)
    except (OSError, ValueError, struct.error, IndexError):
        return


def _records(file: BinaryIO) -> Iterator[bytes]:
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        length, crc = _HEAD.unpack(head)
        if _masked_crc(head[:8]) != crc:
            return
        if length > _LONGEST_SCALAR:
            file.seek(length + _CRC.size, os.SEEK_CUR)
            continue
        data, check = file.read(length), file.read(_CRC.size)
        if len(check) < _CRC.size or _CRC.unpack(check)[0] != _masked_crc(data):
            return
        yield data


def _seek_record(file: BinaryIO, start: int) -> None:
    """Go to the first record that begins at or behind `start`: where 8 bytes and their CRC agree."""
    file.seek(start)
    window = file.read(_TAIL)
    for offset in range(max(0, len(window) - _HEAD.size)):
        length, crc = _HEAD.unpack_from(window, offset)
        if length < 1 << 32 and _masked_crc(window[offset : offset + 8]) == crc:
            file.seek(start + offset)
            return
    file.seek(0, os.SEEK_END)


def _scalars(data: bytes) -> Iterator[Scalar]:
    time, step, summaries = 0.0, 0, []
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            (time,) = struct.unpack("<d", value)
        elif number == 2 and isinstance(value, int):
            step = value
        elif number == 5 and isinstance(value, bytes):
            summaries.append(value)
    for summary in summaries:
        for number, value in _fields(summary):
            if number == 1 and isinstance(value, bytes) and (found := _scalar(value, step, time)):
                yield found


def _scalar(data: bytes, step: int, time: float) -> Scalar | None:
    tag, number = "", None
    for field, value in _fields(data):
        if field == 1 and isinstance(value, bytes):
            tag = value.decode(errors="replace")
        elif field == 2 and isinstance(value, bytes):
            (number,) = struct.unpack("<f", value)
        elif field == 8 and isinstance(value, bytes):
            number = _of_tensor(value)
    return Scalar(tag, step, time, number) if tag and number is not None and not math.isinf(number) else None


def _of_tensor(data: bytes) -> float | None:
    """Return the number of a tensor that holds one; None of text, and of more."""
    dtype, content = 0, b""
    for field, value in _fields(data):
        if field == 1 and isinstance(value, int):
            dtype = value
        elif field in {4, 5, 6} and isinstance(value, bytes):
            content = value
    shape = {_FLOAT: "<f", _DOUBLE: "<d"}.get(dtype)
    return struct.unpack(shape, content)[0] if shape and len(content) == struct.calcsize(shape) else None


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (number, value) of a protobuf message: a varint as int, all else as bytes.

    Raises:
        ValueError: it is no such message.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = _varint(data, at)
        elif kind in {1, 5}:
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at + length > len(data):
            raise ValueError("a field is cut short")
        yield key >> 3, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number without an end")


def _by_step(scalars: Iterable[Scalar]) -> list[Progress]:
    found: dict[int, Progress] = {}
    for each in sorted(scalars, key=lambda scalar: scalar.time):
        metrics = found.pop(each.step).metrics if each.step in found else {}
        found[each.step] = Progress(each.step, None, each.time, 0, {**metrics, each.tag: each.value})
    return list(found.values())


def _table() -> tuple[int, ...]:
    """CRC-32C (Castagnoli), its polynomial reflected."""
    values = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)  # noqa: PLW2901
        values.append(value)
    return tuple(values)


_TABLE = _table()


def _masked_crc(data: bytes) -> int:
    """Return the CRC as TFRecord keeps it: rotated, and shifted by a constant."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
