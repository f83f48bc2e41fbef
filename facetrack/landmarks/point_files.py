"""Read and write point files: 300-W `.pts` and CSV rows of x,y."""

from __future__ import annotations

import csv
import hashlib
import re
from pathlib import Path

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.files import atomic_path, not_found

# A points file has a few kilobytes; a larger file is a video or a wrong path.
_MAX_BYTES = 16 * 2**20
# Beyond the size of any frame, and near the limit of sub-pixel precision in float32.
_MAX_PIXEL = 1e6
# No layout has nearly as many points, so a longer file is a different table.
_MAX_POINTS = 10_000
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
_DECIMAL_COMMAS = re.compile(r"[-+]?\d+(,\d+)?(\s+[-+]?\d+(,\d+)?)+")
_VALUE = re.compile(r"[-+.]*\d")
_WORD = re.compile(r"[a-z]+")
_NAMES = (({"x"}, {"y"}), ({"col", "column"}, {"row", "line"}))
_COUNT = re.compile(r"n_points\s*:\s*(\S+)", re.IGNORECASE)


def points_sha256(xy: np.ndarray) -> str:
    """Return the hexadecimal SHA-256 of points (N, 2), whatever file they are from."""
    return hashlib.sha256(np.ascontiguousarray(xy, "<f4").tobytes()).hexdigest()


def read_points(path: Path) -> np.ndarray:
    """Read points from a file of the user's.

    A `.pts` file has the 300-W format, with 1-based pixels. Any other file has rows of x,y in
    0-based pixel centres, separated by a comma, a semicolon, a tab or blanks, with or without a
    header. A header's names decide which columns are x and y, such as "y_px" and "x_px" or "row"
    and "column"; other columns are ignored. Quotes and comments (#) are removed. Decimal commas are
    read where they cannot separate columns.

    Returns:
        (N, 2) float32 pixels, origin at the centre of the top-left pixel.

    Raises:
        FacetrackError: the file is missing, not text or malformed.
    """
    path = Path(path)
    lines = [line.strip() for line in _read_text(path).splitlines()]
    is_pts = path.suffix.lower() == ".pts"
    xy = _parse_pts(path, lines) - 1 if is_pts else _parse_rows(path, lines)
    if len(xy) > _MAX_POINTS:
        raise FacetrackError(f"{path} holds {len(xy)} points: {_MAX_POINTS:,} can be tracked.")
    if (np.abs(xy) > _MAX_PIXEL).any():
        raise FacetrackError(
            f"{path}: a coordinate lies beyond {_MAX_PIXEL:,.0f} pixels; give pixels of the video."
        )
    return xy.astype(np.float32)


def format_pts(xy: np.ndarray) -> str:
    """Return the text of a 300-W `.pts` file.

    Args:
        xy: (N, 2) pixels, origin at the centre of the top-left pixel; finite, because the format
            cannot represent unknown points.

    Returns:
        `version: 1`, the number of points, and the points in braces, in 1-based pixels with three
        decimals.

    Raises:
        ValueError: xy has another shape or a value that is not finite.
    """
    if xy.ndim != 2 or xy.shape[1] != 2 or not len(xy):
        raise ValueError(f"xy must be (N, 2) with N > 0, not {xy.shape}")
    if not np.isfinite(xy).all():
        raise ValueError("a .pts file cannot hold an unknown point")
    rows = "".join(f"{x:.3f} {y:.3f}\n" for x, y in (xy.astype(np.float64) + 1).tolist())
    return f"version: 1\nn_points: {len(xy)}\n{{\n{rows}}}\n"


def write_pts(path: Path, xy: np.ndarray) -> None:
    """Write points (N, 2), in 0-based pixel centres, atomically as a 300-W `.pts` file."""
    text = format_pts(xy)
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(text, encoding="ascii", newline="\n")


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise FacetrackError(f"{path} is too large for a points file; is it the right file?")
        data = path.read_bytes()
    except FileNotFoundError:
        raise not_found(path, "points file") from None
    except OSError as error:
        raise FacetrackError(f"The points file {path} cannot be read: {error.strerror}.") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise FacetrackError(f"{path} is not a text file; give a .pts file or rows of x,y.")
    return text


def _parse_pts(path: Path, lines: list[str]) -> np.ndarray:
    """Return the points (N, 2) float64 as written, 1-based."""
    lines = [line for line in lines if line]
    try:
        start, stop = lines.index("{"), lines.index("}")
    except ValueError:
        start, stop = -1, -1
    if start >= stop:
        raise FacetrackError(f"{path} is not a 300-W .pts file: its points are not within braces.")
    match = next((m for m in map(_COUNT.fullmatch, lines[:start]) if m), None)
    if match is None:
        raise FacetrackError(f"{path} is not a 300-W .pts file: it has no line 'n_points: N'.")
    rows = lines[start + 1 : stop]
    if not rows:
        raise FacetrackError(f"{path} holds no points.")
    if match[1] != str(len(rows)):
        raise FacetrackError(f"{path} says n_points: {match[1]} but holds {len(rows)} points.")
    return np.array([_parse_row(path, row.split()) for row in rows])


def _parse_rows(path: Path, lines: list[str]) -> np.ndarray:
    """Return the points (N, 2) float64 as written, 0-based, in the order of the header's names."""
    rows = [_split(line) for line in lines if line and line[0] != "#"]
    columns: tuple[int, int] | None = None
    width = 2
    if rows and all(_is_name(cell) for cell in rows[0]):
        columns, width = _columns(path, rows[0]), len(rows[0])
        rows = rows[1:]
    elif lines and lines[0][:1] == "#":
        # numpy writes the header as a comment.
        header = _split(lines[0].lstrip("# "))
        columns = _named_columns(header)
        width = 2 if columns is None else len(header)
    if not rows:
        raise FacetrackError(f"{path} holds no points; give one row of x,y for each.")
    if columns is None:
        return np.array([_parse_row(path, row) for row in rows])
    for row in rows:
        if len(row) != width:
            raise FacetrackError(
                f"{path}: a row has {len(row)} cells and the header {width} "
                f"({' '.join(row)[:40]!r})."
            )
    x, y = columns
    return np.array([_parse_row(path, [row[x], row[y]]) for row in rows])


def _columns(path: Path, header: list[str]) -> tuple[int, int] | None:
    """Return the columns of x and y by name; None where two columns have other names."""
    named = _named_columns(header)
    has_xy = any(_words(name) & {"x", "y"} for name in header)
    if named is not None or (len(header) == 2 and not has_xy):
        return named
    raise FacetrackError(
        f"{path}: the header must name one column x and one column y ({' '.join(header)[:40]!r})."
    )


def _named_columns(header: list[str]) -> tuple[int, int] | None:
    """Return the columns of x and y; None if the names do not tell which they are."""
    for pair in _NAMES:
        x, y = ([i for i, name in enumerate(header) if _words(name) & names] for names in pair)
        if len(x) == len(y) == 1 and x != y:
            return x[0], y[0]
    return None


def _words(name: str) -> set[str]:
    return set(_WORD.findall(name.lower()))


def _split(line: str) -> list[str]:
    if ";" in line or "\t" in line:
        cells = _cells(line, ";" if ";" in line else "\t")
    elif "," in line and not _DECIMAL_COMMAS.fullmatch(line):
        cells = _cells(line, ",")
    else:
        cells = [cell.strip('"') for cell in line.split()]
    # A comma that is left does not separate columns: it is a decimal comma.
    return [cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in cells]


def _cells(line: str, separator: str) -> list[str]:
    try:
        cells = next(csv.reader([line], delimiter=separator))
    except csv.Error:  # a cell of over 100 kB
        cells = line.split(separator)
    return [cell.strip() for cell in cells]


def _is_name(cell: str) -> bool:
    # A malformed number such as 1,5 or 12px must not be skipped as a column name.
    return bool(cell) and not _VALUE.match(cell) and not _is_number(cell)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _parse_row(path: Path, cells: list[str]) -> tuple[float, float]:
    if len(cells) != 2:
        text = " ".join(cells)[:40]
        raise FacetrackError(f"{path}: a row must hold x and y, not {len(cells)} cells ({text!r}).")
    for cell in cells:
        if not _is_number(cell):
            raise FacetrackError(f"{path}: {cell[:40]!r} is not a number.")
        if not np.isfinite(float(cell)):
            raise FacetrackError(f"{path}: {cell} is not a position; leave unknown points out.")
    return float(cells[0]), float(cells[1])
