"""Define the interface of writers of tracks, and list the formats."""

from __future__ import annotations

import importlib
import tempfile
from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, TypeVar

import numpy as np

from facetrack.errors import FacetrackError, OutputError
from facetrack.files import atomic_path
from facetrack.measures.coordinates import PIXELS
from facetrack.measures.lab_clock import LabClock
from facetrack.tracks import Tracks

WriterType = TypeVar("WriterType", bound="Writer")
_ARRAYS = ("xy", "visible", "confidence", "time")


class Writer(ABC):
    """Write one video's tracks in chunks, with constant memory.

    Use as a context manager: on a clean exit the complete file appears under its final name; after
    an exception no file appears. Chunks are consecutive segments of one video with one point
    layout.

    Attributes:
        path: final path of the file.
        focal: focal length of the camera in pixels, for formats with head poses; None for
            OpenFace's rule.
        coordinates: of the points, for formats that have a choice; see
            `facetrack.measures.coordinates`.
        point_confidence: write the confidence of each point, in formats that have a choice.
        clock: clocks of the laboratory, for formats with absolute times.
        all_faces_first: True for formats with a column, an axis or a file name for each face. They
            need the list of all faces first, so their tracks are spooled to a temporary file.
    """

    all_faces_first = False
    focal: float | None = None
    coordinates = PIXELS
    point_confidence = False
    clock: LabClock | None = None

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._last_chunk: Tracks | None = None  # last chunk written, to check the next chunk
        self._stack = ExitStack()

    def write(self, tracks: Tracks) -> None:
        """Append the next frames.

        A point without a finite position is unknown, whatever its visibility.

        Raises:
            ValueError: the chunk does not continue the previous one.
            FacetrackError: the file cannot be written.
        """
        self._check(tracks)
        if not len(tracks):
            return
        known = np.isfinite(tracks.xy).all(-1)
        tracks = replace(
            tracks,
            xy=np.where(known[..., None], tracks.xy, np.nan),
            visible=tracks.visible & known,
        )
        try:
            if self.all_faces_first:
                self._spool(tracks)
            else:
                if self._last_chunk is None:
                    self._begin(tracks)
                self._append(tracks)
        except OSError as error:
            raise self._write_error(error) from error
        self._last_chunk = tracks

    def flush(self) -> None:
        """Pass on what has been written so far, so that the rows of a live source are not lost.

        Raises:
            FacetrackError: the file cannot be written.
        """
        try:
            self._flush()
        except OSError as error:
            raise self._write_error(error) from error

    def __enter__(self: WriterType) -> WriterType:
        with ExitStack() as stack:
            try:
                self._open(stack)
                if self.all_faces_first:
                    # In the output folder, which needs as much space anyway.
                    folder = self.path.absolute().parent
                    self._spool_file = stack.enter_context(tempfile.TemporaryFile(dir=folder))
                    self._face_ids: dict[int, None] = {}
            except OSError as error:
                raise self._write_error(error) from error
            stack.push(self._complete)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        try:
            return self._stack.__exit__(kind, error, trace)
        except OSError as write_error:
            raise self._write_error(write_error) from write_error

    @abstractmethod
    def _open(self, stack: ExitStack) -> None:
        """Open the output, and register its clean-up on `stack`."""

    @abstractmethod
    def _begin(self, tracks: Tracks) -> None:
        """Write the header; called once, with the first chunk, before it is appended."""

    @abstractmethod
    def _append(self, tracks: Tracks) -> None:
        """Write one chunk, whose unknown points are NaN and not visible."""

    def _flush(self) -> None:
        """Pass on what has been written; formats that write whole files only do nothing."""
        return

    def _end(self) -> None:
        """Finish the output; called once after the last chunk, on a clean exit only."""
        return

    def _complete(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # An exception raised here reaches earlier callbacks on the stack, which delete the file.
        if kind is not None:
            return
        if self._last_chunk is None:
            raise FacetrackError(f"There is no frame to write to {self.path}.")
        if self.all_faces_first:
            self._unspool(self._last_chunk)
        self._end()

    def _spool(self, tracks: Tracks) -> None:
        self._face_ids.update(dict.fromkeys(tracks.face_id.tolist()))
        start = np.array([tracks.first_frame], np.int64)
        arrays = [start, tracks.face_id, *(getattr(tracks, name) for name in _ARRAYS)]
        for further in (tracks.image_names, tracks.corrected):
            if further is not None:
                arrays.append(further)
        for array in arrays:
            np.save(self._spool_file, array, allow_pickle=False)

    def _unspool(self, template: Tracks) -> None:
        end = self._spool_file.tell()
        self._spool_file.seek(0)
        ids, started = list(self._face_ids), False
        while self._spool_file.tell() < end:
            start, face_id, *arrays = (
                np.load(self._spool_file, allow_pickle=False) for _ in range(2 + len(_ARRAYS))
            )
            names, corrected = (
                None if value is None else np.load(self._spool_file, allow_pickle=False)
                for value in (template.image_names, template.corrected)
            )
            tracks = replace(
                template,
                first_frame=int(start[0]),
                face_id=face_id,
                image_names=names,
                corrected=corrected,
                **dict(zip(_ARRAYS, arrays, strict=True)),
            ).with_faces(ids)
            if not started:
                self._begin(tracks)
            started = True
            self._append(tracks)

    def _write_error(self, error: OSError) -> FacetrackError:
        return OutputError(f"{self.path} cannot be written: {error.strerror or error}.")

    def _check(self, tracks: Tracks) -> None:
        faces, points = tracks.xy.shape[1:3]
        if not faces or not points:
            raise FacetrackError("Tracks without a face or a point cannot be written.")
        if not np.isfinite(tracks.time).all():
            raise ValueError("every frame needs a finite time")
        last = self._last_chunk
        if last is None:
            return
        next_frame = last.first_frame + last.stride * len(last)
        expected = (last.scheme, last.xy.shape[2], last.size, next_frame, last.stride)
        actual = (tracks.scheme, points, tracks.size, tracks.first_frame, tracks.stride)
        if (last.image_names is None) != (tracks.image_names is None):
            raise ValueError("either all chunks have names of images, or none")
        if (last.corrected is None) != (tracks.corrected is None):
            raise ValueError("either all chunks are of corrected tracks, or none")
        if expected != actual:
            raise ValueError(
                f"chunk (scheme, points, size, frame, stride) {actual}, not {expected}"
            )


class TextWriter(Writer):
    """A writer of one UTF-8 text file, with line ends "\\n" on every system."""

    _file: IO[str]

    def _open(self, stack: ExitStack) -> None:
        temporary = stack.enter_context(atomic_path(self.path))
        file = open(temporary, "w", encoding="utf-8", newline="\n")  # noqa: SIM115 (closed by the stack)
        self._file = stack.enter_context(file)

    def _flush(self) -> None:
        self._file.flush()


class Format(NamedTuple):
    """A file format of tracks.

    Attributes:
        module: module of the writer, imported on first use.
        writer: name of the class in `module`.
        suffix: end of the file name, after the stem.
    """

    module: str
    writer: str
    suffix: str


# The suffixes are distinct, so that one folder can hold several formats of one video.
FORMATS: dict[str, Format] = {
    "csv": Format("facetrack.formats.csv", "CsvWriter", ".csv"),
    "openface": Format("facetrack.formats.openface", "OpenFaceWriter", ".openface.csv"),
    "dlc": Format("facetrack.formats.dlc", "DlcWriter", ".dlc.csv"),
    "pts": Format("facetrack.formats.pts", "PtsWriter", "_pts"),
    "npz": Format("facetrack.formats.npz", "NpzWriter", ".npz"),
}


def get_format(name: str) -> Format:
    """Return the format called `name`.

    Raises:
        FacetrackError: no format has that name.
    """
    if name not in FORMATS:
        raise FacetrackError(f"There is no format {name!r}; choose {', '.join(FORMATS)}.")
    return FORMATS[name]


def output_path(name: str, folder: Path, stem: str) -> Path:
    """Return the final path for format `name`: a file, or a folder for "pts"."""
    # Not with_suffix, because a stem may contain dots.
    return Path(folder) / f"{stem}{get_format(name).suffix}"


def open_writer(name: str, folder: Path, stem: str) -> Writer:
    """Return a writer of format `name` for `folder/stem...`, to use as a context manager."""
    chosen = get_format(name)
    writer: type[Writer] = getattr(importlib.import_module(chosen.module), chosen.writer)
    return writer(output_path(name, folder, stem))
