"""Tracks in a file, one after another: what is known of a video before all of it is."""

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

MOST_WAITING = 2**24
"""Bytes of tracks that are kept in memory until they are written."""
_ARRAYS = ("xy", "visible", "confidence", "time", "face_id")
_LENGTH = struct.Struct("<Q")  # of a record's bytes, after them: so that the last can be found


class Mark(NamedTuple):
    """How far a log goes: its length in bytes, and their SHA-256."""

    length: int
    sha256: bytes


class TrackLog:
    """Tracks in the order in which they are added; iterating yields them, `reversed` from the last
    to the first. However many there are, only a few megabytes are in memory.

    Args:
        path: the file, made when it is first written to; it stays. None: a temporary one, which
            goes with the log.

    Raises:
        FacetrackError: from any of its methods, the disk refuses.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._temporary: IO[bytes] | None = None
        self._waiting: list[bytes] = []
        self._bytes_waiting = 0
        self._written, self._digest = 0, hashlib.sha256()

    def __del__(self) -> None:
        if self._temporary is not None:
            self._temporary.close()

    def add(self, tracks: Tracks) -> None:
        """Append tracks."""
        like = {name: getattr(tracks, name) for name in ("scheme", "size", "first_frame", "stride")}
        stored = io.BytesIO()
        np.save(stored, np.array(json.dumps(like)), allow_pickle=False)
        for name in _ARRAYS:
            np.save(stored, getattr(tracks, name), allow_pickle=False)
        stored.write(_LENGTH.pack(len(stored.getbuffer())))
        self._waiting.append(stored.getvalue())
        self._bytes_waiting += len(self._waiting[-1])
        if self._bytes_waiting > MOST_WAITING:
            self._write()

    def save(self) -> Mark:
        """Have all that was added on disk; returns what `load` is to be told."""
        if self._waiting:
            self._write()
        return Mark(self._written, self._digest.digest())

    def load(self, mark: Mark) -> bool:
        """Go on from there; False, and nothing is, where the file is not what it was. What was
        written after the mark is forgotten."""
        digest, left = hashlib.sha256(), mark.length
        if left:
            with self._opened("rb") as file:
                while left > 0 and (piece := file.read(min(left, 2**20))):
                    digest.update(piece)
                    left -= len(piece)
        if left or digest.digest() != mark.sha256:
            return False
        self._waiting, self._bytes_waiting = [], 0
        self._written, self._digest = mark.length, digest
        return True

    def __iter__(self) -> Iterator[Tracks]:
        # What waits may be written meanwhile.
        at, end, waiting = 0, self._written, list(self._waiting)
        while at < end:
            with self._opened("rb") as file:
                file.seek(at)
                tracks = _read(file)
                at = file.tell() + _LENGTH.size
            yield tracks
        yield from (_read(io.BytesIO(record)) for record in waiting)

    def __reversed__(self) -> Iterator[Tracks]:
        at, waiting = self._written, self._waiting[::-1]
        yield from (_read(io.BytesIO(record)) for record in waiting)
        while at > 0:
            with self._opened("rb") as file:
                file.seek(at - _LENGTH.size)
                at -= _LENGTH.size + _LENGTH.unpack(file.read(_LENGTH.size))[0]
                file.seek(at)
                tracks = _read(file)
            yield tracks

    def _write(self) -> None:
        content = b"".join(self._waiting)
        with self._opened("r+b" if self._written else "wb") as file:
            file.seek(self._written)
            file.write(content)
            file.flush()
            if self._path is not None:
                os.fsync(file.fileno())
        self._digest.update(content)
        self._written += len(content)
        self._waiting, self._bytes_waiting = [], 0

    @contextmanager
    def _opened(self, mode: str) -> Iterator[IO[bytes]]:
        where = self._path or tempfile.gettempdir()
        try:
            if self._path is None:
                if self._temporary is None:
                    self._temporary = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long
                yield self._temporary
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, mode) as file:
                yield file
        except OSError as error:
            raise FacetrackError(
                f"{where} cannot be {'read' if mode == 'rb' else 'written'}: "
                f"{error.strerror or error}."
            ) from error


def _read(file: IO[bytes]) -> Tracks:
    """The tracks of the record that begins here."""
    like = json.loads(str(np.load(file, allow_pickle=False)))
    arrays = {name: np.load(file, allow_pickle=False) for name in _ARRAYS}
    return Tracks(**arrays, **like | {"size": tuple(like["size"])})
