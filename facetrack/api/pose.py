"""Estimate head poses: `facetrack.pose`, and the files of `facetrack pose`."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facetrack.api.detect import sources_of
from facetrack.api.former_images import FormerImages, ResultFiles
from facetrack.api.keywords import PoseKeywords, check_keywords
from facetrack.api.ownership import refuse_inputs
from facetrack.api.read_inputs import failed_sentence, find_left_out, list_inputs
from facetrack.api.staging import publish, staged
from facetrack.callbacks import Loading, Progress, Started
from facetrack.detectors import DetectorOptions
from facetrack.errors import FacetrackError
from facetrack.images.pipeline import Source
from facetrack.images.pose_inputs import find_inputs
from facetrack.images.pose_table import POSE_COLUMNS, RECORD, TABLE, write_poses, write_unreadable
from facetrack.images.poses import NO_FACE, HeadPoses, PoseOptions, PosePipeline
from facetrack.images.writer import open_table
from facetrack.record import environment, write_record
from facetrack.runtime.interrupts import StopState, defer_interrupts
from facetrack.video.checksum import input_sha256
from facetrack.video.video_names import (
    is_still_image,
    is_video_name,
    others_in_images,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

FILES = ResultFiles(TABLE, RECORD, "poses", "inputs")


class _StopError(Exception):
    """The process was asked to stop within a video."""


@dataclass(frozen=True)
class PosesReport:
    """The result of `pose_to_files`.

    Attributes:
        paths: the files by kind.
        inputs, frames: number of inputs read, and of their frames; a picture is one.
        faces: number of poses in them.
        seconds: wall-clock time.
        warnings: sentences.
        failed: error messages of the inputs that could not be read.
        interrupted: True if the process was asked to stop; the files hold the inputs until then.
        left_out: paths of what the given folders hold besides pictures and videos.
    """

    paths: dict[str, Path]
    inputs: int
    frames: int
    faces: int
    seconds: float
    warnings: list[str]
    failed: dict[Path, str]
    interrupted: bool = False
    left_out: list[str] = field(default_factory=list)


def pose(inputs: Source | Iterable[Source], **options: Unpack[PoseKeywords]) -> list[HeadPoses]:
    """Estimate head poses in pictures and videos, each frame by itself.

    The keywords are the options of the command line, with underscores
    (`facetrack.api.keywords.PoseKeywords`). Poses over time, smoothed and with the face fitted to
    the person, are those of `facetrack track --measures`.

    Args:
        inputs: one picture or video or several: paths, or pictures as arrays (H, W, 3) RGB or
            (H, W) grey uint8. An array (N, H, W, 3) holds several pictures.
        **options: see above.

    Returns:
        The poses of each input, in the given order; of one input, a list of one.

    Raises:
        FacetrackError: bad input, in one sentence.
        TypeError: an unknown keyword, or a value of another type.

    Example:
        >>> (found,) = facetrack.pose("a.jpg", method="network")  # doctest: +SKIP
        >>> np.degrees(found.angles)  # pitch, yaw and roll of each face  # doctest: +SKIP
    """
    check_keywords("pose", options, PoseKeywords)
    values: dict[str, Any] = dict(options)
    weights = os.fspath(values.pop("detector_weights", "auto"))
    if "pose_weights" in values:
        values["pose_weights"] = os.fspath(values["pose_weights"])
    detector = DetectorOptions(weights, values.get("device", "auto"))
    pipeline = PosePipeline(PoseOptions(**values, detector_options=detector))
    return [pipeline.run(source) for source in sources_of(inputs, "pose")]


def pose_to_files(
    names: Sequence[str | os.PathLike[str]],
    options: PoseOptions,
    folder: Path,
    progress: Progress = lambda done, total: None,
    started: Started = lambda models: None,
    overwrite: bool = False,
    loading: Loading = lambda: None,
) -> PosesReport:
    """Estimate head poses and write the table and the record, both together at the end.

    When the process is asked to stop (`facetrack.runtime.interrupts`), the files hold the inputs
    that are done.

    Args:
        names: pictures, videos, folders and patterns; see `find_inputs`.
        options: how to estimate poses.
        folder: the output folder.
        progress: called with the number of frames done and their total, if it is known.
        started: called once all models are loaded, with their descriptions by kind.
        overwrite: replace files that facetrack did not write, or that hold other inputs' results.
        loading: called before the models are loaded.

    Raises:
        FacetrackError: bad input, no input that can be read, or an output that cannot be written,
            in one sentence.
        KeyboardInterrupt: the process was asked to stop, and the inputs that are done do not
            include those of the former results, which stay.
    """
    began = time.perf_counter()
    inputs = find_inputs(names)
    former = FormerImages(folder, FILES)
    refuse_inputs(
        [folder / TABLE, folder / RECORD],
        {f"input {path.name}": path for path in inputs}
        | {"detector's weights": Path(options.detector_options.weights)}
        | {"network's weights": Path(options.pose_weights)},
    )
    if not overwrite:
        former.refuse_loss(inputs)
        former.refuse_foreign_files(())
    loading()
    pipeline = PosePipeline(options)
    method = pipeline.method
    started(method.describe())
    total = len(inputs) if all(is_still_image(path) for path in inputs) else None
    statuses: dict[Path, dict[str, Any]] = {path: {"status": "not reached"} for path in inputs}
    failed: dict[Path, str] = {}
    warnings: list[str] = []
    frames = faces = done = 0
    interrupted = False
    with staged(folder) as place, ExitStack() as stack:
        stop = StopState()

        def passed(count: int) -> None:
            progress(frames + count, total)
            if stop.requested:
                raise _StopError

        with open_table(place / TABLE) as table:
            table.writerow(POSE_COLUMNS)
            for path in inputs:
                try:
                    found = pipeline.run(path, passed)
                except _StopError:
                    interrupted = True
                    break
                except FacetrackError as error:
                    failed[path] = str(error)
                    statuses[path] = {"status": "unreadable", "message": str(error)}
                    write_unreadable(table, str(path))
                    continue
                write_poses(table, str(path), found)
                statuses[path] = _status(path, found)
                warnings += found.warnings
                frames += statuses[path]["frames"]
                faces += statuses[path]["poses"]
                done += 1
                progress(frames, total)
                if done == 1:  # before that there is nothing to save
                    stop = stack.enter_context(defer_interrupts())
                if stop.requested and done + len(failed) < len(inputs):
                    interrupted = True
                    break
        if not done:
            raise FacetrackError(failed_sentence(failed, len(inputs), "inputs"))
        reached = [path for path, some in statuses.items() if some["status"] != "not reached"]
        if interrupted and not overwrite and former.lost(reached):
            raise KeyboardInterrupt("the files of the earlier run stay as they are")
        sentences, left_out = find_left_out(names, _others, "pictures and videos")
        without = [str(path) for path, some in statuses.items() if some["status"] == "no face"]
        if without:
            listed = list_inputs(without, len(statuses), "inputs")
            sentences.insert(0, f"No head pose was found in {listed}.")
        warnings = [*pipeline.warnings, *warnings, *sentences]
        seconds = time.perf_counter() - began
        content = {
            **environment(),
            "options": dataclasses.asdict(options),
            "working_folder": os.getcwd(),
            "inputs": [{"input": str(path), **some} for path, some in statuses.items()],
            "left_out": left_out,
            **method.describe(),
            "seconds": round(seconds, 3),
            "interrupted": interrupted,
            "warnings": warnings,
        }
        write_record(place / RECORD, content)
        if not overwrite:
            former = FormerImages(folder, FILES)  # another run may have ended meanwhile
            former.refuse_foreign_files(())
            former.refuse_loss(reached)
        publish(place, [folder / TABLE, folder / RECORD])
    return PosesReport(
        {"csv": folder / TABLE, "sidecar": folder / RECORD},
        *(done, frames, faces, seconds, warnings, failed, interrupted, left_out),
    )


def _others(folder: Path) -> list[str]:
    """Return the names of what is neither a picture nor a video in a folder."""
    return [name for name in others_in_images(folder) if not is_video_name(name)]


def _status(path: Path, found: HeadPoses) -> dict[str, Any]:
    poses = int(found.known.sum())
    return {
        "status": "ok" if poses else "no face",
        "sha256": input_sha256(path),
        "width": found.size[0],
        "height": found.size[1],
        "frames": len(np.unique(found.frame)),
        "faces": int((found.face_id != NO_FACE).sum()),
        "poses": poses,
        "focal": round(found.focal, 3),
    }
