"""Write files atomically, name, identify, show and read them; say why one cannot be reached."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

from facetrack.errors import FacetrackError, OutputError
from facetrack.runtime.interrupts import defer_interrupts

Opener = Callable[[Path], AbstractContextManager[IO[bytes]]]
"""Opens a file for reading; raises OSError."""

MAX_JSON_BYTES = 2**28
"""Largest JSON file that is read; records of hours of video have some megabytes."""
ABANDONED_AFTER = 24 * 3600.0
"""Age in seconds at which an unchanged hidden file counts as left by a killed run."""
_PATTERN = re.compile(r"[*?\[{%]")
_HIDDEN = re.compile(r"\.facetrack-[0-9a-f]{12}(\.\w+)?")


@contextlib.contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """Yield a hidden path beside `final`, with the same extension, and rename it on success.

    The file is synced to disk before it replaces `final`. On any exception, including
    KeyboardInterrupt, it is deleted and `final` stays unchanged.

    Raises:
        FacetrackError: the file cannot be written, e.g. because the disk is full.
    """
    final = Path(final)
    # Short enough wherever the final name is; unique, so that two runs do not collide.
    temporary = final.parent / f".facetrack-{secrets.token_hex(6)}{final.suffix}"
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, final)
        sync_folder(final.parent)
    except OSError as error:
        if error.filename is not None and not _is_about(error, temporary, final):
            raise
        raise OutputError(f"{final} cannot be written: {reason_of(error)}.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def check_output_folder(path: Path) -> Path:
    """Create the folder `path` with its parents if needed, and check that it is writable.

    Files that killed runs left there are deleted. A signal is raised at the end.

    Returns:
        The path.

    Raises:
        FacetrackError: it is not a folder, or cannot be created or written.
    """
    path = Path(path)
    with defer_interrupts() as interruptions:
        _check_output_folder(path)
        with interruptions.lifted():
            return path


def _check_output_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".facetrack-{secrets.token_hex(6)}"
        # Only an attempt is reliable: permission bits do not reveal read-only file systems.
        probe.touch(exist_ok=False)
        now = probe.stat().st_mtime  # the clock of the file system may differ from this machine's
        probe.unlink()
        _delete_abandoned(path, now)
    except FileExistsError as error:
        place = os.fsdecode(error.filename or path)
        kind = "a file" if os.path.exists(place) else "a link to what does not exist"
        where = f"{place}, in which it would be," if Path(place) != path else "it"
        raise FacetrackError(
            f"The output folder {path} cannot be made, because {where} is {kind}; choose another."
        ) from error
    except OSError as error:
        raise OutputError(
            f"The output folder {path} cannot be written: {reason_of(error)}; choose another."
        ) from error


@contextlib.contextmanager
def removing_new_folders(*folders: Path) -> Iterator[None]:
    """Delete folders and their parents that the context created and left empty."""
    places = {p for folder in folders for p in (folder.absolute(), *folder.absolute().parents)}
    new = [p for p in sorted(places, key=lambda p: -len(p.parts)) if not os.path.lexists(p)]
    with defer_interrupts() as interruptions:
        try:
            with interruptions.lifted():
                yield
        finally:
            for path in new:
                with contextlib.suppress(OSError):
                    path.rmdir()


def _delete_abandoned(folder: Path, now: float) -> None:
    """Delete hidden files that have not changed for ABANDONED_AFTER seconds."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not _HIDDEN.fullmatch(entry.name):
                continue
            with contextlib.suppress(OSError):
                old = now - entry.stat(follow_symlinks=False).st_mtime > ABANDONED_AFTER
                if old and entry.is_file(follow_symlinks=False):
                    os.unlink(entry.path)


def _is_about(error: OSError, *paths: Path) -> bool:
    names = {os.fspath(p) for p in paths}
    return any(
        name is not None and os.fsdecode(name) in names
        for name in (error.filename, error.filename2)
        if not isinstance(name, int)
    )


def reason_of(error: OSError) -> str:
    """Return the reason of an error, to put after a colon."""
    text = error.strerror or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Make renames in a folder permanent, where the system supports that."""
    # The rename survives a power failure only after a sync of the folder, where supported.
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in chunks.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def parse_json(text: str | bytes) -> Any:
    """Return the value of JSON text from a file that may be damaged or manipulated.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("the JSON text is nested too deeply") from None


def open_file(path: Path) -> IO[bytes]:
    """Open a regular file for reading; anything else counts as missing.

    Raises:
        OSError: it cannot be read.
    """
    if not os.path.isfile(path):  # a named pipe would be waited for
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return open(path, "rb")


def read_json(path: Path, opener: Opener = open_file) -> Any:
    """Return the content of a JSON file, or None if it cannot be read."""
    try:
        with opener(path) as file:
            data = file.read(MAX_JSON_BYTES + 1)
        return parse_json(data) if len(data) <= MAX_JSON_BYTES else None
    except (OSError, ValueError):
        return None


def not_found(path: str | os.PathLike[str], kind: str = "") -> FacetrackError:
    """Return the error about a path at which there is not what is needed.

    Args:
        path: as the user gave it.
        kind: what it should be, such as "points file".
    """
    path = Path(path)
    closed = closed_folder(path)
    if closed is not None:
        return FacetrackError(f"{path} cannot be reached: you may not enter the folder {closed}.")
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return FacetrackError(f"There is no {f'{kind} {path}'.strip()}; check the path.")
    except OSError as error:
        return FacetrackError(f"{path} cannot be reached: {reason_of(error)}.")
    found = "a folder" if os.path.isdir(path) else "neither a file nor a folder"
    return FacetrackError(f"{path} is {found}; check the path.")


def closed_folder(path: Path) -> Path | None:
    """Return the first folder on the way to a path that the user may not enter; None if none is.

    What lies behind it looks as if it were missing: `os.path.isfile` and the like do not tell the
    two apart.
    """
    try:
        os.stat(path)
    except PermissionError:
        folders = reversed(path.parents)
        return next((f for f in folders if not os.access(f, os.X_OK)), path.parent)
    except (OSError, ValueError):
        return None
    return None


def printable(text: str) -> str:
    """Escape control characters and lone surrogates, which file names may contain."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def entry_of(path: Path) -> str:
    """Return the path of a folder's entry, through which links on the way to it lead.

    Two paths are those of the same entry exactly if this is the same. An entry that is a link
    itself is another one than what it leads to.
    """
    if path.name in ("", ".."):
        return os.path.realpath(path)
    return os.path.join(os.path.realpath(path.parent), path.name)


def stem_of(video: Path) -> str:
    """Return the common stem of a video's output files; dots in a folder's name are kept.

    That of a series of images, such as `take/frame_*.png`, is its name up to the number.
    """
    path = Path(os.path.abspath(video)) if video.name in ("", "..") else video
    if _PATTERN.search(path.name) and not os.path.lexists(path):
        start = _PATTERN.split(path.stem)[0].rstrip("_-. ")
        return start or Path(os.path.abspath(path)).parent.name or "images"
    # Not Path.is_dir, which raises if the name is too long.
    return path.name if os.path.isdir(path) else path.stem
