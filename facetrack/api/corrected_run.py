"""Write the files of corrected tracks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.api.outputs import Outputs
from facetrack.api.run_files import RunFiles
from facetrack.callbacks import Progress
from facetrack.corrections.engine import Corrector
from facetrack.corrections.log import Correction
from facetrack.files import sha256_of
from facetrack.pipeline.assembly import Chunk
from facetrack.pipeline.chunking import CHUNK_FRAMES
from facetrack.record import environment
from facetrack.tracks import Tracks
from facetrack.video.frame import Frame

CHUNK_ROWS = 64
"""Rows of a chunk without frames."""


def corrected_chunks(tracks: Tracks, frames: Iterator[Frame] | None = None) -> Iterator[Chunk]:
    """Yield the chunks of corrected tracks; each has the faces that its frames show.

    Args:
        tracks: of the whole run.
        frames: its frames in order, for an overlay; None without one.
    """
    rows = CHUNK_ROWS if frames is None else CHUNK_FRAMES
    present = np.isfinite(tracks.xy).all(-1).any(-1)
    shown, start = 0, 0
    while start < len(tracks):
        stop = start + 1
        while stop < min(len(tracks), start + rows) and (present[stop] == present[start]).all():
            stop += 1
        columns = np.flatnonzero(present[start]).tolist() or [shown]
        shown = columns[-1]
        part = _rows(tracks, start, stop).with_faces([int(tracks.face_id[c]) for c in columns])
        images = [] if frames is None else [next(frames) for _ in range(start, stop)]
        yield Chunk(images, part)
        start = stop


def write_corrected(
    corrector: Corrector,
    corrections: Sequence[Correction],
    corrections_path: Path,
    video: Path,
    stem: str,
    outputs: Outputs,
    record: Mapping[str, Any],
    on_progress: Progress = lambda done, total: None,
) -> tuple[dict[str, Path], dict[str, Any]]:
    """Write the files of a run that was corrected: all of them, or none.

    Args:
        corrector: has tracked all again.
        corrections: those in force.
        corrections_path: their file.
        video: the video.
        stem: beginning of the files' names.
        outputs: the files to write.
        record: content of the run's record.
        on_progress: called with the number of frames written and their total.

    Returns:
        The paths of the files by kind, and the content of the new record.

    Raises:
        FacetrackError: a file cannot be written; all are as before.
    """
    began = time.perf_counter()
    tracks, frames = corrector.tracks(), corrector.frames
    outputs = replace(outputs, keeps_uncorrected=True)
    files = RunFiles(video, frames.info, outputs, len(tracks.face_id) > 1, stem=stem)
    files.uncorrected = corrector.base
    with files:
        images = frames.run(int(tracks.frames[0]), 1) if outputs.overlay else None
        for chunk in corrected_chunks(tracks, images):
            files.write(chunk)
            on_progress(files.num_frames, len(tracks))
        files.close()
        changed = {**environment(), **record}
        seconds = {"corrections": round(time.perf_counter() - began, 3)}
        changed["seconds"] = {**changed.get("seconds", {}), **seconds}
        warnings = [*changed.get("warnings", []), *corrector.warnings, *files.warnings]
        changed["warnings"] = list(dict.fromkeys(warnings))
        changed.pop("corrections", None)
        if corrections:
            changed["corrections"] = corrections_record(corrector, corrections_path, corrections)
        files.finish(changed)
    return files.paths, changed


def corrections_record(
    corrector: Corrector, path: Path, corrections: Sequence[Correction]
) -> dict[str, Any]:
    """Return the record's entry for the corrections.

    Args:
        corrector: whose tracks are written.
        path: the file of corrections.
        corrections: those in force.
    """
    points = [c for c in corrections if not isinstance(c.point, str)]
    return {
        "file": str(path),
        "sha256": sha256_of(path),
        "corrections": len(corrections),
        "points": len(points),
        "by": sorted({c.who for c in corrections if c.who}),
        "frames": sorted({c.frame for c in corrections}),
        "tracked_again": corrector.stretches(),
    }


def _rows(tracks: Tracks, start: int, stop: int) -> Tracks:
    part = slice(start, stop)
    return replace(
        tracks,
        xy=tracks.xy[part],
        visible=tracks.visible[part],
        confidence=tracks.confidence[part],
        time=tracks.time[part],
        first_frame=int(tracks.frames[start]),
        image_names=None if tracks.image_names is None else tracks.image_names[part],
        corrected=None if tracks.corrected is None else tracks.corrected[part],
    )
