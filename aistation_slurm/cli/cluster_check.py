"""What `aistation cluster check` and `apply` have checked before a file of Slurm is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aistation_slurm.cli.show import say

if TYPE_CHECKING:
    from pathlib import Path

    from aistation_slurm.cluster import Plan
    from aistation_slurm.cluster.check import Report
    from aistation_slurm.slurm.connect import Slurm
    from aistation_slurm.spec import ClusterSpec


def check_slurm(path: Path, spec: ClusterSpec, *, shadow: bool) -> tuple[Report, str]:
    """Return what the checks of Slurm's files found, and why they were not made, or nothing.

    Where slurmctld doesn't answer, the files are checked as they are.

    Raises:
        SpecError: the site's slurm.conf lacks what the cluster file rests on.
    """
    from aistation_slurm.cluster import make_plan
    from aistation_slurm.cluster.check import Report, check_files
    from aistation_slurm.cluster.site.conf import read_site_conf
    from aistation_slurm.errors import SlurmError
    from aistation_slurm.settings import load_settings
    from aistation_slurm.slurm.connect import connect

    settings = load_settings().slurm
    if not settings.conf.is_file():
        return Report(), f"there is no {settings.conf}"
    name = read_site_conf(settings.conf).value("ClusterName").lower()
    if name and name != spec.cluster:
        return Report(), f"{settings.conf} is of cluster {name!r}, not of {spec.cluster!r}"
    slurm = connect(settings)
    try:
        plan = make_plan(
            spec, slurm, conf_dir=settings.conf.parent, gpu_device=settings.gpu_device, source=str(path.absolute())
        )
        return check_files(settings, slurm=slurm, plan=plan, shadow=shadow), ""
    except SlurmError as error:
        say(f"note: {error}; Slurm's files are checked as they are")
        return check_files(settings, shadow=shadow), ""


def raise_if_refused(plan: Plan, slurm: Slurm) -> None:
    """Check the files that the plan would write; say on stderr what is odd, and do nothing where all may be written.

    Raises:
        UnsafePlan: slurmctld would end with them, or a job.
    """
    from aistation_slurm.cluster.check import changes_files, check_files
    from aistation_slurm.settings import load_settings

    if not changes_files(plan):
        return
    report = check_files(load_settings().slurm, slurm=slurm, plan=plan)
    report.raise_if_refused()
    for line in report.lines():
        say(line)
