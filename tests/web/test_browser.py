"""The page in a real browser: it runs under its own policy, lives, and suits both colour schemes and a phone."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest
import uvicorn

from aistation_slurm.cli.serve import listening, url_of
from aistation_slurm.settings import Settings
from aistation_slurm.slurm.states import NodeState
from aistation_slurm.web.app import create_app

playwright = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
SOON = 8_000

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

Open = Callable[..., "playwright.Page"]


@contextmanager
def served(station) -> Iterator[str]:
    """Serve the station's page on a free port, and yield its address."""
    app = create_app(Settings(simulated=True), read=station, recoveries=station.recoveries)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
    with listening("127.0.0.1", 0) as socket:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
        thread.start()
        try:
            yield url_of(socket)
        finally:
            server.should_exit = True
            thread.join(10)


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(ARGS))
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser's console said, broken policies included."""
    return []


@pytest.fixture
def visit(chromium, complaints) -> Iterator[Open]:
    """Opens a station's page in a fresh window."""
    with ExitStack() as stack:

        def start(station, *, viewport=DESKTOP, scheme="light"):
            address = stack.enter_context(served(station))
            window = chromium.new_context(viewport=viewport, color_scheme=scheme)
            stack.callback(window.close)
            page = window.new_page()
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
            page.goto(address)
            return page

        yield start


def test_the_page_loads_without_a_word_in_the_console(visit, complaints, six_teams) -> None:
    page = visit(six_teams)
    page.wait_for_timeout(2500)
    assert page.locator(".tile").count() == 95
    assert page.locator(".jobs tbody tr").count() == 250
    assert complaints == []


def test_a_change_in_slurm_shows_without_a_reload(visit, complaints, small, job) -> None:
    page = visit(small)
    page.locator("#j-1001").wait_for()
    page.evaluate("window.sameDocument = true")
    small.job_list.append(job(4242, name="just-submitted", node="v100-01"))
    small.node_list[2] = replace(small.node_list[2], state=NodeState.parse("DOWN"), reason="aistation: gone")
    page.locator("#j-4242").wait_for(timeout=SOON)
    assert page.locator("[id='n-v100.v100-03'].tone-down").count() == 1
    assert page.get_by_text("by aistation").count() == 1
    assert page.evaluate("window.sameDocument")
    assert complaints == []


def test_what_a_person_typed_and_where_they_are_survives_an_update(visit, small, job) -> None:
    small.job_list.append(job(7, name="needle", node="v100-01"))
    page = visit(small)
    page.fill("#filter", "needle")
    assert page.locator(".jobs tbody tr:visible").count() == 1
    small.job_list.append(job(8, name="hay", node="v100-02"))
    page.locator("#j-8").wait_for(state="attached", timeout=SOON)
    assert page.input_value("#filter") == "needle"
    assert page.evaluate("document.activeElement.id") == "filter"
    assert page.locator(".jobs tbody tr:visible").count() == 1


def test_the_page_is_marked_while_slurm_is_away_and_unmarked_after(visit, complaints, small) -> None:
    page = visit(small)
    small.is_away = True
    page.locator("#stale").wait_for(timeout=SOON)
    assert page.locator("#j-1001").count() == 1
    small.is_away = False
    page.locator("#stale").wait_for(state="detached", timeout=SOON)
    assert complaints == []


def test_clocks_run_between_two_looks(visit, small) -> None:
    page = visit(small)
    clock = "document.querySelector('#j-1001 time').textContent"
    before = page.evaluate(clock)
    page.wait_for_function(f"(was) => {clock} !== was", arg=before, timeout=SOON)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_systems_colours_are_taken_and_can_be_overruled(visit, small, scheme) -> None:
    page = visit(small, scheme=scheme)
    theme = "document.documentElement.dataset.bsTheme"
    assert page.evaluate(theme) == scheme
    page.click("#theme")
    assert page.evaluate(theme) == "light"
    page.click("#theme")
    assert page.evaluate(theme) == "dark"
    page.reload()
    assert page.evaluate(theme) == "dark"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(visit, six_teams, scheme) -> None:
    for index, state in enumerate(("DOWN", "IDLE+DRAIN", "IDLE+POWERED_DOWN")):
        six_teams.node_list[index] = replace(six_teams.node_list[index], state=NodeState.parse(state), reason="why")
    page = visit(six_teams, scheme=scheme)
    assert page.evaluate(FAINT_TEXTS) == []


def test_a_phone_needs_no_scrolling_to_the_side(visit, six_teams) -> None:
    page = visit(six_teams, viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_keyboard_reaches_nodes_and_their_reasons(visit, small) -> None:
    small.node_list[1] = replace(small.node_list[1], state=NodeState.parse("DOWN"), reason="power supply")
    page = visit(small)
    page.locator(".tile").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.node") == "v100-02"
    assert "power supply" in (page.locator("#tip").text_content() or "")
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


# The texts whose contrast with the nearest opaque ground is below WCAG AA (4.5, or 3 where the text is large).
FAINT_TEXTS = """() => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    context.clearRect(0, 0, 1, 1); context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] > 230) return colour;
    }
    return [255, 255, 255, 255];
  };
  const faint = new Set(), known = new Set();
  for (const node of document.querySelectorAll("#station *")) {
    const own = [...node.childNodes].some((each) => each.nodeType === 3 && each.textContent.trim());
    const style = getComputedStyle(node), size = parseFloat(style.fontSize);
    const kind = `${node.tagName}.${node.className} in ${node.parentElement.className}`;
    if (!own || !size || known.has(kind) || !node.checkVisibility()) continue;
    known.add(kind);
    const [a, b] = [light(rgba(style.color)), light(ground(node))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < (size >= 24 || (size >= 18.6 && style.fontWeight >= 700) ? 3 : 4.5)) {
      faint.add(`${kind}: ${ratio.toFixed(2)}`);
    }
  }
  return [...faint];
}"""
