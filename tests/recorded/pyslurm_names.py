"""Write down which names pyslurm has, out of its sources: what our reader uses is held against the list.

    python tests/recorded/pyslurm_names.py /tmp/pyslurm-25.11.2        an unpacked sdist

One line for each class or module of pyslurm, pyslurm.db, pyslurm.slurmctld, pyslurm.utils: `pyslurm.JobStep: id name`.
Only names are taken; nothing is imported or built. The old interface (`deprecated.pyx`) is left out.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
MODULES = {"pyslurm": "__init__.py", "pyslurm.db": "db/__init__.py", "pyslurm.utils": "utils/__init__.py",
           "pyslurm.slurmctld": "core/slurmctld/__init__.py"}  # fmt: skip
_CLASS = re.compile(r"^(?:cdef )?class (?P<name>\w+)")
_BLOCK = re.compile(r"^    cdef (?:public|readonly)(?P<rest>.*):?\s*$")
_METHOD = re.compile(r"^    def (?P<name>\w+)\(")
_OWN = re.compile(r"^        self\.(?P<name>[a-z]\w*) = ")
_MEMBER = re.compile(r"^        (?:[\w.]+\s+)?(?P<name>\w+)\s*$")


def attributes(text: str) -> Iterator[tuple[str, str]]:
    """Yield (class, attribute) of a .pyx or .pxd file: methods, properties, public members, what `__init__` sets."""
    owner, is_members = "", False
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].strip():
            found = _CLASS.match(line)
            owner, is_members = found["name"] if found else "", False
        elif owner and (block := _BLOCK.match(line)):
            is_members = not block["rest"].strip(" :")
            if not is_members:
                yield owner, block["rest"].strip(" :").split()[-1]
        elif owner and line.strip() and is_members and (found := _MEMBER.match(line)):
            yield owner, found["name"]
        elif owner and (found := _METHOD.match(line) or _OWN.match(line)):
            is_members = False
            yield owner, found["name"]


def exported(init: Path) -> Iterator[str]:
    """Yield the names that a package's `__init__.py` imports."""
    for node in ast.walk(ast.parse(init.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from (each.name for each in node.names if each.name != "*")


def listing(sources: Path) -> dict[str, list[str]]:
    """Return class or module -> its names, of the sources of pyslurm in this folder."""
    known: dict[tuple[str, str], set[str]] = defaultdict(set)
    for path in sorted(sources.rglob("*.p[yx][xd]")):
        area = "db" if path.parent.name == "db" else "core"
        if path.stem != "deprecated":
            for owner, name in attributes(path.read_text()):
                known[area, owner].add(name)
    found = {}
    for module, init in MODULES.items():
        names = sorted(exported(sources / init))
        found[module] = names
        area = "db" if module == "pyslurm.db" else "core"
        for name in names:
            if public := sorted(each for each in known[area, name] if not each.startswith("_")):
                found[f"{module}.{name}"] = public
    return found


def main() -> None:
    """Write the list beside this file, under the version that the sources name."""
    sources = Path(sys.argv[1]) / "pyslurm"
    version = re.search(r'__version__ = "([\d.]+)"', (sources / "version.py").read_text())
    assert version, "these are no sources of pyslurm"
    path = HERE / f"pyslurm-{version[1]}.names"
    path.write_text("".join(f"{owner}: {' '.join(names)}\n" for owner, names in sorted(listing(sources).items())))
    print(path)


if __name__ == "__main__":
    main()
