"""A search: a sweep that grows in rounds, each of which Optuna chooses by what the members before have measured.

Optuna is not installed with us (`pip install 'aistation-slurm[optuna]'`). Its journal lies in the sweep's folder, and a
trial knows its member by number: a search whose command was ended is taken up again from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from math import ceil, floor
from typing import TYPE_CHECKING, Any

from aistation_slurm.errors import RequestError
from aistation_slurm.jobs.sweep.folder import Sweep
from aistation_slurm.jobs.sweep.members import Draw, read_draws
from aistation_slurm.jobs.sweep.start import Started, start_more
from aistation_slurm.jobs.sweep.table import Member, is_number
from aistation_slurm.jobs.sweep.values import check

if TYPE_CHECKING:
    from aistation_slurm.jobs.site import Site

JOURNAL = "optuna.journal"
MEMBER = "member"
"""What a trial's member is kept under."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What is searched for, as it stands in `sweep.json`."""

    draws: Mapping[str, Draw]
    trials: int
    by: str
    is_max: bool
    a_round: int
    """How many members a round has."""
    seed: int | None

    @classmethod
    def of(cls, sweep: Sweep) -> Aim:
        """Return what this sweep searches for.

        Raises:
            RequestError: it is no search.
        """
        said = sweep.source.get("search")
        if not isinstance(said, Mapping):
            raise RequestError(f"sweep {sweep.submission} is no search", hint="aistation job sweep search --draw ...")
        return cls(
            draws=read_draws(said["draw"]),
            trials=said["trials"],
            by=said["by"],
            is_max=said["max"],
            a_round=said["round"],
            seed=said["seed"],
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """How a search stands."""

    told: int
    """Trials whose members are over."""
    open: int
    """Trials whose members wait or run."""
    best: Any = None
    """Optuna's best trial; None before one has ended well."""


def open_study(sweep: Sweep, aim: Aim) -> Any:
    """Return Optuna's study of this sweep, which remembers every trial of it.

    Raises:
        RequestError: Optuna is not installed.
    """
    optuna = optuna_here()
    journal = optuna.storages.journal.JournalFileBackend(str(sweep.path / JOURNAL))
    return optuna.create_study(
        study_name=sweep.submission,
        storage=optuna.storages.JournalStorage(journal),
        sampler=optuna.samplers.TPESampler(seed=None if aim.seed is None else aim.seed + sweep.count),
        direction="maximize" if aim.is_max else "minimize",
        load_if_exists=True,
    )


def settle(study: Any, members: Sequence[Member], by: str) -> Standing:
    """Tell Optuna what became of the trials whose members are over, and return how the search stands.

    A member that failed, or measured nothing, is a failed trial, from which nothing is learned.
    """
    state = optuna_here().trial.TrialState
    by_number = {each.number: each for each in members}
    left = 0
    for trial in study.get_trials(deepcopy=False, states=(state.RUNNING,)):
        member = by_number.get(trial.user_attrs.get(MEMBER, -1))
        value = member.metrics.get(by) if member else None
        if member and not (member.state.is_over or member.attempt.is_unknown):
            left += 1
        elif member and member.state.is_success and is_number(value):
            study.tell(trial.number, value)
        else:
            study.tell(trial.number, state=state.FAIL)
    told = study.get_trials(deepcopy=False, states=(state.COMPLETE, state.FAIL))
    good = any(each.state == state.COMPLETE for each in told)
    return Standing(len(told), left, study.best_trial if good else None)


def next_round(study: Any, sweep: Sweep, aim: Aim, count: int, site: Site, *, now: datetime) -> Started:
    """Submit as many members as Optuna's next choices, and return the sweep with them.

    Raises:
        RequestError: another command works on the sweep.
        SlurmRefused: Slurm did not take it.
    """
    ways = _distributions(aim.draws)
    trials = [study.ask(ways) for _ in range(count)]
    for number, trial in enumerate(trials, start=sweep.count):  # before they are submitted: none is ever lost
        trial.set_user_attr(MEMBER, number)
    return start_more(sweep.path, [check(trial.params, where="--draw") for trial in trials], site, now=now)


def _distributions(draws: Mapping[str, Draw]) -> dict[str, Any]:
    ways = optuna_here().distributions
    return {
        name: ways.CategoricalDistribution(tuple(draw.choices))
        if draw.kind == "choice"
        else ways.IntDistribution(ceil(draw.low), floor(draw.high))
        if draw.kind == "int"
        else ways.FloatDistribution(draw.low, draw.high, log=draw.kind == "log")
        for name, draw in draws.items()
    }


def optuna_here() -> Any:
    """Return the module `optuna`, silent but for warnings.

    Raises:
        RequestError: it is not installed.
    """
    try:
        optuna = import_module("optuna")
    except ImportError as error:
        raise RequestError("a search needs Optuna", hint="pip install 'aistation-slurm[optuna]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
