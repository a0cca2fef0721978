"""The site that a one-machine cluster plays: its files, its packages, its users."""

import os
import tomllib
from contextlib import suppress

import pytest

from aistation_slurm.assets import asset_dir
from aistation_slurm.devcluster import conf, packages, users
from aistation_slurm.devcluster.conf import cgroup_conf, proctrack, settings_toml, slurm_conf, slurm_version
from aistation_slurm.devcluster.nodes import lost_its_jobs, read_line
from aistation_slurm.devcluster.paths import Paths
from aistation_slurm.devcluster.record import ClusterRecord, NodeRecord, Ports
from aistation_slurm.devcluster.users import UserBook
from aistation_slurm.errors import MissingPackage
from aistation_slurm.settings import read_settings
from aistation_slurm.spec import load_spec

SMALL = asset_dir("slurm_conf") / "examples" / "small.yaml"
PATHS = Paths("dev")
RECORD = ClusterRecord(
    name="dev",
    tag="dev1a2b",
    layout="loopback",
    slot=3,
    ports=Ports(slurmctld=21000, slurmdbd=21001, mariadb=21002, heartbeat=8171, web=8170, slurmd=21005),
    nodes=tuple(
        NodeRecord(name=name, address="127.0.0.1", port=21005 + index, index=index)
        for index, name in enumerate(("v100-01", "v100-02", "v100-03", "dev-01"))
    ),
    users=("ann",),
    slurm_cluster="small",
)


@pytest.fixture
def no_cgroups(monkeypatch):
    monkeypatch.setattr(conf, "proctrack", lambda: "proctrack/linuxproc")


def the_conf(site_keys=None) -> dict[str, str]:
    text = slurm_conf(PATHS, RECORD, load_spec(SMALL), site_keys or {})
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key: value for key, _, value in pairs if key not in {"NodeName", "PartitionName"}}


def test_nothing_of_a_cluster_lies_outside_its_folder(no_cgroups):
    folders = [value for value in the_conf().values() if "/" in value and not value.startswith(("cons", "select"))]
    paths = [value.removeprefix("socket=") for value in folders if value.removeprefix("socket=").startswith("/")]

    assert len(paths) >= 7
    assert all(path.startswith("/var/lib/aistation/dev/dev/") for path in paths if path != "/bin/true")


def test_what_the_product_needs_wins_over_a_sites_defaults_but_not_over_its_ports(no_cgroups):
    keys = the_conf({"ReturnToService": "2", "slurmctldport": "1", "AuthInfo": "cred_expire=5"})

    assert keys["ReturnToService"] == "2"
    assert keys["SlurmctldPort"] == "21000"
    assert "slurmctldport" not in keys
    assert keys["AuthInfo"] == f"socket={PATHS.munge_socket},cred_expire=5"


def test_job_ids_are_the_clusters_own(no_cgroups):
    keys = the_conf()
    assert (keys["FirstJobId"], keys["MaxJobId"]) == ("3000001", "3999999")


def test_each_node_has_its_line_with_its_gpus_and_shards(no_cgroups):
    text = slurm_conf(PATHS, RECORD, load_spec(SMALL), {})
    lines = {line.split()[0]: line for line in text.splitlines() if line.startswith("NodeName=")}

    assert "Gres=gpu:v100:2 " in lines["NodeName=v100-01"]
    assert "Gres=gpu:gtx1080ti:2,shard:8 " in lines["NodeName=dev-01"]
    assert "Port=21008" in lines["NodeName=dev-01"]
    assert text.endswith("Include aistation.conf\n")


def test_the_settings_that_are_written_can_be_read(tmp_path):
    path = tmp_path / "aistation.toml"
    path.write_text(settings_toml(PATHS, RECORD))

    settings = read_settings(path)

    assert settings.simulated
    assert settings.slurm.conf == PATHS.slurm_conf
    assert settings.slurm.gpu_device == "/var/lib/aistation/dev/dev/dev/nvidia"
    assert settings.daemon.heartbeat == "127.213.3.1:8171"
    assert tomllib.loads(path.read_text())["web"]["listen"] == "127.0.0.1:8170"


def test_processes_are_tracked_by_the_freezer_only_where_it_can_be_written(tmp_path):
    assert proctrack(tmp_path / "nothing") == "proctrack/linuxproc"
    assert proctrack(tmp_path) == "proctrack/linuxproc"
    (tmp_path / "tasks").touch()
    assert proctrack(tmp_path) == "proctrack/cgroup"
    assert not (tmp_path / "aistation-probe").exists()


def test_cgroups_are_switched_off_from_the_version_that_can():
    assert "CgroupPlugin=cgroup/v1\n" in cgroup_conf((22, 5), "proctrack/linuxproc")
    assert "CgroupPlugin=disabled\n" in cgroup_conf((24, 11), "proctrack/linuxproc")
    assert "CgroupPlugin=cgroup/v1\n" in cgroup_conf((24, 11), "proctrack/cgroup")
    assert slurm_version("slurm-wlm 22.05.8\n") == (22, 5)


def test_a_line_of_sinfo_is_read_by_its_columns():
    seen = read_line(f"{'v100-01':<64}{'down*':<64}{'aistation: no heartbeat for 3 s':<100}")

    assert (seen.name, seen.is_there, seen.is_passing) == ("v100-01", False, True)
    assert not read_line(f"{'n':<64}{'down':<64}{'broken fan':<100}").is_passing
    assert read_line(f"{'n':<64}{'idle':<64}{'none':<100}").is_there


def test_a_node_lost_its_jobs_if_they_lie_in_its_spool_and_no_step_lives(tmp_path):
    paths = Paths("dev", tmp_path)
    spool = paths.spool / "n1"
    spool.mkdir(parents=True)
    assert not lost_its_jobs(paths, "n1", ())

    (spool / "n1_5.0").touch()
    assert lost_its_jobs(paths, "n1", ())
    assert not lost_its_jobs(paths, "n1", (str(paths.log / "slurmd.n1.log"),))


def test_an_account_is_unused_once_its_last_cluster_is_gone():
    book = UserBook().with_cluster("one", ["ann", "bob"]).with_cluster("two", ["bob"])
    assert book.uses == {"ann": ("one",), "bob": ("one", "two")}

    book = book.with_cluster("one", [])
    assert book.unused() == ["ann"]
    assert book.without(["ann"]).with_cluster("two", []).unused() == ["bob"]


def test_a_cluster_that_comes_up_again_counts_once():
    book = UserBook().with_cluster("one", ["ann"]).with_cluster("one", ["ann"])
    assert book.uses == {"ann": ("one",)}


def test_an_account_that_was_there_before_is_neither_counted_nor_removed(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(users, "run", lambda argv, **_: ran.append(argv))

    assert users.use_users(tmp_path, "one", ["root", "daemon"]) == 0
    assert users.release_users(tmp_path, "one") == 0

    assert [argv for argv in ran if argv[0] != "groupdel"] == []
    assert not (tmp_path / "users.json").exists()


def test_what_is_missing_is_said_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setattr(packages, "missing", lambda **_: ["munge", "slurmd"])

    with pytest.raises(MissingPackage, match="munge, slurmd") as error:
        packages.require()

    assert "apt-get install --no-install-recommends munge slurmd" in error.value.hint


def test_the_distribution_is_read_from_os_release(tmp_path):
    file = tmp_path / "os-release"
    file.write_text('PRETTY_NAME="Debian"\nID=debian\nVERSION_ID="12"\n')

    assert packages.distribution(file) == "debian 12"
    assert packages.distribution(tmp_path / "nothing") == ""
    assert packages.packages("plan9 4") == packages.packages("debian 12")


def test_a_machine_without_a_policy_has_none_afterwards(tmp_path):
    policy = tmp_path / "policy-rc.d"

    with packages.no_daemons(policy):
        assert "exit 101" in policy.read_text()
        assert os.access(policy, os.X_OK)

    assert list(tmp_path.iterdir()) == []


def test_a_machines_own_policy_is_put_back_even_after_a_failure(tmp_path):
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")

    with suppress(RuntimeError), packages.no_daemons(policy):
        assert "exit 101" in policy.read_text()
        raise RuntimeError

    assert policy.read_text() == "#!/bin/sh\nexit 0\n"
    assert [each.name for each in tmp_path.iterdir()] == ["policy-rc.d"]


def test_an_install_that_was_cut_off_is_tidied_by_the_next(tmp_path):
    policy, aside = tmp_path / "policy-rc.d", tmp_path / "policy-rc.d.aistation-aside"
    with packages.no_daemons(policy):
        ours = policy.read_text()
    policy.write_text(ours)
    aside.write_text("the machine's own")

    with packages.no_daemons(policy):
        pass

    assert policy.read_text() == "the machine's own"
    assert not aside.exists()
