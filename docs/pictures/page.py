"""Photograph the page of a run in Chromium: light, dark and as wide as a phone.

python docs/pictures/page.py RUN docs/pictures
python docs/pictures/page.py RUN docs/pictures front

It writes page-light.png, page-dark.png and page-phone.png: a window full from the top of the page,
or from a section where one is named.
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
    "light": {"width": 1280, "height": 1500, "scheme": "light", "mobile": False},
    "dark": {"width": 1280, "height": 1500, "scheme": "dark", "mobile": False},
    "phone": {"width": 390, "height": 844, "scheme": "light", "mobile": True},
}


def main(run: Path, folder: Path, section: str = "") -> None:
    """Write a picture for each of `VIEWS`."""
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--disable-gpu"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        for name, view in VIEWS.items():
            photograph(driver, run / "report.html", folder / f"page-{name}.png", view, section)
    finally:
        driver.quit()


def photograph(
    driver: webdriver.Chrome, page: Path, picture: Path, view: dict, section: str
) -> None:
    """Write one picture of the window."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {
            "width": view["width"],
            "height": view["height"],
            "deviceScaleFactor": 1,
            "mobile": view["mobile"],
        },
    )
    feature = {"name": "prefers-color-scheme", "value": view["scheme"]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    driver.get(f"{page.resolve().as_uri()}#{section}" if section else page.resolve().as_uri())
    time.sleep(2.0)  # figures are drawn as they come into view
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    picture.write_bytes(base64.b64decode(shot["data"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:4])
