"""The page of a run with many trials in a real browser: its size, and when it answers.

    python -m benchmarks.page

Trials are made up. Each page is opened several times; the seconds are from the beginning of the
navigation until the front is drawn in the window, and then of one click that changes its cost. It
needs Debian's ``chromium`` and ``chromium-driver``, and selenium.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from autopeft.report import table
from autopeft.report.page import render
from benchmarks import ledger
from benchmarks.spread import spread
from tests.report.page.browser import Browser
from tests.report.page.made_up import view

FILE = ledger.RESULTS / "page.json"
_CLICK = """
const began = performance.now();
document.querySelectorAll('input[data-figure=front]')[2].click();
return (performance.now() - began) / 1000"""


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark, keep the result and return it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[50, 500, 2000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--result", type=Path, default=FILE, help="file that the run is added to")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        browser = Browser(Path(folder))
        try:
            found = [_measured(browser, trials, options.repeats) for trials in options.trials]
        finally:
            browser.driver.quit()
    result = {"benchmark": "page", "settings": {"repeats": options.repeats}, "found": found}
    ledger.append(options.result, result)
    table.show([_row(one) for one in found], "table", Console(width=120))
    print(f"kept in {options.result}")
    return result


def _measured(browser: Browser, trials: int, repeats: int) -> dict[str, Any]:
    page = render([view(trials)])
    drawn, clicked = [], []
    for _ in range(repeats):
        browser.open(page)
        browser.wait_for_front()
        drawn.append(browser.ask("return performance.now()") / 1000)
        clicked.append(browser.ask(_CLICK))
    return {
        "trials": trials,
        "bytes": len(page.encode()),
        "drawn_seconds": spread(drawn),
        "click_seconds": spread(clicked),
    }


def _row(one: dict[str, Any]) -> dict[str, object]:
    def seconds(of: dict[str, float]) -> str:
        return f"{of['median']:.2f} ({of['low']:.2f}–{of['high']:.2f})"

    return {
        "trials": one["trials"],
        "MB": f"{one['bytes'] / 1e6:.1f}",
        "front drawn, s": seconds(one["drawn_seconds"]),
        "click, s": seconds(one["click_seconds"]),
    }


if __name__ == "__main__":
    main()
