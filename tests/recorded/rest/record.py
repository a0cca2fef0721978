"""Record what a real slurmrestd answers: `python tests/recorded/rest/record.py SOCKET [VERSION [JOB...]]`.

Each answer becomes `v0.0.VERSION/API-NOUN.json` as it came, but for the blanks between its words. Without VERSION it is
the newest one that slurmrestd knows and we read. The history is that of these jobs, with their steps; without any, of
all of them.
"""

import json
import sys
from pathlib import Path

from aistation_slurm.slurm.readers.rest import client
from aistation_slurm.slurm.readers.rest.client import RestClient
from aistation_slurm.slurm.readers.rest.transport import Deadline

HERE = Path(__file__).parent
QUESTIONS = (
    ("slurm", "jobs", ()),
    ("slurm", "nodes", ()),
    ("slurm", "reservations", ()),
    ("slurm", "diag", ()),
    ("slurm", "ping", ()),
    ("slurmdb", "tres", ()),
    ("slurmdb", "accounts", (("WithCoordinators", "true"), ("with_coords", "true"))),
    ("slurmdb", "users", (("with_assocs", "true"),)),
    ("slurmdb", "associations", ()),
    ("slurmdb", "jobs", (("disable_truncate_usage_time", "true"), *(("step", job) for job in sys.argv[3:]))),
)


def main() -> None:
    """Ask everything once, and write the answers below this folder."""
    if len(sys.argv) > 2:
        client.KNOWN = (int(sys.argv[2]),)
    asked = RestClient(Path(sys.argv[1]))
    version = asked.spoken(Deadline.after(30)).version
    folder = HERE / f"v0.0.{version}"
    folder.mkdir(exist_ok=True)
    for api, noun, query in QUESTIONS[: -1 if version == 38 else None]:  # of that one no history is read
        reply = asked.ask(api, noun, () if version == 38 else query, until=Deadline.after(30))
        text = json.dumps(reply.said, separators=(",", ":"), ensure_ascii=False)
        (folder / f"{api}-{noun}.json").write_text(text + "\n", encoding="utf-8")
        print(f"{folder.name}/{api}-{noun}.json  {len(text)} bytes, status {reply.status}", file=sys.stderr)


if __name__ == "__main__":
    main()
