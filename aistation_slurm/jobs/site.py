"""What a submission has to know of this station, in the light way: where Slurm is, what there is, whose job it is.

The compiled policy answers at once. Where there is none, as beside a Slurm that the site itself looks after, or where
it can't be used, Slurm is asked: slower, and imported only then.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from aistation_slurm.errors import SlurmError
from aistation_slurm.jobs.catalogue import Catalogue, open_catalogue
from aistation_slurm.jobs.compiled import Policy, Unreadable, read_compiled
from aistation_slurm.jobs.environment import clean
from aistation_slurm.settings_file import Places, load_places
from aistation_slurm.slurm.default_account import default_account
from aistation_slurm.slurm.runner import LocalRunner, Runner


@dataclass(frozen=True)
class Site:
    """This station, as a submission sees it."""

    places: Places
    runner: Runner
    stray_options: tuple[str, ...] = ()
    """Variables of the environment that are options to sbatch, and are not handed on."""

    @cached_property
    def catalogue(self) -> Catalogue:
        """The templates: the site's own, and ours."""
        return open_catalogue(self.places.templates)

    @cached_property
    def compiled(self) -> Policy | Unreadable | None:
        """The policy that `aistation cluster apply` wrote."""
        return read_compiled(self.places.conf.parent)

    @cached_property
    def policy(self) -> Policy:
        """What may be asked for: the compiled policy, else what Slurm says.

        Raises:
            SlurmError: there is none, and Slurm can't be asked.
        """
        return self.compiled if isinstance(self.compiled, Policy) else self.asked_policy

    @cached_property
    def asked_policy(self) -> Policy:
        """What Slurm says of its partitions.

        Raises:
            SlurmError: it can't be asked.
        """
        from aistation_slurm.jobs.asked import ask_policy  # noqa: PLC0415  (brings Slurm's readers, pydantic, ...)

        return ask_policy()

    def policy_for(self, group: str | None) -> Policy:
        """Return the policy with this group in it, or a default one: the site's own partitions are in no cluster file.

        Raises:
            SlurmError: there is no compiled policy, and Slurm can't be asked.
        """
        policy = self.policy
        if policy.is_asked or (group in policy.groups if group else policy.default_group is not None):
            return policy
        try:
            asked = self.asked_policy
        except SlurmError:
            return policy
        theirs = {name: each for name, each in asked.groups.items() if name not in policy.groups}
        default = policy.default_group or asked.default_group
        return replace(policy, groups={**policy.groups, **theirs}, default_group=default)

    def account(self, policy: Policy) -> str | None:
        """Return the team that a job of this user counts for by default; None where that is not known or no matter."""
        return default_account(self.runner, user()) if policy.depends_on_team else None


def open_site(environ: Mapping[str, str] | None = None) -> Site:
    """Return this station, as a submission sees it; nobody is asked anything yet.

    Raises:
        SettingsError: aistation.toml is missing or wrong.
    """
    environ = os.environ if environ is None else environ
    places, cleaned = load_places(environ), clean(environ)
    runner = LocalRunner(slurm_conf=places.conf, bin=places.bin, env=cleaned.variables)
    return Site(places, runner, cleaned.options)


def user() -> str:
    """Return who submits, by the one number that Slurm goes by."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
