"""Write the files of one tracking run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from facetrack.api.outputs import Outputs
from facetrack.errors import FacetrackError
from facetrack.files import check_output_folder, stem_of
from facetrack.formats.base import Writer, open_writer
from facetrack.landmarks import schemes
from facetrack.pipeline.assembly import Chunk
from facetrack.record import write_record
from facetrack.tracks import Tracks
from facetrack.video.encoder import VideoEncoder
from facetrack.video.reader import VideoInfo
from facetrack.viz.overlay import draw_landmarks


class RunFiles:
    """The output files of one run.

    Use as a context manager around tracking: the landmark files and the overlay video get their
    final names when it closes without an exception. Call `finish` after that.

    Attributes:
        paths: final paths by kind.
        num_frames: rows written so far.
        warnings: sentences about lost data, e.g. sound that could not be kept.
    """

    def __init__(self, video: Path, info: VideoInfo, outputs: Outputs, show_ids: bool) -> None:
        """
        Args:
            video, info: the input and its properties.
            outputs: the files to write.
            show_ids: draw the face ids into the overlay video.

        Raises:
            FacetrackError: the folder cannot be written, or an output is the input itself.
        """
        self._video, self._info, self._outputs, self._show_ids = video, info, outputs, show_ids
        check_output_folder(outputs.folder)
        self._stem = stem_of(video)
        self.paths = outputs.paths(self._stem)
        for path in self.paths.values():
            if os.path.exists(path) and os.path.exists(video) and path.samefile(video):
                raise FacetrackError(f"{path} is the input itself: choose another --out folder.")
        self.num_frames = 0
        self._stack = ExitStack()
        self._writers: list[Writer] = []
        self._encoder: VideoEncoder | None = None
        self._report_tracks: list[Tracks] = []
        self._write_report: Callable[..., list[str]] | None = None
        if outputs.report:
            # A problem with this import should appear before hours of tracking.
            from facetrack.report import report_of_track

            self._write_report = report_of_track

    @property
    def warnings(self) -> list[str]:
        """See the class."""
        return [] if self._encoder is None else self._encoder.warnings

    def __enter__(self) -> RunFiles:
        with ExitStack() as stack:
            for name in self._outputs.formats:
                writer = open_writer(name, self._outputs.folder, self._stem)
                self._writers.append(stack.enter_context(writer))
            if self._outputs.overlay:
                self._encoder = stack.enter_context(self._create_encoder())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return self._stack.__exit__(kind, error, traceback)

    def write(self, chunk: Chunk) -> None:
        """Write the next chunk.

        Raises:
            FacetrackError: a file cannot be written.
        """
        for writer in self._writers:
            writer.write(chunk.tracks)
        if self._encoder is not None:
            self._draw(chunk, self._encoder)
        if self._write_report is not None:
            self._report_tracks.append(chunk.tracks)
        self.num_frames += len(chunk.tracks)

    def finish(self, record: dict[str, Any]) -> None:
        """Write the report, if there is to be one, and the record.

        Args:
            record: content of the record; its seconds and warnings get those of the report.

        Raises:
            FacetrackError: a file cannot be written.
        """
        if self._write_report is not None:
            began = time.perf_counter()
            tracks = Tracks.concatenate(self._report_tracks)
            path = self.paths["report"]
            record["warnings"] += self._write_report(self._video, tracks, record, path)
            record["seconds"]["report"] = round(time.perf_counter() - began, 3)
        # Last, so that outputs with a record are complete.
        write_record(self.paths["sidecar"], record)

    def _create_encoder(self) -> VideoEncoder:
        return VideoEncoder(
            self.paths["overlay"],
            (self._info.width, self._info.height),
            audio_from=self._video if self._info.has_audio else None,
            start_time=self._info.start_time,
            pixel_aspect=self._info.pixel_aspect,
        )

    def _draw(self, chunk: Chunk, encoder: VideoEncoder) -> None:
        tracks, scheme = chunk.tracks, schemes.get(chunk.tracks.scheme)
        names = [str(face) for face in tracks.face_id.tolist()] if self._show_ids else None
        for i, frame in enumerate(chunk.frames):
            image = draw_landmarks(
                frame.image, tracks.xy[i], tracks.visible[i], tracks.confidence[i], scheme, names
            )
            encoder.write(image, frame.time, frame.duration)
