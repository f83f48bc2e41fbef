"""Locks among processes, so that two do not write the same files."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import filelock

from facetrack.errors import FacetrackError


class Lock:
    """Held by one process; the system frees it when the program ends or is killed.

    The file stays, empty: if it were deleted, two processes could lock two files of its name.

    Args:
        path: of the file.
        refusal: sentence for the user if another process holds the lock.
    """

    def __init__(self, path: Path, refusal: str) -> None:
        self._refusal = refusal
        # Not of a thread: another one than that of `acquire` may release it.
        self._lock = filelock.FileLock(path, thread_local=False)

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            FacetrackError: another process holds it.
        """
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise FacetrackError(self._refusal) from None
        except (OSError, NotImplementedError):
            # A folder that cannot be written can be looked at; some network drives have no locks.
            return

    def release(self) -> None:
        """Free the lock, if it is held."""
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
