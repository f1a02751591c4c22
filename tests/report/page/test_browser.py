"""The page in a real browser: drawn, answered, inert, reachable without a mouse, and quick.

One browser and one page serve all tests. They need Debian's ``chromium`` and ``chromium-driver``;
the accessibility test needs axe-core's ``axe.min.js``, named by the variable ``AUTOPEFT_AXE``.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from autopeft.report.interval import Interval
from autopeft.report.page import render
from autopeft.report.page.sheet import html
from autopeft.report.section import Section
from tests.report.page.browser import CHROMIUM, DRIVER, Browser
from tests.report.page.made_up import view
from tests.report.page.test_document import figures_of, hostile_view

pytest.importorskip("selenium", reason="needs selenium")
AXE = os.environ.get("AUTOPEFT_AXE", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromium-driver"),
]

PHONE = 390
WATCH_PRINT = """addEventListener("beforeprint", () => {
  window.widths = [...document.querySelectorAll(".plot .main-svg")]
    .map(one => one.width.baseVal.value);
})"""
FOCUSED = "const one = document.activeElement; return one.id || one.className || one.tagName"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("browser"))
    yield opened
    opened.driver.quit()


@pytest.fixture
def page(browser: Browser) -> Browser:
    browser.open(render([view()]))
    return browser


def test_every_figure_is_drawn_without_complaint_or_request(page: Browser) -> None:
    page.draw_all()
    drawn = page.ask(
        "return [...document.querySelectorAll('.plot')].map(one =>"
        " one.querySelectorAll('.main-svg path').length > 0)"
    )
    assert len(drawn) == 10 and all(drawn)
    assert page.complaints() == []
    assert page.requests() == []


def test_a_point_tells_its_candidate_when_touched(page: Browser) -> None:
    from selenium.webdriver import ActionChains

    page.draw_all()
    plot = page.driver.find_element("id", "plot-front")
    page.ask("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", plot)
    star = plot.find_elements("css selector", ".scatterlayer .trace:last-child .point")[-1]
    ActionChains(page.driver).move_to_element(star).perform()
    page.wait("document.querySelector('#plot-front .hoverlayer text')")
    said = page.ask("return document.querySelector('#plot-front .hoverlayer').textContent")
    assert view().records[2].candidate.describe()[:40] in said


def test_the_cost_is_switched_by_keyboard(page: Browser) -> None:
    from selenium.webdriver.common.keys import Keys

    page.draw_all()
    first = page.driver.find_element("css selector", "input[data-figure=front]")
    title = "return document.querySelector('#plot-front .xtitle').textContent"
    assert page.ask(title) == "trained parameters (log)"
    first.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert page.ask(title) == "size on disk (log)"
    assert page.complaints() == []


def test_the_theme_follows_the_system_and_its_switch(page: Browser) -> None:
    from selenium.webdriver.common.keys import Keys

    page.draw_all()
    ground = "return getComputedStyle(document.body).backgroundColor"
    text = "return getComputedStyle(document.querySelector('#plot-front .xtitle')).fill"
    seen = []
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        time.sleep(0.3)
        seen.append((page.ask(ground), page.ask(text)))
    assert seen[0] != seen[1] and seen[0][1] != seen[1][1]
    button = page.driver.find_element("id", "theme")
    assert button.get_attribute("aria-pressed") == "true"
    button.send_keys(Keys.ENTER)
    assert (page.ask(ground), page.ask(text)) == seen[0]
    assert button.get_attribute("aria-pressed") == "false"
    page.ask("localStorage.clear()")
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_hostile_labels_and_texts_are_inert(browser: Browser) -> None:
    browser.open(render([hostile_view()]))
    browser.draw_all()
    assert "owned" not in browser.driver.title or "onerror" in browser.driver.title
    assert browser.ask("return document.querySelectorAll('main img, main a').length") == 0
    assert browser.ask("return document.querySelectorAll('svg a').length") == 0
    assert browser.complaints() == []
    assert browser.requests() == []


def test_a_script_that_found_its_way_in_is_not_run(browser: Browser) -> None:
    page = render([view()]).replace("<footer>", "<script>document.title = 'owned'</script><footer>")
    browser.open(page)
    assert browser.driver.title != "owned"
    assert any("Content Security Policy" in said for said in browser.complaints())


def board() -> str:
    """Return a page with a wide table, as leaderboards have it."""
    columns = {f"c{number}": f"column {number}" for number in range(14)}
    rows = [{key: f"{row}{key} ± 0.0123" for key in columns} for row in range(40)]
    return html("Board", [Section(title="One", text=["Words."], columns=columns, rows=rows)])


def test_a_phone_never_scrolls_sideways(browser: Browser) -> None:
    metrics = {"width": PHONE, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        browser.open(render([view()]))
        browser.draw_all()
        assert browser.ask("return document.documentElement.scrollWidth") <= PHONE
        assert browser.ask("return document.querySelector('#plot-front').clientWidth") <= PHONE
        browser.open(board())
        assert browser.ask("return document.documentElement.scrollWidth") <= PHONE
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_it_prints_all_figures_on_white_and_within_the_sheet(page: Browser) -> None:
    feature = {"name": "prefers-color-scheme", "value": "dark"}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    page.ask(WATCH_PRINT)
    sheet = page.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert len(base64.b64decode(sheet["data"])) > 50_000
    assert len(page.ask("return window.widths")) >= 10
    assert max(page.ask("return window.widths")) <= 700
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_every_control_can_be_reached_by_keyboard(page: Browser) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    page.ask("document.body.focus()")
    reached = set()
    for _ in range(80):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        reached.add(page.ask(FOCUSED))
    assert {"theme", "skip", "copy", "SUMMARY", "scroll"} <= reached


def test_of_two_thousand_trials_only_what_is_in_sight_is_drawn(browser: Browser) -> None:
    """How long that takes is measured by `benchmarks.page`."""
    browser.open(render([view(2_000)]), name="large.html")
    browser.wait_for_front()
    drawn = browser.ask(
        "return [...document.querySelectorAll('.plot')].map(one => Boolean(one._fullLayout))"
    )
    assert any(drawn) and not all(drawn)
    browser.ask("document.querySelectorAll('input[data-figure=front]')[2].click();")
    assert browser.ask("return document.querySelector('.xtitle').textContent") == (
        "size on disk (log)"
    )


@pytest.mark.skipif(not Path(AXE).is_file(), reason="needs axe-core: AUTOPEFT_AXE names axe.min.js")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("shown", ["run", "runs", "board"])
def test_axe_finds_no_serious_barrier(browser: Browser, scheme: str, shown: str) -> None:
    pages = {
        "run": lambda: render([view()]),
        "runs": lambda: render([view(), view(12, name="other")]),
        "board": board,
    }
    browser.open(pages[shown]())
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.draw_all()
    script = Path(AXE).read_text(encoding="utf-8")
    browser.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": script})
    found = browser.driver.execute_async_script(
        "const done = arguments[0]; axe.run().then(found => done(found.violations))"
    )
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in serious] == []


def test_every_figure_of_the_page_is_known_to_its_script(page: Browser) -> None:
    names = page.ask(
        "return [...document.querySelectorAll('.plot')].map(one => one.dataset.figure)"
    )
    assert set(names) == set(figures_of(render([view()])))


def test_a_leaderboard_is_sorted_by_a_click(browser: Browser) -> None:
    drawn = Interval(low=0.6, value=0.7, high=0.8, text="0.7")
    scores = (drawn, "0.91", None, "10,000 ± 1", "-0.5")
    rows = [{"name": str(n), "score": score} for n, score in enumerate(scores)]
    columns = {"name": "method", "score": "test"}
    browser.open(html("Board", [Section(title="One", columns=columns, rows=rows)]))
    names = "return [...document.querySelectorAll('tbody th')].map(one => one.textContent)"
    head = browser.driver.find_element("xpath", "//th/button[text()='test']")
    head.click()
    assert browser.ask(names) == ["4", "0", "1", "3", "2"], "what is missing comes last"
    head.click()
    assert browser.ask(names) == ["3", "1", "0", "4", "2"]
    assert browser.ask("return document.querySelectorAll('[aria-sort]').length") == 1
    browser.driver.find_element("id", "theme").click()
    assert browser.ask("return document.documentElement.dataset.theme") in ("dark", "light")
    browser.ask("localStorage.clear()")
    assert browser.complaints() == []
    assert browser.requests() == []
