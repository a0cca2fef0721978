"""The pages that come from the code are the code's."""

from pathlib import Path

import pytest

from aistation_slurm.cli.reference import pages

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", ["cluster-file.md", "commands.md", "settings.md"])
def test_every_setting_and_command_is_documented(name):
    assert (DOCS / name).read_text() == pages()[name], "run scripts/dev/docs"
