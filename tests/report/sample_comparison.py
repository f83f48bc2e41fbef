"""A small comparison on a synthetic clip: three methods, hidden and unknown points."""

from __future__ import annotations

from pathlib import Path

import clips
import numpy as np

from facetrack.comparison.results import Comparison, Result
from facetrack.files import sha256_of
from facetrack.formats.base import open_writer
from facetrack.record import environment, write_record
from facetrack.tracks import Tracks

FRAMES = 30
LABELS = ("ert + tapir", "fan + lk", "star + per-frame")


def face(centre: tuple[float, float], size: float) -> np.ndarray:
    """(68, 2) something like a face: eyes open by a quarter of their width, mouth by half."""
    angle = np.linspace(0.1 * np.pi, 0.9 * np.pi, 17)
    jaw = np.stack([-np.cos(angle), np.sin(angle)], 1)
    brows = [(x, -0.55) for x in (*np.linspace(-0.8, -0.3, 5), *np.linspace(0.3, 0.8, 5))]
    nose = [(0, y) for y in np.linspace(-0.3, 0.1, 4)]
    nose += [(x, 0.2) for x in np.linspace(-0.2, 0.2, 5)]
    points = [*jaw, *brows, *nose]
    for middle in (-0.5, 0.5):
        lid = 0.4 * 0.25 / 2
        for x, y in ((-0.2, 0), (-0.1, -lid), (0.1, -lid), (0.2, 0), (0.1, lid), (-0.1, lid)):
            points.append((middle + x, -0.3 + y))
    turn = np.linspace(np.pi, 3 * np.pi, 13)[:-1]
    points += [(0.35 * np.cos(t), 0.5 + 0.2 * np.sin(t)) for t in turn]
    # Width 0.4, openings 0.2 at all three pairs.
    points += [(x, 0.5 + y) for x, y in ((-0.2, 0), (-0.1, -0.1), (0, -0.1), (0.1, -0.1))]
    points += [(x, 0.5 + y) for x, y in ((0.2, 0), (0.1, 0.1), (0, 0.1), (-0.1, 0.1))]
    return np.array(points) * size + centre


def tracks(noise: float = 0.0, seed: int = 0, frames: int = FRAMES) -> Tracks:
    """A face that moves right by half a pixel a frame; points 60 to 67 are hidden from frame 10
    on, and nothing is known of frame 20."""
    random = np.random.default_rng(seed)
    xy = np.stack([face((40 + 0.5 * t, 30), 20) for t in range(frames)])[:, None]
    xy = (xy + noise * random.standard_normal(xy.shape)).astype(np.float32)
    visible = np.ones(xy.shape[:3], bool)
    visible[10:, :, 60:] = False
    if frames > 20:
        xy[20], visible[20] = np.nan, False
    return Tracks(
        xy=xy,
        visible=visible,
        confidence=np.where(np.isfinite(xy).all(-1), 0.9, 0).astype(np.float32),
        time=np.arange(frames) / 25,
        face_id=np.zeros(1, np.int64),
        scheme="68",
        size=clips.SIZE,
    )


def comparison_of(video: Path, frames: int = FRAMES) -> Comparison:
    """See the module."""
    results = []
    for i, label in enumerate(LABELS):
        init, tracker = label.split(" + ")
        drift = np.full(frames, np.nan)
        drift[:: max(1, frames // 3)] = 2.0 + i
        results.append(
            Result(
                label=label,
                init=init,
                tracker=tracker,
                tracks=tracks(0.2 * i, i, frames),
                measures={
                    "expected_error": 1.23456 + (1 - i) % 3,
                    "jitter": 0.5 + i,
                    "visible": 75.0,
                    "drift": float("nan") if i == 2 else 2.0 - i,
                },
                series={"disagreement": np.linspace(0, 2 + i, frames), "drift": drift},
                seconds={"track": 1.5 * (i + 1)},
                about={
                    "detector": {"name": init, "weights": f"{init}.dat", "sha256": f"{i}" * 64},
                    "tracker": {"name": tracker},
                    "query": {"frame": 3},
                },
            )
        )
    return Comparison(
        video=video,
        input={
            "path": str(video),
            "sha256": sha256_of(video),
            "width": clips.SIZE[0],
            "height": clips.SIZE[1],
            "frames": frames,
        },
        results=results,
        ranking=[LABELS[1], LABELS[0], LABELS[2]],
        ranked_by="expected_error",
        truth=None,
        command="facetrack compare clip.mp4 --inits ert,fan,star",
        environment=environment(),
        seconds={"decode": 0.5, "total": 12.0},
    )


def record(video, tracker="lk", **options):
    """What `facetrack track` says of a run, as far as the report reads it."""
    return {
        **environment(),
        "input": {
            "path": str(video),
            "sha256": sha256_of(video),
            "width": clips.SIZE[0],
            "height": clips.SIZE[1],
            "frames": FRAMES,
        },
        "options": {"init": "ert", "tracker": tracker, **options},
        "query": {"frame": 0},
        "detector": {"name": "ert", "weights": "e.dat", "sha256": "e" * 64},
        "tracker": {"name": tracker},
        "seconds": {"track": 1.5, "total": 2.0},
        "warnings": ["the sound was lost"],
    }


def save(folder, stem, video, found, formats=("csv",), **options):
    """Files as `facetrack track` writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in formats:
        with open_writer(name, folder, stem) as writer:
            writer.write(found)
    write_record(folder / f"{stem}.json", record(video, **options))
    return folder / f"{stem}.{formats[0]}"
