"""`docs/failures.md`: the table of failures, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aistation_slurm.jobs.judge.model import WEIGHTS, Rule, Weight

_HEAD = """# Whose fault a job's end was

`aistation fault judge JOB` says it, and by which rule; the duty [requeue](requeue.md) goes by it. Written by
`scripts/dev/docs` from `slurm_conf/failures.toml`.

```console
$ aistation fault judge 4711
the job's own fault: its Python program ended with an error of its own (python-error)
  KeyError: 'learning_rate'
another try would end the same
$ aistation fault judge --log old.log --exit-code 137          # of a job that Slurm no longer knows
```

A rule fits by Slurm's state, the exit code, the signal (an exit code of 128 + N is signal N), and a regular expression
on the lines of the log: the last 64 KiB of it, of the last run only, without colours and without the rank that
torchrun, srun, mpirun or Ray put before a line. Of the rules that fit the strongest wins, in the order of the tables
below; among equals the one whose line came first.

**Chains.** One rank that breaks takes the others along, and their logs are full of closed connections. So a line that
only says that a peer is gone is a symptom: it counts only where no rank says what it died of, wherever in the log that
stands.

## A site's own rules

They stand in `failures.toml` beside `aistation.toml` (`/etc/aistation/failures.toml`), have the same form, and come
before ours of the same strength. One with the name of one of ours takes its place.

```toml
[[rule]]
name = "licence-server"
whose = "platform"                     # or "user", "unknown", "success"
why = "the licence server was away"    # a sentence for the job's owner
log = 'FLEXlm error'                   # and, or instead: states, exit_codes, signals
retry = true                           # the default for platform and unknown; a user's fault is never tried again
weight = "cause"                       # the default with log; or decides, general, symptom, last
```

A key that is not known, a second rule of a name, or a pattern that could run away (a repeated group, a reference back,
more than two wide repetitions in a row) is refused, with the file and the line. The file is read in each round;
`aistation fault judge` shows at once what a change does.
"""
_TITLES: dict[Weight, str] = {
    "decides": "`decides`: what Slurm says, whatever stands in the log",
    "cause": "`cause`: a line that says what broke",
    "general": "`general`: a line that is said of many breaks",
    "symptom": "`symptom`: what follows where another rank broke",
    "last": "`last`: what is left where the log says nothing",
}


def failures_page(table: Sequence[Rule]) -> str:
    """Return the page: a table for each strength, with what each rule goes by."""
    return "\n".join([_HEAD, *(line for weight in WEIGHTS for line in _section(weight, table))])


def _section(weight: Weight, table: Sequence[Rule]) -> Iterator[str]:
    yield f"## {_TITLES[weight]}\n"
    yield "| rule | whose | again | by | what its owner is told |\n| --- | --- | --- | --- | --- |"
    for rule in table:
        if rule.weight == weight:
            again = "yes" if rule.retry else "no"
            yield f"| {rule.name} | {rule.whose} | {again} | {_by(rule)} | {rule.why} |"
    yield ""


def _by(rule: Rule) -> str:
    parts = [
        ", ".join(sorted(rule.states)),
        f"code {_listed(rule.exit_codes)}" if rule.exit_codes else "",
        f"signal {_listed(rule.signals)}" if rule.signals else "",
        "log" if rule.log else "",
    ]
    return "; ".join(filter(None, parts))


def _listed(numbers: frozenset[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
