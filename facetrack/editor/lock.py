"""One page's server for each run: two would undo and save past one another."""

from __future__ import annotations

from pathlib import Path

import filelock

from facetrack.errors import FacetrackError


class EditLock:
    """Held by the server of a run's page; the system frees it when the program ends or is killed.

    Args:
        folder: where the run's files lie.
        stem: how their names begin.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self._stem = stem
        # The file stays, empty: if it were deleted, two servers could lock two files of its name.
        path = folder / f".{stem}.edit.lock"
        # Not of a thread: another one than that of `acquire` may release it.
        self._lock = filelock.FileLock(path, thread_local=False)

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            FacetrackError: another server holds it.
        """
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise FacetrackError(
                f"{self._stem} is open in another facetrack edit: use its page, which several tabs "
                "may show, or end that one with Ctrl-C."
            ) from None
        except (OSError, NotImplementedError):
            # A folder that cannot be written can be looked at; some network drives have no locks.
            return

    def release(self) -> None:
        """Free the lock, if it is held."""
        self._lock.release()
