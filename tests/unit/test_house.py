"""The house: what travels in the wheel, what a login node imports, what the docs promise."""

import subprocess
import sys
from pathlib import Path

import pytest

from aistation_slurm import assets

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "fastapi",
    "sqlmodel",
    "sqlalchemy",
    "paramiko",
    "apscheduler",
    "uvicorn",
    "pydantic",
    "jinja2",
    "torch",
)


def imported_by(*argv: str) -> set[str]:
    """Return the top-level modules that a command line of ours has imported when it ends."""
    program = (
        "import sys, aistation_slurm.cli.main as m\n"
        f"try: m.main({list(argv)!r})\n"
        "except SystemExit: pass\n"
        "print('\\n'.join(sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_help_imports_no_server_and_no_models():
    assert imported_by("--help").isdisjoint(HEAVY)


@pytest.mark.parametrize("noun", ["job", "cluster", "dev", "agent", "duty"])
def test_the_help_of_a_noun_imports_no_server(noun):
    heavy = {"fastapi", "sqlmodel", "sqlalchemy", "paramiko", "apscheduler", "uvicorn"}
    assert imported_by(noun, "--help").isdisjoint(heavy)


def test_what_a_training_imports_is_the_standard_library():
    program = (
        "import sys; before = set(sys.modules)\n"
        "import aistation_slurm.checkpoint, aistation_slurm.progress\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before} - {'aistation_slurm'}\n"
        "print('\\n'.join(sorted(new - set(sys.stdlib_module_names))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_data_folders_hold_no_python():
    assert [
        path for kind in ("slurm_conf", "templates", "webui", "scripts") for path in (ROOT / kind).rglob("*.py")
    ] == []


@pytest.mark.parametrize("kind", ["slurm_conf", "templates", "webui", "scripts"])
def test_each_data_folder_is_found(kind):
    assert any(assets.asset_dir(kind).iterdir())


@pytest.mark.parametrize(
    "page", [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"], ids=lambda page: page.name
)
def test_no_page_links_to_a_file_that_is_not_there(page):
    import re

    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_noun_has_a_command_and_every_command_an_example():
    from aistation_slurm.cli.main import NOUNS, app

    for noun in NOUNS:
        command = app.get_command(None, noun)
        assert command is not None
        assert "Examples:" in (command.help or ""), f"{noun} shows no example"


ONE_FILE_BY_PROMISE = {"checkpoint.py"}  # it can be copied into an image, beside a training script


def test_no_file_of_the_house_has_outgrown_its_room():
    files = [path for path in (ROOT / "aistation_slurm").rglob("*.py") if path.name not in ONE_FILE_BY_PROMISE]
    assert {path.name: n for path in files if (n := len(path.read_text().splitlines())) > 480} == {}
