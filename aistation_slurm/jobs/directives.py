"""The `#SBATCH` lines of a script, as sbatch reads them (next_line and get_argument in its opt.c, 22.05 to 26.05).

Not as a shell would: a backslash escapes the next character inside single quotes, too; a `#` ends the line where it is
not quoted, even within a word; and the first line that is neither empty nor a comment ends it all.
"""

from __future__ import annotations

from collections.abc import Iterator

from aistation_slurm.errors import RenderError

_MARK = "#SBATCH"
_BLANKS = " \t\v\f\r"
LONG_OPTIONS = frozenset(
    """
    account acctg-freq array autocomplete batch bb bbf begin chdir cluster cluster-constraint clusters comment
    consolidate-segments constraint container container-id container-type contiguous core-spec cores-per-socket cpu-freq
    cpus-per-gpu cpus-per-task deadline delay-boot dependency distribution error exclude exclusive export export-file
    external extra extra-node-info get-user-env gid gpu-bind gpu-freq gpus gpus-per-node gpus-per-socket gpus-per-task
    gres gres-flags help hint hold ignore-pbs input job-name kill-on-invalid-dep licenses mail-type mail-user mcs-label
    mem mem-bind mem-per-cpu mem-per-gpu mem-update mincpus network nice no-kill no-requeue nodefile nodelist nodes
    ntasks ntasks-per-core ntasks-per-gpu ntasks-per-node ntasks-per-socket ntasks-per-tres oom-kill-step open-mode
    output overcommit oversubscribe parsable partition power prefer priority profile propagate qos quiet reboot requeue
    reservation resources resv-ports segment signal sockets-per-node spread-job spread-segments stepmgr switches
    tasks-per-node test-only thread-spec threads-per-core time time-min tmp tres-bind tres-per-task uid usage
    use-min-nodes verbose version wait wait-all-nodes wckey wrap
    """.split()  # noqa: SIM905  (a hundred names, quoted one by one, read worse)
)
"""What some sbatch from 22.05 to 26.05 knows."""
SHORT_OPTIONS = frozenset("ABCDFGHJLMNOQSVWabcdehikmnopqstvwx")


def directives(script: str) -> Iterator[tuple[int, str]]:
    """Yield (line, word) of what sbatch takes from the script as options.

    Raises:
        RenderError: a quote is not closed; `where` is the line.
    """
    for number, line in enumerate(script.split("\n"), 1):
        if line.startswith(_MARK):
            for word in words(line.removeprefix(_MARK), where=f"line {number}"):
                yield number, word
        elif line.strip(_BLANKS) and not line.strip(_BLANKS).startswith("#"):
            return


def late_directives(script: str) -> Iterator[int]:
    """Yield the lines that look like options, and stand behind the first command, where sbatch takes no notice."""
    is_over = False
    for number, line in enumerate(script.split("\n"), 1):
        is_over = is_over or bool(line.strip(_BLANKS) and not line.strip(_BLANKS).startswith("#"))
        if is_over and line.startswith(f"{_MARK} -"):
            yield number


def words(text: str, *, where: str = "") -> list[str]:
    """Return the words of a line, as sbatch splits it.

    Raises:
        RenderError: a quote is not closed.
    """
    found: list[str] = []
    rest = text.lstrip(_BLANKS)
    while rest and rest[0] != "#":
        word, rest = _word(rest, where)
        found.append(word)
        rest = rest.lstrip(_BLANKS)
    return found


def option_of(word: str) -> str:
    """Return the option that a word names, with its dashes: `--gpus` of `--gpus=2`, `-N` of `-N2`; empty if none."""
    if word.startswith("--"):
        return word.partition("=")[0]
    return word[:2] if word.startswith("-") else ""


def is_known(option: str) -> bool:
    """True where some sbatch from 22.05 to 26.05 knows the option."""
    return option[2:] in LONG_OPTIONS if option.startswith("--") else option[1:] in SHORT_OPTIONS


def _word(text: str, where: str) -> tuple[str, str]:
    """Return the first word of the text, which begins with one, and what follows."""
    word, quote, at = "", "", 0
    while at < len(text) and (quote or text[at] not in _BLANKS):
        char = text[at]
        if char == "\\" and at + 1 < len(text):
            at += 1
            word += text[at]
        elif char == "\\":
            pass
        elif quote:
            quote, word = ("", word) if char == quote else (quote, word + char)
        elif char in "'\"":
            quote = char
        elif char == "#":
            return word, ""
        else:
            word += char
        at += 1
    if quote:
        raise RenderError(f"the quote {quote} is not closed", where=where)
    return word, text[at:]
