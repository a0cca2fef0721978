"""What a one-machine cluster is to be: its ports, its network, its nodes, kept from one start to the next."""

import socket

import pytest

from aistation_slurm.assets import asset_dir
from aistation_slurm.devcluster import plan, ports
from aistation_slurm.devcluster.paths import Paths, names, paths_of
from aistation_slurm.devcluster.plan import Wishes, choose_slot, make_record, needed_ports, raise_if_no_memory
from aistation_slurm.devcluster.ports import choose_ports, is_free, listener, ports_of
from aistation_slurm.devcluster.record import ClusterRecord, load_record, save_record
from aistation_slurm.devcluster.source import choose_file, first_nodes, scaled
from aistation_slurm.errors import DevClusterError, PortInUse, SpecError, UnknownNameError
from aistation_slurm.spec import load_spec

EXAMPLES = asset_dir("slurm_conf") / "examples"
SMALL, SIX_TEAMS = EXAMPLES / "small.yaml", EXAMPLES / "six-teams.yaml"


@pytest.fixture
def quiet(monkeypatch):
    """A machine on which every port is free and namespaces work."""
    monkeypatch.setattr(ports, "is_free", lambda port: True)
    monkeypatch.setattr(plan, "choose_subnet", lambda taken: min(set(range(1, 255)) - set(taken)))
    monkeypatch.setattr(plan.network, "namespaces_work", lambda: True)


def a_record(tmp_path, name="dev", file=SMALL, old=None, **wishes) -> ClusterRecord:
    return make_record(load_spec(file), Wishes(name=name, **wishes), Paths(name, tmp_path), old)


def test_few_nodes_get_a_network_each_with_agents_and_daemon(tmp_path, quiet):
    record = a_record(tmp_path)

    assert record.layout == "netns"
    assert (record.agents, record.daemon, record.page) == (True, True, False)
    assert [each.address for each in record.nodes] == [f"10.213.1.{n}" for n in (2, 3, 4, 5)]
    assert record.address == "10.213.1.1"


def test_ninety_five_nodes_share_loopback_each_with_its_port(tmp_path, quiet):
    record = a_record(tmp_path, file=SIX_TEAMS)

    assert record.layout == "loopback"
    assert len({each.port for each in record.nodes}) == 95
    assert not record.agents
    assert len(record.users) == 120


def test_a_second_start_keeps_ports_network_and_wishes(tmp_path, quiet):
    first = a_record(tmp_path, page=True, agents=False)
    assert a_record(tmp_path, old=first) == first


def test_two_clusters_share_no_port_network_job_id_or_interface(tmp_path, quiet):
    one = a_record(tmp_path, name="one")
    save_record_in(tmp_path, one)

    two = a_record(tmp_path, name="two")

    assert not ports_of(one) & ports_of(two)
    assert one.subnet != two.subnet
    assert not set(one.job_ids[::1000]) & set(two.job_ids[::1000])
    assert {one.bridge, one.veth(one.nodes[0])}.isdisjoint({two.bridge, two.veth(two.nodes[0])})


def save_record_in(base, record):
    paths = Paths(record.name, base)
    paths.root.mkdir(parents=True)
    save_record(paths, record)


def test_names_of_interfaces_fit_into_the_kernels_fifteen_characters(tmp_path, quiet):
    record = a_record(tmp_path, name="a-very-long-name-of-a-cluster-indeed-yes")
    last = record.nodes[-1].model_copy(update={"index": 9999})

    assert len(record.bridge) <= 15
    assert len(record.veth(last)) <= 15


def test_another_layout_or_name_in_slurm_needs_a_down_first(tmp_path, quiet):
    old = a_record(tmp_path)

    with pytest.raises(DevClusterError, match="not small in layout loopback") as error:
        a_record(tmp_path, old=old, layout="loopback")

    assert "dev down" in error.value.hint


def test_more_nodes_than_before_get_new_ports_beyond_the_others(tmp_path, quiet):
    old = a_record(tmp_path, layout="loopback")
    more = a_record(tmp_path, old=old.model_copy(update={"nodes": old.nodes[:2]}))

    assert more.ports.slurmctld == old.ports.slurmctld
    assert len(ports_of(more)) == 5 + 4


def test_a_record_comes_back_as_it_was_written(tmp_path, quiet):
    record = a_record(tmp_path)
    save_record_in(tmp_path, record)

    assert load_record(Paths("dev", tmp_path)) == record
    assert names(tmp_path) == ["dev"]


def test_a_damaged_record_says_how_to_go_on(tmp_path):
    paths = Paths("dev", tmp_path)
    paths.root.mkdir()
    paths.record.write_text('{"name": ')

    with pytest.raises(DevClusterError, match="damaged") as error:
        load_record(paths)

    assert "dev down --name dev" in error.value.hint


def test_an_unknown_node_is_named_with_the_nearest(tmp_path, quiet):
    with pytest.raises(UnknownNameError, match="no node called 'v100-1'") as error:
        a_record(tmp_path).node("v100-1")

    assert error.value.hint == "did you mean 'v100-01'?"


@pytest.mark.parametrize("name", ["", "Dev", "../x", "home", "a b", "-a", "x" * 41, "a\n"])
def test_a_name_that_cannot_be_a_folder_is_refused(name):
    with pytest.raises(DevClusterError, match="can't be called"):
        paths_of(name)


def test_the_lowest_free_slot_is_taken():
    assert choose_slot([]) == 0
    assert choose_slot([0, 1, 3]) == 2
    with pytest.raises(DevClusterError, match="most on one machine"):
        choose_slot(range(60))


def test_ports_skip_what_is_taken_and_keep_the_nodes_in_a_row(monkeypatch):
    monkeypatch.setattr(ports, "is_free", lambda port: port not in {21003, ports.WEB})

    chosen = choose_ports(3, taken={21000})

    assert chosen.slurmctld == 21004
    assert (chosen.web, chosen.heartbeat) == (21007, ports.HEARTBEAT)
    assert chosen.slurmd == 21009


def test_no_room_for_all_ports_is_one_clear_sentence(monkeypatch):
    monkeypatch.setattr(ports, "is_free", lambda port: port % 50 != 0)
    with pytest.raises(DevClusterError, match="no 105 free ports in a row"):
        choose_ports(100, taken=())


def test_a_port_that_somebody_has_is_seen_with_his_name():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]

        assert not is_free(port)
        assert "pid" in listener(port)
    assert is_free(port)


def test_an_occupied_port_is_refused_unless_its_daemon_runs_already(tmp_path, quiet, monkeypatch):
    record = a_record(tmp_path)
    monkeypatch.setattr(plan, "is_free", lambda port: port != record.ports.slurmdbd)

    with pytest.raises(PortInUse, match="which slurmdbd of dev needs"):
        plan.raise_if_occupied(record, {}, patience=0)

    plan.raise_if_occupied(record, {"slurmdbd": None})


def test_only_the_ports_of_what_is_started_are_needed(tmp_path, quiet):
    record = a_record(tmp_path, daemon=False)
    assert [name for name, _ in needed_ports(record)] == ["slurmctld", "slurmdbd", "mariadbd"]


def test_too_little_memory_says_how_much_and_what_to_do(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 2000000 kB\nMemAvailable: 512000 kB\n")

    raise_if_no_memory(4, meminfo)
    raise_if_no_memory(0, meminfo)
    with pytest.raises(DevClusterError, match="95 nodes need about 1160 MiB of memory, 500 MiB are available") as error:
        raise_if_no_memory(95, meminfo)

    assert "--scale" in error.value.hint


def test_scaled_down_each_group_keeps_its_first_nodes_and_all_else(tmp_path):
    spec = load_spec(scaled(SIX_TEAMS, 2, tmp_path / "cluster.yaml"))
    whole = load_spec(SIX_TEAMS)

    assert [len(group.node_names()) for group in spec.groups.values()] == [2, 2, 2, 2, 2]
    assert spec.users() == whole.users()
    assert {name: group.quota for name, group in spec.groups.items()} == {
        name: group.quota for name, group in whole.groups.items()
    }


def test_fewer_nodes_than_asked_for_stay_as_they_are():
    assert first_nodes("v100-[01-03]", 9) == "v100-[01-03]"
    assert first_nodes("v100-[01", 9) == "v100-[01"


def test_without_a_file_the_last_one_is_taken_else_the_small_one(tmp_path):
    paths = Paths("dev", tmp_path)
    assert choose_file(paths, None).name == "small.yaml"

    paths.etc.mkdir(parents=True)
    paths.spec.write_text("cluster: x\n")
    assert choose_file(paths, None) == paths.spec


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SpecError, match="no such file") as error:
        choose_file(Paths("dev", tmp_path), tmp_path / "nope.yaml")

    assert "examples" in error.value.hint
