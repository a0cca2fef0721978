"""Every error this package raises on purpose.

AistationError
  + UsageError             the command was called wrongly (exit code 64)
  + SettingsError          aistation.toml, or the environment, is wrong
  + SpecError              the cluster file is wrong
      - UnknownNameError   it names something that nobody defined
      - SpecErrors         several things are wrong with it
  + RenderError            a template or a value in it can't be used
      - UnprintableError   a value holds a character that would end its line
  + RequestError           a training request can't be carried out
  + SlurmError             Slurm said no, or could not be asked
      - SlurmMissing       its commands are not installed
      - SlurmUnreachable   nobody answered in time
          . NotKnown       ... and whether the job was taken is not known, or it was not (exit code 75)
      - SlurmUnreadable    it answered in a shape that we can't read
      - SlurmRefused       it answered, and refused
          . QuotaExceeded  by an association or QOS limit
          . NotPermitted   this user may not
          . UnknownToSlurm the job, node, partition, account ... does not exist
          . InUse          something still uses it
          . InvalidRequest a value that Slurm can't take
  + UnsafePlan             the plan would take away more than is wise
  + StalePlan              what was reviewed is not what would be applied
  + StorageError           storage quotas could not be asked or set
      - StorageUnusable    the file system has no quotas, or they can't be reached from here
      - StorageRefused     its tool answered, and refused
  + TakenBack              it was applied, Slurm was worse off, and it is as before again
  + PlaceError             Slurm's files could not be brought to every host; each has the old ones
      - HostUnreachable    one of them was not asked: unknown, silent, or it does not let us in
      - HostsDiffer        ... and some could not be put back
  + StoreError             our own tables can't be used
  + MungeError             munge could not be used
      - MungeUnreachable   munged does not answer, or is not installed
      - CredentialRefused  a credential is forged, expired or used twice
  + NotLeader              another process holds the lease
  + DevClusterError        the one-machine cluster can't do it
      - NeedsRoot          it needs root
      - MissingPackage     a Debian package is missing
      - NoMirror           another release of Slurm can't be fetched
      - PortInUse          somebody else listens there

Every one says what, where, and what to do next: `text` and `where` are the first line, `hint` the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches


class AistationError(Exception):
    """The base of every error that this package raises on purpose."""

    def __init__(self, text: str, *, where: str = "", hint: str = "") -> None:
        self.text = text
        self.where = where
        self.hint = hint
        super().__init__(f"{where}: {text}" if where else text)


class UsageError(AistationError):
    """The command was called wrongly."""


class SettingsError(AistationError):
    """aistation.toml, or the environment, is wrong."""


class SpecError(AistationError):
    """The cluster file is wrong; `where` is `file:line:column`."""


class UnknownNameError(SpecError):
    """The cluster file names something that nobody defined."""

    def __init__(self, kind: str, name: str, *, where: str, known: Iterable[str]) -> None:
        close = get_close_matches(name, list(known), n=1)
        hint = f"did you mean {close[0]!r}?" if close else ""
        super().__init__(f"no {kind} called {name!r}", where=where, hint=hint)


class SpecErrors(SpecError):
    """Several things are wrong with the cluster file; each stands in `errors`, and as a line in `hint`."""

    def __init__(self, errors: Sequence[SpecError], *, where: str) -> None:
        self.errors = tuple(errors)
        lines = (f"{each}; {each.hint}" if each.hint else str(each) for each in errors)
        super().__init__(f"{len(self.errors)} things are wrong", where=where, hint="\n".join(lines))


class RenderError(AistationError):
    """A template, or a value in it, can't be used."""


class UnprintableError(RenderError):
    """A value holds a character that would end its line in a script."""


class RequestError(AistationError):
    """A training request can't be carried out."""


class SlurmError(AistationError):
    """Slurm said no, or could not be asked."""


class SlurmMissing(SlurmError):
    """Slurm's commands are not installed here."""


class SlurmUnreachable(SlurmError):
    """Nobody answered in time."""


class NotKnown(SlurmUnreachable):
    """A submission was not answered, and its job was not found: the same id may be tried again without harm."""


class SlurmUnreadable(SlurmError):
    """It answered in a shape that we can't read."""


class SlurmRefused(SlurmError):
    """It answered, and refused."""


class QuotaExceeded(SlurmRefused):
    """Refused by an association or QOS limit."""


class NotPermitted(SlurmRefused):
    """This user may not."""


class UnknownToSlurm(SlurmRefused):
    """The job, node, partition, account or QOS does not exist."""


class InUse(SlurmRefused):
    """Something still uses it."""


class InvalidRequest(SlurmRefused):
    """A value that Slurm can't take."""


class UnsafePlan(AistationError):
    """The plan would take away more than is wise."""


class StalePlan(AistationError):
    """What was reviewed is not what would be applied."""


class StorageError(AistationError):
    """Storage quotas could not be asked or set."""


class StorageUnusable(StorageError):
    """The file system has no quotas, or they can't be reached from this machine."""


class StorageRefused(StorageError):
    """The file system's tool answered, and refused."""


class PlaceError(AistationError):
    """Slurm's files could not be brought to every host, and nothing has changed; `failed` is host -> why."""

    def __init__(self, text: str, *, where: str = "", hint: str = "", failed: Mapping[str, str] | None = None) -> None:
        self.failed = dict(failed or {})
        super().__init__(text, where=where, hint=hint)


class HostUnreachable(PlaceError):
    """A host was not asked: its key is not known, it is silent, or it does not let us in."""


class HostsDiffer(PlaceError):
    """Some hosts have the new files and some the old ones; the next apply brings all of them together."""


class TakenBack(AistationError):
    """The plan was carried out, Slurm was worse off, and is as it was before again."""


class StoreError(AistationError):
    """Our own tables can't be used."""


class MungeError(AistationError):
    """MUNGE could not be used."""


class MungeUnreachable(MungeError):
    """munged does not answer, or libmunge is not installed."""


class CredentialRefused(MungeError):
    """A MUNGE credential is forged, expired or used twice."""


class NotLeader(AistationError):
    """Another process holds the lease."""


class DevClusterError(AistationError):
    """The one-machine cluster can't do it."""


class NeedsRoot(DevClusterError):
    """It needs root."""


class MissingPackage(DevClusterError):
    """A package of the distribution is missing."""


class NoMirror(DevClusterError):
    """Another release of Slurm can't be fetched: no mirror, no network, no such suite."""


class PortInUse(DevClusterError):
    """Somebody else listens there."""
