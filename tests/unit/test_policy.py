"""How the rules of submission come beside slurm.conf: the table, its place in a plan, and what Slurm must have."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lupa.lua51 import LuaRuntime

from aistation_slurm.cluster.applying.apply import apply
from aistation_slurm.cluster.changes import Reconfigure, WriteFile, WriteRules
from aistation_slurm.cluster.planning.plan import Plan, decide
from aistation_slurm.cluster.rules import policy
from aistation_slurm.cluster.rules.compiled import COMPILED, compiled_text
from aistation_slurm.cluster.rules.table import lua_value
from aistation_slurm.cluster.site.conf import SiteConf
from aistation_slurm.cluster.wanted.files import is_edited, is_ours
from aistation_slurm.devcluster.files import _write_missing
from aistation_slurm.devcluster.paths import Paths
from aistation_slurm.devcluster.release import has_plugin
from aistation_slurm.errors import SlurmRefused, SpecError, UnprintableError
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.spec import ClusterSpec, load_spec
from tests.unit.lua_slurmctld import plain
from tests.unit.test_cluster_plan import ETC, applied, fresh, plan_of

EXAMPLES = Path(__file__).resolve().parents[2] / "slurm_conf" / "examples"
SMALL = load_spec(EXAMPLES / "small.yaml")
REFUSING = SMALL.model_copy(update={"over_request": "refuse"})


def rules(spec: ClusterSpec = SMALL) -> dict[str, str]:
    return policy.rules_files(spec, source="/etc/aistation/cluster.yaml", exempt=64030)


def test_the_table_says_what_the_cluster_file_says():
    table = plain(LuaRuntime().execute(rules()[policy.TABLE]))

    assert table["over_request"] == "adjust"
    assert table["exempt"] == {0: True, 64030: True}
    assert list(table["order"].values()) == ["v100", "dev"]
    assert table["groups"]["v100"] == {
        "gpu_type": "v100", "use": "training", "nodes": 3, "names": "v100-[01-03]", "gpus": 2, "cpus": 8,
        "memory": 16384, "shards": 0,
        "user": {"gpus": 4, "cpus": 20, "memory": 40960}, "team": {},
    }, "CPUs and memory follow from the GPUs, as the QOS has them"  # fmt: skip
    assert table["groups"]["dev"]["shards"] == 8
    assert table["development"] == {"gpus": 0, "shards": 1, "cpus": 1, "memory": 2048}
    assert table["user"]["gpus"] == 6
    assert table["teams"] == {"behavior": {}, "face": {}}, "who may submit emergency jobs is Slurm's to know"


@given(st.text() | st.text(alphabet='"\\]=[-\n\0'))
def test_a_text_in_the_table_is_a_text_or_is_refused(text):
    try:
        written = lua_value({"key": text, text: True})
    except UnprintableError:
        assert not text.isprintable()
        return
    table = plain(LuaRuntime().execute(f"return {written}"))
    assert table["key"] == (True if text == "key" else text)
    assert table[text] is True


def test_the_files_say_whose_they_are_and_whether_a_hand_was_in_them():
    for text in rules().values():
        assert text.startswith("-- Written by `aistation cluster apply` from /etc/aistation/cluster.yaml")
        assert is_ours(text)
        assert not is_edited(text)
        assert is_edited(text + "-- mine\n")
    assert not is_ours("function slurm_job_submit() return slurm.SUCCESS end\n")


def test_job_submit_lua_changes_with_its_table_since_slurmctld_watches_nothing_else():
    before, after = rules(), rules(REFUSING)
    assert [name for name in before if before[name] != after[name]] == [policy.TABLE, policy.RULES]
    assert list(before)[-1] == policy.RULES, "it is written last"


def test_a_plan_writes_the_rules_last_and_reconfigures_nothing_for_them():
    plan = plan_of(REFUSING, applied(SMALL))

    assert [type(each) for each in plan.changes] == [WriteRules, WriteRules, WriteRules]
    assert plan.lines() == [
        f"~ file {ETC}/aistation_policy.json  (none)",
        f"~ file {ETC}/aistation_policy.lua  (none)",
        '    ~ over_request  "adjust" -> "refuse"',
        f"~ file {ETC}/job_submit.lua  (none)",
    ]
    everything = plan_of(SMALL, fresh(SMALL)).changes
    kinds = [type(each) for each in everything]
    assert kinds.index(WriteRules) > kinds.index(Reconfigure) > kinds.index(WriteFile)


def test_what_an_interrupted_apply_left_undone_is_done_by_the_next():
    observed = applied(SMALL)
    table = next(each.text for each in plan_of(REFUSING, observed).changes if each.path.name == policy.TABLE)
    compiled = compiled_text(REFUSING, source="cluster.yaml")
    half = replace(observed, files={**observed.files, policy.TABLE: table, COMPILED: compiled})
    assert [each.path.name for each in plan_of(REFUSING, half).changes] == [policy.RULES]


def test_a_table_that_a_hand_broke_is_written_again_and_job_submit_lua_with_it():
    observed = applied(SMALL)
    broken = replace(observed, files={**observed.files, policy.TABLE: None})
    assert [each.path.name for each in plan_of(SMALL, broken).changes] == [policy.TABLE, policy.RULES]


def test_a_slurm_without_lua_gets_no_rules_and_is_told_what_it_misses():
    keys = {key: value for key, value in fresh(SMALL).site.keys.items() if key != "jobsubmitplugins"}
    site = SiteConf(ETC / "slurm.conf", keys, includes=["aistation.conf"])
    plan = plan_of(SMALL, fresh(SMALL, has_lua=False, site=site))
    assert [each.path.name for each in plan.changes if isinstance(each, WriteRules)] == [COMPILED]
    assert any("built without Lua" in note for note in plan.notes)
    assert not any("JobSubmitPlugins" in note for note in plan.notes)


def test_a_slurm_without_lua_that_is_told_to_run_it_is_not_planned_for():
    with pytest.raises(SpecError, match="built without Lua: slurmctld ends at its start"):
        plan_of(SMALL, fresh(SMALL, has_lua=False))


def test_the_missing_key_is_named_with_its_line_and_when_to_write_it():
    keys = {**fresh(SMALL).site.keys, "jobsubmitplugins": ("throttle", "slurm.conf:9")}
    site = SiteConf(ETC / "slurm.conf", keys, includes=["aistation.conf"])
    notes = plan_of(SMALL, fresh(SMALL, site=site)).notes
    assert [note for note in notes if "JobSubmitPlugins" in note] == [
        "slurm.conf:9: better with the line JobSubmitPlugins=throttle,lua once apply has written job_submit.lua "
        "(slurmctld doesn't start without), then `scontrol reconfigure`"
    ]


def test_a_job_submit_lua_of_the_site_is_not_written_over():
    theirs = fresh(SMALL, files={"aistation.conf": "", "gres.conf": None, policy.RULES: "-- ours since 2015\nx = 1\n"})
    with pytest.raises(SpecError, match="was not written by aistation") as caught:
        decide(SMALL, theirs, conf_dir=ETC, gpu_device="/dev/nvidia", source="x")
    assert str(caught.value).startswith(f"{ETC}/job_submit.lua")


def test_whether_slurm_can_run_lua_is_seen_in_its_plugins(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    config = {"PluginDir": f"{tmp_path}:{other}"}
    assert policy.has_plugin(config) is False
    (other / "job_submit_lua.so").touch()
    assert policy.has_plugin(config) is True
    assert policy.has_plugin({}) is None
    assert policy.has_plugin({"PluginDir": str(tmp_path / "on the controller only")}) is None
    assert policy.has_plugin({"PluginDir": str(tmp_path), "JobSubmitPlugins": "throttle,lua"}) is True


def test_slurms_own_user_is_known_by_number():
    assert policy.slurm_user({"SlurmUser": "slurm(64030)"}) == 64030
    assert policy.slurm_user({}) is None


class Quiet:
    """A Slurm that takes everything, or no reconfigure."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses = refuses

    def loaded_qos(self) -> frozenset[str]:
        return frozenset()

    def reconfigure(self) -> None:
        if self.refuses:
            raise SlurmRefused("no")


@pytest.mark.parametrize("ahead", [-3600, 0, 3600])
def test_the_rules_are_always_newer_than_the_ones_before_by_a_second(tmp_path, ahead):
    path = tmp_path / policy.RULES
    path.write_text("old")
    before = int(time.time()) + ahead
    os.utime(path, (before, before))
    quiet = Quiet()

    list(apply(Plan(changes=(WriteRules(path, "new", "old"),)), Slurm(read=quiet, write=quiet)))

    assert path.read_text() == "new"
    assert int(path.stat().st_mtime) >= before + 1


def test_rules_for_groups_that_slurmctld_refused_are_never_written(tmp_path):
    path = tmp_path / policy.RULES
    path.write_text("old")
    quiet = Quiet(refuses=True)
    conf = WriteFile(tmp_path / "aistation.conf", "new", "old")
    conf.path.write_text("old")
    plan = Plan(changes=(conf, Reconfigure("why"), WriteRules(path, "new", "old")))

    with pytest.raises(SlurmRefused):
        list(apply(plan, Slurm(read=quiet, write=quiet)))

    assert (path.read_text(), conf.path.read_text()) == ("old", "old")


def test_a_one_machine_cluster_knows_whether_its_own_slurm_has_a_plugin(tmp_path):
    paths = Paths("dev", tmp_path)
    plugins = paths.slurm / "lib" / "slurm"
    plugins.mkdir(parents=True)
    assert not has_plugin(paths, "job_submit/lua")
    (plugins / "job_submit_lua.so").touch()
    assert has_plugin(paths, "job_submit/lua")


def test_a_one_machine_cluster_has_its_first_rules_before_slurmctld_and_keeps_later_ones(tmp_path):
    (tmp_path / policy.TABLE).write_text("applied")
    _write_missing(tmp_path, {policy.TABLE: "first", policy.RULES: "first"})
    assert (tmp_path / policy.TABLE).read_text() == "applied"
    assert (tmp_path / policy.RULES).read_text() == "first"
