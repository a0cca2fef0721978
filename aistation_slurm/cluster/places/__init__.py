"""Where Slurm's files are beside this host, and how they get there whole or not at all."""

from aistation_slurm.cluster.places.base import Host, Hosts, Place, Seen, differing, hosts_of
from aistation_slurm.cluster.places.choose import open_place

__all__ = ["Host", "Hosts", "Place", "Seen", "differing", "hosts_of", "open_place"]
