"""Write the files of corrected tracks."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from facetrack.api.outputs import Outputs
from facetrack.api.ownership import Alternatives
from facetrack.api.run_files import RunFiles
from facetrack.callbacks import Progress
from facetrack.corrections.chunks import corrected_chunks
from facetrack.corrections.correction import Correction
from facetrack.corrections.engine import Corrector
from facetrack.corrections.log import SUFFIX
from facetrack.errors import FacetrackError
from facetrack.files import not_found, stem_of
from facetrack.pipeline.options import Options
from facetrack.record import environment

BESIDE = Path("beside")
"""`Options.corrections` that stands for each video's own file."""
_TO_CORRECTED_FILES = Alternatives(
    to_input="give the video that was tracked as --video",
    to_foreign="move the file away, and save again",
    to_other_input="give that video as --video",
)
"""Corrected files have the folder and the name of the run's."""


def with_corrections(options: Options, video: Path, folder: Path, several: bool = False) -> Options:
    """Return the options with the file of corrections of one video.

    Args:
        options: whose `corrections` is a file, a folder of files, or BESIDE.
        video: the video.
        folder: its output folder.
        several: whether there are several videos, some of which may have no corrections.

    Raises:
        FacetrackError: the file is not there, or is one for several videos.
    """
    chosen = options.corrections
    if chosen is None:
        return options
    name = f"{stem_of(video)}{SUFFIX}"
    if chosen == BESIDE and not os.path.isfile(BESIDE):
        places = [folder / name, video.absolute().parent / name]
    elif os.path.isdir(chosen):
        places = [chosen / name]
    elif several:
        raise FacetrackError(
            f"{chosen} is one file of corrections, and there are several videos: give a folder of "
            f"files such as {name}, or --corrections beside."
        )
    else:
        places = [chosen]
    found = next((path for path in places if os.path.isfile(path)), None)
    if found is None and not several:
        raise not_found(places[0], "file of corrections")
    return replace(options, corrections=found)


def write_corrected(
    corrector: Corrector,
    corrections: Sequence[Correction],
    corrections_path: Path,
    corrections_sha256: str,
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
        corrections_sha256: of that file when these were in force: rows may be added meanwhile.
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
    show_ids = len(tracks.face_id) > 1
    files = RunFiles(
        video, frames.info, outputs, show_ids, stem=stem, alternatives=_TO_CORRECTED_FILES
    )
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
        # Those about the corrections that were saved before may no longer be true.
        former = changed.pop("corrections", None)
        over = former.get("warnings") or [] if isinstance(former, Mapping) else []
        warnings = [w for w in changed.get("warnings", []) if w not in over]
        warnings += [*corrector.warnings, *files.warnings]
        changed["warnings"] = list(dict.fromkeys(warnings))
        if corrections:
            changed["corrections"] = corrections_record(
                corrector, corrections_path, corrections_sha256, corrections
            )
        files.finish(changed)
    return files.paths, changed


def corrections_record(
    corrector: Corrector, path: Path, sha256: str, corrections: Sequence[Correction]
) -> dict[str, Any]:
    """Return the record's entry for the corrections.

    Args:
        corrector: whose tracks are written.
        path: the file of corrections.
        sha256: of its content when it was read.
        corrections: those in force.
    """
    points = [c for c in corrections if not isinstance(c.point, str)]
    return {
        "file": str(path),
        "sha256": sha256,
        "corrections": len(corrections),
        "points": len(points),
        "by": sorted({c.who for c in corrections if c.who}),
        "frames": sorted({c.frame for c in corrections}),
        "tracked_again": corrector.stretches(),
        "warnings": list(corrector.warnings),
    }
