"""The site's own slurm.conf: single lines are edited, every other byte stays, and what stood there comes back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aistation_slurm.cluster import changes as c
from aistation_slurm.cluster.applying.execution import swap_of
from aistation_slurm.cluster.lint import Running, lint
from aistation_slurm.cluster.lint.look import read_files
from aistation_slurm.cluster.observed import Observed
from aistation_slurm.cluster.planning.plan import Plan, decide
from aistation_slurm.cluster.rules import policy
from aistation_slurm.cluster.site.conf import read_site_conf
from aistation_slurm.cluster.site.edits import SiteEdits, wanted_edits
from aistation_slurm.cluster.site.keys import fixed, site_keys
from aistation_slurm.cluster.site.text import SiteText, read_exactly
from aistation_slurm.cluster.writing.moves import Move, moves
from aistation_slurm.errors import SpecError, SpecErrors
from aistation_slurm.render import write_whole
from aistation_slurm.slurm.model import Job, Node
from aistation_slurm.slurm.states import JobState, NodeState
from aistation_slurm.slurm.tres import read_gres
from aistation_slurm.spec import ClusterSpec, load_spec
from tests.unit.test_cluster_managed import left_to_the_site
from tests.unit.test_cluster_plan import EXAMPLES, fresh, nodes_of

SMALL = load_spec(EXAMPLES / "small.yaml")
NODES = (
    "NodeName=v100-[01-03] CPUs=8 RealMemory=16384 Gres=gpu:v100:2 State=UNKNOWN\n"
    "NodeName=dev-01 CPUs=8 RealMemory=16384 Gres=gpu:gtx1080ti:2\n"
)
PLAIN = f"ClusterName=small\nSlurmctldHost=ctl\n{NODES}PartitionName=all Nodes=ALL Default=YES\n"
UGLY = (
    "# the cluster of the 2nd floor\r\n"
    "\r\n"
    "ClusterName=small\r\n"
    "  slurmctldhost = ctl(10.0.0.1)   # moved in May\r\n"
    "grestypes = gpu\t# M\udcfcller: no shards yet \\\r\n"
    "SchedulerParameters=bf_continue,bf_interval=30\r\n"
    "SchedulerParameters=bf_continue,\\\r\n"
    "default_queue_depth=500\r\n"
    'NodeName=DEFAULT CPUs=8 RealMemory=16384 Gres="gpu:v100:2,nic:1"\r\n'
    "NodeName=v100-[01-03],login-1 State=UNKNOWN\r\n"
    "NODENAME=dev-01 Gres=gpu:gtx1080ti:2\r\n"
    "PartitionName=v100  Nodes=v100-[01-03]   # the old one\r\n"
    "PartitionName=all Nodes=ALL Default=YES"
)


def written(folder: Path, text: str, **others: str) -> Observed:
    """Write the site's files, and return a Slurm that has the nodes which they name."""
    write_whole(folder / "slurm.conf", text)
    for name, content in others.items():
        write_whole(folder / name.replace("_", "."), content)
    return looked(folder)


def looked(folder: Path, **fields: object) -> Observed:
    site = read_site_conf(folder / "slurm.conf")
    ours = ("aistation.conf", "gres.conf", *policy.NAMES)
    files = {name: (folder / name).read_text() if (folder / name).exists() else None for name in ours}
    return fresh(SMALL, site=site, files=files, has_lua=True, **fields)


def plan_in(folder: Path, observed: Observed, spec: ClusterSpec = SMALL) -> Plan:
    return decide(spec, observed, conf_dir=folder, gpu_device="/dev/nvidia", source="cluster.yaml")


def edited(plan: Plan) -> list[c.EditLines]:
    return [change for change in plan.changes if isinstance(change, c.EditLines)]


def carried_out(plan: Plan) -> None:
    for change in plan.changes:
        if isinstance(change, c.EditLines):
            assert read_exactly(change.path) == change.old, "another text than the plan was made of"
        if isinstance(change, c.WriteFile):
            write_whole(change.path, change.text)


def edits_of(text: str, folder: Path, spec: ClusterSpec = SMALL) -> SiteEdits:
    write_whole(folder / "slurm.conf", text)
    return wanted_edits(spec, read_site_conf(folder / "slurm.conf"), has_lua=True)


def test_a_plain_slurm_conf_gets_what_it_lacks_and_says_what_stood_there(tmp_path):
    text = edits_of(PLAIN + "GresTypes=gpu\n", tmp_path).files[tmp_path / "slurm.conf"].text()
    lines = text.splitlines()
    assert "GresTypes=gpu,shard  # aistation: was GresTypes=gpu" in lines
    assert "PreemptType=preempt/qos  # aistation: added" in lines
    assert lines[-1] == "Include aistation.conf  # aistation: added"
    gone = "NodeName=dev-01 CPUs=8 RealMemory=16384 Gres=gpu:gtx1080ti:2"
    assert f"{gone},shard:8  # aistation: was {gone}" in lines
    assert lines[:3] == [*PLAIN.splitlines()[:3]], "what needs no edit stays"


def test_an_ugly_slurm_conf_is_edited_line_by_line(tmp_path):
    edits = edits_of(UGLY, tmp_path)
    text = edits.files[tmp_path / "slurm.conf"].text()
    lines = text.split("\r\n")
    assert lines[:4] == UGLY.split("\r\n")[:4]
    assert lines[4] == "GresTypes=gpu,shard  # aistation: was grestypes = gpu\t# M\udcfcller: no shards yet \\"
    assert lines[8:10] == UGLY.split("\r\n")[8:10]
    was = "NODENAME=dev-01 Gres=gpu:gtx1080ti:2"
    assert lines[10] == f"{was},shard:8  # aistation: was {was}"
    assert lines[11] == "# aistation: was PartitionName=v100  Nodes=v100-[01-03]   # the old one"
    assert not text.endswith("\n"), "no last line end before, none after"
    assert "PartitionName=all Nodes=ALL Default=YES\r\nSelectType=" in text
    assert [str(error) for error in edits.by_hand] == [
        f"{tmp_path}/slurm.conf:7: SchedulerParameters=bf_continue,default_queue_depth=500 does not do"
    ]
    assert edits.by_hand[0].hint.startswith("change it to the line: SchedulerParameters=bf_continue,default_queue")


def test_slurms_own_grammar_reads_the_edited_file_as_it_was_meant(tmp_path):
    text = UGLY.replace("SchedulerParameters=bf_continue,\\\r\ndefault_queue_depth=500\r\n", "")
    observed = written(tmp_path, text)
    carried_out(plan_in(tmp_path, observed))
    site = read_site_conf(tmp_path / "slurm.conf")
    for key, value in site_keys(SMALL).items():
        assert fixed(key, value, site.value(key)) == ""
    assert site.value("SchedulerParameters").startswith("bf_continue,bf_interval=30,batch_sched_delay=0")
    fatal = [each for each in lint(read_files(tmp_path / "slurm.conf"), Running()) if each.level == "fatal"]
    assert [each.rule for each in fatal if each.rule != "enforced-without-slurmdbd"] == []


def test_planning_again_after_the_edits_changes_nothing_in_them(tmp_path):
    carried_out(plan_in(tmp_path, written(tmp_path, PLAIN)))
    assert edited(plan_in(tmp_path, looked(tmp_path))) == []


def test_a_line_of_ours_that_somebody_changed_is_told_before_it_is_changed_back(tmp_path):
    carried_out(plan_in(tmp_path, written(tmp_path, PLAIN)))
    text = read_exactly(tmp_path / "slurm.conf").replace("=gpu,shard  #", "=gpu  #")
    write_whole(tmp_path / "slurm.conf", text)
    found = looked(tmp_path)
    plan = decide(SMALL, found, conf_dir=tmp_path, gpu_device="/dev/nvidia", source="cluster.yaml", last=SMALL)
    (change,) = edited(plan)
    assert change.lines == ("~ line 8  GresTypes=gpu -> GresTypes=gpu,shard",)
    assert change.by_hand == ("~ line 8  GresTypes=gpu,shard -> GresTypes=gpu",)


def test_what_nobody_needs_any_more_is_as_the_site_wrote_it(tmp_path):
    carried_out(plan_in(tmp_path, written(tmp_path, PLAIN)))
    assert read_exactly(tmp_path / "slurm.conf") != PLAIN
    plan = plan_in(tmp_path, looked(tmp_path), left_to_the_site(SMALL))
    carried_out(plan)
    assert read_exactly(tmp_path / "slurm.conf") == PLAIN
    lines = [line for change in edited(plan) for line in change.lines]
    assert "- line 6  SelectType=select/cons_tres" in lines


def test_what_is_kept_for_a_node_that_leaves_has_the_shares_of_its_own_line(tmp_path):
    few = PLAIN.replace("gpu:gtx1080ti:2\n", "gpu:gtx1080ti:2,shard:4\n")
    carried_out(plan_in(tmp_path, written(tmp_path, few)))
    assert "NodeName=dev-01 Name=shard Count=8\n" in (tmp_path / "gres.conf").read_text()
    carried_out(plan_in(tmp_path, looked(tmp_path), left_to_the_site(SMALL)))
    assert read_exactly(tmp_path / "slurm.conf") == few
    assert "NodeName=dev-01 Name=shard Count=4\n" in (tmp_path / "gres.conf").read_text()


def test_a_ratio_that_changes_changes_the_line_and_keeps_what_the_site_had(tmp_path):
    carried_out(plan_in(tmp_path, written(tmp_path, PLAIN)))
    group = SMALL.groups["dev"].model_copy(update={"shards_per_gpu": 2})
    other = SMALL.model_copy(update={"groups": {**SMALL.groups, "dev": group}})
    (change,) = edited(plan_in(tmp_path, looked(tmp_path), other))
    assert change.lines == ("~ line 4  NodeName=dev-01  Gres gpu:gtx1080ti:2,shard:8 -> gpu:gtx1080ti:2,shard:4",)
    assert "was NodeName=dev-01 CPUs=8 RealMemory=16384 Gres=gpu:gtx1080ti:2\n" in change.text


def test_a_line_of_several_nodes_of_which_some_change_is_split_and_joined_again(tmp_path):
    text = PLAIN.replace(NODES, "NodeName=v100-[01-03],dev-01 CPUs=8 RealMemory=16384 Gres=gpu:v100:2 Weight=7\n")
    file = edits_of(text, tmp_path).files[tmp_path / "slurm.conf"]
    assert list(file.contents())[3:5] == [
        "NodeName=dev-01 CPUs=8 RealMemory=16384 Gres=gpu:gtx1080ti:2,shard:8 Weight=7",
        "NodeName=v100-[01-03] CPUs=8 RealMemory=16384 Gres=gpu:v100:2 Weight=7",
    ]
    assert SiteText(file.text()).original() == text


def test_a_line_with_an_address_for_each_node_is_left_with_what_to_write(tmp_path):
    line = "NodeName=v100-[01-03],dev-01 NodeAddr=10.0.0.[1-4] CPUs=8 RealMemory=16384 Gres=gpu:v100:2\n"
    text = PLAIN.replace(NODES, line)
    edits = edits_of(text, tmp_path)
    (error,) = edits.by_hand
    assert error.where == f"{tmp_path}/slurm.conf:3"
    assert "only some of its nodes change, and it has values for each of them" in error.hint
    assert "NodeName=dev-01 NodeAddr=10.0.0.[1-4] CPUs=8 RealMemory=16384 Gres=gpu:gtx1080ti:2,shard:8" in error.hint
    assert edits.files[tmp_path / "slurm.conf"].content(3) == text.splitlines()[2]


def test_cores_said_by_sockets_are_left_to_a_person(tmp_path):
    text = PLAIN.replace("NodeName=dev-01 CPUs=8", "NodeName=dev-01 Sockets=1 CoresPerSocket=4")
    (error,) = edits_of(text, tmp_path).by_hand
    assert "its CPUs are said by sockets, cores and threads" in error.hint


def test_a_line_in_a_file_of_another_folder_is_not_ours_to_edit(tmp_path):
    (tmp_path / "etc").mkdir()
    write_whole(tmp_path / "gpus.conf", "GresTypes=gpu\n")
    (error,) = edits_of(PLAIN + "Include ../gpus.conf\n", tmp_path / "etc").by_hand
    assert (error.text, error.hint) == ("GresTypes=gpu does not do", "change it to the line: GresTypes=gpu,shard")


def test_a_line_in_an_included_file_beside_it_is_edited_there(tmp_path):
    write_whole(tmp_path / "gpus.conf", "GresTypes=gpu # ours\n")
    edits = edits_of(PLAIN + "Include gpus.conf\n", tmp_path)
    assert edits.files[tmp_path / "gpus.conf"].text() == "GresTypes=gpu,shard  # aistation: was GresTypes=gpu # ours\n"


def test_where_no_line_may_be_edited_each_is_said_as_it_is_to_be_written(tmp_path):
    never = SMALL.model_copy(update={"slurm": SMALL.slurm.model_copy(update={"edit": "never"})})
    observed = written(tmp_path, PLAIN)
    with pytest.raises(SpecErrors) as caught:
        plan_in(tmp_path, observed, never)
    assert "does not include aistation.conf; add the line: Include aistation.conf" in caught.value.hint
    assert "lacks PreemptType; add the line: PreemptType=preempt/qos" in caught.value.hint


def test_what_can_not_be_edited_is_an_error_that_says_the_line(tmp_path):
    observed = written(tmp_path, UGLY)
    with pytest.raises(SpecError, match=r"slurm.conf:7: SchedulerParameters=.* does not do"):
        plan_in(tmp_path, observed)


def test_our_file_is_there_before_the_line_that_includes_it(tmp_path):
    plan = plan_in(tmp_path, written(tmp_path, PLAIN))
    assert [move.path.name for move in moved(plan, tmp_path)] == ["gres.conf", "aistation.conf", "slurm.conf"]
    kinds = [type(change) for change in plan.changes]
    assert kinds.index(c.WriteRulesFirst) < kinds.index(c.EditLines), "slurmctld ends without job_submit.lua"
    assert kinds.index(c.WriteFile) < kinds.index(c.RestartController)


def test_what_slurmdbd_must_count_comes_before_the_first_limit(tmp_path):
    observed = written(tmp_path, PLAIN)
    plan = plan_in(tmp_path, replace(observed, tres=frozenset({"cpu", "mem"})))
    kinds = [type(change) for change in plan.changes]
    assert kinds[:3] == [c.EditLinesFirst, c.RestartControllerFirst, c.CreateQos]
    first, last = edited(plan)
    assert first.text.endswith(
        "GresTypes=gpu,shard  # aistation: added\n"
        "AccountingStorageTRES=gres/gpu,gres/gpu:gtx1080ti,gres/gpu:v100,gres/shard  # aistation: added\n"
    )
    assert last.old == first.text
    carried_out(plan)


def test_a_plugin_that_this_slurm_may_not_have_is_advised_and_not_written(tmp_path):
    observed = replace(written(tmp_path, PLAIN), has_lua=None)
    plan = plan_in(tmp_path, observed)
    assert "JobSubmitPlugins" not in edited(plan)[0].text
    assert any("better with the line JobSubmitPlugins=lua" in note for note in plan.notes)


def test_limits_that_begin_to_be_enforced_name_the_jobs_of_those_without_an_association(tmp_path):
    jobs = (Job(job_id=7, name="x", user="old", account="", partition="all", state=JobState.PENDING),)
    plan = plan_in(tmp_path, replace(written(tmp_path, PLAIN), jobs=jobs))
    assert edited(plan)[0].jobs == (7,)


def test_a_new_slurm_needs_no_restart(tmp_path):
    observed = written(tmp_path, PLAIN)
    old, new = (
        plan_in(tmp_path, replace(observed, config={"SLURM_VERSION": version})) for version in ("22.05.8", "23.11.1")
    )
    assert {str(change.effect) for change in edited(old)} == {"restart all"}
    assert {str(change.effect) for change in edited(new)} == {"reconfigure"}
    assert c.RestartController in map(type, old.changes)
    assert c.RestartController not in map(type, new.changes)
    assert c.Reconfigure in map(type, new.changes)


def test_a_partition_that_is_taken_over_is_in_one_file_at_any_time(tmp_path):
    site = "PartitionName=v100 Nodes=v100-[01-03]\n"
    rest = SMALL.model_copy(update={"groups": left_to_the_site(SMALL, groups=("v100",)).groups})
    carried_out(plan_in(tmp_path, written(tmp_path, PLAIN + site), rest))
    in_one_file_at_any_time(plan_in(tmp_path, looked(tmp_path)), tmp_path)
    assert SiteText(read_exactly(tmp_path / "slurm.conf")).original() == PLAIN + site


def test_a_partition_that_is_given_back_stands_where_it_stood(tmp_path):
    site = "PartitionName=v100 Nodes=v100-[01-03]\n"
    carried_out(plan_in(tmp_path, written(tmp_path, PLAIN + site)))
    rest = SMALL.model_copy(update={"groups": left_to_the_site(SMALL, groups=("v100",)).groups})
    job = Job(job_id=7, name="x", user="ann", partition="v100", nodes="v100-01", state=JobState.RUNNING)
    plan = plan_in(tmp_path, looked(tmp_path, jobs=(job,)), rest)
    assert not plan.refusals, "the partition does not go, it only stands elsewhere"
    in_one_file_at_any_time(plan, tmp_path)
    assert site in read_exactly(tmp_path / "slurm.conf")


def moved(plan: Plan, folder: Path) -> list[Move]:
    files = [each for each in plan.changes if isinstance(each, c.WriteFile) and not isinstance(each, c.WriteRules)]
    return moves([swap_of(each) for each in files], conf_dir=folder)


def in_one_file_at_any_time(plan: Plan, folder: Path) -> None:
    for move in moved(plan, folder):
        if move.content is None:
            move.path.unlink()
        else:
            move.path.write_bytes(move.content)
        conf = read_files(folder / "slurm.conf").conf
        assert sorted(line.name for line in conf.of("PartitionName")) == ["all", "dev", "v100"], move.path
        assert not conf.lost


def test_an_edit_that_is_not_yet_in_force_asks_for_the_restart(tmp_path):
    carried_out(plan_in(tmp_path, written(tmp_path, PLAIN)))
    running = {**site_keys(SMALL), "SelectTypeParameters": "CR_CPU", "SLURM_VERSION": "22.05.8"}
    plan = plan_in(tmp_path, looked(tmp_path, config=running))
    restart = next(change for change in plan.changes if isinstance(change, c.TellController))
    assert str(restart) == "~ slurmctld  restart: it still runs with SelectTypeParameters=CR_CPU"


def test_nodes_whose_line_is_right_and_slurmctld_has_as_before_ask_for_the_restart(tmp_path):
    carried_out(plan_in(tmp_path, written(tmp_path, PLAIN)))
    nodes = {node.name: node for node in nodes_of(SMALL)}
    nodes["dev-01"] = Node(
        name="dev-01", state=NodeState.parse("IDLE"), cpus=8, memory=16384, gres=read_gres("gpu:gtx1080ti:2")
    )
    plan = plan_in(tmp_path, looked(tmp_path, nodes=nodes))
    assert [str(each) for each in plan.changes if isinstance(each, c.RestartController | c.RestartNodes)] == [
        "~ slurmctld  restart: it has dev-01 as before",
        "~ slurmd on dev-01  restart: it takes its GPUs when it starts",
    ]


def test_a_node_that_the_site_has_just_written_is_made_known_by_a_restart(tmp_path):
    carried_out(plan_in(tmp_path, written(tmp_path, PLAIN)))
    nodes = {node.name: node for node in nodes_of(SMALL) if node.name != "v100-03"}
    plan = plan_in(tmp_path, looked(tmp_path, nodes=nodes))
    restart = next(change for change in plan.changes if isinstance(change, c.TellController))
    assert str(restart) == "~ slurmctld  restart: it does not know node v100-03 yet"


def test_shares_do_not_change_under_a_job(tmp_path):
    nodes = {node.name: node for node in nodes_of(SMALL)}
    nodes["dev-01"] = replace(nodes["dev-01"], gres=nodes["dev-01"].gres[:1])
    job = Job(job_id=7, name="x", user="ann", partition="all", nodes="dev-01", state=JobState.RUNNING)
    written(tmp_path, PLAIN)
    (refusal,) = plan_in(tmp_path, looked(tmp_path, nodes=nodes, jobs=(job,))).refusals
    assert refusal.text == f"{tmp_path}/slurm.conf:4: cores or GRES of dev-01 change under job 7"
    assert (refusal.safe_way, refusal.can_be_staged) == ("drain dev-01 first, then apply", True)


LINES = st.lists(
    st.sampled_from(
        [
            *("", "# a comment", "  # \\", "\x0c", "\udcff\udcfe", "x y z", "SlurmUser=slurm\\#1"),
            *("GresTypes=gpu", "gresTYPES =gpu,mps # x", "SelectType=select/linear \t", "PriorityType=priority/basic "),
            *(
                "PreemptMode=OFF # was it ever ON?",
                "JobSubmitPlugins=lua,partition",
                "AccountingStorageEnforce = limits",
            ),
            *("Include other.conf # theirs", "Include aistation.conf"),
            *("NodeName=DEFAULT CPUs=4", "NodeName=v100-[01-03] Gres=gpu:v100:2 CPUs=8"),
            *("NodeName=v100-[01-02] RealMemory=4000", "NodeName=dev-01,v100-03 State=UNKNOWN"),
            *(
                "PartitionName=DEFAULT MaxTime=7-0",
                "PartitionName=v100 Nodes=ALL",
                "PartitionName=dev \\",
                "   Nodes=ALL",
            ),
        ]
    ),
    max_size=14,
)


@given(LINES, st.lists(st.sampled_from(["\n", "\r\n"]), min_size=14, max_size=14), st.booleans())
@settings(max_examples=150, deadline=None)
def test_whatever_stands_there_the_edits_taken_back_give_the_same_bytes(tmp_path_factory, lines, ends, whole):
    folder = tmp_path_factory.mktemp("etc")
    text = "".join(line + end for line, end in zip(lines, ends, strict=False))
    text = text if whole else text.removesuffix("\n").removesuffix("\r")
    write_whole(folder / "slurm.conf", text)
    write_whole(folder / "other.conf", "GresTypes=gpu\r\n")
    edits = wanted_edits(SMALL, read_site_conf(folder / "slurm.conf"), has_lua=True)
    for path, file in edits.files.items():
        before = read_exactly(path)
        write_whole(path, file.text())
        assert SiteText(read_exactly(path)).original() == before
    again = wanted_edits(SMALL, read_site_conf(folder / "slurm.conf"), has_lua=True)
    assert {path: file.text() for path, file in again.files.items()} == {
        path: file.text() for path, file in edits.files.items()
    }
    for path, file in wanted_edits(left_to_the_site(SMALL), read_site_conf(folder / "slurm.conf")).files.items():
        write_whole(path, file.text())
    assert read_exactly(folder / "slurm.conf") == text
    assert read_exactly(folder / "other.conf") == "GresTypes=gpu\r\n"
