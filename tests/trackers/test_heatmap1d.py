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
from facetrack.detectors.alignment import FaceFrame, align
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
RIGHT, LEFT = 36, 45


class FakeHeatmap1d:
    """A detector of faces marked by a red and a green spot at their outer eye corners.

    It draws perfect maps of the landmarks; flat maps without spots."""

    config = SimpleNamespace(points=68, sigma=SIGMA)
    device = torch.device("cpu")
    paper = "none"
    rule = CropRule.around_landmarks(1.5)

    def __init__(self, aligned: float | None = None) -> None:
        self.aligned = aligned

    def frame_around(self, points: np.ndarray) -> FaceFrame:
        if self.aligned is not None:
            return align(points, self.aligned)
        square = self.crop_box(hog_box(points))
        return FaceFrame((square[:2] + square[2:]) / 2, float(square[2] - square[0]), 0.0)

    def crop_box(self, box: np.ndarray) -> np.ndarray:
        return self.rule.square(box)

    def crop(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, Placement] | None:
        self.cut = self.rule.cut(image, box)
        return self.cut

    def maps(self, crops: np.ndarray) -> Marginals:
        light = crops[0, ..., :2].astype(float)
        if light.max() < 64:
            return Marginals(*torch.zeros(2, 1, 68, LENGTH))
        rows, columns = np.indices(light.shape[:2])
        total = light.sum((0, 1))
        x = (light * columns[..., None]).sum((0, 1)) / total
        y = (light * rows[..., None]).sum((0, 1)) / total
        right, left = x + 1j * y
        known = FACE[:, 0] + 1j * FACE[:, 1]
        scale = (left - right) / (known[LEFT] - known[RIGHT])
        found = right + (known - known[RIGHT]) * scale
        points = np.stack([found.real, found.imag], -1)
        return draw(torch.from_numpy(points).float()[None], LENGTH, SIGMA)

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


def frame(middle: tuple[int, int] | None, degrees: float = 0.0) -> np.ndarray:
    image = np.zeros((240, 320, 3), np.uint8)
    if middle is not None:
        rows, columns = np.indices(image.shape[:2])
        for channel, (x, y) in enumerate((FACE @ turned(degrees) + middle)[[RIGHT, LEFT]]):
            far = (columns - x) ** 2 + (rows - y) ** 2
            image[..., channel] = np.round(255 * np.exp(-far / 8))
    return image


def turned(degrees: float) -> np.ndarray:
    """Return the matrix that turns points clockwise in the displayed image."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos, -sin], [sin, cos]]).T


@pytest.mark.parametrize(("aligned", "turn"), [(None, 0.0), (None, 5.0), (1.25, 5.0)])
def test_the_crop_follows_the_face(aligned, turn) -> None:
    """Far out of the first crop, and by more than a quarter turn."""
    path = [(60 + 6 * i, 60 + 4 * i) for i in range(24)]
    faces = [FACE @ turned(turn * i) + place for i, place in enumerate(path)]
    tracker = Heatmap1dTracker(FakeHeatmap1d(aligned), None, FixedFace((0, 0)))  # type: ignore[arg-type]
    state = tracker.start(frame(path[0]), faces[0])
    pictures = [frame(place, turn * i) for i, place in enumerate(path)]
    found = tracker.step(state, np.stack(pictures))
    np.testing.assert_allclose(found.xy, np.stack(faces), atol=0.3)
    assert abs(np.degrees(state.frame.roll) - turn * 23) < 40
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


@pytest.mark.parametrize(("aligned", "degrees"), [(None, 0.0), (1.25, 0.0), (1.25, 7.0)])
def test_the_memory_is_moved_into_the_new_crop(aligned, degrees) -> None:
    """Maps in the memory stay on the same landmarks, which a small turn moves little."""
    tracker = Heatmap1dTracker(FakeHeatmap1d(aligned), None, FixedFace((0, 0)))  # type: ignore[arg-type]
    state = tracker.start(frame(None), FACE + (100, 100))
    before, now = state.frame, (FACE * 1.06) @ turned(degrees) + (102, 101)
    state.memory = torch.cat(draw(torch.from_numpy(before.to_crop(now))[None], LENGTH, SIGMA), 1)
    state.memory = state.memory.float()
    tracker._follow(state, now)
    assert not np.allclose(state.frame.centre, before.centre)
    places, _ = read(Marginals(*state.memory.chunk(2, 1)), SIGMA)
    off = np.linalg.norm(state.frame.to_image(places[0].numpy()) - now, axis=-1)
    assert off.max() < 0.1 + np.radians(degrees) * np.linalg.norm(FACE, axis=-1).max() * 1.2


def test_an_aligned_crop_turns_with_the_face_and_forgets_when_it_turns_far() -> None:
    tracker = Heatmap1dTracker(FakeHeatmap1d(1.25), None, FixedFace((0, 0)))  # type: ignore[arg-type]
    state = tracker.start(frame(None), FACE @ turned(50.0) + (100, 100))
    first = state.frame.roll
    for degrees, is_kept in ((53.0, True), (58.0, True), (90.0, False)):
        state.memory = torch.zeros(1, 2 * 68, LENGTH)
        tracker._follow(state, FACE @ turned(degrees) + (100, 100))
        assert (state.memory is not None) == is_kept
    assert np.degrees(state.frame.roll - first) == pytest.approx(40.0, abs=0.1)


def test_a_crop_that_is_not_aligned_turns_only_with_faces_that_lie() -> None:
    tracker = Heatmap1dTracker(FakeHeatmap1d(), None, FixedFace((0, 0)))  # type: ignore[arg-type]
    assert tracker.start(frame(None), FACE @ turned(20.0) + (100, 100)).frame.roll == 0
    lying = tracker.start(frame(None), FACE @ turned(90.0) + (100, 100)).frame
    assert np.degrees(lying.roll) == pytest.approx(90, abs=2)
    upright = tracker.start(frame(None), FACE + (100, 100)).frame
    assert lying.side == pytest.approx(upright.side, rel=0.02)
    expected = (upright.centre - 100) @ turned(np.degrees(lying.roll)) + 100
    np.testing.assert_allclose(lying.centre, expected, atol=0.5)


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
