"""Measure how much of a wrong start a few corrected points bring back.

    python benchmarks/accuracy/corrections.py --faces FOLDER [--clips 10] [--frames 250]
        [--json FILE]

FOLDER holds pictures of faces with `landmarks68.npz`; only those of `heldout_faces.txt` are used.
Each clip is rendered with exact truth and tracked from wrong points: in its first frame every point
is off by 5 to 15 % of the distance between the outer eye corners. Kinds of wrong starts:

- independent: every point is off in a direction of its own.
- smooth: neighbouring points are off in similar directions.
- placed: all points are shifted, turned and scaled together.

A person then corrects three points in one frame, the farthest off in the eyes and brows, the nose
and mouth, and the jaw (with --click pixels of error), and after the tracks have followed, three
more in another frame. The figures are mean errors of visible points, per cent of the distance
between the outer eye corners: over all frames, and over frames at least --far away from any
corrected one.
"Recovered" is the share of the lost accuracy that is back; nothing is lost by the tracker that
starts from the true points.

With --time, one clip is corrected as a page does it, and the seconds are measured from the click to
the first frame and to the next 50 frames, on --threads threads. Measure on an idle machine; the
seconds of the processor, which are printed too, depend less on what else runs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.clips.warped_faces import FPS, HEIGHT, VARIANTS, WIDTH, Clip, make_clip
from benchmarks.common.heldout import Faces
from facetrack.corrections.correction import Correction
from facetrack.corrections.create import create_corrector
from facetrack.corrections.displacement import face_places
from facetrack.corrections.engine import Corrector
from facetrack.files import atomic_path
from facetrack.ops.similarity import as_xy
from facetrack.pipeline.models import Models
from facetrack.pipeline.options import Options
from facetrack.trackers import PointTracker
from facetrack.tracks import Tracks
from facetrack.video.reader import VideoReader

KINDS = ("independent", "smooth", "placed")
REGIONS = (
    tuple(range(17, 27)) + tuple(range(36, 48)),
    tuple(range(27, 36)) + tuple(range(48, 68)),
    tuple(range(17)),
)
STEP = 8
SHOWN_FRAMES = 50


def wrong_start(truth: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return (68, 2) points that are off by 5 to 15 % of the distance between the eye corners."""
    count, unit = len(truth), float(np.linalg.norm(truth[36] - truth[45]))
    at = face_places(truth)
    turned = np.exp(2j * np.pi * rng.random(count))
    if kind == "independent":
        off = rng.uniform(0.05, 0.15, count) * turned
    elif kind == "smooth":
        near = np.exp(-np.abs(at[:, None] - at) / 0.6) + 1e-6 * np.eye(count)
        drawn = rng.standard_normal((2, count)) @ np.linalg.cholesky(near).T
        off = drawn[0] + 1j * drawn[1]
        off *= np.clip(0.1 * np.abs(off) / np.abs(off).mean(), 0.05, 0.15) / np.abs(off)
    else:
        off = 0.07 * turned[0] + at * (rng.choice([-1, 1]) * 0.08 + 1j * rng.choice([-1, 1]) * 0.06)
        off *= np.clip(np.abs(off), 0.05, 0.15) / np.abs(off)
    return truth + unit * as_xy(off)


def track(video: Path, tracker: PointTracker, start: np.ndarray) -> Tracks:
    """Return the tracks of a video from points (68, 2) of its first frame."""
    with VideoReader(video) as reader:
        frames = list(reader)
    state = tracker.start(frames[0].image, start)
    parts, done = [], 0
    while done < len(frames):
        batch = frames[done : done + (STEP if done else 1)]
        parts.append(tracker.step(state, np.stack([frame.image for frame in batch])))
        done += len(batch)
    xy, visible, confidence = (np.concatenate(kind)[:, None] for kind in zip(*parts, strict=True))
    times = np.array([frame.time for frame in frames])
    return Tracks(xy, visible, confidence, times, np.zeros(1, np.int64), "68", (WIDTH, HEIGHT))


def picked(truth: np.ndarray, seen: np.ndarray, shown: np.ndarray) -> list[int]:
    """Return the points that a person corrects: the farthest off of each region."""
    off = np.where(seen, np.linalg.norm(shown - truth, axis=-1), -1.0)
    return [max(region, key=lambda point: off[point]) for region in REGIONS]


def corrections_of(
    clip: Clip, shown: Tracks, frame: int, click: float, rng: np.random.Generator
) -> list[Correction]:
    """Return what a person corrects in a frame of tracks."""
    truth, seen = clip.xy[frame], clip.visible[frame]
    return [
        Correction(frame, 0, point, *(truth[point] + click * rng.standard_normal(2)).tolist())
        for point in picked(truth, seen, shown.xy[frame, 0])
    ]


def error(clip: Clip, tracks: Tracks, frames: Sequence[int]) -> float:
    """Return the mean error of visible points in frames, per cent."""
    chosen = list(frames)
    off = np.linalg.norm(tracks.xy[chosen, 0] - clip.xy[chosen], axis=-1)
    off = 100 * off / clip.interocular[chosen, None]
    return float(off[clip.visible[chosen] & np.isfinite(off)].mean())


def write(clip: Clip, path: Path) -> None:
    """Write a clip as a video."""
    writer = imageio_ffmpeg.write_frames(
        str(path), (WIDTH, HEIGHT), fps=FPS, codec="libx264", output_params=["-crf", "12"]
    )
    writer.send(None)
    for frames in clip.chunks(STEP):
        for frame in frames:
            writer.send(np.ascontiguousarray(frame))
    writer.close()


def run_clip(
    clip: Clip, video: Path, kind: str, models: Models, options: argparse.Namespace, seed: int
) -> dict[str, dict[str, float]]:
    """Return the errors of one clip: by state of the tracks, over all and over far frames."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    truth = np.where(np.isfinite(clip.xy[0]), clip.xy[0], np.nanmean(clip.xy[0], 0))
    chosen = [options.frames // 4, options.frames * 2 // 3]
    every = range(clip.frames)
    far = [t for t in every if all(abs(t - f) >= options.far for f in chosen)]
    tracker = models.tracker
    found = {"true start": track(video, tracker, truth.astype(np.float32))}
    base = track(video, tracker, wrong_start(truth, kind, rng).astype(np.float32))
    found["wrong start"] = base
    corrector = create_corrector(base, [], video, models.options, models)
    said: list[Correction] = []
    shown = base
    for count, frame in enumerate(chosen, start=1):
        said += corrections_of(clip, shown, frame, options.click, rng)
        corrector.set_corrections(said)
        corrector.finish()
        shown = found[f"{count} frame{'s' if count > 1 else ''}"] = corrector.tracks()
    return {
        name: {"all": error(clip, tracks, every), "far": error(clip, tracks, far)}
        for name, tracks in found.items()
    }


def measure_time(corrector: Corrector, said: list[Correction]) -> dict[str, float]:
    """Return the seconds from a click to the first frame, and to the next 50 frames."""
    frame = said[0].frame
    began, began_cpu = time.perf_counter(), time.process_time()
    corrector.set_corrections(said)
    seconds: dict[str, float] = {}
    reached = frame - 1
    while reached < frame + SHOWN_FRAMES:
        update = corrector.step()
        if update is None:
            break
        # Backward steps and the anchor's own take time, but do not count.
        if update.first == reached + 1 or update.first == frame:
            reached = max(reached, update.last)
        if reached >= frame:
            seconds.setdefault("first frame", time.perf_counter() - began)
            seconds.setdefault("first frame, processor", time.process_time() - began_cpu)
        corrector.tracks(frame, frame + SHOWN_FRAMES)
    seconds[f"{SHOWN_FRAMES} frames"] = time.perf_counter() - began
    seconds[f"{SHOWN_FRAMES} frames, processor"] = time.process_time() - began_cpu
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--frames", type=int, default=250)
    parser.add_argument("--far", type=int, default=50, help="frames from any corrected one")
    parser.add_argument("--variant", default="calm-long", choices=sorted(VARIANTS))
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--click", type=float, default=0.5, help="pixels, standard deviation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    VARIANTS["corrected"] = replace(VARIANTS[options.variant], frames=options.frames)
    pictures, models = Faces(options.faces), Models(Options(expressions=False))
    console = Console()
    results: dict[str, list[dict[str, dict[str, float]]]] = {
        k: [] for k in options.kinds.split(",")
    }
    report: dict[str, Any] = {"clips": results}
    with tempfile.TemporaryDirectory() as folder:
        for index in range(1 if options.time else options.clips):
            clip = make_clip(pictures, "corrected", index, options.seed)
            video = Path(folder) / f"{index}.mp4"
            write(clip, video)
            if options.time:
                report["seconds"] = time_clip(clip, video, models, options)
                console.print(report["seconds"])
                break
            for kind, rows in results.items():
                rows.append(run_clip(clip, video, kind, models, options, index))
                console.print(index, kind, rows[-1])
    for kind, rows in results.items():
        if rows:
            console.print(table_of(kind, rows))
    if options.json:
        with atomic_path(options.json) as path:
            path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def time_clip(
    clip: Clip, video: Path, models: Models, options: argparse.Namespace
) -> dict[str, float]:
    """Return the seconds of a correction in a clip; models are loaded, as on an open page."""
    rng = np.random.default_rng(0)
    truth = np.where(np.isfinite(clip.xy[0]), clip.xy[0], np.nanmean(clip.xy[0], 0))
    base = track(video, models.tracker, wrong_start(truth, KINDS[0], rng).astype(np.float32))
    corrector = create_corrector(base, [], video, models.options, models)
    frame = options.frames // 4
    first = corrections_of(clip, base, frame, options.click, rng)
    corrector.set_corrections(first)
    corrector.finish()
    second = corrections_of(clip, base, options.frames // 2, options.click, rng)
    return measure_time(corrector, [*second, *first])


def table_of(kind: str, rows: list[dict[str, dict[str, float]]]) -> Table:
    """Return the means over the clips, and the share of the lost accuracy that is back."""
    table = Table(title=kind)
    for name in ("", "error, %", "recovered, %", "far: error, %", "far: recovered, %"):
        table.add_column(name, justify="right" if name else "left")
    means = {
        name: {part: float(np.mean([row[name][part] for row in rows])) for part in ("all", "far")}
        for name in rows[0]
    }
    best, worst = means["true start"], means["wrong start"]
    for name, values in means.items():
        cells = []
        for part in ("all", "far"):
            back = (worst[part] - values[part]) / (worst[part] - best[part])
            cells += [f"{values[part]:.2f}", f"{100 * back:.0f}"]
        table.add_row(name, *cells)
    return table


if __name__ == "__main__":
    main()
