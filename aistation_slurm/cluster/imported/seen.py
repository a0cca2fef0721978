"""What Slurm shows of one cluster, ready to be told as a cluster file: what is whose, and what is said already."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from aistation_slurm.cluster.history.history import last_applied
from aistation_slurm.cluster.observed import Observed, look
from aistation_slurm.cluster.rules import policy
from aistation_slurm.cluster.site.conf import CONF, SiteConf
from aistation_slurm.cluster.wanted.desired import partition_qos
from aistation_slurm.cluster.wanted.files import Line, is_ours, read_lines
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Association, Partition, Qos
from aistation_slurm.spec import is_name

ROOT = "root"
"""Slurm's own account and user, which belong to no team."""


_LINE = re.compile(r'^    (?:\["([^"]+)"\]|(\w+)) = .*', re.MULTILINE)


@dataclass(slots=True)
class Remarks:
    """What a cluster file can't say, or its reader should know: one line each, in the order in which it was met."""

    lines: list[str] = field(default_factory=list)

    def add(self, what: str, why: str) -> None:
        """Remember, once, one thing that is left out."""
        self._add(f"Left out: {what}: {why}")

    def note(self, what: str, why: str) -> None:
        """Remember, once, one thing that is told in another way than Slurm has it."""
        self._add(f"Note: {what}: {why}")

    def _add(self, line: str) -> None:
        if line not in self.lines:
            self.lines.append(line)


@dataclass(frozen=True)
class Seen:
    """What Slurm shows."""

    observed: Observed
    narrow: Sequence[Association] = ()
    """Associations that hold in one partition alone."""
    before: str = ""
    """The cluster file that was applied last, where that is known."""

    @property
    def cluster(self) -> str:
        """The cluster's name."""
        return self.observed.cluster

    @cached_property
    def rows(self) -> Sequence[Association]:
        """The associations of accounts and users, parents before their children."""
        return tuple(self.observed.associations.values())

    @cached_property
    def teams(self) -> Mapping[str, Association]:
        """The accounts that can be teams, by name: in the order of our table, then parents before their children."""
        rows = [row for row in self.rows if not row.user and is_name(row.account)]
        return {
            row.account: row for row in sorted(rows, key=lambda row: self._places.get(row.account, len(self._places)))
        }

    @cached_property
    def our_lines(self) -> Mapping[str, Line]:
        """The lines of our own aistation.conf, by name; none where there is no such file, or it can't be seen."""
        text = self.observed.files.get(CONF) or ""
        return read_lines(text) if is_ours(text) else {}

    @cached_property
    def our_rules(self) -> str:
        """The text of our own table of rules, or nothing."""
        text = self.observed.files.get(policy.TABLE) or ""
        return text if is_ours(text) else ""

    @cached_property
    def _places(self) -> Mapping[str, int]:
        """Where our table of rules has each team."""
        _, _, block = self.our_rules.partition("\n  teams = {\n")
        return {quoted or plain: place for place, (quoted, plain) in enumerate(_LINE.findall(block))}

    def says_quota(self, group: str, who: str) -> bool | None:
        """Return whether our table of rules has a quota of the group itself; None where it has not the group."""
        key = "user" if who == "per_user" else "team"
        _, _, block = self.our_rules.partition("\n  groups = {\n")
        lines = (match for match in _LINE.finditer(block) if group in match.groups())
        return next((f" {key} = {{}}" not in match[0] for match in lines), None)

    @cached_property
    def _members(self) -> Mapping[str, Sequence[Association]]:
        found: dict[str, list[Association]] = {}
        for row in self.rows:
            if row.user and row.user != ROOT:
                found.setdefault(row.account, []).append(row)
        return found

    def members(self, account: str) -> Sequence[Association]:
        """Return the rows of the account's users, root aside."""
        return self._members.get(account, ())

    def is_our_group(self, partition: Partition) -> bool:
        """True where we wrote the partition: it stands in our file, or its quotas are in a QOS with our mark."""
        name = partition_qos(partition.name)
        has_mark = partition.qos == name and self.observed.is_our_qos(name)
        return has_mark or f"partition {partition.name}" in self.our_lines

    def our_job_qos(self, name: str) -> Qos | None:
        """Return a QOS that jobs run under, where we made it."""
        return self.observed.qos[name] if self.observed.is_our_qos(name) else None


def look_at(slurm: Slurm, conf_dir: Path | None = None) -> Seen:
    """Return what Slurm shows, and what our own files say where Slurm's folder can be seen from here.

    Raises:
        SlurmError: Slurm can't be asked.
    """
    is_here = conf_dir is not None and (conf_dir / "slurm.conf").is_file()
    observed = look(slurm, conf_dir=conf_dir) if conf_dir and is_here else _look_from_afar(slurm)
    rows = slurm.read.associations(observed.cluster)
    before = last_applied(conf_dir) if conf_dir and is_here else None
    return Seen(observed, tuple(row for row in rows if row.partition), before or "")


def _look_from_afar(slurm: Slurm) -> Observed:
    read = slurm.read
    cluster = read.config()["ClusterName"].lower()
    rows = [row for row in read.associations() if not row.partition]
    return Observed(
        cluster=cluster,
        site=SiteConf(Path("slurm.conf")),
        files={},
        qos={each.name: each for each in read.qos()},
        accounts={each.name: each for each in read.accounts()},
        associations={(each.account, each.user): each for each in rows if each.cluster == cluster},
        other_clusters=frozenset(each.cluster for each in rows) - {cluster},
        nodes={each.name: each for each in read.nodes()},
        partitions={each.name: each for each in read.partitions()},
    )
