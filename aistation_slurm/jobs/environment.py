"""The environment that a submission hands on: the user's own, without what is left of something else.

sbatch takes its options from variables too, and hands all others on to the job (`--export=ALL`). Whatever was set by an
enclosing job, or by our own installation, is not what the user meant.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aistation_slurm

_KEPT = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER"})
_OPTIONS = "SBATCH_"
"""sbatch reads its options from these: one in a forgotten .bashrc would go before what the script says."""
_ALWAYS: tuple[str, ...] = (
    _OPTIONS,
    "SLURM_",  # of an enclosing job, and SLURM_JWT, which would make sbatch somebody else
    "SLURMD_",  # of the node that an enclosing job runs on
    "SALLOC_",
    "SRUN_",  # options of srun inside the job, such as SRUN_CPUS_PER_TASK of the enclosing one
    "SQUEUE_",
    "SINFO_",
    "SACCT_",
    "SCANCEL_",
    "SCONTROL_",
    "SACCTMGR_",
)
_OF_A_JOB = frozenset(
    {
        "CUDA_VISIBLE_DEVICES",  # the GPUs of the enclosing job
        "NVIDIA_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
        "HIP_VISIBLE_DEVICES",
        "ZE_AFFINITY_MASK",
        "GPU_DEVICE_ORDINAL",
        "MASTER_ADDR",  # where the enclosing training's processes meet, and which of them this one is
        "MASTER_PORT",
        "RANK",
        "LOCAL_RANK",
        "WORLD_SIZE",
        "LOCAL_WORLD_SIZE",
        "GROUP_RANK",
        "ROLE_RANK",
        "TF_CONFIG",
    }
)
_BEGINNINGS_OF_A_JOB: tuple[str, ...] = (
    "AISTATION_RUN_",  # whose run it is, and where it keeps its checkpoints
    "AISTATION_CHECKPOINT_",
    "AISTATION_DATASET",
    "AISTATION_PARAM",
    "AISTATION_SWEEP_",
    "TORCHELASTIC_",
    "PMI_",  # an MPI process would look for the enclosing job's server
    "PMI2_",
    "PMIX_",
    "OMPI_",
    "PRTE_",
    "HYDRA_",
)
"""What only an enclosing job has set; in an ordinary shell these are the user's own."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What is handed on, and which of sbatch's options in the environment were not."""

    variables: Mapping[str, str]
    options: tuple[str, ...] = ()


def clean(environ: Mapping[str, str]) -> Cleaned:
    """Return the user's environment without what is left of an enclosing job, or of our own installation."""
    is_inside = "SLURM_JOB_ID" in environ
    kept = {name: value for name, value in environ.items() if not _is_stray(name, is_inside=is_inside)}
    options = () if is_inside else tuple(sorted(name for name in environ if name.startswith(_OPTIONS)))
    return Cleaned(_without_our_python(kept), options)


def _is_stray(name: str, *, is_inside: bool) -> bool:
    if name in _KEPT:
        return False
    if name.startswith(_ALWAYS):
        return True
    return is_inside and (name in _OF_A_JOB or name.startswith(_BEGINNINGS_OF_A_JOB))


def _without_our_python(environ: Mapping[str, str]) -> dict[str, str]:
    """Take our own installation off PYTHONPATH and PYTHONHOME: the training's Python would import our packages."""
    found = dict(environ)
    ours = {Path(aistation_slurm.__file__).resolve().parent.parent, Path(sys.prefix).resolve()}
    if path := found.get("PYTHONPATH"):
        rest = [each for each in path.split(os.pathsep) if not each or Path(each).resolve() not in ours]
        found["PYTHONPATH"] = os.pathsep.join(rest)
        if not any(rest):
            del found["PYTHONPATH"]
    if (home := found.get("PYTHONHOME")) and Path(home).resolve() in {*ours, Path(sys.base_prefix).resolve()}:
        del found["PYTHONHOME"]
    return found
