"""Locks on files and folders, which the system frees when the process that holds one ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from facetrack.runtime.interrupts import defer_interrupts

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
"""Name of the file in a folder that is locked by the process that uses the folder."""


def acquire(file: IO[bytes]) -> bool:
    """Lock a file until it is closed; return False if locks do not work here.

    Raises:
        BlockingIOError: the lock is held already, by another process or another open file.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


@contextlib.contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which is created if needed, and deleted at the end if empty.

    Where locks do not work, nothing is held.

    Raises:
        BlockingIOError: the lock is held already.
        OSError: the folder cannot be written.
    """
    if fcntl is None:
        yield
        return
    with defer_interrupts() as interruptions, _create(folder):
        try:
            with interruptions.lifted():
                yield
        finally:
            # While it is still locked: it may be another's as soon as it is not.
            with contextlib.suppress(OSError):
                (folder / LOCK).unlink()
            with contextlib.suppress(OSError):
                folder.rmdir()


def _create(folder: Path) -> IO[bytes]:
    """Open the lock file of a folder, and lock it where locks work."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            file = open(folder / LOCK, "ab")  # noqa: SIM115 (the caller closes it)
        except FileNotFoundError:
            continue  # its last user has just deleted the folder
        try:
            if not acquire(file) or _is_at(file, folder / LOCK):
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # its last user has just deleted the file


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
