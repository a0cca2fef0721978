"""The wheel, installed in an empty environment outside the checkout, is the whole product."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Return the `bin` of an environment that holds the wheel, and sees the dependencies of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=False)
    site = next((folder / "env").glob("lib/python*/site-packages"))
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--target", site, wheel], check=True, capture_output=True)
    others = next(Path(each) for each in sys.path if each.endswith("site-packages"))
    (site / "dependencies.pth").write_text(f"{others}\n")
    return folder / "env" / "bin"


def run(installed: Path, *argv: str) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [installed / "python", "-m", "aistation_slurm", *argv],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=env,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_brings_its_own_copy_of_the_data_folders(installed):
    program = "from aistation_slurm.assets import asset_dir; print(asset_dir('templates'), asset_dir('webui'))"
    done = subprocess.run([installed / "python", "-c", program], capture_output=True, text=True, check=True, cwd="/")
    assert all(str(installed.parent) in each and "_assets" in each for each in done.stdout.split())


def test_the_wheel_lists_its_templates(installed):
    assert "pytorch-ddp" in run(installed, "template", "list")


def test_the_wheel_checks_its_example_cluster_files(installed):
    examples = next(installed.parent.glob("lib/python*/site-packages/aistation_slurm/_assets/slurm_conf/examples"))
    for example in examples.glob("*.yaml"):
        run(installed, "cluster", "check", str(example))


def test_the_wheel_brings_the_page_and_its_pictures(installed):
    assets = next(installed.parent.glob("lib/python*/site-packages/aistation_slurm/_assets"))
    assert list((assets / "webui/pages").glob("*.html"))
    assert list((assets / "webui/static").rglob("*.css"))
    assert (assets / "scripts/quickstart").exists()
