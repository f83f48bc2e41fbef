"""Keep a partial download beside its target, with a note of its source."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from facetrack.files import parse_json


@dataclass(frozen=True)
class Origin:
    """Source of a partial file.

    Attributes:
        url: address it was fetched from, without its secrets.
        validator: strong ETag or Last-Modified date from that source, for If-Range.
        ranges: True if the source supports range requests.
        total: size of the complete transfer; None if unknown.
    """

    url: str = ""
    validator: str | None = None
    ranges: bool = False
    total: int | None = None


class PartialFile:
    """The file `.<name>.part` beside the target, and `.<name>.part.json` with its origin.

    Attributes:
        path: path of the partial file, whether or not it exists.
    """

    def __init__(self, target: Path) -> None:
        self.path = target.parent / f".{target.name}.part"
        self._note = target.parent / f".{target.name}.part.json"

    @property
    def size(self) -> int:
        """Number of bytes received; 0 if there is no file."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def origin(self) -> Origin:
        """The noted source; an empty one if there is no valid note."""
        try:
            return Origin(**parse_json(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return Origin()

    def begin(self, origin: Origin) -> None:
        """Delete the file and note the source of the next one."""
        self.path.unlink(missing_ok=True)
        self._note.write_text(json.dumps(dataclasses.asdict(origin)), encoding="utf-8")

    def drop(self) -> None:
        """Delete the file and its note."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
