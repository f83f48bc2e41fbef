"""Measure what a landmark network gains from a few corrected frames of one person.

    python benchmarks/accuracy/own_detector.py --faces FOLDER [--people 5] [--corrected 12]
        [--start star-s] [--minutes 5] [--steps N] [--keep FOLDER] [--json FILE]

FOLDER holds pictures of faces with `landmarks68.npz`; only those of `heldout_faces.txt` are used.
Each person is one of these faces, which moves and talks in a rendered clip with exact truth. Frames
of the clip's first two thirds are given to the training as `facetrack export faces` writes them,
with --click pixels of error; every tenth frame of the last third is measured. Errors are mean
distances of the points, per cent of the distance between the outer eye corners, in boxes that are
as far off as a face detector's:

- start: of the network that the training began with.
- own: of the network that knows the person.
- others, start and own: of both on the photographs of the other held-out people, which says what
  was forgotten.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.clips.warped_faces import VARIANTS, Clip, make_clip
from benchmarks.common.heldout import Faces
from facetrack.api.export_faces import write_crop
from facetrack.detectors import DetectorOptions, LandmarkDetector, create
from facetrack.detectors.crops import hog_box
from facetrack.files import atomic_path
from facetrack.landmarks import schemes
from facetrack.training.detectors.adapting import LEARNING_RATE, Start, adapt, find_start
from facetrack.training.detectors.data import HeldOut, jittered
from facetrack.training.detectors.train import Recipe, measured

VARIANT = replace(VARIANTS["calm-talking"], frames=300, liveliness=0.8)
EVERY = 10
CHUNK = 8
SEED = 3


def frames_of(clip: Clip, chosen: list[int]) -> dict[int, np.ndarray]:
    """Return the frames (H, W, 3) of a clip, by number."""
    found, t = {}, 0
    for chunk in clip.chunks(CHUNK):
        for frame in chunk:
            if t in chosen:
                found[t] = frame.copy()
            t += 1
    return found


def write_faces(
    frames: dict[int, np.ndarray], truth: np.ndarray, click: float, folder: Path
) -> None:
    """Write frames as corrected faces, with points off by `click` pixels (standard deviation)."""
    random, names, points = np.random.default_rng(SEED), [], []
    for t, image in sorted(frames.items()):
        name = f"clip.face0.{t:06d}.jpg"
        xy = truth[t] + click * random.standard_normal(truth[t].shape)
        points.append(write_crop(image, xy, folder / name))
        names.append(name)
    np.savez(folder / "landmarks68.npz", names=np.array(names), points=np.array(points))


def error(detector: LandmarkDetector, faces: HeldOut) -> float:
    """Return the mean error on faces, per cent of the distance between the eye corners."""
    boxes = jittered(hog_box(faces.points))
    return measured(detector, faces, boxes, schemes.get("68"))["nme_ic"]


def run_person(
    pictures: Faces, index: int, start: Start, options: argparse.Namespace, folder: Path
) -> dict[str, Any] | None:
    """Return a person's name and errors; None if not enough frames show the whole face."""
    clip = make_clip(pictures, "person", index, options.seed)
    known = np.isfinite(clip.xy).all((1, 2))
    early = [t for t in range(2 * clip.frames // 3) if known[t]]
    if len(early) < options.corrected:
        return None  # a photograph that cuts off a part of the face
    chosen = np.linspace(0, len(early) - 1, options.corrected).round().astype(int)
    learned = [early[i] for i in chosen]
    later = [t for t in range(2 * clip.frames // 3 + EVERY, clip.frames, EVERY) if known[t]]
    frames = frames_of(clip, learned + later)
    faces, out = folder / "faces", folder / "out"
    faces.mkdir(parents=True)
    write_faces({t: frames[t] for t in learned}, clip.xy, options.click, faces)
    recipe = Recipe(
        minutes=options.minutes,
        steps=options.steps,
        batch=options.batch,
        workers=options.threads,
        learning_rate=options.learning_rate,
    )
    adapt(start, recipe, faces, out, torch.device("cpu"))
    person = HeldOut([frames[t] for t in later], clip.xy[later])
    order = np.random.default_rng([options.seed, 0]).permutation(len(pictures.names))
    name = pictures.names[int(order[index])]  # as `make_clip` chooses
    rest = [i for i in range(len(pictures.names)) if pictures.names[i] != name]
    others = [pictures[i] for i in rest[:: options.others_every]]
    strangers = HeldOut([f.image for f in others], np.array([f.points for f in others]))
    row: dict[str, Any] = {"face": name, "frames": [len(learned), len(later)]}
    paths = {"start": start.path, "own": out / f"{start.arch}.safetensors"}
    for key, path in paths.items():
        detector = create(str(start.arch), DetectorOptions(weights=str(path), device="cpu"))
        row[key] = error(detector, person)
        row[f"others, {key}"] = error(detector, strangers)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--people", type=int, default=5)
    parser.add_argument("--corrected", type=int, default=12, help="frames")
    parser.add_argument("--start", default="star-s")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE)
    parser.add_argument("--click", type=float, default=0.5, help="pixels, standard deviation")
    parser.add_argument("--others-every", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder for faces and weights")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    VARIANTS["person"] = VARIANT
    pictures, start, console = Faces(options.faces), find_start(options.start), Console()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        for index in itertools.count():
            if len(rows) == options.people:
                break
            row = run_person(pictures, index, start, options, folder / str(index))
            if row is not None:
                rows.append(row)
                console.print(row)
    table = Table()
    columns = [key for key, value in rows[0].items() if isinstance(value, float)]
    for key in columns:
        table.add_column(key, justify="right")
    table.add_row(*(f"{np.mean([row[key] for row in rows]):.2f}" for key in columns))
    console.print(table)
    if options.json:
        with atomic_path(options.json) as path:
            path.write_text(json.dumps({"people": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
