"""Measure whether `facetrack compare` sorts methods by their true errors.

    python benchmarks/accuracy/compare_ranking.py --faces FOLDER [--clips 3] [--variant calm] \\
        [--inits ert,pipnet,star] [--moved 0,2,4] [--trackers tapir,lk,per-frame] [--json FILE]

On rendered clips of held-out faces (see tracking.py), each comparison is evaluated twice from one
run. With the ground truth, the order must be that of the true errors, which are computed here from
the written tables by the same definition. Without it, methods are sorted by the expected error. For
that order the script prints Kendall's tau (1: the same order, 0: no relation), and the true error
of the first method divided by that of the best method.

--moved makes several initialisers of each one. They place its points with a fixed error in per cent
of the inter-ocular distance, so that methods of different quality exist even with one detector.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.clips.warped_faces import FPS, HEIGHT, VARIANTS, WIDTH, Clip, make_clip
from benchmarks.common.heldout import Faces
from facetrack import detectors
from facetrack.api.compare import compare_to_files
from facetrack.comparison import initialisers, measures, storage
from facetrack.comparison.options import CompareOptions
from facetrack.detectors import DetectorOptions, LandmarkDetector, Landmarks
from facetrack.evaluation import metrics
from facetrack.files import atomic_path
from facetrack.video.encoder import VideoEncoder

CORNERS = (36, 45)


class Moved:
    """A detector whose points are moved by a fixed error, in per cent of the eyes' distance."""

    def __init__(self, detector: LandmarkDetector, name: str, error: float, seed: int) -> None:
        self.name, self.scheme, self._detector = name, detector.scheme, detector
        shift = np.random.default_rng(seed).normal(0, 1, (68, 2))
        self._shift = shift * error / 100 / np.linalg.norm(shift, axis=1).mean()

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        """As `LandmarkDetector.detect`."""
        found = self._detector.detect(image, boxes)
        eyes = np.linalg.norm(found.xy[:, CORNERS[0]] - found.xy[:, CORNERS[1]], axis=-1)
        moved = found.xy + self._shift * eyes[:, None, None]
        return Landmarks(moved.astype(np.float32), found.score)

    def detect_many(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[Landmarks]:
        """As `LandmarkDetector.detect_many`."""
        return [self.detect(*both) for both in zip(images, boxes, strict=True)]

    def describe(self) -> dict[str, Any]:
        """Return the detector's description, and the shift of its points."""
        return {**self._detector.describe(), "name": self.name}


def kendall(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Kendall's tau of two lists without ties: the share of pairs in the same order minus
    the share of pairs in the opposite order."""
    pairs = list(itertools.combinations(range(len(one)), 2))
    signs = [np.sign((one[a] - one[b]) * (other[a] - other[b])) for a, b in pairs]
    return float(np.mean(signs))


def write_clip(clip: Clip, folder: Path) -> tuple[Path, Path]:
    """Write the clip as a video, and its ground truth."""
    video, truth = folder / "clip.mp4", folder / "truth.npz"
    with VideoEncoder(video, (WIDTH, HEIGHT), audio_from=None, start_time=0.0, crf=8) as encoder:
        for t in range(clip.frames):
            encoder.write(clip.render(t), t / FPS)
    np.savez(truth, xy=clip.xy, visible=clip.visible)
    return video, truth


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True, help="folder with landmarks68.npz")
    parser.add_argument("--every-face", action="store_true", help="not only the held-out ones")
    parser.add_argument("--variant", choices=sorted(set(VARIANTS) - {"real"}), default="calm")
    parser.add_argument("--clips", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inits", default="ert", help="names, or NAME=WEIGHTS, comma-separated")
    parser.add_argument("--moved", default="0", help="per cent, comma-separated")
    parser.add_argument("--trackers", default="tapir,lk,per-frame")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    errors = [float(x) for x in options.moved.split(",")]
    kinds = dict(
        zip(detectors.available(), itertools.product(options.inits.split(","), errors))  # noqa: B905
    )
    if len(kinds) < len(options.inits.split(",")) * len(errors):
        parser.error(f"at most {len(kinds)} inits and errors together")

    def create(name: str, chosen: DetectorOptions) -> LandmarkDetector:
        init, error = kinds[name]
        kind, _, weights = init.partition("=")
        made = detectors.create(kind, replace(chosen, weights=weights or "auto"))
        return Moved(made, name, error, seed=len(name))

    initialisers.create = create  # type: ignore[assignment]
    console = Console()
    console.print({name: f"{init} moved by {error:g} %" for name, (init, error) in kinds.items()})
    rows = []
    for index in range(options.clips):
        clip = make_clip(
            Faces(options.faces, options.every_face), options.variant, index, options.seed
        )
        with tempfile.TemporaryDirectory() as name:
            video, truth = write_clip(clip, Path(name))
            chosen = CompareOptions(
                inits=tuple(kinds),
                trackers=tuple(options.trackers.split(",")),
                face_detector="mtcnn",
                scheme="68",
                ground_truth=truth,
            )
            out = Path(name) / "out"
            compare_to_files(video, chosen, out, draw=False, report=False)
            found = storage.read(out)
        true = {
            r.label: metrics.mean_nme(metrics.nme_ic(r.tracks.xy[:, 0], clip.xy, CORNERS))
            for r in found.results
        }
        exact = found.ranking == sorted(true, key=lambda label: true[label])
        guess = {r.label: r.measures["expected_error"] for r in found.results}
        order = measures.rank(list(guess), list(guess.values()), "lower")
        rows.append(
            {
                "clip": index,
                "same order as the true errors": exact,
                "tau": kendall(list(true.values()), list(guess.values())),
                "first over best": true[order[0]] / min(true.values()),
                "last over best": true[order[-1]] / min(true.values()),
                "true": true,
                "measures": {r.label: r.measures for r in found.results},
            }
        )
        console.print({key: rows[-1][key] for key in list(rows[-1])[:6]})
    for key in ("same order as the true errors", "tau", "first over best", "last over best"):
        console.print(f"{key}: mean {np.mean([row[key] for row in rows]):.3f}")
    if options.json:
        with atomic_path(options.json) as temporary:
            temporary.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
