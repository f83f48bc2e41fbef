"""The page at its limits: a killed program, 10,000 frames, phones, people who do not see it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys

import numpy as np
import program
import pytest
import sample_run
from sample_run import POINT

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from chromium import CHROMIUM, DRIVER
from edit_page import EditPage, near
from edit_servers import serving
from selenium.webdriver.common.keys import Keys

from facetrack.corrections.log import read_corrections

LONG = 10_000
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"
)


@pytest.fixture(autouse=True)
def _leave(driver):
    """Leave the page, whose server ends with the test, and what it complains of."""
    yield
    driver.get("about:blank")
    driver.get_log("browser")


# ---------------------------------------------------------------- a killed program


@contextlib.contextmanager
def running_program(record, folder):
    """Start `facetrack edit`; yield the process and the page's address."""
    command = [sys.executable, "-m", "facetrack", "edit", str(record), "--no-browser", "--json"]
    environment = program.environment(folder / ".bin")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as running:
        try:
            line = json.loads(running.stdout.readline())
            assert line["event"] == "page"
            yield running, line["url"]
        finally:
            running.kill()


def test_a_killed_program_loses_no_correction(driver, clip, tmp_path):
    record = sample_run.save_run(tmp_path / "run", clip)
    page = EditPage(driver)
    with running_program(record, tmp_path) as (_, url):
        page.visit(url)
        page.go(40)
        page.choose(5)
        page.keys(Keys.ARROW_RIGHT)
        page.until("return facetrack.store.state.corrections.length === 1")
    page.until("return !document.getElementById('banner').hidden")
    assert "facetrack edit does not answer" in page.text("#banner")
    (row,) = read_corrections(record.with_suffix(".corrections.csv")).rows
    page.errors()
    with running_program(record, tmp_path) as (running, url):
        page.visit(url)
        (correction,) = page.state()["corrections"]
        assert (correction["frame"], correction["point"]) == (40, 5)
        page.go(40)
        assert near(page.xy(5), (row.x, row.y), 1e-3)
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0
    page.until("return !document.getElementById('banner').hidden")
    assert "facetrack edit has ended" in page.text("#banner")
    page.errors()


# ---------------------------------------------------------------- many frames


@pytest.fixture(scope="module")
def long_run(clip, tmp_path_factory):
    folder = tmp_path_factory.mktemp("long")
    video = sample_run.write_long_video(clip, folder / "clip.mp4", LONG)
    return sample_run.save_run(folder, video, LONG, ("npz",))


def test_ten_thousand_frames(driver, long_run):
    page = EditPage(driver)
    with serving(long_run) as editing:
        page.visit(editing.url)
        for frame in (LONG - 1, 5000, 17, 9999, 8123):
            page.go(frame)
            truth = sample_run.true_points(LONG)[frame, 60]
            assert near(page.xy(60), truth, 0.01)
        # Tracks and pictures come as they are looked at.
        loaded = page.run("return performance.getEntriesByType('resource').map((e) => e.name)")
        assert len([name for name in loaded if "/tracks/" in name]) < 20
        assert len([name for name in loaded if "/frame/" in name]) < 40
        page.until("return facetrack.store.doubts !== null")
        assert page.run("return document.querySelectorAll('*').length") < 3000
        page.go(8000)
        page.drag(POINT, -sample_run.OFF, 0)
        page.until("return facetrack.store.state.tracking.done > 60")
        page.shows(8000)
        # Elsewhere on the page everything goes on while the rest is tracked.
        page.go(8020)
        assert near(page.xy(POINT), sample_run.true_points(LONG)[8020, POINT], 1.5)
        assert editing.session.progress[1] > 9000
        page.keys(".", ".")
        page.shows(8022)
        page.click("#undo")
        page.until("return facetrack.store.state.corrections.length === 0")
        page.errors()


# ---------------------------------------------------------------- screens and people


@pytest.mark.parametrize("width", [390, 768, 1400])
@pytest.mark.parametrize("dark", [False, True])
def test_fits_every_screen(driver, editing, width, dark):
    page = EditPage(driver)
    page.visit(editing.url, width, 844 if width < 600 else 1000, dark)
    page.go(50)
    assert page.run("return document.documentElement.scrollWidth") == width
    small = page.run(  # of those that are shown
        """return [...document.querySelectorAll('button, select, input[type=number]')]
        .filter((e) => e.offsetParent).map((e) => [e.id, e.getBoundingClientRect()])
        .filter(([, b]) => b.width < 40 || b.height < 40 || b.right > innerWidth)
        .map(([id]) => id)"""
    )
    assert small == []
    colour = page.run("return getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, colour[4:-1].split(","))) < 80) == dark
    page.one("#theme").send_keys("light" if dark else "dark")
    assert page.run("return getComputedStyle(document.body).backgroundColor") != colour
    assert page.errors() == []


def test_every_control_has_a_name(driver, editing):
    page = EditPage(driver)
    page.visit(editing.url)
    page.until("return facetrack.store.doubts !== null")
    page.drag(POINT, 3, 0)
    page.settled()
    for dialog in ("person", "absent", "start"):
        page.run(f"document.getElementById('{dialog}-dialog').show()")
    page.run("document.querySelector('details').open = true")
    tree = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    controls = {"button", "combobox", "checkbox", "radio", "slider", "spinbutton", "application"}
    found = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree
        if not node["ignored"] and node["role"]["value"] in controls
    ]
    assert len(found) > 40
    assert [role for role, name in found if not name.strip()] == []
    page.errors()


def test_the_keyboard_reaches_everything(driver, editing):
    page = EditPage(driver)
    page.visit(editing.url)
    wanted = set(
        page.run(
            """return [...document.querySelectorAll('button[id], select[id], input[id], #stage')]
            .filter((e) => e.offsetParent && !e.disabled).map((e) => e.id)"""
        )
    )
    page.press(Keys.TAB)
    reached = set()
    for _ in range(80):
        reached.add(page.run("return document.activeElement.id"))
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
    assert wanted <= reached
    assert page.errors() == []


def test_a_finger_drags_and_two_fingers_zoom(driver, editing):
    page = EditPage(driver)
    page.visit(editing.url, 390, 844)
    page.go(40)
    x, y, scale = page.place(POINT)

    def touch(kind, *points):
        places = [{"x": px, "y": py, "id": k} for k, (px, py) in enumerate(points)]
        page.driver.execute_cdp_cmd(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": places}
        )

    before = page.xy(POINT)
    # The finger is beside the point: it moves as far as the finger does.
    touch("touchStart", (x + 2, y - 3))
    for share in (0.5, 1):
        touch("touchMove", (x + 2 + share * 20, y - 3))
    touch("touchEnd")
    page.until("return facetrack.store.state.corrections.length === 1")
    page.settled()
    moved = np.subtract(page.xy(POINT), before)
    assert moved[0] == pytest.approx(20 / scale, abs=0.8)
    assert moved[1] == pytest.approx(0, abs=0.3)
    box = page.run("return document.getElementById('canvas').getBoundingClientRect().toJSON()")
    middle = box["left"] + box["width"] / 2, box["top"] + box["height"] / 2
    touch("touchStart", (middle[0] - 30, middle[1]))
    touch("touchStart", (middle[0] - 30, middle[1]), (middle[0] + 30, middle[1]))
    touch("touchMove", (middle[0] - 90, middle[1]), (middle[0] + 90, middle[1]))
    touch("touchEnd")
    page.go(41)
    assert page.place(POINT)[2] > 2 * scale
    assert len(page.state()["corrections"]) == 1
    assert page.errors() == []
