"""The page over HTTP: what it shows, what it costs, and what it bears."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from aistation_slurm.slurm.states import NodeState
from aistation_slurm.web.snapshots import Recovery

VOID = {"area", "br", "hr", "img", "input", "link", "meta"}
PAGE = {"accept": "text/html"}


class Outline(HTMLParser):
    """What the tests ask of a page: its ids, its inline scripts and styles, and whether its tags close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.inline: list[str] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.addresses += [given[name] or "" for name in ("src", "href") if name in given]
        self.inline += [f"{tag} {name}" for name in given if name == "style" or name.startswith("on")]
        self.inline += [tag] if tag == "style" or (tag == "script" and "src" not in given) else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)


def test_the_page_shows_every_group_every_node_and_the_jobs(serve, six_teams) -> None:
    text = serve(six_teams).get("/").text
    assert all(f'id="g-{partition.name}"' in text for partition in six_teams.partition_list)
    assert text.count('class="tile ') == 95
    assert 'id="j-1001"' in text
    assert "and 150 jobs more, not shown here" in text
    assert re.search(r"/ 760</span>", text)


@pytest.mark.parametrize("path", ["/", "/live"])
def test_the_markup_is_whole_its_ids_are_unique_and_nothing_is_inline(serve, six_teams, path) -> None:
    page = Outline(serve(six_teams).get(path).text)
    assert (page.open, page.unbalanced, page.inline) == ([], [], [])
    assert len(page.ids) == len(set(page.ids)) > 300


def test_the_page_asks_no_other_host_for_anything(serve, small) -> None:
    client = serve(small)
    addresses = Outline(client.get("/").text).addresses
    assert [each for each in addresses if not each.startswith(("/", "#"))] == []
    statics = [each for each in addresses if each.startswith("/static/")]
    assert len(statics) >= 5
    assert {client.get(each).status_code for each in statics} == {200}


def test_every_answer_carries_the_security_headers(serve, small) -> None:
    client = serve(small)
    for path in ("/", "/live", "/api/snapshot", "/healthz", "/nowhere", "/static/app.css"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'; ")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"


def test_htmx_injects_no_style_and_evaluates_nothing(serve, small) -> None:
    config = re.search(r"name=\"htmx-config\" content='([^']*)'", serve(small).get("/").text)
    assert config
    assert '"includeIndicatorStyles": false' in config[1]
    assert '"allowEval": false' in config[1]


def test_an_unchanged_station_costs_a_304_and_no_new_drawing(serve, small) -> None:
    client = serve(small)
    first = client.get("/live")
    again = client.get("/live", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert float(again.headers["aistation-now"]) >= float(again.headers["aistation-taken"])


def test_the_page_carries_the_mark_of_the_part_that_lives(serve, small) -> None:
    client = serve(small)
    etag = client.get("/live").headers["etag"]
    assert f'data-etag="{etag.replace(chr(34), "&#34;")}"' in client.get("/").text


def test_many_viewers_are_one_look_at_slurm(serve, small) -> None:
    client = serve(small)
    began = datetime.now(UTC)
    answers = [client.get("/live").status_code for _ in range(50)]
    seconds = (datetime.now(UTC) - began).total_seconds()
    assert set(answers) == {200}
    assert 1 <= small.looks <= 2 + seconds


def test_compressed_and_plain_are_the_same_page(serve, small) -> None:
    client = serve(small)
    packed = client.get("/live", headers={"accept-encoding": "gzip"})
    plain = client.get("/live", headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.text == plain.text


def test_a_job_name_can_not_become_markup(serve, small, job) -> None:
    small.job_list = [job(1, name="<script>alert(1)</script>\"' onload=x", node="v100-01")]
    text = serve(small).get("/").text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert Outline(text).inline == []


def test_a_drain_reason_can_not_become_markup(serve, small) -> None:
    node = replace(small.node_list[0], state=NodeState.parse("IDLE+DRAIN"), reason='"><img src=x onerror=alert(1)>')
    small.node_list[0] = node
    page = Outline(serve(small).get("/").text)
    assert (page.inline, page.unbalanced) == ([], [])


def test_the_page_stays_and_is_marked_when_slurm_goes_away(serve, small, monkeypatch) -> None:
    client = serve(small)
    assert "Not the present" not in client.get("/").text
    small.is_away = True
    text = _until_it_says(client, "Not the present")
    assert 'role="alert"' in text
    assert "slurmctld does not answer" in text
    assert 'id="j-1001"' in text
    small.is_away = False
    _until_it_says(client, "slurmctld answers")


def test_a_slurm_that_never_answered_is_a_page_without_figures(serve, small) -> None:
    small.is_away = True
    answer = serve(small).get("/")
    assert answer.status_code == 200
    assert "Slurm has not answered yet" in answer.text
    assert 'id="totals"' not in answer.text


def test_an_empty_station_says_so(serve, small) -> None:
    small.job_list, small.node_list = [], []
    text = serve(small).get("/").text
    assert "No jobs." in text
    assert "No groups yet" in text


def test_simulated_gpus_say_that_they_are(serve, small) -> None:
    assert ">simulated</span>" in serve(small, simulated=True).get("/").text
    assert ">simulated</span>" not in serve(small).get("/").text


def test_a_recovery_is_told_with_its_times(serve, small) -> None:
    at = datetime.now(UTC) - timedelta(minutes=2)
    steps = (("last heartbeat", at), ("running again", at + timedelta(seconds=3.9)))
    small.recovery_list = [
        Recovery(
            node="v100-02",
            what="no heartbeat for 3.1 s",
            at=at,
            job_ids=(17,),
            steps=steps,
            recovered_in=timedelta(seconds=3.9),
        )
    ]
    text = serve(small).get("/").text
    assert "running again after 3.9 s" in text
    assert "job 17" in text
    assert "2 min ago" in text


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/static/../app.py",
        "/static/%2e%2e/%2e%2e/pyproject.toml",
        "/static/VENDORED.md",
        "/api/%ff",
        "/docs",
        "/redoc",
        "/static/",
    ],
)
def test_a_path_that_leads_nowhere_is_a_problem_and_no_traceback(serve, small, path) -> None:
    answer = serve(small).get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {"title": "Not Found", "status": 404} | (
        {"detail": answer.json()["detail"]} if "detail" in answer.json() else {}
    )


def test_a_person_who_is_lost_gets_a_page(serve, small) -> None:
    answer = serve(small).get("/nowhere", headers=PAGE)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "Back to the overview" in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed_through_the_page(serve, small, method) -> None:
    for path in ("/", "/live", "/api/snapshot", "/healthz", "/static/app.css"):
        answer = serve(small).request(method, path, content=b"\x00\xff")
        assert answer.status_code == 405
        assert "GET" in answer.headers["allow"]


def test_a_file_with_its_version_may_be_kept_for_ever(serve, small) -> None:
    client = serve(small)
    address = re.search(r"/static/app\.css\?v=\w+", client.get("/").text)
    assert address
    assert "immutable" in client.get(address[0]).headers["cache-control"]
    assert client.get("/static/app.css?v=old").headers["cache-control"] == "no-cache"


def _until_it_says(client, words: str) -> str:
    end = datetime.now(UTC) + timedelta(seconds=8)
    while datetime.now(UTC) < end:
        text = client.get("/live").text
        if words in text:
            return text
    raise AssertionError(f"the page never said {words!r}")
