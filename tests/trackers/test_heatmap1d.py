"""The heatmap1d tracker: its crop follows the face, and its memory follows the crop."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from facetrack.detectors import pipnet_meanface
from facetrack.detectors.crops import CropRule, Placement, hog_box
from facetrack.detectors.heatmap1d_maps import Marginals, draw, read
from facetrack.detectors.heatmap1d_network import TemporalRefinement
from facetrack.errors import FacetrackError
from facetrack.face_detectors.base import FaceBoxes, largest_first
from facetrack.trackers.heatmap1d import ARCH, Heatmap1dTracker, load_refinement, move_memory
from facetrack.weights import ResolvedWeights

LENGTH, SIGMA = 768, 4.0
FACE = pipnet_meanface.read("data_300W") * 60 - 30
"""(68, 2) landmarks in pixels around the face's middle."""


class FakeHeatmap1d:
    """A detector of faces marked by a bright square of 3 x 3 pixels in their middle.

    It draws perfect maps of the landmarks; flat maps without a square."""

    config = SimpleNamespace(points=68, sigma=SIGMA)
    device = torch.device("cpu")
    paper = "none"
    rule = CropRule.around_landmarks(1.5)

    def crop_box(self, box: np.ndarray) -> np.ndarray:
        return self.rule.square(box)

    def crop(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, Placement] | None:
        self.cut = self.rule.cut(image, box)
        return self.cut

    def maps(self, crops: np.ndarray) -> Marginals:
        light = crops[0, ..., 0].astype(float)
        if light.max() < 128:
            return Marginals(*torch.zeros(2, 1, 68, LENGTH))
        rows, columns = np.nonzero(light > 128)
        middle = np.array([columns.mean(), rows.mean()])
        assert self.cut is not None
        return draw(
            torch.from_numpy(middle + FACE / self.cut[1].scale).float()[None], LENGTH, SIGMA
        )

    def to_image(self, xy: np.ndarray, placement: Placement) -> np.ndarray:
        return xy * placement.scale + placement.origin

    def describe(self) -> dict[str, Any]:
        return {"name": "drawn"}


class FixedFace:
    """A face detector that always returns the same face, and counts its calls."""

    def __init__(self, middle: tuple[float, float]) -> None:
        self.middle, self.calls = middle, 0

    def detect(self, image: np.ndarray) -> FaceBoxes:
        self.calls += 1
        return largest_first(hog_box(FACE + self.middle)[None], np.ones(1))

    def describe(self) -> dict[str, Any]:
        return {"name": "known"}


def frame(middle: tuple[int, int] | None) -> np.ndarray:
    image = np.zeros((240, 320, 3), np.uint8)
    if middle is not None:
        x, y = middle
        image[y - 1 : y + 2, x - 1 : x + 2] = 255
    return image


def test_the_crop_follows_the_face() -> None:
    path = [(60 + 9 * i, 80 + 4 * i) for i in range(24)]  # far out of the first crop
    tracker = Heatmap1dTracker(FakeHeatmap1d(), None, FixedFace((0, 0)))  # type: ignore[arg-type]
    state = tracker.start(frame(path[0]), FACE + path[0])
    found = tracker.step(state, np.stack([frame(p) for p in path]))
    np.testing.assert_allclose(found.xy, FACE + np.array(path)[:, None], atol=0.3)
    assert found.visible.all()


def test_points_of_a_lost_face_are_nan_until_it_is_detected_again() -> None:
    faces = FixedFace((200, 150))
    tracker = Heatmap1dTracker(FakeHeatmap1d(), None, faces)  # type: ignore[arg-type]
    state = tracker.start(frame((60, 80)), FACE + (60, 80))
    first, empty, second = frame((60, 80)), frame(None), frame((200, 150))
    found = tracker.step(state, np.stack([first, empty, empty, second, second]))
    assert np.isnan(found.xy[1:3]).all()
    assert not found.visible[1:3].any()
    assert not found.confidence[1:3].any()
    np.testing.assert_allclose(found.xy[3:], np.stack([FACE + (200, 150)] * 2), atol=0.3)
    assert faces.calls == 2  # no calls while the face is tracked


def test_points_of_another_layout_are_refused() -> None:
    tracker = Heatmap1dTracker(FakeHeatmap1d(), None, FixedFace((0, 0)))  # type: ignore[arg-type]
    with pytest.raises(FacetrackError, match="68 landmarks"):
        tracker.start(frame(None), np.zeros((5, 2)))
    with pytest.raises(FacetrackError, match="all landmarks"):
        tracker.start(frame(None), np.full((68, 2), np.nan))


@given(
    st.floats(0.7, 1.4),
    st.tuples(st.floats(-30, 30), st.floats(-30, 30)),
    st.tuples(st.floats(100, 150), st.floats(100, 150)),
)
def test_memory_moves_as_the_crop_does(scale, shift, point) -> None:
    """A peak at p in the old crop is at (p - shift) / scale in the new one."""
    maps = draw(torch.tensor([[point]]), LENGTH, SIGMA)
    moved = move_memory(torch.cat(maps, 1), scale, np.array(shift))
    place, _ = read(Marginals(*moved.chunk(2, 1)), SIGMA / scale)
    expected = (np.array(point) - shift) / scale
    np.testing.assert_allclose(place[0, 0], expected, atol=0.05)


def test_the_memory_is_moved_into_the_new_crop() -> None:
    """Maps in the memory stay on the same landmarks in the new crop."""
    detector = FakeHeatmap1d()
    tracker = Heatmap1dTracker(detector, None, FixedFace((0, 0)))  # type: ignore[arg-type]
    state = tracker.start(frame(None), FACE + (100, 100))
    cut = detector.crop(frame((108, 103)), state.square)
    assert cut is not None
    before, now = cut[1], FACE * 1.1 + (108, 103)
    maps = draw(torch.from_numpy((now - before.origin) / before.scale)[None], LENGTH, SIGMA)
    state.memory = torch.cat(maps, 1).float()
    tracker._follow(state, now, before, state.patch(frame(None)))
    after = detector.crop(frame((108, 103)), state.square)
    assert after is not None
    assert not np.allclose(after[1].origin, before.origin)
    places, _ = read(Marginals(*state.memory.chunk(2, 1)), SIGMA)
    np.testing.assert_allclose(
        detector.to_image(places[0].numpy(), after[1]), now, atol=0.1 * before.scale[0]
    )


def test_refinement_weights_load_and_other_files_are_refused(tmp_path: Path) -> None:
    module = TemporalRefinement(points=68, width=4)
    torch.nn.init.normal_(module.after[-1].weight)  # type: ignore[arg-type]
    path = tmp_path / "time.safetensors"
    save_file(module.state_dict(), path, {"arch": ARCH})
    again = load_refinement(ResolvedWeights(path, None), 68)
    for name, value in module.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value)
    save_file(module.state_dict(), path, {"arch": "star"})
    with pytest.raises(FacetrackError, match="temporal refinement"):
        load_refinement(ResolvedWeights(path, None), 68)


def test_memory_changes_the_result() -> None:
    """A refinement that only repeats its memory holds the peak back."""
    module = TemporalRefinement(points=68, width=68, decay=1.0)
    for layer in (module.before[0], module.before[2], module.after[0], module.after[2]):
        torch.nn.init.dirac_(layer.weight, groups=2)  # type: ignore[arg-type, union-attr]
        torch.nn.init.zeros_(layer.bias)  # type: ignore[arg-type, union-attr]
    tracker = Heatmap1dTracker(FakeHeatmap1d(), module, FixedFace((0, 0)))  # type: ignore[arg-type]
    state = tracker.start(frame((100, 100)), FACE + (100, 100))
    still = tracker.step(state, np.stack([frame((100, 100))] * 4)).xy
    after = tracker.step(state, frame((101, 100))[None]).xy
    moved = (after - still[-1:])[..., 0].mean()
    assert 0 < moved < 0.7  # a pixel without memory
