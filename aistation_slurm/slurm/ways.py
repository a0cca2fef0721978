"""The ways to ask Slurm: what each needs, whether it can be used here, and what it answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from aistation_slurm.errors import SettingsError, SlurmError, SlurmUnreachable, SlurmUnreadable
from aistation_slurm.settings import SlurmSettings
from aistation_slurm.slurm.filled import Answering
from aistation_slurm.slurm.reader import QUESTIONS
from aistation_slurm.slurm.refusals import refusal
from aistation_slurm.slurm.runner import Runner, shown

# What only one way needs is imported where that way is gone: a command such as `aistation job list` stays quick.
if TYPE_CHECKING:
    from aistation_slurm.slurm.conditional import Conditional
    from aistation_slurm.slurm.readers.libslurm import LibslurmReader
    from aistation_slurm.slurm.readers.rest import Login, RestReader

_VERSION = ("sinfo", "-V")
_CONF = "SLURM_CONF, or [slurm] conf in aistation.toml, names it"
_RELEASE = re.compile(r"\d+\.\d+\.\d+\S*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to ask Slurm."""

    name: str
    is_usable: bool
    why: str
    """By what it asks, or why it can't be used here."""
    answers: frozenset[str] = frozenset()

    @property
    def leaves(self) -> tuple[str, ...]:
        """The questions that the commands are asked instead, sorted."""
        return tuple(sorted(QUESTIONS - self.answers))


def release_of(settings: SlurmSettings, runner: Runner) -> str:
    """Return the release of Slurm's commands here, such as `22.05.8`; slurmctld is not asked.

    Raises:
        SlurmError: they are not there, or don't say. Without a slurm.conf they look for one, for a minute.
    """
    if not settings.conf.is_file():
        raise SlurmUnreachable("there is no such slurm.conf", where=str(settings.conf), hint=_CONF)
    done = runner.run(_VERSION, timeout=10)
    if done.returncode:
        raise refusal(_VERSION, done)
    if match := _RELEASE.search(done.stdout):
        return match[0]
    raise SlurmUnreadable(f"no release in {done.stdout!r}", where=shown(_VERSION))


def pyslurm_misfit_here(settings: SlurmSettings, runner: Runner) -> str | None:
    """Return why pyslurm can't ask this Slurm; None where it can.

    Raises:
        SlurmError: Slurm's commands don't say of which release they are.
    """
    if find_spec("pyslurm") is None:
        return "pyslurm is not installed"
    from aistation_slurm.slurm.readers.libslurm import installed_pyslurm, pyslurm_misfit  # noqa: PLC0415

    return pyslurm_misfit(release_of(settings, runner), installed_pyslurm())


def open_libslurm(settings: SlurmSettings, runner: Runner) -> LibslurmReader:
    """Return the reader by libslurm, with pyslurm's help where that fits; asks slurmctld nothing yet.

    Raises:
        SlurmError: there is no libslurm here, or no Slurm.
    """
    from aistation_slurm.slurm.readers.libslurm import libslurm_reader  # noqa: PLC0415

    release = release_of(settings, runner) if find_spec("pyslurm") else ""
    return libslurm_reader(release, slurm_conf=settings.conf, bin=settings.bin)


def open_rest(settings: SlurmSettings) -> RestReader:
    """Return the reader by slurmrestd; asks nothing yet.

    Raises:
        SettingsError: aistation.toml does not say where slurmrestd listens, or names a token that can't be read.
    """
    from aistation_slurm.slurm.readers.rest import RestReader  # noqa: PLC0415

    if settings.rest_socket is None:
        raise SettingsError(
            "no [slurm] rest_socket in aistation.toml", hint="the Unix socket that slurmrestd listens on"
        )
    return RestReader(settings.rest_socket, login=_login(settings))


def open_probe(settings: SlurmSettings) -> Conditional:
    """Return what asks libslurm whether anything changed; asks nothing yet.

    Raises:
        SlurmMissing: there is no libslurm here.
    """
    from aistation_slurm.slurm.readers.libslurm import LibslurmProbe, libslurm_worker  # noqa: PLC0415

    return LibslurmProbe(libslurm_worker(slurm_conf=settings.conf, bin=settings.bin))


def ways(settings: SlurmSettings, runner: Runner) -> list[Way]:
    """Return every way to ask Slurm, whether it can be used here, and what it answers; slurmrestd is asked for that."""
    return [
        _way("cli", lambda: (f"the commands of Slurm {release_of(settings, runner)}", QUESTIONS)),
        _way("libslurm", lambda: _libslurm_here(settings, runner)),
        _way("rest", lambda: _rest_here(settings)),
    ]


def _way(name: str, look: Callable[[], tuple[str, frozenset[str]]]) -> Way:
    try:
        why, answers = look()
    except (SlurmError, SettingsError) as error:
        return Way(name=name, is_usable=False, why=str(error))
    return Way(name=name, is_usable=True, why=why, answers=answers)


def _libslurm_here(settings: SlurmSettings, runner: Runner) -> tuple[str, frozenset[str]]:
    from aistation_slurm.slurm.readers.libslurm import find_library  # noqa: PLC0415

    library, misfit = find_library(bin=settings.bin), pyslurm_misfit_here(settings, runner)
    helped = f"without pyslurm: {misfit}" if misfit else "with pyslurm"
    return f"{library}, {helped}", open_libslurm(settings, runner).answers


def _rest_here(settings: SlurmSettings) -> tuple[str, frozenset[str]]:
    reader: Answering = open_rest(settings)
    return f"slurmrestd at {settings.rest_socket}", reader.answers


def _login(settings: SlurmSettings) -> Login | None:
    from aistation_slurm.slurm.readers.rest import Login  # noqa: PLC0415

    path = settings.rest_token_file
    if path is None:
        return None
    try:
        return Login(settings.rest_user, path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError("the token of slurmrestd can't be read", where=str(path)) from error
