"""What the cluster file leaves to the site is known and shown, and never changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from aistation_slurm.cluster.changes import WriteRules
from aistation_slurm.cluster.observed import Observed
from aistation_slurm.cluster.site.conf import SiteConf
from aistation_slurm.errors import SpecError
from aistation_slurm.priority.rights import plan_right
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.marks import MARK
from aistation_slurm.slurm.model import Account, Association, Qos
from aistation_slurm.spec import ClusterSpec, load_spec
from tests.unit.test_cluster_plan import applied, fresh, plan_of

EXAMPLES = Path(__file__).resolve().parents[2] / "slurm_conf" / "examples"
BARE = SiteConf(Path("/etc/slurm/slurm.conf"), {"clustername": ("institute", "slurm.conf:1")})
"""A slurm.conf without our Include, and without a key that we would ask for."""


@pytest.fixture(scope="module")
def institute() -> ClusterSpec:
    return load_spec(EXAMPLES / "eight-machines.yaml")


def left_to_the_site(spec: ClusterSpec, *, groups: tuple[str, ...] = (), teams: tuple[str, ...] = ()) -> ClusterSpec:
    """Return the cluster with these groups and teams as the site's own; all of them where none is named."""
    is_all = not groups and not teams
    own = {"managed_by": "site"}
    return spec.model_copy(
        update={
            "groups": {k: v.model_copy(update=own) if is_all or k in groups else v for k, v in spec.groups.items()},
            "teams": {k: v.model_copy(update=own) if is_all or k in teams else v for k, v in spec.teams.items()},
        }
    )


def test_where_nothing_is_ours_the_plan_is_empty_on_a_slurm_conf_that_knows_nothing_of_us(institute):
    site = left_to_the_site(institute)
    plan = plan_of(site, fresh(site, site=BARE, files={}, nodes={}))
    assert not plan
    assert (plan.lines(), plan.notes, plan.refusals) == ([], (), ())


def test_files_of_the_site_are_left_where_nothing_is_ours(institute):
    files = {"gres.conf": "AutoDetect=nvml\n", "job_submit.lua": "function slurm_job_submit() end\n"}
    site = left_to_the_site(institute)
    assert not plan_of(site, fresh(site, site=BARE, files=files))


def test_a_group_of_the_site_is_in_no_file_and_no_qos_of_ours(institute):
    site = left_to_the_site(institute, groups=("a100",))
    plan = plan_of(site, fresh(site))
    text = "\n".join(change.text for change in plan.changes if hasattr(change, "text"))
    assert "PartitionName=v100" in text
    assert "a100-[01-02]" not in text
    assert "group-v100" in str(plan)
    assert "group-a100" not in str(plan)


def test_nodes_and_lines_of_a_group_of_the_site_are_not_complained_of(institute):
    site = left_to_the_site(institute, groups=("a100",))
    observed = fresh(site)
    nodes = {name: node for name, node in observed.nodes.items() if not name.startswith("a100")}
    conf = replace(observed.site, partitions={"a100": "slurm.conf:12"})
    assert plan_of(site, replace(observed, nodes=nodes, site=conf))


def test_a_team_of_the_site_gets_no_account_and_its_users_no_limit(institute):
    site = left_to_the_site(institute, teams=("vision",))
    lines = [line for line in plan_of(site, fresh(site)).lines() if line.startswith(("+ account", "+ user"))]
    assert lines
    assert not [line for line in lines if "vision" in line or "eve," in line]


def test_a_team_that_is_handed_to_the_site_keeps_its_account_its_users_and_what_they_may(institute):
    observed = applied(institute)
    site = left_to_the_site(institute, teams=("vision",))
    changes = [each for each in plan_of(site, observed).changes if not isinstance(each, WriteRules)]
    assert not [str(each) for each in changes if "vision" in str(each)]


def test_a_qos_of_ours_stays_while_an_account_of_the_site_rests_on_it():
    site = left_to_the_site(load_spec(EXAMPLES / "small.yaml"))
    rows = [
        Association(cluster="small", account="face"),
        Association(cluster="small", account="face", user="chen", qos=("night", "normal")),
    ]
    observed = Observed(
        cluster="small",
        site=replace(BARE, keys={}),
        files={},
        qos={name: Qos(name=name, description=MARK) for name in ("night", "old")},
        accounts={"face": Account(name="face", description=MARK)},
        associations={(each.account, each.user): each for each in rows},
    )
    assert plan_of(site, observed).lines() == ["- qos old"]


def test_the_right_to_emergency_jobs_in_a_team_of_the_site_is_not_ours_to_give(tmp_path):
    path = tmp_path / "cluster.yaml"
    text = (EXAMPLES / "small.yaml").read_text()
    path.write_text(text.replace("members: [chen, eve]", "members: [chen, eve], managed_by: site"))
    for give in (True, False):
        with pytest.raises(SpecError, match="team face is the site's own"):
            plan_right(path, Slurm(read=None, write=None), user="eve", team=None, give=give)
