"""What every writer of tracks offers, and which formats there are."""

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

from facetrack.errors import FacetrackError
from facetrack.files import atomic_path
from facetrack.tracks import Tracks

W = TypeVar("W", bound="Writer")
_ARRAYS = ("xy", "visible", "confidence", "time")


class Writer(ABC):
    """Writes one video's tracks, chunk after chunk, in memory that does not grow.

    Use as a context manager: on a clean exit the file is there under its final name, whole; on any
    exception nothing is. Chunks are consecutive stretches of one video with one point layout.

    Attributes:
        path: the final name.
    """

    # A layout with a column, an axis or a name for each face must know all of them first: its
    # tracks wait in a temporary file.
    all_faces_first = False

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
            if self.all_faces_first:
                self._spool(tracks)
            else:
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
                if self.all_faces_first:
                    # Beside the result, where there must be room for as much anyway.
                    folder = self.path.absolute().parent
                    self._waiting = stack.enter_context(tempfile.TemporaryFile(dir=folder))
                    self._ids: dict[int, None] = {}
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
        if self.all_faces_first:
            self._unspool(self._before)
        self._end()

    def _spool(self, tracks: Tracks) -> None:
        self._ids.update(dict.fromkeys(tracks.face_id.tolist()))
        start = np.array([tracks.first_frame], np.int64)
        for array in (start, tracks.face_id, *(getattr(tracks, name) for name in _ARRAYS)):
            np.save(self._waiting, array, allow_pickle=False)

    def _unspool(self, like: Tracks) -> None:
        end = self._waiting.tell()
        self._waiting.seek(0)
        ids, begun = list(self._ids), False
        while self._waiting.tell() < end:
            start, face_id, *arrays = (
                np.load(self._waiting, allow_pickle=False) for _ in range(2 + len(_ARRAYS))
            )
            tracks = replace(
                like,
                first_frame=int(start[0]),
                face_id=face_id,
                **dict(zip(_ARRAYS, arrays, strict=True)),
            ).with_faces(ids)
            if not begun:
                self._begin(tracks)
            begun = True
            self._append(tracks)

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
        follows = before.first_frame + before.stride * len(before)
        wanted = (before.scheme, before.xy.shape[2], before.size, follows, before.stride)
        found = (tracks.scheme, points, tracks.size, tracks.first_frame, tracks.stride)
        if wanted != found:
            raise ValueError(f"chunk (scheme, points, size, frame, stride) {found}, not {wanted}")


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
    "csv": Format("facetrack.formats.csv", "CsvWriter", ".csv"),
    "openface": Format("facetrack.formats.openface", "OpenFaceWriter", ".openface.csv"),
    "dlc": Format("facetrack.formats.dlc", "DlcWriter", ".dlc.csv"),
    "pts": Format("facetrack.formats.pts", "PtsWriter", "_pts"),
    "npz": Format("facetrack.formats.npz", "NpzWriter", ".npz"),
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
