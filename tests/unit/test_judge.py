"""The judge: a corpus of logs with the verdict that each has to get, and what a site's own table may say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aistation_slurm.errors import SettingsError
from aistation_slurm.jobs.judge import Ending, judge, load_table
from aistation_slurm.jobs.judge.ending import TAIL, last_run, read_ending, read_tail
from aistation_slurm.jobs.judge.linear import compiled
from aistation_slurm.slurm.states import JobState

CORPUS = sorted((Path(__file__).parents[1] / "golden" / "judge").glob("*.log"))
FAILED = JobState.FAILED


def labelled(path: Path) -> tuple[Ending, str]:
    """The ending in a file, and the verdict that its first line wants: `#: STATE CODE:SIGNAL -> WHOSE RULE`."""
    head, text = path.read_text().split("\n", 1)
    how, expected = head.removeprefix("#: ").split(" -> ")
    state, _, code = how.partition(" ")
    exit_code, _, signal = code.partition(":")
    return Ending(JobState(state), int(exit_code), int(signal), log_tail=last_run(text)), expected


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_each_log_of_the_corpus_is_judged_as_a_person_did(path):
    ending, expected = labelled(path)
    verdict = judge(ending, load_table())
    assert f"{verdict.whose} {verdict.rule}" == expected, str(verdict)


def test_the_corpus_holds_every_rule_that_a_log_can_show():
    shown = {labelled(path)[1].split()[1] for path in CORPUS}
    unseen = {rule.name for rule in load_table() if rule.weight in {"cause", "symptom"}} - shown
    assert len(CORPUS) >= 60
    assert unseen <= {"read-only", "step-time-limit", "step-preempted"}


def test_a_users_fault_is_never_tried_again():
    assert all(not rule.retry for rule in load_table() if rule.whose in {"user", "success"})


def test_an_ending_that_no_rule_knows_is_not_tried_again():
    verdict = judge(Ending(FAILED, 1), ())
    assert (verdict.whose, verdict.retry) == ("unknown", False)


def test_the_verdict_says_itself_in_one_sentence_with_the_line_that_tells():
    verdict = judge(Ending(FAILED, 1, log_tail="[rank3]: OSError: [Errno 5] Input/output error\n"), load_table())
    assert str(verdict) == "not the job's fault: a disk or the shared storage failed (input/output error) (io-error)"
    assert verdict.line == "OSError: [Errno 5] Input/output error"


@pytest.fixture
def site(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "failures.toml"
        path.write_text(text)
        return path

    return write


def test_a_site_adds_rules_that_come_before_ours(site):
    table = load_table(
        site("""
[[rule]]
name = "licence-server"
whose = "platform"
why = "the licence server was away"
log = 'FLEXlm error'
""")
    )
    ending = Ending(FAILED, 1, log_tail="ValueError: FLEXlm error -15\nModuleNotFoundError: No module named 'x'\n")
    assert judge(ending, table).rule == "licence-server"


def test_a_sites_rule_of_the_same_name_replaces_ours(site):
    table = load_table(
        site("""
[[rule]]
name = "killed"
whose = "user"
why = "here only the memory watcher kills"
signals = [9]
""")
    )
    assert judge(Ending(FAILED, 137), table).whose == "user"
    assert len([rule for rule in table if rule.name == "killed"]) == 1


RULE = '\n[[rule]]\nname = "mine"\nwhose = "platform"\nwhy = "so"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (RULE + "exitcodes = [1]\n", ":2: a rule has no key 'exitcodes'"),
        (
            RULE + "exit_codes = [0]\n",
            ":2: the rule 'mine' can't be used: exit_codes is a list of numbers from 1 to 255",
        ),
        (RULE + "exit_codes = [true]\n", "exit_codes is a list of numbers"),
        (RULE + "signals = 9\n", "signals is a list of numbers"),
        (RULE + "states = ['RUNNING']\n", "'RUNNING' is no state that a job ends in"),
        (RULE + "log = '(a+)+$'\n", "repeats a group, which may take very long"),
        (RULE + "log = '(a'\n", "its pattern is no regular expression"),
        (RULE + "log = '.*a.*b.*c'\n", "more than 2 wide repetitions"),
        (RULE, "it names nothing to know a failure by"),
        (RULE + RULE.replace("mine", "other") + "states = ['FAILED']\n", ":2: the rule 'mine'"),
        ("\n" + (RULE + "signals = [9]\n") * 2, ":9: a second rule called 'mine'"),
        (RULE.replace("platform", "user") + "retry = true\nsignals = [9]\n", "whose = 'user' is never tried again"),
        (RULE.replace("platform", "nobody") + "signals = [9]\n", "whose is one of success, user, platform, unknown"),
        (RULE.replace('why = "so"', "") + "signals = [9]\n", "why is missing"),
        ("[rule]\nname = 'x'\n", "knows only [[rule]]"),
        ("[[rules]]\n", "knows only [[rule]], not 'rules'"),
        ("[[rule]", "is not TOML"),
    ],
)
def test_a_table_that_can_not_be_used_is_refused_with_its_place(site, text, said):
    with pytest.raises(SettingsError) as refused:
        load_table(site(text))
    assert said in str(refused.value)


def test_a_site_without_a_table_has_ours(tmp_path):
    assert load_table(tmp_path / "failures.toml") == load_table()


@pytest.mark.parametrize("pattern", ["a.*b|c.*d|e.*f", r"x\(.*\)+", "[)*]+ (?:a|b)?", r"\)*", "a{0,400}b"])
def test_a_pattern_that_can_not_run_away_is_taken(pattern):
    assert compiled(pattern).pattern == pattern


@pytest.mark.parametrize(
    "pattern", ["(?:a|a)*b", "(a*){1,9}", r"(a)\1", "(?P<x>a)(?P=x)", "(.*|x)(.*|y)(.*|z)", "a" * 1001]
)
def test_a_pattern_that_may_run_away_is_refused(pattern):
    with pytest.raises(ValueError, match="its pattern"):
        compiled(pattern)


def test_only_the_end_of_a_log_is_read(tmp_path):
    log = tmp_path / "t.log"
    log.write_bytes(b"ValueError: early\n" + b"x" * TAIL + b"\xff\nOSError: [Errno 5]\n")
    assert len(read_tail(log)) == TAIL
    assert judge(read_ending(log, state=FAILED, exit_code=1), load_table()).rule == "io-error"


def test_a_log_that_is_a_pipe_or_a_folder_says_nothing_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert read_tail(tmp_path / "pipe") == read_tail(tmp_path) == read_tail(tmp_path / "none") == ""
