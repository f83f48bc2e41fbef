"""Compare point trackers on faces with exact ground truth and on hand-marked animals.

    python benchmarks/accuracy/tracking.py --faces FOLDER [--badja FOLDER] [--clips 20]
        [--json FILE] ...

FOLDER holds pictures of faces with `landmarks68.npz`; only those of `heldout_faces.txt`, which no
training has seen, are used (all, with --every-face). All trackers see the same frames in the same
run and start from the true points of the first frame, or with --init ert from a detector's; that
frame is not counted.

What the figures mean (errors are per cent of the frame's true inter-ocular distance):

- NRMSE: mean error of visible points; separately for clips in which the face moves with its
  surroundings in the photograph, and for clips in which the head is cut out, so that the jaw is an
  edge against a background that moves differently; "with hidden": of all points inside the frame;
  "hidden": of covered points inside the frame.
- failed frames: visible points are off by more than 10 % on average, or have no answer.
- OA, AJ, delta_avg: TAP-Vid's occlusion accuracy, average Jaccard and share of points within
  1 to 16 px of a 256 x 256 picture, means over clips.
- jitter: mean second difference in time of the error of visible points.
- lag: mean error along the direction of motion of visible points that move more than 1 px per
  frame; negative is behind.
- no answer: points without a position, which only a detector on every frame can have. They are
  left out of the means above, count as failed frames, and are wrong for AJ and delta_avg.
- frames/s: of the tracker alone, without reading or drawing; and relative to lk in this run.

`static` is a copy of the first points that never moves. `mediapipe`, if named in --trackers, is its
face mesh, on which the points ride. `guided` is tapir with the networks that `facetrack track`
uses for expressions. BADJA: share of hand-marked joints within 8 px at 480p, from the first
annotated frame on, in the whole frame (without a window that follows a face).
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import facetrack
from benchmarks.clips.real_motion import Motion, of_folder
from benchmarks.clips.warped_faces import HEIGHT, REAL, VARIANTS, WIDTH, Clip, make_clip
from benchmarks.common.heldout import HELD_OUT, Faces
from benchmarks.common.other_tools import MediaPipe
from benchmarks.common.tracking_figures import COLUMNS, Tally, cell, markdown
from facetrack import detectors, face_detectors
from facetrack.errors import FacetrackError
from facetrack.files import atomic_path, sha256_of
from facetrack.trackers import PointTracker, StepResult, factory
from facetrack.trackers.base import TrackerOptions
from facetrack.trackers.expression.tracker import with_expressions
from facetrack.video.reader import VideoReader

CHUNK = 8
STRIP = 7  # frames of a strip
NEAR = 8.0  # pixels at 480p
WHOLE = "tapir, whole frame"
GUIDED = "guided"


class Static(PointTracker):
    """A tracker whose points never move."""

    name = "static"

    def start(self, frame: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Remember points (N, 2)."""
        return np.array(points, np.float32)

    def step(self, state: np.ndarray, frames: np.ndarray) -> StepResult:
        """Return the same points for all frames (K, H, W, 3), visible."""
        xy = np.repeat(state[None], len(frames), 0)
        return StepResult(xy, np.ones(xy.shape[:2], bool), np.ones(xy.shape[:2], np.float32))

    def describe(self) -> dict[str, Any]:
        """Return its name."""
        return {"name": self.name}


@cache
def both_detectors(face: str) -> tuple[detectors.LandmarkDetector, face_detectors.FaceDetector]:
    """Return ERT and the face detector called `face`."""
    return detectors.create("ert"), face_detectors.create(face)


def make_trackers(
    names: list[str], options: TrackerOptions, whole: bool, face: str
) -> dict[str, PointTracker]:
    """Return the trackers of one run, by their names in the table."""
    made: dict[str, PointTracker] = {}
    for name in names:
        if name == "static":
            made[name] = Static()
        elif name == MediaPipe.name:
            made[name] = MediaPipe()
        elif name == GUIDED:
            inner = factory.create("tapir", options, partial(both_detectors, face))
            made[name] = with_expressions(inner, "68", options)
        else:
            made[name] = factory.create(name, options, partial(both_detectors, face))
        if made[name].window is not None:
            raise FacetrackError(f"{name} looks both ways: this benchmark is for causal trackers.")
    if whole:
        options = replace(options, follow_face=False)
        made[WHOLE] = factory.create("tapir", options, partial(both_detectors, face))
    return made


def first_points(clip: Clip, frame: np.ndarray, init: str) -> np.ndarray | None:
    """Return (68, 2) points to start from; None if the detector finds no face.

    A landmark of unknown true position starts in the middle and is never counted.
    """
    if init == "truth":
        xy = clip.xy[0]
        return np.where(np.isfinite(xy), xy, np.nanmean(xy, 0)).astype(np.float32)
    landmarks, face_boxes = both_detectors("auto")
    boxes = face_boxes.detect(frame).boxes[:1]
    return landmarks.detect(frame, boxes).xy[0] if len(boxes) else None


def run_clip(
    clip: Clip, made: dict[str, PointTracker], init: str, advance: Callable[[], object]
) -> dict[str, tuple[np.ndarray, np.ndarray, float]] | None:
    """Run every tracker on one clip; return None without points to start from.

    Returns, for each tracker, (T, N, 2) positions, (T, N) bool visible, and its seconds.
    """
    found: dict[str, list[StepResult]] = {name: [] for name in made}
    seconds = dict.fromkeys(made, 0.0)
    states: dict[str, Any] = {}
    for frames in clip.chunks(CHUNK):
        if not states:
            points = first_points(clip, frames[0], init)
            if points is None:
                return None
            states = {name: t.start(frames[0], points) for name, t in made.items()}
        for name, tracker in made.items():
            began = time.perf_counter()
            found[name].append(tracker.step(states[name], frames))
            seconds[name] += time.perf_counter() - began
        advance()
    return {
        name: (
            np.concatenate([p.xy for p in parts]),
            np.concatenate([p.visible for p in parts]),
            seconds[name],
        )
        for name, parts in found.items()
    }


def run_variant(
    pictures: Faces,
    variant: str,
    made: dict[str, PointTracker],
    options: argparse.Namespace,
    progress: Progress,
    motions: list[Motion],
) -> dict[str, dict[str, Any]]:
    """Return the figures of one variant, by tracker."""
    tallies = {name: Tally((WIDTH, HEIGHT)) for name in made}
    clips = len(motions) if variant == REAL else options.clips
    steps = -(-VARIANTS[variant].frames // CHUNK)
    task = progress.add_task(variant, total=clips * steps)
    without = 0
    for index in range(clips):
        clip = make_clip(pictures, variant, index, options.seed, motions)
        answers = run_clip(clip, made, options.init, lambda: progress.advance(task))
        if answers is None:
            without += 1
            continue
        for name, (xy, seen, seconds) in answers.items():
            tallies[name].add(xy, seen, clip, seconds)
        if options.strips and index < 2:
            draw_strips(options.strips / f"{variant}-{index}.png", clip, answers)
    if without == clips:
        raise FacetrackError("No face was found in the first frame of any clip; use --init truth.")
    rows: dict[str, dict[str, Any]] = {name: dict(t.figures()) for name, t in tallies.items()}
    for name, row in rows.items():
        row["speed_to_lk"] = row["fps"] / rows["lk"]["fps"] if "lk" in rows else None
        if name == "static":
            row["fps"] = row["speed_to_lk"] = None
        row["nrmse_by_clip"] = tallies[name].by_clip()
        row["clips_without_a_face"] = without
    return rows


def draw_strips(
    path: Path, clip: Clip, answers: dict[str, tuple[np.ndarray, np.ndarray, float]]
) -> None:
    """Draw frames from left to right; the truth on top, then a row for each tracker.

    Green points are visible, red points hidden. The truth is drawn in white underneath.
    """
    rows = {"truth": (clip.xy, clip.visible), **{n: a[:2] for n, a in answers.items()}}
    when = np.linspace(0, clip.frames - 1, STRIP).round().astype(int)
    frames = {int(t): clip.render(int(t)) for t in when}
    lines = []
    for name, (xy, seen) in rows.items():
        line = []
        for t, frame in frames.items():
            side = 3.4 * float(np.nanmean(clip.interocular))
            corner = np.nanmean(clip.xy[t], 0) - side / 2
            zoom = 280 / side
            matrix = np.column_stack([zoom * np.eye(2), -zoom * corner])
            cut = cv2.warpAffine(frame, matrix, (280, 280), flags=cv2.INTER_LINEAR)
            for layer, alone in ((clip.xy[t], (255, 255, 255)), (xy[t], None)):
                for point, is_seen in zip(zoom * (layer - corner), seen[t], strict=True):
                    if np.isfinite(point).all() and np.abs(point).max() < 1000:
                        colour = alone or ((0, 255, 0) if is_seen else (255, 0, 0))
                        at = np.round(point * 16).astype(int).tolist()
                        cv2.circle(cut, at, 28, colour, -1, cv2.LINE_AA, 4)
            line.append(cut)
        cv2.putText(line[0], name, (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 0), 2)
        lines.append(np.hstack(line))
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(np.vstack(lines), cv2.COLOR_RGB2BGR))


def run_badja(folder: Path, made: dict[str, PointTracker]) -> dict[str, dict[str, float]]:
    """Return the share of joints within NEAR pixels, per cent, by clip and tracker.

    Joints that are visible in the first annotated frame are tracked; they count in every later
    annotated frame where they are marked as visible.
    """
    shares: dict[str, dict[str, float]] = {}
    for table in sorted(folder.glob("*.npz")):
        with np.load(table, allow_pickle=False) as data:
            xy, visible, annotated = data["xy"], data["visible"], data["annotated"]
        first = int(np.flatnonzero(annotated)[0])
        joints = np.flatnonzero(visible[first] & np.isfinite(xy[first]).all(-1))
        found: dict[str, list[np.ndarray]] = {name: [] for name in made}
        states: dict[str, Any] = {}
        with VideoReader(table.with_suffix(".mp4"), first=first) as reader:
            near = NEAR * min(reader.info.width, reader.info.height) / 480
            for frame in reader:
                if not states:
                    start = xy[first, joints]
                    states = {name: t.start(frame.image, start) for name, t in made.items()}
                for name, tracker in made.items():
                    found[name].append(tracker.step(states[name], frame.image[None]).xy[0])
        later = slice(first + 1, first + len(next(iter(found.values()))))
        truth, shown = xy[later][:, joints], visible[later][:, joints]
        shown = shown & np.isfinite(truth).all(-1) & annotated[later][:, None]
        shares[table.stem] = {}
        for name, parts in found.items():
            close = np.linalg.norm(np.stack(parts[1:]) - truth, axis=-1) < near
            shares[table.stem][name] = 100 * float(close[shown].mean())
    if not shares:
        raise FacetrackError(f"{folder} holds no .npz of joints beside their videos.")
    return shares


def show(results: dict[str, dict[str, dict[str, Any]]], console: Console) -> None:
    """Print the tables."""
    for variant, rows in results.items():
        table = Table(title=variant)
        table.add_column("")
        for name in rows:
            table.add_column(name, justify="right")
        for key, title in COLUMNS.items():
            table.add_row(title, *(cell(key, row.get(key)) for row in rows.values()))
        console.print(table)


def without_nan(value: Any) -> Any:
    """Return a report with None in place of NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def arguments(args: list[str] | None = None) -> argparse.Namespace:
    """Return the parsed options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faces", type=Path, help="folder with landmarks68.npz")
    parser.add_argument("--every-face", action="store_true", help="not only the held-out ones")
    parser.add_argument("--badja", type=Path, help="folder of hand-marked animal clips")
    parser.add_argument("--videos", type=Path, help="real clips whose motion `real` borrows")
    parser.add_argument("--variants", default="clean,occluded,hard,long")
    parser.add_argument("--trackers", default="tapir,lk,per-frame,static")
    parser.add_argument("--whole-frame", action="store_true", help="tapir without window, too")
    parser.add_argument("--weights", default="tapir-s", help="bundled name or checkpoint")
    parser.add_argument("--init", choices=["truth", "ert"], default="truth")
    parser.add_argument(
        "--face-detector", default="hog", help="of per-frame; auto costs seconds on hidden faces"
    )
    parser.add_argument("--clips", type=int, default=20, help="clips a variant")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, help="of torch and OpenCV")
    parser.add_argument("--json", type=Path, help="write every figure here")
    parser.add_argument("--markdown", type=Path, help="write the tables here")
    parser.add_argument("--strips", type=Path, help="draw what was tracked into this folder")
    options = parser.parse_args(args)
    if not (options.faces or options.badja):
        parser.error("give --faces FOLDER, --badja FOLDER, or both")
    if options.clips < 1:
        parser.error("--clips must be at least 1")
    options.variants = options.variants.split(",")
    if REAL in options.variants and not options.videos:
        parser.error("the variant real needs --videos FOLDER")
    unknown = sorted(set(options.variants) - set(VARIANTS))
    if unknown:
        parser.error(f"no variant {unknown[0]}; choose from {', '.join(VARIANTS)}")
    return options


def run(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Return all figures, as the JSON file holds them."""
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
        cv2.setNumThreads(options.threads)
    tracker_options = TrackerOptions(
        weights=options.weights, device=options.device, precision=options.precision
    )
    names = options.trackers.split(",")
    results: dict[str, dict[str, dict[str, Any]]] = {}
    described: dict[str, Any] = {}
    if options.faces:
        pictures = Faces(options.faces, options.every_face)
        made = make_trackers(names, tracker_options, options.whole_frame, options.face_detector)
        described = {name: tracker.describe() for name, tracker in made.items()}
        for variant in options.variants:
            motions = of_folder(options.videos, options.clips) if variant == REAL else []
            results[variant] = run_variant(pictures, variant, made, options, progress, motions)
    badja: dict[str, dict[str, float]] = {}
    if options.badja:
        # The face detector finds no joints, and a window would follow a single animal.
        plain = [n for n in names if n not in ("tapir", "per-frame")]
        whole = make_trackers(plain, tracker_options, "tapir" in names, options.face_detector)
        described |= {name: tracker.describe() for name, tracker in whole.items()}
        badja = run_badja(options.badja, whole)
    return {
        "results": results,
        "badja": badja,
        "trackers": described,
        "seed": options.seed,
        "clips": options.clips,
        "init": options.init,
        "faces_sha256": None if options.every_face else sha256_of(HELD_OUT),
        "threads": torch.get_num_threads(),
        "versions": {
            "facetrack": facetrack.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "opencv": cv2.__version__,
            "numpy": np.__version__,
        },
    }


def main() -> int:
    """Run and return the exit code."""
    options = arguments()
    try:
        with Progress(console=Console(stderr=True)) as progress:
            report = run(options, progress)
    except FacetrackError as error:
        print(error, file=sys.stderr)
        return 2
    tables = markdown(report["results"], report["badja"])
    console = Console()
    show(report["results"], console)
    for clip, shares in report["badja"].items():
        console.print(clip, {name: round(share, 1) for name, share in shares.items()})
    if options.json:
        with atomic_path(options.json) as path:
            path.write_text(json.dumps(without_nan(report), indent=1, allow_nan=False) + "\n")
    if options.markdown:
        with atomic_path(options.markdown) as path:
            path.write_text(tables)
    return 0


if __name__ == "__main__":
    sys.exit(main())
