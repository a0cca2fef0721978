"""Teams as accounts: which stands below which, what share it has, and who coordinates it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aistation_slurm.cluster.observed import Observed
from aistation_slurm.cluster.planning.accounting import strangers
from aistation_slurm.cluster.planning.drift import with_drift
from aistation_slurm.cluster.wanted.desired import desired
from aistation_slurm.errors import SpecError
from aistation_slurm.slurm.model import Account, Association
from aistation_slurm.spec import ClusterSpec, Team, load_spec
from tests.unit.test_cluster_plan import above, after, fresh, plan_of

EXAMPLES = Path(__file__).resolve().parents[2] / "slurm_conf" / "examples"
SMALL = load_spec(EXAMPLES / "small.yaml")
NAMES = ("a", "b", "c", "d")


def spec_of(**teams: dict[str, object]) -> ClusterSpec:
    """Return a small cluster with these teams; each has the same two members."""
    made = {name: Team.model_validate({"members": ["ann", "bob"], **keys}) for name, keys in teams.items()}
    return SMALL.model_copy(update={"teams": made})


def slurm_with(spec: ClusterSpec, observed: Observed | None = None) -> Observed:
    """Return the Slurm once the spec was applied to it, as sacctmgr shows it."""
    before = observed or fresh(spec)
    return after(plan_of(spec, before), spec, before)


def as_shown(observed: Observed) -> Observed:
    """Return the Slurm as sacctmgr shows it: among an account's coordinators are those of the accounts above."""
    told = {
        name: replace(account, coordinators=tuple(sorted(coordinators_of(observed, name))))
        for name, account in observed.accounts.items()
    }
    return replace(observed, accounts=told)


def coordinators_of(observed: Observed, name: str) -> set[str]:
    here = (name, *above(observed.associations, name))
    return {user for each in here if each in observed.accounts for user in observed.accounts[each].coordinators}


def parents(observed: Observed) -> dict[str, str]:
    return {account: row.parent for (account, user), row in observed.associations.items() if not user}


def lines(spec: ClusterSpec, observed: Observed) -> list[str]:
    """Return the changes of accounts and coordinators, each as its line."""
    return [str(each) for each in plan_of(spec, observed).changes if str(each)[2:].startswith(("account", "coord"))]


def test_a_team_is_made_below_its_parent_whichever_stands_first_in_the_file():
    found = slurm_with(spec_of(child={"parent": "top", "weight": 3}, top={}))
    assert parents(found) == {"child": "top", "top": "root"}
    assert found.associations["child", ""].share == 3


def test_a_move_and_a_new_share_are_one_line_each():
    found = slurm_with(spec_of(a={}, b={}))
    spec = spec_of(a={"parent": "b", "weight": 5}, b={})
    assert lines(spec, found) == ["~ account a  Parent root -> b", "~ account a  Fairshare 1 -> 5"]
    (move, share) = plan_of(spec, found).changes[:2]
    assert move.argv() == ("sacctmgr", "modify", "account", "where", "name=a", "cluster=small", "set", "parent=b")
    assert share.argv()[-1] == "Fairshare=5"


def test_what_the_file_does_not_speak_of_is_left_as_it_is():
    found = slurm_with(spec_of(a={"parent": "b", "weight": 5, "coordinators": ["ann"]}, b={}))
    assert lines(spec_of(a={}, b={}), found) == []


def test_two_teams_that_change_places_go_by_way_of_where_the_upper_one_was():
    found = slurm_with(spec_of(a={"parent": "b"}, b={}))
    spec = spec_of(a={}, b={"parent": "a"})
    assert lines(spec, found) == ["~ account a  Parent b -> root", "~ account b  Parent root -> a"]
    assert parents(slurm_with(spec, found)) == {"a": "root", "b": "a"}


def test_a_parent_that_goes_leaves_what_is_below_it():
    found = slurm_with(spec_of(a={"parent": "b"}, b={"parent": "c"}, c={}))
    spec = spec_of(a={}, c={})
    assert "~ account a  Parent b -> c" in lines(spec, found)
    assert parents(slurm_with(spec, found)) == {"a": "c", "c": "root"}


def with_account_of_the_site(observed: Observed, name: str, parent: str) -> Observed:
    row = Association(cluster="small", account=name, parent=parent)
    return replace(
        observed,
        accounts={**observed.accounts, name: Account(name=name, description="theirs")},
        associations={**observed.associations, (name, ""): row},
    )


def test_an_account_of_the_sites_own_is_not_taken_along_by_a_parent_that_goes():
    found = with_account_of_the_site(slurm_with(spec_of(a={}, b={})), "theirs", "b")
    (said,) = strangers(desired(spec_of(a={})), found)
    assert "account theirs is the site's own, and stands below team b, which is to go" in str(said)
    assert said.hint == "sacctmgr modify account where name=theirs cluster=small set parent=root"


def test_a_team_is_not_put_below_an_account_of_the_sites_that_stands_below_it():
    found = with_account_of_the_site(slurm_with(spec_of(a={})), "theirs", "a")
    spec = spec_of(a={"parent": "theirs"}, theirs={"managed_by": "site"})
    with pytest.raises(SpecError, match="team a can't be below theirs"):
        plan_of(spec, found)


def test_a_parent_that_the_site_has_not_made_is_told():
    spec = spec_of(a={"parent": "theirs"}, theirs={"managed_by": "site"})
    (said,) = strangers(desired(spec), fresh(spec))
    assert "team a is to be below account theirs, which Slurm does not have" in str(said)


def test_coordinators_come_and_go_by_name():
    found = slurm_with(spec_of(a={"coordinators": ["ann"]}, b={"coordinators": ["ann"]}))
    spec = spec_of(a={"coordinators": ["bob"]}, b={"coordinators": ["bob"]})
    assert lines(spec, found) == ["+ coordinator bob  of a,b", "- coordinator ann  of a,b"]
    add, remove = plan_of(spec, found).changes[:2]
    assert add.argv() == ("sacctmgr", "add", "coordinator", "account=a,b", "names=bob")
    assert remove.argv() == ("sacctmgr", "delete", "coordinator", "where", "account=a,b", "names=ann")


def test_no_coordinator_of_a_team_is_left_where_the_file_says_that_there_is_none():
    found = slurm_with(spec_of(a={"coordinators": ["ann"]}))
    assert lines(spec_of(a={"coordinators": []}), found) == ["- coordinator ann  of a"]


def test_the_coordinator_of_a_parent_is_not_taken_from_the_teams_below():
    spec = spec_of(top={"coordinators": ["ann"]}, a={"parent": "top", "coordinators": ["bob"]})
    assert not plan_of(spec, as_shown(slurm_with(spec)))


def test_a_team_keeps_its_own_coordinator_when_the_parent_loses_the_same_one():
    found = slurm_with(spec_of(top={"coordinators": ["ann"]}, a={"parent": "top", "coordinators": ["ann"]}))
    spec = spec_of(top={"coordinators": []}, a={"parent": "top", "coordinators": ["ann"]})
    there = slurm_with(spec, found)
    assert coordinators_of(there, "a") == {"ann"}
    assert not plan_of(spec, as_shown(there))


def by_hand(last: ClusterSpec, observed: Observed) -> list[str]:
    """Return what was changed by hand since the file was applied."""
    changes = with_drift(plan_of(last, observed).changes, last, observed)
    return [line for change in changes for line in change.by_hand]


def test_what_somebody_changed_by_hand_is_told_and_what_the_file_changes_is_not():
    spec = spec_of(a={"parent": "b", "weight": 5, "coordinators": ["ann"]}, b={})
    found = slurm_with(spec)
    row = replace(found.associations["a", ""], parent="root", share=1)
    moved = replace(found, associations={**found.associations, ("a", ""): row})
    moved = replace(moved, accounts={**moved.accounts, "a": replace(moved.accounts["a"], coordinators=("bob",))})
    assert by_hand(spec, moved) == [
        "account a was moved",
        "Fairshare 5 -> 1",
        "coordinator ann of a was removed",
        "coordinator bob of a was added",
    ]
    heavier = spec_of(a={"parent": "b", "weight": 6, "coordinators": ["ann"]}, b={"weight": 2})
    assert not any(change.by_hand for change in with_drift(plan_of(heavier, found).changes, spec, found))


@st.composite
def trees(draw: st.DrawFn) -> dict[str, dict[str, object]]:
    """Teams each of which has one before it in a random order as its parent, or root, or says nothing."""
    names = draw(st.permutations(NAMES))[: draw(st.integers(1, len(NAMES)))]
    found: dict[str, dict[str, object]] = {}
    for index, name in enumerate(names):
        parent = draw(st.sampled_from([None, "root", *names[:index]]))
        keys = {} if parent is None else {"parent": parent}
        if draw(st.booleans()):
            keys["coordinators"] = draw(st.sampled_from([[], ["ann"], ["bob"], ["ann", "bob"]]))
        found[name] = keys
    return found


@given(trees(), trees())
@settings(max_examples=150, deadline=None)
def test_from_any_tree_to_any_other_in_one_apply_without_a_circle_or_an_account_too_few(first, second):
    found = as_shown(slurm_with(spec_of(**first)))
    spec = spec_of(**second)
    there = slurm_with(spec, found)
    assert set(parents(there)) == set(second)
    assert {name: parents(there)[name] for name, keys in second.items() if "parent" in keys} == {
        name: keys["parent"] for name, keys in second.items() if "parent" in keys
    }
    for name, keys in second.items():
        assert set(keys.get("coordinators", ())) <= coordinators_of(there, name)
    assert [str(each) for each in plan_of(spec, as_shown(there)).changes] == []
