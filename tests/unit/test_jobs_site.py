"""What a submission knows of its station: the same places as everybody else, and the site's own partitions."""

from __future__ import annotations

from pathlib import Path

import pytest

from aistation_slurm.assets import asset_dir
from aistation_slurm.cluster.rules.compiled import COMPILED, compiled_text
from aistation_slurm.errors import SettingsError, SlurmUnreachable
from aistation_slurm.jobs.compiled import Group, Policy
from aistation_slurm.jobs.site import Site, open_site
from aistation_slurm.settings import load_settings
from aistation_slurm.settings_file import Places, load_places
from aistation_slurm.slurm.default_account import default_account
from aistation_slurm.slurm.runner import Completed
from aistation_slurm.spec import load_spec

SMALL = load_spec(asset_dir("slurm_conf") / "examples" / "small.yaml")
THEIRS = Policy(
    groups={"theirs": Group(name="theirs", nodes=1, gpus=0, cpus=8, memory=0)}, default_group="theirs", is_asked=True
)


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("", {}),
        ('templates = "/t"\n[slurm]\nconf = "/x/slurm.conf"\nbin = "/x/bin"\n', {}),
        ('[slurm]\nconf = "/x/slurm.conf"\n', {"SLURM_CONF": "/y/slurm.conf"}),
    ],
)
def test_a_submission_finds_what_everybody_else_finds(tmp_path: Path, text: str, environ: dict[str, str]):
    config = tmp_path / "aistation.toml"
    config.write_text(text)
    environ = {**environ, "AISTATION_CONFIG": str(config)}
    settings, places = load_settings(environ), load_places(environ)
    assert places == Places(conf=settings.slurm.conf, bin=settings.slurm.bin, templates=settings.templates)


@pytest.mark.parametrize("text", ["[slurm", "slurm = 3\n", "[slurm]\nconf = 3\n", "templates = true\n"])
def test_wrong_settings_are_said_with_their_file(tmp_path: Path, text: str):
    config = tmp_path / "aistation.toml"
    config.write_text(text)
    for load in (load_settings, load_places):
        with pytest.raises(SettingsError, match=str(config)):
            load({"AISTATION_CONFIG": str(config)})


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    (tmp_path / COMPILED).write_text(compiled_text(SMALL, source="cluster.yaml"))
    monkeypatch.setattr("aistation_slurm.jobs.asked.ask_policy", lambda: THEIRS)
    return open_site({"AISTATION_CONFIG": "/dev/null", "SLURM_CONF": str(tmp_path / "slurm.conf")})


def test_slurm_is_asked_for_no_group_that_was_compiled(site: Site):
    assert site.policy_for("v100") is site.policy_for(None) is site.compiled


def test_a_partition_of_the_site_s_own_is_found_behind_the_groups(site: Site):
    policy = site.policy_for("theirs")
    assert list(policy.groups) == ["v100", "dev", "theirs"]
    assert (policy.default_group, policy.is_asked) == ("v100", False)


def test_where_the_cluster_file_has_no_default_group_slurm_s_default_partition_counts(tmp_path: Path, site: Site):
    no_default = SMALL.model_copy(update={"default_group": None})
    (tmp_path / COMPILED).write_text(compiled_text(no_default, source="cluster.yaml"))
    assert site.policy_for(None).default_group == "theirs"


def test_a_slurm_that_can_not_be_asked_has_no_other_groups(site: Site, monkeypatch: pytest.MonkeyPatch):
    def unreachable() -> Policy:
        raise SlurmUnreachable("no answer")

    monkeypatch.setattr("aistation_slurm.jobs.asked.ask_policy", unreachable)
    assert site.policy_for("theirs") is site.compiled


class Runner:
    """Answers every command with this text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def run(self, argv: tuple[str, ...], *, stdin: str = "", timeout: float = 30) -> Completed:
        return Completed(0, self.text, "")


@pytest.mark.parametrize(
    ("record", "account"),
    [
        ("UserName=ann(1001) DefAccount=Behavior DefWckey=(null) AdminLevel=Not Set", "behavior"),
        ("UserName=ann(1001) DefAccount=(null) DefWckey=(null) AdminLevel=Not Set", None),
        ("UserName=anna(1002) DefAccount=face DefWckey=(null) AdminLevel=Not Set", None),
        ("No association manager state", None),
    ],
)
def test_the_default_account_is_read_of_the_very_user(record: str, account: str | None):
    text = f"Current Association Manager state\nUser Records\n{record}\n"
    assert default_account(Runner(text), "ann") == account
