"""The plan as a person sees it: a page on a terminal, plain lines in a pipe, whole in JSON."""

from __future__ import annotations

import io
import json
from dataclasses import replace

from rich.console import Console

from aistation_slurm.cli.plan_page import as_dict, print_page, print_plan, shortened, what_next
from aistation_slurm.cli.show import plain
from aistation_slurm.cluster.planning.plan import Plan
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState
from aistation_slurm.spec import load_spec
from tests.unit.test_cluster_plan import EXAMPLES, applied, changed, fresh, plan_of
from tests.unit.test_cluster_plan_drift import plan_after, with_limit

SMALL, SIX = load_spec(EXAMPLES / "small.yaml"), load_spec(EXAMPLES / "six-teams.yaml")
FEWER = changed(SMALL, groups={"v100": SMALL.groups["v100"]})
JOB = Job(job_id=7, name="x", user="ann", account="behavior", partition="dev", state=JobState.RUNNING)


def page(plan: Plan, *, width: int = 100, colour: bool = False) -> str:
    file = io.StringIO()
    print_page(plan, Console(file=file, width=width, force_terminal=colour, highlight=False))
    return file.getvalue()


def refused() -> Plan:
    return plan_of(FEWER, replace(applied(SMALL), jobs=(JOB,)))


def test_what_is_refused_stands_at_the_top_with_the_safe_way():
    lines = page(refused()).splitlines()
    assert lines[0] == "Refused"
    assert lines[1].strip() == "refused, because group 'dev' can't go while it has jobs: 7"
    assert lines[2].strip().startswith("the safe way: scontrol update partition=dev state=DRAIN")
    assert what_next(refused()).endswith("aistation cluster apply --staged")


def test_changes_stand_under_what_they_are_about():
    titles = [line for line in page(plan_of(SIX, fresh(SIX))).splitlines() if line and line[0] not in " -+~"]
    assert titles[:4] == ["Accounting", "Files", "Slurm is told", "Rules of submission"]
    assert any(line.startswith("plan ") for line in titles[4:])


def test_the_effect_stands_at_the_right_of_the_line():
    (line,) = [each for each in page(plan_of(SIX, fresh(SIX))).splitlines() if "file /etc/slurm/aistation.conf" in each]
    assert line.rstrip().endswith("reconfigure")
    assert "(reconfigure)" not in line


def test_on_a_narrow_terminal_it_follows_the_line():
    text = page(plan_of(SIX, fresh(SIX)), width=60)
    assert "[reconfigure]" in text
    assert max(map(len, text.splitlines())) <= 60


def test_a_long_list_of_members_is_cut_and_counted():
    text = page(plan_of(SIX, fresh(SIX)))
    assert "user ann,bob,abby,adele,agnes and 15 more" in " ".join(text.split())
    assert shortened("+ user a,b,c,d,e,f  in x") == "+ user a,b,c,d,e,f  in x", "one name is shorter than `and 1 more`"
    assert shortened("~ x AllowAccounts=a,b,c,d,e,f,g") == "~ x AllowAccounts=a,b,c,d,e,f,g"


def test_what_was_changed_by_hand_is_marked_and_counted():
    text = page(plan_after(with_limit(applied(SMALL), 12)))
    assert "changed by hand since the last apply: MaxJobsPerUser none -> 12" in text
    assert "1 would undo what was changed by hand" in " ".join(text.split())


def test_colours_tell_what_comes_and_what_goes(monkeypatch):
    text = page(plan_of(FEWER, applied(SMALL)), colour=True)
    assert "\x1b[31m-\x1b[0m" in text
    assert "\x1b" not in page(plan_of(FEWER, applied(SMALL)))


def test_a_pipe_gets_a_plain_line_a_change_with_its_jobs(capsys):
    plan = plan_of(FEWER, replace(applied(SMALL), jobs=(JOB,)))
    print_plan(plan)
    said = capsys.readouterr()
    assert "~ file /etc/slurm/aistation.conf  (reconfigure)  [job 7]" in said.out.splitlines()
    assert said.out.splitlines()[-1] == plan.summary()
    assert said.err.startswith("refused: group 'dev' can't go while it has jobs: 7; ")
    assert "\x1b" not in said.out


def test_json_leaves_nothing_out():
    found = json.loads(json.dumps(plain(as_dict(refused()))))
    assert found["refusals"][0]["can_be_staged"] is True
    assert found["effect"] == "reconfigure"
    file = next(each for each in found["changes"] if each.get("path") == "/etc/slurm/aistation.conf")
    assert (file["kind"], file["jobs"]) == ("WriteFile", [7])
    assert "- partition dev" in file["lines"]
    whole = json.dumps(plain(as_dict(plan_of(SIX, fresh(SIX)))))
    assert "agnes,aida,alba" in whole
