"""The page in a real headless Chromium: Debian's packages chromium and chromium-driver."""

from __future__ import annotations

import numpy as np
import pytest
import sample_run
from sample_run import POINT

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from chromium import CHROMIUM, DRIVER
from edit_page import REDO, UNDO, EditPage, near
from edit_servers import Editing, serving
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from facetrack.corrections.log import read_corrections
from facetrack.formats.csv import read_csv

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"
)


@pytest.fixture
def page(driver, editing):
    opened = EditPage(driver)
    opened.errors()
    opened.visit(editing.url)
    yield opened
    assert opened.errors() == []
    driver.get("about:blank")


def stored(editing: Editing):
    return read_corrections(editing.session.corrections_path).rows


def truth(frame: int, point: int = POINT) -> np.ndarray:
    return sample_run.true_points(frame + 1)[frame, point]


# ---------------------------------------------------------------- seeing


def test_loads_without_errors_and_asks_only_its_own_server(page, editing):
    page.go(0)
    loaded = page.run("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert loaded
    assert all(name.startswith(editing.url) for name in loaded)
    assert page.text("#title") == "clip.mp4"
    assert page.one("#stage").get_attribute("aria-label") == (
        "Frame 0: 68 of 68 points of face 0 seen"
    )
    assert near(page.xy(POINT), truth(0) + (sample_run.OFF, 0), 0.01)


def test_the_picture_is_that_of_the_frame_and_points_lie_on_it(page, editing):
    for name in ("points", "lines"):
        page.click(f"#show-{name}")
    for frame in (33, 34, 7, 79):
        page.go(frame)
        shown = page.image()[..., 0].astype(float)
        wanted = editing.session.image(frame)[..., 0].astype(float)
        # The canvas shows the whole frame, enlarged, between bars.
        _, _, scale = page.place(0)
        left = (shown.shape[1] - scale * wanted.shape[1]) / 2
        top = (shown.shape[0] - scale * wanted.shape[0]) / 2
        rows = np.round(top + (np.arange(4, 140) + 0.5) * scale - 0.5).astype(int)
        columns = np.round(left + (np.arange(4, 188) + 0.5) * scale - 0.5).astype(int)
        assert np.abs(shown[np.ix_(rows, columns)] - wanted[4:140, 4:188]).mean() < 12
        x, y, _ = page.place(5)
        box = page.run("return document.getElementById('canvas').getBoundingClientRect().toJSON()")
        place = page.xy(5)
        assert x - box["left"] == pytest.approx(left + (place[0] + 0.5) * scale, abs=1)
        assert y - box["top"] == pytest.approx(top + (place[1] + 0.5) * scale, abs=1)


def test_steps_plays_and_says_where(page):
    page.keys(".", ".")
    page.shows(2)
    page.keys(",")
    page.shows(1)
    page.press(Keys.ARROW_RIGHT)
    page.shows(2)
    page.press(Keys.SHIFT + Keys.ARROW_RIGHT + Keys.NULL)
    page.shows(12)
    page.keys(Keys.END)
    page.shows(79)
    page.press(Keys.ARROW_LEFT, on="#slider")
    page.shows(78)
    assert page.text("#where") == "frame 78, 3.120 s"
    assert page.one("#slider").get_attribute("aria-valuetext") == "frame 78, 3.120 s"
    page.keys(Keys.HOME)
    page.shows(0)
    page.keys(" ")
    assert page.one("#play").get_attribute("aria-label") == "Pause"
    page.until("return Number(document.getElementById('canvas').dataset.frame) > 4")
    page.keys(" ")
    assert page.one("#play").get_attribute("aria-label") == "Play"
    page.keys(Keys.END)
    page.until("return document.getElementById('live').textContent === 'frame 79, 3.160 s'")


def test_views_follow_the_face_and_zoom(page):
    _, _, whole = page.place(POINT)
    Select(page.one("#view")).select_by_value("left_eye")
    page.until("return document.getElementById('canvas').dataset.frame === '0'")
    eye = sample_run.true_points(80)[60, 42:48]
    page.go(60)
    x, y, scale = page.place(44)
    assert scale > 5 * whole
    box = page.run("return document.getElementById('canvas').getBoundingClientRect().toJSON()")
    middle = box["left"] + box["width"] / 2, box["top"] + box["height"] / 2
    assert near(np.subtract((x, y), middle) / scale, eye[2] - (eye.max(0) + eye.min(0)) / 2, 2)
    page.keys("0")
    page.go(0)
    assert page.place(POINT)[2] == pytest.approx(whole)
    page.keys("+", "+")
    page.until("return facetrack.store.view === 'free'")
    page.go(1)
    assert page.place(POINT)[2] == pytest.approx(whole * 1.4**2)


def test_doubtful_frames_are_ranked_and_explained(page):
    page.until("return (facetrack.store.doubts || []).length > 2")
    frames = page.labels("#doubts .number")
    assert frames[:2] == ["50", "20"]
    page.keys("n")
    page.shows(50)
    assert "12 points jumped from one frame to the next" in page.labels("#reasons li")[0]
    page.click("#next-doubt")
    page.shows(20)
    assert "the tracker is not sure of" in page.labels("#reasons li")[0]
    page.until("return document.getElementById('live').textContent.startsWith('Frame 20: ')")
    page.keys(Keys.SHIFT + "n" + Keys.NULL)
    page.shows(50)
    assert page.run("return document.querySelectorAll('#doubts .looked').length") == 2
    page.keys(".")
    page.until("return document.getElementById('why').hidden")


# ---------------------------------------------------------------- correcting


def test_a_dragged_point_is_stored_and_tracked_both_ways(page, editing):
    page.go(40)
    page.drag(POINT, -sample_run.OFF, 0)
    page.settled()
    (row,) = stored(editing)
    assert (row.frame, row.face, row.point, row.hidden) == (40, 0, POINT, False)
    assert near((row.x, row.y), truth(40), 0.5)
    for frame in (0, 12, 79):
        page.go(frame)
        assert near(page.xy(POINT), truth(frame), 1.5)  # 6 pixels before
    assert page.labels("#corrections li")[0].startswith("40")
    page.go(40)
    page.choose(POINT)
    assert page.text("#point-state") == "In this frame: visible, placed by hand."


def test_a_drag_shows_the_point_and_a_loupe_and_can_be_called_off(page, editing):
    page.go(40)
    before = page.xy(POINT)
    page.drag(POINT, 10, 5, drop=False)
    assert near(page.xy(POINT), np.add(before, (10, 5)), 0.5)
    page.drawn()
    assert not page.one("#loupe").get_attribute("hidden")
    page.keys(Keys.ESCAPE)
    assert near(page.xy(POINT), before, 1e-6)
    assert not editing.session.corrections
    page.driver.execute_cdp_cmd(
        "Input.dispatchMouseEvent",
        {"type": "mouseReleased", "x": 5, "y": 5, "button": "left", "clickCount": 1},
    )


def test_keys_move_points_by_parts_of_a_pixel_in_one_change(page, editing):
    page.go(40)
    page.keys("[", "]")  # the last point, then the first
    assert page.run("return [...facetrack.store.chosen]") == [0]
    start = page.xy(0)
    page.keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    page.keys(Keys.ALT + Keys.ARROW_LEFT + Keys.NULL)
    page.keys(Keys.SHIFT + Keys.ARROW_UP + Keys.NULL)
    page.settled()
    rows = stored(editing)
    assert near((rows[-1].x, rows[-1].y), np.add(start, (0.9, -4.5)), 0.002)
    assert {(r.frame, r.point) for r in rows} == {(40, 0)}
    while page.state()["can_undo"]:
        revision = page.state()["revision"]
        page.keys(UNDO)
        page.until(f"return facetrack.store.state.revision > {revision}")
    page.settled()
    assert near(page.xy(0), start, 1e-3)


def test_nudges_go_on_from_where_the_last_ones_ended_though_they_are_not_answered_yet(
    page, editing
):
    page.go(40)
    page.choose(7)
    start = page.xy(7)
    page.run(
        """return import('./files/edits.js').then(({ nudge, finishNudges }) => {
          nudge(1, 0); finishNudges(); nudge(0, 2); finishNudges();
        })"""
    )
    page.settled()
    assert near((stored(editing)[-1].x, stored(editing)[-1].y), np.add(start, (1, 2)), 0.002)


def test_nudges_are_not_lost_by_going_on(page, editing):
    page.go(40)
    page.choose(7)
    page.keys(Keys.ARROW_RIGHT, ".")
    page.shows(41)
    page.settled()
    (row,) = stored(editing)
    assert (row.frame, row.point) == (40, 7)


def test_undo_and_redo(page, editing):
    page.go(40)
    before = page.xy(POINT)
    page.drag(POINT, -6, 0)
    page.settled()
    moved = page.xy(POINT)
    page.click("#undo")
    page.until("return facetrack.store.state.corrections.length === 0")
    page.settled()
    assert near(page.xy(POINT), before, 1e-3)
    assert not page.one("#undo").is_enabled()
    page.keys(REDO)
    page.until("return facetrack.store.state.corrections.length === 1")
    page.settled()
    assert near(page.xy(POINT), moved, 1e-3)
    assert [r.reverted for r in stored(editing)] == [False, True, False]


def test_parts_typed_places_hiding_and_taking_back(page, editing):
    page.go(40)
    page.choose(44)
    page.click("#select-part")
    assert page.run("return [...facetrack.store.chosen]") == list(range(42, 48))
    before = page.xy(42)
    page.keys(Keys.ARROW_UP)
    page.settled()
    assert near(page.xy(42), np.subtract(before, (0, 0.5)), 0.002)
    assert sorted(r.point for r in stored(editing)) == list(range(42, 48))
    page.click("#hide")
    page.until("return facetrack.store.state.corrections.every((c) => c.hidden)")
    page.settled()
    assert page.text("#hide") == "Show"
    assert "62 of 68" in page.one("#stage").get_attribute("aria-label")
    page.keys(Keys.DELETE)
    page.until("return facetrack.store.state.corrections.length === 0")
    page.choose(8)
    field = page.one("#point-x")
    field.send_keys(Keys.CONTROL + "a" + Keys.NULL + "81.3" + Keys.ENTER)
    page.until("return facetrack.store.state.corrections.length === 1")
    row = stored(editing)[-1]
    assert (row.point, row.x) == (8, 81.3)
    page.settled()


def test_no_face_another_person_and_a_new_start(page, editing, monkeypatch):
    page.go(60)
    page.click("#no-face")
    page.one("#absent-last").send_keys(Keys.CONTROL + "a" + Keys.NULL + "70")
    page.click("#absent-dialog .main")
    page.until("return facetrack.store.state.corrections.length === 1")
    page.until("return document.getElementById('stage').ariaLabel.endsWith('face 0 is not there')")
    assert page.labels("#corrections li")[0].split("\n")[1] == "no face up to frame 70"
    page.go(71)
    assert page.text("#face-state") == "In this frame: 68 of 68 points visible."
    page.go(30)
    page.click("#other-person")
    page.click("#person-dialog .main")
    page.until("return facetrack.store.face === 1")
    page.shows(30)
    page.until("return document.getElementById('stage').ariaLabel.includes('points of face 1')")
    page.go(29)
    assert page.text("#face-state") == "It is not in this frame."
    found = sample_run.face((90, 60), 30).astype(np.float32)[None]
    monkeypatch.setattr(editing.session, "detect", lambda frame: found)
    page.go(65)
    Select(page.one("#face")).select_by_value("0")
    page.click("#start-here")
    page.until("return document.getElementById('start-dialog').open")
    assert page.run("return facetrack.store.candidates.length") == 1
    page.click("#start-dialog .main")
    page.until("return facetrack.store.state.corrections.some((c) => c.point === 'start')")
    page.settled()
    assert near(page.xy(0), found[0, 0], 0.01)
    assert len(stored(editing)) == 2 + 69


def test_points_that_do_not_count_are_warned_of_until_they_do(page, editing):
    page.go(60)
    page.choose(POINT)
    page.keys(Keys.ARROW_UP)
    page.until("return facetrack.store.state.corrections.length === 1")
    assert not page.one("#banner").is_displayed()
    page.click("#no-face")
    page.one("#absent-last").send_keys(Keys.CONTROL + "a" + Keys.NULL + "70")
    page.click("#absent-dialog .main")
    page.until("return !document.getElementById('banner').hidden")
    assert "points of face 0 in frame 60 do not count" in page.text("#banner")
    page.click("#undo")
    page.until("return document.getElementById('banner').hidden")


def test_save_and_reload(page, editing):
    assert not page.one("#save").is_enabled()
    page.go(40)
    page.drag(POINT, -6, 0)
    page.until("return facetrack.store.state.corrections.length === 1")
    assert "Save writes them into the files of clip" in page.text("#where-saved")
    page.click("#save")
    page.until("return facetrack.store.state.is_saved")
    assert not page.one("#save").is_enabled()
    assert page.text("#where-saved") == "The run's files have all corrections."
    written = read_csv(editing.record.with_suffix(".csv"), sample_run.SIZE)
    shown = editing.session.tracks()
    np.testing.assert_allclose(written.xy, shown.xy, atol=1e-3)
    assert written.corrected is not None
    assert written.corrected.sum() == 1
    page.go(10)
    place = page.xy(POINT)
    page.driver.refresh()
    page.wait()
    page.errors()  # Chromium may log the requests that the reload has cut off
    page.go(10)
    assert near(page.xy(POINT), place, 1e-6)
    assert len(page.state()["corrections"]) == 1


# ---------------------------------------------------------------- several pages, lost connections


def test_two_pages_show_the_same(page, editing):
    driver = page.driver
    first = driver.current_window_handle
    page.go(40)
    driver.switch_to.new_window("tab")
    second = driver.current_window_handle
    try:
        page.visit(editing.url)
        page.go(40)
        page.until("return facetrack.store.state.pages === 2")
        assert "Open in 2 pages" in page.text("#where-saved")
        page.drag(POINT, -6, 0)
        page.settled()
        place = page.xy(POINT)
        driver.switch_to.window(first)
        page.until("return facetrack.store.state.corrections.length === 1")
        page.settled()
        assert near(page.xy(POINT), place, 1e-6)
        page.click("#undo")
        page.until("return facetrack.store.state.corrections.length === 0")
        driver.switch_to.window(second)
        page.until("return facetrack.store.state.corrections.length === 0")
    finally:
        driver.switch_to.window(second)
        driver.close()
        driver.switch_to.window(first)
    page.until("return facetrack.store.state.pages === 1")


def offline(page, is_off: bool) -> None:
    page.driver.execute_cdp_cmd("Network.enable", {})
    page.driver.execute_cdp_cmd(
        "Network.emulateNetworkConditions",
        {"offline": is_off, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1},
    )


def test_a_change_without_an_answer_is_kept_and_sent_later(page, editing):
    page.go(40)
    offline(page, True)
    try:
        page.drag(POINT, -6, 0)
        page.until("return !document.getElementById('banner').hidden")
        assert "1 change is not stored yet" in page.text("#banner")
        assert not editing.session.corrections
    finally:
        offline(page, False)
    page.drag(8, 3, 0)  # what follows makes it try again
    page.until("return facetrack.store.state.corrections.length === 2")
    page.settled()
    assert [r.point for r in stored(editing)] == [POINT, 8]
    assert not page.run("return !document.getElementById('banner').hidden")
    page.errors()  # Chromium logs requests that fail


def test_the_end_of_the_program_is_told(driver, clip, tmp_path):
    page = EditPage(driver)
    with serving(sample_run.save_run(tmp_path / "run", clip)) as editing:
        page.visit(editing.url)
    page.until("return !document.getElementById('banner').hidden")
    assert "facetrack edit has ended" in page.text("#banner")
    assert str(editing.session.corrections_path) in page.text("#banner")
    page.until("return document.getElementById('save').disabled")
    page.errors()
