"""Compute the measures of a face in each frame: pose, openings, heights, asymmetries.

The landmarks are first placed on the head as it would be seen from the front
(`facetrack.measures.head`). Distances are then in per cent of the person's inter-ocular distance:
the median distance of the outer eye corners. Right and left are the subject's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.measures.face_model import OUTER_EYE_CORNERS, SCHEME, Face3d
from facetrack.measures.head import choose_camera, points_on_head, track_head
from facetrack.measures.pose import Camera, Poses, check_focal
from facetrack.measures.smoothing import runs_of
from facetrack.tracks import Tracks

POSE = ("pose_Tx", "pose_Ty", "pose_Tz", "pose_Rx", "pose_Ry", "pose_Rz")
EYES = {"r": (36, 37, 38, 39, 40, 41), "l": (45, 44, 43, 42, 47, 46)}
"""Each eye from its outer corner along the upper lid to the inner one, and back."""
BROWS = {"r": range(17, 22), "l": range(22, 27)}
LIP_CORNERS = {"r": 48, "l": 54}
INNER_LIPS = (61, 62, 63, 65, 66, 67)
OPEN_PERCENTILE = 95.0
"""Percentile of a person's valid openings that counts as the open eye."""
MAX_HIDDEN_SECONDS = 0.6
"""Longest time for which hidden lids count as lids in a blink."""
MIN_OPEN_FRAMES = 5
"""Number of valid frames from which there is an open eye to compare with."""
MAX_YAW, MAX_PITCH = 45.0, 40.0
"""Range of the pose, in degrees, in which measures are valid."""
MAX_SYMMETRY_YAW, MAX_SYMMETRY_PITCH = 30.0, 30.0
"""Range of the pose in which asymmetries are valid."""
MIN_SYMMETRY_OPENING = 0.3
"""Share of the open eye that the mean of both eyes must exceed for an asymmetry of the eyes."""


@dataclass(frozen=True)
class Measure:
    """Name, unit and meaning of a measure."""

    name: str
    unit: str
    title: str


MEASURES = (
    Measure("pose_Tx", "mm", "head to the right of the image"),
    Measure("pose_Ty", "mm", "head downwards"),
    Measure("pose_Tz", "mm", "distance from the camera"),
    Measure("pose_Rx", "rad", "pitch, positive downwards"),
    Measure("pose_Ry", "rad", "yaw, positive to the left of the image"),
    Measure("pose_Rz", "rad", "roll, positive clockwise"),
    Measure("eye_r", "", "aspect ratio of the right eye"),
    Measure("eye_l", "", "aspect ratio of the left eye"),
    Measure("eye_r_open", "", "share of the right eye's own open state"),
    Measure("eye_l_open", "", "share of the left eye's own open state"),
    Measure("mouth_open", "% IOD", "gap of the inner lips"),
    Measure("mouth_width", "% IOD", "distance of the mouth corners"),
    Measure("lip_corner_r", "% IOD", "right mouth corner below the line through the eyes"),
    Measure("lip_corner_l", "% IOD", "left mouth corner below the line through the eyes"),
    Measure("brow_r", "% IOD", "right brow above the line through the eyes"),
    Measure("brow_l", "% IOD", "left brow above the line through the eyes"),
    Measure("eye_asymmetry", "", "(right - left) / (right + left) of the lids' gap"),
    Measure("lip_corner_asymmetry", "", "(right - left) / (right + left) of the lip corners"),
    Measure("brow_asymmetry", "", "(right - left) / (right + left) of the brows"),
    Measure("mouth_velocity", "% IOD/s", "velocity of the mouth's opening"),
)
"""The measures in the order of their columns."""
NAMES = tuple(measure.name for measure in MEASURES)


@dataclass(frozen=True)
class FaceMeasures:
    """Measures of one face over T frames.

    Attributes:
        face_id: identity of the face.
        frames: (T,) index of each frame in the decoded video.
        time: (T,) seconds.
        values: each measure (T,), NaN where it is not valid, by name.
        poses: of the head.
        focal: focal length in pixels.
        eye_distance: inter-ocular distance in mm of the 3-D face, the unit of distances; NaN
            without a valid frame.
        lids: the eyes' openings (T,) by side, "r" and "l", as shares of the open eye. Other than
            the measures, they are known where lids are hidden for a short time, as in a blink.
    """

    face_id: int
    frames: np.ndarray
    time: np.ndarray
    values: dict[str, np.ndarray]
    poses: Poses
    focal: float
    eye_distance: float
    lids: dict[str, np.ndarray]


def measure(tracks: Tracks, model: Face3d, focal: float | None = None) -> list[FaceMeasures]:
    """Measure every face of a video.

    Args:
        tracks: of the whole video, in a layout that has the 68 points.
        model: the 3-D face.
        focal: focal length in pixels; None for OpenFace's rule.

    Raises:
        FacetrackError: the layout lacks the 68 points, or the size of the frames is not known.
    """
    xy, seen = points_68(tracks)
    if min(tracks.size) < 1:
        raise FacetrackError("Measures need the size of the frames, which is not known.")
    check_focal(focal)
    camera = choose_camera(xy, seen, tracks.size, focal, model)
    return [
        _measure_face(int(face), tracks, xy[:, index], seen[:, index], camera, model)
        for index, face in enumerate(tracks.face_id)
    ]


def has_measures(scheme: str) -> bool:
    """Return whether a layout has the 68 points that measures need."""
    try:
        schemes.index_map(scheme, SCHEME)
    except FacetrackError:
        return False
    return True


def points_68(tracks: Tracks, user: str = "Measures") -> tuple[np.ndarray, np.ndarray]:
    """Return the 68 points (T, F, 68, 2) of tracks, and which are seen (T, F, 68).

    Args:
        tracks: in a layout that has the 68 points.
        user: what needs the points, for the error's sentence.

    Raises:
        FacetrackError: the layout lacks them.
    """
    indices = map_to_68(tracks.scheme, user)
    xy = tracks.xy[:, :, indices].astype(float)
    return xy, tracks.visible[:, :, indices] & np.isfinite(xy).all(-1)


def map_to_68(scheme: str, user: str = "Measures") -> list[int]:
    """Return the indices of the 68 points in a layout.

    Args:
        scheme: the layout.
        user: see `points_68`.

    Raises:
        FacetrackError: the layout lacks them.
    """
    try:
        return list(schemes.index_map(scheme, SCHEME))
    except FacetrackError as error:
        raise FacetrackError(
            f"{user} need the 68 points of 300-W or the 98 of WFLW, not {scheme}."
        ) from error


def _measure_face(
    face_id: int,
    tracks: Tracks,
    xy: np.ndarray,
    seen: np.ndarray,
    camera: Camera,
    model: Face3d,
) -> FaceMeasures:
    poses = track_head(xy, seen, camera, model)
    places = points_on_head(xy, poses, camera)
    usable, frontal = _in_range(poses)

    def where_seen(values: np.ndarray, points: Sequence[int], valid: np.ndarray) -> np.ndarray:
        return np.where(valid & seen[:, list(points)].all(1), values, np.nan)

    eye_distance = inter_ocular_distance(places, seen, poses)
    unit = 100 / eye_distance
    values: dict[str, np.ndarray] = {}
    for index, name in enumerate(POSE[:3]):
        values[name] = poses.translation[:, index]
    for index, name in enumerate(POSE[3:]):
        values[name] = poses.angles[:, index]
    height = _heights(places)
    gaps, shares, lids = {}, {}, {}
    for side, eye in EYES.items():
        gap = _lid_gap(height, eye)
        width = _distance(places, eye[0], eye[3])
        values[f"eye_{side}"] = where_seen(gap / np.maximum(width, 1e-6), eye, usable)
        gaps[side] = where_seen(gap * unit, eye, usable)
        shares[side] = share_of_open(values[f"eye_{side}"])
        shown = _shown_or_shortly_hidden(np.asarray(seen[:, list(eye)].all(1)), tracks.time)
        lids[side] = _shares(np.where(usable & shown, gap, np.nan), gaps[side] / unit)
    for side, share in shares.items():
        values[f"eye_{side}_open"] = share
    inner = np.mean([_distance(places, a, b) for a, b in ((61, 67), (62, 66), (63, 65))], axis=0)
    values["mouth_open"] = where_seen(inner * unit, INNER_LIPS, usable)
    values["mouth_width"] = where_seen(_distance(places, 48, 54) * unit, (48, 54), usable)
    anchors = (36, 39, 42, 45)
    for side, point in LIP_CORNERS.items():
        below = -height[:, point] * unit
        values[f"lip_corner_{side}"] = where_seen(below, (point, *anchors), usable)
    for side, points in BROWS.items():
        above = height[:, list(points)].mean(1) * unit
        values[f"brow_{side}"] = where_seen(above, (*points, *anchors), usable)
    with np.errstate(invalid="ignore"):
        both_open = (shares["r"] + shares["l"]) / 2 >= MIN_SYMMETRY_OPENING
    values["eye_asymmetry"] = _asymmetry(gaps["r"], gaps["l"], frontal & both_open)
    for name in ("lip_corner", "brow"):
        values[f"{name}_asymmetry"] = _asymmetry(values[f"{name}_r"], values[f"{name}_l"], frontal)
    values["mouth_velocity"] = velocity(values["mouth_open"], tracks.time)
    return FaceMeasures(
        face_id, tracks.frames, tracks.time, values, poses, camera.focal, eye_distance, lids
    )


def _in_range(poses: Poses) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames (T,) in which measures are valid, and those in which asymmetries are."""
    pitch, yaw, _ = np.abs(np.degrees(poses.angles.T))
    usable = poses.known & (yaw <= MAX_YAW) & (pitch <= MAX_PITCH)
    return usable, usable & (yaw <= MAX_SYMMETRY_YAW) & (pitch <= MAX_SYMMETRY_PITCH)


def inter_ocular_distance(places: np.ndarray, seen: np.ndarray, poses: Poses) -> float:
    """Return the distance between a person's outer eye corners in mm, NaN if they are never seen.

    It is the median over frames that show the face from the front, else over all valid frames.

    Args:
        places: (T, 68, 2 or 3) points on the head in mm; see `points_on_head`.
        seen: (T, 68) bool.
        poses: of the frames.
    """
    distance = np.where(seen[:, list(OUTER_EYE_CORNERS)].all(1), _distance(places, 36, 45), np.nan)
    for valid in reversed(_in_range(poses)):
        known = distance[valid & np.isfinite(distance)]
        if len(known):
            return float(np.median(known))
    return float("nan")


def _shown_or_shortly_hidden(shown: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Return frames (T,) in which lids are seen, or hidden for at most MAX_HIDDEN_SECONDS."""
    result = shown.copy()
    for gap in runs_of(~shown):
        before, after = max(gap.start - 1, 0), min(gap.stop, len(time) - 1)
        if time[after] - time[before] <= MAX_HIDDEN_SECONDS:
            result[gap] = True
    return result


def share_of_open(opening: np.ndarray) -> np.ndarray:
    """Divide an eye's openings (T,) by its open state; NaN if that is not known."""
    return _shares(opening, opening)


def _shares(opening: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Divide openings (T,) by the open state of reference openings."""
    valid = reference[np.isfinite(reference)]
    open_state = float(np.percentile(valid, OPEN_PERCENTILE)) if len(valid) else 0.0
    if len(valid) < MIN_OPEN_FRAMES or open_state <= 0:
        return np.full_like(opening, np.nan)
    return np.asarray(opening / open_state)


def velocity(values: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Return the derivative (T,) by the frames' true times, from both neighbours.

    NaN where a neighbour is not known, or times do not increase.
    """
    result = np.full(len(values), np.nan)
    if len(values) > 2:
        before, after = np.diff(time)[:-1], np.diff(time)[1:]
        with np.errstate(divide="ignore", invalid="ignore"):
            left, right = np.diff(values)[:-1] / before, np.diff(values)[1:] / after
            middle = (left * after + right * before) / (before + after)
        result[1:-1] = np.where((before > 0) & (after > 0), middle, np.nan)
    return result


def _asymmetry(right: np.ndarray, left: np.ndarray, valid: np.ndarray) -> np.ndarray:
    total = right + left
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(valid & (total > 0), (right - left) / total, np.nan)


def _distance(places: np.ndarray, first: int, second: int) -> np.ndarray:
    """Return the distance (T,) of two points in the frontal view, in mm."""
    return np.asarray(np.linalg.norm(places[:, first, :2] - places[:, second, :2], axis=-1))


def _lid_gap(height: np.ndarray, eye: Sequence[int]) -> np.ndarray:
    """Return the gap (T,) between an eye's lids, across the line through the eyes.

    Distances of the points would be larger in one eye than in the other on a turned head: where the
    person's 3-D face has one lid too far in front, yaw shifts this lid sideways, away from the
    other in one eye and towards it in the other eye.

    Args:
        height: (T, 68) of the points, in the unit of the result.
        eye: its points, as in EYES.
    """
    upper, lower = height[:, [eye[1], eye[2]]], height[:, [eye[4], eye[5]]]
    return np.asarray(np.maximum((upper - lower).mean(1), 0))


def _heights(places: np.ndarray) -> np.ndarray:
    """Return the heights (T, 68) of points above the line through the eyes, in mm.

    The line runs through the middles between the corners of each eye.
    """
    right = places[:, [36, 39], :2].mean(1)
    left = places[:, [42, 45], :2].mean(1)
    along = left - right
    along = along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    off = places[..., :2] - right[:, None]
    # The y axis points down.
    return np.asarray(off[..., 0] * along[:, None, 1] - off[..., 1] * along[:, None, 0])
