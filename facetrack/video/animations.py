"""Count the images inside an image file: animations, and the pages of TIFF files.

The files are walked through by their structure, without decoding: a page may be huge.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

MAX_PAGES = 1_000_000
"""Pages of a TIFF file after which a walk ends: a damaged file may hold a long chain of pages."""
ZERO_DELAY = 100
"""Milliseconds that browsers, and ffmpeg, show an image of an animated WebP with a delay of 0."""

_IMAGEJ = re.compile(rb"ImageJ=[^\0]{0,2000}?\nimages=([0-9]{1,9})\n")
_PREVIEW_OR_MASK = 0b101
"""Bits of a TIFF page's NewSubfileType: a smaller version of another page, or a mask."""


class TiffPage(NamedTuple):
    """A page of a TIFF file.

    Attributes:
        index: position among all pages.
        size: (width, height) in pixels.
    """

    index: int  # type: ignore[assignment]
    size: tuple[int, int]


def is_animation(path: Path) -> bool:
    """Return True for an animated WebP, PNG or AVIF file, by its content."""
    if not os.path.isfile(path):  # opening a pipe would wait for its writer
        return False
    try:
        with open(path, "rb") as file:
            head = file.read(16)
            if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
                return len(list(_webp_delays(file, 2))) > 1
            if head[:8] == b"\x89PNG\r\n\x1a\n":
                return _apng_frames(file) > 1
            return is_avif_sequence(file)
    except (OSError, struct.error):
        return False


def count_images(path: Path) -> int:
    """Return the number of images in an image file; 1 if it cannot be told.

    For an animated AVIF file, whose count takes decoding, it is 2.
    """
    if not os.path.isfile(path):
        return 1
    try:
        with open(path, "rb") as file:
            head = file.read(16)
            if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
                return max(1, len(list(_webp_delays(file, MAX_PAGES))))
            if head[:8] == b"\x89PNG\r\n\x1a\n":
                return max(1, _apng_frames(file))
            if head[:4] == b"GIF8":
                return max(1, _gif_images(file))
            if is_avif_sequence(file):
                return 2
        return max(1, len(tiff_pages(path)), imagej_images(path))
    except (OSError, struct.error):
        return 1


def webp_delays(path: Path) -> list[int]:
    """Return the milliseconds that each image of an animated WebP file is shown.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        return [delay or ZERO_DELAY for delay in _webp_delays(file, MAX_PAGES)]


def is_avif_sequence(file: IO[bytes]) -> bool:
    """Return True if a file is an AVIF file with several images."""
    file.seek(0)
    head = file.read(4096)
    if head[4:8] != b"ftyp":
        return False
    length = int.from_bytes(head[:4], "big")
    brands = head[8:12] + head[16 : min(length, len(head))]
    return b"avis" in [brands[i : i + 4] for i in range(0, len(brands), 4)]


def tiff_pages(path: Path) -> list[TiffPage]:
    """Return the pages of a TIFF file, without previews and masks; empty for other files.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        return [
            TiffPage(index, (width, height))
            for index, (kind, width, height) in enumerate(_tiff(file))
            if width and height and not kind & _PREVIEW_OR_MASK
        ]


def imagej_images(path: Path) -> int:
    """Return the number of images that ImageJ's description of a TIFF file states; else 0.

    ImageJ writes large stacks with a page for the first image only, and the others after it.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        head = file.read(2**16)
    match = _IMAGEJ.search(head) if head[:2] in (b"II", b"MM") else None
    return int(match[1]) if match else 0


def _webp_delays(file: IO[bytes], most: int) -> Iterator[int]:
    """Yield the delay in milliseconds of each image of an animated WebP file."""
    position, end, count = 12, os.fstat(file.fileno()).st_size, 0
    while position + 8 <= end and count < most:
        file.seek(position)
        chunk = file.read(24)
        if chunk[:4] == b"ANMF" and len(chunk) >= 23:
            count += 1
            yield int.from_bytes(chunk[20:23], "little")
        size = int.from_bytes(chunk[4:8], "little")
        position += 8 + size + size % 2


def _apng_frames(file: IO[bytes]) -> int:
    """Return the number of images that a PNG file announces; 0 if it is not animated."""
    position = 8
    while True:
        file.seek(position)
        chunk = file.read(12)
        if len(chunk) < 12 or chunk[4:8] in (b"IDAT", b"IEND"):
            return 0
        if chunk[4:8] == b"acTL":
            return int.from_bytes(chunk[8:12], "big")
        position += 12 + int.from_bytes(chunk[:4], "big")


def _gif_images(file: IO[bytes]) -> int:
    """Return the number of images of a GIF file."""
    file.seek(10)
    flags = file.read(3)[:1]
    file.seek(13 + _colour_bytes(flags))
    count = 0
    while kind := file.read(1):
        if kind == b",":
            count += 1
            flags = file.read(9)[8:]
            file.seek(_colour_bytes(flags) + 1, os.SEEK_CUR)
        elif kind == b"!":
            file.seek(1, os.SEEK_CUR)
        else:
            break
        while (length := file.read(1)) and length != b"\0":
            file.seek(length[0], os.SEEK_CUR)
    return count


def _colour_bytes(flags: bytes) -> int:
    """Return the length of the colour table that a GIF file's flags announce."""
    return 3 * 2 ** ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _tiff(file: IO[bytes]) -> Iterator[tuple[int, int, int]]:
    """Yield (NewSubfileType, width, height) of each page of a TIFF or BigTIFF file."""
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return
    version = struct.unpack_from(f"{order}H", head, 2)[0]
    if version == 42:
        count_format, offset_format, entry_bytes = f"{order}H", f"{order}I", 12
        position = struct.unpack_from(offset_format, head, 4)[0]
    elif version == 43 and len(head) == 16:
        count_format, offset_format, entry_bytes = f"{order}Q", f"{order}Q", 20
        position = struct.unpack_from(offset_format, head, 8)[0]
    else:
        return
    seen: set[int] = set()
    while position and position not in seen and len(seen) < MAX_PAGES:
        seen.add(position)
        file.seek(position)
        count_bytes = file.read(struct.calcsize(count_format))
        if len(count_bytes) < struct.calcsize(count_format):
            return
        count = min(struct.unpack(count_format, count_bytes)[0], 65535)
        entries = file.read(count * entry_bytes)
        values = _tiff_values(entries, order, entry_bytes)
        following = file.read(struct.calcsize(offset_format))
        if len(entries) < count * entry_bytes:
            return
        yield values.get(254, 0), values.get(256, 0), values.get(257, 0)
        if len(following) < struct.calcsize(offset_format):
            return
        position = struct.unpack(offset_format, following)[0]


def _tiff_values(entries: bytes, order: str, entry_bytes: int) -> dict[int, int]:
    """Return the values of the tags 254 (NewSubfileType), 256 (width) and 257 (height)."""
    values = {}
    for start in range(0, len(entries) - entry_bytes + 1, entry_bytes):
        tag, kind = struct.unpack_from(f"{order}HH", entries, start)
        if tag in (254, 256, 257):
            # SHORT, LONG or LONG8; the value is at the end of the entry.
            form = {3: "H", 4: "I", 16: "Q"}.get(kind)
            if form is not None:
                at = start + (8 if entry_bytes == 12 else 12)
                values[tag] = struct.unpack_from(f"{order}{form}", entries, at)[0]
    return values
