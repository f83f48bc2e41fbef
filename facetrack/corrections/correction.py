"""What a person says about a face or a point, and what of it is in force."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from facetrack.errors import FacetrackError

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
REVERTED = "reverted"
"""Word in the column `hidden` of a row that undoes the last row of the same frame, face and point.

What that row replaced or took back is in force again, at its former place in the order.
"""
MAX_NUMBER = 10**9 - 1
"""Largest number of a frame, a face or a point."""
MAX_NAME = 200
"""Number of characters of a name that are kept."""
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
        reverted: undoes the last row of the same frame, face and point, whatever it says.
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
    reverted: bool = False
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
        elif not self._says_nothing and (self.x is None or self.y is None):
            raise FacetrackError(f"The correction of point {self.point} lacks x or y.")

    def _check_action(self) -> None:
        if self.point not in ACTIONS:
            raise FacetrackError(
                f"A correction's point is a number, {', '.join(ACTIONS)}, not {self.point!r}."
            )
        if self._says_nothing:
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

    def revert(self) -> Correction:
        """Return the row that undoes this one if it is the last of its key."""
        return Correction(self.frame, self.face, self.point, reverted=True)

    def cells(self) -> list[str | float]:
        """Return the cells of the row."""
        x, y = ("" if v is None else _plain(v) for v in (self.x, self.y))
        hidden = str(int(self.hidden)) if self._is_landmark else ""
        hidden = UNDONE if self.undone else REVERTED if self.reverted else hidden
        return [self.frame, self.face, self.point, x, y, hidden, self.who, self.when]

    @property
    def _says_nothing(self) -> bool:
        return self.undone or self.reverted

    @property
    def _is_landmark(self) -> bool:
        return not isinstance(self.point, str)


def _one_line(text: str) -> str:
    """Return text that a cell can hold on one line, so that a torn row is a torn last line."""
    shown = "".join(c for c in text if c.isprintable() or c.isspace())
    return " ".join(shown.split())[:MAX_NAME].rstrip()


def _plain(value: float) -> str:
    return f"{value:.{_DIGITS}f}".rstrip("0").rstrip(".")


def active(rows: Iterable[Correction]) -> list[Correction]:
    """Return the corrections in force, in the order in which they were first made.

    A later row replaces an earlier one of the same frame, face and point, and keeps its place in
    the order. One that was taken back and made again counts from then on; one whose taking back is
    reverted counts from where it was. After a row that names another person, the numbers of faces
    mean others: later rows do not replace those before it.
    """
    places: list[Correction | None] = []
    # Of each frame, face and point: the places that its rows changed, and what was there before.
    changes: dict[tuple[int, int, int | str], list[tuple[int, Correction | None]]] = {}
    first_of_names = 0
    for row in rows:
        past = changes.setdefault(row.key, [])
        if row.reverted:
            if past:
                place, former = past.pop()
                places[place] = former
            continue
        at = max((place for place, _ in past if places[place] is not None), default=-1)
        if at < (0 if row.undone else first_of_names):
            at = len(places)
            places.append(None)
        past.append((at, places[at]))
        places[at] = None if row.undone else row
        if row.point == PERSON and not row.undone:
            first_of_names = len(places)
    return [row for row in places if row is not None]
