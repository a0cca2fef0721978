"""Where the settings come from, and what a wrong file says."""

from pathlib import Path

import pytest

from aistation_slurm.errors import SettingsError
from aistation_slurm.settings import find_settings, load_settings, read_settings


def write(folder: Path, text: str) -> Path:
    path = folder / "aistation.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_file_that_the_environment_names_wins(tmp_path):
    path = write(tmp_path, '[web]\nlisten = "127.0.0.1:9000"')
    assert load_settings({"AISTATION_CONFIG": str(path)}).web.listen == "127.0.0.1:9000"


def test_slurm_conf_from_the_environment_wins_over_the_file(tmp_path):
    path = write(tmp_path, '[slurm]\nconf = "/a/slurm.conf"')
    settings = load_settings({"AISTATION_CONFIG": str(path), "SLURM_CONF": "/b/slurm.conf"})
    assert settings.slurm.conf == Path("/b/slurm.conf")


def test_the_only_one_machine_cluster_is_taken_when_nothing_is_said(tmp_path):
    one = write(tmp_path / "dev/etc", "")
    assert find_settings({}, site=tmp_path / "no", dev_root=tmp_path) == one
    write(tmp_path / "other/etc", "")
    assert find_settings({}, site=tmp_path / "no", dev_root=tmp_path) is None


def test_a_file_that_was_named_and_is_missing_is_an_error(tmp_path):
    with pytest.raises(SettingsError, match="can't be read"):
        load_settings({"AISTATION_CONFIG": str(tmp_path / "no.toml")})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("web = {", "is not TOML"),
        ('[web]\nlisten = "a"\ncolour = "red"', "web.colour"),
        ('[daemon]\ndry_run = "perhaps"', "daemon.dry_run"),
        ("\xff", "is not TOML"),
    ],
)
def test_a_wrong_file_is_one_sentence_with_the_file_and_the_key(tmp_path, text, said):
    path = tmp_path / "aistation.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError, match=said) as caught:
        read_settings(path)
    assert caught.value.where == str(path)
