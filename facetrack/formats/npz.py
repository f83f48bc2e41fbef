"""Write and read the arrays of tracks in one `.npz` file."""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.files import atomic_path, not_found
from facetrack.formats.base import Writer
from facetrack.tracks import COORDINATE_ORIGIN, Tracks

MAX_COMPRESSION = 100
"""Maximum compression factor of an array; landmarks are compressed by factors of 2 to 10."""

_SPOOLED = {"xy": np.float32, "visible": np.bool_, "confidence": np.float32, "time": np.float64}
_SINGLE = ("face_id", "scheme", "size", "first_frame")
_NAMES = "image_names"  # only of a series of images
_CORRECTED = "corrected"  # only of corrected tracks
_STRIDE = "stride"  # absent from files of facetrack 0.1.0, which contain every frame


class NpzWriter(Writer):
    """Write the attributes of `Tracks` as named arrays, with constant memory.

    The arrays are `xy` (T, F, N, 2), `visible` and `confidence` (T, F, N), `time` (T,), `face_id`
    (F,), `scheme`, `size` (2,) as width and height, `first_frame`, `stride` and
    `coordinate_origin`, for corrected tracks `corrected` (T, F, N), and for a series of images
    `image_names` (T,). Arrays that grow with the
    video are spooled to temporary files. The archive is uncompressed, as by `numpy.savez`, and
    contains no pickles.
    """

    all_faces_first = True

    def _open(self, stack: ExitStack) -> None:
        self._temporary = stack.enter_context(atomic_path(self.path))
        # In the output folder, which needs as much space anyway.
        folder = self._temporary.parent
        self._spools: dict[str, IO[bytes]] = {
            name: stack.enter_context(tempfile.TemporaryFile(dir=folder))  # noqa: SIM115
            for name in _SPOOLED
        }
        self._frames = 0
        self._names: list[np.ndarray] = []
        self._corrected: list[np.ndarray] = []

    def _begin(self, tracks: Tracks) -> None:
        self._first = tracks

    def _append(self, tracks: Tracks) -> None:
        for name, spool in self._spools.items():
            values = getattr(tracks, name)
            spool.write(np.ascontiguousarray(values, _SPOOLED[name]).tobytes())
        self._frames += len(tracks)
        if tracks.image_names is not None:
            self._names.append(tracks.image_names)
        if tracks.corrected is not None:
            self._corrected.append(tracks.corrected)

    def _end(self) -> None:
        first = self._first
        with zipfile.ZipFile(self._temporary, "w", zipfile.ZIP_STORED) as archive:
            for name, spool in self._spools.items():
                shape = (self._frames, *getattr(first, name).shape[1:])
                header = {
                    "descr": np.lib.format.dtype_to_descr(np.dtype(_SPOOLED[name])),
                    "fortran_order": False,
                    "shape": shape,
                }
                with _member(archive, name) as member:
                    np.lib.format.write_array_header_1_0(member, header)
                    spool.seek(0)
                    shutil.copyfileobj(spool, member)
            for name, value in {
                "face_id": np.asarray(first.face_id, np.int64),
                "scheme": np.array(first.scheme),
                "size": np.array(first.size, np.int64),
                "first_frame": np.array(first.first_frame, np.int64),
                _STRIDE: np.array(first.stride, np.int64),
                "coordinate_origin": np.array(COORDINATE_ORIGIN),
                **({_NAMES: np.concatenate(self._names)} if self._names else {}),
                **({_CORRECTED: np.concatenate(self._corrected)} if self._corrected else {}),
            }.items():
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, value, allow_pickle=False)
                with _member(archive, name) as member:
                    member.write(buffer.getvalue())


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    # An explicit ZipInfo has a fixed date, so the same tracks give the same bytes.
    return archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)


def expands_too_far(size: int, stored: int) -> bool:
    """Return True if `size` bytes in memory are far more than `stored` bytes of a file explain."""
    return size > MAX_COMPRESSION * max(stored, 1) + (1 << 26)


def refuse_zip_bombs(archive: Any) -> None:
    """Refuse an archive, as returned by `numpy.load`, whose arrays unpack to far larger sizes.

    Raises:
        ValueError: an array exceeds MAX_COMPRESSION.
    """
    for member in archive.zip.infolist():
        if expands_too_far(member.file_size, member.compress_size):
            raise ValueError(f"{member.filename} unpacks to {member.file_size} bytes")


def read_npz(path: Path) -> Tracks:
    """Read a file written by `NpzWriter`; nothing in the file is executed.

    Raises:
        FacetrackError: the file is missing or malformed.
    """
    path = Path(path)
    try:
        # Opened here, because numpy does not close its own file if the archive is damaged.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            refuse_zip_bombs(archive)
            arrays = {name: archive[name] for name in (*_SPOOLED, *_SINGLE)}
            stride = int(archive[_STRIDE]) if _STRIDE in archive.files else 1
            names = archive[_NAMES] if _NAMES in archive.files else None
            corrected = archive[_CORRECTED] if _CORRECTED in archive.files else None
        if names is not None and names.dtype.kind != "U":
            raise ValueError(f"{_NAMES} is {names.dtype}")
        if corrected is not None and corrected.dtype != bool:
            raise ValueError(f"{_CORRECTED} is {corrected.dtype}")
        for name, dtype in _SPOOLED.items():
            if arrays[name].dtype != dtype:
                raise ValueError(f"{name} is {arrays[name].dtype}")
        width, height = arrays["size"].tolist()
        return Tracks(
            **{name: arrays[name] for name in _SPOOLED},
            face_id=arrays["face_id"].astype(np.int64),
            scheme=str(arrays["scheme"]),
            size=(int(width), int(height)),
            first_frame=int(arrays["first_frame"]),
            stride=max(1, stride),
            image_names=names,
            corrected=corrected,
        )
    except FileNotFoundError:
        raise not_found(path, "file") from None
    except zipfile.BadZipFile:
        raise FacetrackError(f"{path} is damaged or not an .npz file.") from None
    except Exception as error:
        # numpy raises many types of errors at damaged archives.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FacetrackError(f"{path} is not a facetrack .npz file ({reason}).") from None
