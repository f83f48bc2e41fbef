"""Keep a sequence of tracks in a file, so that memory does not grow with the video."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.tracks import Tracks

MAX_BUFFERED_BYTES = 2**24
"""Bytes of tracks that are kept in memory until they are written."""
_ARRAYS = ("xy", "visible", "confidence", "time", "face_id")
_LENGTH = struct.Struct("<Q")  # number of bytes of an entry, written after it to read backwards


class Mark(NamedTuple):
    """A position in a log: the number of bytes before it, and their SHA-256."""

    length: int
    sha256: bytes


class TrackLog:
    """A list of tracks on disk: append with `add`, iterate over it in both directions.

    Only a few megabytes are in memory.

    Args:
        path: the file, created when it is first written to and kept. None for a temporary file that
            is deleted with the log.

    Raises:
        FacetrackError: from any method, if the file cannot be read or written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._temporary: IO[bytes] | None = None
        self._buffer: list[bytes] = []
        self._buffered_bytes = 0
        self._written, self._digest = 0, hashlib.sha256()

    def __del__(self) -> None:
        if self._temporary is not None:
            self._temporary.close()

    def add(self, tracks: Tracks) -> None:
        """Append tracks."""
        metadata = {
            name: getattr(tracks, name) for name in ("scheme", "size", "first_frame", "stride")
        }
        stored = io.BytesIO()
        further = (tracks.image_names, tracks.corrected)
        metadata["has_names"], metadata["has_corrected"] = (value is not None for value in further)
        for array in (np.array(json.dumps(metadata)), *(getattr(tracks, n) for n in _ARRAYS)):
            np.save(stored, array, allow_pickle=False)
        for value in further:
            if value is not None:
                np.save(stored, value, allow_pickle=False)
        stored.write(_LENGTH.pack(len(stored.getbuffer())))
        self._buffer.append(stored.getvalue())
        self._buffered_bytes += len(self._buffer[-1])
        if self._buffered_bytes > MAX_BUFFERED_BYTES:
            self._write()

    def save(self) -> Mark:
        """Write everything to disk; return the mark for `load`."""
        if self._buffer:
            self._write()
        return Mark(self._written, self._digest.digest())

    def load(self, mark: Mark) -> bool:
        """Restore the log as it was at `mark`, without later entries.

        Returns:
            False, with the log unchanged, if the file is not the one that the mark belongs to.
        """
        digest, remaining = hashlib.sha256(), mark.length
        if remaining:
            with self._opened("rb") as file:
                while remaining > 0 and (piece := file.read(min(remaining, 2**20))):
                    digest.update(piece)
                    remaining -= len(piece)
        if remaining or digest.digest() != mark.sha256:
            return False
        self._buffer, self._buffered_bytes = [], 0
        self._written, self._digest = mark.length, digest
        return True

    def __iter__(self) -> Iterator[Tracks]:
        # The buffer may be written during the iteration.
        at, end, buffered = 0, self._written, list(self._buffer)
        while at < end:
            with self._opened("rb") as file:
                file.seek(at)
                tracks = _read(file)
                at = file.tell() + _LENGTH.size
            yield tracks
        yield from (_read(io.BytesIO(entry)) for entry in buffered)

    def __reversed__(self) -> Iterator[Tracks]:
        at, buffered = self._written, self._buffer[::-1]
        yield from (_read(io.BytesIO(entry)) for entry in buffered)
        while at > 0:
            with self._opened("rb") as file:
                file.seek(at - _LENGTH.size)
                at -= _LENGTH.size + _LENGTH.unpack(file.read(_LENGTH.size))[0]
                file.seek(at)
                tracks = _read(file)
            yield tracks

    def _write(self) -> None:
        content = b"".join(self._buffer)
        with self._opened("r+b" if self._written else "wb") as file:
            file.seek(self._written)
            file.write(content)
            file.flush()
            if self._path is not None:
                os.fsync(file.fileno())
        self._digest.update(content)
        self._written += len(content)
        self._buffer, self._buffered_bytes = [], 0

    @contextmanager
    def _opened(self, mode: str) -> Iterator[IO[bytes]]:
        location = self._path or tempfile.gettempdir()
        try:
            if self._path is None:
                if self._temporary is None:
                    self._temporary = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the log
                yield self._temporary
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, mode) as file:
                yield file
        except OSError as error:
            raise FacetrackError(
                f"{location} cannot be {'read' if mode == 'rb' else 'written'}: "
                f"{error.strerror or error}."
            ) from error


def _read(file: IO[bytes]) -> Tracks:
    """Read the entry at the current position of a file."""
    metadata = json.loads(str(np.load(file, allow_pickle=False)))
    arrays = {name: np.load(file, allow_pickle=False) for name in _ARRAYS}
    if metadata.pop("has_names"):
        arrays["image_names"] = np.load(file, allow_pickle=False)
    if metadata.pop("has_corrected", False):
        arrays["corrected"] = np.load(file, allow_pickle=False)
    return Tracks(**arrays, **metadata | {"size": tuple(metadata["size"])})
