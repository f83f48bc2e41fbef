"""A page of the report in headless Chromium, and what a user does with it."""

from __future__ import annotations

import base64
import shutil

import cv2
import numpy as np
import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
PATIENCE = 60


class Page:
    """One page in a browser, and what a user does with it."""

    def __init__(self, driver) -> None:
        self.driver = driver

    def open(self, path, width=1400, height=1000, dark=False) -> None:
        self.resize(width, height)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        self.driver.get(path.as_uri())
        self.until("return document.documentElement.dataset.ready === 'yes'")

    def resize(self, width, height) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def until(self, script) -> None:
        WebDriverWait(self.driver, PATIENCE, 0.05).until(
            lambda driver: driver.execute_script(script)
        )

    def reset(self) -> None:
        """As after opening, which takes longer."""
        self.resize(1400, 1000)
        away = {"type": "mouseMoved", "x": 2, "y": 2}  # a mouse over a curve shows its frame
        self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", away)
        self.run(
            """for (const box of document.querySelectorAll('#player input[type=checkbox]')) {
              const on = box.dataset.method !== undefined || box.defaultChecked;
              if (box.checked !== on) box.click();
            }
            for (const [id, value] of [['view', ''], ['theme', ''], ['speed', '1']]) {
              const select = document.getElementById(id);
              select.value = value;
              select.dispatchEvent(new Event('change'));
            }
            FT.set({ position: 3, preview: null, point: 30, playing: false });"""
        )
        self.at(3)

    def image(self) -> np.ndarray:
        """(H, W, 3) what the canvas shows."""
        png = base64.b64decode(self.pixels().partition(",")[2])
        return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)

    def one(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def press(self, *keys, on="body") -> None:
        if on != "body":
            self.run("document.querySelector(arguments[0]).focus()", on)
        else:
            self.run("document.activeElement.blur()")
        self.driver.switch_to.active_element.send_keys(*keys)

    def at(self, frame) -> None:
        """Waits until this frame is drawn; fails when it never is."""
        self.until(f"return document.getElementById('canvas').dataset.frame === '{frame}'")

    def pixels(self) -> str:
        return self.run("return document.getElementById('canvas').toDataURL()")

    def errors(self) -> list[str]:
        found = [entry["message"] for entry in self.driver.get_log("browser")]
        # Only tests read pixels, for which Chromium recommends another way.
        return [message for message in found if "willReadFrequently" not in message]


def start(folder):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
