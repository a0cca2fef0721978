"""Where the data folders are: in a wheel, an editable install or a bare checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

AssetKind = Literal["slurm_conf", "templates", "webui", "scripts"]

_PACKAGE = Path(__file__).resolve().parent


def asset_dir(kind: AssetKind) -> Path:
    """Return the folder of this kind: inside the wheel, else beside the package in the checkout."""
    packed = _PACKAGE / "_assets" / kind
    return packed if packed.is_dir() else _PACKAGE.parent / kind
