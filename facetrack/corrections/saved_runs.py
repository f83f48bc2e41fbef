"""Keep runs on disk, so that an interrupted command does not track them twice."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from facetrack.corrections.runs import Run
from facetrack.errors import OutputError
from facetrack.files import atomic_path, reason_of
from facetrack.pipeline.resume import RUN_SUFFIX
from facetrack.trackers import StepResult


def save_run(run: Run, folder: Path) -> None:
    """Write a run that is as long as wanted.

    Raises:
        FacetrackError: the file cannot be written.
    """
    xy, visible, confidence = run.result
    agrees_from = -1 if run.agrees_from is None else run.agrees_from
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / f"{run.name}{RUN_SUFFIX}") as path, open(path, "wb") as file:
            np.savez(
                file,
                xy=xy,
                visible=visible,
                confidence=confidence,
                end=np.array([agrees_from, int(run.is_lost)]),
            )
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {reason_of(error)}.") from error


def load_run(run: Run, folder: Path) -> None:
    """Take the rows of a run from disk, if they are there and whole."""
    path = folder / f"{run.name}{RUN_SUFFIX}"
    points = len(run.anchor.xy)
    # A damaged file counts as missing; numpy raises many types of errors at one.
    with contextlib.suppress(Exception):
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            result = StepResult(archive["xy"], archive["visible"], archive["confidence"])
            agrees_from, is_lost = (int(value) for value in archive["end"])
        count = len(result.xy)
        shapes = [(count, points, 2), (count, points), (count, points)]
        kinds = [np.dtype(np.float32), np.dtype(bool), np.dtype(np.float32)]
        fits = [part.shape for part in result] == shapes and [p.dtype for p in result] == kinds
        if fits and count <= run.limit:
            run.restore(result, None if agrees_from < 0 else agrees_from, bool(is_lost))
