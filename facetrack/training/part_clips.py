"""What a tracker makes of rendered faces that blink and speak, recorded for the fusion to learn."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from facetrack.files import atomic_path
from facetrack.ops.similarity import as_complex
from facetrack.trackers.base import PointTracker
from facetrack.trackers.expression.corrector import query_poses
from facetrack.trackers.expression.face_parts import Rest, cut
from facetrack.training.render import render
from facetrack.training.signals import Random
from facetrack.training.textures import Textures

FRAMES = 40
RATES = (24.0, 60.0)
"""Frames a second, from and to."""
STEPS = 8
"""Frames that the tracker is given at once."""
SLOPPY = (0.002, 0.015)
"""How far the points that are given are from the true ones: standard deviation in units of a
face, from and to."""


class Recording(NamedTuple):
    """Clips of one face each.

    Attributes:
        eyes: (C, T, 2, h, w, 3) uint8 patches of the eyes, cut by the tracker's points.
        mouths: (C, T, h, w, 3) of the mouth.
        first_eyes, first_mouths: (C, LOOKS, ...) of the query frame.
        placed: (C, 68, 2) the points that were given in the query frame, which is the first.
        tracked: (C, T, 68, 2); sure: (C, T, 68) confidences.
        truth: (C, T, 68, 2) pixels, by pixel centres, NaN where it is not known; start: (C, 68, 2)
            of the query frame; seen: (C, T, 68) bool.
        rate: (C,) frames a second.
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
    """One clip; None where too little of the truth is known in its first frame."""
    rate = float(random.log_uniform(*RATES, 1))
    effort = float(random.uniform(0.2, 1.0, 1))
    clip = render(textures, random, 1, FRAMES, None, effort, rate=rate)
    frames = np.ascontiguousarray((clip.video[0] * 255).byte().permute(0, 2, 3, 1).numpy())
    xy = clip.xy[0].transpose(0, 1).double().numpy() - 0.5
    truth = np.where(clip.valid[0].T.numpy()[..., None], xy, np.nan)
    if not np.isfinite(truth[0]).all():
        return None
    unit = float(np.linalg.norm(truth[0, 45] - truth[0, 36]))
    placed = truth[0] + random.normal(68, 2).numpy() * unit * float(random.log_uniform(*SLOPPY, 1))
    state = tracker.start(frames[0], placed)
    parts = [tracker.step(state, frames[i : i + STEPS]) for i in range(0, FRAMES, STEPS)]
    tracked, _, sure = (np.concatenate(kind) for kind in zip(*parts, strict=True))
    if not np.isfinite(tracked).all():
        return None
    rest = Rest(placed)
    looks = [cut(frames[0], pose) for pose in query_poses(rest)]
    patches = [
        cut(frame, rest.pose(as_complex(points)))
        for frame, points in zip(frames, tracked, strict=True)
    ]
    return Recording(
        np.stack([np.stack(p[:2]) for p in patches])[None],
        np.stack([p[2] for p in patches])[None],
        np.stack([np.stack(p[:2]) for p in looks])[None],
        np.stack([p[2] for p in looks])[None],
        placed[None],
        tracked[None],
        sure[None],
        truth[None],
        clip.visible[0].T.numpy()[None],
        np.array([rate]),
    )


def write(path: Path, clips: list[Recording]) -> None:
    """Clips in one file."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        arrays = {k: np.concatenate([getattr(c, k) for c in clips]) for k in Recording._fields}
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read(folder: Path) -> Recording:
    """All clips of a folder."""
    files = [np.load(path) for path in sorted(folder.glob("clips-*.npz"))]
    return Recording(*(np.concatenate([f[k] for f in files]) for k in Recording._fields))
