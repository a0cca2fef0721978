"""What an interrupted apply had still to tell Slurm's daemons is told by the next one, though nothing else is to do."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from aistation_slurm.cluster.changes import (
    Change,
    CreateQos,
    Reconfigure,
    RestartController,
    RestartNodes,
    WriteFile,
)
from aistation_slurm.cluster.history.entry import Entry
from aistation_slurm.cluster.history.history import History, note_step, note_undoing
from aistation_slurm.cluster.planning.unfinished import tells_of, with_unfinished
from aistation_slurm.cluster.writing.moves import Swap


def interrupted(folder: Path, *changes: Change, done: int, written: bool = True) -> Entry:
    """Return the entry of an apply of these changes that died when so many were made."""
    conf = folder / "aistation.conf"
    conf.write_text("old\n")
    entry = Entry(
        when=datetime(2026, 11, 26, tzinfo=UTC),
        who="root",
        cluster_file=folder / "cluster.yaml",
        checksum="58f9ffe07e29",
        steps=tuple(map(str, changes)),
        tells=tells_of(changes),
    )
    entry = History(folder).begin(entry, spec="cluster: a\n", files=[Swap(conf, b"old\n", b"new\n")])
    for change in changes[:done]:
        note_step(entry, str(change))
    if written:
        conf.write_text("new\n")
    return History(folder).interrupted()


def file(folder: Path) -> WriteFile:
    return WriteFile(folder / "aistation.conf", "new\n", "old\n")


@pytest.mark.parametrize("tell", [Reconfigure("its files change"), RestartController("its files change")])
def test_slurmctld_is_told_of_files_that_it_has_not_read(tmp_path, tell):
    entry = interrupted(tmp_path, file(tmp_path), tell, done=1)
    (owed,) = with_unfinished((), entry)
    assert type(owed) is type(tell)
    assert owed.why == "apply 1 was interrupted"


def test_it_is_told_where_the_file_was_replaced_but_not_noted(tmp_path):
    entry = interrupted(tmp_path, file(tmp_path), Reconfigure("its files change"), done=0)
    assert [type(each) for each in with_unfinished((), entry)] == [Reconfigure]


def test_nothing_is_owed_where_no_file_was_replaced(tmp_path):
    entry = interrupted(tmp_path, file(tmp_path), Reconfigure("its files change"), done=0, written=False)
    assert with_unfinished((), entry) == ()


def test_nothing_is_owed_once_it_was_told(tmp_path):
    entry = interrupted(tmp_path, file(tmp_path), Reconfigure("its files change"), done=2)
    assert with_unfinished((), entry) == ()
    assert with_unfinished((), None) == ()


def test_what_the_plan_tells_anyway_is_not_told_twice(tmp_path):
    nodes = RestartNodes("v100-[01-03]", "a slurmd reads gres.conf when it starts")
    entry = interrupted(tmp_path, file(tmp_path), Reconfigure("its files change"), nodes, done=1)
    again = (CreateQos(("a",), {}), Reconfigure("others change"), nodes)
    assert with_unfinished(again, entry) == again


def test_a_restart_that_is_owed_takes_the_place_of_a_reconfigure(tmp_path):
    entry = interrupted(tmp_path, file(tmp_path), RestartController("its files change"), done=1)
    changes = with_unfinished((CreateQos(("a",), {}), Reconfigure("others change")), entry)
    assert [type(each) for each in changes] == [CreateQos, RestartController]
    assert changes[1].qos == {"a"}


def test_nodes_are_restarted_that_were_not(tmp_path):
    nodes = RestartNodes("v100-[01-03]", "a slurmd reads gres.conf when it starts")
    entry = interrupted(tmp_path, file(tmp_path), Reconfigure("its files change"), nodes, done=2)
    (owed,) = with_unfinished((), entry)
    assert (type(owed), owed.nodes, str(owed.effect)) == (
        RestartNodes,
        "v100-[01-03]",
        "restart slurmd on v100-[01-03]",
    )


def test_one_that_was_interrupted_while_it_was_taken_back_has_everything_to_tell_again(tmp_path):
    entry = interrupted(tmp_path, file(tmp_path), Reconfigure("its files change"), done=2, written=False)
    note_undoing(entry, "v100-01 is down")
    entry = History(tmp_path).interrupted()
    assert entry.told() == "apply 1 was interrupted while it was taken back (v100-01 is down)"
    assert [type(each) for each in with_unfinished((), entry)] == [Reconfigure]
