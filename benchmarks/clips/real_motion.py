"""Measure the motion of real faces, with which still pictures are then animated.

A landmark detector follows the largest face of a video frame by frame. Its landmarks, smoothed over
time, are not the ground truth of that video, but they move like real faces: nods, turns, speech and
blinks at natural speed. The tracks of a picture animated by them are known exactly.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.clips.face_motion import spline
from facetrack import detectors, face_detectors
from facetrack.errors import FacetrackError
from facetrack.video.reader import VideoReader
from facetrack.video.video_names import is_video_name

FEWEST, MOST = 48, 120  # frames of a motion
LOOKED_AT = 400  # frames of a video, at most
SMOOTHING = 1.5  # frames, standard deviation: below it, the detector's own jitter rules
EYES = (36, 45)


class Motion(NamedTuple):
    """How a face moves, in units of its own inter-ocular distance in the first frame.

    Attributes:
        name: of the video.
        shape: (68, 2) the landmarks at first, their mean at the origin.
        moves: (T, 68, 2) how far each has gone since, seen from the head.
        place: (T, 2) where the head is, from where it was at first.
        angle: (T,) by which it has turned within the picture, radians, clockwise.
        zoom: (T,) by which it has grown.
    """

    name: str
    shape: np.ndarray
    moves: np.ndarray
    place: np.ndarray
    angle: np.ndarray
    zoom: np.ndarray


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Return scale, angle and shift of the least-squares similarity from (N, 2) to (N, 2)."""
    a, b = source - source.mean(0), target - target.mean(0)
    dot, cross = (a * b).sum(), (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()
    scale = float(np.hypot(dot, cross) / (a * a).sum())
    angle = float(np.arctan2(cross, dot))
    return scale, angle, target.mean(0) - scale * rotate(source.mean(0), angle)


def rotate(xy: np.ndarray, angle: float) -> np.ndarray:
    """Rotate points (..., 2) clockwise (y points down)."""
    cos, sin = np.cos(angle), np.sin(angle)
    return xy @ np.array([[cos, sin], [-sin, cos]])


def from_landmarks(name: str, landmarks: np.ndarray) -> Motion:
    """Return the motion of landmarks (T, 68, 2) in pixels, smoothed in time."""
    reach = int(np.ceil(3 * SMOOTHING))
    kernel = np.exp(-np.square(np.arange(-reach, reach + 1) / SMOOTHING) / 2)
    padded = np.pad(landmarks, ((reach, reach), (0, 0), (0, 0)), mode="edge")
    smooth = np.apply_along_axis(np.convolve, 0, padded, kernel / kernel.sum(), mode="valid")
    unit = float(np.linalg.norm(smooth[0, EYES[0]] - smooth[0, EYES[1]]))
    smooth = (smooth - smooth[0].mean(0)) / unit
    fits = [similarity(smooth[0], frame) for frame in smooth]
    zoom, angle = np.array([f[0] for f in fits]), np.array([f[1] for f in fits])
    moves = [
        rotate(frame - shift, -turn) / scale - smooth[0]
        for frame, (scale, turn, shift) in zip(smooth, fits, strict=True)
    ]
    place = np.array([f[2] for f in fits])
    return Motion(name, smooth[0], np.stack(moves), place, np.unwrap(angle), zoom)


def of_video(path: Path) -> Motion | None:
    """Return the motion of the largest face in the longest part with a face; None if too short."""
    landmark, face = detectors.create("ert"), face_detectors.create("hog")
    best: list[np.ndarray] = []
    run: list[np.ndarray] = []
    with VideoReader(path) as reader:
        for count, frame in enumerate(reader):
            boxes = face.detect(frame.image).boxes[:1]
            if len(boxes):
                run.append(landmark.detect(frame.image, boxes).xy[0].astype(float))
            jumped = len(run) > 1 and _jumped(run[-2], run[-1])
            if not len(boxes) or jumped:
                run = run[-1:] if jumped else []
            if len(run) > len(best):
                best = list(run)
            if len(best) == MOST or count == LOOKED_AT:
                break
    return from_landmarks(path.name, np.stack(best)) if len(best) >= FEWEST else None


def _jumped(before: np.ndarray, after: np.ndarray) -> bool:
    """Return True if two frames show different faces, or a cut."""
    unit = np.linalg.norm(before[EYES[0]] - before[EYES[1]])
    return bool(np.linalg.norm(after - before, axis=-1).mean() > 0.6 * unit)


def of_folder(folder: Path, most: int) -> list[Motion]:
    """Return the motions of the first `most` videos that have a motion, by name.

    Raises:
        FacetrackError: no video has a motion.
    """
    motions: list[Motion] = []
    for path in sorted(p for p in folder.iterdir() if is_video_name(p.name)):
        if len(motions) == most:
            break
        motion = of_video(path)
        if motion is not None:
            motions.append(motion)
    if not motions:
        raise FacetrackError(f"No video in {folder} shows a face for {FEWEST} frames on end.")
    return motions


def fields_on(rest: np.ndarray, reach: float, nodes: int, motion: Motion) -> np.ndarray:
    """Return (T, nodes, nodes, 2) backward displacements that move a resting face by the motion.

    Args:
        rest: (68, 2) the resting face's points, pixels about its middle.
        reach: half the side of the square of nodes, pixels.
    """
    unit = float(np.linalg.norm(rest[EYES[0]] - rest[EYES[1]]))
    _, lean, _ = similarity(motion.shape, rest)
    line = np.linspace(-reach, reach, nodes)
    grid = np.stack(np.meshgrid(line, line), -1)
    ring = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    still = 1.2 * reach * np.column_stack([np.cos(ring), np.sin(ring)])
    fields = []
    for moves in motion.moves:
        move = unit * rotate(moves, lean)
        centres = np.concatenate([rest + move, still])
        values = np.concatenate([-move, np.zeros_like(still)])
        fields.append(spline(centres, values, grid.reshape(-1, 2)).reshape(grid.shape))
    return np.stack(fields)
