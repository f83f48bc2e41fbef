"""Read and append the file of corrections: one row for each thing that a person has said.

Columns: `frame,face,point,x,y,hidden,who,when`. A row is on disk before the call that appends it
returns, and nothing is ever rewritten, so that a kill at any time loses no correction. To undo a
correction is a row of its own. A last line that a kill tore off is ignored, and cut off before
further rows are appended.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from facetrack.errors import FacetrackError, OutputError
from facetrack.files import not_found, reason_of, sync_folder
from facetrack.tables import TableWriter, read_rows

SUFFIX = ".corrections.csv"
"""End of the file's name, after the stem."""
COLUMNS = ("frame", "face", "point", "x", "y", "hidden", "who", "when")
START, ABSENT, PERSON = "start", "absent", "person"
ACTIONS = (START, ABSENT, PERSON)
"""Words in the column `point` for corrections of a whole face.

- `start`: the points that are corrected in this frame are a new start: what was tracked before is
  not used.
- `absent`: there is no such face, from this frame to the frame in `x`; without `x` to the face's
  next correction, or the end of what was tracked without a break.
- `person`: from this frame on the face is the person whose face_id is in `x`; the two change over.
"""
UNDONE = "undone"
"""Word in the column `hidden` of a row that takes back that of the same frame, face and point."""
MAX_BYTES = 2**28
"""Largest file that is read."""
MAX_NUMBER = 10**9 - 1
"""Largest number of a frame, a face or a point."""
MAX_NAME = 200
"""Number of characters of a name that are kept."""
_HEADER = (",".join(COLUMNS) + "\n").encode()
_DIGITS = 3


@dataclass(frozen=True)
class Correction:
    """One row of the file.

    Attributes:
        frame: 0-based index of the frame in the decoded video.
        face: face_id.
        point: 0-based index of a landmark, or one of ACTIONS.
        x, y: for a landmark, pixels from the centre of the top-left pixel, three decimals. `x` also
            holds the number that belongs to an action. None where there is none.
        hidden: the landmark is there, but something covers it.
        undone: takes back the earlier row of the same frame, face and point.
        who: name of the person who corrects, without line ends and other control characters.
        when: time in UTC, e.g. "2026-01-31T09:30:00.123Z".
    """

    frame: int
    face: int
    point: int | str
    x: float | None = None
    y: float | None = None
    hidden: bool = False
    undone: bool = False
    who: str = ""
    when: str = ""

    def __post_init__(self) -> None:
        if not (0 <= self.frame <= MAX_NUMBER and 0 <= self.face <= MAX_NUMBER):
            raise FacetrackError(f"A correction's frame and face count from 0 to {MAX_NUMBER}.")
        for name in ("x", "y"):
            value = getattr(self, name)
            if value is None:
                continue
            if not math.isfinite(value) or abs(value) > 1e7:
                raise FacetrackError(f"A correction's {name} is no position: {value}.")
            object.__setattr__(self, name, round(float(value), _DIGITS) + 0.0)
        for name in ("who", "when"):
            object.__setattr__(self, name, _one_line(getattr(self, name)))
        if isinstance(self.point, str):
            self._check_action()
        elif not 0 <= self.point <= MAX_NUMBER:
            raise FacetrackError(f"A correction's point counts from 0 to {MAX_NUMBER}.")
        elif not self.undone and (self.x is None or self.y is None):
            raise FacetrackError(f"The correction of point {self.point} lacks x or y.")

    def _check_action(self) -> None:
        if self.point not in ACTIONS:
            raise FacetrackError(
                f"A correction's point is a number, {', '.join(ACTIONS)}, not {self.point!r}."
            )
        if self.undone:
            return
        if self.x is not None and (self.x != int(self.x) or self.x < 0):
            raise FacetrackError(f"The x of {self.point!r} is a whole number, not {self.x}.")
        if self.point == PERSON and self.x is None:
            raise FacetrackError("A correction with 'person' needs the face_id of the person as x.")
        if self.point == ABSENT and self.x is not None and self.x < self.frame:
            raise FacetrackError("A correction with 'absent' ends (x) before its frame.")

    @property
    def key(self) -> tuple[int, int, int | str]:
        """What it corrects: frame, face and point."""
        return self.frame, self.face, self.point

    @property
    def number(self) -> int | None:
        """The number that belongs to an action; None without one."""
        return None if self.x is None else int(self.x)

    def undo(self) -> Correction:
        """Return the row that takes this one back."""
        return Correction(self.frame, self.face, self.point, undone=True)

    def cells(self) -> list[str | float]:
        """Return the cells of the row."""
        x, y = ("" if v is None else _plain(v) for v in (self.x, self.y))
        hidden = UNDONE if self.undone else str(int(self.hidden)) if self._is_landmark else ""
        return [self.frame, self.face, self.point, x, y, hidden, self.who, self.when]

    @property
    def _is_landmark(self) -> bool:
        return not isinstance(self.point, str)


def _one_line(text: str) -> str:
    """Return text that a cell can hold on one line, so that a torn row is a torn last line."""
    shown = "".join(c for c in text if c.isprintable() or c.isspace())
    return " ".join(shown.split())[:MAX_NAME].rstrip()


def _plain(value: float) -> str:
    return f"{value:.{_DIGITS}f}".rstrip("0").rstrip(".")


def now() -> str:
    """Return the present time as in `Correction.when`."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def active(rows: Iterable[Correction]) -> list[Correction]:
    """Return the corrections in force, in the order in which they were first made.

    A later row replaces an earlier one of the same frame, face and point, and keeps its place in
    the order. One that was taken back and made again counts from then on. After a row that names
    another person, the numbers of faces mean others: later rows do not replace those before it.
    """
    current: dict[tuple[tuple[int, int, int | str], int], Correction] = {}
    names = 0
    for row in rows:
        if row.undone:
            last = next((place for place in reversed(current) if place[0] == row.key), None)
            if last is not None:
                del current[last]
            continue
        current[row.key, names] = row
        names += row.point == PERSON
    return list(current.values())


# ---------------------------------------------------------------- reading


@dataclass(frozen=True)
class CorrectionsFile:
    """The content of a file of corrections.

    Attributes:
        rows: all rows, in order.
        whole_bytes: number of bytes up to the end of the last whole row.
        warnings: a sentence about a torn last line.
    """

    rows: list[Correction]
    whole_bytes: int
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
    return CorrectionsFile(_parse(data[:whole], shown), whole, warnings)


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
    if hidden not in ("", "0", "1", UNDONE):
        raise FacetrackError(f"hidden is 0, 1 or {UNDONE}, not {hidden!r}.")
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
        who,
        when,
    )


def _number(cell: str, name: str) -> float | None:
    try:
        return float(cell) if cell else None
    except ValueError:
        raise FacetrackError(f"{name} is a number, not {cell!r}.") from None


# ---------------------------------------------------------------- writing


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
            try:
                self._append_bytes(data)
            except OSError as error:
                raise OutputError(f"{self.path} cannot be written: {reason_of(error)}.") from error
            self.rows += rows
        return rows

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
        self.rows, self.warnings = content.rows, content.warnings

    def _append_bytes(self, data: bytes) -> None:
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
