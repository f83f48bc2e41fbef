"""Find dlib's model files in the installed package `face_recognition_models`.

The package is located but never imported: its `__init__` needs `pkg_resources`, which recent
versions of setuptools no longer contain, and only its data files are needed.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from facetrack.errors import FacetrackError
from facetrack.files import sha256_of

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
    """A model file of an installed package.

    Attributes:
        name: file name, e.g. "mmod_human_face_detector.dat".
        path: path of the file.
        licence: its licence, in one line.
    """

    name: str
    path: Path
    licence: str

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal digest of the file on disk, computed on first use."""
        return sha256_of(self.path)

    def describe(self) -> dict[str, str]:
        """Return name, SHA-256 and licence, for the record."""
        return {"weights": self.name, "sha256": self.sha256, "licence": self.licence}


@cache
def model_file(name: str) -> ModelFile:
    """Find the model file called `name`, a key of `LICENCES`.

    Raises:
        KeyError: `LICENCES` has no such key.
        FacetrackError: the package or the file is not installed.
    """
    licence = LICENCES[name]
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "models" / name
        if path.is_file():
            return ModelFile(name, path, licence)
    raise FacetrackError(f"dlib's model {name} is not installed; run: {INSTALL}")


def unreadable_error(file: ModelFile, error: Exception) -> FacetrackError:
    """Return the error to raise when dlib cannot read `file`."""
    return FacetrackError(f"dlib cannot read {file.path} ({error}); run: {INSTALL}")
