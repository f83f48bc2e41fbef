"""What a person does on the page."""

from __future__ import annotations

import math

import numpy as np
from chromium import Page
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

READY = "return document.documentElement.dataset.ready === 'yes'"
# What has changed is drawn with the page's next frame: only then is what is shown looked at.
SETTLED = """
const look = async () => {
  const { isFresh } = await import('./files/tracks.js');
  const { unsent } = await import('./files/server.js');
  const { store } = facetrack;
  const { done, total } = store.state.tracking;
  return !unsent() && !store.drag && done === total && isFresh(store.row)
    && document.getElementById('tracking').hidden
    && document.getElementById('canvas').dataset.fresh === 'yes';
};
return new Promise((done) => requestAnimationFrame(() => look().then(done)));
"""
PLACE = """
const [point] = arguments;
const { transform } = await import('./files/stage.js');
const { toCanvas } = await import('./files/view.js');
const { pointsOf } = await import('./files/tracks.js');
const { store } = facetrack;
const spot = toCanvas(transform, pointsOf(store.row, store.face).xy[point]);
const box = document.getElementById('canvas').getBoundingClientRect();
return [box.left + spot[0], box.top + spot[1], transform.scale];
"""


class EditPage(Page):
    """The page of `facetrack edit` in one tab."""

    def visit(self, url: str, width: int = 1400, height: int = 1000, dark: bool = False) -> None:
        self.resize(width, height)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        self.driver.get(url)
        self.wait()

    def wait(self) -> None:
        """Wait until the page and its frame are there."""
        self.until(READY)
        self.until("return document.getElementById('canvas').dataset.frame !== undefined")

    def go(self, frame: int) -> None:
        """Show a frame with fresh points."""
        self.run("facetrack.seek(arguments[0])", frame)
        self.shows(frame)

    def shows(self, frame: int) -> None:
        self.until(
            f"const c = document.getElementById('canvas').dataset;"
            f"return c.frame === '{frame}' && c.fresh === 'yes'"
        )

    def settled(self) -> None:
        """Wait until all is sent, tracked again and shown."""
        self.until(SETTLED)

    def drawn(self) -> None:
        """Wait until what has changed so far is drawn."""
        self.run("return new Promise((done) => requestAnimationFrame(() => done()))")

    def place(self, point: int) -> tuple[float, float, float]:
        """Where a point is on the screen, and the scale of the view."""
        script = "const done = arguments[1]; (async (point) => {%s})(arguments[0]).then(done)"
        inner = PLACE.replace("const [point] = arguments;", "")
        return tuple(self.driver.execute_async_script(script % inner, point))

    def xy(self, point: int) -> list[float]:
        """Where a point is in the video, as shown."""
        script = """const done = arguments[1];
        import('./files/stage.js').then((m) => done(m.shownPoints().xy[arguments[0]]))"""
        return self.driver.execute_async_script(script, point)

    def drag(self, point: int, dx: float, dy: float, *, drop: bool = True) -> None:
        """Drag a point by pixels of the video, with the mouse."""
        x, y, scale = self.place(point)
        actions = ActionChains(self.driver, duration=30)
        actions.w3c_actions.pointer_action.move_to_location(round(x), round(y))
        actions.w3c_actions.pointer_action.pointer_down()
        for share in (0.3, 1):
            actions.w3c_actions.pointer_action.move_to_location(
                round(x + share * dx * scale), round(y + share * dy * scale)
            )
        if drop:
            actions.w3c_actions.pointer_action.pointer_up()
        actions.perform()

    def choose(self, point: int) -> None:
        Select(self.one("#point")).select_by_value(str(point))

    def text(self, selector: str) -> str:
        return self.one(selector).text

    def click(self, selector: str) -> None:
        self.until(f"return !document.querySelector('{selector}').disabled")
        self.one(selector).click()

    def keys(self, *keys: str) -> None:
        """Press keys on the frame."""
        self.press(*keys, on="#stage")

    def state(self) -> dict:
        return self.run("return facetrack.store.state")

    def labels(self, selector: str) -> list[str]:
        # In one go: lists may be drawn anew meanwhile.
        script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)"
        return self.run(script, selector)


def near(one, two, tolerance: float) -> bool:
    return math.dist(np.ravel(one), np.ravel(two)) <= tolerance


UNDO, REDO = Keys.CONTROL + "z" + Keys.NULL, Keys.CONTROL + "y" + Keys.NULL
