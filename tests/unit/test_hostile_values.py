"""A thousand hostile values in every place of every template: refused in words, or a value and nothing else.

In three steps. Each value, rendered into each place, changes the script by exactly one quoted word there. Bash reads
each quoted value back as it was, and really runs the scripts with hostile values in all places at once, with stand-ins
for the commands that they call: those were given the values as they are, and nothing of a value was executed. sbatch's
own eyes are in tests/cluster/test_templates.py; AISTATION_HOSTILE=all runs a script for each value.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from aistation_slurm.jobs import script
from aistation_slurm.jobs.catalogue import FOLDER, SUFFIX, Template, open_catalogue
from aistation_slurm.jobs.directives import directives
from aistation_slurm.jobs.request import read_request
from aistation_slurm.render import sbatch_word, shell_word
from tests.unit.hostile import Carrier, carrier, hostile_values, is_taken, places

CATALOGUE = open_catalogue()
VALUES = hostile_values()
RUNS = len(VALUES) if os.environ.get("AISTATION_HOSTILE") == "all" else 6
FOLDERS = {"script": "/Folder12X", "checkpoint_dir": "/Folder14X", "datasets": "/Folder15X"}


@pytest.fixture(scope="module")
def environment() -> Any:
    return script.script_environment(*CATALOGUE.folders)


def rendered(environment: Any, template: Template, carried: Carrier) -> str:
    context = script.context(read_request(carried.wanted), template)
    return str(environment.get_template(f"{FOLDER}/{template.name}{SUFFIX}").render(**context))


@pytest.fixture(scope="module")
def taken() -> dict[str, list[str]]:
    """Place -> the hostile values that it takes; parameters of templates beside the fields of the request."""
    return {}


def taken_at(taken: dict[str, list[str]], template: Template, place: str) -> list[str]:
    key = place if not place.startswith("set.") else f"{template.name}:{place}"
    if key not in taken:
        taken[key] = [value for value in VALUES if is_taken(template, place, value)]
    return taken[key]


def as_carried(template: Template, place: str, value: str) -> str:
    """Return the value as a script has it: a path loses a second slash and the like, a kind of mail is in capitals."""
    if place == "mail":
        return value.upper()
    if place in FOLDERS:
        return str(Path(FOLDERS[place]) / value)
    return str(template.parameters[place[4:]].read("x", value)) if place.startswith("set.") else value


def marked(template: Template, values: Mapping[str, str], marks: Mapping[str, str]) -> dict[str, str]:
    """Return what the marked script has -> what stands there instead."""
    found = {}
    for place, value in values.items():
        mark = marks[place]
        if place in FOLDERS:
            found[f"{FOLDERS[place]}/{mark}"] = as_carried(template, place, value)
            if place != "checkpoint_dir":
                found[FOLDERS[place]] = str(Path(as_carried(template, place, value)).parent)
        else:
            found[mark] = as_carried(template, place, value)
    return found


def with_words(text: str, words: Mapping[str, str]) -> str:
    """Return the script with each mark replaced by its value, quoted for the reader of its line."""
    pattern = re.compile("|".join(re.escape(each) for each in sorted(words, key=len, reverse=True)))

    def line(each: str) -> str:
        quote = sbatch_word if each.startswith("#SBATCH") else shell_word
        return pattern.sub(lambda match: quote(words[match.group()]), each)

    return "\n".join(line(each) for each in text.split("\n")) if words else text


def with_values(word: str, words: Mapping[str, str]) -> str:
    """Return the word with each mark replaced by its value, as it is."""
    return re.sub("|".join(map(re.escape, words)), lambda match: words[match.group()], word)


def hostile_requests(taken: dict[str, list[str]], template: Template) -> Iterator[dict[str, str]]:
    """Yield requests that together have every value in every place that takes it, in many places at once."""
    lists = {place: each for place in places(template) if (each := taken_at(taken, template, place))}
    for turn in range(max(len(each) for each in lists.values())):
        yield {place: each[(turn + 7 * number) % len(each)] for number, (place, each) in enumerate(lists.items())}


def test_there_are_a_thousand_hostile_values() -> None:
    assert len(set(VALUES)) == len(VALUES) == 1000
    assert sum("hit" in each for each in VALUES) > 600


def test_free_text_is_taken_and_what_slurm_would_read_as_more_is_refused(taken: dict[str, list[str]]) -> None:
    counts = {place: len(taken_at(taken, CATALOGUE["plain"], place)) for place in places(CATALOGUE["plain"])}
    assert all(counts[free] > 300 for free in ("args", "exports", "script", "python", "image", "datasets"))
    assert all(counts[word] < 10 for word in ("name", "group", "account", "qos", "gpu_type", "mem", "time", "mail"))
    assert counts["set.notice"] == 0
    assert not any("\n" in value for each in taken.values() for value in each)


@pytest.mark.parametrize("name", CATALOGUE.names())
def test_a_hostile_value_changes_a_script_by_one_quoted_word_and_nothing_else(
    name: str, environment: Any, taken: dict[str, list[str]]
) -> None:
    template = CATALOGUE[name]
    plain = carrier(template, {})
    before = rendered(environment, template, plain)
    options = [word for _, word in directives(before)]
    for values in hostile_requests(taken, template):
        words = marked(template, values, plain.values)
        after = rendered(environment, template, carrier(template, values))
        assert after == with_words(before, words)
        assert [word for _, word in directives(after)] == [with_values(each, words) for each in options]


def test_bash_reads_every_quoted_value_back_as_it_was(tmp_path: Path, taken: dict[str, list[str]]) -> None:
    values = taken_at(taken, CATALOGUE["plain"], "args")
    text = f"printf '%s\\0' {' '.join(shell_word(each) for each in values)}"
    done = subprocess.run(["bash"], input=text.encode(), cwd=tmp_path, capture_output=True, check=True, timeout=60)
    assert done.stdout.decode().split("\0")[:-1] == values
    assert done.stderr == b""
    assert list(tmp_path.iterdir()) == []


STUBS = {
    # srun runs what it is given, once; what it was told before that is kept, too
    "srun": 'record "$0" "$@"; [[ " $* " == *" bash "* ]] || exit 0; while [[ $1 != bash ]]; do shift; done; exec "$@"',
    # a runtime of images runs what follows the image
    "apptainer": 'record "$0" "$@"; while [[ $1 != bash ]]; do shift; done; exec "$@"',
    "scontrol": 'record "$0" "$@"; [[ $* == "show hostnames"* ]] && echo node1; exit 0',
    "scancel": 'record "$0" "$@"',
    "sleep": "exec /bin/sleep 0.01",
    "nvidia-smi": "exit 0",
    "hit": 'touch "$WITNESS/hit"',
}
RECORD = """#!/bin/bash
record() { { printf '%s\\0' "$@"; printf '\\1\\0'; } >>"$WITNESS/words"; env -0 >>"$WITNESS/environ"; }
"""


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stubs")
    for name, body in STUBS.items():
        (folder / name).write_text(f"{RECORD}{body}\n")
        (folder / name).chmod(0o755)
    (folder / ".python").write_text(f'{RECORD}record python "$@"\nexit 0\n')
    (folder / ".python").chmod(0o755)
    return folder


@pytest.mark.parametrize("name", CATALOGUE.names())
def test_bash_runs_the_scripts_and_nothing_of_a_value(
    name: str, environment: Any, taken: dict[str, list[str]], stubs: Path, tmp_path: Path
) -> None:
    template = CATALOGUE[name]
    requests = list(hostile_requests(taken, template))
    words = tuple(taken_at(taken, template, "args"))
    notes = {f"NOTE_{number}": each for number, each in enumerate(words[:200])}
    for number in range(RUNS):
        run = tmp_path / str(number)
        values = made_to_run(requests[number * len(requests) // RUNS], run, stubs, in_image=number % 2 == 1)
        wanted = {**carrier(template, values).wanted, "args": words, "exports": notes}
        wanted |= {} if number % 2 else {"image": None}
        context = script.context(read_request(wanted), template)
        text = environment.get_template(f"{FOLDER}/{template.name}{SUFFIX}").render(**context)
        ran = run_with(text, run, stubs)
        assert nothing_is_hit(run), (values, ran.stderr)
        given = [each.split("\0") for each in (run / "words").read_text().removesuffix("\1\0").split("\0\1\0")]
        environ = (run / "environ").read_text().split("\0")
        assert any(contains(each, words) for each in given), ran.stderr[-2000:]
        assert {f"{name}={each}" for name, each in notes.items()} <= set(environ)
        for place in (each for each in values if each.startswith("set.")):
            value = as_carried(template, place, values[place])
            found = (each for each in (*environ, *(word for each in given for word in each)))
            assert any(each == value or each.endswith(f"={value}") for each in found), (place, value)


def made_to_run(values: dict[str, str], run: Path, stubs: Path, *, in_image: bool) -> dict[str, str]:
    """Return the values, those of files and folders in the folder of this run, where they stand."""
    (run / "work").mkdir(parents=True)
    python = run / "bin" / file_name(values["python"]) / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(stubs / ".python")
    image = run / "images" / f"{file_name(values['image'])}.sif"
    image.parent.mkdir()
    image.touch()
    checkpoints = run / "checkpoints" / file_name(values["checkpoint_dir"])
    made = {**values, "python": str(python), "image": str(image), "checkpoint_dir": str(checkpoints)}
    if in_image:  # what is mounted holds no ':' and no ','
        made |= {place: re.sub("[:,]", "_", made[place]) for place in FOLDERS}
    return {place: value for place, value in made.items() if place not in ("args", "exports")}


def file_name(text: str) -> str:
    """Return the text as the name of a file: no slash, not too long, no name that means a folder."""
    return text.replace("/", "_")[:60].strip(". ") or "x"


def nothing_is_hit(run: Path) -> bool:
    """True where neither the command was run nor a file written that no line of the script writes."""
    names = {each.name for each in run.iterdir()}
    return names <= {"work", "bin", "images", "checkpoints", "words", "environ"} and not (run / "work/hit").exists()


def run_with(text: str, run: Path, stubs: Path) -> subprocess.CompletedProcess[str]:
    environ = {
        "PATH": f"{stubs}:/usr/bin:/bin", "WITNESS": str(run), "HOME": str(run / "work"), "SLURM_JOB_ID": "77",
        "SLURM_JOB_NAME": "t", "SLURM_JOB_NODELIST": "node1", "SLURM_NODEID": "0", "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1", "SLURMD_NODENAME": "node1", "SLURM_CPUS_PER_TASK": "1",
        "SLURM_CPUS_ON_NODE": "1", "SLURM_NNODES": "1", "SLURM_TASKS_PER_NODE": "1", "SLURM_STEP_ID": "0",
    }  # fmt: skip
    return subprocess.run(
        ["bash"], input=text, cwd=run / "work", env=environ, capture_output=True, text=True, check=False, timeout=120
    )


def contains(words: list[str], wanted: tuple[str, ...]) -> bool:
    """True where the wanted words stand in a row among these."""
    at = words.index(wanted[0]) if wanted[0] in words else len(words)
    return tuple(words[at : at + len(wanted)]) == wanted


def test_shlex_and_sbatch_quote_differently_and_each_reader_gets_its_own() -> None:
    text = "a\\b 'c' \"d\" #e"
    assert shlex.split(shell_word(text)) == [text]
    assert [word for _, word in directives(f"#SBATCH --comment={sbatch_word(text)}")] == [f"--comment={text}"]
    assert [word for _, word in directives(f"#SBATCH --comment={shell_word(text)}")] != [f"--comment={text}"]
