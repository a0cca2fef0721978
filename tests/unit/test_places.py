"""Where Slurm's files are beside this host: who has to have them, and that it is all of them or none."""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aistation_slurm.cluster.places import Host, Hosts, Seen, differing, hosts_of, open_place
from aistation_slurm.cluster.places.push import Push
from aistation_slurm.cluster.places.setup import authorized_line, setup_lines
from aistation_slurm.errors import HostsDiffer, HostUnreachable, PlaceError, SettingsError
from aistation_slurm.node.files import Node, serve
from aistation_slurm.settings import NodesSettings, Settings
from aistation_slurm.slurm.model import Node as SlurmNode
from aistation_slurm.slurm.states import NodeState

OLD, NEW = "old gres\n", "new gres\n"


def a_node(name, state="IDLE", **more):
    return SlurmNode(name=name, state=NodeState.parse(state), **more)


def test_hosts_are_asked_once_each_by_the_address_that_slurm_uses():
    nodes = [
        a_node("n1", hostname="gpu1", address="10.0.0.1"),
        a_node("n2", hostname="gpu1", address="10.0.0.1"),
        a_node("n3"),
    ]
    assert hosts_of(nodes, also="login-[01-02]", here=()).up == (
        Host("gpu1", "10.0.0.1"), Host("login-01", "login-01"), Host("login-02", "login-02"), Host("n3", "n3"),
    )  # fmt: skip


def test_this_host_pushes_nothing_to_itself():
    assert hosts_of([a_node("ctl"), a_node("n1")], also="ctl", here=("ctl.site.org", "ctl")).up == (Host("n1", "n1"),)


@pytest.mark.parametrize("state", ["DOWN", "IDLE*", "DOWN*+DRAIN", "IDLE+POWERED_DOWN", "UNKNOWN"])
def test_a_host_that_slurm_says_is_away_is_left_out_and_named(state):
    hosts = hosts_of([a_node("n1", state), a_node("n2")], here=())
    assert (hosts.up, hosts.left_out) == ((Host("n2", "n2"),), ("n1",))


def test_a_host_with_one_node_alive_is_not_left_out():
    assert hosts_of([a_node("a", "DOWN", hostname="h"), a_node("b", hostname="h")], here=()) == Hosts((Host("h", "h"),))


def test_a_list_of_more_hosts_that_is_none_is_said():
    with pytest.raises(SettingsError, match=r"\[nodes\] also"):
        hosts_of([], also="login-[01-")


def test_hosts_with_other_files_are_told_in_a_line_for_each_kind():
    from aistation_slurm.cluster.places.base import digest

    old, new = {"gres.conf": digest(OLD), "cgroup.conf": None}, {"gres.conf": digest(NEW), "cgroup.conf": None}
    seen = Seen(
        {"n1": new, "n2": old, "n3": old, "n4": {}},
        failed={"n5": "it does not answer within 5 s"},
        unfinished={"n2": "was cut off"},
    )
    assert differing(seen, {"gres.conf": NEW, "cgroup.conf": None}) == [
        "3 hosts have older files: n[2-4] (gres.conf)",
        "n2: was cut off",
        "n5: can't be asked: it does not answer within 5 s",
    ]


def test_a_shared_folder_needs_nothing_to_be_brought():
    place = open_place(Settings(), hosts_of([a_node("n1")], here=()))
    place.stage({"gres.conf": NEW})
    place.switch()
    place.back()
    assert (place.name, place.hosts, place.look(["gres.conf"])) == ("shared", (), Seen())
    assert place.cannot_carry(["anything.lua"]) == ()


@pytest.mark.parametrize(
    ("release", "names", "lacking"),
    [
        ("23.02.0", ["slurm.conf", "aistation.conf", "gres.conf", "cgroup.conf", "cli_filter.lua"], []),
        ("22.05.8", ["slurm.conf", "aistation.conf", "gres.conf", "cli_filter.lua"], ["aistation.conf"]),
        ("22.05.8", ["job_submit.lua", "aistation_fit.lua", "aistation_policy.lua", "aistation_policy.json"], []),
        ("21.08.8", ["aistation.conf", "cli_filter.lua", "gres.conf"], ["aistation.conf"]),
        ("20.11.9", ["cli_filter.lua"], ["cli_filter.lua"]),
        ("25.05.1", ["topology.yaml", "scrun.lua"], ["topology.yaml"]),
        ("25.05.2", ["topology.yaml"], []),
        ("26.05.5", ["site.conf", "prolog.sh"], ["site.conf", "prolog.sh"]),
        ("", ["topology.yaml"], []),
    ],
)
def test_what_a_configless_slurmctld_does_not_hand_out_is_told(release, names, lacking):
    place = open_place(Settings(nodes=NodesSettings(files="configless")), Hosts(), release=release)
    assert [line.partition(":")[0] for line in place.cannot_carry(names)] == lacking


@dataclass
class InProcess:
    """The nodes' real end, called in this very process; hosts break as they are told to."""

    root: Path
    broken: dict[str, str] = field(default_factory=dict)
    """Host -> verb at which it breaks: `deaf` before it was asked, else after it did what it was asked."""
    deaf: frozenset[str] = frozenset()

    def ask(self, host, request, body=b""):
        if host.name in self.deaf or self.broken.get(host.name) == f"deaf {request['verb']}":
            raise HostUnreachable("it does not answer within 5 s")
        out = io.BytesIO()
        serve(Node(self.root / host.name), io.BytesIO(json.dumps(request).encode() + b"\n" + body), out)
        if self.broken.get(host.name) == request["verb"]:
            raise PlaceError("no answer within 30 s")
        answer = json.loads(out.getvalue())
        if not answer["ok"]:
            raise PlaceError(answer["error"])
        return answer


def hosts_in(root, count):
    names = [f"n{each:04}" for each in range(count)]
    for name in names:
        (root / name).mkdir()
        (root / name / "gres.conf").write_text(OLD)
    return Hosts(tuple(Host(name, name) for name in names))


def held(root):
    return {path.name: (path / "gres.conf").read_text() for path in root.iterdir()}


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([f"n{each:04}" for each in range(6)]),
        st.sampled_from([f"{how}{verb}" for verb in ("stage", "switch", "back", "drop") for how in ("", "deaf ")]),
        max_size=4,
    )
)
def test_whatever_hosts_break_all_have_the_new_files_or_all_the_old_ones_or_are_named(tmp_path_factory, broken):
    root = tmp_path_factory.mktemp("hosts")
    place, error = Push(InProcess(root, broken), hosts_in(root, 6), at_once=3), None
    try:
        place.stage({"gres.conf": NEW})
        place.switch()
    except PlaceError as caught:
        error = caught
    new = {name for name, text in held(root).items() if text == NEW}
    if error is None:
        assert len(new) == 6
        assert not {"stage", "switch"} & {word.removeprefix("deaf ") for word in broken.values()}
    elif isinstance(error, HostsDiffer):
        assert new <= set(error.failed)
    else:
        assert new == set()
        assert set(error.failed) <= set(broken)
    mended = Push(InProcess(root), place._hosts)
    mended.stage({"gres.conf": "third\n"})
    mended.switch()
    assert set(held(root).values()) == {"third\n"}


def test_hosts_that_fail_alike_share_a_line(tmp_path):
    place = Push(InProcess(tmp_path, deaf=frozenset({"n0001", "n0002"})), hosts_in(tmp_path, 4))
    (tmp_path / "n0003" / "gres.conf").unlink()
    (tmp_path / "n0003" / "gres.conf").symlink_to("elsewhere")
    with pytest.raises(PlaceError, match="3 hosts could not take the new files; nothing was changed") as caught:
        place.stage({"gres.conf": NEW})
    assert caught.value.hint.splitlines()[:2] == [
        "n[0001-0002]: it does not answer within 5 s",
        "n0003: gres.conf is no plain file; a link or a folder is left alone",
    ]


def test_interrupted_while_it_stages_it_drops_what_was_staged(tmp_path):
    place = Push(InProcess(tmp_path), hosts_in(tmp_path, 3))
    real = place._asker.ask

    def ctrl_c(host, request, body=b""):
        if request["verb"] == "stage" and host.name == "n0002":
            raise KeyboardInterrupt
        return real(host, request, body)

    place._asker.ask = ctrl_c
    with pytest.raises(KeyboardInterrupt):
        place.stage({"gres.conf": NEW})
    assert place.look(["gres.conf"]).unfinished == {}


def test_a_network_that_is_away_is_told_after_some_hosts_not_after_all(tmp_path):
    hosts = Hosts(tuple(Host(f"n{each:04}", "") for each in range(400)))
    place = Push(InProcess(tmp_path, deaf=frozenset(host.name for host in hosts.up)), hosts, at_once=8)
    with pytest.raises(PlaceError) as caught:
        place.stage({"gres.conf": NEW})
    assert sum(why.startswith("not asked any more") for why in caught.value.failed.values()) > 200
    assert len(caught.value.hint.splitlines()) == 3


def test_a_file_that_is_to_go_goes_everywhere_and_comes_back(tmp_path):
    place = Push(InProcess(tmp_path), hosts_in(tmp_path, 3))
    place.stage({"gres.conf": None})
    place.switch()
    assert place.look(["gres.conf"]).files["n0001"] == {"gres.conf": None}
    place.back()
    assert set(held(tmp_path).values()) == {OLD}


def test_bytes_that_are_no_utf8_reach_the_nodes_as_they_are(tmp_path):
    place = Push(InProcess(tmp_path), hosts_in(tmp_path, 1))
    place.stage({"slurm.conf": b"# caf\xe9\n".decode("utf-8", "surrogateescape")})
    place.switch()
    assert (tmp_path / "n0000" / "slurm.conf").read_bytes() == b"# caf\xe9\n"


def test_files_that_nodes_do_not_take_are_named_before_anything_is_sent(tmp_path):
    assert Push(InProcess(tmp_path), Hosts()).cannot_carry(["gres.conf", "site.conf"])[0].startswith("site.conf: ")
    assert Push(InProcess(tmp_path), Hosts(), names=["site.conf"]).cannot_carry(["gres.conf", "site.conf"]) == ()


def test_nodes_take_every_file_that_we_write():
    from aistation_slurm.cluster.rules import policy
    from aistation_slurm.cluster.rules.compiled import COMPILED
    from aistation_slurm.cluster.site import conf as site
    from aistation_slurm.cluster.wanted import files
    from aistation_slurm.node.folder import NAMES

    assert {
        site.CONF,
        files.GRES,
        "slurm.conf",
        "cgroup.conf",
        "topology.conf",
        *policy.NAMES,
        policy.FILTER,
        COMPILED,
    } <= NAMES


def test_the_line_for_authorized_keys_is_one_command_and_nothing_beside_it(tmp_path):
    (tmp_path / "key.pub").write_text("ssh-ed25519 AAAAC3 aistation\n")
    nodes = NodesSettings(key=tmp_path / "key", names=("site.conf",))
    line = authorized_line(
        Settings(nodes=nodes), program=Path("/usr/bin/aistation"), folder=Path("/etc/slurm"), restart_with='sh -c "x y"'
    )
    assert line == (
        'restrict,command="/usr/bin/aistation node files --folder /etc/slurm --name site.conf '
        '--restart-with \'sh -c \\"x y\\"\'" ssh-ed25519 AAAAC3 aistation'
    )


def test_the_setup_names_the_files_that_the_settings_name(tmp_path):
    nodes = NodesSettings(key=tmp_path / "key", known_hosts=tmp_path / "known", port=2222)
    said = "\n".join(setup_lines(Settings(nodes=nodes), program=Path("/usr/bin/aistation"), folder=Path("/etc/slurm")))
    assert f"-f {tmp_path}/key" in said
    assert "[$(hostname -s)]:2222" in said
    assert f">> {tmp_path}/known" in said
