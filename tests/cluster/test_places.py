"""`aistation cluster apply` where Slurm's files are pushed: to two more hosts, by real sshd, or nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from aistation_slurm.cluster.applying.catching_up import files_here
from tests.unit.sshd import NEEDS_SSHD, Site

pytestmark = [pytest.mark.cluster, *NEEDS_SSHD]
ONE_GPU_LESS = ("quota: {per_user: {gpu: 4}}", "quota: {per_user: {gpu: 3}}, max_time: 2d")


@pytest.fixture
def site(station, tmp_path) -> Iterator[Site]:
    """Two hosts beside the station that hold none of its files yet, and a station that is told of them."""
    made, config = Site(tmp_path), station.cluster.paths.config
    before = config.read_text()
    lines = "".join(f"[{host.address}]:{host.port} {host.host_key}\n" for host in made.hosts[:2])
    made.calm()
    made.known.write_text(lines)
    config.write_text(
        f'{before}\n[nodes]\nfiles = "ssh"\nport = {made.port}\nkey = "{made.key}"\nknown_hosts = "{made.known}"\n'
        f'also = "{",".join(host.address for host in made.hosts[:2])}"\nconnect_timeout = 20\ntimeout = 60\n'
    )
    try:
        for host in made.hosts[:2]:
            host.start()
        yield made
    finally:
        config.write_text(before)
        for host in made.hosts[:2]:
            host.stop()


def aistation(station, *words, code=0):
    done = station.exec(["aistation", *words], timeout=180)
    assert done.returncode == code, done.stderr
    return done


def test_an_apply_reaches_every_host_or_changes_nothing(station, site, tmp_path):
    spec, conf_dir = station.settings.cluster_file, station.settings.slurm.conf.parent
    changed = tmp_path / "changed.yaml"
    changed.write_text(spec.read_text().replace(*ONE_GPU_LESS))
    first, second = site.hosts[:2]

    # As they come, they hold older files: `plan` says so, though nothing else is to be done.
    told = aistation(station, "cluster", "plan", "--detailed-exitcode", str(spec), code=2)
    assert "2 hosts have older files: 127.0.0.[11-12] (aistation.conf, " in told.stderr

    # One of them lets nobody in: nothing happens anywhere.
    keys = second.root / "authorized_keys"
    line = keys.read_text()
    keys.write_text("")
    before = files_here(conf_dir)
    refused = aistation(station, "cluster", "apply", "--yes", "--no-canary", str(changed), code=1)
    assert f"{second.address}: it does not let root in" in refused.stderr
    assert files_here(conf_dir) == before
    assert first.held() == {"gres.conf": "old gres\n"}

    # It does again: all of them have what slurmctld has, and back again.
    keys.write_text(line)
    for file in (changed, spec):
        aistation(station, "cluster", "apply", "--yes", "--no-canary", str(file))
        here = {name: text for name, text in files_here(conf_dir).items() if text is not None}
        assert first.held() == second.held() == here
    checked = json.loads(aistation(station, "node", "files", "--check", "--json").stdout)
    assert checked["differing"] == []
    assert set(checked["seen"]["files"]) == {first.address, second.address}
    assert "slurmctld knows no node nosuch" in aistation(station, "node", "files", "--restart", "nosuch", code=1).stderr
