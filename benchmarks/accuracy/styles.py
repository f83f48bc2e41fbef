"""See how far style aggregation hides the style of a picture, on faces that no training has seen.

    python benchmarks/accuracy/styles.py --faces FOLDER [--detectors san,dan] [--weights san=FILE]
        [--picture FILE]

FOLDER holds pictures of faces with `landmarks68.npz`; only those of `heldout_faces.txt` are tested,
in boxes that scatter as a face detector's do. Each is redrawn by the filters of
`facetrack.training.detectors.styles`, or with less light. One row a style:

- pictures: mean absolute difference of the redrawn crop from the original one, in per cent of the
  mean difference between the crops of two people.
- aggregated: the same of what san's generator draws from them. Because both are in the unit of
  their own differences between people, a generator that draws everybody alike gains nothing.
- NME of each detector: mean distance of the points, per cent of the distance between the outer eye
  corners.

--picture writes ten of the faces, a row a style, each row above what the generator makes of it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from facetrack import detectors
from facetrack.detectors.cascades.base import CascadeDetector
from facetrack.detectors.cascades.san import San
from facetrack.detectors.crops import hog_box
from facetrack.evaluation import metrics
from facetrack.landmarks import schemes
from facetrack.training.detectors import styles
from facetrack.training.detectors.data import HeldOut, jittered, load_held_out

DARK = 0.4
"""Share of the light in pictures that are dark, which is no style of the training."""
STYLES: dict[str, Callable[[Tensor], Tensor]] = {
    "original": lambda pictures: pictures,
    **{style.__name__: style for style in styles.STYLES},
    "dark": lambda pictures: DARK * pictures,
}
"""The styles by name."""
SHOWN = 10
"""Faces on the picture."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--detectors", default="san,dan", help="cascades of 68 points")
    parser.add_argument("--weights", action="append", default=[], metavar="DETECTOR=FILE")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    chosen = dict(entry.split("=", 1) for entry in options.weights)
    names = options.detectors.split(",")
    found = {
        name: detectors.create(
            name, detectors.DetectorOptions(chosen.get(name, "auto"), "cpu", precision="float32")
        )
        for name in dict.fromkeys(["san", *names])
    }
    san = found["san"]
    assert isinstance(san, San)

    faces = load_held_out(options.faces, "68")
    boxes = jittered(hog_box(faces.points))
    given: dict[str, Tensor] = {}
    drawn: dict[str, Tensor] = {}
    print(f"| style | pictures | aggregated |{''.join(f' {name} |' for name in names)}")
    print("|---|" + "---:|" * (2 + len(names)))
    for name in STYLES:
        crops = np.stack([crop for crop, _ in cut(san, faces, boxes, name)])
        given[name] = (san.prepare(crops) + 1) / 2
        drawn[name] = aggregate(san, crops)
        cells = [f"{differ(pictures, name):.1f}" for pictures in (given, drawn)]
        cells += [f"{error(found[d], faces, boxes, name):.2f}" for d in names]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    if options.picture is not None:
        rows = [p[name][:SHOWN] for name in STYLES for p in (given, drawn)]
        tiles = torch.cat([torch.cat(list(row), 2) for row in rows], 1).permute(1, 2, 0)
        shown = (255 * tiles.clamp(0, 1)).round().byte().numpy()
        cv2.imwrite(str(options.picture), shown[..., ::-1])


def cut(
    detector: CascadeDetector, faces: HeldOut, boxes: np.ndarray, style: str
) -> list[tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]]:
    """Return each face's crop (256, 256, 3), redrawn in a style, and its placement."""
    cuts = []
    for image, box in zip(faces.images, boxes, strict=True):
        crop, placement = detector.crop(image, detector.crop_box(box)) or sys.exit("no crop")
        picture = torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255
        styled = (STYLES[style](picture)[0] * 255).round().byte().permute(1, 2, 0)
        cuts.append((styled.numpy(), placement))
    return cuts


def aggregate(san: San, crops: np.ndarray) -> Tensor:
    """Return what the generator draws from crops: (M, 3, SIDE, SIDE) in [0, 1]."""
    with torch.inference_mode():
        parts = [san.network.generator(p) for p in san.prepare(crops).split(32)]
    return (torch.cat(parts) + 1) / 2


def differ(pictures: dict[str, Tensor], style: str) -> float:
    """Return how far the pictures of a style are from the original ones; see the module."""
    original = pictures["original"]
    people = (original - original.roll(1, 0)).abs().mean()
    return float(100 * (pictures[style] - original).abs().mean() / people)


def error(detector: CascadeDetector, faces: HeldOut, boxes: np.ndarray, style: str) -> float:
    """Return the mean NME in per cent of a detector on faces in a style."""
    crops, placements = zip(*cut(detector, faces, boxes, style), strict=True)
    xy = np.concatenate([detector.landmarks(crop[None])[0] for crop in crops])
    points = [detector.to_image(p, placement) for p, placement in zip(xy, placements, strict=True)]
    corners = schemes.get("68").eye_corners or (36, 45)
    return metrics.mean_nme(metrics.nme_ic(np.array(points), faces.points, corners))


if __name__ == "__main__":
    main()
