"""Photograph the page of a run in Chromium: light, dark and as wide as a phone.

python docs/pictures/page.py RUN docs/pictures

It writes page-light.png and page-phone.png, from the top of the page, and page-dark.png, the front.
"""

from __future__ import annotations

import base64
import shutil
import sys
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

VIEWS = {
    "light": {"width": 1280, "height": 740, "scheme": "light", "section": ""},
    "dark": {"width": 1280, "height": 900, "scheme": "dark", "section": "front"},
    "phone": {"width": 390, "height": 844, "scheme": "light", "section": ""},
}


def main(run: Path, folder: Path) -> None:
    """Write a picture for each of `VIEWS`."""
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--disable-gpu"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_window_size(1400, 1400)
    try:
        for name, view in VIEWS.items():
            photograph(driver, run / "report.html", folder / f"page-{name}.png", view)
    finally:
        driver.quit()


def photograph(driver: webdriver.Chrome, page: Path, picture: Path, view: dict) -> None:
    """Write one picture of the window."""
    size = {"width": view["width"], "height": view["height"], "deviceScaleFactor": 1}
    size["mobile"] = view["width"] < 600
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": view["scheme"]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    driver.get("about:blank")
    driver.get(f"{page.resolve().as_uri()}#{view['section'] or 'main'}")
    time.sleep(2.0)  # figures are drawn as they come into view
    if not view["section"]:
        driver.execute_script("scrollTo({top: 0, behavior: 'instant'})")
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    picture.write_bytes(base64.b64decode(shot["data"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
