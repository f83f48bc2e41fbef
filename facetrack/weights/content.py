"""Check that a weights file opens as a file of its kind, for files whose SHA-256 is not known."""

from __future__ import annotations

import zipfile
from pathlib import Path

from facetrack.errors import FacetrackError

_NETWORKS = (".pth", ".pth.tar", ".pt", ".pkl", ".zip", ".safetensors")
_ARRAYS = (".npy",)


def is_checkable(name: str) -> bool:
    """Return True if files with this name are of a kind that `find_problem` can open."""
    return name.endswith((*_NETWORKS, *_ARRAYS))


def find_problem(path: Path, name: str) -> str | None:
    """Open a weights file without running code in it, and describe what is wrong with it.

    Args:
        path: the file, whose own name may be temporary.
        name: the file's final name, which determines its kind.

    Returns:
        The second half of a sentence about the file; None if it opens, or if files of this kind
        can only be opened by the part that uses them.
    """
    if name.endswith(_NETWORKS):
        return _find_network_problem(path)
    if name.endswith(_ARRAYS):
        return _find_array_problem(path)
    return None


def _find_network_problem(path: Path) -> str | None:
    from facetrack.weights.state_dict import read_weights

    problem = "it does not open as network weights"
    try:
        # Readers of tensors skip the checksums of an archive.
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    return problem
                if archive.testzip() is not None:
                    return "its checksums do not match its content"
        read_weights(path)
    except (FacetrackError, zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return problem
    return None


def _find_array_problem(path: Path) -> str | None:
    from facetrack.weights.arrays import read_params

    try:
        read_params(path)
    except Exception:
        # Damaged files raise many different exceptions.
        return "it does not open as arrays of weights"
    return None
