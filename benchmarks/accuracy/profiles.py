"""Measure landmark detectors on faces that are turned out of plane by face profiling.

    python benchmarks/accuracy/profiles.py --faces FOLDER [--detectors star,fan]
        [--weights star=FILE] [--angles 0,30,60,80] [--tile FILE.png]

FOLDER holds pictures of faces with `landmarks68.npz`; only those of `heldout_faces.txt` are used
that look into the camera. Each is turned to both sides (`facetrack.training.detectors.profiling`).
Detectors get the exact box of the turned landmarks.

- NME: mean distance of the points, per cent of the diagonal of the box around the turned landmarks.
- ratio: to that of the same faces without a turn.
- FR: share of faces off by more than 5 % of the diagonal.
- hidden, seen: NME of the points that the head covers, and of the others.
- score: mean score of the points that are hidden, and of the others.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from facetrack import detectors
from facetrack.detectors.crops import hog_box
from facetrack.training.detectors import profiling
from facetrack.training.detectors.data import Faces, load

FAILURE = 0.05
TILES = 6


def turned_faces(
    faces: Faces, profiles: profiling.Profiles, degrees: float
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return pictures, points (M, 68, 2) and hidden (M, 68) of the faces that can be turned."""
    pictures, points, hidden = [], [], []
    side = faces.pictures.shape[-1]
    axis = torch.arange(side).float()
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    places = torch.stack([columns, rows], -1).view(1, -1, 2)
    for m in range(len(faces.pictures)):
        own = float(profiles.depths.yaw[m])
        if abs(own) > profiling.FRONTAL:
            continue
        toward = math.copysign(1, own) if abs(own) > profiling.STRAIGHT else (-1) ** m
        yaw = torch.tensor([toward * math.radians(degrees) - own if degrees else 0.0])
        index = torch.tensor([m])
        known = faces.points[index]
        frames = profiles.frames[index]
        depths = profiling.Depths(*(value[index] for value in profiles.depths))
        turn = profiling.turn_faces(depths, profiling.to_frame(known, frames), yaw)
        moved = profiling.from_frame(turn.points, frames)
        turned = profiling.Turned(moved, turn.hidden, yaw, index * 0, frames, turn.source)
        grid = (turned.carry(places) + 0.5) / side * 2 - 1
        seen = F.grid_sample(
            faces.pictures[index].float(), grid.view(1, side, side, 2), align_corners=False
        )
        pictures.append(seen[0].round().byte().permute(1, 2, 0).numpy().copy())
        points.append(moved[0].numpy().astype(float))
        hidden.append(turn.hidden[0].numpy())
    return pictures, np.array(points), np.array(hidden)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--detectors", default="ert,pipnet,fan,star,heatmap1d")
    parser.add_argument("--weights", action="append", default=[], metavar="DETECTOR=FILE")
    parser.add_argument("--angles", default="0,30,60,80")
    parser.add_argument("--tile", type=Path, help="draw the answers on some faces")
    options = parser.parse_args()
    chosen = dict(entry.split("=", 1) for entry in options.weights)
    faces = load(options.faces, "68", torch.device("cpu"), held_out=True)
    profiles = profiling.Profiles(faces.points.numpy().astype(float), torch.device("cpu"))
    angles = [float(angle) for angle in options.angles.split(",")]
    sets = {angle: turned_faces(faces, profiles, angle) for angle in angles}
    print(f"{len(sets[angles[0]][0])} faces\n")
    print("| detector | degrees | NME | ratio | FR | seen | hidden | score seen | hidden |")
    print("|---|" + "---:|" * 8)
    tiles = []
    for name in options.detectors.split(","):
        made = detectors.create(
            name, detectors.DetectorOptions(weights=chosen.get(name, "auto"), device="cpu")
        )
        first = None
        for angle, (pictures, truth, hidden) in sets.items():
            found = [
                made.detect(picture, hog_box(points)[None])
                for picture, points in zip(pictures, truth, strict=True)
            ]
            xy = np.array([marks.xy[0] for marks in found])
            score = np.array([marks.score[0] for marks in found])
            diagonal = np.hypot(*np.ptp(truth, axis=1).T)
            away = np.linalg.norm(xy - truth, axis=-1) / diagonal[:, None]
            error = float(away.mean())
            first = first or error
            cells = [
                f"{100 * error:.2f}",
                f"{error / first:.2f}",
                f"{100 * (away.mean(1) > FAILURE).mean():.1f}",
                f"{100 * away[~hidden].mean():.2f}",
                f"{100 * away[hidden].mean():.2f}" if hidden.any() else "-",
                f"{score[~hidden].mean():.2f}",
                f"{score[hidden].mean():.2f}" if hidden.any() else "-",
            ]
            print(f"| {name} | {angle:g} | {' | '.join(cells)} |", flush=True)
            tiles.append(
                np.hstack(
                    [draw(*pair) for pair in zip(pictures[::20], xy[::20], strict=True)][:TILES]
                )
            )
    if options.tile:
        cv2.imwrite(str(options.tile), cv2.cvtColor(np.vstack(tiles), cv2.COLOR_RGB2BGR))


def draw(picture: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Return a picture with points on it."""
    picture = picture.copy()
    for x, y in xy:
        cv2.circle(picture, (round(float(x)), round(float(y))), 1, (0, 255, 0), -1)
    return picture[40:-40, 40:-40]


if __name__ == "__main__":
    main()
