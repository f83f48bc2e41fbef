"""Evaluate predicted landmarks against annotated ones.

Faces are matched by the stem of their image's name. A frame of a tracked video is named
`<stem>_<frame>`, with six digits, as the files of `--format pts`.
"""

from __future__ import annotations

import csv
import functools
import itertools
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.evaluation import metrics
from facetrack.files import not_found
from facetrack.formats.csv import read_csv
from facetrack.formats.npz import read_npz, refuse_zip_bombs
from facetrack.images.writer import parse_header
from facetrack.landmarks import schemes
from facetrack.landmarks.point_files import read_points
from facetrack.measures.coordinates import PIXELS
from facetrack.tables import read_rows
from facetrack.tracks import Tracks
from facetrack.tracks import column_names as track_header

# Suffixes by which detect and track number the faces of an image in names of .pts files.
_NUMBERED = re.compile(r"(.+?)(\.\d+|_face\d+)")
CURVE_SUFFIXES = (".png", ".svg")

Faces = dict[str, list[np.ndarray]]
"""The faces (N, 2) of each image, by the image's stem; an empty list if none was found."""


@dataclass(frozen=True)
class Evaluation:
    """Errors of M matched faces.

    Attributes:
        names: stems of the images.
        scheme: the layout of the comparison.
        nme_ic, nme_box, nme_diag: (M,) per cent, NaN if a landmark was not found; `nme_ic` is
            NaN throughout for a layout without eye corners. See `facetrack.evaluation.metrics`.
        has_corners: (M,) bool, whether the outer eye corners are annotated, whose distance is the
            unit of `nme_ic`.
        regions: mean error of each region of the face, in per cent of the distance between the
            outer eye corners.
        only_predicted, only_annotated: stems of images that only one side contains.
    """

    names: tuple[str, ...]
    scheme: schemes.Scheme
    nme_ic: np.ndarray
    nme_box: np.ndarray
    nme_diag: np.ndarray
    has_corners: np.ndarray
    regions: Mapping[str, float]
    only_predicted: tuple[str, ...]
    only_annotated: tuple[str, ...]

    @property
    def failed(self) -> int:
        """Number of faces with a missing landmark."""
        return int(np.isnan(self.nme_box).sum())

    @property
    def counted_ic(self) -> np.ndarray:
        """`nme_ic` of the faces for which it can be known, for rates: NaN is a failure there."""
        return self.nme_ic[self.has_corners]

    @property
    def without_corners(self) -> int:
        """Number of faces that have no `nme_ic` although the layout has eye corners."""
        return 0 if self.scheme.eye_corners is None else int((~self.has_corners).sum())

    def summary(self) -> dict[str, Any]:
        """Return all metrics for JSON: fractions in [0, 1], NMEs in per cent, None if unknown."""
        figures = {
            "nme_ic": metrics.mean_nme(self.nme_ic),
            "nme_box": metrics.mean_nme(self.nme_box),
            "nme_diag": metrics.mean_nme(self.nme_diag),
            "fr_10": metrics.failure_rate(self.counted_ic),
            "auc_10": metrics.auc(self.counted_ic, metrics.AUC_IC),
            "auc_box_7": metrics.auc(self.nme_box, metrics.AUC_BOX),
        }
        return {
            "faces": len(self.names),
            "failed": self.failed,
            "without_corners": self.without_corners,
            "scheme": self.scheme.name,
            **{name: _known(value) for name, value in figures.items()},
            "regions": {name: _known(value) for name, value in self.regions.items()},
            "only_predicted": len(self.only_predicted),
            "only_annotated": len(self.only_annotated),
        }


def read_faces(path: Path, stem: bool = True) -> Faces:
    """Read the landmarks in a folder of `.pts` files, a `.npz` or a `.csv`.

    Args:
        path: `.pts` files have the names of their images; an `.npz` contains `names` (M,) and
            `points` (M, N, 2) in pixels (pixel centres), or facetrack's tracks; a CSV comes from
            `facetrack detect` or `track`.
        stem: include the file's stem in the names of a video's frames.

    Raises:
        FacetrackError: the file does not exist, or it contains no landmarks.
    """
    path = Path(path)
    if os.path.isdir(path):
        return _read_folder(path)
    if not os.path.isfile(path):
        raise not_found(path)
    if path.suffix.lower() == ".npz":
        named = _read_named(path)
        return _of_tracks(read_npz(path), path, stem) if named is None else named
    if path.suffix.lower() == ".csv":
        if is_tracks(path):
            return _of_tracks(read_csv(path), path, stem)
        return _read_images(path)
    raise FacetrackError(f"{path} is neither a folder of .pts files, a .npz nor a .csv.")


def is_tracks(path: Path) -> bool:
    """Return True if a file contains the tracks of a video rather than named images."""
    if path.suffix.lower() == ".npz" and os.path.isfile(path):
        return _read_named(path) is None
    if path.suffix.lower() == ".csv" and os.path.isfile(path):
        first = _rows(path, 1)[0]
        return first[:1] == track_header(1)[:1]
    return False


def evaluate(predicted: Path, annotated: Path) -> Evaluation:
    """Compare predictions with ground truth.

    If several faces were found in an image, the one nearest to the annotated face counts. 98
    predicted landmarks are compared with 68 annotated ones by the published index map.

    Args:
        predicted, annotated: sources for `read_faces`.

    Raises:
        FacetrackError: a source cannot be read, they share no image, or their layouts differ.
    """
    # Two files about the same video may have different names; their frames are the same.
    stem = not (is_tracks(Path(predicted)) and is_tracks(Path(annotated)))
    predictions, truth = read_faces(predicted, stem), read_faces(annotated, stem)
    several = [name for name, faces in truth.items() if len(faces) > 1]
    if several:
        raise FacetrackError(
            f"{annotated} has {len(truth[several[0]])} faces of {several[0]}: one is expected."
        )
    # An image annotated as empty, or by one point alone, has nothing to compare.
    truth = {
        name: faces
        for name, faces in truth.items()
        if faces and metrics.has_unit(metrics.nme_box, faces[0])
    }
    predictions = _regrouped(predictions, truth)
    names = sorted(truth.keys() & predictions.keys())
    if not names:
        raise FacetrackError(
            f"{predicted} and {annotated} share no image: names are compared without their "
            "extension."
        )
    true_points = _stacked({name: truth[name][0] for name in names}, annotated)
    scheme = schemes.for_count(true_points.shape[1])
    predicted_points = np.full(true_points.shape, np.nan)
    for i, name in enumerate(names):
        faces = [_fitted(face, scheme, predicted) for face in predictions[name]]
        if faces:
            predicted_points[i] = _nearest(faces, true_points[i])
    nme_ic, has_corners = np.full(len(names), np.nan), np.zeros(len(names), bool)
    if scheme.eye_corners is not None:
        by_corners = functools.partial(metrics.nme_ic, eye_corners=scheme.eye_corners)
        nme_ic = by_corners(predicted_points, true_points)
        has_corners = metrics.has_unit(by_corners, true_points)
    return Evaluation(
        names=tuple(names),
        scheme=scheme,
        nme_ic=nme_ic,
        nme_box=metrics.nme_box(predicted_points, true_points),
        nme_diag=metrics.nme_diag(predicted_points, true_points),
        has_corners=has_corners,
        regions=_regions(predicted_points, true_points, scheme),
        only_predicted=tuple(sorted(predictions.keys() - truth.keys())),
        only_annotated=tuple(sorted(truth.keys() - predictions.keys())),
    )


def cumulative(nme: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the cumulative error curve of NMEs (M,).

    Returns:
        Errors from 0 to `limit`, and the fraction of faces with at most this error; one step per
        face.
    """
    known = np.sort(nme[np.isfinite(nme)])
    known = known[known <= limit]
    share = np.arange(len(known) + 1) / max(len(nme), 1)
    errors = np.concatenate([[0.0], known, [limit]])
    return errors, np.concatenate([share, share[-1:]])


def plot_curve(evaluation: Evaluation, path: Path) -> None:
    """Draw the cumulative error curve into a `.png` or `.svg`.

    Raises:
        FacetrackError: matplotlib is not installed, or the path has another suffix.
    """
    from facetrack.files import atomic_path

    path = Path(path)
    if path.suffix.lower() not in CURVE_SUFFIXES:
        raise FacetrackError(f"{path}: the curve is drawn as {' or '.join(CURVE_SUFFIXES)}.")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise FacetrackError(
            "Drawing the curve needs matplotlib: pip install 'facetrack[plots]'."
        ) from error
    corners = evaluation.scheme.eye_corners is not None
    nme, limit, of = (
        (evaluation.counted_ic, metrics.AUC_IC, "distance between the outer eye corners")
        if corners
        else (evaluation.nme_box, metrics.AUC_BOX, "size of the box around the face")
    )
    errors, share = cumulative(nme, limit)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.step(errors, share, where="post", label=f"AUC {metrics.auc(nme, limit):.3f}")
    axes.set(xlim=(0, limit), ylim=(0, 1), xlabel=f"error, % of the {of}", ylabel="share of faces")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    mark = {"Creator" if path.suffix.lower() == ".svg" else "Software": "facetrack"}
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, metadata=mark)


# ---------------------------------------------------------------- reading


def _read_folder(path: Path) -> Faces:
    files = sorted(p for p in path.iterdir() if p.suffix.lower() == ".pts")
    if not files:
        raise FacetrackError(f"{path} holds no .pts files.")
    return {file.stem: [read_points(file).astype(float)] for file in files}


def _read_named(path: Path) -> Faces | None:
    """Read the faces of an `.npz` with names and points; None if it has none."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            refuse_zip_bombs(data)
            if not {"names", "points"} <= set(data.files):
                return None
            names, points = data["names"].tolist(), np.asarray(data["points"], float)
    except Exception as error:
        # numpy raises many types of errors at damaged archives.
        raise FacetrackError(f"{path} is damaged or not an .npz file.") from error
    if points.ndim != 3 or points.shape[::2] != (len(names), 2):
        raise FacetrackError(f"{path}: points must be (names, N, 2), not {points.shape}.")
    stems = [PurePosixPath(str(name)).stem for name in names]
    _check_distinct(path, dict(zip(map(str, names), stems, strict=True)))
    return {stem: [face] for stem, face in zip(stems, points, strict=True)}


def _of_tracks(tracks: Tracks, path: Path, stem: bool) -> Faces:
    prefix = f"{path.stem}_" if stem else ""
    return {
        f"{prefix}{frame:06d}": [face.astype(float) for face in faces if np.isfinite(face).any()]
        for frame, faces in zip(tracks.frames.tolist(), tracks.xy, strict=True)
    }


def _read_images(path: Path) -> Faces:
    """Read the faces of a table of `facetrack detect`."""
    rows = _rows(path)
    columns = parse_header(rows[0])
    if columns is None:
        raise FacetrackError(f"{path} is not a facetrack CSV: its first row is not the header.")
    points, coordinates, _ = columns
    if coordinates != PIXELS:
        raise FacetrackError(
            f"{path} has {coordinates} coordinates: use a table with --coordinates pixels."
        )
    faces: Faces = {}
    stems: dict[str, str] = {}
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(rows[0]):
            raise FacetrackError(
                f"{path}: row {number} has {len(row)} cells, the header {len(rows[0])}."
            )
        stems[row[0]] = PurePosixPath(row[0].replace("\\", "/")).stem
        image_faces = faces.setdefault(stems[row[0]], [])
        try:
            cells = row[3 : 3 + 2 * points]
            xy = np.array([float(cell or "nan") for cell in cells]).reshape(2, points).T
        except ValueError as error:
            raise FacetrackError(f"{path}: row {number} holds no numbers ({error}).") from None
        if np.isfinite(xy).any():
            image_faces.append(xy)
    _check_distinct(path, stems)
    return faces


def _rows(path: Path, max_rows: int | None = None) -> list[list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(itertools.islice(read_rows(file), max_rows))
    except OSError as error:
        raise FacetrackError(f"{path} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, csv.Error):
        raise FacetrackError(f"{path} is not a CSV file.") from None
    if not rows:
        raise FacetrackError(f"{path} is empty.")
    return rows


def _check_distinct(path: Path, stems: Mapping[str, str]) -> None:
    """Raise FacetrackError if two images share a stem, which identifies them in the matching."""
    seen: dict[str, str] = {}
    for name, stem in stems.items():
        if seen.setdefault(stem, name) != name:
            raise FacetrackError(
                f"{path} has both {seen[stem]} and {name}, which cannot be distinguished by stem."
            )


# ---------------------------------------------------------------- comparing


def _regrouped(found: Faces, truth: Faces) -> Faces:
    """Merge the faces of an image that lie in several numbered files."""
    grouped: Faces = {}
    for name, faces in found.items():
        numbered = _NUMBERED.fullmatch(name)
        image = numbered[1] if numbered and name not in truth and numbered[1] in truth else name
        grouped.setdefault(image, []).extend(faces)
    return grouped


def _stacked(faces: Mapping[str, np.ndarray], path: Path) -> np.ndarray:
    """Stack faces that all have N landmarks to (M, N, 2)."""
    counts = {len(face): name for name, face in faces.items()}
    if len(counts) > 1:
        (count_a, a), (count_b, b) = sorted(counts.items())[:2]
        raise FacetrackError(f"{path} has {count_a} landmarks in {a} but {count_b} in {b}.")
    return np.stack(list(faces.values()))


def _fitted(face: np.ndarray, scheme: schemes.Scheme, path: Path) -> np.ndarray:
    """Convert the landmarks of a face to the layout of the ground truth."""
    if len(face) == 98 and scheme.count == 68:
        return schemes.map_98_to_68(face)
    if len(face) != scheme.count:
        raise FacetrackError(
            f"{path} has faces of {len(face)} landmarks, the ground truth of {scheme.count}."
        )
    return face


def _nearest(faces: Sequence[np.ndarray], truth: np.ndarray) -> np.ndarray:
    return min(faces, key=lambda face: _distance(face, truth))


def _distance(face: np.ndarray, truth: np.ndarray) -> float:
    distance = np.linalg.norm(face - truth, axis=-1)
    known = distance[np.isfinite(distance)]
    return float(known.mean()) if len(known) else math.inf


def _regions(predicted: np.ndarray, truth: np.ndarray, scheme: schemes.Scheme) -> dict[str, float]:
    if scheme.eye_corners is None:
        return {}
    right, left = scheme.eye_corners
    scale = np.linalg.norm(truth[:, left] - truth[:, right], axis=-1)
    error = (
        100
        * np.linalg.norm(predicted - truth, axis=-1)
        / np.where(scale > 0, scale, np.nan)[:, None]
    )
    means = {}
    for name, index in scheme.regions.items():
        region_error = error[:, list(index)]
        known = region_error[np.isfinite(region_error)]
        means[name] = float(known.mean()) if len(known) else math.nan
    return means


def _known(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
