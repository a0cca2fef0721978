"""Whatever stands in an answer of slurmrestd: it is read, or it is an error of ours; never a traceback."""

import contextlib
import copy
import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from aistation_slurm.errors import SlurmError
from aistation_slurm.slurm.readers.rest import RestReader
from aistation_slurm.slurm.readers.rest.transport import Answer
from tests.unit.restd import RECORDED

QUESTIONS = {
    "slurm-jobs": ("jobs",),
    "slurm-nodes": ("nodes",),
    "slurm-reservations": ("reservations",),
    "slurm-diag": ("diag",),
    "slurm-ping": ("controllers",),
    "slurmdb-tres": ("tres",),
    "slurmdb-accounts": ("accounts",),
    "slurmdb-users": ("users",),
    "slurmdb-associations": ("associations",),
    "slurmdb-jobs": ("history", "step_history"),
}
ODD = (
    None, True, 0, -1, -5, 2**32 - 1, 2**64, 10**30, 1.5, float("nan"), float("inf"), "", "x", "0x", "0xZZ", "a=b",
    "cpu=4", "gpu:", "|=\n", [], {}, [1], [None], [[]], {"a": 1}, {"set": True}, [{"type": "cpu"}],
    {"set": True, "infinite": False, "number": "x"}, {"set": True, "infinite": False, "number": 10**25},
    [{"type": "cpu", "count": "x"}], [{"type": 1, "count": 1}],
)  # fmt: skip


def short(file: Path) -> dict:
    """The answer with the first two things of each list."""
    said = json.loads(file.read_text())
    return {key: value[:2] if isinstance(value, list) else value for key, value in said.items()}


def places(value: object, here: tuple = ()) -> list[tuple]:
    """The path of everything in it."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([here] if here else []), *(place for key, each in below for place in places(each, (*here, key)))]


ANSWERS = [(file, short(file)) for file in sorted(RECORDED.glob("*/*.json"))]
PLACES = [places(said) for _, said in ANSWERS]


class Said:
    """In the place of the socket: every question has the same answer, but for that for the version."""

    def __init__(self, version: str, said: dict) -> None:
        self.version, self.said = version, said

    def get(self, target: str, *, until: object) -> Answer:
        if not target.startswith((f"/slurm/{self.version}/", f"/slurmdb/{self.version}/")):
            return Answer(404, "text/plain", b"")
        return Answer(200, "application/json", json.dumps(self.said).encode())


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_an_odd_value_anywhere_is_read_or_unreadable(data):
    which = data.draw(st.integers(0, len(ANSWERS) - 1))
    file, said = ANSWERS[which]
    *above, last = data.draw(st.sampled_from(PLACES[which]))
    odd = copy.deepcopy(said)
    thing = odd
    for key in above:
        thing = thing[key]
    thing[last] = data.draw(st.sampled_from(ODD))
    reader = RestReader(Path("/nowhere"))
    reader._client._transport = Said(file.parent.name, odd)
    for question in QUESTIONS[file.stem]:
        arguments = (1,) if question == "step_history" else ()
        with contextlib.suppress(SlurmError):
            getattr(reader, question)(*arguments)
