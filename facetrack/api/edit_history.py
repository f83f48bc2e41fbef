"""Change corrections with undo and redo; each change is on disk before its call returns."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from facetrack.corrections.correction import Correction, active
from facetrack.corrections.log import CorrectionLog, parse_corrections


class EditHistory:
    """The changes that one session has made to a file of corrections.

    To undo is to write further rows: nothing that was written is changed. A row that undoes
    another brings back exactly what was in force before, also after a face was said to be another
    person. Changes of other programs stay, unless they concern what is undone.

    Args:
        log: the file.
        who: name of the person who corrects.
        on_change: called after each change.
    """

    def __init__(self, log: CorrectionLog, who: str, on_change: Callable[[], None]) -> None:
        self._log, self._who, self._on_change = log, who, on_change
        self._done: list[list[Correction]] = []
        self._undone: list[list[Correction]] = []
        self._lock = threading.RLock()

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to undo."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone change."""
        return bool(self._undone)

    def change(self, rows: Sequence[Correction]) -> list[Correction]:
        """Write the rows of one change; return them as written.

        Raises:
            FacetrackError: the file cannot be written.
        """
        if not rows:
            return []
        with self._lock:
            written = self._write(rows)
            self._done.append(written)
            self._undone.clear()
            return written

    def undo(self) -> list[Correction]:
        """Undo the last change; return the rows that were written for it."""
        with self._lock:
            if not self._done:
                return []
            written = self._write([row.revert() for row in reversed(self._done[-1])])
            self._undone.append(self._done.pop())
            return written

    def redo(self) -> list[Correction]:
        """Make the last undone change again; return the rows that were written for it."""
        with self._lock:
            if not self._undone:
                return []
            written = self._write(self._undone[-1])
            self._done.append(self._undone.pop())
            return written

    def refresh(self) -> bool:
        """Read what another program has appended; return whether there was anything."""
        with self._lock:
            changed = self._log.refresh()
            if changed:
                self._on_change()
            return changed

    def _write(self, rows: Sequence[Correction]) -> list[Correction]:
        written = self._log.append([replace(row, who=self._who, when="") for row in rows])
        self._on_change()
        return written


def said(corrections: Iterable[Correction]) -> list[tuple[object, ...]]:
    """Return what corrections say, without who said it when."""
    return [(*c.key, c.x, c.y, c.hidden) for c in corrections]


def said_at(path: Path, sha256: str) -> list[tuple[object, ...]] | None:
    """Return what a file of corrections said when it had a checksum; None if it never had it.

    Rows are only ever added, so the file then was a beginning of the present one.

    Raises:
        OSError: the file cannot be read.
    """
    data, digest, size = path.read_bytes(), hashlib.sha256(), 0
    for line in data.splitlines(keepends=True):
        digest.update(line)
        size += len(line)
        if digest.hexdigest() == sha256:
            return said(active(parse_corrections(data[:size], str(path)).rows))
    return None
