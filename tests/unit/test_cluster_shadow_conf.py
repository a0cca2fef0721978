"""What a shadow slurmctld is given: the candidate files, without a way to reach or start anything."""

from __future__ import annotations

from pathlib import Path

from aistation_slurm.cluster.conf import read_conf
from aistation_slurm.cluster.shadow.conf import (
    ADDRESS,
    Known,
    hosts_text,
    other_files,
    shadow_text,
    whole_text,
)
from aistation_slurm.cluster.shadow.shadow import try_files

CONF = Path("/nowhere/slurm.conf")
SITE = """\
SlurmctldHost=head(10.1.2.3)
StateSaveLocation=/var/spool/slurmctld
Prolog=/etc/slurm/prolog.sh
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=db
AccountingStorageTRES=gres/gpu,gres/gpu:h100
NodeName=gpu-[01-02] NodeAddr=gpu-[01-02].example
NodeName=old NodeAddr=10.1.2.9
Include more.conf
"""
MORE = "PartitionName=DEFAULT QOS=default\nPartitionName=a Nodes=ALL QOS=Group-A\nPartitionName=b Nodes=old QOS=ghost\n"


def text(known: Known | None = None, *, accounting: bool = True) -> str:
    conf = read_conf(CONF, {CONF: SITE, CONF.with_name("more.conf"): MORE})
    return shadow_text(conf, Path("/private"), host="here", known=known or Known(), accounting=accounting)


def test_it_has_an_address_and_folders_of_its_own_and_nothing_that_starts_a_program():
    keys = dict(line.split("=", 1) for line in text().splitlines())
    assert keys["SlurmctldHost"] == f"here({ADDRESS})"
    assert keys["StateSaveLocation"] == "/private/state"
    assert keys["AccountingStorageHost"] == ADDRESS
    assert "/etc/slurm/prolog.sh" not in text()
    assert "db" not in keys.values()


def test_it_trusts_the_linter_with_qos_and_tres_that_its_copy_of_the_state_may_lack():
    known = Known(qos=frozenset({"group-a"}), tres=frozenset({"cpu", "gres/gpu"}))
    assert "Group-A" not in text(known)
    assert "QOS=default" not in text(known)
    assert "QOS=ghost" in text(known)
    assert "AccountingStorageTRES=gres/gpu\n" in text(known)


def test_without_a_state_to_copy_accounting_is_left_out():
    assert "Accounting" not in text(accounting=False)


def test_every_name_that_it_may_look_up_is_at_its_own_address():
    conf = read_conf(CONF, {CONF: SITE, CONF.with_name("more.conf"): MORE})
    names = [line.split()[1] for line in hosts_text(conf, "here").splitlines() if line.startswith(ADDRESS)]
    assert names == ["gpu-01.example", "gpu-02.example", "here"]


def test_what_is_included_is_read_the_same_from_one_file():
    texts = {CONF: SITE + "Note=a\\#b\n", CONF.with_name("more.conf"): MORE}
    conf = read_conf(CONF, texts)
    again = read_conf(CONF, {CONF: whole_text(conf)})
    assert [line.pairs for line in again.lines] == [line.pairs for line in conf.lines]


def test_secrets_stay_where_they_are(tmp_path):
    for name in ("slurm.conf", "slurmdbd.conf", "jwt.key", "gres.conf", "job_submit.lua"):
        (tmp_path / name).write_text("# x\n")
    assert sorted(other_files(read_conf(tmp_path / "slurm.conf"), {})) == ["gres.conf", "job_submit.lua"]


def test_where_no_shadow_can_be_tried_that_is_said(tmp_path):
    verdict = try_files(read_conf(CONF, {CONF: "SlurmUser=root\n"}), bin=tmp_path / "bin")
    assert not verdict.tried
    assert str(verdict).startswith("a shadow slurmctld could not be tried: ")
