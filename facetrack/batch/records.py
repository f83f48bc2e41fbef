"""Whether a video is done already, as its record says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from facetrack.api.outputs import options_record
from facetrack.batch.plan import Task
from facetrack.errors import FacetrackError
from facetrack.pipeline.options import Options
from facetrack.trackers.expression.tracker import WEIGHTS
from facetrack.trackers.factory import heatmap1d_weights
from facetrack.video.checksum import input_sha256


def complete(task: Task, options: Options) -> dict[str, Any] | None:
    """The record of a video whose files are all there, made of this very input with these options.

    That is, it was tracked to its end, and the record has the same options, the input's SHA-256,
    and the SHA-256 of the weights that the options mean now; the user's points are no newer than
    it. None where anything differs, or cannot be read.
    """
    paths = task.paths
    store = task.store
    try:
        if not all(store.exists(path) for path in paths.values()):
            return None
        record = json.loads(store.read(paths["sidecar"]))
        if not isinstance(record, dict) or record["options"] != _plain(options, task):
            return None
        if record.get("interrupted"):
            return None
        if options.points is not None:
            made = store.modified(paths["sidecar"])
            if options.points.stat().st_mtime > made:
                return None
        # Not every tracker and layout is guided, and its record says whether it was.
        guided = options.guided and "expressions" in record
        if any(record[part]["sha256"] != digest for part, digest in _weights(options, guided)):
            return None
        same = record["input"]["sha256"] == input_sha256(task.video)
    except (OSError, ValueError, KeyError, TypeError, FacetrackError):
        return None
    return record if same else None


def _plain(options: Options, task: Task) -> Any:
    """The options as they are after a journey through JSON."""
    return json.loads(json.dumps(options_record(options, task.outputs), default=os.fspath))


def _weights(options: Options, guided: bool) -> Iterator[tuple[str, str]]:
    """(part of the record, SHA-256) of the weights that can change under one name."""
    from facetrack.weights import resolve

    detector, tracker = options.detector_options.weights, options.tracker_options.weights
    # dlib's own model for ERT comes with a package, and never changes.
    if options.init != "points" and (options.init, detector) != ("ert", "auto"):
        yield "detector", resolve(options.init, detector).describe()["sha256"]
    if options.tracker == "tapir":
        yield "tracker", resolve("tapir", tracker).describe()["sha256"]
        if guided:
            yield "expressions", resolve("star", WEIGHTS).describe()["sha256"]
    elif options.tracker == "heatmap1d":
        yield "tracker", heatmap1d_weights(tracker).describe()["sha256"]
