"""Which weights there are, what they are, and where on this machine."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facetrack.errors import FacetrackError
from facetrack.output.sidecar import sha256_of


@dataclass(frozen=True)
class Weights:
    """A weights file that comes with facetrack.

    Attributes:
        name: as on the command line.
        file: name in the weights folder; its card is beside it, as `<name>.md`.
        licence: of the file, to be shown where it is used.
        paper: the method's source.
    """

    name: str
    file: str
    licence: str
    paper: str

    @property
    def path(self) -> Path:
        """Where the file is.

        Raises:
            FacetrackError: the installation lacks it.
        """
        path = folder() / self.file
        if not path.is_file():
            raise FacetrackError(
                f"The weights {self.name} are missing from {path.parent}: install facetrack again."
            )
        return path

    def describe(self) -> dict[str, Any]:
        """For the sidecar."""
        return {
            "weights": self.name,
            "sha256": _sha256(self.path),
            "licence": self.licence,
            "paper": self.paper,
        }


BUNDLED = {
    "tapir-s": Weights(
        name="tapir-s",
        file="tapir-s.safetensors",
        licence="research use only: trained on pictures of 300-W",
        paper="Doersch et al., TAPIR, ICCV 2023 (arXiv 2306.08637); weights our own",
    ),
}


def folder() -> Path:
    """The folder of bundled weights: inside an installed package, beside one in a checkout."""
    package = Path(__file__).parent
    installed = package / "_weights"
    return installed if installed.is_dir() else package.parent / "weights"


@functools.cache
def _sha256(path: Path) -> str:
    return sha256_of(path)
