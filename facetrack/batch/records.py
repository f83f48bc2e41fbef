"""Find out from a video's record whether its results are already complete."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from facetrack.api.outputs import options_record
from facetrack.batch.plan import Task
from facetrack.errors import FacetrackError
from facetrack.files import parse_json, sha256_of
from facetrack.landmarks.point_files import points_sha256, read_points
from facetrack.pipeline.options import Options
from facetrack.trackers.expression.face_parts import WEIGHTS_PART
from facetrack.trackers.factory import heatmap1d_weights
from facetrack.video.checksum import input_sha256


def complete(task: Task, options: Options) -> dict[str, Any] | None:
    """Return the record of a video whose results are complete; None if they are not.

    Complete means: all files exist, the video was tracked to its end, the user's points and the
    corrections are the same, and the record contains the same options, the input's SHA-256, and the
    SHA-256 of the weights that the options currently select. Results that cannot be read are not
    complete.
    """
    paths = task.paths
    store = task.store
    try:
        if not all(store.exists(path) for path in paths.values()):
            return None
        record = parse_json(store.read(paths["sidecar"]))
        if not isinstance(record, dict) or record["options"] != _options_from_json(options, task):
            return None
        if record.get("interrupted"):
            return None
        if options.points is not None and not _same_points(options.points, record, task):
            return None
        known = record.get("corrections", {}).get("sha256")
        if options.corrections is not None and known != sha256_of(options.corrections):
            return None
        # Not all trackers and layouts support the correction; the record shows whether it ran.
        guided = options.guided and "expressions" in record
        if any(record[part]["sha256"] != digest for part, digest in _weights(options, guided)):
            return None
        is_same_input = record["input"]["sha256"] == input_sha256(task.video)
    except (OSError, ValueError, KeyError, TypeError, FacetrackError):
        return None
    return record if is_same_input else None


def _same_points(points: Path, record: dict[str, Any], task: Task) -> bool:
    """Return True if the user's points are those of a run."""
    known = record["detector"].get("sha256")
    if known is None:  # earlier versions did not record it
        return points.stat().st_mtime <= task.store.modified(task.paths["sidecar"])
    # A pipe can be read only once, by the run.
    return points.is_file() and points_sha256(read_points(points)) == known


def _options_from_json(options: Options, task: Task) -> Any:
    """Convert the options to JSON and back, as they are read from a record."""
    return json.loads(json.dumps(options_record(options, task.outputs), default=os.fspath))


def _weights(options: Options, guided: bool) -> Iterator[tuple[str, str]]:
    """Yield (part of the record, SHA-256) of the weights whose name may mean changing files."""
    from facetrack.detectors import star_fan
    from facetrack.weights import resolve

    detector, tracker = options.detector_options.weights, options.tracker_options.weights
    # dlib's own model for ERT comes with a package and never changes.
    if options.init == star_fan.NAME:
        yield "detector", star_fan.sha256_of_both(detector)
    elif options.init != "points" and (options.init, detector) != ("ert", "auto"):
        yield "detector", resolve(options.init, detector).describe()["sha256"]
    if options.tracker == "tapir":
        yield "tracker", resolve("tapir", tracker).describe()["sha256"]
        if guided:
            yield "expressions", resolve(WEIGHTS_PART, "auto").describe()["sha256"]
    elif options.tracker == "heatmap1d":
        yield "tracker", heatmap1d_weights(tracker).describe()["sha256"]
