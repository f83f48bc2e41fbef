"""Measure people who are half outside the picture, come late, cross, dissolve, or sit in the dark.

    python benchmarks/accuracy/scenes.py --faces FACES [--only NAME] [--clips 3] [--tracker tapir]
        [--save FOLDER]

Heads that are cut out of held-out photographs move over other pictures, so it is known where each
landmark is and whether it can be seen (benchmarks/clips/staged_faces.py). Figures:

- error: mean distance of the landmarks that can be seen from the truth, in per cent of the distance
  between the outer eye corners, or of 10 pixels if that is more; of faces whose points are on them.
- tracked: share of the frames in which half of a wanted person's landmarks can be seen, with 10
  pixels between the eyes or more, and in which points are on that person.
- astray: rows with points that count as visible where nobody is, or on somebody who has hardly
  faded in or has all but faded out.
- left: rows without a visible point of people of whom nothing is in the picture, or nothing left.
- swapped: rows whose visible points are on somebody to whom the face_id did not belong at first.
- ids: number of face_ids, beside the number of people.
- unseen as seen: share of the landmarks outside the picture, or behind somebody, that count as
  visible; seen as unseen: share of the others that do not.
- mixed: rows on the weaker of the two shots of a dissolve from one person to another, of all rows
  in such dissolves.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass, field, fields
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import facetrack
from benchmarks.clips.scene_kinds import KINDS
from benchmarks.clips.staged_faces import FPS, HEIGHT, WIDTH, Scene, cast
from benchmarks.common.heldout import Faces
from facetrack.video.encoder import VideoEncoder

ON_FACE = 0.3
"""Mean distance of the points that the tracker sees from a person's landmarks up to which they are
on that person, in distances between the outer eye corners, which count as MIN_EYES at least."""
MIN_EYES = 10
"""Pixels between the outer eye corners from which on a person is wanted."""
MIN_VISIBLE = 4
"""Number of visible points from which on a row says where a face is."""


@dataclass
class Figures:
    """Counts of one kind of scene; added up over its clips."""

    errors: list[np.ndarray] = field(default_factory=list)
    wanted: int = 0
    found: int = 0
    rows: int = 0
    astray: int = 0
    left: int = 0
    swapped: int = 0
    ids: int = 0
    people: int = 0
    unseen: int = 0
    unseen_as_seen: int = 0
    seen: int = 0
    seen_as_unseen: int = 0
    in_dissolve: int = 0
    mixed: int = 0

    HEADER = (
        "error | 90 % | tracked % | astray | left | swapped | ids | people | unseen as seen % |"
        " seen as unseen % | mixed"
    )

    def add(self, other: Figures) -> None:
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))

    def cells(self) -> str:
        errors = np.concatenate(self.errors) if self.errors else np.array([np.nan])
        return " | ".join(
            [
                f"{np.mean(errors):.2f}",
                f"{np.percentile(errors, 90):.2f}",
                f"{100 * self.found / max(self.wanted, 1):.1f}",
                f"{self.astray} of {self.rows}",
                str(self.left),
                str(self.swapped),
                str(self.ids),
                str(self.people),
                f"{100 * self.unseen_as_seen / max(self.unseen, 1):.1f}",
                f"{100 * self.seen_as_unseen / max(self.seen, 1):.1f}",
                f"{self.mixed} of {self.in_dissolve}" if self.in_dissolve else "-",
            ]
        )


def measure(tracks: facetrack.Tracks, scene: Scene, max_faces: int | None) -> Figures:
    """Compare tracks with the truth, as the module describes."""
    figures = Figures(people=len(set(scene.names)))
    owner: dict[int, str] = {}
    shown = scene.seen.mean(-1)
    large = np.linalg.norm(scene.xy[:, :, 36] - scene.xy[:, :, 45], axis=-1) >= MIN_EYES
    dissolving = (scene.weight > 0) & (scene.weight < 1)
    for t in range(scene.frames):
        on: set[int] = set()
        for f in range(tracks.xy.shape[1]):
            xy, visible = tracks.xy[t, f], tracks.visible[t, f]
            if not np.isfinite(xy).any():
                continue
            figures.rows += 1
            if visible.sum() < MIN_VISIBLE:
                # Before a row's first visible point, it may be anybody's.
                name = owner.get(f)
                theirs = [p for p, other in enumerate(scene.names) if name in (None, other)]
                figures.left += not any(is_present(scene, t, part) for part in theirs)
                continue
            part, distance = nearest(xy, visible, scene, t)
            if part is None:
                figures.astray += 1
                continue
            if dissolving[t].sum() > 1:
                figures.in_dissolve += 1
                figures.mixed += bool(scene.weight[t, part] < 0.5)
            if scene.weight[t, part] < 0.15:
                figures.astray += 1
                continue
            on.add(part)
            name = scene.names[part]
            owner.setdefault(f, name)
            figures.swapped += owner[f] != name
            seen = scene.seen[t, part]
            known = np.isfinite(xy).all(-1)
            figures.errors.append(distance[seen & known])
            figures.unseen += int((~seen & known).sum())
            figures.unseen_as_seen += int((~seen & visible).sum())
            figures.seen += int(seen.sum())
            figures.seen_as_unseen += int((seen & ~visible).sum())
        present = set(np.flatnonzero((shown[t] >= 0.5) & large[t]).tolist())
        most = len(present) if max_faces is None else min(len(present), max_faces)
        figures.wanted += most
        figures.found += min(len(on & present), most)
    figures.ids = int(np.isfinite(tracks.xy).any((0, 2, 3)).sum())
    return figures


def nearest(
    xy: np.ndarray, visible: np.ndarray, scene: Scene, t: int
) -> tuple[int | None, np.ndarray]:
    """Return the part on which the points of frame t are, None for none, and their distances.

    Distances (68,) are in per cent of that between the outer eye corners, or of MIN_EYES.
    """
    counted = np.isfinite(xy).all(-1) & visible
    best, least, distances = None, ON_FACE * 100, np.empty(68)
    for part, truth in enumerate(scene.xy[t]):
        if not is_present(scene, t, part):
            continue
        # On a face of a few pixels, a share of it would be less than a pixel.
        unit = max(float(np.linalg.norm(truth[36] - truth[45])), MIN_EYES)
        apart = 100 * np.linalg.norm(xy - truth, axis=-1) / unit
        mean = float(apart[counted].mean())
        if mean < least:
            best, least, distances = part, mean, apart
    return best, distances


def is_present(scene: Scene, t: int, part: int) -> bool:
    """Return whether anything of a person is in the picture of frame t, covered or not."""
    return bool(scene.weight[t, part] > 0 and inside(scene.xy[t, part]).any())


def inside(xy: np.ndarray) -> np.ndarray:
    """Return which points (N, 2) lie in the picture."""
    return ((xy > -0.5) & (xy < np.array([WIDTH, HEIGHT]) - 0.5)).all(-1)


# -------------------------------------------------------------------- running


def write(scene: Scene, path: Path) -> None:
    """Write a scene as a video."""
    with VideoEncoder(path, (WIDTH, HEIGHT), audio_from=None, start_time=0.0) as encoder:
        for t in range(scene.frames):
            encoder.write(scene.render(t), t / FPS)


def draw(scene: Scene, tracks: facetrack.Tracks, path: Path, every: int = 6) -> None:
    """Write a sheet of frames: the truth in green (seen) or blue, points in white or red."""
    rows = []
    for t in range(0, scene.frames, every):
        picture = np.ascontiguousarray(scene.render(t))
        if picture.mean() < 40:
            picture = cv2.convertScaleAbs(picture, alpha=4)
        for part in range(len(scene.names)):
            for (x, y), seen in zip(scene.xy[t, part], scene.seen[t, part], strict=True):
                colour = (0, 255, 0) if seen else (80, 80, 255)
                cv2.circle(picture, (round(float(x)), round(float(y))), 1, colour, -1)
        for f in range(tracks.xy.shape[1]):
            known = np.isfinite(tracks.xy[t, f]).all(-1)
            for (x, y), seen in zip(
                tracks.xy[t, f][known], tracks.visible[t, f][known], strict=True
            ):
                colour = (255, 255, 255) if seen else (255, 0, 0)
                cv2.circle(picture, (round(float(x)), round(float(y))), 2, colour, 1)
            if known.any():
                x, y = np.nan_to_num(np.nanmean(tracks.xy[t, f], 0)).tolist()
                where = (round(x), max(12, round(y) - 60))
                text = str(int(tracks.face_id[f]))
                cv2.putText(picture, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 0), 2)
        label = f"{t}"
        cv2.putText(picture, label, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1)
        rows.append(picture)
    while len(rows) % 5:
        rows.append(np.zeros_like(rows[0]))
    sheet = np.vstack([np.hstack(rows[k : k + 5]) for k in range(0, len(rows), 5)])
    cv2.imwrite(str(path), cv2.resize(sheet, None, fx=0.7, fy=0.7)[..., ::-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--every-face", action="store_true")
    parser.add_argument(
        "--only", default="", help="kinds by name, or a part of their names, by comma"
    )
    parser.add_argument("--clips", type=int, default=3, help="of each kind")
    parser.add_argument("--tracker", default="tapir")
    parser.add_argument("--init", default=facetrack.Options().init, help="landmark detector")
    parser.add_argument("--save", type=Path, help="write videos and sheets of frames here")
    options = parser.parse_args()
    known, only = Faces(options.faces, options.every_face), options.only.split(",")
    print(f"| scene ({options.tracker}) | {Figures.HEADER} |")
    print(f"|---|{'---|' * (Figures.HEADER.count('|') + 1)}")
    for number, (name, kind) in enumerate(KINDS.items()):
        if not any(part == name or (part not in KINDS and part in name) for part in only):
            continue
        total = Figures()
        for clip in range(options.clips):
            random = np.random.default_rng([clip, number])
            scene = kind.make(cast(known, random, kind.people), random)
            with tempfile.TemporaryDirectory() as folder:
                at = options.save or Path(folder)
                at.mkdir(parents=True, exist_ok=True)
                path = at / f"{name.replace(' ', '-')}-{clip}.mp4"
                write(scene, path)
                try:
                    tracks = facetrack.track(
                        path, tracker=options.tracker, init=options.init, faces=kind.max_faces
                    )
                except facetrack.FacetrackError as error:
                    print(f"{name} {clip}: {error}", file=sys.stderr)
                    total.wanted += scene.frames
                    continue
                figures = measure(tracks, scene, kind.max_faces)
                total.add(figures)
                if options.save:
                    print(f"{name} {clip}: {figures.cells()}", file=sys.stderr, flush=True)
                    draw(scene, tracks, path.with_suffix(".png"))
        print(f"| {name} | {total.cells()} |", flush=True)


if __name__ == "__main__":
    main()
