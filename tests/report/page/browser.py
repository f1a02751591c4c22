"""A Chromium without a window, driven by selenium."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


class Browser:
    """Shows pages that it writes into a folder."""

    def __init__(self, folder: Path) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
            options.add_argument(flag)
        options.add_argument("--disable-dev-shm-usage")
        options.add_argument(f"--user-data-dir={folder / 'profile'}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
        self.driver.set_page_load_timeout(60)
        self._folder = folder

    def open(self, page: str, *, width: int = 1280, name: str = "page.html") -> None:
        file = self._folder / name
        file.write_text(page, encoding="utf-8")
        self.driver.set_window_size(width, 900)
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(file.as_uri())
        self.wait("'ready' in document.documentElement.dataset")

    def wait(self, condition: str, seconds: float = 15.0) -> None:
        deadline = time.monotonic() + seconds
        while not self.driver.execute_script(f"return Boolean({condition})"):
            assert time.monotonic() < deadline, f"never true: {condition}"
            time.sleep(0.05)

    def wait_for_front(self) -> None:
        """Scroll to the front and wait until it is drawn."""
        self.ask("document.querySelector('#plot-front').scrollIntoView({behavior: 'instant'})")
        self.wait("document.querySelector('#plot-front')._fullLayout")

    def ask(self, script: str, *values: Any) -> Any:
        return self.driver.execute_script(script, *values)

    def draw_all(self) -> None:
        """Scroll through the whole page, as a reader does."""
        self.ask("for (const one of document.querySelectorAll('details')) one.open = true;")
        for element in self.driver.find_elements("css selector", ".plot"):
            self.ask("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
            self.wait(f"document.getElementById('{element.get_attribute('id')}')._fullLayout")

    def complaints(self) -> list[str]:
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Return what the page asked for, itself and data in the address itself aside."""
        entries = self.driver.get_log("performance")
        found = [json.loads(entry["message"])["message"] for entry in entries]
        sent = [one["params"] for one in found if one["method"] == "Network.requestWillBeSent"]
        ours = [one for one in sent if one["documentURL"].startswith("file:")]
        addresses = [str(one["request"]["url"]) for one in ours]
        assert any(address.endswith(".html") for address in addresses)  # the log works
        return [a for a in addresses if not a.startswith("data:") and not a.endswith(".html")]
