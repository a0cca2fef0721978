"""The shapes in which the usual libraries print how far a training is.

    Lightning   Epoch 3:  40%|####      | 40/100 [00:01<00:02, 23.10it/s, v_num=0, train_loss=0.123]
                Epoch 3/9 ---- 40/100 0:00:01 * 0:00:02 23.10it/s v_num: 0.000 train_loss: 0.123      (its rich bar)
    HF Trainer  {'loss': 0.51, 'grad_norm': 1.2, 'learning_rate': 5e-05, 'epoch': 0.3}, between the bars of tqdm
    Keras       Epoch 2/10, then 10/100 [==>......] - ETA: 3s - loss: 0.1, or Keras 3's without brackets

Bars are drawn again and again in one line: a carriage return or a row of backspaces ends a piece as a newline does.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
_BREAK = re.compile(r"[\r\n\x08]+")
_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|nan|inf)"
_PAIR = re.compile(rf"(?P<name>[A-Za-z_][\w./@-]*)(?:=|: )(?P<value>{_NUMBER})(?![\w.:/%])")
_UP = "\x1b[A"
"""Ends a bar that is drawn below another: the cursor goes back up. Evaluations have them."""
_LONGEST = 4000
"""Characters of a piece that are looked at: a line of data is no bar."""

_TQDM = re.compile(
    r"(?P<label>[^|]*?)(?:\d+%)?\|[^|]*\|\s*(?P<step>\d+)/(?P<total>\d+|\?) \[(?P<rest>[^\]]*)\]?\s*(?P<more>.*)$"
)
_LIGHTNING = re.compile(r"Epoch (?P<epoch>\d+)(?:/(?P<last>\d+))?:?$")
_RICH = re.compile(
    r"Epoch (?P<epoch>\d+)/(?P<last>-?\d+)\s+[^\w\s]+[^\d]*"
    r"(?P<step>\d+)/(?P<total>\d+|\?|--)\s+\d+:\d\d:\d\d\b(?P<rest>.*)$"
)
_NOT_TRAINING = re.compile(
    r"sanity|validation|validating|testing|predict|evaluat|download|loading|map|generating|tokeniz|writing|fetching",
    re.IGNORECASE,
)
_TRAINER = re.compile(r"\{'[^{}]*\}")
_EPOCH = re.compile(r"Epoch (?P<epoch>\d+)/(?P<epochs>\d+)\s*$")
_KERAS = re.compile(
    r"\s*(?P<step>\d+)/(?P<total>\d+|Unknown)\s+"
    r"(?:\[[=>.]*\]|[\u2501\u2500\s]+(?=[\d\u2501]|ETA)|-\s)\s*-?\s*(?P<rest>.*)$"
)
_KERAS_TELLS = re.compile(r"ETA:|\d+\s?(?:us|ms|s|min|h)\b(?:/(?:step|epoch|sample))?|(?:us|ms|s)/(?:step|epoch)")
_SKIPPED = frozenset({"v_num", "ETA"})


@dataclass(frozen=True)
class Sighting:
    """What one piece of a log says; what it does not say is None or empty."""

    step: int | None = None
    total: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    epoch: int | None = None
    """Where the piece says only this: that an epoch of Keras begins, counted from 1."""
    epochs: int | None = None
    comes_first: bool = False
    """True where it is printed before the bar of its own step: tqdm wipes the bar away, prints, and draws it anew."""
    is_in_epoch: bool = False
    """True where step and total count from the beginning of the epoch that was announced last."""


def pieces(text: str) -> Iterator[str]:
    """Yield the text piece by piece, without colours, and without the bars that tqdm draws below another one."""
    for raw in _BREAK.split(text):
        if raw.endswith(_UP):
            continue
        piece = _ESCAPE.sub("", raw[:_LONGEST]) if "\x1b" in raw else raw[:_LONGEST]
        if piece.strip():
            yield piece


def look_at(piece: str) -> Sighting | None:
    """Return what the piece says of the training; None where it says nothing in a shape that we know."""
    for looks_like, read in _SHAPES:
        if looks_like(piece) and (found := read(piece)):
            return found
    return None


def _tqdm(piece: str) -> Sighting | None:
    match = _TQDM.match(piece)
    if not match or _NOT_TRAINING.search(match["label"]):
        return None
    step, total = int(match["step"]), _count(match["total"])
    metrics = _pairs(match["rest"].partition(",")[2])
    if trainer := _trainer(match["more"]):
        metrics |= trainer.metrics
    if lightning := _LIGHTNING.match(match["label"].strip()):
        return _of_epoch(int(lightning["epoch"]), _count(lightning["last"] or ""), step, total, metrics)
    return None if match["label"].strip() and not metrics else Sighting(step, total, metrics)


def _rich(piece: str) -> Sighting | None:
    match = _RICH.search(piece)
    if not match:
        return None
    step, total = int(match["step"]), _count(match["total"])
    return _of_epoch(int(match["epoch"]), _count(match["last"]), step, total, _pairs(match["rest"]))


def _of_epoch(epoch: int, last: int | None, step: int, total: int | None, metrics: dict[str, float]) -> Sighting | None:
    """Return the step of the whole training; Lightning counts epochs from 0, and says which is the last.

    An epoch's bar at 0 is drawn for the one that is over, too, and says nothing.
    """
    if not step:
        return None
    in_all = (last + 1) * total if total and last is not None else None
    return Sighting(epoch * total + step if total else step, in_all, {**metrics, "epoch": float(epoch)})


def _trainer(piece: str) -> Sighting | None:
    """HF's Trainer prints the dictionary of what it measured; since its release 5 the numbers in it are texts."""
    match = _TRAINER.search(piece)
    if not match:
        return None
    try:
        said = ast.literal_eval(match[0])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    metrics = {str(name): number for name, value in said.items() if (number := _number(value)) is not None}
    is_known = metrics.keys() & {"epoch", "loss", "eval_loss", "train_loss"}
    return Sighting(metrics=metrics, comes_first=True) if is_known else None


def _epoch(piece: str) -> Sighting | None:
    match = _EPOCH.match(piece.strip())
    return Sighting(epoch=int(match["epoch"]), epochs=int(match["epochs"])) if match else None


def _keras(piece: str) -> Sighting | None:
    match = _KERAS.match(piece)
    if not match or not _KERAS_TELLS.search(match["rest"]):
        return None
    return Sighting(int(match["step"]), _count(match["total"]), _pairs(match["rest"]), is_in_epoch=True)


_SHAPES: tuple[tuple[Callable[[str], bool], Callable[[str], Sighting | None]], ...] = (
    (lambda piece: "|" in piece and "/" in piece, _tqdm),
    (lambda piece: "{'" in piece, _trainer),
    (lambda piece: piece.lstrip().startswith("Epoch "), _epoch),
    (lambda piece: "Epoch " in piece, _rich),
    (lambda piece: piece.lstrip()[:1].isdecimal() and "/" in piece, _keras),
)
"""Whether it is worth a look, and the look."""


def _pairs(text: str) -> dict[str, float]:
    found = ((match["name"], _number(match["value"])) for match in _PAIR.finditer(text))
    return {name: value for name, value in found if value is not None and name not in _SKIPPED}


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return None if math.isinf(number) else number
