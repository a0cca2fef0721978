"""Which file holds this station's settings, and the few of them that a quick command needs, without pydantic.

`settings` reads all of the file and checks it; the search order and the defaults stand here, once.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aistation_slurm.errors import SettingsError

SITE_FILE = Path("/etc/aistation/aistation.toml")
DEV_ROOT = Path("/var/lib/aistation/dev")
SLURM_CONF = Path("/etc/slurm/slurm.conf")
TEMPLATES = Path("/etc/aistation/templates")


@dataclass(frozen=True, slots=True)
class Places:
    """Where Slurm and the site's templates are."""

    conf: Path = SLURM_CONF
    bin: Path | None = None
    templates: Path = TEMPLATES


def find_settings(environ: Mapping[str, str], *, site: Path = SITE_FILE, dev_root: Path = DEV_ROOT) -> Path | None:
    """Return the file that holds the settings, or None where the defaults are to be used."""
    if named := environ.get("AISTATION_CONFIG"):
        return Path(named)
    if site.exists():
        return site
    clusters = sorted(dev_root.glob("*/etc/aistation.toml"))
    return clusters[0] if len(clusters) == 1 else None


def load_toml(path: Path) -> dict[str, Any]:
    """Return what the file says, unchecked.

    Raises:
        SettingsError: it can't be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"can't be read ({error.strerror})", where=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"is not TOML: {error}", where=str(path)) from error


def load_places(environ: Mapping[str, str] | None = None) -> Places:
    """Return where Slurm and the site's templates are, by the same file and order as `load_settings`.

    Raises:
        SettingsError: the file is missing though it was named, is not TOML, or says something else than a path.
    """
    environ = os.environ if environ is None else environ
    path = find_settings(environ)
    raw = load_toml(path) if path else {}
    slurm = raw.get("slurm", {})
    if not isinstance(slurm, dict):
        raise SettingsError("slurm: is to be a table", where=str(path))
    named = environ.get("SLURM_CONF")
    return Places(
        conf=Path(named) if named else _path(slurm, "conf", path) or SLURM_CONF,
        bin=_path(slurm, "bin", path),
        templates=_path(raw, "templates", path) or TEMPLATES,
    )


def _path(table: Mapping[str, Any], key: str, file: Path | None) -> Path | None:
    value = table.get(key)
    if value is None or isinstance(value, str):
        return Path(value) if value is not None else None
    raise SettingsError(f"{key}: {value!r} is no path", where=str(file))
