"""What `aistation template lint` says of a template, and that bash agrees."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from aistation_slurm.cli.template import template as command
from aistation_slurm.jobs.catalogue import open_catalogue
from aistation_slurm.jobs.lint import lint_template
from aistation_slurm.jobs.places import places

OURS = open_catalogue()
FRONT = """{#
title = "Ours"
what_for = "A test."
[parameters]
note = {type = "string", default = "", help = "Any text."}
file = {type = "path", help = "A file."}
mode = {choices = ["a", "b"], default = "a", help = "One of two."}
#}
"""
WHOLE = """#!/bin/bash
{% include "train/_head.sh.j2" %}
{% include "train/_start.sh.j2" %}
{% include "train/_signals.sh.j2" %}
{% include "train/_bind.sh.j2" %}
{% include "train/_container.sh.j2" %}
work() {
    {% if file %}cp {{ file }} x{% endif %}

    exec tool --mode={{ mode }}{% if note %} --note={{ note }}{% endif %} {{ argv|words }}
}
export -f work
"${launch[@]}" bash -c work &
{% include "train/_wait.sh.j2" %}
"""
BODY = FRONT.count("\n")


def said(tmp_path: Path, text: str) -> list[str]:
    """Return what lint says, each as `LINE level: text [rule]`."""
    path = tmp_path / "train" / "ours.sbatch.j2"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    found = lint_template(path, (tmp_path, *OURS.folders))
    return [str(each).removeprefix(f"{path}:").replace(": ", " ", 1) for each in found]


@pytest.mark.parametrize("name", OURS.names())
def test_lint_has_nothing_to_say_of_our_own_templates(name: str) -> None:
    assert lint_template(OURS.file(name), OURS.folders) == []


def test_a_sites_template_that_includes_ours_has_nothing_missing(tmp_path: Path) -> None:
    assert said(tmp_path, FRONT + WHOLE) == []


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("echo {{ nots }}", "error: nothing is called 'nots'; did you mean 'note'? [unknown-name]"),
        ('echo "{{ note }}"', 'error: {{ note }} stands inside "...", where a shell expands it'),
        ("echo '{{ note }}'", "error: {{ note }} stands inside '...', where"),
        ("cat <<END\n{{ note }}\nEND", "error: {{ note }} stands inside here-document, where"),
        ("echo `cat {{ file }}`", "error: {{ file }} stands inside `...`, where"),
        ("echo $(({{ note }}))", "error: {{ note }} stands inside $((...)), where"),
        ('echo "${x:-{{ note }}}"', "error: {{ note }} stands inside ${...}, where"),
        ("bash -c {{ note }}", "error: {{ note }} is handed to a command that runs it as code [code]"),
        ("eval {{ note }}", "error: {{ note }} is handed to a command that runs it as code [code]"),
        ("echo {{ note|option }}", "error: {{ note|option }} stands in no #SBATCH line"),
        ("tool {{ note }}", "warning: {{ note }} may begin with a dash, as an option: --name={{ note }}"),
        ("{% if mode == 'b' %}\nif true; then\n{% endif %}\ntrue", "error: bash: line "),
        ("echo {{ mode.nope }}", "error: 'str object' has no attribute 'nope' (with the least) [render]"),
        ("echo {{ file }}", "error: what was not asked for is printed: ask {% if ... %} first, or give it a default"),
        ("{% include 'train/_nope.sh.j2' %}", "error: there is no template 'train/_nope.sh.j2' (with the least)"),
        ("{% endif %}", "error: Encountered unknown tag 'endif'."),
    ],
)
def test_a_line_that_is_wrong_is_named_with_what_is_wrong(tmp_path: Path, line: str, complaint: str) -> None:
    found = said(tmp_path, FRONT + WHOLE + line + "\n")
    assert len(found) == 1, found
    where = BODY + WHOLE.count("\n") + 1 + line.split("{{", maxsplit=1)[0].count("\n")
    assert found[0].startswith(f"{1 if 'bash: line' in complaint else where} {complaint}")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("#SBATCH --comment={{ note }}", "error: {{ note }} stands in a #SBATCH line: write |option"),
        ("#SBATCH --gpu=2", "error: no sbatch has the option --gpu; did you mean --gpus? (with the least) [sbatch]"),
        ("#SBATCH -Z", "error: no sbatch has the option -Z"),
        ("#SBATCH gpus=2", "error: sbatch takes 'gpus=2' in a #SBATCH line for no option"),
        ("#SBATCH --comment='x", "error: line 2: the quote ' is not closed"),
        ("true\n#SBATCH --mem=1G", "warning: #SBATCH --mem=1G stands behind the first command"),
    ],
)
def test_an_option_line_that_sbatch_would_not_take_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    found = said(tmp_path, (FRONT + WHOLE).replace("#!/bin/bash\n", f"#!/bin/bash\n{line}\n"))
    assert any(each.split(" ", 1)[1].startswith(complaint) for each in found), found


def test_each_thing_that_a_template_lacks_is_a_warning(tmp_path: Path) -> None:
    found = said(tmp_path, FRONT + "#!/bin/bash\nexec tool --note={{ note or 1 }} --mode={{ mode }}\n")
    assert [each.split(" ")[1] for each in found] == ["warning:"] * 8
    assert "1 warning: the parameter 'file' changes nothing [unused]" in found
    for lack in ("--requeue", "--open-mode=append", "--signal=B:", "_start", "_signals", "_wait", "no srun"):
        assert any(lack in each for each in found), lack


def test_a_template_without_a_shebang_is_an_error(tmp_path: Path) -> None:
    found = said(tmp_path, (FRONT + WHOLE).replace("#!/bin/bash\n", ""))
    assert any("error: the script begins with" in each for each in found)


def test_what_a_sites_own_include_does_wrong_is_named_there(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "_mine.sh.j2").write_text('true\necho "{{ note }}"\n')
    path = tmp_path / "train" / "ours.sbatch.j2"
    path.write_text(FRONT + WHOLE + "{% include 'train/_mine.sh.j2' %}\n")
    (found,) = lint_template(path, (tmp_path, *OURS.folders))
    assert found.where == f"{tmp_path}/train/_mine.sh.j2:2"


def test_the_command_fails_for_errors_and_for_warnings_only_if_it_is_to_be_strict(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    path = tmp_path / "train" / "ours.sbatch.j2"
    path.write_text(FRONT + WHOLE + "tool {{ note }}\n")
    run = CliRunner()
    assert run.invoke(command, ["lint", str(path)]).exit_code == 0
    strict = run.invoke(command, ["lint", "--strict", "--json", str(path)])
    assert strict.exit_code == 1
    assert '"rule": "dash"' in strict.stdout
    path.write_text(FRONT + WHOLE + "eval {{ note }}\n")
    assert run.invoke(command, ["lint", str(path)]).exit_code == 1


VALUE = re.compile(r"\{\{ v \}\}")
ATTACKS = (
    "$(touch hit)",
    "`touch hit`",
    "'; touch hit; '",
    '"; touch hit; "',
    "a[$(touch hit)]",
    "\\$(touch hit)",
    ")",
)


@pytest.mark.parametrize(
    ("script", "place", "is_hit"),
    [
        ("echo {{ v }}", "word", False),
        ("x={{ v }}; y=({{ v }} b); z=$(echo {{ v }})", "word", False),
        ('echo "a $(echo "b $(echo {{ v }})") c"', "word", False),
        ("[[ -n {{ v }} ]] && case {{ v }} in a) ;; *) ;; esac", "word", False),
        ("cat <<<{{ v }}", "word", False),
        ("cat <<'END'\nit's $(no) comment\nEND\necho {{ v }}", "word", False),
        ("echo $#; echo a#b {{ v }}", "word", False),
        ("f() {\n  echo $(( 1 + (2) )) {{ v }}\n}; f", "word", False),
        ("true # a comment, it's {{ v }}\n", "comment", False),
        ('echo "{{ v }}"', '"..."', True),
        ('echo "${x:-$(echo {{ v }})}"', "word", False),
        ("cat <<END\n{{ v }}\nEND", "here-document", True),
        ("cat <<-\tEND\n\t{{ v }}\n\tEND", "here-document", True),
        ("echo '{{ v }}'", "'...'", True),
        ("echo $(( {{ v }} ))", "$((...))", True),
        ('echo "${x:-{{ v }}}"', "${...}", True),
    ],
)
def test_bash_expands_a_quoted_value_only_where_the_scanner_says_so(
    tmp_path: Path, script: str, place: str, is_hit: bool
) -> None:
    assert {found for _, found in places(script, VALUE)} == {place}
    for attack in ATTACKS:
        text = script.replace("{{ v }}", shlex.quote(attack))
        subprocess.run(["bash", "-c", text], cwd=tmp_path, capture_output=True, check=False, timeout=30)
    assert (tmp_path / "hit").exists() == is_hit
