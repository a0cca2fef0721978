"""`aistation daemon`: the duties, until stopped."""

from __future__ import annotations

import click


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
def daemon(dry_run: bool, verbose: bool) -> None:
    """Hear the nodes' heartbeats and run the duties until stopped.

    Run it as SlurmUser on the machine of slurmctld. Of several daemons one leads; the others stand by.

    \b
    Examples:
      aistation daemon --dry-run        see what recovery would do on this cluster
      aistation duty list               what it runs
    """
    from aistation_slurm.daemon import run_daemon
    from aistation_slurm.logs import setup_logs
    from aistation_slurm.settings import load_settings

    setup_logs(verbose=verbose)
    run_daemon(load_settings(), dry_run=dry_run)
