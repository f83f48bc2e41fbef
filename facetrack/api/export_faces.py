"""Write the frames that a person has corrected as faces to train detectors on.

The folder is as `facetrack train detector --faces` wants it: square crops (.jpg), and
`landmarks68.npz` with `names` and `points`.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facetrack.api.export import digests_of, refuse_changed
from facetrack.api.ownership import foreign, refuse_inputs
from facetrack.api.recorded import present_video
from facetrack.api.staging import new_names, publish, staged
from facetrack.corrections.frames import FrameStore
from facetrack.errors import FacetrackError, OutputError
from facetrack.files import read_json, sha256_of
from facetrack.formats.earlier_runs import SavedRun
from facetrack.record import environment, write_record
from facetrack.tracks import Tracks

RECORD = "faces.json"
SIDE_PER_FACE = 1.7
"""Side of a crop in lengths of the face's box, as in the crops behind the present networks."""
MAX_SIDE = 512
"""Largest side of a crop in pixels; larger ones are reduced."""
QUALITY = 95
CONFIDENT = 0.8
"""Mean confidence of a face's points from which on a frame counts that nobody has corrected."""


@dataclass(frozen=True)
class ExportedFaces:
    """The result: the folder, its record, and the numbers of faces.

    Attributes:
        corrected: faces that a person has corrected.
        between: faces in further frames.
    """

    folder: Path
    record: Path
    corrected: int
    between: int


@dataclass(frozen=True)
class _Face:
    name: str
    frame: int
    column: int
    is_corrected: bool


def export_faces(
    runs: Sequence[SavedRun],
    folder: Path,
    every: int | None = None,
    overwrite: bool = False,
) -> ExportedFaces:
    """Write the corrected faces of runs: all files, or none.

    Args:
        runs: with corrections.
        folder: output folder; one of an earlier export is replaced.
        every: also write each so many frames of what was tracked again, where the points are sure;
            None for corrected frames only.
        overwrite: replace files that facetrack did not write, or that were changed since.

    Raises:
        FacetrackError: a run has no corrections, or a file cannot be read or written.
    """
    layouts: set[str] = set()
    names: list[str] = []
    points: list[np.ndarray] = []
    counts = {True: 0, False: 0}
    sources = []
    former = _former(folder, overwrite)
    with staged(folder) as place:
        for run in runs:
            record = {} if run.record is None else read_json(run.record) or {}
            tracks, video = run.read(), present_video(record, run.table.parent)
            layouts.add(tracks.scheme)
            faces = list(_choose(run, tracks, record, every))
            frames = FrameStore(video, tracks)
            for face in faces:
                if face.name in names:
                    raise FacetrackError(f"Two runs are called {run.stem}: export them apart.")
                row = (face.frame - tracks.first_frame) // tracks.stride
                xy = tracks.xy[row, face.column].astype(np.float64)
                points.append(write_crop(frames.frame(face.frame).image, xy, place / face.name))
                names.append(face.name)
                counts[face.is_corrected] += 1
            sources.append({"table": str(run.table), "sha256": sha256_of(run.table)})
        if len(layouts) > 1:
            raise FacetrackError("The runs have points of several layouts: export them apart.")
        table = place / f"landmarks{layouts.pop()}.npz"
        np.savez(table, names=np.array(names), points=np.array(points, np.float32))
        finals = [folder / name for name in new_names(place)]
        for run in runs:
            refuse_inputs(finals, {"table of a run": run.table})
        for path in [] if overwrite else finals:
            refuse_changed(path, former.get(path.name, {}))
        content = {
            "faces": {
                "runs": sources,
                "every": every,
                "corrected": counts[True],
                "between": counts[False],
                "files": digests_of(place, [path.name for path in finals]),
            }
        }
        write_record(place / RECORD, {**environment(), **content})
        publish(place, [*finals, folder / RECORD])
        for name in former.keys() - {path.name for path in finals}:
            with contextlib.suppress(FacetrackError, OSError):
                refuse_changed(folder / name, former[name])
                (folder / name).unlink()
    return ExportedFaces(folder, folder / RECORD, counts[True], counts[False])


def _former(folder: Path, overwrite: bool) -> dict[str, dict[str, str]]:
    """Return the files that an earlier export has written, with their SHA-256."""
    path = folder / RECORD
    content = read_json(path)
    entry = content.get("faces") if isinstance(content, dict) else None
    files = entry.get("files") if isinstance(entry, dict) else None
    if isinstance(files, dict):
        # Only names that an export gives: a record may be edited.
        return {name: {name: digest} for name, digest in files.items() if _is_own(name)}
    if os.path.lexists(path) and not overwrite:
        raise foreign(path)
    return {}


def _is_own(name: str) -> bool:
    return re.fullmatch(r"[\w.-]+\.face\d+\.\d{6,}\.jpg|landmarks[\w-]+\.npz", name) is not None


def _choose(
    run: SavedRun, tracks: Tracks, record: Mapping[str, Any], every: int | None
) -> Iterator[_Face]:
    """Yield the faces of a run to write, frame by frame.

    Raises:
        FacetrackError: nobody has corrected any.
    """
    corrected = tracks.corrected
    if corrected is None or not corrected.any():
        raise FacetrackError(
            f"{run.table} has no corrected points: save them on the page of facetrack edit first."
        )
    whole = np.isfinite(tracks.xy).all((-1, -2))
    by_hand = corrected.any(-1) & whole
    sure = whole & (np.nan_to_num(tracks.confidence).mean(-1) >= CONFIDENT)
    wanted = by_hand.copy()
    if every is not None:
        wanted |= (
            _tracked_again(tracks, record) & sure & (np.arange(len(tracks)) % every == 0)[:, None]
        )
    stem = re.sub(r"[^\w.-]", "_", run.stem)
    for row, column in np.argwhere(wanted).tolist():
        frame, face = int(tracks.frames[row]), int(tracks.face_id[column])
        yield _Face(f"{stem}.face{face}.{frame:06d}.jpg", frame, column, bool(by_hand[row, column]))


def _tracked_again(tracks: Tracks, record: Mapping[str, Any]) -> np.ndarray:
    """Return (T, F) bool, the faces that were tracked again from a corrected frame."""
    found = np.zeros(tracks.xy.shape[:2], bool)
    entry = record.get("corrections")
    spans = entry.get("tracked_again", []) if isinstance(entry, Mapping) else []
    for span in spans:
        rows = (tracks.frames >= span["first_frame"]) & (tracks.frames <= span["last_frame"])
        found |= rows[:, None] & (tracks.face_id == span["face_id"])
    return found


def write_crop(image: np.ndarray, xy: np.ndarray, path: Path) -> np.ndarray:
    """Write the square around a face; return the points (N, 2) in it."""
    low, high = xy.min(0), xy.max(0)
    side = max(8, round(float((high - low).max()) * SIDE_PER_FACE))
    # By pixel centres: the crop's corner (-0.5, -0.5) is the square's.
    offset = (side - 1) / 2 - (low + high) / 2
    matrix = np.array([[1, 0, offset[0]], [0, 1, offset[1]]])
    method, beyond = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    crop = cv2.warpAffine(image, matrix, (side, side), flags=method, borderMode=beyond)
    xy = xy + offset
    if side > MAX_SIDE:
        crop = cv2.resize(crop, (MAX_SIDE, MAX_SIDE), interpolation=cv2.INTER_AREA)
        xy = (xy + 0.5) * MAX_SIDE / side - 0.5
    done, data = cv2.imencode(".jpg", crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise OutputError(f"{path} cannot be written.")
    path.write_bytes(data.tobytes())
    return xy
