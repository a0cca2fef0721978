"""The pages that come from the code are the code's."""

from pathlib import Path

import pytest

from aistation_slurm.cli.reference import pages

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", pages())
def test_every_setting_command_and_reader_is_documented(name):
    assert (DOCS / name).read_text() == pages()[name], "run scripts/dev/docs"


def test_the_table_of_readers_says_what_each_declares():
    from aistation_slurm.slurm.coverage import REST_VERSIONS, declared
    from aistation_slurm.slurm.reader import QUESTIONS

    head, _, *rows = [
        line for line in pages()["readers.md"].splitlines() if line.startswith(("| question", "| `", "| ---"))
    ][6:]
    names = [name.strip() for name in head.strip("|").split("|")]
    table = {cells[0].strip().strip("`"): dict(zip(names, (cell.strip() for cell in cells), strict=True))
             for cells in (row.strip("|").split("|") for row in rows)}  # fmt: skip
    assert table.keys() == QUESTIONS
    for release in REST_VERSIONS:
        assert {name for name, row in table.items() if row[f"rest {release}"] == "x"} == declared(release)["rest"]
    assert all(row["cli"] == "x" for row in table.values())
