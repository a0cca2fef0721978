"""Slurm's files, broken at random as hands and programs break them: the same seed, the same break."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

VALUES = (
    "-1", "0", "1", "nonsense", "99999999999999", "4294967295", "65536", "YES", "INFINITE", "UNLIMITED", "(null)",
    "ALL", "a,b", "gpu[1-", "gpu[1-3]x[2-1]", "v100-[01-99]", "1-0", "12:34:56", "0.5", '"two words"', "gpu:v100:x",
    "gres/", "none", "/nowhere/at/all", "x/y", "UP", "DOWN", "1K", "10.0.0.1",
)  # fmt: skip
KEYS = (
    "AccountingStorageEnforce", "AccountingStorageTRES", "AcctGatherEnergyType", "AuthAltTypes", "AuthInfo",
    "AuthType", "BurstBufferType", "CliFilterPlugins", "CommunicationParameters", "CoreSpecPlugin", "CpuFreqDef",
    "CredType", "DebugFlags", "DefCpuPerGPU", "DefMemPerCPU", "DefMemPerGPU", "DefMemPerNode", "DependencyParameters",
    "DisableRootJobs", "EnforcePartLimits", "FairShareDampeningFactor", "FederationParameters", "FirstJobId",
    "GresTypes", "GroupUpdateForce", "InactiveLimit", "InteractiveStepOptions", "JobAcctGatherFrequency",
    "JobAcctGatherParams", "JobAcctGatherType", "JobCompType", "JobContainerType", "JobRequeue", "JobSubmitPlugins",
    "KillOnBadExit", "KillWait", "LaunchParameters", "Licenses", "MCSParameters", "MCSPlugin", "MaxArraySize",
    "MaxJobCount", "MaxJobId", "MaxMemPerCPU", "MaxMemPerNode", "MaxStepCount", "MessageTimeout", "MinJobAge",
    "MpiDefault", "NodeFeaturesPlugins", "OverTimeLimit", "PluginDir", "PowerParameters", "PowerPlugin",
    "PrEpPlugins", "PreemptExemptTime", "PreemptMode", "PreemptParameters", "PreemptType", "PriorityCalcPeriod",
    "PriorityDecayHalfLife", "PriorityFavorSmall", "PriorityFlags", "PriorityMaxAge", "PriorityParameters",
    "PrioritySiteFactorPlugin", "PriorityType", "PriorityUsageResetPeriod", "PriorityWeightAge", "PriorityWeightTRES",
    "PrivateData", "ProctrackType", "PrologFlags", "PropagateResourceLimits", "RequeueExit", "ResumeRate",
    "ResumeTimeout", "ReturnToService", "RoutePlugin", "SchedulerParameters", "SchedulerTimeSlice", "SchedulerType",
    "SelectType", "SelectTypeParameters", "SlurmUser", "SlurmctldDebug", "SlurmctldParameters", "SlurmctldPort",
    "SlurmctldTimeout", "SlurmdParameters", "SlurmdPort", "SlurmdTimeout", "SlurmdUser", "SuspendRate", "SuspendTime",
    "SwitchType", "TCPTimeout", "TaskPlugin", "TaskPluginParam", "TopologyParam", "TopologyPlugin", "TreeWidth",
    "UnkillableStepTimeout", "UsePAM", "VSizeFactor", "WaitTime", "X11Parameters", "FooBar",
)  # fmt: skip
LINES = (
    "PartitionName=extra Nodes=v100-01", "PartitionName=extra Nodes=v100-[01-09]",
    "PartitionName=extra QOS=nope Nodes=ALL", "PartitionName=extra", "PartitionName=DEFAULT QOS=nope",
    "PartitionName=DEFAULT Nodes=ghost", "PartitionName=", "PartitionName=site Nodes=ALL",
    "PartitionName=SITE Nodes=ALL", "PartitionName=a,b Nodes=ALL", "NodeSet=spare Nodes=v100-03",
    "NodeSet=spare Nodes=ghost-01", "NodeSet=v100-01 Nodes=v100-02", "NodeSet=spare Feature=fast", "NodeSet=spare",
    "NodeSet=ALL Nodes=v100-01", "NodeSet=DEFAULT Nodes=v100-01", "NodeName=v100-01", "NodeName=v100-[01-02] CPUs=4",
    "NodeName=ghost-[1-3] CPUs=4 NodeAddr=10.0.0.[1-2]", "NodeName=ghost-[1-3] CPUs=4",
    "NodeName=ghost State=NONSENSE", "NodeName=ghost Port=99999", "NodeName=ghost Gres=gpu:x",
    "NodeName=ghost Gres=nic:2", "NodeName=ghost CPUs=8 Sockets=3 CoresPerSocket=5 ThreadsPerCore=2", "NodeName=ALL",
    "NodeName=ghost Gres=gpu:2,gpu:v100:1", "NodeName=ghost State=FUTURE", "NodeName=ghost,ghost",
    "NodeName=DEFAULT CPUs=2", "NodeName=DEFAULT State=NONSENSE", "NodeName=DEFAULT Gres=shard:2",
    "NodeName=DEFAULT NodeAddr=x", "NodeName=ghost CoreSpecCount=4 CPUs=4", "NodeName=ghost CPUs=4 CPUSpecList=0-9",
    "NodeName=ghost RealMemory=-5", "NodeName=ghost Boards=2 CPUs=4",
    "NodeName=ghost MemSpecLimit=100000 RealMemory=5", "NodeName=ghost Features=a,,b Weight=x",
    "DownNodes=ghost State=DOWN", "DownNodes=ALL State=NONSENSE", "DownNodes=v100-01 State=DOWN",
    "FrontendName=front", "Include nowhere.conf", "Include aistation.conf", "Include gres.conf", "include", "Include",
    "SlurmctldHost=elsewhere", "ControlMachine=elsewhere", "SwitchName=s0 Nodes=v100-01", "=", "key", "Key=", "\\",
    "# harmless", "Licenses=matlab:x", "Licenses=matlab:3,matlab:4", "TopologyPlugin=topology/tree",
    "JobSubmitPlugins=lua", "JobSubmitPlugins=lua,nope", "PreemptMode=SUSPEND", "PreemptMode=SUSPEND,GANG",
    "PreemptType=preempt/partition_prio", "SelectType=select/linear", "SelectType=select/cons_res",
    "SelectTypeParameters=CR_CPU", "SelectTypeParameters=CR_Socket", "SelectTypeParameters=CR_Nonsense",
    "AccountingStorageType=accounting_storage/none", "AccountingStorageTRES=gres/nic",
    "AccountingStorageType=accounting_storage/mysql", "AccountingStorageTRES=nonsense", "AuthType=auth/none",
    "GresTypes=gpu", "GresTypes=", "GresTypes=shard", "GresTypes=gpu,gpu", "SlurmUser=nobody-at-all",
    "SlurmUser=root", "ClusterName=other", "TaskPlugin=task/cgroup,task/affinity", "PriorityType=priority/basic",
    "SchedulerParameters=max_job_bf=5", "FastSchedule=1",
    "SchedulerParameters=bf_interval=-5,default_queue_depth=0,bf_window=1", "JobCompLoc=/tmp/x", "SlurmctldPort=0",
    "LaunchParameters=enable_nss_slurm,disable_send_gids", "SlurmctldParameters=max_dbd_msg_action=nonsense",
    "JobAcctGatherParams=UsePss,NoShared", "PrologFlags=NoHold,Contain", "NodeFeaturesPlugins=node_features/helpers",
    "FirstJobId=0", "MaxJobId=1", "MaxArraySize=0", "CommunicationParameters=DisableIPv4",
)  # fmt: skip

WEIGHTS = (5, 4, 1)
"""How often each file is broken: slurm.conf, aistation.conf, gres.conf, which slurmctld hardly reads."""

Break = Callable[[random.Random, list[str]], None]


def broken(seed: int, texts: dict[str, str]) -> tuple[dict[str, str], str]:
    """Return the files with one to three breaks, and what was done to them."""
    dice = random.Random(seed)
    files, done = {name: text.splitlines() for name, text in texts.items()}, []
    for _ in range(dice.choice((1, 1, 2, 3))):
        name, act = dice.choices(list(files), WEIGHTS)[0], dice.choice(BREAKS)
        act(dice, files[name])
        done.append(f"{act.__name__} {name}")
    return {name: "\n".join(lines) + "\n" for name, lines in files.items()}, ", ".join(done)


def _at(dice: random.Random, lines: list[str]) -> int:
    said = [index for index, line in enumerate(lines) if line.strip() and not line.startswith("#")]
    return dice.choice(said or list(range(len(lines))))


def twice(dice: random.Random, lines: list[str]) -> None:
    lines.insert(dice.randrange(len(lines) + 1), lines[_at(dice, lines)])


def lost(dice: random.Random, lines: list[str]) -> None:
    if len(lines) > 1:
        del lines[_at(dice, lines)]


def cut_short(dice: random.Random, lines: list[str]) -> None:
    at = _at(dice, lines)
    lines[at] = lines[at][: dice.randrange(len(lines[at]) or 1)]


def file_cut_short(dice: random.Random, lines: list[str]) -> None:
    at = _at(dice, lines)
    del lines[at + 1 :]
    lines[at] = lines[at][: dice.randrange(len(lines[at]) or 1)]


def swapped(dice: random.Random, lines: list[str]) -> None:
    one, other = _at(dice, lines), _at(dice, lines)
    lines[one], lines[other] = lines[other], lines[one]


def turned_round(dice: random.Random, lines: list[str]) -> None:
    at = dice.randrange(len(lines))
    lines[:] = lines[at:] + lines[:at]


def another_value(dice: random.Random, lines: list[str]) -> None:
    at = _at(dice, lines)
    pairs = list(re.finditer(r"(?<==)[^\s]*", lines[at]))
    if pairs:
        pair = dice.choice(pairs)
        lines[at] = lines[at][: pair.start()] + dice.choice(VALUES) + lines[at][pair.end() :]


def another_number(dice: random.Random, lines: list[str]) -> None:
    at = _at(dice, lines)
    numbers = list(re.finditer(r"\d+", lines[at]))
    if numbers:
        number = dice.choice(numbers)
        fresh = str(dice.choice((0, 1, 3, 9, 77, 65535, 65536, 10**12)))
        lines[at] = lines[at][: number.start()] + fresh + lines[at][number.end() :]


def typed_wrong(dice: random.Random, lines: list[str]) -> None:
    at = _at(dice, lines)
    where = dice.randrange(len(lines[at]) or 1)
    lines[at] = lines[at][:where] + dice.choice('x=,[]#\\" :/0-\t') + lines[at][where + dice.choice((0, 1)) :]


def joined(dice: random.Random, lines: list[str]) -> None:
    at = _at(dice, lines)
    if at + 1 < len(lines):
        lines[at : at + 2] = [f"{lines[at]} {lines[at + 1]}"]


def continued(dice: random.Random, lines: list[str]) -> None:
    lines[_at(dice, lines)] += dice.choice(("\\", " \\", "\\\\", "\\ "))


def key_added(dice: random.Random, lines: list[str]) -> None:
    lines.insert(dice.randrange(len(lines) + 1), f"{dice.choice(KEYS)}={dice.choice(VALUES)}")


def line_added(dice: random.Random, lines: list[str]) -> None:
    lines.insert(dice.randrange(len(lines) + 1), dice.choice(LINES))


def pair_lost(dice: random.Random, lines: list[str]) -> None:
    at = _at(dice, lines)
    words = lines[at].split()
    if len(words) > 1:
        del words[dice.randrange(len(words))]
        lines[at] = " ".join(words)


BREAKS: tuple[Break, ...] = (
    twice, lost, cut_short, file_cut_short, swapped, turned_round, another_value, another_value, another_number,
    typed_wrong, joined, continued, key_added, key_added, line_added, line_added, line_added, pair_lost,
)  # fmt: skip
