"""Compare landmark detectors on annotated faces that no training has seen.

    python benchmarks/accuracy/detectors.py --faces FOLDER [--every-face] [--face-detector auto]
        [--detectors pipnet,star,ert] [--weights star=FILE] [--threads 2] [--tile FILE.png]

FOLDER holds pictures of faces with `landmarks68.npz`; only those of `heldout_faces.txt` are used,
or all with --every-face. Faces are found by facetrack's own face detection, once for all landmark
detectors. If a picture shows several, the face nearest to the annotated one counts. A face that is
not found has no error and counts as failed (more than 10 %).

- NME: mean distance of the 68 points, per cent of the distance between the outer eye corners.
- FR: share of faces whose NME is above 10 %. AUC: of the cumulative curve up to 10 %.
- stray: faces with a point that is off by more than 30 %.
- exact: NME in the box of the annotation, without face detection.
- ms: median time per face, without face detection; and as a ratio to the first detector's.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.common.heldout import Faces
from facetrack import detectors, face_detectors
from facetrack.detectors.crops import hog_box
from facetrack.evaluation import metrics
from facetrack.landmarks import schemes
from facetrack.viz.overlay import draw_landmarks

REGIONS = ("jaw", "brows", "nose", "eyes", "mouth")
SPANS = (slice(0, 17), slice(17, 27), slice(27, 36), slice(36, 48), slice(48, 68))
TILE = 192
STRAY = 30.0
"""Per cent of the distance between the outer eye corners beyond which a point has gone astray."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--every-face", action="store_true")
    parser.add_argument("--face-detector", default="auto")
    parser.add_argument("--detectors", default="ert,pipnet,fan,star,heatmap1d")
    parser.add_argument("--weights", action="append", default=[], metavar="DETECTOR=FILE")
    parser.add_argument("--flip", action="store_true")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tile", type=Path, help="draw the answers on every eighth face")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    chosen = dict(entry.split("=", 1) for entry in options.weights)

    known = Faces(options.faces, options.every_face)
    shown = [known[i] for i in range(len(known.names))]
    truth = np.array([face.points for face in shown])
    finder = face_detectors.create(options.face_detector)
    boxes = [nearest(finder.detect(face.image).boxes, face.points) for face in shown]
    missed = sum(box is None for box in boxes)
    print(f"{len(shown)} faces, {missed} not found by {options.face_detector}\n")
    print(f"| detector | NME | FR | AUC | {' | '.join(REGIONS)} | stray | exact | ms | ratio |")
    print("|---|" + "---|" * (len(REGIONS) + 7))
    reference = None
    for name in options.detectors.split(","):
        made = detectors.create(
            name,
            detectors.DetectorOptions(
                weights=chosen.get(name, "auto"), flip=options.flip, precision=options.precision
            ),
        )
        seconds: list[float] = []
        answers, exact = np.full(truth.shape, np.nan), np.full(truth.shape, np.nan)
        for i, (face, box) in enumerate(zip(shown, boxes, strict=True)):
            exact[i] = made.detect(face.image, hog_box(face.points)[None]).xy[0]
            if box is None:
                continue
            began = time.perf_counter()
            answers[i] = made.detect(face.image, box[None]).xy[0]
            seconds.append(time.perf_counter() - began)
        corners = schemes.get("68").eye_corners
        nme, own = (metrics.nme_ic(each, truth, corners) for each in (answers, exact))
        away = np.linalg.norm(answers - truth, axis=-1)
        away *= 100 / np.linalg.norm(truth[:, 36] - truth[:, 45], axis=-1)[:, None]
        parts = [f"{np.nanmean(away[:, span]):.2f}" for span in SPANS]
        median = 1000 * float(np.median(seconds))
        reference = reference or median
        cells = [
            name,
            f"{metrics.mean_nme(nme):.2f}",
            f"{100 * metrics.failure_rate(nme):.2f}",
            f"{100 * metrics.auc(nme, metrics.AUC_IC):.1f}",
            *parts,
            str(int((away > STRAY).any(1).sum())),
            f"{metrics.mean_nme(own):.2f}",
            f"{median:.1f}",
            f"{median / reference:.2f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
        if options.tile:
            picture = tiles([f.image for f in shown[::8]], answers[::8])
            path = options.tile.with_stem(f"{options.tile.stem}-{name}")
            cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def nearest(boxes: np.ndarray, points: np.ndarray) -> np.ndarray | None:
    """Return the box (4,) whose centre is nearest to that of the face, if it lies on the face."""
    if not len(boxes):
        return None
    wanted = hog_box(points)
    away = np.linalg.norm(boxes[:, :2] + boxes[:, 2:] - wanted[:2] - wanted[2:], axis=-1) / 2
    best = int(np.argmin(away))
    return boxes[best] if away[best] < (wanted[2] - wanted[0]) / 2 else None


def tiles(images: list[np.ndarray], answers: np.ndarray) -> np.ndarray:
    """Return the pictures with their landmarks, side by side."""
    scheme = schemes.get("68")
    made = []
    for image, xy in zip(images, answers, strict=True):
        size = TILE / max(image.shape[:2])
        small = cv2.resize(image, None, fx=size, fy=size, interpolation=cv2.INTER_AREA)
        xy = np.float32((xy + 0.5) * size - 0.5)[None]
        seen = np.isfinite(xy).all(-1)
        small = draw_landmarks(small, xy, seen, seen.astype(np.float32), scheme)
        tile = np.zeros((TILE, TILE, 3), np.uint8)
        tile[: small.shape[0], : small.shape[1]] = small[:TILE, :TILE]
        made.append(tile)
    made += [np.zeros((TILE, TILE, 3), np.uint8)] * (-len(made) % 7)
    rows = [np.concatenate(made[i : i + 7], 1) for i in range(0, len(made), 7)]
    return np.concatenate(rows)


if __name__ == "__main__":
    main()
