"""The arrays themselves, in one `.npz`."""

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
from facetrack.files import atomic_path
from facetrack.formats.base import Writer
from facetrack.tracks import COORDINATE_ORIGIN, Tracks

MOST_PACKED = 100
"""Times that an array may be larger than it is in the file; landmarks pack to a half or a tenth."""

_SPOOLED = {"xy": np.float32, "visible": np.bool_, "confidence": np.float32, "time": np.float64}
_SINGLE = ("face_id", "scheme", "size", "first_frame")
_STRIDE = "stride"  # absent from files of facetrack 0.1.0, which are of every frame


class NpzWriter(Writer):
    """`xy` (T, F, N, 2), `visible`, `confidence` (T, F, N), `time` (T,), `face_id` (F,), `scheme`,
    `size` (2,) as width, height, `first_frame`, `stride` and `coordinate_origin`; see `Tracks`.

    The arrays that grow with the video wait in temporary files, so memory does not; they are
    uncompressed in the archive, as by `numpy.savez`. No pickle inside.
    """

    all_faces_first = True

    def _open(self, stack: ExitStack) -> None:
        self._temporary = stack.enter_context(atomic_path(self.path))
        # Beside the result, where there must be room for as much anyway.
        folder = self._temporary.parent
        self._spools: dict[str, IO[bytes]] = {
            name: stack.enter_context(tempfile.TemporaryFile(dir=folder))  # noqa: SIM115
            for name in _SPOOLED
        }
        self._frames = 0

    def _begin(self, tracks: Tracks) -> None:
        self._first = tracks

    def _append(self, tracks: Tracks) -> None:
        for name, spool in self._spools.items():
            values = getattr(tracks, name)
            spool.write(np.ascontiguousarray(values, _SPOOLED[name]).tobytes())
        self._frames += len(tracks)

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
            }.items():
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, value, allow_pickle=False)
                with _member(archive, name) as member:
                    member.write(buffer.getvalue())


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    # A ZipInfo of one's own has a fixed date: the same tracks make the same bytes.
    return archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)


def refuse_bombs(archive: Any) -> None:
    """Arrays that unpack to far more than the file holds were not written to be read.

    Raises:
        ValueError: `archive`, as `numpy.load` gives it, has some.
    """
    for member in archive.zip.infolist():
        if member.file_size > MOST_PACKED * max(member.compress_size, 1) + (1 << 26):
            raise ValueError(f"{member.filename} unpacks to {member.file_size} bytes")


def read_npz(path: Path) -> Tracks:
    """Read what `NpzWriter` wrote; nothing in the file is ever executed.

    Raises:
        FacetrackError: the file is missing or is not such a file.
    """
    path = Path(path)
    try:
        # numpy leaves a file of its own open when the archive turns out to be damaged.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            refuse_bombs(archive)
            arrays = {name: archive[name] for name in (*_SPOOLED, *_SINGLE)}
            stride = int(archive[_STRIDE]) if _STRIDE in archive.files else 1
        for name, kind in _SPOOLED.items():
            if arrays[name].dtype != kind:
                raise ValueError(f"{name} is {arrays[name].dtype}")
        width, height = arrays["size"].tolist()
        return Tracks(
            **{name: arrays[name] for name in _SPOOLED},
            face_id=arrays["face_id"].astype(np.int64),
            scheme=str(arrays["scheme"]),
            size=(int(width), int(height)),
            first_frame=int(arrays["first_frame"]),
            stride=max(1, stride),
        )
    except FileNotFoundError:
        raise FacetrackError(f"There is no file {path}; check the path.") from None
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        EOFError,
        MemoryError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FacetrackError(f"{path} is not a facetrack .npz file ({reason}).") from None
    except zipfile.BadZipFile:
        raise FacetrackError(f"{path} is damaged or not an .npz file.") from None
