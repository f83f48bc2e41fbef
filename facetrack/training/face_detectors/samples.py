"""Windows of scenes that MTCNN learns from: negatives, positives, part faces and landmark faces.

Zhang et al., IEEE Signal Processing Letters 2016, section III-A.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from facetrack.face_detectors.mtcnn import patches
from facetrack.training.face_detectors.scenes import HEIGHT, WIDTH, Scene, Source, draw_scene

NEGATIVE, POSITIVE, PART, LANDMARK, NEITHER = 0, 1, 2, 3, -1
"""Kinds of windows. Landmark faces overlap a face as positives do."""
POSITIVE_IOU, PART_IOU, NEGATIVE_IOU = 0.65, 0.4, 0.3
"""Positives overlap a face's box by more than the first (intersection over union), part faces by
more than the second and negatives by less than the third, as published."""
SHARES = {NEGATIVE: 3, POSITIVE: 1, PART: 1, LANDMARK: 2}
"""Ratio of the kinds in a mini-batch, as published."""
CLOSE, APART, ANYWHERE = 12, 12, 10
"""Windows drawn near each face, around it, and anywhere in a scene."""
MAX_MINED = 60
"""Windows taken from the networks before in one scene, at most."""
MIN_WINDOW = 12.0
"""Side of the smallest window in pixels."""

Mine = Callable[[np.ndarray], np.ndarray]
"""Returns the windows (K, 4) in an image (H, W, 3) that the networks before take for faces, in
pixels from the corner of the top-left pixel."""


class Samples(NamedTuple):
    """Windows with what a network should answer.

    Attributes:
        pictures: (K, side, side, 3) uint8 RGB.
        kind: (K,) int64, NEGATIVE, POSITIVE, PART or LANDMARK.
        offsets: (K, 4) float32, the face's x0 y0 x1 y1 less the window's, in sides of the window; 0
            for negatives.
        points: (K, 10) float32, x of the five points, then y, in sides of the window from its
            top-left corner; 0 for negatives.
    """

    pictures: np.ndarray
    kind: np.ndarray
    offsets: np.ndarray
    points: np.ndarray


def overlaps(windows: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the intersection over union (K, F) of windows (K, 4) and boxes (F, 4)."""
    low = np.maximum(windows[:, None, :2], boxes[None, :, :2])
    high = np.minimum(windows[:, None, 2:], boxes[None, :, 2:])
    common = (high - low).clip(0).prod(-1)
    areas = [(b[:, 2:] - b[:, :2]).prod(-1) for b in (windows, boxes)]
    return np.asarray(common / (areas[0][:, None] + areas[1][None] - common))


def classify(windows: np.ndarray, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Return the kinds (K,) of windows (K, 4), and the index (K,) of the face that each overlaps.

    Every second positive, counted along the windows, is a landmark face.
    """
    if not len(scene.boxes):
        return np.full(len(windows), NEGATIVE), np.zeros(len(windows), int)
    shared = overlaps(windows, scene.boxes)
    face, most = shared.argmax(1), shared.max(1)
    kind = np.full(len(windows), NEITHER)
    kind[most < NEGATIVE_IOU] = NEGATIVE
    kind[most > PART_IOU] = PART
    positive = np.flatnonzero(most > POSITIVE_IOU)
    kind[positive] = POSITIVE
    kind[positive[1::2]] = LANDMARK
    return kind, face


def may_show_others(windows: np.ndarray, scene: Scene) -> np.ndarray:
    """Return (K,) bool, windows beside a face in its picture, where other people may stand."""
    if not len(scene.boxes):
        return np.zeros(len(windows), bool)
    centre = (windows[:, None, :2] + windows[:, None, 2:]) / 2
    pasted = scene.pasted[None]
    within = ((centre > pasted[..., :2]) & (centre < pasted[..., 2:])).all(-1)
    return np.asarray((within & (overlaps(windows, scene.boxes) <= 0.02)).any(1))


def draw_windows(scene: Scene, random: np.random.Generator) -> np.ndarray:
    """Draw windows (K, 4) close to the faces, around them, and anywhere, in a random order."""
    drawn = [_anywhere(ANYWHERE, random)]
    for box in scene.boxes:
        drawn += [_near(box, CLOSE, 0.16, 0.22, random), _near(box, APART, 0.5, 0.6, random)]
    return random.permutation(np.concatenate(drawn))


def _anywhere(count: int, random: np.random.Generator) -> np.ndarray:
    side = np.exp(random.uniform(np.log(MIN_WINDOW), np.log(HEIGHT / 1.5), (count, 1)))
    first = random.uniform(0, 1, (count, 2)) * (np.array([WIDTH, HEIGHT]) - side)
    return np.concatenate([first, first + side], 1)


def _near(
    box: np.ndarray, count: int, shift: float, stretch: float, random: np.random.Generator
) -> np.ndarray:
    """Draw squares whose centres and logarithms of sides are off by up to `shift`, `stretch`."""
    side = (box[2:] - box[:2]).mean() * np.exp(random.uniform(-stretch, stretch, (count, 1)))
    centre = (box[:2] + box[2:]) / 2 + side * random.uniform(-shift, shift, (count, 2))
    return np.asarray(np.concatenate([centre - side / 2, centre + side / 2], 1))


def collect(
    source: Source,
    scenes: int,
    side: int,
    random: np.random.Generator,
    mine: Mine | None = None,
    max_seconds: float = math.inf,
) -> Samples:
    """Collect windows of random scenes.

    Args:
        source: what the scenes are made of.
        scenes: their number, at most.
        side: of the windows' pictures in pixels.
        random: source of randomness.
        mine: what the networks before take for faces in an image: their mistakes are the negatives
            then, besides windows near faces. None for the first network.
        max_seconds: no further scene is drawn after this time.
    """
    began = time.monotonic()
    collected: list[Samples] = []
    for _ in range(scenes):
        if collected and time.monotonic() - began > max_seconds:
            break
        scene = draw_scene(source, random)
        windows = draw_windows(scene, random)
        kind, face = classify(windows, scene)
        if mine is not None:
            mined = mine(scene.image)
            mined = mined[random.permutation(len(mined))[:MAX_MINED]]
            kinds, faces = classify(mined, scene)
            kinds[(kinds == NEGATIVE) & may_show_others(mined, scene)] = NEITHER
            windows = np.concatenate([windows, mined])
            kind, face = np.concatenate([kind, kinds]), np.concatenate([face, faces])
        used = (kind != NEITHER) & ((windows[:, 2] - windows[:, 0]) >= MIN_WINDOW)
        collected.append(_cut(scene, windows[used], kind[used], face[used], side))
    return Samples(*(np.concatenate(values) for values in zip(*collected, strict=True)))


def _cut(
    scene: Scene, windows: np.ndarray, kind: np.ndarray, face: np.ndarray, side: int
) -> Samples:
    offsets = np.zeros((len(windows), 4), np.float32)
    points = np.zeros((len(windows), 10), np.float32)
    known = kind != NEGATIVE
    if known.any():
        size = (windows[known, 2:] - windows[known, :2]).mean(1)
        offsets[known] = (scene.boxes[face[known]] - windows[known]) / size[:, None]
        inside = scene.points[face[known]] - windows[known, None, :2]
        points[known] = (inside / size[:, None, None]).transpose(0, 2, 1).reshape(-1, 10)
    return Samples(patches(scene.image, windows, side), kind, offsets, points)


def batch_counts(batch: int) -> dict[int, int]:
    """Return how many windows of each kind a mini-batch has: SHARES of `batch`, one at least."""
    total = sum(SHARES.values())
    return {kind: max(1, batch * share // total) for kind, share in SHARES.items()}
