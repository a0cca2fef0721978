"""What other people wrote, as they wrote it, with their licences."""

from __future__ import annotations

import re
from hashlib import sha256

import pytest

from aistation_slurm.assets import asset_dir

STATIC = asset_dir("webui") / "static"
ROW = re.compile(r"^\| `(?P<file>[^`]+)` \|.*\(`(?P<licence>[^`]+)`\) \| `(?P<sum>[0-9a-f]{64})` \|$", re.MULTILINE)
ROWS = [match.groupdict() for match in ROW.finditer((STATIC / "VENDORED.md").read_text())]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
def test_a_vendored_file_is_as_it_was_published(row) -> None:
    assert sha256((STATIC / row["file"]).read_bytes()).hexdigest() == row["sum"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
def test_a_vendored_file_has_its_licence_beside_it(row) -> None:
    assert len((STATIC / row["licence"]).read_text()) > 300


def test_every_vendored_file_is_listed() -> None:
    there = {path.name for path in (STATIC / "vendor").iterdir() if path.suffix != ".LICENSE"}
    assert there == {row["file"].removeprefix("vendor/") for row in ROWS}
