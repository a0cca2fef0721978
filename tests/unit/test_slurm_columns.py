"""A long table read by columns says what it says row by row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.commands.columns import Table, built, once, whole
from aistation_slurm.slurm.commands.command import fresh_mark, rows
from aistation_slurm.slurm.model import Partition

MARK = fresh_mark()
NAMES = ("JobID", "Name", "Comment")
CELLS = st.text(alphabet=st.sampled_from("ab|=\n\"'\x1fé \\"), max_size=8)


def table(several: list[list[str]]) -> str:
    return "".join("".join(cell + MARK for cell in row) + "\n" for row in several)


class Rows:
    """A reading that keeps the rows as they are."""

    def __init__(self) -> None:
        self.table = Table(NAMES, MARK)
        self.rows: list[dict[str, str]] = []

    def feed(self, text: str) -> None:
        if part := self.table.feed(text):
            self.rows += [dict(zip(NAMES, row, strict=True)) for row in zip(*part.values(), strict=True)]

    def end(self) -> list[dict[str, str]]:
        self.table.end()
        return self.rows


def by_rows(text: str, piece: int) -> list[dict[str, str]]:
    return whole(Rows(), text, piece=piece)


@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=12), st.integers(1, 80))
def test_whatever_was_written_into_a_cell_and_wherever_the_text_is_cut(several: list[list[str]], piece: int) -> None:
    text = table(several)
    assert by_rows(text, piece) == rows(text, NAMES, MARK) == [dict(zip(NAMES, row, strict=True)) for row in several]


@pytest.mark.parametrize("cut", range(1, 90))
def test_an_answer_that_is_cut_short_is_refused_wherever_it_is_cut(cut: int) -> None:
    text = table([["1", "a", "x"], ["2", "b\n", ""], ["3", "", "y"]])
    assert len(text) > 91
    if text[:-cut].endswith(f"{MARK}\n") and text[:-cut].count(MARK) % len(NAMES) == 0:
        return  # whole rows are missing, which nobody can see
    for piece in (7, 1000):
        with pytest.raises(SlurmUnreadable):
            by_rows(text[:-cut], piece)


def test_something_between_two_rows_is_refused() -> None:
    text = table([["1", "a", "x"]]).rstrip("\n") + "warning\n" + table([["2", "b", "y"]])
    with pytest.raises(SlurmUnreadable, match="a row begins with 'warning"):
        by_rows(text, 1000)


def test_each_distinct_text_is_read_once() -> None:
    asked: list[str] = []
    read = once(lambda text: asked.append(text) or int(text))
    assert [read(text) for text in ("1", "2", "1", "1")] == [1, 2, 1, 1]
    assert asked == ["1", "2"]


def test_what_is_built_is_what_the_class_would_have_made() -> None:
    defaults = {name: [getattr(Partition(name="x"), name)] * 2 for name in Partition.__dataclass_fields__}
    made = built(Partition, defaults | {"name": ["a", "b"]}, 2)
    assert made == [Partition(name="a"), Partition(name="b")]
    with pytest.raises(AttributeError):
        made[0].name = "c"  # type: ignore[misc]


def test_a_field_that_was_forgotten_is_said_and_not_left_out() -> None:
    with pytest.raises(TypeError, match="not the fields of Partition"):
        built(Partition, {"name": ["a"]}, 1)
