"""Every line of every template is explained, and the page shows the script that is rendered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aistation_slurm.cli.template_page import SHARED, common_page, template_pages
from aistation_slurm.errors import RenderError
from aistation_slurm.jobs.catalogue import FOLDER, open_catalogue
from aistation_slurm.jobs.explained import example_of, explained, explanation_of, read_explanation
from aistation_slurm.jobs.lint import lint_template
from aistation_slurm.jobs.script import context, render_script
from aistation_slurm.jobs.variants import variants

CATALOGUE = open_catalogue()
DOCS = Path(__file__).resolve().parents[2] / "docs"
MOST = 16
"""Lines of code that one explanation may be about."""


def code_of(page: str) -> str:
    return "".join(re.findall(r"^```bash\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))


def lines_of_code(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip() and not re.match(r"\s*#(?!SBATCH|!)", line)]


EXPLAINED = [name for name in CATALOGUE.names() if explanation_of(name, CATALOGUE)]
BY_HAND = [name for name in CATALOGUE.names() if name not in EXPLAINED]


def test_every_template_has_a_page() -> None:
    missing = [name for name in CATALOGUE.names() if not (DOCS / "templates" / f"{name}.md").exists()]
    assert missing == [], "write templates/train/NAME.toml, and run scripts/dev/docs"


@pytest.mark.parametrize("name", EXPLAINED)
def test_the_code_of_a_page_is_the_script_that_is_rendered(name: str) -> None:
    known = explanation_of(name, CATALOGUE)
    assert known
    assert known.know
    page = (DOCS / "templates" / f"{name}.md").read_text()
    assert code_of(page) == render_script(example_of(CATALOGUE[name], known), CATALOGUE)
    assert f"aistation job submit --template {name} " in page


@pytest.mark.parametrize("name", BY_HAND)
def test_a_page_that_was_written_by_hand_names_only_what_the_scripts_have(name: str) -> None:
    page = (DOCS / "templates" / f"{name}.md").read_text()
    assert f"aistation job submit --template {name} " in page
    scripts = "".join(block.text for _, each in variants(CATALOGUE[name]) for block in explained(each, CATALOGUE))
    named = [span for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE) for span in re.findall(r"`(.+?)`", row)]
    assert named
    words = [re.split(r"[=0-9]", word)[0] for span in named for word in span.split()]
    assert [word for word in words if word not in scripts] == []


@pytest.mark.parametrize("name", EXPLAINED)
def test_no_line_of_a_template_goes_without_an_explanation(name: str) -> None:
    for label, request in variants(CATALOGUE[name]):
        for block in explained(request, CATALOGUE):
            assert block.say or not lines_of_code(block.text), f"{label}: {block.source or name}: {block.text}"
            assert len(lines_of_code(block.text)) <= MOST, f"{label}: too much for one explanation: {block.text}"


def test_the_page_on_templates_names_all_that_they_may_use_and_its_example_is_one(tmp_path: Path) -> None:
    page = (DOCS / "templates.md").read_text()
    plain = CATALOGUE["plain"]
    names = set(context(next(variants(plain))[1], plain)) - set(plain.parameters)
    may_use = page[page.index("**What may be used**") :].split("\n- ")[0]
    assert names <= set(re.findall(r"\w+", may_use))
    (tmp_path / FOLDER).mkdir()
    path = tmp_path / FOLDER / "example.sbatch.j2"
    path.write_text(re.findall(r"```jinja\n(.*?)```", page, re.DOTALL)[0])
    assert lint_template(path, (tmp_path, *CATALOGUE.folders)) == []


def test_the_parts_that_templates_share_have_their_own_page() -> None:
    page = common_page(CATALOGUE)
    for name in SHARED:
        assert f"`train/{name}.sh.j2`" in page
        for first, say in (explanation_of(name, CATALOGUE) or pytest.fail(name)).lines.items():
            assert say in page or first in {"export TF_FORCE", "# GPUs are not bound"}, (name, first)


def test_nothing_is_explained_that_no_template_has() -> None:
    lines: dict[str, set[str]] = {}
    for template in CATALOGUE:
        for _, request in variants(template):
            for block in explained(request, CATALOGUE):
                lines.setdefault(block.source or template.name, set()).update(block.text.splitlines())
    for path in CATALOGUE.folders[-1].glob(f"{FOLDER}/*.toml"):
        for first in read_explanation(path).lines:
            assert any(line.strip().startswith(first) for line in lines[path.stem]), f"{path.name}: {first}"


def test_the_pages_are_those_of_the_catalogue() -> None:
    written = {f"templates/{path.name}" for path in (DOCS / "templates").iterdir()}
    assert written == {*template_pages(), *(f"templates/{name}.md" for name in BY_HAND)}


def test_an_explanation_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("lines = 1\n")
    with pytest.raises(RenderError, match="can't be used") as error:
        read_explanation(tmp_path / "x.toml")
    assert error.value.where == str(tmp_path / "x.toml")
