"""`aistation dev`: a real Slurm on this one machine, to try, test and break."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aistation_slurm.cli.show import json_option, say, show_json, show_table
from aistation_slurm.devcluster.paths import DEFAULT_NAME

if TYPE_CHECKING:
    from aistation_slurm.devcluster.cluster import DevCluster
    from aistation_slurm.devcluster.plan import Wishes
    from aistation_slurm.devcluster.record import Layout

name_option = click.option("--name", default=DEFAULT_NAME, show_default=True, help="Which cluster; several may run.")


@click.group()
def dev() -> None:
    """A real Slurm on this one machine, to try, test and break.

    \b
    Examples:
      aistation dev up --file slurm_conf/examples/small.yaml
      aistation dev exec --as ann -- sbatch --gpus=1 --wrap=hostname
    """


@dev.command()
@name_option
@click.option(
    "--file", "file", type=click.Path(path_type=Path), help="The cluster file; else the last one's, else small.yaml."
)
@click.option("--layout", type=click.Choice(["loopback", "netns"]), help="netns: each node has a network of its own.")
@click.option("--agents/--no-agents", default=None, help="An agent on each node.")
@click.option("--daemon/--no-daemon", default=None, help="Our daemon, which watches the nodes.")
@click.option("--page/--no-page", default=None, help="The web page.")
@click.option("--scale", type=click.IntRange(min=1), help="At most so many nodes of each group.")
@click.option(
    "--slurm",
    metavar="RELEASE",
    help="installed, debian:SUITE (made once, of its packages), or the /PREFIX of a build.",
)
def up(
    name: str,
    file: Path | None,
    layout: Layout | None,
    agents: bool | None,
    daemon: bool | None,
    page: bool | None,
    scale: int | None,
    slurm: str | None,
) -> None:
    """Start the cluster, or whatever of it is missing; what runs is left alone.

    \b
    Examples:
      aistation dev up
      aistation dev up --name big --file slurm_conf/examples/six-teams.yaml
      aistation dev up --name trixie --slurm debian:trixie
    """
    from aistation_slurm.devcluster.plan import Wishes

    wishes = Wishes(name=name, layout=layout, agents=agents, daemon=daemon, page=page, slurm=slurm)
    cluster = start_cluster(wishes, file=file, scale=scale)
    say(f'use it:  eval "$(aistation dev env --name {name})"   or   aistation dev exec --name {name} -- sinfo')
    if cluster.record.page:
        say(f"page:    http://127.0.0.1:{cluster.record.ports.web}/")


def start_cluster(wishes: Wishes, *, file: Path | None = None, scale: int | None = None) -> DevCluster:
    """Start the cluster from its file, the product's own `cluster apply` run on it, and return it."""
    import tempfile

    from aistation_slurm.cluster.rules.policy import rules_files
    from aistation_slurm.cluster.site.keys import site_keys
    from aistation_slurm.devcluster.cluster import up as start
    from aistation_slurm.devcluster.lock import need_root
    from aistation_slurm.devcluster.paths import paths_of
    from aistation_slurm.devcluster.source import choose_file, scaled
    from aistation_slurm.spec import load_spec

    need_root()
    paths = paths_of(wishes.name)
    source = choose_file(paths, file)
    with tempfile.TemporaryDirectory() as folder:
        spec = load_spec(source)
        if scale:
            source = scaled(source, scale, Path(folder) / "cluster.yaml")
            spec = load_spec(source)
        rules = rules_files(spec, source=str(paths.spec))
        return start(spec, source, wishes, site_keys=site_keys(spec), rules=rules, settle=settle, say=say)


def settle(cluster: DevCluster) -> None:
    """Apply the cluster's file to it, as an administrator would; its nodes are not there yet, so nothing is tried."""
    from aistation_slurm.cluster.applying.carry_out import Wish, carry_out
    from aistation_slurm.cluster.applying.target import Target
    from aistation_slurm.settings import read_settings
    from aistation_slurm.slurm.connect import connect
    from aistation_slurm.spec.edit import read_text

    settings = read_settings(cluster.paths.config)
    target = Target(settings=settings, slurm=connect(settings.slurm), cluster_file=cluster.paths.spec)
    carry_out(target, Wish(spec=target.load(), text=read_text(cluster.paths.spec), canary=False, watch=False))


@dev.command()
@name_option
def down(name: str) -> None:
    """Take the cluster away, every trace of it.

    \b
    Examples:
      aistation dev down
      aistation dev down --name big
    """
    from aistation_slurm.devcluster.cluster import down as take_away
    from aistation_slurm.devcluster.lock import need_root

    need_root()
    if not take_away(name, say=say):
        say(f"there is no cluster {name}; nothing to do")


@dev.command()
@name_option
@json_option
def status(name: str, as_json: bool) -> None:
    """Show which daemons of the cluster live.

    \b
    Examples:
      aistation dev status
      aistation dev status --json
    """
    from aistation_slurm.devcluster.cluster import DevCluster
    from aistation_slurm.devcluster.lock import need_root
    from aistation_slurm.devcluster.status import status_of

    need_root()
    found = status_of(DevCluster.open(name))
    if as_json:
        show_json(found)
    else:
        slurm = f"Slurm {found.version or '?'} ({found.slurm})"
        say(f"{found.name}: {slurm}, {found.layout}, {len(found.nodes)} nodes, {found.state_folder}")
        rows = [(each.name, each.state, each.pid or "", each.node) for each in found.daemons]
        show_table(["daemon", "state", "pid", "node"], rows)
    if not found.is_whole:
        say(f"start what is missing: aistation dev up --name {name}")


@dev.command(name="list")
@json_option
def list_(as_json: bool) -> None:
    """List the clusters on this machine.

    \b
    Examples:
      aistation dev list
      aistation dev list --json
    """
    from aistation_slurm.devcluster.cluster import DevCluster
    from aistation_slurm.devcluster.lock import need_root
    from aistation_slurm.devcluster.paths import names
    from aistation_slurm.devcluster.status import status_of

    need_root()
    found = [status_of(DevCluster.open(each)) for each in names()]
    if as_json:
        show_json(found)
    else:
        rows = [(s.name, s.slurm, s.layout, len(s.nodes), f"{s.alive}/{len(s.daemons)}", s.state_folder) for s in found]
        show_table(["cluster", "slurm", "layout", "nodes", "daemons", "folder"], rows)


@dev.command()
@click.option("--remove", metavar="RELEASE", help="Take this one off the machine.")
@json_option
def releases(remove: str | None, as_json: bool) -> None:
    """List the releases of Slurm that `dev up --slurm debian:SUITE` made, which stay until they are removed.

    \b
    Examples:
      aistation dev releases
      aistation dev releases --remove debian:trixie
    """
    from aistation_slurm.devcluster import release_shelf
    from aistation_slurm.settings import DEV_ROOT

    found = [release_shelf.remove(remove, DEV_ROOT, say)] if remove else release_shelf.made(DEV_ROOT)
    if as_json:
        show_json(found)
    elif remove:
        say(f"{remove} is gone, {found[0].size} MiB with it")
    else:
        rows = [(m.spec, m.version or "unfinished", f"{m.size} MiB", ",".join(m.used_by), m.folder) for m in found]
        show_table(["release", "slurm", "size", "used by", "folder"], rows)


@dev.command()
@name_option
@click.argument("kind")
@click.argument("node", default="")
@json_option
def fault(name: str, kind: str, node: str, as_json: bool) -> None:
    """Break something for real, or heal it; prints the time (unix ms) when that took effect.

    \b
    Of a node:         kill-node  hang-node  cut-node  kill-slurmd  kill-agent  start-slurmd  heal-node
    Of the controller: kill-slurmctld  hang-slurmctld  kill-slurmdbd  kill-mariadbd  kill-munged  kill-daemon  heal
    \b
    Examples:
      aistation dev fault kill-node v100-01
      aistation dev fault heal-node v100-01
    """
    from aistation_slurm.devcluster.cluster import DevCluster
    from aistation_slurm.devcluster.faults import strike
    from aistation_slurm.devcluster.lock import need_root

    need_root()
    struck = strike(DevCluster.open(name), kind, node)
    if as_json:
        show_json(struck)
    else:
        click.echo(str(struck))


@dev.command()
@name_option
@click.argument("what", metavar="slurmctld|NODES|all")
@json_option
def restart(name: str, what: str, as_json: bool) -> None:
    """Restart slurmctld, the slurmd of some nodes, or all of them; jobs go on.

    \b
    Examples:
      aistation dev restart slurmctld
      aistation dev restart v100-[01-03] --name big
    """
    from aistation_slurm.devcluster.cluster import DevCluster
    from aistation_slurm.devcluster.lock import need_root
    from aistation_slurm.devcluster.restart import restart as restart_daemons

    need_root()
    done = restart_daemons(DevCluster.open(name), what)
    if as_json:
        show_json(done)
    else:
        say(f"restarted: {', '.join(done)}")


@dev.command()
@name_option
@json_option
def env(name: str, as_json: bool) -> None:
    """Print what a shell needs in order to use the cluster.

    \b
    Examples:
      eval "$(aistation dev env)"
      eval "$(aistation dev env --name big)"
    """
    from aistation_slurm.devcluster.cluster import DevCluster

    found = DevCluster.open(name).env()
    if as_json:
        show_json(found)
    else:
        for key, value in found.items():
            click.echo(f"export {key}={shlex.quote(value)}")


@dev.command(name="exec", context_settings={"ignore_unknown_options": True})
@name_option
@click.option("--as", "user", help="The Unix user to be; without it, who calls.")
@click.option("--cwd", type=click.Path(path_type=Path), help="The folder to be in; without it, the user's home.")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(name: str, user: str | None, cwd: Path | None, argv: tuple[str, ...]) -> None:
    """Run a command on the cluster, as one of its users if need be; its exit code is ours.

    \b
    Examples:
      aistation dev exec -- sinfo
      aistation dev exec --as ann -- sbatch --gpus=1 --wrap=hostname
    """
    from aistation_slurm.devcluster.cluster import DevCluster
    from aistation_slurm.devcluster.login import become

    prepared = become(DevCluster.open(name), argv, user=user, cwd=cwd)
    prepared.enter()
    try:
        os.execvpe(prepared.argv[0], prepared.argv, prepared.env)
    except FileNotFoundError:
        say(f"aistation: {argv[0]}: no such command")
        raise SystemExit(127) from None
    except PermissionError:
        say(f"aistation: {argv[0]}: may not be run")
        raise SystemExit(126) from None


@dev.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def install(yes: bool) -> None:
    """Install the packages of the distribution that a cluster needs; none of their daemons is started.

    \b
    Examples:
      aistation dev install
      aistation dev install --yes
    """
    from aistation_slurm.devcluster import packages
    from aistation_slurm.devcluster.lock import need_root

    lacking = packages.missing()
    if not lacking:
        if not yes:
            say("nothing is missing")
        return
    need_root()
    say(packages.apt_line(lacking))
    if not yes:
        click.confirm("Install them?", abort=True, err=True)
    packages.install(lacking)
