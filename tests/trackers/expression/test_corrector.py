"""The shipped networks follow eyes that shut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facetrack import detectors, face_detectors
from facetrack.pipeline.resume import ResumeStore
from facetrack.trackers import factory
from facetrack.trackers.base import TrackerOptions
from facetrack.trackers.expression.tracker import ExpressionTracker, with_expressions
from facetrack.trackers.head.tracker import HeadTracker
from facetrack.video.reader import VideoReader

EXAMPLE = Path(__file__).parents[3] / "examples/astronaut.mp4"
FRAMES = 16
PEAK = slice(6, 10)
EYES = ((37, 38), (41, 40)), ((43, 44), (47, 46))


@pytest.fixture(scope="module")
def first() -> tuple[np.ndarray, np.ndarray]:
    """Return a frame with a face, and its landmarks."""
    with VideoReader(EXAMPLE) as reader:
        image = next(iter(reader)).image
    boxes = face_detectors.create("auto").detect(image).boxes[:1]
    return image, detectors.create("star").detect(image, boxes).xy[0].astype(float)


@pytest.fixture(scope="module")
def tracker() -> ExpressionTracker:
    options = TrackerOptions(device="cpu", precision="float32")

    def unneeded():
        raise AssertionError

    wrapped = with_expressions(factory.create("tapir", options, unneeded), "68", options)
    assert isinstance(wrapped, ExpressionTracker)
    return wrapped


def _blinking(image: np.ndarray, points: np.ndarray, eyes: tuple[float, float]) -> np.ndarray:
    """Render FRAMES of the image in which the eyes shut by these shares and open again."""
    from facetrack.training.lids import draw_lids
    from facetrack.training.signals import Random

    wave = np.interp(np.arange(FRAMES), [4, 6, 9, 12], [0, 1, 1, 0])
    closing = torch.tensor(np.outer(eyes, wave)[None], dtype=torch.float32)
    landmarks = torch.tensor(points[None] + 0.5, dtype=torch.float32)
    picture = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    low, high = points.min(0).astype(int) - 5, points.max(0).astype(int) + 5
    x, y = (torch.arange(a, b) + 0.5 for a, b in zip(low, high, strict=True))
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None, None]
    grid, shade = grid.expand(-1, FRAMES, -1, -1, -1), torch.ones(1, FRAMES, len(y), len(x))
    for lid in draw_lids(Random(7, torch.device("cpu")), landmarks, closing):
        grid, dark = lid.close(grid)
        shade = shade * dark
    size = torch.tensor([image.shape[1], image.shape[0]])
    shown = torch.nn.functional.grid_sample(
        picture.expand(FRAMES, -1, -1, -1), grid[0] / size * 2 - 1, align_corners=False
    )
    frames = np.repeat(image[None], FRAMES, 0)
    drawn = (shown * shade[0, :, None] * 255).clamp(0, 255).byte().permute(0, 2, 3, 1)
    frames[:, low[1] : high[1], low[0] : high[0]] = drawn.numpy()
    return frames


def _openings(xy: np.ndarray) -> np.ndarray:
    """Return the openings (T, 2) of the right and the left eye, in pixels."""
    return np.stack(
        [np.linalg.norm(xy[:, up] - xy[:, low], axis=-1).mean(1) for up, low in EYES], 1
    )


def _tracked(tracker: ExpressionTracker, frames: np.ndarray, points: np.ndarray, at_once: int = 8):
    state = tracker.start(frames[0], points)
    parts = [tracker.step(state, frames[i : i + at_once]) for i in range(0, FRAMES, at_once)]
    return np.concatenate([part.xy for part in parts])


@pytest.mark.parametrize("eyes", [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0)])
def test_each_shut_eye_is_followed_independently(first, tracker, eyes):
    image, points = first
    xy = _tracked(tracker, _blinking(image, points, eyes), points)
    share = _openings(xy) / _openings(points[None])
    for eye, shut in enumerate(eyes):
        if shut:
            assert share[PEAK, eye].min() < 0.5
            assert share[PEAK, eye].max() < 0.7
        else:
            assert share[:, eye].min() > 0.75
        assert share[-2:, eye].min() > 0.75
        assert share[:4, eye].min() > 0.8


def test_a_still_face_stays_still(first, tracker):
    image, points = first
    xy = _tracked(tracker, np.repeat(image[None], FRAMES, 0), points)
    unit = np.linalg.norm(points[45] - points[36])
    assert np.abs(xy - points).max() < 0.03 * unit
    assert np.abs(np.diff(xy, 2, axis=0)).max() < 0.01 * unit


def test_the_number_of_frames_per_step_hardly_matters(first, tracker):
    image, points = first
    frames = _blinking(image, points, (1.0, 1.0))
    unit = np.linalg.norm(points[45] - points[36])
    batched, single = (_tracked(tracker, frames, points, at_once) for at_once in (8, 1))
    assert np.abs(batched - single).max() < 0.01 * unit


def test_points_that_are_no_face_are_not_corrected(tracker):
    noise = np.random.default_rng(1).integers(0, 255, (240, 240, 3), dtype=np.uint8)
    points = np.random.default_rng(2).uniform(60, 180, (68, 2))
    assert tracker.start(noise, points).correctors == [None]


def test_a_saved_state_continues_like_an_uninterrupted_run(first, tracker, tmp_path):
    image, points = first
    frames = _blinking(image, points, (1.0, 1.0))
    whole = _tracked(tracker, frames, points)
    state = tracker.start(frames[0], points)
    tracker.step(state, frames[:8])
    assert isinstance(tracker.tracker, HeadTracker)
    shared = {"tracker": tracker, "tapir": tracker.tracker.tracker.tapir}
    ResumeStore(tmp_path, "video", {}).save(state, shared)
    loaded = ResumeStore(tmp_path, "video", {}).load(shared)
    assert loaded is not None
    np.testing.assert_allclose(tracker.step(loaded, frames[8:]).xy, whole[8:], atol=1e-3)
