"""Open what is tracked from Python: files, cameras, arrays, iterables of frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from facetrack.api.keywords import CAMERA, live_options, refuse_live_keywords, tracking_options
from facetrack.callbacks import Progress
from facetrack.corrections.pipeline import create_pipeline
from facetrack.errors import FacetrackError
from facetrack.pipeline.assembly import Chunk
from facetrack.pipeline.live import LivePipeline
from facetrack.pipeline.options import Options
from facetrack.pipeline.runner import Pipeline
from facetrack.video.array_reader import ArrayReader, FrameStream, spool_frames
from facetrack.video.live_reader import LiveReader
from facetrack.video.live_source import LiveSource, camera_source, live_source


def open_chunks(
    stack: ExitStack,
    source: Any,
    keywords: Mapping[str, Any],
    stream: bool,
    progress: Progress | None,
) -> Iterator[Chunk]:
    """Open a source, and return the chunks of its run.

    Args:
        stack: closes the source.
        source: see `facetrack.track`.
        keywords: that `check_keywords` has passed.
        stream: read an iterable one frame at a time; otherwise it is read first.
        progress: called with the frames done and their number, None if unknown.

    Raises:
        FacetrackError: the source cannot be read.
        TypeError: it is none, or an option does not go with it.
    """
    options = stack.enter_context(tracking_options(keywords))
    live = find_live_source(source, keywords)
    if live is not None:
        reader = stack.enter_context(LiveReader(live, live_options(keywords)))
        return _reported(_live_chunks(reader, options), progress, None)
    refuse_live_keywords(keywords)
    if isinstance(source, str | Path):
        pipeline = create_pipeline(Path(source), options)
    elif isinstance(source, np.ndarray):
        _refuse_corrections(options)
        array_reader = ArrayReader(source, options.span, options.fps)
        pipeline = Pipeline(array_reader.video, options, reader=array_reader)
    elif not isinstance(source, Iterable) or isinstance(source, bytes | dict | set):
        raise TypeError(
            "The source must be a path, the number of a camera, an array (T, H, W, 3) or an "
            f"iterable of frames (H, W, 3), not {type(source).__name__}."
        )
    elif stream:
        frames = FrameStream(source, options.fps, options.stride)
        live_pipeline = LivePipeline(frames, options)
        live_pipeline.prepare()
        return _reported((c for c in live_pipeline.run() if c is not None), progress, None)
    else:
        folder = stack.enter_context(TemporaryDirectory(prefix="facetrack-"))
        return open_chunks(stack, spool_frames(source, Path(folder)), keywords, False, progress)
    return _reported(pipeline.run(), progress, pipeline.reader.total)


def _refuse_corrections(options: Options) -> None:
    """Refuse what needs the frames of a file in any order."""
    if options.tracks_again:
        raise FacetrackError(
            "Corrections and several query frames are for videos in files, not for arrays."
        )


def find_live_source(source: Any, keywords: Mapping[str, Any]) -> LiveSource | None:
    """Return the live source that is meant, None for anything else."""
    if isinstance(source, bool) or not isinstance(source, str | int | np.integer):
        return None
    if not isinstance(source, str) and source < 0:
        raise FacetrackError(f"Cameras are numbered from 0: there is no camera {source}.")
    found = live_source(str(source))
    if found is None and not isinstance(source, str):
        found = camera_source(str(source))
    if found is not None and found.kind == "camera":
        return camera_source(str(source), *(keywords.get(name) for name in CAMERA))
    return found


def _live_chunks(reader: LiveReader, options: Options) -> Iterator[Chunk]:
    pipeline = LivePipeline(reader, options)
    pipeline.prepare()
    reader.begin()
    for chunk in pipeline.run():
        if chunk is not None:
            yield chunk
            for frame in chunk.frames:
                reader.delay(frame)


def _reported(
    chunks: Iterator[Chunk], progress: Progress | None, total: int | None
) -> Iterator[Chunk]:
    done = 0
    for chunk in chunks:
        yield chunk
        done += len(chunk.tracks)
        if progress is not None:
            progress(done, total)
