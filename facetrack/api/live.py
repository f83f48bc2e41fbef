"""Track a live source into files: `track_live`, behind `facetrack track` of a camera or address."""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timezone
from pathlib import Path
from statistics import median
from typing import Any

from facetrack.api.outputs import Outputs, measures_warnings, options_record
from facetrack.api.run_files import RunFiles
from facetrack.api.run_record import (
    events_record,
    inputs_of,
    picture_record,
    query_record,
    speed_record,
)
from facetrack.callbacks import Loading, Started
from facetrack.errors import FacetrackError
from facetrack.measures.lab_clock import NOW
from facetrack.pipeline.assembly import Chunk
from facetrack.pipeline.live import LivePipeline, check_live_options
from facetrack.pipeline.options import Options
from facetrack.record import environment
from facetrack.runtime.interrupts import StopState, defer_interrupts
from facetrack.video.live_reader import LiveOptions, LiveReader
from facetrack.video.live_source import LiveSource

OnChunk = Callable[[Chunk, LiveReader], bool]
"""Called with each chunk once its rows are written; returns False to end the run."""


class Delays:
    """How long after their frames the rows left."""

    def __init__(self) -> None:
        self._seconds, self._frames = array("f"), array("l")

    def add(self, seconds: float, frames: int) -> None:
        """Add the delay of a row: in seconds, and in frames that arrived meanwhile."""
        self._seconds.append(seconds)
        self._frames.append(frames)

    def describe(self) -> dict[str, float]:
        """Return the median and the maximum of both."""
        return {
            "median_s": round(median(self._seconds), 4),
            "worst_s": round(max(self._seconds), 4),
            "median_frames": median(self._frames),
            "worst_frames": max(self._frames),
        }


@dataclass(frozen=True)
class LiveResult:
    """The result of `track_live`.

    Attributes:
        paths: files written, by kind.
        rows: frames tracked.
        received, dropped: frames that came, and how many of them were dropped.
        seconds: wall-clock time.
        delay: of the rows after their frames: median and worst, in seconds and in frames.
        warnings: sentences about lost or guessed data.
        interrupted: True if the process was asked to stop.
        is_lost: True if the source ended because its connection was lost.
    """

    paths: dict[str, Path]
    rows: int
    received: int
    dropped: int
    seconds: float
    delay: dict[str, float]
    warnings: list[str]
    interrupted: bool
    is_lost: bool


def track_live(
    source: LiveSource,
    options: Options,
    outputs: Outputs,
    stem: str,
    live: LiveOptions | None = None,
    started: Started = lambda models: None,
    on_chunk: OnChunk = lambda chunk, reader: True,
    overwrite: bool = False,
    loading: Loading = lambda: None,
) -> LiveResult:
    """Track a live source and write its files: all of them, or none.

    A request to stop (`facetrack.runtime.interrupts`) ends the run with whole files.

    Args:
        source: the source.
        options: how to track.
        outputs: the files to write.
        stem: beginning of their names.
        live: how to read the source.
        started: called once all models are loaded, with their descriptions by kind.
        on_chunk: see `OnChunk`.
        overwrite: replace existing files.
        loading: called before the models are loaded.

    Raises:
        FacetrackError: bad input or an output that cannot be written, in one sentence.
        KeyboardInterrupt: the process was asked to stop before the first row.
    """
    began = time.perf_counter()
    check_live_options(options)
    _check_outputs(outputs, stem, overwrite)
    with LiveReader(source, live) as reader:
        pipeline = LivePipeline(reader, options)
        inputs = {**inputs_of(Path(stem), options), "video": Path(source.shown)}
        show_ids = options.faces != 1
        files = RunFiles(Path(stem), reader.info, outputs, show_ids, inputs, overwrite, stem)
        with files:
            loading()
            pipeline.prepare()
            described = pipeline.describe()
            started(described)
            delays = Delays()
            # Until the files are whole: what came cannot come again.
            with defer_interrupts() as stop:
                _run(pipeline, files, outputs, delays, stop, on_chunk)
                reader.close()
                files.close()
                seconds = {**pipeline.seconds, "total": time.perf_counter() - began}
                record = _record(pipeline, described, outputs, files.num_frames, seconds)
                record["input"]["live"]["delay"] = delays.describe()
                record["warnings"] = [
                    *pipeline.warnings,
                    *reader.warnings,
                    *files.warnings,
                    *measures_warnings(options, outputs),
                ]
                if pipeline.query is None:
                    record["warnings"].append(
                        f"No face was found in any of the {files.num_frames} frames of "
                        f"{source.shown}."
                    )
                record["interrupted"] = stop.requested
                files.finish(record)
    return LiveResult(
        files.paths,
        files.num_frames,
        reader.received,
        reader.dropped,
        time.perf_counter() - began,
        delays.describe(),
        record["warnings"],
        record["interrupted"],
        reader.is_lost,
    )


def _run(
    pipeline: LivePipeline[LiveReader],
    files: RunFiles,
    outputs: Outputs,
    delays: Delays,
    stop: StopState,
    on_chunk: OnChunk,
) -> None:
    """Write the rows until the source ends or the process is asked to stop."""
    reader = pipeline.reader
    reader.begin()
    for chunk in pipeline.run():
        if chunk is not None:
            if outputs.utc == NOW and files.clock is not None and reader.started_at is not None:
                started_at = reader.started_at.astimezone(timezone.utc).replace(tzinfo=None)
                files.clock = replace(files.clock, utc=started_at)
            files.write(chunk)
            files.flush()
            for frame in chunk.frames:
                delays.add(*reader.delay(frame))
            if not on_chunk(chunk, reader):
                return
        if stop.requested and files.num_frames:
            return
        if stop.requested:
            raise KeyboardInterrupt


def _check_outputs(outputs: Outputs, stem: str, overwrite: bool) -> None:
    """Refuse outputs that a live source cannot have, and existing files: they cannot come again.

    Raises:
        FacetrackError: there is one.
    """
    if outputs.report:
        raise FacetrackError(
            "--report does not go with a live source, whose pictures cannot be read again: "
            "`facetrack report` makes one without pictures from the record afterwards."
        )
    if not stem or Path(stem).name != stem or stem.startswith(".") or not stem.isprintable():
        raise FacetrackError(f"--name is the beginning of the files' names, not {stem!r}.")
    for path in [] if overwrite else outputs.paths(stem).values():
        if os.path.lexists(path):
            raise FacetrackError(
                f"{path} exists, and a live source cannot be tracked again: choose another --name "
                "or --out, or give --overwrite to replace it."
            )


def _record(
    pipeline: LivePipeline[LiveReader],
    described: dict[str, Any],
    outputs: Outputs,
    num_frames: int,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Return the record of a run, whose input has no secrets and no checksum."""
    reader, options = pipeline.reader, pipeline.options
    source = reader.source
    own_points = options.points is not None
    started_at = reader.started_at
    return {
        **environment(),
        "input": {
            "path": source.shown,
            "absolute_path": source.shown,
            "sha256": None,
            **picture_record(reader.info, num_frames),
            "deinterlaced": reader.deinterlaced,
            "audio": None,
            "live": {
                "kind": source.kind,
                "started_at": None if started_at is None else started_at.isoformat(),
                "received": reader.received,
                "dropped": reader.dropped,
                "drops_frames": reader.drops,
                "reconnections": reader.reconnections,
                "connection_lost": reader.is_lost,
            },
        },
        "options": options_record(options, outputs),
        "query": None if pipeline.query is None else query_record(pipeline.query),
        "detector": {"name": "points"},
        "face_detector": None if own_points else pipeline.models.face_detector.describe(),
        "events": events_record(pipeline.events),
        **described,
        **speed_record(num_frames, seconds),
    }
