"""Write and read tables whose cells hold outside text, such as file names.

Spreadsheet programs run a cell that begins with `=`, `+`, `-`, `@`, a tab or a line break as a
formula, wherever its text comes from. Such text gets a leading apostrophe, and numbers stay as they
are. `read_rows` removes the apostrophe. Tables of numbers alone need no escaping.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from typing import IO

_ESCAPE = "'"
# The full-width characters are formulas in East Asian settings. Text that begins with apostrophes
# before such a character is escaped too, so that unescaping returns exactly what was written.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def escape_cell(text: str) -> str:
    """Return the text of a cell, with a leading apostrophe if it could be run as a formula."""
    if _FORMULA.match(text) and not _NUMBER.fullmatch(text):
        return _ESCAPE + text
    return text


def unescape_cell(text: str) -> str:
    """Return the text that `escape_cell` was given."""
    escaped = text.startswith(_ESCAPE) and _FORMULA.match(text) is not None
    return text[len(_ESCAPE) :] if escaped else text


class TableWriter:
    """Write rows of a CSV file with line ends "\\n"; text is escaped."""

    def __init__(self, file: IO[str]) -> None:
        """
        Args:
            file: a text file opened with `newline=""`.
        """
        self._writer = csv.writer(file, lineterminator="\n")

    def writerow(self, cells: Iterable[str | float]) -> None:
        """Write one row."""
        self._writer.writerow(
            [escape_cell(cell) if isinstance(cell, str) else cell for cell in cells]
        )


def read_rows(lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield the rows of a CSV file, with cells as they were before `TableWriter` escaped them.

    Raises:
        csv.Error: it is no CSV file.
    """
    for row in csv.reader(lines):
        yield [unescape_cell(cell) for cell in row]
