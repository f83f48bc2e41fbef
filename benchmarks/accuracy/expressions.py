"""Do points go along with real expressions? Asked of someone else: MediaPipe's face mesh.

    pip install "mediapipe==0.10.21" "protobuf<5"
    python benchmarks/accuracy/expressions.py VIDEOS [--seconds 12] [--init star]

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
track` has it), and the landmark detector on every frame. Only clips in which all methods and
MediaPipe have one face in nine frames of ten are counted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.common.other_tools import MediaPipe
from facetrack.errors import FacetrackError
from facetrack.pipeline.options import Options
from facetrack.pipeline.runner import Pipeline
from facetrack.trackers.expression.corrector import STEADY
from facetrack.tracks import Tracks
from facetrack.video.reader import VideoReader, probe

METHODS = {
    "tapir alone": {"expressions": False},
    "tapir, guided": {},
    "detector on every frame": {"tracker": "per-frame"},
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


def mesh_of(video: Path, seconds: float) -> np.ndarray:
    """(T, V, 2) MediaPipe's vertices in each frame, pixels; NaN where it finds no face."""
    referee = MediaPipe()
    mesh = referee.mesh()
    with VideoReader(video) as reader:
        start = None
        found: list[np.ndarray | None] = []
        for frame in reader:
            start = frame.time if start is None else start
            if frame.time - start >= seconds:
                break
            found.append(referee.look(mesh, frame.image))
    shape = next((f.shape for f in found if f is not None), (478, 2))
    return np.array([np.full(shape, np.nan) if f is None else f for f in found])


def tracked(video: Path, seconds: float, init: str, **more: object) -> np.ndarray:
    """(T, 68, 2) the first face's points; NaN where it is not known."""
    end = probe(video).start_time + seconds
    pipeline = Pipeline(video, Options(init=init, end=end, **more))  # type: ignore[arg-type]
    tracks = Tracks.concatenate(chunk.tracks for chunk in pipeline.run())
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


def followed(points: np.ndarray, mesh: np.ndarray, part: str) -> tuple[float, float]:
    """Which share of the mesh's opening and shutting points (T, 68, 2) show, by least squares, and
    their correlation; NaN for a clip in which it hardly moves."""
    upper, lower, least = OPENINGS[part]
    as_points = np.full_like(points, np.nan)
    as_points[:, list(KNOWN)] = mesh[:, list(KNOWN.values())]
    pair = np.array([opening(one, upper, lower) for one in (points, as_points)])
    ours, theirs = pair[:, np.isfinite(pair).all(0)]
    if theirs.std() < least:
        return np.nan, np.nan
    slope = np.polyfit(theirs, ours, 1)[0]
    return float(slope), float(np.corrcoef(theirs, ours)[0, 1])


def main() -> None:
    """A table of the mean over clips, and one of the mouth clip by clip."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("videos", type=Path, help="folder")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each video")
    parser.add_argument("--init", default="star")
    options = parser.parse_args()
    figures: dict[str, dict[str, np.ndarray]] = {}
    opened: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for video in sorted(p for p in options.videos.iterdir() if p.is_file()):
        mesh = mesh_of(video, options.seconds)
        try:
            found = {
                name: tracked(video, options.seconds, options.init, **more)
                for name, more in METHODS.items()
            }
        except FacetrackError as error:
            print(f"left out: {video.name}: {error}")
            continue
        known = [np.isfinite(one).all((1, 2)).mean() for one in (mesh, *found.values())]
        if min(known) < ENOUGH or len({len(one) for one in (mesh, *found.values())}) > 1:
            print(f"left out: {video.name}: not one face in nine frames of ten")
            continue
        figures[video.name] = {}
        opened[video.name] = {
            name: [followed(points, mesh, part) for part in OPENINGS]
            for name, points in found.items()
        }
        for name, points in found.items():
            off, shake = strays(points, mesh), jitter(points)
            figures[video.name][name] = np.array(
                [
                    (
                        np.sqrt(np.nanmean(off[:, part] ** 2)),
                        np.nanpercentile(off[:, part], 95),
                        shake[part].mean(),
                    )
                    for part in map(list, PARTS.values())
                ]
            )
    if not figures:
        raise SystemExit("No clip shows one face throughout.")
    print(f"\n{len(figures)} clips: root mean square, 95th percentile, jitter\n")
    print(f"| | {' | '.join(PARTS)} |\n|---|{'---:|' * len(PARTS)}")
    for name in METHODS:
        mean = np.mean([one[name] for one in figures.values()], 0)
        print(f"| {name} | {' | '.join('{:.2f}, {:.1f}, {:.2f}'.format(*row) for row in mean)} |")
    counted = {name: np.array([one[name] for one in opened.values()]) for name in METHODS}
    clips = np.isfinite(next(iter(counted.values()))[..., 0]).sum(0)
    titles = [f"{part}, {n} clips" for part, n in zip(OPENINGS, clips, strict=True)]
    print(f"\n| opening and shutting: share, correlation | {' | '.join(titles)} |\n|---|---:|---:|")
    for name, found in counted.items():
        rows = [f"{slope:.2f}, {r:.2f}" for slope, r in np.nanmean(found, 0)]
        print(f"| {name} | {' | '.join(rows)} |")
    print(f"\n| mouth | {' | '.join(METHODS)} |\n|---|{'---:|' * len(METHODS)}")
    for clip, one in figures.items():
        print(f"| {clip} | {' | '.join(f'{one[name][-1][0]:.2f}' for name in METHODS)} |")


if __name__ == "__main__":
    main()
