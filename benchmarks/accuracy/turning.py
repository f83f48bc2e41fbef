"""Measure heads that turn far away from the camera and back, on every frame.

    python benchmarks/accuracy/turning.py --faces FOLDER [--clips 8] [--trackers tapir,lk]
        [--tracker-weights FILE] [--save FOLDER]

FOLDER holds pictures of faces with `landmarks68.npz`; only those of `heldout_faces.txt` are used.
Each clip is a rendered head (`benchmarks/clips/turned_heads.py`) that looks into the camera, turns
to one side, comes back, turns to the other side, and nods and rolls a little meanwhile. So the
place of every landmark is known, also on the side that is not seen. `facetrack.track` runs as on
any video: nothing is given to it.

Figures by how far the head is turned sideways. Errors are per cent of the distance between the
outer eye corners as it is seen from the front:

- error: mean distance of all landmarks, and of those that count as visible.
- far: share of the landmarks that count as visible and are off by more than 15 per cent.
- beside: share of all landmarks that are off by more than 25 per cent.

A second table says what the confidences mean: the share of landmarks within 10 per cent, and the
mean error, by the confidence that the tracker gives them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import facetrack
from benchmarks.clips.turned_heads import CAMERA, SIZE, Head, heads, render
from benchmarks.common.heldout import Faces
from facetrack.measures import face_model, rotations
from facetrack.video.encoder import VideoEncoder

FPS, FRAMES = 25.0, 150
TURN, NOD, ROLL = 55.0, 10.0, 8.0
"""Degrees to either side. Beyond, the rendered heads are too smeared to be anybody's."""
NEAR, FAR = 450.0, 750.0
"""Distances from the camera in mm."""
BANDS = ((0, 15), (15, 30), (30, 45), (45, 70))
OFF, BESIDE = 15.0, 25.0
CONFIDENCES, NEAR_BY = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98, 1.0), 10.0


@dataclass(frozen=True)
class Turning:
    """A clip of a turning head.

    Attributes:
        images: (480, 640, 3) uint8 RGB each.
        xy: (T, 68, 2) landmarks in pixels.
        turn: (T,) degrees by which the head is turned sideways.
        unit: (T,) pixels between the outer eye corners as seen from the front.
    """

    images: list[np.ndarray]
    xy: np.ndarray
    turn: np.ndarray
    unit: np.ndarray


def make(head: Head, random: np.random.Generator, every: int = 1) -> Turning:
    """Render the clip of one head, or every so many-th of its frames."""
    time = np.arange(0, FRAMES, every) / (FRAMES - 1)
    first = random.choice((-1, 1))
    swing = np.sin(2 * np.pi * time) * random.uniform(0.85, 1)
    # Slower at the ends than a sine: heads rest where they look.
    yaw = first * TURN * np.sign(swing) * np.abs(swing) ** 0.8
    nods, rolls = (
        most * np.sin(2 * np.pi * (random.uniform(1, 2) * time)) * random.uniform(0.3, 1)
        for most in (NOD, ROLL)
    )
    depth = random.uniform(NEAR, FAR)
    place = np.array([*random.uniform(-1, 1, 2) * (0.15, 0.08), 1]) * depth
    turns = rotations.from_angles(np.radians(np.stack([nods, yaw, rolls], -1)))
    pictures = [render(head, turn, place) for turn in turns]
    unit = np.full(len(time), CAMERA.focal / depth * face_model.EYE_CORNER_DISTANCE)
    images = [picture.image for picture in pictures]
    xy = np.array([picture.points for picture in pictures])
    return Turning(images, xy, rotations.sideways(turns), unit)


def write(clip: Turning, path: Path) -> None:
    """Write a clip as a video."""
    with VideoEncoder(path, SIZE, audio_from=None, start_time=0.0) as encoder:
        for t, image in enumerate(clip.images):
            encoder.write(image, t / FPS)


def followed(tracks: facetrack.Tracks) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the points (T, 68, 2) of the face that is seen best in each frame.

    Beside them which are seen, and their confidences. There is one head only, but it may count as
    another person once it has turned.
    """
    known = np.isfinite(tracks.xy).all((2, 3))
    best = np.where(known, 1 + tracks.visible.sum(-1), 0).argmax(1)
    rows = np.arange(len(best))
    return tracks.xy[rows, best], tracks.visible[rows, best], tracks.confidence[rows, best]


def draw(clip: Turning, xy: np.ndarray, visible: np.ndarray, path: Path, every: int = 6) -> None:
    """Write a sheet of frames: the truth in blue, points in white, or red where hidden."""
    tiles = []
    for t in range(0, len(clip.images), every):
        picture = clip.images[t].copy()
        for x, y in clip.xy[t]:
            cv2.circle(picture, (round(x), round(y)), 1, (60, 120, 255), -1)
        for (x, y), seen in zip(xy[t], visible[t], strict=True):
            if np.isfinite(x):
                colour = (255, 255, 255) if seen else (255, 0, 0)
                cv2.circle(picture, (round(float(x)), round(float(y))), 2, colour, 1)
        low, high = clip.xy[t].min(0) - 40, clip.xy[t].max(0) + 40
        (x0, y0), (x1, y1) = np.clip([low, high], 0, np.array(SIZE)).astype(int)
        tiles.append(cv2.resize(picture[y0:y1, x0:x1], (300, 300)))
    columns = 5
    while len(tiles) % columns:
        tiles.append(np.zeros_like(tiles[0]))
    rows = [np.hstack(tiles[k : k + columns]) for k in range(0, len(tiles), columns)]
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--every-face", action="store_true")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--trackers", default="tapir")
    parser.add_argument("--tracker-weights", default="auto")
    parser.add_argument("--save", type=Path, help="write videos and sheets of frames here")
    options = parser.parse_args()
    known = Faces(options.faces, options.every_face)
    faces = [known[i] for i in range(0, len(known.names), 3)]
    made = heads([face.image for face in faces], np.array([face.points for face in faces]))
    gathered: dict[str, list[tuple[np.ndarray, ...]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        at = options.save or Path(folder)
        at.mkdir(parents=True, exist_ok=True)
        for number, head in zip(range(options.clips), made, strict=False):
            clip = make(head, np.random.default_rng(number))
            path = at / f"turning-{number}.mp4"
            write(clip, path)
            for name in options.trackers.split(","):
                tracks = facetrack.track(
                    path, tracker=name, tracker_weights=options.tracker_weights
                )
                xy, visible, confidence = followed(tracks)
                off = 100 * np.linalg.norm(xy - clip.xy, axis=-1) / clip.unit[:, None]
                gathered.setdefault(name, []).append((off, visible, clip.turn, confidence))
                if options.save:
                    print(f"clip {number}, {name}: {np.nanmean(off):.1f} %", file=sys.stderr)
                    draw(clip, xy, visible, path.with_name(f"{path.stem}-{name}.png"))
    bands = [f"{low} to {high} degrees" for low, high in BANDS]
    print(f"| error, of visible; far; beside | {' | '.join(bands)} | no answer |")
    print(f"|---|{'---:|' * (len(BANDS) + 1)}")
    for name, parts in gathered.items():
        off, visible, turn, _ = (np.concatenate(values) for values in zip(*parts, strict=True))
        cells = []
        for low, high in BANDS:
            rows = (turn >= low) & (turn < high)
            part, seen = off[rows], visible[rows]
            answered = np.isfinite(part)
            cells.append(
                f"{part[answered].mean():.1f}, {part[seen & answered].mean():.1f}; "
                f"{100 * (part[seen & answered] > OFF).mean():.1f} %; "
                f"{100 * (part[answered] > BESIDE).mean():.1f} %"
            )
        missing = f"{100 * (~np.isfinite(off)).mean():.1f} %"
        print(f"| {name} | {' | '.join(cells)} | {missing} |")
    report_confidences(gathered)


def report_confidences(gathered: dict[str, list[tuple[np.ndarray, ...]]]) -> None:
    """Print how many landmarks are near their places, by their confidence."""
    bands = [f"{a:g} to {b:g}" for a, b in pairwise(CONFIDENCES)]
    print(f"\n| within {NEAR_BY:g} %; error | {' | '.join(bands)} |")
    print(f"|---|{'---:|' * len(bands)}")
    for name, parts in gathered.items():
        off, _, _, confidence = (np.concatenate(values) for values in zip(*parts, strict=True))
        cells = []
        for low, high in pairwise(CONFIDENCES):
            rows = np.isfinite(off) & (confidence >= low)
            rows &= confidence <= high if high == CONFIDENCES[-1] else confidence < high
            part = off[rows]
            cells.append(f"{100 * (part <= NEAR_BY).mean():.0f} %; {part.mean():.1f}")
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
