"""Slurm out of another suite of Debian, made to run on this machine as it is: no chroot, no container, no mount.

apt, told to look at that suite only and to install nothing, fetches Slurm and the libraries that it needs, the C
library among them. The way to these libraries, and to the loader that came with them, is then written into Slurm's
programs. Whatever they start, a job for one, is the machine's own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aistation_slurm.devcluster.commands import find, run
from aistation_slurm.devcluster.packages import os_release
from aistation_slurm.devcluster.steps import Steps
from aistation_slurm.errors import DevClusterError, NoMirror

PACKAGES = (
    "slurmctld", "slurmd", "slurmdbd", "slurmrestd", "slurm-client",
    "slurm-wlm-basic-plugins", "slurm-wlm-mysql-plugin", "slurm-wlm-jwt-plugin",
)  # fmt: skip
PATCHELF = "patchelf"
"""What writes into the programs; out of the same suite, run by that suite's own loader."""
ROOM = 600
"""MiB that are needed while it is made; 100-150 stay."""
_KEYRINGS = ("debian-archive-keyring.pgp", "debian-archive-keyring.gpg")
_NAMED_BY_RANK = ("oldstable", "stable", "testing", "unstable", "sid")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
_LINKED = b"libslurmfull.so"
_NO_ANSWER = ("resolv", "connect", "timed out", "unreachable", "did not end")
_PATIENCE = 240.0


@dataclass(frozen=True, slots=True)
class Mirror:
    """Where this machine gets its own Debian from."""

    site: str
    keyring: Path | None

    def source(self, suite: str) -> str:
        """Return apt's sources file for the suite."""
        signed = f"Signed-By: {self.keyring}\n" if self.keyring else ""
        return f"Types: deb\nURIs: {self.site}\nSuites: {suite}\nComponents: main\n{signed}"


def machines_mirror(keyrings: Path = Path("/usr/share/keyrings")) -> Mirror:
    """Return the mirror that the machine's own apt sources name.

    Raises:
        NoMirror: they name none of Debian, or there is no apt.
    """
    hint = "build a Slurm, and give its folder: --slurm /PREFIX"
    if not find("apt-get").startswith("/"):
        raise NoMirror("without apt-get no release can be fetched", hint=hint)
    answer = run(("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"))
    mine = os_release()
    names = {mine.get("VERSION_CODENAME", ""), *_NAMED_BY_RANK}
    sites = (words[0] for line in answer.splitlines() if len(words := line.split()) == 3 and words[1] in names)
    site = next(sites, None) if mine.get("ID") == "debian" else None
    if site is None:
        raise NoMirror("this machine's apt sources name no mirror of Debian", hint=hint)
    return Mirror(site, next((keyrings / each for each in _KEYRINGS if (keyrings / each).exists()), None))


def raise_if_no_room(folder: Path) -> None:
    """Return if there is room to make a release in this folder.

    Raises:
        DevClusterError: there is not.
    """
    free = shutil.disk_usage(folder).free // 2**20
    if free < ROOM:
        raise DevClusterError(f"a release takes {ROOM} MiB while it is made, {free} are free", where=str(folder))


def make_prefix(suite: str, prefix: Path, mirror: Mirror, steps: Steps) -> None:
    """Make the folder `prefix` of the suite's Slurm, with `bin`, `sbin` and `lib`.

    Raises:
        NoMirror: the mirror can't be reached, has no such suite, or none with a Slurm.
        DevClusterError: there is no room, or what was fetched can't be used.
    """
    raise_if_no_room(prefix)
    box = _Box(prefix / "box", suite, mirror)
    with steps.step(f"{suite}: list of packages"):
        box.look()
    with steps.step(f"{suite}: Slurm and its libraries fetched"):
        archives = box.fetch()
    with steps.step(f"{suite}: {len(archives)} packages unpacked"):
        for archive in archives:
            run(("dpkg-deb", "--extract", str(archive), str(box.root)))
        _keep_libraries(box.root, prefix / "lib")
        programs = list(_keep_programs(box.root, prefix))
    with steps.step(f"{suite}: {len(programs)} programs fitted to this machine"):
        _fit(prefix, box.root, programs)
    shutil.rmtree(box.folder)


class _Box:
    """An apt of its own, that knows one suite only and installs nothing."""

    def __init__(self, folder: Path, suite: str, mirror: Mirror) -> None:
        self.folder, self.suite, self.mirror = folder, suite, mirror
        self.root = folder / "root"
        for each in ("state/lists/partial", "cache/archives/partial", "root"):
            (folder / each).mkdir(parents=True)
        (folder / "status").touch()
        (folder / "suite.sources").write_text(mirror.source(suite))
        (folder / "apt.conf").write_text("".join(self._settings()))

    def look(self) -> None:
        """Fetch the list of packages."""
        self._apt("update")

    def fetch(self) -> list[Path]:
        """Fetch Slurm with all that it needs, and return the archives."""
        self._apt("install", "--yes", "--download-only", "--no-install-recommends", *PACKAGES, PATCHELF)
        return sorted((self.folder / "cache" / "archives").glob("*.deb"))

    def _apt(self, *words: str) -> None:
        proxies = {key: os.environ[key] for key in _PROXIES if key in os.environ}
        try:
            run(("apt-get", "--quiet=2", "-c", str(self.folder / "apt.conf"), *words), timeout=_PATIENCE, env=proxies)
        except DevClusterError as error:
            raise self._explained(error) from error

    def _settings(self) -> Iterator[str]:
        """Yield apt.conf: the machine's own counts too, for its proxy, but what that does after an update."""
        folders = {"State": "state", "State::status": "status", "Cache": "cache", "Etc::sourcelist": "suite.sources"}
        options = {f"Dir::{key}": str(self.folder / value) for key, value in folders.items()} | {
            "Dir::Etc::sourceparts": "/dev/null",
            "APT::Update::Error-Mode": "any",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "2",
        }
        yield from (f'{key} "{value}";\n' for key, value in options.items())
        yield from (f"#clear APT::Update::{key};\n" for key in ("Post-Invoke", "Post-Invoke-Success"))

    def _explained(self, error: DevClusterError) -> DevClusterError:
        words, site = error.hint or error.text, self.mirror.site
        first = words.partition("\n")[0]
        if any(each in words.lower() for each in _NO_ANSWER):
            return NoMirror(f"{site} can't be reached", hint=first)
        if "Release file" in words or "404" in words:
            return NoMirror(f"{site} has no suite {self.suite!r}", hint="bookworm, trixie and forky have a Slurm")
        if "NO_PUBKEY" in words or "not signed" in words:
            hint = "install the newest debian-archive-keyring"
            return NoMirror(f"this machine lacks the key that {self.suite} is signed with", hint=hint)
        if "Unable to locate package" in words or "no installation candidate" in words:
            return NoMirror(f"the suite {self.suite!r} holds no Slurm that a cluster could run", hint=first)
        return error


def _keep_libraries(root: Path, into: Path) -> None:
    """Move the libraries of all packages into one folder; before Debian 13 some are in /lib, some in /usr/lib."""
    plugins = _first(root, "usr/lib/*/slurm-wlm")
    triplet = plugins.parent.name
    for folder in (root / "lib" / triplet, root / "usr" / "lib" / triplet):
        if folder.is_dir():
            shutil.copytree(folder, into, symlinks=True, dirs_exist_ok=True)
    (into / "slurm").symlink_to(plugins.name)


def _keep_programs(root: Path, prefix: Path) -> Iterator[Path]:
    """Move Slurm's programs into `bin` and `sbin`, yield them; Debian puts alternatives of some under `NAME-wlm`."""
    for folder in ("bin", "sbin"):
        (prefix / folder).mkdir()
        (prefix / folder).chmod(0o755)  # users run them, whatever our umask
        for path in sorted((root / "usr" / folder).iterdir()):
            if path.is_file() and not path.is_symlink() and _LINKED in path.read_bytes():
                yield path.rename(prefix / folder / path.name.removesuffix("-wlm"))


def _fit(prefix: Path, root: Path, programs: list[Path]) -> None:
    """Write into the programs which loader starts them and where their libraries are; plugins are found through them.

    RPATH, not RUNPATH: it goes for what a plugin needs too. LD_LIBRARY_PATH would reach what the programs start.
    """
    library = prefix / "lib"
    loader, patchelf = _first(library, "ld-linux*.so.*"), root / "usr" / "bin" / PATCHELF
    by_itself = (str(loader), "--library-path", str(library), str(patchelf))
    paths = f"{library}:{library / 'slurm'}"
    run((*by_itself, "--set-interpreter", str(loader), "--force-rpath", "--set-rpath", paths, *map(str, programs)))


def _first(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise DevClusterError(f"the suite's packages hold no {pattern}", where=str(folder))
    return found[0]
