"""Every name of pyslurm that our reader uses is one that pyslurm has: by its sources, and by itself where it is."""

import ast
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aistation_slurm.slurm.readers.libslurm import objects

NAMES = Path(__file__).resolve().parents[1] / "recorded" / "pyslurm-25.11.2.names"
SOURCE = Path(objects.__file__).read_text()
MODULE = "self._pyslurm"
Used = set[tuple[str, str]]


def used(source: str) -> Used:
    """Return each (class or module, name) of pyslurm in the source: by `self._pyslurm`, and by annotated arguments."""
    tree = ast.parse(source)
    found = {pair for node in ast.walk(tree) for pair in of_module(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            found |= {pair for argument in node.args.args for pair in of_argument(node, argument)}
        elif isinstance(node, ast.ExceptHandler) and node.name and node.type:
            found |= of_name(node, node.name, [ast.unparse(node.type).replace(MODULE, "pyslurm")])
    return found


def of_module(node: ast.AST) -> Iterator[tuple[str, str]]:
    text = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
    if text.startswith(f"{MODULE}."):
        owner, _, name = text.replace(MODULE, "pyslurm").rpartition(".")
        yield owner, name


def of_argument(function: ast.FunctionDef, argument: ast.arg) -> Used:
    classes = [ast.unparse(each) for each in ast.walk(argument.annotation or ast.Pass()) if is_class(each)]
    found = {(owner, name) for each in classes for owner, _, name in [each.rpartition(".")]}
    return found | of_name(function, argument.arg, classes)


def is_class(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and ast.unparse(node).startswith("pyslurm.") and node.attr[0].isupper()


def of_name(scope: ast.AST, name: str, classes: list[str]) -> Used:
    return {
        (each, node.attr)
        for node in ast.walk(scope)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
        for each in classes
        if each.startswith("pyslurm.")
    }


def known() -> dict[str, set[str]]:
    lines = (line.partition(": ") for line in NAMES.read_text().splitlines())
    return {owner: set(names.split()) for owner, _, names in lines}


def test_the_list_of_what_is_used_is_found_in_the_code():
    found = used(SOURCE)
    assert len(found) >= 55
    assert {
        ("pyslurm", "JobSteps"),
        ("pyslurm.JobSteps", "load_all"),
        ("pyslurm.JobStep", "name"),  # inside a lambda
        ("pyslurm.JobStep", "id"),
        ("pyslurm.utils", "nodelist_from_range_str"),
        ("pyslurm.slurmctld.Statistics", "backfilled_jobs"),
        ("pyslurm.slurmctld.RPCUser", "user_name"),
        ("pyslurm.db.GPU", "type_and_name"),
        ("pyslurm.db.TrackableResources", "vmem"),
        ("pyslurm.RPCError", "msg"),
    } <= found


def test_what_is_used_is_in_the_sources_of_pyslurm():
    names = known()
    assert sorted(f"{owner}.{name}" for owner, name in used(SOURCE) if name not in names.get(owner, ())) == []


@pytest.mark.parametrize(
    "line",
    [
        "def f(step: pyslurm.JobStep): return step.nmae",
        "def f(step: pyslurm.JobStep | None): return [lambda: step.nmae]",
        "def f(each: pyslurm.db.GPU | pyslurm.JobStep): return each.tres",
        "def f(self): return self._pyslurm.JobSteps.load_some()",
        "def f(step: pyslurm.JobStpe): pass",
        "try: pass\nexcept self._pyslurm.RPCError as error: error.text",
    ],
)
def test_a_name_that_pyslurm_does_not_have_would_be_seen(line):
    names = known()
    assert [pair for pair in used(line) if pair[1] not in names.get(pair[0], ())]


CODE = """
cdef class Thing:

    def __init__(self):
        self.made = 1

# aside
    @property
    def size(self):
"""
MEMBERS = """
cdef class Thing:
    cdef hidden *ptr
    cdef public:
        dict open
        plain

    cdef readonly shown
"""


def test_the_list_is_made_from_sources(tmp_path):
    sources = tmp_path / "pyslurm"
    for folder in ("db", "utils", "core/slurmctld"):
        (sources / folder).mkdir(parents=True)
        (sources / folder / "__init__.py").write_text("from .a import (\n    Thing,\n)\n")
    (sources / "__init__.py").write_text("from .version import __version__\nfrom pyslurm.core import Thing\n")
    (sources / "core" / "a.pyx").write_text(CODE)
    (sources / "core" / "a.pxd").write_text(MEMBERS)
    spec = importlib.util.spec_from_file_location("pyslurm_names", NAMES.parent / "pyslurm_names.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.listing(sources)["pyslurm.Thing"] == ["made", "open", "plain", "shown", "size"]


MISSING = """
import functools, json, sys
import pyslurm
found = {"pyslurm.RPCError": pyslurm.RPCError(msg="its attributes are not the class's")}
for owner, name in json.load(sys.stdin):
    path = owner.split(".")[1:]
    if not hasattr(found.get(owner) or functools.reduce(getattr, path, pyslurm), name):
        print(owner, name)
"""


def in_python(program: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYSLURM_DISABLE_AUTO_INIT": "1"}  # else its import ends the process where there is no Slurm
    argv = (sys.executable, "-c", program)
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, env=env, check=False)


def test_what_is_used_is_in_the_pyslurm_that_is_installed():
    if in_python("import pyslurm").returncode:
        pytest.skip("no pyslurm here")
    done = in_python(MISSING, json.dumps(sorted(used(SOURCE))))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
