"""Write the files of one tracking run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from facetrack.api.clocks import clock_of_run
from facetrack.api.outputs import UNCORRECTED, Outputs, record_last
from facetrack.api.ownership import (
    OTHER_FOLDER,
    Alternatives,
    is_result,
    is_same_input,
    outdated_warnings,
    refuse_foreign_files,
    refuse_inputs,
)
from facetrack.api.staging import publish, staged
from facetrack.files import read_json, stem_of
from facetrack.formats.base import FORMATS, Writer, open_writer
from facetrack.landmarks import schemes
from facetrack.measures.coordinates import coordinates_record
from facetrack.measures.face_measures import points_68
from facetrack.measures.measured import measure_video
from facetrack.pipeline.assembly import Chunk
from facetrack.record import is_track_record, write_record
from facetrack.tracks import Tracks
from facetrack.video.encoder import VideoEncoder
from facetrack.video.reader import VideoInfo
from facetrack.viz.overlay import draw_landmarks
from facetrack.viz.zoom import FaceZoom, enlarge, transform

DISTORTED_MEASURES = (
    "The video's pixels are not square, and measures and head poses are those of the pixels as "
    "they are stored: convert the video to square pixels first to measure it."
)
"""Warning about measures of anamorphic videos, such as DV and DVDs."""


class RunFiles:
    """The output files of one run.

    Use as a context manager: write the chunks, then call `close`, then `finish`. All files get
    their final names together in `finish`; without it, final files stay as they are.

    Attributes:
        paths: final paths by kind.
        num_frames: rows written so far.
        warnings: sentences about lost data, e.g. sound that could not be kept.
        clock: clocks of the laboratory; for a live source to be set before the first chunk.
        uncorrected: the tracks before corrections by hand, to be set before `finish` if
            `Outputs.keeps_uncorrected`.
    """

    def __init__(
        self,
        video: Path,
        info: VideoInfo,
        outputs: Outputs,
        show_ids: bool,
        inputs: Mapping[str, Path] | None = None,
        overwrite: bool = False,
        stem: str | None = None,
        alternatives: Alternatives = OTHER_FOLDER,
    ) -> None:
        """
        Args:
            video, info: the video and its properties.
            outputs: the files to write.
            show_ids: draw the face ids into the overlay video.
            inputs: all inputs of the run by kind; None for the video alone.
            overwrite: replace files that do not belong to an earlier run on this video.
            stem: beginning of the files' names; None for that of the video's name.
            alternatives: what the user can do where a file must not be replaced.

        Raises:
            FacetrackError: a file must not be replaced; see `facetrack.api.ownership`.
        """
        self._video, self._info, self._outputs, self._show_ids = video, info, outputs, show_ids
        self._stem = stem_of(video) if stem is None else stem
        self.paths = outputs.paths(self._stem)
        self._overwrite, self._alternatives = overwrite, alternatives
        refuse_inputs(self.paths.values(), inputs or {"video": video}, alternatives)
        self._check_former_files()
        self.clock = clock_of_run(video, info, outputs)
        self.num_frames = 0
        self.uncorrected: Tracks | None = None
        self._stack, self._writing = ExitStack(), ExitStack()
        self._place = outputs.folder
        self._writers: list[Writer] = []
        self._encoder: VideoEncoder | None = None
        self._zoom = FaceZoom((info.width, info.height)) if outputs.overlay_zoom else None
        self._kept_tracks: list[Tracks] = []
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
            self._place = stack.enter_context(staged(self._outputs.folder))
            stack.push(self._writing.__exit__)
            for name in self._outputs.formats:
                writer = open_writer(name, self._place, self._stem)
                writer.focal = self._outputs.focal
                writer.coordinates = self._outputs.coordinates
                writer.point_confidence = self._outputs.point_confidence
                self._writers.append(self._writing.enter_context(writer))
            if self._outputs.overlay:
                self._encoder = self._writing.enter_context(self._create_encoder())
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
            if not self.num_frames:
                writer.clock = self.clock
            writer.write(chunk.tracks)
        if self._encoder is not None:
            self._draw(chunk, self._encoder)
        if self._outputs.measures and not self.num_frames:
            points_68(chunk.tracks)  # a layout without measures should be reported now
        if self._write_report is not None or self._outputs.measures:
            self._kept_tracks.append(chunk.tracks)
        self.num_frames += len(chunk.tracks)

    def flush(self) -> None:
        """Pass on all rows so far, in formats that are written row by row.

        Raises:
            FacetrackError: a file cannot be written.
        """
        for writer in self._writers:
            writer.flush()

    def close(self) -> None:
        """Complete the landmark files and the overlay video.

        Raises:
            FacetrackError: a file cannot be written.
        """
        self._writing.pop_all().close()

    def former_holds_more(self) -> bool:
        """Return True if the present results of this input are better than an unfinished run's.

        They have more rows than were written so far, or as many and are complete.
        """
        former = read_json(self.paths["sidecar"])
        if not is_track_record(former) or not is_same_input(former["input"], self._video):
            return False
        frames = former["input"].get("frames")
        is_complete = former.get("interrupted") is not True
        return isinstance(frames, int) and (frames, is_complete) > (self.num_frames, False)

    def finish(self, record: dict[str, Any]) -> None:
        """Write measures and report, if wanted, and the record; give all files their names.

        Args:
            record: content of the record; its seconds and warnings get those of the report.

        Raises:
            FacetrackError: a file cannot be written; all final files are as before.
        """
        if self.clock is not None:
            record["clock"] = self.clock.record()
        record |= coordinates_record(self._outputs.coordinates)
        if self._outputs.measures:
            began = time.perf_counter()
            measured = measure_video(Tracks.concatenate(self._kept_tracks), self._outputs.focal)
            measured.write(self._place, self._stem, self.clock)
            record["measures"] = measured.record()
            if self._info.pixel_aspect != 1:
                record["warnings"].append(DISTORTED_MEASURES)
            record["seconds"]["measures"] = round(time.perf_counter() - began, 3)
        if self._write_report is not None:
            began = time.perf_counter()
            tracks = Tracks.concatenate(self._kept_tracks)
            path = self._place / self.paths["report"].name
            record["warnings"] += self._write_report(self._video, tracks, record, path)
            record["seconds"]["report"] = round(time.perf_counter() - began, 3)
        if self.uncorrected is not None:
            self._write_uncorrected(self.uncorrected)
        record["warnings"] += self._outdated()
        write_record(self._place / self.paths["sidecar"].name, record)
        self._check_former_files()  # another run may have ended meanwhile
        publish(self._place, record_last(self.paths))

    def _write_uncorrected(self, tracks: Tracks) -> None:
        from facetrack.formats.npz import NpzWriter

        with NpzWriter(self._place / self.paths[UNCORRECTED].name) as writer:
            writer.write(tracks)

    def _outdated(self) -> list[str]:
        """Return a warning about files of an earlier run that stay beside those of this one."""
        everything = Outputs(
            self._outputs.folder,
            tuple(FORMATS),
            report=True,
            measures=True,
            keeps_uncorrected=True,
        )
        return outdated_warnings(
            path.name
            for kind, path in everything.paths(self._stem).items()
            if kind not in self.paths and is_result(kind, path)
        )

    def _check_former_files(self) -> None:
        if not self._overwrite:
            refuse_foreign_files(self.paths, self._video, alternatives=self._alternatives)

    def _create_encoder(self) -> VideoEncoder:
        return VideoEncoder(
            self._place / self.paths["overlay"].name,
            (self._info.width, self._info.height),
            audio_from=self._video if self._info.has_audio else None,
            start_time=self._info.start_time,
            pixel_aspect=self._info.pixel_aspect,
            primaries=self._info.conversion.primaries,
            transfer=self._info.conversion.transfer,
        )

    def _draw(self, chunk: Chunk, encoder: VideoEncoder) -> None:
        tracks, scheme = chunk.tracks, schemes.get(chunk.tracks.scheme)
        names = [str(face) for face in tracks.face_id.tolist()] if self._show_ids else None
        is_found = tracks.success
        for i, frame in enumerate(chunk.frames):
            # What is left of a lost face are guesses, which would be drawn as a ghost.
            image, xy = frame.image, np.where(is_found[i, :, None, None], tracks.xy[i], np.nan)
            if self._zoom is not None:
                matrix = self._zoom.follow(xy, frame.time)
                image, xy = enlarge(image, matrix), transform(xy, matrix)
            points = (xy, tracks.visible[i], tracks.confidence[i])
            encoder.write(draw_landmarks(image, *points, scheme, names), frame.time, frame.duration)
