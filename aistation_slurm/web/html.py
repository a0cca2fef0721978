"""HTML templates: every value escaped, a missing name an error, relative times written for one moment."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from aistation_slurm.assets import asset_dir
from aistation_slurm.web import words


def html_templates(versions: Mapping[str, str], folder: Path | None = None) -> Environment:
    """Open the pages; `static('app.css')` in them is that file's address, with its version from `versions`."""
    environment = Environment(
        loader=FileSystemLoader(folder or asset_dir("webui") / "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {"clock": words.clock, "rough": words.rough, "ago": words.ago, "many": words.many}
    environment.globals |= {
        "static": partial(_address, versions),
        "bar": bar,
        "pips": pips,
        "NODE_WORDS": words.NODE_WORDS,
    }
    return environment


def _address(versions: Mapping[str, str], name: str) -> str:
    return f"/static/{name}?v={versions[name]}"


def bar(total: int, used: int, lost: int = 0) -> Markup:
    """Return a bar as SVG: what is used, then what nobody can get. Its widths are attributes: CSP takes no styles."""
    scale = 100 / total if total else 0
    return Markup(
        '<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="bar-all" width="100" height="6"/>'
        '<rect class="bar-lost" x="{}" width="{}" height="6"/>'
        '<rect class="bar-used" width="{}" height="6"/></svg>'
    ).format(*(f"{value * scale:.2f}" for value in (used, lost, used)))


def pips(total: int, used: int) -> Markup:
    """Return one small block per GPU as SVG, the used ones filled; over 16 they become one bar."""
    if total > 16:
        return bar(total, used)
    width = 10 * total - 2
    return Markup(
        '<svg class="pips" viewBox="0 0 {} 6" preserveAspectRatio="none" aria-hidden="true">'
        '<path class="pips-all" d="M0 3H{}"/><path class="pips-used" d="M0 3H{}"/></svg>'
    ).format(width, width, max(0, 10 * used - 2))
