"""Measure how later detections improve the first points: `--redetect auto` against `never`.

    python benchmarks/calibration/fusion.py --faces FOLDER [--clips 6]
        [--variants calm-long,long] [--init star]

Clips of held-out faces with exact truth (see tracking.py), tracked as `facetrack track` does, from
the landmarks that are detected in the first frames. Per cent of the distance between the outer eye
corners, over the points that are visible:

- error: mean distance from the annotation, moved with the face.
- late: the same in the second half of each clip.
- stray: share of the points that are off by more than 15 %.
- jitter: mean length of the second difference.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import facetrack
from benchmarks.clips.warped_faces import Clip, make_clip
from benchmarks.common.heldout import Faces

STRAY = 15.0
COLUMNS = ("error", "late", "stray", "jitter")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--variants", default="calm-long,long")
    parser.add_argument("--init", default="star")
    options = parser.parse_args()
    faces = Faces(options.faces)
    print(f"| {options.init}, {options.clips} clips each | redetect | {' | '.join(COLUMNS)} |")
    print("|---|---|" + "---:|" * len(COLUMNS))
    for variant in options.variants.split(","):
        found: dict[str, list[list[float]]] = {"never": [], "auto": []}
        for index in range(options.clips):
            clip = make_clip(faces, variant, index)
            with tempfile.TemporaryDirectory() as folder:
                write(clip, Path(folder))
                for redetect, rows in found.items():
                    tracks = facetrack.track(folder, init=options.init, redetect=redetect)
                    rows.append(figures(tracks.xy[:, 0], clip))
        for redetect, rows in found.items():
            means = " | ".join(f"{v:.2f}" for v in np.mean(rows, axis=0))
            print(f"| {variant} | {redetect} | {means} |", flush=True)


def write(clip: Clip, folder: Path) -> None:
    """Write the clip as losslessly compressed pictures."""
    frames = (frame for chunk in clip.chunks() for frame in chunk)
    for t, frame in enumerate(frames):
        path = folder / f"{t:05d}.png"
        cv2.imwrite(str(path), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))


def figures(xy: np.ndarray, clip: Clip) -> list[float]:
    """Return the figures in COLUMNS of tracked points (T, 68, 2)."""
    known = clip.visible & np.isfinite(xy).all(-1)
    unit = 100 / np.nanmean(clip.interocular)
    error = np.where(known, np.linalg.norm(xy - clip.xy, axis=-1), np.nan) * unit
    bent = np.linalg.norm(xy[2:] - 2 * xy[1:-1] + xy[:-2], axis=-1) * unit
    bent = np.where(known[2:] & known[1:-1] & known[:-2], bent, np.nan)
    late = error[len(error) // 2 :]
    stray = 100 * float((error[known] > STRAY).mean())
    return [float(np.nanmean(error)), float(np.nanmean(late)), stray, float(np.nanmean(bent))]


if __name__ == "__main__":
    main()
