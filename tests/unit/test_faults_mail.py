"""How a job's owner is told: by Slurm's own MailProg, called as Slurm calls it."""

from __future__ import annotations

from pathlib import Path

import pytest

from aistation_slurm.faults import mail as mails
from aistation_slurm.faults.mail import Mail, send
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState

JOB = Job(job_id=7, name="t", user="ann", state=JobState.FAILED)
MAIL = Mail("ann", "Slurm job 7 t stopped", "Your job ...\n")


@pytest.fixture
def program(tmp_path):
    def write(script: str) -> str:
        path = tmp_path / "mail"
        path.write_text(f"#!/bin/sh\ncd {tmp_path}\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return write


def test_the_program_has_the_subject_the_user_the_words_and_the_job(program, tmp_path):
    config = {"MailProg": program('printf "%s|" "$@" "$SLURM_JOB_ID" > args; cat > text')}
    assert send(MAIL, JOB, config) == ""
    assert (tmp_path / "args").read_text() == "-s|Slurm job 7 t stopped|ann|7|"
    assert (tmp_path / "text").read_text() == MAIL.text


@pytest.mark.parametrize(("domain", "whom"), [("example.org", "ann@example.org"), ("(null)", "ann"), ("", "ann")])
def test_a_user_has_their_mail_where_slurm_says(program, tmp_path, domain, whom):
    assert send(MAIL, JOB, {"MailProg": program('echo "$3" > whom'), "MailDomain": domain}) == ""
    assert (tmp_path / "whom").read_text() == f"{whom}\n"


def test_a_name_with_a_line_break_makes_no_second_header(program, tmp_path):
    odd = Mail("ann", "Slurm job 7 x\nBcc: all@example.org stopped", "")
    assert send(odd, JOB, {"MailProg": program('printf "%s" "$2" > subject')}) == ""
    assert (tmp_path / "subject").read_text() == "Slurm job 7 x Bcc: all@example.org stopped"


def test_a_program_that_does_not_read_its_words_is_no_fault(program):
    assert send(Mail("ann", "s", "x" * 1_000_000), JOB, {"MailProg": program("exit 0")}) == ""


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "slurm.conf names no MailProg"),
        ({"MailProg": "(null)"}, "slurm.conf names no MailProg"),
        ({"MailProg": "/nowhere/mail"}, "No such file"),
    ],
)
def test_without_a_program_it_is_said_why_nobody_was_told(config, said):
    assert said in send(MAIL, JOB, config)


def test_a_program_that_fails_or_hangs_is_said(program, monkeypatch):
    path = program("exit 3")
    assert send(MAIL, JOB, {"MailProg": path}) == f"{path} ended with code 3"
    monkeypatch.setattr(mails, "MAIL_SECONDS", 0.3)
    assert "timed out" in send(MAIL, JOB, {"MailProg": str(Path(program("exec sleep 600")))})
