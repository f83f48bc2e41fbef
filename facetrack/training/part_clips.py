"""Record a tracker's points on rendered faces that blink and speak, to train `part_filter`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from facetrack.files import atomic_path
from facetrack.ops.similarity import as_complex
from facetrack.trackers.base import PointTracker
from facetrack.trackers.expression.corrector import query_view_poses
from facetrack.trackers.expression.face_parts import QueryFace, crop_patches
from facetrack.training.render import render
from facetrack.training.signals import Random
from facetrack.training.textures import Textures

FRAMES = 40
"""Frames per clip."""
RATES = (24.0, 60.0)
"""Range of frame rates, in frames per second."""
FRAMES_PER_STEP = 8
"""Frames per step of the tracker."""
INITIAL_ERROR = (0.002, 0.015)
"""Range of the standard deviation of the initial points' errors, in units of the face."""
CALM_INITIAL_ERROR = (0.0002, 0.004)
"""The same in calm clips."""
CALM_CHANCE = 0.45
"""Share of calm clips, from which the filter learns to leave still eyelids and lips alone."""


class Recording(NamedTuple):
    """C clips of one face each, T frames long.

    Attributes:
        eyes: (C, T, 2, h, w, 3) uint8 patches of the eyes, cropped at the tracker's points.
        mouths: (C, T, h, w, 3) uint8 patches of the mouth.
        first_eyes, first_mouths: (C, QUERY_VIEWS, ...) patches of the query frame.
        placed: (C, 68, 2) initial points in the query frame, which is the first frame.
        tracked: (C, T, 68, 2) the tracker's points, pixels.
        sure: (C, T, 68) the tracker's confidences.
        truth: (C, T, 68, 2) true points, pixels, origin at the centre of the top-left pixel; NaN
            where unknown.
        seen: (C, T, 68) bool, True where the point is visible.
        rate: (C,) frames per second.
    """

    eyes: np.ndarray
    mouths: np.ndarray
    first_eyes: np.ndarray
    first_mouths: np.ndarray
    placed: np.ndarray
    tracked: np.ndarray
    sure: np.ndarray
    truth: np.ndarray
    seen: np.ndarray
    rate: np.ndarray


def record(textures: Textures, tracker: PointTracker, random: Random) -> Recording | None:
    """Render and track one clip.

    Returns:
        The recording, or None if a point has no ground truth in the first frame or the tracker
        lost the face.
    """
    rate = float(random.log_uniform(*RATES, 1))
    effort = float(random.uniform(0.2, 1.0, 1))
    calm = bool(random.chance(CALM_CHANCE, 1))
    clip = render(
        textures, random, 1, FRAMES, None, 0.1 + 0.5 * effort if calm else effort, rate, calm
    )
    frames = np.ascontiguousarray((clip.video[0] * 255).byte().permute(0, 2, 3, 1).numpy())
    xy = clip.xy[0].transpose(0, 1).double().numpy() - 0.5
    truth = np.where(clip.valid[0].T.numpy()[..., None], xy, np.nan)
    if not np.isfinite(truth[0]).all():
        return None
    unit = float(np.linalg.norm(truth[0, 45] - truth[0, 36]))
    error = float(random.log_uniform(*(CALM_INITIAL_ERROR if calm else INITIAL_ERROR), 1))
    placed = truth[0] + random.normal(68, 2).numpy() * unit * error
    state = tracker.start(frames[0], placed)
    parts = [
        tracker.step(state, frames[i : i + FRAMES_PER_STEP])
        for i in range(0, FRAMES, FRAMES_PER_STEP)
    ]
    tracked, _, sure = (np.concatenate(kind) for kind in zip(*parts, strict=True))
    if not np.isfinite(tracked).all():
        return None
    query = QueryFace(placed)
    views = [crop_patches(frames[0], pose) for pose in query_view_poses(query)]
    patches = [
        crop_patches(frame, query.estimate_pose(as_complex(points)))
        for frame, points in zip(frames, tracked, strict=True)
    ]
    return Recording(
        np.stack([np.stack(p[:2]) for p in patches])[None],
        np.stack([p[2] for p in patches])[None],
        np.stack([np.stack(p[:2]) for p in views])[None],
        np.stack([p[2] for p in views])[None],
        placed[None],
        tracked[None],
        sure[None],
        truth[None],
        clip.visible[0].T.numpy()[None],
        np.array([rate]),
    )


def write(path: Path, clips: list[Recording]) -> None:
    """Write clips to one file."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        arrays = {k: np.concatenate([getattr(c, k) for c in clips]) for k in Recording._fields}
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read(folder: Path) -> Recording:
    """Read all clips of a folder."""
    files = [np.load(path) for path in sorted(folder.glob("clips-*.npz"))]
    return Recording(*(np.concatenate([f[k] for f in files]) for k in Recording._fields))
