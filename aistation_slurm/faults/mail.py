"""Telling a job's owner, by the way Slurm itself takes: `MailProg -s SUBJECT USER` (slurm.conf(5))."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from aistation_slurm.slurm.model import Job

MAIL_SECONDS = 20.0
_LONGEST_SUBJECT = 400


@dataclass(frozen=True, slots=True)
class Mail:
    """What one user is told. The subject says all of it, since a MailProg need not read more."""

    user: str
    subject: str
    text: str


def send(mail: Mail, job: Job, config: Mapping[str, str]) -> str:
    """Hand the mail to Slurm's MailProg; return why it was not sent, or nothing where it was."""
    program, domain = config.get("MailProg", ""), config.get("MailDomain", "")
    if not program.startswith("/"):
        return "slurm.conf names no MailProg"
    whom = f"{mail.user}@{domain}" if domain and domain.lower() not in {"(null)", "n/a"} else mail.user
    about = {"SLURM_JOB_ID": str(job.job_id), "SLURM_JOB_NAME": job.name, "SLURM_JOB_USER": job.user}
    subject = "".join(each if each.isprintable() else " " for each in mail.subject)[:_LONGEST_SUBJECT]
    try:
        done = subprocess.run(
            (program, "-s", subject, whom), input=mail.text.encode(errors="replace"), capture_output=True, check=False,
            timeout=MAIL_SECONDS, cwd="/", start_new_session=True,
            env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8", **about},
        )  # fmt: skip
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return f"{program}: {error}"
    return f"{program} ended with code {done.returncode}" if done.returncode else ""
