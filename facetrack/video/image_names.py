"""Understand the names of images: their order, the series they form, and paths of a whole series.

A series is a set of images of one folder whose names differ by a number: `frame_001.jpg`,
`frame_002.jpg`. Its path, which stands for no file, is the folder with a pattern of the names:
`frames/frame_*.jpg` or, for a part of it, `frames/frame_{010..050}.jpg` as in a shell, and
`frames/frame_%03d.jpg` as for ffmpeg.
"""

from __future__ import annotations

import fnmatch
import glob
import itertools
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from facetrack.errors import FacetrackError

IMAGE_SUFFIXES = {
    *(".avif", ".bmp", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm"),
    *(".ppm", ".tif", ".tiff", ".webp"),
}
IMAGE_OVERLAY_SUFFIX = ".overlay.png"
"""End of the names of overlays that `facetrack detect` writes."""
_MAX_LISTED = 5
_DIGITS = re.compile(r"[0-9]+")
_RANGE = re.compile(r"(.*)\{([0-9]+)\.\.([0-9]+)(?:\.\.([0-9]+))?\}(.*)", re.DOTALL)
_PRINTF = re.compile(r"([^%]*)%(?:0([0-9]))?d([^%]*)", re.DOTALL)
_GAP = 1.5
"""Difference of consecutive numbers, relative to the usual one, from which on numbers are missing:
the numbers of images that are named by their time vary a little."""


def is_image_name(name: str) -> bool:
    """Return True for the name of an image that is not hidden and no overlay of facetrack's."""
    return (
        os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
        and not name.startswith(".")
        and not name.endswith(IMAGE_OVERLAY_SUFFIX)
    )


def natural_key(name: str) -> tuple[list[tuple[int, int | str]], str]:
    """Return a sorting key that compares runs of digits as numbers."""
    parts = re.split(r"([0-9]+)", name.lower())
    return [(0, int(p)) if p.isdecimal() else (1, p) for p in parts if p], name


@dataclass(frozen=True)
class Series:
    """Images of one folder whose names differ by a number.

    Attributes:
        names: in natural order.
        numbers: the number in each name; empty if the names do not differ by exactly one number.
        pattern: the names with `*` in place of the number; the name itself if there is only one.
    """

    names: list[str]
    numbers: list[int]
    pattern: str

    def gaps(self) -> list[tuple[str, str, int]]:
        """Return the names before and after each gap in the numbers, and how many are missing."""
        steps = [b - a for a, b in itertools.pairwise(self.numbers)]
        if len(steps) < 2:
            return []
        usual = max(1, sorted(steps)[(len(steps) - 1) // 2])
        return [
            (self.names[i], self.names[i + 1], round(step / usual) - 1)
            for i, step in enumerate(steps)
            if step > _GAP * usual
        ]


def split_series(names: Iterable[str]) -> list[Series]:
    """Group names into series, the longest first.

    Names belong to one series if they are equal without their digits, and if at most one of their
    numbers varies. Several numbers may vary in names such as `2024-05-01_12-00-59.png`; but in
    `cam1_001.png` and `cam2_001.png` the first number, which follows a letter, tells two series
    apart.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in sorted(names, key=natural_key):
        groups.setdefault(tuple(_DIGITS.split(name.casefold())), []).append(name)
    found = [series for text, group in groups.items() for series in _series_of(text, group)]
    return sorted(found, key=lambda series: -len(series.names))


def _series_of(text: Sequence[str], names: list[str]) -> list[Series]:
    """Return the series of names that are equal without their digits.

    Args:
        text: the names between their numbers.
        names: in natural order.
    """
    runs = [_DIGITS.findall(name) for name in names]
    varying = [i for i in range(len(text) - 1) if len({int(run[i]) for run in runs}) > 1]
    if len(varying) > 1 and text[varying[0]][-1:].isalpha():
        last = varying[-1]
        parts: dict[tuple[int, ...], list[str]] = {}
        for name, run in zip(names, runs, strict=True):
            parts.setdefault(tuple(int(run[i]) for i in varying if i != last), []).append(name)
        return [_one_series(part, last) for part in parts.values()]
    return [_one_series(names, varying[0] if len(varying) == 1 else None)]


def _one_series(names: list[str], counter: int | None) -> Series:
    if counter is None or len(names) == 1:
        return Series(names, [], names[0])
    runs = [list(_DIGITS.finditer(name))[counter] for name in names]
    first = names[0]
    pattern = first[: runs[0].start()] + "*" + first[runs[0].end() :]
    return Series(names, [int(run[0]) for run in runs], pattern)


def naming_warnings(place: Path, names: Sequence[str]) -> list[str]:
    """Return sentences about images that are read as one video, but whose names suggest otherwise.

    Args:
        place: folder or path of the series.
        names: of all its images.
    """
    found = split_series(names)
    warnings = []
    if len(found) > 1:
        folder = place if os.path.isdir(place) else place.parent
        examples = " and ".join(series.names[0] for series in found[:2])
        advice = (
            f" To read one series alone, give '{folder / found[0].pattern}'."
            if found[0].numbers
            else ""
        )
        warnings.append(
            f"{place} holds images with names of {len(found)} kinds, such as {examples}; all "
            f"{len(names)} were read as one video, in the order of their names.{advice}"
        )
    gaps = [gap for series in found for gap in series.gaps()]
    if gaps:
        before, after, missing = gaps[0]
        total = sum(count for _, _, count in gaps)
        which = "" if len(gaps) == 1 else f" in {len(gaps)} places, first"
        warnings.append(
            f"The numbering of the images of {place} has gaps: {total} "
            f"{'is' if total == 1 else 'are'} missing{which} between {before} and {after}"
            f"{f' ({missing})' if len(gaps) > 1 else ''}. The frames are counted, and their times "
            "computed, as if nothing was missing."
        )
    return warnings


# ---------------------------------------------------------------- paths of a series


def is_series_path(path: Path) -> bool:
    """Return True for a path that stands for a series of images, and for no file itself."""
    has_pattern = glob.has_magic(path.name) or _range_of(path.name) is not None
    return (
        has_pattern
        and os.path.splitext(path.name)[1].lower() in IMAGE_SUFFIXES
        and not os.path.lexists(path)
    )


def series_names(path: Path) -> list[str]:
    """Return the names of the images of a series, in natural order; may be empty.

    Raises:
        OSError: the folder cannot be read.
    """
    names = filter(is_image_name, os.listdir(path.parent))
    span = _range_of(path.name)
    if span is not None:
        chosen = [name for name in names if span.matches(name)]
    else:
        chosen = fnmatch.filter(names, path.name)
    return sorted(chosen, key=natural_key)


def series_path(folder: Path, series: Series) -> Path:
    """Return the path that stands for exactly these images of a folder.

    Raises:
        FacetrackError: there is none.
    """
    wanted = set(series.names)
    for pattern in _patterns(series):
        path = folder / pattern
        if is_series_path(path) and set(series_names(path)) == wanted:
            return path
    raise FacetrackError(
        f"The {len(wanted)} images {series.names[0]} to {series.names[-1]} are only a part of the "
        f"series {folder / series.pattern}: name all of it in quotes and choose the part by "
        "--start, --end or --stride, or move the images to a folder of their own and give that."
    )


def _patterns(series: Series) -> Iterable[str]:
    names = series.names
    if series.numbers:
        yield series.pattern
        before, after = series.pattern.split("*", 1)
        numbers = [name[len(before) : len(name) - len(after) or None] for name in names]
        steps = {b - a for a, b in itertools.pairwise(series.numbers)}
        step = f"..{steps.pop()}" if len(steps) == 1 and steps != {1} else ""
        yield f"{before}{{{numbers[0]}..{numbers[-1]}{step}}}{after}"
    start = _common_start(names)
    end = _common_start([name[::-1] for name in names])[::-1]
    yield f"{glob.escape(start)}*{glob.escape(end)}"


def _common_start(names: Sequence[str]) -> str:
    equal = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in equal)


@dataclass(frozen=True)
class _Range:
    """Names with a number in a range between two fixed texts."""

    before: str
    after: str
    numbers: range | None
    digits: int = 1

    def matches(self, name: str) -> bool:
        if not (name.startswith(self.before) and name.endswith(self.after)):
            return False
        number = name[len(self.before) : len(name) - len(self.after)]
        if not _DIGITS.fullmatch(number) or len(number) < self.digits:
            return False
        return self.numbers is None or int(number) in self.numbers


def _range_of(name: str) -> _Range | None:
    if match := _RANGE.fullmatch(name):
        before, first, last, step, after = match.groups()
        return _Range(before, after, range(int(first), int(last) + 1, int(step or 1) or 1))
    if match := _PRINTF.fullmatch(name):
        return _Range(match[1], match[3], None, int(match[2] or 1))
    return None


def list_first(names: Sequence[str]) -> str:
    """Return the first few names, for a sentence."""
    return ", ".join(names[:_MAX_LISTED]) + (", ..." if len(names) > _MAX_LISTED else "")
