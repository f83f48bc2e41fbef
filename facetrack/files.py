"""Files that appear under their final name only when they are whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from facetrack.errors import FacetrackError

ABANDONED = 24 * 3600.0
"""Seconds without a change after which a hidden file is taken for one of a run that was killed."""
_HIDDEN = re.compile(r"\.facetrack-[0-9a-f]{12}(\.\w+)?")


@contextlib.contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """Yield a hidden path beside `final` (same extension) to write to; rename it on success.

    The file is synced to disk before it takes the final name (replacing what was there). On any
    exception, KeyboardInterrupt included, it is removed and `final` stays as it was. An OSError
    that concerns this file, such as a full disk, becomes a FacetrackError.
    """
    final = Path(final)
    # Short, so that it fits wherever the final name fits; unique, so that two runs do not meet.
    temporary = final.parent / f".facetrack-{secrets.token_hex(6)}{final.suffix}"
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, final)
        _sync_folder(final.parent)
    except OSError as error:
        if error.filename is not None and not _concerns(error, temporary, final):
            raise
        raise FacetrackError(f"{final} cannot be written: {_reason(error)}.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def check_output_folder(path: Path) -> Path:
    """Create the folder `path` (parents too) if need be, and make sure files can be written there.
    What killed runs have left there is removed.

    Returns the path; raises FacetrackError when it is no folder, or cannot be made or written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".facetrack-{secrets.token_hex(6)}"
        # Trying is the only sure test: permission bits say nothing of read-only file systems.
        probe.touch(exist_ok=False)
        now = probe.stat().st_mtime  # by the clock of the file system, which may be another's
        probe.unlink()
        _tidy(path, now)
    except FileExistsError as error:
        raise FacetrackError(f"the output folder {path} is a file; choose another.") from error
    except OSError as error:
        raise FacetrackError(
            f"the output folder {path} cannot be written: {_reason(error)}; choose another."
        ) from error
    return path


def _tidy(folder: Path, now: float) -> None:
    """Remove hidden files that nobody has written to for long."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not _HIDDEN.fullmatch(entry.name):
                continue
            with contextlib.suppress(OSError):
                old = now - entry.stat(follow_symlinks=False).st_mtime > ABANDONED
                if old and entry.is_file(follow_symlinks=False):
                    os.unlink(entry.path)


def _concerns(error: OSError, *paths: Path) -> bool:
    names = {os.fspath(p) for p in paths}
    return any(
        name is not None and os.fsdecode(name) in names
        for name in (error.filename, error.filename2)
        if not isinstance(name, int)
    )


def _reason(error: OSError) -> str:
    text = error.strerror or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    # The rename itself survives a power cut only once the folder is synced; not all systems can.
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256_of(path: Path) -> str:
    """The hexadecimal SHA-256 of a file, read in pieces.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def stem_of(video: Path) -> str:
    """What the names of a video's files begin with; a folder's dot belongs to its name."""
    named = Path(os.path.abspath(video)) if video.name in ("", "..") else video
    # Not Path.is_dir, which raises where the name is too long.
    return named.name if os.path.isdir(named) else named.stem
