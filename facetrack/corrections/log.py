"""Read and append the file of corrections: one row for each thing that a person has said.

Columns: `frame,face,point,x,y,hidden,who,when`. A row is on disk before the call that appends it
returns, and nothing is ever rewritten, so that a kill at any time loses no correction. To take a
correction back and to undo a row are rows of their own. A last line that a kill tore off is
ignored, and cut off before further rows are appended.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from facetrack.corrections.correction import REVERTED, UNDONE, Correction, active
from facetrack.errors import FacetrackError, OutputError
from facetrack.files import not_found, reason_of, sync_folder
from facetrack.tables import TableWriter, read_rows

SUFFIX = ".corrections.csv"
"""End of the file's name, after the stem."""
COLUMNS = ("frame", "face", "point", "x", "y", "hidden", "who", "when")
MAX_BYTES = 2**28
"""Largest file that is read."""
_HEADER = (",".join(COLUMNS) + "\n").encode()


# ---------------------------------------------------------------- reading


@dataclass(frozen=True)
class CorrectionsFile:
    """The content of a file of corrections.

    Attributes:
        rows: all rows, in order.
        whole_bytes: number of bytes up to the end of the last whole row.
        sha256: of all bytes.
        warnings: a sentence about a torn last line.
    """

    rows: list[Correction]
    whole_bytes: int
    sha256: str
    warnings: list[str]


def read_corrections(path: Path) -> CorrectionsFile:
    """Read a file of corrections.

    Raises:
        FacetrackError: the file cannot be read, or a row is malformed. Its last line may be torn.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise not_found(path, "file") from None
    except OSError as error:
        raise FacetrackError(f"{path} cannot be read: {reason_of(error)}.") from error
    if len(data) > MAX_BYTES:
        raise FacetrackError(f"{path} is too large for a file of corrections.")
    return parse_corrections(data, str(path))


def parse_corrections(data: bytes, shown: str) -> CorrectionsFile:
    """Parse the bytes of a file of corrections; see `read_corrections`.

    Args:
        data: the whole file.
        shown: its name in messages.
    """
    whole = data.rfind(b"\n") + 1
    torn = data[whole:]
    warnings = []
    if torn.strip():
        # The last row of a file from an editor may lack its line end.
        try:
            _parse(data, shown)
            whole = len(data)
        except FacetrackError:
            if not _HEADER.startswith(data) and b"\n" not in data:
                raise
            warnings.append(f"The last line of {shown} is not whole and was left out.")
    digest = hashlib.sha256(data).hexdigest()
    return CorrectionsFile(_parse(data[:whole], shown), whole, digest, warnings)


def _parse(data: bytes, shown: str) -> list[Correction]:
    try:
        text = data.decode("utf-8-sig")
        lines = list(read_rows(io.StringIO(text, newline="")))
    except (UnicodeDecodeError, csv.Error):
        raise FacetrackError(f"{shown} is not a CSV file.") from None
    if not lines:
        return []
    if tuple(lines[0]) != COLUMNS:
        raise FacetrackError(
            f"{shown} is not a file of corrections: its first row is not {','.join(COLUMNS)}."
        )
    rows = []
    for number, cells in enumerate(lines[1:], start=2):
        if not cells:
            continue
        try:
            rows.append(_row(cells))
        except (ValueError, FacetrackError) as error:
            raise FacetrackError(f"{shown}, row {number}: {error}") from None
    return rows


def _row(cells: Sequence[str]) -> Correction:
    if len(cells) != len(COLUMNS):
        raise FacetrackError(f"it has {len(cells)} cells, not {len(COLUMNS)}.")
    frame, face, point, x, y, hidden, who, when = cells
    if hidden not in ("", "0", "1", UNDONE, REVERTED):
        raise FacetrackError(f"hidden is 0, 1, {UNDONE} or {REVERTED}, not {hidden!r}.")
    for name, cell in (("frame", frame), ("face", face)):
        if not (cell.isascii() and cell.isdecimal() and len(cell) < 10):
            raise FacetrackError(f"{name} is a whole number from 0 on, not {cell!r}.")
    is_index = point.isascii() and point.isdecimal() and len(point) < 10
    return Correction(
        int(frame),
        int(face),
        int(point) if is_index else point,
        _number(x, "x"),
        _number(y, "y"),
        hidden == "1",
        hidden == UNDONE,
        hidden == REVERTED,
        who,
        when,
    )


def _number(cell: str, name: str) -> float | None:
    try:
        return float(cell) if cell else None
    except ValueError:
        raise FacetrackError(f"{name} is a number, not {cell!r}.") from None


# ---------------------------------------------------------------- writing


def now() -> str:
    """Return the present time as in `Correction.when`."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class CorrectionLog:
    """The file of corrections of one video, open for appending.

    Several programs may append to one file: each row is written in one call, at the end.

    Args:
        path: the file; it is created with the first row.

    Attributes:
        rows: all rows, in order.
        warnings: a sentence about a torn last line of an earlier run.

    Raises:
        FacetrackError: the file exists and cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.rows: list[Correction] = []
        self.warnings: list[str] = []
        self._whole_bytes = 0
        self._lock = threading.Lock()
        if os.path.lexists(self.path):
            self._load()

    def active(self) -> list[Correction]:
        """Return the corrections in force; see `active`."""
        with self._lock:
            return active(self.rows)

    def append(self, rows: Sequence[Correction]) -> list[Correction]:
        """Write rows to disk, with the present time where they have none; all of them or none.

        Returns:
            The rows as written.

        Raises:
            FacetrackError: the file cannot be written.
        """
        if not rows:
            return []
        moment = now()
        rows = [row if row.when else replace(row, when=moment) for row in rows]
        text = io.StringIO(newline="")
        writer = TableWriter(text)
        for row in rows:
            writer.writerow(row.cells())
        data = text.getvalue().encode()
        with self._lock:
            known = self._whole_bytes
            try:
                begin, self._whole_bytes = self._append_bytes(data)
            except OSError as error:
                raise OutputError(f"{self.path} cannot be written: {reason_of(error)}.") from error
            self.rows += rows
            if begin != known:
                # Another program has added rows before these.
                with contextlib.suppress(FacetrackError):
                    self._load()
        return rows

    def sha256(self) -> str:
        """Return the SHA-256 of the file up to the last of `rows`, which may not be its end.

        Raises:
            FacetrackError: the file cannot be read.
        """
        with self._lock:
            if not self.rows:
                return ""
            try:
                with open(self.path, "rb") as file:
                    return hashlib.sha256(file.read(self._whole_bytes)).hexdigest()
            except OSError as error:
                raise FacetrackError(f"{self.path} cannot be read: {reason_of(error)}.") from error

    def refresh(self) -> bool:
        """Read rows that another program has appended; return whether there were any.

        Raises:
            FacetrackError: the file cannot be read.
        """
        with self._lock:
            count = len(self.rows)
            if os.path.lexists(self.path):
                self._load()
            return len(self.rows) != count

    def _load(self) -> None:
        content = read_corrections(self.path)
        self.rows, self._whole_bytes = content.rows, content.whole_bytes
        self.warnings = content.warnings

    def _append_bytes(self, data: bytes) -> tuple[int, int]:
        """Write bytes at the end; return where what was there ended, and where the file ends."""
        with open(self.path, "a+b", buffering=0) as file:
            is_new = file.seek(0, os.SEEK_END) == 0
            data = (_HEADER if is_new else self._mend(file)) + data
            size = file.seek(0, os.SEEK_END)
            try:
                if file.write(data) != len(data):
                    raise OSError("the disk is full")
                os.fsync(file.fileno())
            except OSError:
                # Nothing of the rows stays.
                with contextlib.suppress(OSError):
                    file.truncate(size)
                raise
        if is_new:
            sync_folder(self.path.parent)
        return size, size + len(data)

    def _mend(self, file: IO[bytes]) -> bytes:
        """Cut off a torn last line; return what must precede the next row."""
        file.seek(-1, os.SEEK_END)
        if file.read(1) == b"\n":
            return b""
        file.seek(0)
        data = file.read()
        whole = parse_corrections(data, str(self.path)).whole_bytes
        if whole == len(data):
            return b"\n"
        file.truncate(whole)
        return b"" if whole else _HEADER
