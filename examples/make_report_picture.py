"""Make the picture of a report for the documentation, with Chromium driven by selenium:

facetrack compare examples/astronaut.mp4 --inits star,pipnet,ert --trackers tapir,lk --out compared
python examples/make_report_picture.py compared/report.html
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
SIZE = (1400, 900)
FRAME = 70


def main(report: Path, target: Path) -> None:
    """Show the face in a single frame, and save a picture of the window."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            metrics = dict(zip(("width", "height"), SIZE, strict=True))
            metrics |= {"deviceScaleFactor": 1, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            driver.get(report.resolve().as_uri())
            ready = "return document.documentElement.dataset.ready === 'yes'"
            WebDriverWait(driver, 60).until(lambda page: page.execute_script(ready))
            driver.execute_script(
                "FT.set({ position: arguments[0] }); const view = document.getElementById('view');"
                "view.value = 'face'; view.dispatchEvent(new Event('change'));",
                FRAME,
            )
            drawn = "return new Promise(done => setTimeout(() => done(true), 1500))"
            driver.execute_script(drawn)
            picture = driver.get_screenshot_as_png()
        finally:
            driver.quit()
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    small = cv2.resize(image, (1120, 720), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(target), small, [cv2.IMWRITE_WEBP_QUALITY, 82])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).with_name("report.webp"))
