"""The command line as a person meets it: help, wrong words, wrong files."""

import subprocess
import sys

import pytest


def aistation(*argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aistation_slurm", *argv],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **env},
    )


def test_no_command_at_all_shows_the_help():
    done = aistation()
    assert "Commands:" in done.stdout + done.stderr


@pytest.mark.parametrize("argv", [["nope"], ["job", "nope"], ["job", "list", "--nope"]])
def test_wrong_words_exit_with_64_and_no_traceback(argv):
    done = aistation(*argv)
    assert done.returncode == 64
    assert "Traceback" not in done.stderr


def test_a_wrong_settings_file_is_one_sentence(tmp_path):
    bad = tmp_path / "aistation.toml"
    bad.write_text("[web]\ncolour = 1")
    done = aistation("job", "list", AISTATION_CONFIG=str(bad))
    assert done.returncode == 1
    assert done.stderr.startswith(f"aistation: {bad}: web.colour")
    assert "Traceback" not in done.stderr


def test_a_closed_pipe_ends_the_command_quietly():
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m aistation_slurm --help | true"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


def test_colour_can_be_turned_off():
    assert "\x1b[" not in aistation("nope", NO_COLOR="1", FORCE_COLOR="1").stderr
