"""Place landmarks in further query frames, and find out whose they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from facetrack.corrections.frames import FrameStore
from facetrack.corrections.resolve import Placement
from facetrack.errors import FacetrackError
from facetrack.landmarks.geometry import faces_overlap
from facetrack.multiface.detection import DetectedFace, FaceLandmarker
from facetrack.pipeline.query_frame import Query
from facetrack.tracks import Tracks


def find_placements(
    tracks: Tracks,
    query: Query,
    frames_wanted: Sequence[int],
    landmarker: FaceLandmarker,
    frames: FrameStore,
    max_faces: int | None,
) -> list[Placement]:
    """Return the landmarks of all query frames.

    A detected face is the tracked face at its place; where none is tracked, a face that is not
    tracked in the frame.

    Args:
        tracks: from the first query frame.
        query: the first query frame.
        frames_wanted: indices of the further ones.
        landmarker: detects faces.
        frames: reads the video.
        max_faces: largest number of faces in a frame; None for all.

    Raises:
        FacetrackError: a frame is not among those tracked, or no face is found in it.
    """
    first = [
        DetectedFace(np.zeros(4), xy, np.ones(len(xy)), visible)
        for xy, visible in zip(query.placed, query.visibilities, strict=True)
    ]
    placements = list(_assign(tracks, query.frame.index, first, max_faces))
    for index in frames_wanted:
        row, rest = divmod(index - tracks.first_frame, tracks.stride)
        if rest or not 0 <= row < len(tracks):
            raise FacetrackError(
                f"Frame {index} is not among those tracked: choose another --query-frame."
            )
        found = landmarker.find(frames.frame(index).image, max_faces, thorough=True)
        if not found:
            raise FacetrackError(
                f"No face was found in frame {index} of {frames.video}: choose another "
                "--query-frame."
            )
        placements += _assign(tracks, index, found, max_faces)
    return placements


def _assign(
    tracks: Tracks, index: int, found: Iterable[DetectedFace], max_faces: int | None
) -> Iterable[Placement]:
    row = (index - tracks.first_frame) // tracks.stride
    faces = [int(face) for face in tracks.face_id]
    free = set(faces)
    placed = tracks.xy[row]
    present = {face for k, face in enumerate(faces) if np.isfinite(placed[k]).all(-1).any()}
    for face in found:
        near = [f for f in sorted(free & present) if faces_overlap(face.xy, placed[faces.index(f)])]
        distance = {f: _distance(face.xy, placed[faces.index(f)]) for f in near}
        if near:
            chosen = min(near, key=distance.__getitem__)
        elif max_faces == 1 and present:
            continue  # another person than the one who is tracked
        else:
            absent = sorted(free - present)
            chosen = absent[0] if absent else max(faces, default=-1) + 1
        free.discard(chosen)
        if chosen not in faces:
            faces.append(chosen)
        seen = np.ones(len(face.xy), bool) if face.visible is None else face.visible >= 0.5
        yield Placement(row, chosen, face.xy.astype(np.float32), seen)


def _distance(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.linalg.norm(np.nanmean(one, 0) - np.nanmean(two, 0)))
