"""Measure how points follow real expressions, compared with MediaPipe's face mesh.

    python -m venv MESH && MESH/bin/pip install "mediapipe==0.10.21" "numpy<2"
    python benchmarks/accuracy/expressions.py VIDEOS --mesh-python MESH/bin/python
        [--seconds 12] [--init star] [--clips GLOB] [--methods GLOB]
        [--detector-weights FILE] [--keep FOLDER]

Without --mesh-python, MediaPipe must be installed beside facetrack.

Real videos of faces that talk and smile have no ground truth. MediaPipe's mesh was trained
independently and has vertices on lips, eyelids and brows. A landmark that keeps its place on the
face keeps its offset from its vertex. The figures say by how much that offset changes through a
clip (root mean square, and 95th percentile), in per cent of the distance of the outer eye corners,
after removing rotation and scale of the face. Jaw and nose use the nearest vertices of the first
frame. The mesh has errors of its own, so no method reaches 0. Jitter is the mean second difference
of the points themselves, motion included, in the same unit.

The openings of eyes and mouth (in the same unit) are compared with the mesh's: the slope is the
share of a blink or a word that the points follow, and the correlation says how well they fit. Only
clips in which the mesh's eyes or mouth open and shut count.

Methods: tapir alone (`--no-expressions`), tapir with the expression networks (the default of
`facetrack track`), and the landmark detector on every frame. --detector-weights adds the last
method with other weights. Only clips in which all methods and MediaPipe have one face in nine
frames of ten count.

VIDEOS/blinks.json, if it exists, lists the frames in which eyes are shut (name of the clip: 0-based
peaks). `benchmarks.common.closures` defines the figures. These clips are tracked up to their last
closure.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.common.closures import Closures, estimate_delay, measure_closures, merge
from benchmarks.common.mesh_process import MeshProcess
from benchmarks.common.other_tools import MediaPipe
from facetrack.detectors import DetectorOptions
from facetrack.errors import FacetrackError
from facetrack.pipeline.options import Options
from facetrack.pipeline.runner import Pipeline
from facetrack.tracks import Tracks
from facetrack.video.reader import VideoReader, probe

RIGID_POINTS = [*range(27, 36), 36, 39, 42, 45]
"""Landmarks on the nose and the eye corners, which expressions hardly move."""
EVERY_FRAME = "detector on every frame"
METHODS = {
    "tapir alone": {"expressions": False},
    "tapir, guided": {},
    EVERY_FRAME: {"tracker": "per-frame"},
}
PARTS = {
    "jaw": range(0, 17),
    "brows": range(17, 27),
    "nose": range(27, 36),
    "eyes": range(36, 48),
    "mouth": range(48, 68),
}
BROWS = [70, 63, 105, 66, 107, 336, 296, 334, 293, 300]
EYES = [33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380]
OUTER_LIPS = [61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181]
INNER_LIPS = [78, 81, 13, 311, 308, 402, 14, 178]
MESH_VERTEX = dict(zip(range(17, 27), BROWS, strict=True))
MESH_VERTEX |= dict(zip(range(36, 68), EYES + OUTER_LIPS + INNER_LIPS, strict=True))
"""The mesh's vertex for each landmark that it has."""
OPENINGS = {
    "eyes": ([37, 38, 43, 44], [41, 40, 47, 46], 0.015),
    "mouth": ([62], [66], 0.02),
}
"""Upper and lower landmarks, and the standard deviation of the mesh's opening from which a clip
counts, in distances of the outer eye corners."""
MIN_FACE_SHARE = 0.9
"""Share of frames with a face from which a clip counts."""
MIN_JUDGED_SIZE = 50
"""Pixels between the outer eye corners from which the mesh is a judge of openings. On clips with 40
the mesh parts lips that are seen to be shut (`intel_asl_hungry.mkv`, frame 20)."""
SECONDS_AFTER_CLOSURE = 1.0
"""Seconds to track after the last annotated closure."""


class Method(NamedTuple):
    """A method to follow a face.

    Attributes:
        name: name in the tables.
        options: arguments of `facetrack.pipeline.options.Options`.
        weights: weights of the landmark detector; None for "auto".
    """

    name: str
    options: dict[str, Any]
    weights: Path | None = None


def select_methods(detector_weights: list[Path], pattern: str = "*") -> list[Method]:
    """Return the methods whose names match the pattern.

    Each file of `detector_weights` adds the detector on every frame with these weights.
    """
    selected = [Method(name, options) for name, options in METHODS.items()]
    selected += [
        Method(f"{EVERY_FRAME}, {path}", METHODS[EVERY_FRAME], path) for path in detector_weights
    ]
    return [method for method in selected if fnmatch.fnmatch(method.name, pattern)]


def detect_mesh(video: Path, seconds: float, python: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Detect MediaPipe's mesh in each frame.

    Returns:
        Vertices (T, V, 2) in pixels, NaN where no face is found, and the times (T,) since the first
        frame, in seconds.
    """
    if python is None:
        referee = MediaPipe()
        detect, close = functools.partial(referee.look, referee.mesh()), lambda: None
    else:
        process = MeshProcess(python)
        detect, close = process.detect, process.close
    times: list[float] = []
    found: list[np.ndarray | None] = []
    with VideoReader(video) as reader, contextlib.ExitStack() as stack:
        stack.callback(close)
        for frame in reader:
            if times and frame.time - times[0] >= seconds:
                break
            times.append(frame.time)
            found.append(detect(frame.image))
    shape = next((f.shape for f in found if f is not None), (478, 2))
    mesh = np.array([np.full(shape, np.nan) if f is None else f for f in found])
    return mesh, np.array(times) - times[0]


def track(video: Path, seconds: float, init: str, method: Method) -> np.ndarray:
    """Return the points (T, 68, 2) of the first face; NaN where it is unknown."""
    end = probe(video).start_time + seconds
    detector = DetectorOptions(weights=str(method.weights or "auto"))
    options = Options(init=init, end=end, detector_options=detector, **method.options)
    tracks = Tracks.concatenate(chunk.tracks for chunk in Pipeline(video, options).run())
    return np.asarray(tracks.xy[:, 0], float)


def without_other_faces(mesh: np.ndarray) -> np.ndarray:
    """Return a mesh (T, V, 2) with NaN while it lies on another face than at first.

    The mesh may jump to a bystander where it loses the face. It is on the face again where it is
    less than its own size from where it last was on it.
    """
    kept = mesh.copy()
    last: np.ndarray | None = None
    for t, vertices in enumerate(mesh):
        centre, size = vertices.mean(0), float(np.ptp(vertices, axis=0).max())
        if last is not None and np.linalg.norm(centre - last) > size:
            kept[t] = np.nan
        elif np.isfinite(centre).all():
            last = centre
    return kept


def point_drift(points: np.ndarray, mesh: np.ndarray) -> np.ndarray:
    """Return how far each point is from its median offset to its vertex (T, 68), in per cent."""
    whole = np.isfinite(points).all((1, 2)) & np.isfinite(mesh).all((1, 2))
    first = int(np.flatnonzero(whole)[0])
    away = np.linalg.norm(points[first][:, None] - mesh[first], axis=-1)
    vertex = away.argmin(1)
    vertex[list(MESH_VERTEX)] = list(MESH_VERTEX.values())
    off = (points - mesh[:, vertex]) @ np.array([1, 1j])
    face = points[:, RIGID_POINTS] @ np.array([1, 1j])
    face = face - face.mean(1, keepdims=True)
    rest = face[first]
    turn = (face * rest.conj()).sum(1) / (np.abs(rest) ** 2).sum()
    off = off / turn[:, None]
    off = off - np.nanmedian(off.real, 0) - 1j * np.nanmedian(off.imag, 0)
    size = np.linalg.norm(points[first, 36] - points[first, 45])
    return np.where(whole[:, None], np.abs(off) / size * 100, np.nan)


def jitter(points: np.ndarray) -> np.ndarray:
    """Return mean second differences (68,), in per cent of the outer eye corners' distance."""
    size = np.nanmean(np.linalg.norm(points[:, 36] - points[:, 45], axis=-1))
    second = np.linalg.norm(np.diff(points, 2, axis=0), axis=-1)
    return np.asarray(np.nanmean(second, 0) / size * 100)


def opening(points: np.ndarray, upper: list[int], lower: list[int]) -> np.ndarray:
    """Return the mean distance (T,) between upper and lower points of (T, 68, 2).

    The unit is the distance of the outer eye corners.
    """
    size = np.linalg.norm(points[:, 36] - points[:, 45], axis=-1)
    return np.asarray(np.linalg.norm(points[:, upper] - points[:, lower], axis=-1).mean(-1) / size)


def as_points(mesh: np.ndarray) -> np.ndarray:
    """Return the mesh's vertices as landmarks (T, 68, 2), NaN for landmarks that it lacks."""
    points = np.full((len(mesh), 68, 2), np.nan)
    points[:, list(MESH_VERTEX)] = mesh[:, list(MESH_VERTEX.values())]
    return points


def compare_openings(points: np.ndarray, mesh: np.ndarray, part: str) -> tuple[float, float]:
    """Compare the opening of points (T, 68, 2) with the mesh's.

    Returns:
        Slope by least squares, and correlation; NaN if the mesh's opening hardly varies.
    """
    upper, lower, min_deviation = OPENINGS[part]
    pair = np.array([opening(xy, upper, lower) for xy in (points, as_points(mesh))])
    ours, theirs = pair[:, np.isfinite(pair).all(0)]
    if theirs.std() < min_deviation:
        return np.nan, np.nan
    slope = np.polyfit(theirs, ours, 1)[0]
    return float(slope), float(np.corrcoef(theirs, ours)[0, 1])


def compute_figures(points: np.ndarray, mesh: np.ndarray) -> np.ndarray:
    """Return root mean square and 95th percentile of the drift, and jitter, (parts, 3)."""
    off, shake = point_drift(points, mesh), jitter(points)
    return np.array(
        [
            (
                np.sqrt(np.nanmean(off[:, part] ** 2)),
                np.nanpercentile(off[:, part], 95),
                shake[part].mean(),
            )
            for part in map(list, PARTS.values())
        ]
    )


class Clip(NamedTuple):
    """Points (T, 68, 2) by method, mesh (T, V, 2) and times (T,) of a clip."""

    points: dict[str, np.ndarray]
    mesh: np.ndarray
    times: np.ndarray

    def size(self) -> float:
        """Return the median distance of the outer eye corners in the mesh, in pixels."""
        corners = as_points(self.mesh)[:, [36, 45]]
        return float(np.nanmedian(np.linalg.norm(corners[:, 0] - corners[:, 1], axis=-1)))

    def first(self, seconds: float) -> Clip:
        """Return the first seconds of the clip."""
        count = int((self.times < seconds).sum())
        points = {name: xy[:count] for name, xy in self.points.items()}
        return Clip(points, self.mesh[:count], self.times[:count])

    @property
    def complete(self) -> bool:
        """True if all methods have a face in nine frames of ten."""
        arrays = [*self.points.values(), self.mesh]
        known = [np.isfinite(xy).all((1, 2)).mean() for xy in arrays]
        return min(known) >= MIN_FACE_SHARE and len({len(xy) for xy in arrays}) == 1


def track_clip(
    video: Path,
    seconds: float,
    init: str,
    methods: list[Method],
    python: Path | None,
    cache: ArrayCache,
) -> Clip:
    """Track the face of a video with all methods.

    Raises:
        FacetrackError: a method fails.
    """
    mesh, times = cache(
        f"{video.name}-{seconds:g}-mesh", lambda: detect_mesh(video, seconds, python)
    )
    points = {}
    for method in methods:
        name = f"{video.name}-{seconds:g}-{method.name}".replace("/", "_")
        (points[method.name],) = cache(
            name, lambda method=method: (track(video, seconds, init, method),)
        )
    return Clip(points, without_other_faces(mesh), times)


class ArrayCache:
    """Cache of computed arrays in a folder; None disables it."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def __call__(
        self, name: str, compute: Callable[[], tuple[np.ndarray, ...]]
    ) -> tuple[np.ndarray, ...]:
        """Return the arrays of this name, computed if they are not in the cache."""
        if self.folder is None:
            return compute()
        path = self.folder / f"{name}.npz"
        if path.is_file():
            with np.load(path) as data:
                return tuple(data.values())
        arrays = compute()
        self.folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, *arrays)
        return arrays


def report_closures(clips: dict[str, Clip], peaks: dict[str, list[int]]) -> None:
    """Print a table of the closures of each clip by each method, and of all clips."""
    upper, lower, min_deviation = OPENINGS["eyes"]
    title = "found | complete | depth | frames off | false a minute | slope | correlation | delay"
    print(f"\n| closures of eyes | clip | {title} |\n|---|---|{'---:|' * 8}")
    figures: dict[str, list[tuple[Closures, list[float]]]] = {}
    for name_of_clip, clip in clips.items():
        mesh = opening(as_points(clip.mesh), upper, lower)
        rows = {name: opening(points, upper, lower) for name, points in clip.points.items()}
        moves = np.nanstd(mesh) >= min_deviation
        for name, openings in {**rows, "MediaPipe": mesh}.items():
            reference = None if name == "MediaPipe" else mesh
            duration = float(clip.times[-1])
            shut = measure_closures(openings, reference, peaks[name_of_clip], duration)
            fit = [np.nan] * 3
            if moves and name != "MediaPipe":
                fit = [
                    *compare_openings(clip.points[name], clip.mesh, "eyes"),
                    estimate_delay(openings, mesh),
                ]
            figures.setdefault(name, []).append((shut, fit))
            print(f"| {name} | {name_of_clip} | {shut.row()} | {format_cells(np.array(fit))} |")
    for name, rows_of_method in figures.items():
        shut = merge([closures for closures, _ in rows_of_method])
        fits = np.array([fit for _, fit in rows_of_method])
        counted = fits[np.isfinite(fits).all(1)]
        mean = counted.mean(0) if len(counted) else fits[0]
        print(f"| **{name}** | all | {shut.row()} | {format_cells(mean)} |")


def format_cells(values: np.ndarray) -> str:
    """Format numbers as table cells, with a dash for NaN."""
    return " | ".join(f"{v:.2f}" if np.isfinite(v) else "-" for v in values)


def report_figures(clips: dict[str, Clip]) -> None:
    """Print tables of the means over clips, of openings, and of the mouth in each clip."""
    names = list(next(iter(clips.values())).points)
    figures = {
        clip: {name: compute_figures(points, one.mesh) for name, points in one.points.items()}
        for clip, one in clips.items()
    }
    print(f"\n{len(figures)} clips: root mean square, 95th percentile, jitter\n")
    print(f"| | {' | '.join(PARTS)} |\n|---|{'---:|' * len(PARTS)}")
    for name in names:
        mean = np.mean([one[name] for one in figures.values()], 0)
        print(f"| {name} | {' | '.join('{:.2f}, {:.1f}, {:.2f}'.format(*row) for row in mean)} |")
    large = {name: one for name, one in clips.items() if one.size() >= MIN_JUDGED_SIZE}
    report_openings("all", clips)
    if len(large) < len(clips):
        report_openings(f"faces of {MIN_JUDGED_SIZE} px and more", large)
    print(f"\n| mouth | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")
    for clip, one in figures.items():
        print(f"| {clip} | {' | '.join(f'{one[name][-1][0]:.2f}' for name in names)} |")


def report_openings(title: str, clips: dict[str, Clip]) -> None:
    """Print how openings of eyes and mouth follow the mesh's, in the mean over clips."""
    counted = (
        {
            name: np.array(
                [
                    [compare_openings(one.points[name], one.mesh, part) for part in OPENINGS]
                    for one in clips.values()
                ]
            )
            for name in next(iter(clips.values())).points
        }
        if clips
        else {}
    )
    if not counted:
        return
    number = np.isfinite(next(iter(counted.values()))[..., 0]).sum(0)
    titles = [f"{part}, {n} clips" for part, n in zip(OPENINGS, number, strict=True)]
    print(f"\n| share, correlation: {title} | {' | '.join(titles)} |\n|---|---:|---:|")
    for name, found in counted.items():
        rows = [f"{slope:.2f}, {r:.2f}" for slope, r in np.nanmean(found, 0)]
        print(f"| {name} | {' | '.join(rows)} |")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("videos", type=Path, help="folder")
    parser.add_argument(
        "--seconds", type=float, default=12.0, help="duration to track of each video"
    )
    parser.add_argument("--init", default="star")
    parser.add_argument("--clips", default="*", help="pattern of names")
    parser.add_argument("--methods", default="*", help="pattern of names")
    parser.add_argument("--mesh-python", type=Path, help="interpreter that has MediaPipe")
    parser.add_argument("--detector-weights", type=Path, action="append", default=[])
    parser.add_argument("--keep", type=Path, help="folder that caches tracks and meshes")
    parser.add_argument("--closures-only", action="store_true")
    options = parser.parse_args()
    noted = options.videos / "blinks.json"
    peaks = json.loads(noted.read_text(encoding="utf-8")) if noted.is_file() else {}
    methods, cache = (
        select_methods(options.detector_weights, options.methods),
        ArrayCache(options.keep),
    )
    clips: dict[str, Clip] = {}
    shutting: dict[str, Clip] = {}
    for video in sorted(p for p in options.videos.glob(options.clips) if p.is_file()):
        if video == noted or (options.closures_only and video.name not in peaks):
            continue
        seconds = options.seconds
        try:
            if video.name in peaks:
                seconds = max(
                    seconds, frame_time(video, max(peaks[video.name])) + SECONDS_AFTER_CLOSURE
                )
            clip = track_clip(video, seconds, options.init, methods, options.mesh_python, cache)
        except FacetrackError as error:
            print(f"left out: {video.name}: {error}")
            continue
        if video.name in peaks:
            shutting[video.name] = clip
        if clip.first(options.seconds).complete:
            clips[video.name] = clip.first(options.seconds)
        else:
            print(f"left out: {video.name}: not one face in nine frames of ten")
    if shutting:
        report_closures(shutting, peaks)
    if clips and not options.closures_only:
        report_figures(clips)
    if not clips and not shutting:
        raise SystemExit("No clip shows one face throughout.")


def frame_time(video: Path, frame: int) -> float:
    """Return the seconds from the first frame of a video to the frame of this 0-based index."""
    with VideoReader(video) as reader:
        times = [image.time for image, _ in zip(reader, range(frame + 1), strict=False)]
    return times[-1] - times[0]


if __name__ == "__main__":
    main()
