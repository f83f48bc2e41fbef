"""Measure landmark detectors on faces that the border of the picture cuts off.

    python benchmarks/accuracy/cut_off.py --faces FOLDER [--detectors star,fan]
        [--weights star=FILE] [--within 1,0.75,0.6,0.45] [--face-detector auto] [--tile FILE.png]

FOLDER holds pictures of faces with `landmarks68.npz`; only those of `heldout_faces.txt` are used.
Each is cut on one side, left, below, right and above in turn, so that a share of the landmarks
stays within the picture. Faces are found by facetrack's own face detection.

- found: share of the faces that the face detection finds.
- seen: mean distance of the landmarks within the picture from the truth, per cent of the distance
  between the outer eye corners; 90 %: of nine in ten faces it is at most this.
- outside: the same of the landmarks outside, which the detector can only guess.
- score: mean score of the landmarks outside, and of the others.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.accuracy.detectors import nearest, tiles
from benchmarks.common.heldout import Face, Faces
from facetrack import detectors, face_detectors

SIDES = ((0, 1), (1, -1), (0, -1), (1, 1))
"""Axis and direction in which the picture is kept: left, below, right and above are cut off."""


def cut(face: Face, side: int, within: float) -> tuple[Face, np.ndarray]:
    """Cut a picture so that a share of the landmarks stays within it.

    Args:
        side: index into SIDES.
        within: share of the landmarks to keep; 1 leaves the picture as it is.

    Returns:
        The smaller picture with its landmarks, and (68,) bool which of them lie within it.
    """
    image, points = face
    if within >= 1:
        return face, np.ones(len(points), bool)
    axis, direction = SIDES[side]
    limit = float(np.quantile(points[:, axis], within if direction < 0 else 1 - within))
    edge = int(np.clip(round(limit), 1, image.shape[1 - axis] - 1))
    first, end = (edge, None) if direction > 0 else (0, edge)
    kept = image[:, first:end] if axis == 0 else image[first:end]
    moved = points.copy()
    moved[:, axis] -= first
    inside = (moved > -0.5) & (moved < np.array(kept.shape[1::-1]) - 0.5)
    return Face(np.ascontiguousarray(kept), moved), inside.all(-1)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--detectors", default="ert,pipnet,fan,star,heatmap1d")
    parser.add_argument("--weights", action="append", default=[], metavar="DETECTOR=FILE")
    parser.add_argument("--within", default="1,0.75,0.6,0.45")
    parser.add_argument("--face-detector", default="auto")
    parser.add_argument("--tile", type=Path, help="draw the answers on some faces")
    options = parser.parse_args()
    chosen = dict(entry.split("=", 1) for entry in options.weights)
    finder = face_detectors.create(options.face_detector)
    known = Faces(options.faces)
    made = {
        name: detectors.create(name, detectors.DetectorOptions(weights=chosen.get(name, "auto")))
        for name in options.detectors.split(",")
    }
    print("| within | detector | found % | seen | 90 % | outside | score outside, seen |")
    print("|---|---|---|---|---|---|---|")
    for within in map(float, options.within.split(",")):
        cuts = [cut(known[i], i % len(SIDES), within) for i in range(len(known.names))]
        boxes = [nearest(finder.detect(face.image).boxes, face.points) for face, _ in cuts]
        found = [(*pair, box) for pair, box in zip(cuts, boxes, strict=True) if box is not None]
        truth = np.array([face.points for face, _, _ in found])
        inside = np.array([mask for _, mask, _ in found])
        for name, detector in made.items():
            answers = [detector.detect(face.image, box[None]) for face, _, box in found]
            xy = np.array([answer.xy[0] for answer in answers])
            score = np.array([answer.score[0] for answer in answers])
            away = np.linalg.norm(xy - truth, axis=-1)
            away *= 100 / np.linalg.norm(truth[:, 36] - truth[:, 45], axis=-1)[:, None]
            of_faces = [float(np.nanmean(a[mask])) for a, mask in zip(away, inside, strict=True)]
            cells = [
                f"{within:g}",
                name,
                f"{100 * len(found) / len(cuts):.1f}",
                f"{np.mean(of_faces):.2f}",
                f"{np.percentile(of_faces, 90):.2f}",
                f"{np.nanmean(away[~inside]):.2f}" if (~inside).any() else "-",
                f"{score[~inside].mean():.2f}, {score[inside].mean():.2f}"
                if (~inside).any()
                else f"-, {score.mean():.2f}",
            ]
            print(f"| {' | '.join(cells)} |", flush=True)
            if options.tile:
                picture = tiles([face.image for face, _, _ in found[:28]], xy[:28])
                path = options.tile.with_stem(f"{options.tile.stem}-{name}-{within:g}")
                cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
