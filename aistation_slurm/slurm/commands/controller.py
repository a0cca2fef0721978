"""slurmctld itself: its configuration, and whether it answers."""

from __future__ import annotations

import re

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.commands.command import Command
from aistation_slurm.slurm.model import Controller

_SETTING = re.compile(r"(?P<key>[\w.\[\]/-]+)\s*= ?(?P<value>.*)")
_LOADED_QOS = re.compile(r"^QOS=(\S+)\(\d+\)$", re.MULTILINE)
_PING = re.compile(r"Slurmctld\((?P<mode>\w+)\) at (?P<host>\S+) is (?P<state>UP|DOWN)")


def show_config() -> Command[dict[str, str]]:
    """The configuration that slurmctld runs with; a key that only a plugin has is in it too.

    What follows `Slurmctld(primary) at ...` is no configuration, and is left out.
    """
    return Command(("scontrol", "show", "config"), read=_config)


def show_loaded_qos() -> Command[frozenset[str]]:
    """The names of the QOS that slurmctld itself knows: slurmdbd tells it, and what it doesn't know is fatal to it.

    A partition that names another one ends slurmctld 22.05 at the next reconfigure (partition_mgr.c).
    """
    argv = ("scontrol", "show", "assoc_mgr", "flags=qos")
    return Command(argv, read=lambda text: frozenset(_LOADED_QOS.findall(text)))


def ping() -> Command[list[Controller]]:
    """Each slurmctld of slurm.conf, the first one primary; exits with 1 when none answers, and says so all the same."""
    return Command(("scontrol", "ping"), read=_controllers)


def _config(text: str) -> dict[str, str]:
    found = (_SETTING.fullmatch(line) for line in text.splitlines())
    config = {match["key"]: match["value"].strip() for match in found if match}
    if "ClusterName" not in config:
        raise SlurmUnreadable("no ClusterName in the configuration")
    return config


def _controllers(text: str) -> list[Controller]:
    found = [
        Controller(host=match["host"], is_up=match["state"] == "UP", is_primary=match["mode"] == "primary")
        for match in _PING.finditer(text)
    ]
    if not found:
        raise SlurmUnreadable("no slurmctld in the answer")
    return found
