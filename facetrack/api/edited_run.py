"""Find a run to correct: its tracks before any correction, its video and its record."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facetrack.api.outputs import UNCORRECTED_SUFFIX, Outputs
from facetrack.api.ownership import Alternatives
from facetrack.api.recorded import present_video
from facetrack.api.track import track_to_files
from facetrack.callbacks import Progress
from facetrack.errors import FacetrackError
from facetrack.files import not_found, read_json
from facetrack.formats.earlier_runs import SavedRun, find_runs, record_of_video
from facetrack.formats.npz import read_npz
from facetrack.pipeline.options import Options
from facetrack.tracks import Tracks
from facetrack.video.video_names import is_video_name

_ELSEWHERE = "track the video with `facetrack track --out FOLDER`, and edit the run there"
_TO_TRACKED_FILES = Alternatives(
    to_input=_ELSEWHERE,
    to_foreign=f"move the file away, or {_ELSEWHERE}",
    to_other_input=f"rename VIDEO, or {_ELSEWHERE}",
)
"""A video that is not tracked yet is tracked beside itself."""


@dataclass(frozen=True)
class EditedRun:
    """A run to correct.

    Attributes:
        base: the tracks before any correction.
        video: the video.
        folder, stem: where the run's files lie, and how their names begin.
        record: content of the run's record; empty without one.
        warnings: sentences about what is missing.
    """

    base: Tracks
    video: Path
    folder: Path
    stem: str
    record: Mapping[str, Any]
    warnings: list[str]


def open_edited_run(
    path: Path,
    video: Path | None = None,
    on_progress: Progress = lambda done, total: None,
) -> EditedRun:
    """Find a run to correct; see `facetrack.api.editing.EditSession.open`."""
    if is_video_name(path.name):
        path = _run_of_video(path, on_progress)
    runs = find_runs([path])
    if len(runs) > 1:
        raise FacetrackError(f"{path} holds {len(runs)} runs: name one of them.")
    saved = runs[0]
    record = {} if saved.record is None else read_json(saved.record)
    folder = saved.table.parent
    if not record and video is None:
        raise FacetrackError(
            f"The record of {saved.table} is missing, so its video is not known: give it as "
            "--video."
        )
    found = present_video(record, folder, video)
    base, warnings = _base_tracks(saved, record, found)
    return EditedRun(base, found, folder, saved.stem, record, warnings)


def _run_of_video(video: Path, on_progress: Progress) -> Path:
    """Return the record of a video's run, beside it or in this folder; track it if needed."""
    if not os.path.lexists(video):
        raise not_found(video)
    record = record_of_video(video)
    if record is not None:
        return record
    outputs = Outputs(video.absolute().parent, ("csv",), overlay=False)
    result = track_to_files(video, Options(), outputs, on_progress, alternatives=_TO_TRACKED_FILES)
    return result.paths["sidecar"]


def _base_tracks(run: SavedRun, record: Mapping[str, Any], video: Path) -> tuple[Tracks, list[str]]:
    """Return the tracks of a run before any correction, and sentences about them."""
    kept = run.table.with_name(run.stem + UNCORRECTED_SUFFIX)
    is_corrected = isinstance(record.get("corrections"), Mapping)
    if is_corrected and os.path.isfile(kept):
        return read_npz(kept), []
    if run.table.suffix.lower() == ".csv" and min(run.size) < 1:
        from facetrack.video.reader import probe

        info = probe(video)
        run = replace(run, size=(info.width, info.height))
    tracks = run.read()
    if tracks.corrected is None and not is_corrected:
        return tracks, []
    return replace(tracks, corrected=None), [
        f"{kept.name} is missing: the corrected tracks of {run.table.name} count as those before "
        "any correction."
    ]
