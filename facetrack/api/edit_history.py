"""Change corrections with undo and redo; each change is on disk before its call returns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from facetrack.corrections.log import Correction, CorrectionLog


class EditHistory:
    """The changes that one session has made to a file of corrections.

    To undo is to write further rows: nothing that was written is changed. Changes of other programs
    to the same file stay, unless they concern what is undone.

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
            written, before = self._write(rows)
            self._done.append(before)
            self._undone.clear()
            return written

    def undo(self) -> list[Correction]:
        """Undo the last change; return the rows that were written for it."""
        return self._step(self._done, self._undone)

    def redo(self) -> list[Correction]:
        """Make the last undone change again; return the rows that were written for it."""
        return self._step(self._undone, self._done)

    def refresh(self) -> bool:
        """Read what another program has appended; return whether there was anything."""
        with self._lock:
            changed = self._log.refresh()
            if changed:
                self._on_change()
            return changed

    def _step(
        self, source: list[list[Correction]], target: list[list[Correction]]
    ) -> list[Correction]:
        with self._lock:
            if not source:
                return []
            written, before = self._write(source[-1])
            source.pop()
            target.append(before)
            return written

    def _write(self, rows: Sequence[Correction]) -> tuple[list[Correction], list[Correction]]:
        """Write rows; return them as written, and those that undo them."""
        present = {c.key: c for c in self._log.active()}
        keys = list(dict.fromkeys(row.key for row in rows))
        before = [present[key] if key in present else Correction(*key, undone=True) for key in keys]
        rows = [replace(row, who=self._who, when="") for row in rows]
        written = self._log.append(rows)
        self._on_change()
        return written, before


def said(corrections: Iterable[Correction]) -> list[tuple[object, ...]]:
    """Return what corrections say, without who said it when."""
    return [(*c.key, c.x, c.y, c.hidden) for c in corrections]
