"""dlib's model files, as the installed `face_recognition_models` package carries them.

The package is located, never imported: its `__init__` needs `pkg_resources`, which recent
setuptools no longer has, and all that is wanted of it are the files beside it.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from facetrack.errors import FacetrackError

PACKAGE = "face_recognition_models"
INSTALL = f"pip install --force-reinstall {PACKAGE}"

_LICENCE_FILES = "CC0-1.0 (davisking/dlib-models)"
LICENCES = {
    "shape_predictor_68_face_landmarks.dat": (
        f"{_LICENCE_FILES}; trained on iBUG 300-W, whose licence excludes commercial use: "
        "for research use"
    ),
    "mmod_human_face_detector.dat": _LICENCE_FILES,
    "dlib_face_recognition_resnet_model_v1.dat": _LICENCE_FILES,
}


@dataclass(frozen=True)
class ModelFile:
    """One model file of the package.

    Attributes:
        name: the file's name, e.g. "mmod_human_face_detector.dat".
        path: where it lies.
        licence: what may be done with it, in one line.
    """

    name: str
    path: Path
    licence: str

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the file as it is on disk; read on first use."""
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    def describe(self) -> dict[str, str]:
        """Name, sha256 and licence, for the sidecar."""
        return {"weights": self.name, "sha256": self.sha256, "licence": self.licence}


@cache
def model_file(name: str) -> ModelFile:
    """Locate one of the files named in `LICENCES`.

    Raises:
        KeyError: `name` is not one of them.
        FacetrackError: the package or the file is not installed.
    """
    licence = LICENCES[name]
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "models" / name
        if path.is_file():
            return ModelFile(name, path, licence)
    raise FacetrackError(f"dlib's model {name} is not installed; run: {INSTALL}")


def unreadable(file: ModelFile, error: Exception) -> FacetrackError:
    """The error to raise when dlib cannot read `file`."""
    return FacetrackError(f"dlib cannot read {file.path} ({error}); run: {INSTALL}")
