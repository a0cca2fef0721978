"""What an apply acts on: Slurm, its folder of files, and the cluster file that they are to follow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aistation_slurm.cluster.history.history import History
from aistation_slurm.cluster.places import Place, hosts_of, open_place
from aistation_slurm.cluster.planning.plan import Plan, make_plan
from aistation_slurm.cluster.site.conf import read_site_conf
from aistation_slurm.settings import Settings
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.spec import ClusterSpec, load_spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an apply acts on."""

    settings: Settings
    slurm: Slurm
    cluster_file: Path
    """The cluster file that Slurm's files name as where they came from."""

    @property
    def conf_dir(self) -> Path:
        """The folder of Slurm's files."""
        return self.settings.slurm.conf.parent

    @property
    def history(self) -> History:
        """What was applied here."""
        return History(self.conf_dir)

    def plan(self, spec: ClusterSpec) -> Plan:
        """Return what must change so that Slurm is what these specifications say.

        Raises:
            SpecError: the site's slurm.conf or nodes lack what the cluster file rests on, or a name is taken.
            SlurmError: Slurm can't be asked.
        """
        return make_plan(
            spec,
            self.slurm,
            conf_dir=self.conf_dir,
            gpu_device=self.settings.slurm.gpu_device,
            source=str(self.cluster_file.absolute()),
        )

    def load(self) -> ClusterSpec:
        """Return what the cluster file says.

        Raises:
            SpecError: it is wrong.
        """
        return load_spec(self.cluster_file)

    def place(self) -> Place:
        """Return where Slurm's files are beside this host.

        Raises:
            SettingsError: `[nodes]` in aistation.toml is wrong.
            SlurmError: Slurm can't be asked for its nodes.
        """
        hosts = hosts_of(self.slurm.read.nodes(), also=self.settings.nodes.also)
        release = self.slurm.read.config().get("SLURM_VERSION", "")
        included = read_site_conf(self.settings.slurm.conf).includes
        return open_place(self.settings, hosts, release=release, included=included)
