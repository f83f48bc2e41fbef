"""Do points go along with real expressions? Asked of someone else: MediaPipe's face mesh.

    python -m venv MESH && MESH/bin/pip install "mediapipe==0.10.21" "numpy<2"
    python benchmarks/accuracy/expressions.py VIDEOS --mesh-python MESH/bin/python
        [--seconds 12] [--init star] [--clips GLOB] [--methods GLOB]
        [--detector-weights FILE] [--keep FOLDER]

Without --mesh-python MediaPipe is looked for beside facetrack.

Real videos of faces that talk and smile have no truth. MediaPipe's mesh, made by others from other
pictures, knows which of its vertices lie on lips, lids and brows. A landmark that keeps its place
on the face keeps its distance from its vertex: the figures are by how much that distance changes
through a clip (root of the mean square, and 95th percentile), in per cent of the distance of the
outer eye corners, with the turn and the growth of the face taken out. Of the jaw and the nose the
nearest vertices of the first frame are taken. The mesh has errors of its own, so no method comes to
0. Jitter is the mean second difference of the points themselves, motion included, in the same unit.

How far eyes and mouth are open (between lids or lips, in the same unit) is compared with how far
they are on the mesh: the slope says which share of a blink or of a word is followed, the
correlation how truly. Only clips in which the mesh's open and shut count.

Methods: tapir by itself (`--no-expressions`), with the landmark network beside it (as `facetrack
track` has it), and the landmark detector on every frame. --detector-weights adds the last one with
other weights. Only clips in which all methods and MediaPipe have one face in nine frames of ten are
counted.

VIDEOS/blinks.json, where there is one, says in which frames eyes are shut (name of the clip: peaks,
from 0): `closures` defines the figures. Those clips are followed for as long as it takes.
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

from benchmarks.common.closures import Closures, closures, delay, merged
from benchmarks.common.mesh_process import Mesh
from benchmarks.common.other_tools import MediaPipe
from facetrack.detectors import DetectorOptions
from facetrack.errors import FacetrackError
from facetrack.pipeline.options import Options
from facetrack.pipeline.runner import Pipeline
from facetrack.tracks import Tracks
from facetrack.video.reader import VideoReader, probe

STEADY = [*range(27, 36), 36, 39, 42, 45]
"""Landmarks on the nose and the corners of the eyes, which expressions leave where they are."""
ALONE = "detector on every frame"
METHODS = {
    "tapir alone": {"expressions": False},
    "tapir, guided": {},
    ALONE: {"tracker": "per-frame"},
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
KNOWN = dict(zip(range(17, 27), BROWS, strict=True))
KNOWN |= dict(zip(range(36, 68), EYES + OUTER_LIPS + INNER_LIPS, strict=True))
"""The mesh's vertex at each landmark that it has."""
OPENINGS = {
    "eyes": ([37, 38, 43, 44], [41, 40, 47, 46], 0.015),
    "mouth": ([62], [66], 0.02),
}
"""Upper and lower landmarks of what opens, and the standard deviation of it on the mesh from which
a clip counts, in distances of the outer eye corners."""
ENOUGH = 0.9
AFTER = 1.0
"""Seconds after the last closure that was seen."""


class Method(NamedTuple):
    """One of the ways to follow a face.

    Attributes:
        options: of `facetrack.pipeline.options.Options`.
        weights: of the landmark detector; None: those that `auto` takes.
    """

    name: str
    options: dict[str, Any]
    weights: Path | None = None


def methods(others: list[Path], pattern: str = "*") -> list[Method]:
    """All methods, and the detector on every frame once more for each of `others`, its weights;
    of these those whose name fits the pattern."""
    made = [Method(name, options) for name, options in METHODS.items()]
    made += [Method(f"{ALONE}, {path}", METHODS[ALONE], path) for path in others]
    return [way for way in made if fnmatch.fnmatch(way.name, pattern)]


def mesh_of(video: Path, seconds: float, python: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """(T, V, 2) MediaPipe's vertices in each frame, pixels, NaN where it finds no face; and the
    times (T,) of the frames from the first, in seconds."""
    if python is None:
        referee = MediaPipe()
        look, close = functools.partial(referee.look, referee.mesh()), lambda: None
    else:
        process = Mesh(python)
        look, close = process.look, process.close
    times: list[float] = []
    found: list[np.ndarray | None] = []
    with VideoReader(video) as reader, contextlib.ExitStack() as stack:
        stack.callback(close)
        for frame in reader:
            if times and frame.time - times[0] >= seconds:
                break
            times.append(frame.time)
            found.append(look(frame.image))
    shape = next((f.shape for f in found if f is not None), (478, 2))
    mesh = np.array([np.full(shape, np.nan) if f is None else f for f in found])
    return mesh, np.array(times) - times[0]


def tracked(video: Path, seconds: float, init: str, method: Method) -> np.ndarray:
    """(T, 68, 2) the first face's points; NaN where it is not known."""
    end = probe(video).start_time + seconds
    detector = DetectorOptions(weights=str(method.weights or "auto"))
    options = Options(init=init, end=end, detector_options=detector, **method.options)
    tracks = Tracks.concatenate(chunk.tracks for chunk in Pipeline(video, options).run())
    return np.asarray(tracks.xy[:, 0], float)


def strays(points: np.ndarray, mesh: np.ndarray) -> np.ndarray:
    """(T, 68) how far each point is from where it usually is beside its vertex, in per cent."""
    whole = np.isfinite(points).all((1, 2)) & np.isfinite(mesh).all((1, 2))
    first = int(np.flatnonzero(whole)[0])
    away = np.linalg.norm(points[first][:, None] - mesh[first], axis=-1)
    vertex = away.argmin(1)
    vertex[list(KNOWN)] = list(KNOWN.values())
    off = (points - mesh[:, vertex]) @ np.array([1, 1j])
    face = points[:, STEADY] @ np.array([1, 1j])
    face = face - face.mean(1, keepdims=True)
    rest = face[first]
    turn = (face * rest.conj()).sum(1) / (np.abs(rest) ** 2).sum()
    off = off / turn[:, None]
    off = off - np.nanmedian(off.real, 0) - 1j * np.nanmedian(off.imag, 0)
    size = np.linalg.norm(points[first, 36] - points[first, 45])
    return np.where(whole[:, None], np.abs(off) / size * 100, np.nan)


def jitter(points: np.ndarray) -> np.ndarray:
    """(68,) mean second differences, in per cent of the distance of the outer eye corners."""
    size = np.nanmean(np.linalg.norm(points[:, 36] - points[:, 45], axis=-1))
    second = np.linalg.norm(np.diff(points, 2, axis=0), axis=-1)
    return np.asarray(np.nanmean(second, 0) / size * 100)


def opening(points: np.ndarray, upper: list[int], lower: list[int]) -> np.ndarray:
    """(T,) between the upper and the lower of points (T, 68, 2), in the mean, in distances of the
    outer eye corners."""
    size = np.linalg.norm(points[:, 36] - points[:, 45], axis=-1)
    return np.asarray(np.linalg.norm(points[:, upper] - points[:, lower], axis=-1).mean(-1) / size)


def as_points(mesh: np.ndarray) -> np.ndarray:
    """(T, 68, 2) the mesh's vertices at the landmarks that it has, NaN at the others."""
    points = np.full((len(mesh), 68, 2), np.nan)
    points[:, list(KNOWN)] = mesh[:, list(KNOWN.values())]
    return points


def followed(points: np.ndarray, mesh: np.ndarray, part: str) -> tuple[float, float]:
    """Which share of the mesh's opening and shutting points (T, 68, 2) show, by least squares, and
    their correlation; NaN for a clip in which it hardly moves."""
    upper, lower, least = OPENINGS[part]
    pair = np.array([opening(one, upper, lower) for one in (points, as_points(mesh))])
    ours, theirs = pair[:, np.isfinite(pair).all(0)]
    if theirs.std() < least:
        return np.nan, np.nan
    slope = np.polyfit(theirs, ours, 1)[0]
    return float(slope), float(np.corrcoef(theirs, ours)[0, 1])


def figures_of(points: np.ndarray, mesh: np.ndarray) -> np.ndarray:
    """(parts, 3) root mean square and 95th percentile of the strays, and jitter."""
    off, shake = strays(points, mesh), jitter(points)
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
    """What was found in a clip: points (T, 68, 2) by method, the mesh (T, V, 2), times (T,)."""

    points: dict[str, np.ndarray]
    mesh: np.ndarray
    times: np.ndarray

    def first(self, seconds: float) -> Clip:
        """Its first seconds."""
        count = int((self.times < seconds).sum())
        points = {name: one[:count] for name, one in self.points.items()}
        return Clip(points, self.mesh[:count], self.times[:count])

    @property
    def whole(self) -> bool:
        """Whether all have one face in nine frames of ten."""
        every = [*self.points.values(), self.mesh]
        known = [np.isfinite(one).all((1, 2)).mean() for one in every]
        return min(known) >= ENOUGH and len({len(one) for one in every}) == 1


def clip_of(
    video: Path, seconds: float, init: str, ways: list[Method], python: Path | None, keep: Keep
) -> Clip:
    """Follow the face of a video by all methods.

    Raises:
        FacetrackError: a method cannot.
    """
    mesh, times = keep(f"{video.name}-{seconds:g}-mesh", lambda: mesh_of(video, seconds, python))
    points = {}
    for way in ways:
        name = f"{video.name}-{seconds:g}-{way.name}".replace("/", "_")
        (points[way.name],) = keep(name, lambda way=way: (tracked(video, seconds, init, way),))
    return Clip(points, mesh, times)


class Keep:
    """Arrays that are computed once and kept in a folder, or not kept where it is None."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def __call__(
        self, name: str, make: Callable[[], tuple[np.ndarray, ...]]
    ) -> tuple[np.ndarray, ...]:
        """The arrays of that name."""
        if self.folder is None:
            return make()
        path = self.folder / f"{name}.npz"
        if path.is_file():
            with np.load(path) as data:
                return tuple(data.values())
        made = make()
        self.folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, *made)
        return made


def report_closures(clips: dict[str, Clip], peaks: dict[str, list[int]]) -> None:
    """A table of the closures of each clip by each method, and of all clips."""
    upper, lower, least = OPENINGS["eyes"]
    title = "found | complete | depth | frames off | false a minute | slope | correlation | delay"
    print(f"\n| closures of eyes | clip | {title} |\n|---|---|{'---:|' * 8}")
    every: dict[str, list[tuple[Closures, list[float]]]] = {}
    for clip, one in clips.items():
        mesh = opening(as_points(one.mesh), upper, lower)
        rows = {name: opening(points, upper, lower) for name, points in one.points.items()}
        moves = np.nanstd(mesh) >= least
        for name, ours in {**rows, "MediaPipe": mesh}.items():
            denied = None if name == "MediaPipe" else mesh
            shut = closures(ours, denied, peaks[clip], float(one.times[-1]))
            fit = [np.nan] * 3
            if moves and name != "MediaPipe":
                fit = [*followed(one.points[name], one.mesh, "eyes"), delay(ours, mesh)]
            every.setdefault(name, []).append((shut, fit))
            print(f"| {name} | {clip} | {shut.row()} | {cells(np.array(fit))} |")
    for name, some in every.items():
        shut = merged([s for s, _ in some])
        fits = np.array([fit for _, fit in some])
        counted = fits[np.isfinite(fits).all(1)]
        mean = counted.mean(0) if len(counted) else fits[0]
        print(f"| **{name}** | all | {shut.row()} | {cells(mean)} |")


def cells(values: np.ndarray) -> str:
    """Numbers as cells of a table, a dash where there is none."""
    return " | ".join(f"{v:.2f}" if np.isfinite(v) else "-" for v in values)


def report_figures(clips: dict[str, Clip]) -> None:
    """A table of the mean over clips, of opening and shutting, and of the mouth clip by clip."""
    ways = list(next(iter(clips.values())).points)
    figures = {
        clip: {name: figures_of(points, one.mesh) for name, points in one.points.items()}
        for clip, one in clips.items()
    }
    print(f"\n{len(figures)} clips: root mean square, 95th percentile, jitter\n")
    print(f"| | {' | '.join(PARTS)} |\n|---|{'---:|' * len(PARTS)}")
    for name in ways:
        mean = np.mean([one[name] for one in figures.values()], 0)
        print(f"| {name} | {' | '.join('{:.2f}, {:.1f}, {:.2f}'.format(*row) for row in mean)} |")
    counted = {
        name: np.array(
            [
                [followed(one.points[name], one.mesh, part) for part in OPENINGS]
                for one in clips.values()
            ]
        )
        for name in ways
    }
    number = np.isfinite(counted[ways[0]][..., 0]).sum(0)
    titles = [f"{part}, {n} clips" for part, n in zip(OPENINGS, number, strict=True)]
    print(f"\n| opening and shutting: share, correlation | {' | '.join(titles)} |\n|---|---:|---:|")
    for name, found in counted.items():
        rows = [f"{slope:.2f}, {r:.2f}" for slope, r in np.nanmean(found, 0)]
        print(f"| {name} | {' | '.join(rows)} |")
    print(f"\n| mouth | {' | '.join(ways)} |\n|---|{'---:|' * len(ways)}")
    for clip, one in figures.items():
        print(f"| {clip} | {' | '.join(f'{one[name][-1][0]:.2f}' for name in ways)} |")


def main() -> None:
    """All tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("videos", type=Path, help="folder")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each video")
    parser.add_argument("--init", default="star")
    parser.add_argument("--clips", default="*", help="pattern of their names")
    parser.add_argument("--methods", default="*", help="pattern of their names")
    parser.add_argument("--mesh-python", type=Path, help="interpreter that has MediaPipe")
    parser.add_argument("--detector-weights", type=Path, action="append", default=[])
    parser.add_argument("--keep", type=Path, help="folder for what was found, to be used again")
    parser.add_argument("--closures-only", action="store_true")
    options = parser.parse_args()
    noted = options.videos / "blinks.json"
    peaks = json.loads(noted.read_text(encoding="utf-8")) if noted.is_file() else {}
    ways, keep = methods(options.detector_weights, options.methods), Keep(options.keep)
    clips: dict[str, Clip] = {}
    shutting: dict[str, Clip] = {}
    for video in sorted(p for p in options.videos.glob(options.clips) if p.is_file()):
        if video == noted or (options.closures_only and video.name not in peaks):
            continue
        seconds = options.seconds
        try:
            if video.name in peaks:
                seconds = max(seconds, time_of(video, max(peaks[video.name])) + AFTER)
            clip = clip_of(video, seconds, options.init, ways, options.mesh_python, keep)
        except FacetrackError as error:
            print(f"left out: {video.name}: {error}")
            continue
        if video.name in peaks:
            shutting[video.name] = clip
        if clip.first(options.seconds).whole:
            clips[video.name] = clip.first(options.seconds)
        else:
            print(f"left out: {video.name}: not one face in nine frames of ten")
    if shutting:
        report_closures(shutting, peaks)
    if clips and not options.closures_only:
        report_figures(clips)
    if not clips and not shutting:
        raise SystemExit("No clip shows one face throughout.")


def time_of(video: Path, frame: int) -> float:
    """Seconds from the first frame of a video to the one of that number, from 0."""
    with VideoReader(video) as reader:
        times = [one.time for one, _ in zip(reader, range(frame + 1), strict=False)]
    return times[-1] - times[0]


if __name__ == "__main__":
    main()
