"""What every writer of tracks offers, and which formats there are."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, TypeVar

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.output.atomic import atomic_path
from facetrack.tracks import Tracks

W = TypeVar("W", bound="Writer")


class Writer(ABC):
    """Writes one video's tracks, chunk after chunk, in memory that does not grow.

    Use as a context manager: on a clean exit the file is there under its final name, whole; on any
    exception nothing is. Chunks are consecutive stretches of one video with one point layout.

    Attributes:
        path: the final name.
    """

    # A layout with a column or an axis for each face cannot take a face that comes later.
    same_faces = False

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._before: Tracks | None = None  # the last chunk written, to check the next against
        self._stack = ExitStack()

    def write(self, tracks: Tracks) -> None:
        """Add the frames that follow those written so far.

        A point without a finite position counts as unknown, whatever its visibility says.

        Raises:
            ValueError: the chunk does not continue the one before.
            FacetrackError: the disk refuses.
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
            if self._before is None:
                self._begin(tracks)
            self._append(tracks)
        except OSError as error:
            raise self._refused(error) from error
        self._before = tracks

    def __enter__(self: W) -> W:
        with ExitStack() as stack:
            try:
                self._open(stack)
            except OSError as error:
                raise self._refused(error) from error
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
        except OSError as refusal:
            raise self._refused(refusal) from refusal

    @abstractmethod
    def _open(self, stack: ExitStack) -> None:
        """Open what is written to; whatever undoes that goes on `stack`."""

    @abstractmethod
    def _begin(self, tracks: Tracks) -> None:
        """Called once, with the first chunk, before it is appended."""

    @abstractmethod
    def _append(self, tracks: Tracks) -> None:
        """Write one chunk; its unknown points are NaN and not visible."""

    def _end(self) -> None:
        """Called once after the last chunk, on a clean exit only."""
        return

    def _complete(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What is raised here reaches the callbacks below on the stack, which then discard the file.
        if kind is not None:
            return
        if self._before is None:
            raise FacetrackError(f"There is no frame to write to {self.path}.")
        self._end()

    def _refused(self, error: OSError) -> FacetrackError:
        return FacetrackError(f"{self.path} cannot be written: {error.strerror or error}.")

    def _check(self, tracks: Tracks) -> None:
        faces, points = tracks.xy.shape[1:3]
        if not faces or not points:
            raise ValueError(f"tracks without a face or a point cannot be written: {faces} faces")
        if not np.isfinite(tracks.time).all():
            raise ValueError("every frame needs a finite time")
        before = self._before
        if before is None:
            return
        wanted = (before.scheme, before.xy.shape[2], before.size, before.first_frame + len(before))
        found = (tracks.scheme, points, tracks.size, tracks.first_frame)
        if wanted != found:
            raise ValueError(f"chunk (scheme, points, size, first frame) {found}, not {wanted}")
        if self.same_faces and not np.array_equal(before.face_id, tracks.face_id):
            raise ValueError(f"faces changed from {before.face_id} to {tracks.face_id}")


class TextWriter(Writer):
    """A writer of one UTF-8 text file, with "\\n" at the end of a line on every system."""

    _file: IO[str]

    def _open(self, stack: ExitStack) -> None:
        temporary = stack.enter_context(atomic_path(self.path))
        file = open(temporary, "w", encoding="utf-8", newline="\n")  # noqa: SIM115 (the stack closes it)
        self._file = stack.enter_context(file)


class Format(NamedTuple):
    """A format of tracks.

    Attributes:
        module: where the writer is; imported when the format is asked for.
        writer: the class in `module`.
        suffix: what follows the stem in the final name.
    """

    module: str
    writer: str
    suffix: str


# Every suffix differs, so that several formats of one video can lie in one folder.
FORMATS: dict[str, Format] = {
    "csv": Format("facetrack.output.csv", "CsvWriter", ".csv"),
    "openface": Format("facetrack.output.openface", "OpenFaceWriter", ".openface.csv"),
    "dlc": Format("facetrack.output.dlc", "DlcWriter", ".dlc.csv"),
    "pts": Format("facetrack.output.pts", "PtsWriter", "_pts"),
    "npz": Format("facetrack.output.npz", "NpzWriter", ".npz"),
}


def get_format(name: str) -> Format:
    """The format called `name`.

    Raises:
        FacetrackError: there is none.
    """
    if name not in FORMATS:
        raise FacetrackError(f"There is no format {name!r}; choose {', '.join(FORMATS)}.")
    return FORMATS[name]


def output_path(name: str, folder: Path, stem: str) -> Path:
    """The final path of format `name`: a file, or for "pts" a folder."""
    # Not with_suffix: a stem may hold a dot of its own.
    return Path(folder) / f"{stem}{get_format(name).suffix}"


def open_writer(name: str, folder: Path, stem: str) -> Writer:
    """A writer of format `name` for `folder/stem...`; use it as a context manager."""
    chosen = get_format(name)
    writer: type[Writer] = getattr(importlib.import_module(chosen.module), chosen.writer)
    return writer(output_path(name, folder, stem))
