"""The page of people in a real Chromium: measures, blinks, small screens, touch, print."""

from __future__ import annotations

import base64
import dataclasses
import re
import time

import clips
import numpy as np
import pytest
import rendered_heads as heads
from sample_comparison import record

from facetrack import report
from facetrack.measures.face_model import load

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from chromium import CHROMIUM, DRIVER, Page
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

FRAMES = 60
SIZE = heads.SIZE
WIDTHS = (390, 768, 1400)
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"
)


def two_people():
    """Two small heads; both blink once, and the second one is out of sight from frame 40 on."""
    people = []
    for index, moment in enumerate((0.5, 0.8)):
        shut = heads.blink(np.arange(FRAMES) / 30, moment, 0.1, 0.2)
        faces = heads.with_lids(load().mean, {"r": shut, "l": shut})
        xy = heads.project(faces, heads.turns(FRAMES, 15), 1200.0) + (-120 + 240 * index, 0)
        people.append(heads.tracks_of(xy))
    one, two = people
    two.visible[40:] = False
    names = ("xy", "visible", "confidence")
    joined = {n: np.concatenate([getattr(one, n), getattr(two, n)], axis=1) for n in names}
    return dataclasses.replace(one, **joined, face_id=np.array([0, 1]))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    video = clips.write_clip(folder / "two.mp4", FRAMES, size=SIZE)
    written = record(video, faces=None)
    written["input"] |= {"width": SIZE[0], "height": SIZE[1], "frames": FRAMES}
    assert report.report_of_track(video, two_people(), written, folder / "two.html") == []
    return folder / "two.html"


@pytest.fixture
def page(driver, path):
    opened = Page(driver)
    opened.open(path)
    yield opened
    assert opened.errors() == []


def test_people_are_named_and_there_are_no_methods(page):
    assert "2 people on 60 frames" in page.one(".lead").text
    assert [e.text for e in page.driver.find_elements(By.CSS_SELECTOR, "#methods label")] == [
        "person 0",
        "person 1",
    ]
    assert "methods" not in page.one("body").text.lower()


def test_a_blink_in_the_list_jumps_to_its_frame_and_person(page):
    links = page.driver.find_elements(By.CSS_SELECTOR, "#blinks-table a")
    assert len(links) == 4  # two blinks of two eyes
    last = links[-1]
    frame = int(last.get_attribute("data-frame"))
    page.run("arguments[0].click()", last)
    page.at(frame)
    assert frame == pytest.approx(27, abs=1)
    assert Select(page.one("#subject")).first_selected_option.text == "person 1"
    assert page.run("return FT.state.subject") == 1


def test_a_click_near_a_mark_goes_to_the_peak(page):
    peak = page.run("return FT.methods[0].face.events.find((e) => e.kind === 'blink').frame")
    page.run("document.getElementById('plot-lids').scrollIntoView({block: 'center'})")
    time.sleep(0.8)
    x, y = page.run(
        """const { plot } = FT.charts.get('lids');
        const r = plot.over.getBoundingClientRect();
        return [r.left + plot.valToPos(arguments[0] + 0.7, 'x'), r.top + 20]""",
        peak,
    )
    for kind in ("mousePressed", "mouseReleased"):
        event = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
        page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)
    page.until(f"return FT.state.position === {peak}")


def test_traces_are_those_of_the_chosen_person(page):
    values = "return Array.from(FT.charts.get('pose').plot.data[2]).slice(0, 5)"
    first = page.run(values)
    assert first == pytest.approx(
        page.run("return Array.from(FT.methods[0].face.values.pose_Ry).slice(0, 5)"), abs=1e-6
    )
    Select(page.one("#subject")).select_by_visible_text("person 1")
    assert page.run(values) == pytest.approx(
        page.run("return Array.from(FT.methods[1].face.values.pose_Ry).slice(0, 5)"), abs=1e-6
    )


def test_what_is_not_valid_is_shaded(page):
    Select(page.one("#subject")).select_by_visible_text("person 1")
    assert page.run("return FT.charts.get('brows').spec.shades") == [[39.5, 59.5]]
    pixel = """const { plot } = FT.charts.get('brows');
        const x = Math.round(plot.valToPos(arguments[0], 'x', true));
        const y = Math.round(plot.bbox.top + 5);
        return plot.ctx.getImageData(x, y, 1, 1).data[3]"""
    assert page.run(pixel, 55.3) > page.run(pixel, 15.3)


def test_the_gauge_and_the_bars_show_this_frame(page):
    for frame in (5, 15):
        page.run("FT.set({ position: arguments[0] })", frame)
        yaw = page.run("return FT.methods[0].face.values.pose_Ry[arguments[0]]", frame)
        text = page.one("#gauge .dial p").text
        assert f"yaw {abs(round(yaw))}°" in text
        assert ("to the left" in text) == (yaw > 0)
        shares = page.run("return FT.methods[0].face.values.eye_l_open[arguments[0]]", frame)
        left = page.driver.find_elements(By.CSS_SELECTOR, "#balance .value")[1].text
        assert left == f"{round(100 * shares)} %"
    Select(page.one("#subject")).select_by_visible_text("person 1")
    page.run("FT.set({ position: 50 })")
    assert page.one("#gauge .dial p").text.strip() == "yaw \N{EN DASH}"


def test_a_lost_face_is_not_drawn(page):
    page.run("FT.set({ position: 50, picture: false })")
    page.at(50)
    colour = page.run(
        """const m = FT.methods[1];
        const boxes = [0, 1].map((i) => {
          const k = 2 * (50 * 68 + 30), c = document.getElementById('canvas');
          const [x, y] = [FT.methods[i].xy[k], FT.methods[i].xy[k + 1]].map((v) => v + 0.5);
          const s = c.width / 640;
          return c.getContext('2d').getImageData(x * s - 2, y * s - 2, 4, 4).data.slice(0, 64);
        });
        return boxes.map((b) => Math.max(...b.filter((_, i) => i % 4 !== 3)))"""
    )
    assert colour[0] > 100
    assert colour[1] < 60
    assert "person 1: lost" in page.one("#canvas").get_attribute("aria-label")


def test_the_view_follows_the_chosen_person(page):
    Select(page.one("#view")).select_by_value("face")
    places = []
    for person in ("person 0", "person 1"):
        Select(page.one("#subject")).select_by_visible_text(person)
        places.append(page.run("return FT.viewOf('face', 10)[0]"))
    assert places[1] - places[0] == pytest.approx(240, abs=15)


@pytest.mark.parametrize("width", WIDTHS)
def test_controls_are_large_enough_for_fingers(page, path, width):
    page.open(path, width=width, height=900)
    small = page.run(
        """const boxes = [...document.querySelectorAll('button, select, summary, nav a, td a, '
          + 'input[type=range], label:has(> input[type=checkbox])')];
        return boxes.filter((e) => e.offsetParent).map((e) => [e, e.getBoundingClientRect()])
          .filter(([, r]) => r.height < 43.5 || r.width < 43.5)
          .map(([e, r]) => `${e.outerHTML.slice(0, 80)} ${r.width}x${r.height}`)"""
    )
    assert small == []


@pytest.mark.parametrize("width", WIDTHS)
def test_every_column_of_people_can_be_seen(page, path, width):
    page.open(path, width=width, height=900)
    outside = page.run(
        """return [...document.querySelectorAll('#summary-table td, #measures-table td')]
        .map((e) => e.getBoundingClientRect()).filter((r) => r.right > innerWidth || r.width < 1)
        .length"""
    )
    assert outside == 0
    if width < 600:
        cell = page.one("#summary-table td:nth-child(3)")
        label = "return getComputedStyle(arguments[0], '::before').content"
        assert page.run(label, cell) == '"person 1"'


@pytest.mark.parametrize("width", WIDTHS)
def test_charts_do_not_lie_over_text(page, path, width):
    page.open(path, width=width, height=900)
    overlaps = page.run(
        """const bad = [];
        for (const card of document.querySelectorAll('.plot-card:not([hidden])')) {
          const caption = card.querySelector('figcaption').getBoundingClientRect();
          for (const plot of card.querySelectorAll('.uplot')) {
            const r = plot.getBoundingClientRect();
            const box = card.getBoundingClientRect();
            const outside = r.right > box.right + 1 || r.bottom > box.bottom + 1;
            if (r.top < caption.bottom - 1 || outside) bad.push(card.id);
          }
          const legend = card.querySelector('.u-legend')?.getBoundingClientRect();
          const wrap = card.querySelector('.u-wrap').getBoundingClientRect();
          if (legend && legend.top < wrap.bottom - 1) bad.push(`${card.id} legend`);
        }
        return bad"""
    )
    assert overlaps == []
    assert page.run("return document.documentElement.scrollWidth") == width


def test_fingers_choose_a_frame_on_a_curve(page, path):
    page.open(path, width=390, height=844)
    page.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        page.run("document.getElementById('plot-brows').scrollIntoView({block: 'center'})")
        time.sleep(0.8)
        x, y = page.run(
            """const { plot } = FT.charts.get('brows');
            const r = plot.over.getBoundingClientRect();
            return [r.left + plot.valToPos(42, 'x'), r.top + r.height / 2]"""
        )
        point = {"x": x, "y": y}
        for kind, points in (("touchStart", [point]), ("touchEnd", [])):
            event = {"type": kind, "touchPoints": points}
            page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", event)
        page.until("return FT.state.position === 42")
    finally:
        page.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


def test_the_summary_is_printed_on_one_page(page):
    page.run("window.print = () => {}")
    page.run("document.getElementById('print-summary').click()")
    page.run("window.dispatchEvent(new Event('beforeprint'))")
    printed = page.driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    pdf = base64.b64decode(printed["data"])
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf)) == 1
    page.run("window.dispatchEvent(new Event('afterprint'))")
    assert page.run("return document.documentElement.dataset.print") is None
    whole = page.driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", base64.b64decode(whole["data"]))) > 1
