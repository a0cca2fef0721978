"""A right cluster file, and what hands do to one: each of them makes it wrong in one way."""

from __future__ import annotations

GOOD = """\
cluster: station
defaults: {gpus_per_node: 8, cpus: 64, memory: 256G}
groups:
  v100: {nodes: "v100-[01-08]", gpu_type: v100, teams: [robot]}
  p100: {nodes: "p100-[01-30]", gpu_type: p100, quota: {per_user: {gpu: 16}}}
teams:
  robot: {members: [ann, bob], emergency: [bob]}
"""
Edit = tuple[str, str]
"""What stands in the right file, and what stands there instead."""


def gpu(value: str) -> Edit:
    return "gpu: 16", f"gpu: {value}"


def user(name: str) -> Edit:
    return "[ann, bob], emergency: [bob]", f"[{name}]"


def team(name: str) -> Edit:
    return "  robot: {members", f"  {name}: {{members"


def model(name: str) -> Edit:
    return "gpu_type: p100", f"gpu_type: {name}"


def nodes(names: str) -> Edit:
    return '"p100-[01-30]"', names


def memory(amount: str) -> Edit:
    return "256G", amount


def longest(time: str) -> Edit:
    return "memory: 256G", f"memory: 256G, max_time: {time}"


def more(text: str) -> Edit:
    return "emergency: [bob]}\n", f"emergency: [bob]}}\n{text}"


def calendar(keys: str) -> Edit:
    return more(f"calendar: {{{keys}}}\n")


SLIPS: dict[str, Edit] = {
    "an unknown key": ("gpu_type: v100", "gpu_typ: v100"),
    "an unknown key at the top": ("teams:\n", "teems:\n"),
    "an unknown key deep inside": ("per_user", "per_usr"),
    "a key that is left out": ("gpu_type: v100, ", ""),
    "an unknown team": ("teams: [robot]", "teams: [robt]"),
    "an unknown default group": ("cluster: station", "cluster: station\ndefault_group: v10"),
    "an emergency right for somebody else": ("emergency: [bob]", "emergency: [bobb]"),
    "a word where a number is meant": ("cpus: 64", "cpus: many"),
    "an unknown choice": ("memory: 256G", "memory: 256G, use: trainig"),
    "a name where a list is meant": ("[ann, bob]", "ann"),
    "a number as the name of a group": ("  v100: {", "  1080: {"),
    "nothing where a mapping is meant": ("robot: {members: [ann, bob], emergency: [bob]}", "robot:"),
    "a group twice": ("  p100: {", "  v100: {nodes: x1, gpu_type: v100}\n  p100: {"),
    "two groups that differ in capitals": ("  p100: {", "  V100: {"),
    "fewer CPUs than GPUs": ("cpus: 64", "cpus: 4"),
    "more CPUs than Slurm can count": ("cpus: 64", "cpus: 70000"),
    "more shares than a GPU can have": ("cpus: 64", "cpus: 64, shards_per_gpu: 65"),
    "an unknown time zone": more("timezone: Mars/Base\n"),
    "a number with a zero in front": gpu("08"),
    "a number with an exponent": gpu("1e3"),
    "a number in hexadecimal": gpu("0x10"),
    "a number in octal": gpu("0o17"),
    "a number with underscores": gpu("1_000"),
    "a number with a plus": gpu("+5"),
    "half a number": gpu(".5"),
    "no number at all, as floats have it": gpu(".nan"),
    "endless": gpu(".inf"),
    "a number of 400 digits": gpu("9" * 400),
    "a number that is too large": gpu("2000000000"),
    "a time where a number is meant": gpu("12:30:00"),
    "a date where a number is meant": gpu("2026-12-24"),
    "yes where a number is meant": gpu("yes"),
    "a number in quotes": gpu('"8"'),
    "a number in other digits": gpu("\u0663"),
    "a list where a number is meant": gpu("[1]"),
    "a negative number": gpu("-1"),
    "an alias that nobody defined": gpu("*x"),
    "a tag of Python": gpu("!!python/object:os.system 5"),
    "a tag of somebody's own": gpu("!mine 5"),
    "a user who is a number": user("08"),
    "a user who is a number with an exponent": user("1e3"),
    "a user who is true": user("true"),
    "a user who is nothing": user("~"),
    "a user who is a date": user("2026-12-24"),
    "a user with a newline": user('"a\\nb"'),
    "a user with a NUL": user('"a\\0b"'),
    "a user with an equals sign": user('"a=b"'),
    "a user with a comma": user('"a,b"'),
    "a user with a bar": user("a|b"),
    "a user with a blank": user("a b"),
    "a user called ALL": user("ALL"),
    "a user with capitals": user("Ann"),
    "a user in letters that look alike": user('"\\u0430nn"'),
    "a user with a right-to-left mark": user('"a\\u202Eb"'),
    "a user with a letter of no width": user('"a\\u200bb"'),
    "a user with a very long name": user("x" * 1_000_000),
    "root as a user": user("root"),
    "a user twice": user("ann, ann"),
    "a team with a newline": team('"a\\nb"'),
    "a team with an equals sign": team('"a=b"'),
    "a team with capitals": team("Robot"),
    "a team called ALL": team("ALL"),
    "a team that is a number": team("0x10"),
    "a team in letters that look alike": team('"r\\u043ebot"'),
    "a team with a very long name": team("x" * 100),
    "a GPU model that is a number": model("1080"),
    "a GPU model with an underscore number": model("1_000"),
    "a GPU model that is a time": model("12:30:00"),
    "a GPU model with a bar": model("a|b"),
    "all nodes": nodes("ALL"),
    "a node twice": nodes('"a-[1-3],a-2"'),
    "a range that runs backwards": nodes('"a-[5-1]"'),
    "a range of uneven width": nodes('"a-[01-3]"'),
    "a range without an end": nodes('"a-[1-"'),
    "an empty range": nodes('"a-[1,,2]"'),
    "a range of a hundred million": nodes('"a-[1-1_000_00000]"'),
    "a range of digits without end": nodes('"a-[' + "1" * 5_000 + ']"'),
    "100,001 nodes one by one": nodes('"' + ",".join(f"n{i}" for i in range(100_001)) + '"'),
    "a node in letters that look alike": nodes('"n\\u043e-1"'),
    "a node in other digits": nodes('"a-[\\uff11-\\uff12]"'),
    "a node with a name too long": nodes("a" * 64),
    "a node that begins with a digit": nodes("1a"),
    "a node list with a newline": nodes('"a\\nb"'),
    "memory without a unit": memory("1024"),
    "memory with an exponent": memory("1e3"),
    "negative memory": memory("-1G"),
    "memory of 400 digits": memory("9" * 400 + "G"),
    "memory in kilobytes": memory("1K"),
    "more memory than there is": memory("9999999P"),
    "memory that is none": memory("0G"),
    "a time without a unit": longest("5"),
    "a time of 400 digits": longest("9" * 400 + "d"),
    "a negative time": longest("-1h"),
    "no time at all": longest("0m"),
    "ten thousand days": longest("10000d"),
    "sixty minutes and more": longest("12:60"),
    "seconds where Slurm counts minutes": longest("90s"),
    "a night that is a clock": calendar("nights: 20:00"),
    "a night without end": calendar('nights: "20:00-20:00"'),
    "a night at 24 o'clock": calendar('nights: "24:00-08:00"'),
    "a day that there is not": calendar("extra: [2026-02-30]"),
    "a day written otherwise": calendar("extra: [24.12.2026]"),
    "a day with a time": calendar("extra: [2026-12-24T00:00:00]"),
    "a holiday that is a workday": calendar("extra: [2026-12-24], workdays: [2026-12-24]"),
    "yes where true is meant": calendar("weekends: yes"),
    "off where false is meant": calendar("weekends: off"),
    "a number where true is meant": calendar("weekends: 1"),
    "true in quotes": calendar('weekends: "true"'),
    "a country by its name": calendar("holidays: Germany"),
    "a time zone that is a path": more("timezone: ../../etc/passwd\n"),
    "a time zone that is nothing": more('timezone: ""\n'),
    "YAML 1.1": ("cluster: station", "%YAML 1.1\n---\ncluster: station"),
    "a second document": more("---\ncluster: b\n"),
    "a merge key": ("  v100: {", "  v100: {<<: {use: both}, "),
    "a list as a key": more("? [a]\n: b\n"),
    "a key without end": more('"' + "x" * 900 + '": 1\n'),
    "a key twice": more("cluster: b\n"),
    "a choice without end": ("memory: 256G", 'memory: 256G, use: "' + "x" * 10_000 + '"'),
    "a choice that is a list": ("memory: 256G", "memory: 256G, use: [both]"),
    "a description of two lines": ("robot: {", 'robot: {description: "a\\nb", '),
    "a description that runs from right to left": ("robot: {", 'robot: {description: "a\\u202Eb", '),
    "a description without end": ("robot: {", 'robot: {description: "' + "x" * 10_000 + '", '),
    "a tab before a key": ("teams:\n  robot", "teams:\n\trobot"),
    "a tab after a key": ("cluster: station", "cluster:\tstation"),
    "a quote that is not closed": more('x: "abc\n'),
    "an at sign": more("x: @a\n"),
    "a NUL": ("station", "sta\x00tion"),
    "a bell": ("station", "sta\x07tion"),
    "a list deeper than any": more("x: " + "[" * 100 + "]" * 100 + "\n"),
    "a list so deep that YAML gives up": more("x: " + "[" * 5_000 + "]" * 5_000 + "\n"),
    "an alias of itself": more("x: &a {b: *a}\n"),
    "a file system without a unit": more("storage: {home: {path: /home}}\nquota: {per_user: {storage: {home: 500}}}\n"),
    "a file system that there is not": more(
        "storage: {home: {path: /home}}\nquota: {per_user: {storage: {hom: 5G}}}\n"
    ),
    "a quota of a file system that says nothing": more(
        "storage: {home: {path: /home}}\nquota: {per_user: {storage: {home: {}}}}\n"
    ),
    "a file system that is no path": more("storage: {home: {path: ../home}}\n"),
    "disks in a group's quota": ("gpu: 16", "storage: {home: 5G}"),
    "a cache of no kind": ("memory: 256G", "memory: 256G, cache: 5"),
    "a cache without its kind": ("memory: 256G", "memory: 256G, cache: {size: 1T}"),
    "a quota of a GPU model that no group has": more("quota: {per_user: {gpu_types: {p10: 4}}}\n"),
    "a group's quota of another group's model": ("gpu: 16", "gpu_types: {v100: 4}"),
    "more of a model than of all": gpu("2, gpu_types: {p100: 4}"),
    "a parent that there is not": ("emergency: [bob]", "parent: robt"),
    "a team above itself": ("emergency: [bob]", "parent: robot"),
    "teams in a circle": ("emergency: [bob]}", "parent: a}\n  a: {parent: b}\n  b: {parent: robot}\n  c: {parent: b}"),
    "a coordinator who is no member": ("emergency: [bob]", "coordinators: [bo]"),
    "a weight of nothing": ("emergency: [bob]", "weight: 0"),
    "MPS without shares": ("gpu_type: p100", "gpu_type: p100, sharing: mps"),
    "a node in two groups": ("p100-[01-30]", "p100-[01-30],v100-[07-09]"),
    "a node in a group of the site's and in ours": (
        '{nodes: "p100-[01-30]"',
        '{managed_by: site, nodes: "v100-01,p100-[01-30]"',
    ),
    "a switch that there is not": more("slurm: {topology: {switches: {a: {switches: [b]}}}}\n"),
    "switches in a circle": more("slurm: {topology: {switches: {a: {switches: [b]}, b: {switches: [a]}}}}\n"),
    "a switch of nothing": more("slurm: {topology: {switches: {a: {}}}}\n"),
    "a node at two switches": more("slurm: {topology: {switches: {a: {nodes: n1}, b: {nodes: n1}}}}\n"),
    "a mail domain that is an address": more('notices: {mail_domain: "a@b"}\n'),
}
