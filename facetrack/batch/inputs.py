"""Which videos a user means: files, folders, patterns, a manifest, and a share of them."""

from __future__ import annotations

import codecs
import glob
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from facetrack.errors import FacetrackError
from facetrack.video.reader import IMAGE_SUFFIXES, VIDEO_NAME

Item = TypeVar("Item")

OVERLAY_SUFFIX = ".overlay.mp4"
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Shard:
    """One of `count` equal shares of a list; `index` goes from 1 to `count`."""

    index: int
    count: int

    @staticmethod
    def parse(text: str) -> Shard:
        """`2/8` -> Shard(2, 8).

        Raises:
            FacetrackError: it is not of that form, or there is no such share.
        """
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
        if not found:
            raise FacetrackError(f"--shard takes i/n, such as 2/8, not '{text}'.")
        index, count = int(found[1]), int(found[2])
        if not 1 <= index <= count:
            raise FacetrackError(f"--shard {text}: of n shards there are 1/n, 2/n, ... n/n.")
        return Shard(index, count)

    def of(self, items: Sequence[Item]) -> list[Item]:
        """Every `count`-th of the list, from the `index`-th on."""
        return list(items[self.index - 1 :: self.count])

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True)
class Found:
    """What was meant.

    Attributes:
        videos: files and folders of images, each once, in the order of their absolute paths.
        notes: sentences about what was left out.
    """

    videos: list[Path]
    notes: list[str]


def one_video(names: Sequence[str]) -> Path | None:
    """The video, where the names mean exactly one: a file, or a folder of images.

    A name that does not exist is one too, unless it is a pattern.
    """
    if len(names) != 1 or not names[0]:
        return None
    (name,) = names
    if os.path.isdir(name):
        return None if _Inside.of(Path(name)).videos else Path(name)
    return Path(name) if os.path.exists(name) or not glob.has_magic(name) else None


def find_videos(names: Iterable[str], manifest: str | None = None) -> Found:
    """The videos that a user means.

    Args:
        names: files; folders of images, each of which is one video; folders of videos (not those
            inside them), where facetrack's own overlays and hidden files are left out; and
            patterns with * ? [ ] and ** for any folders between.
        manifest: a list of files and folders; see `read_manifest`.

    Returns:
        A file that was named need not exist: it is found out when its turn comes.

    Raises:
        FacetrackError: a pattern without a video, a folder of both videos and images, an unusable
            manifest, or no video at all.
    """
    found: dict[str, Path] = {}
    overlays: set[str] = set()

    def add(paths: Iterable[Path]) -> None:
        for path in paths:
            found.setdefault(os.path.abspath(path), path)

    for name in names:
        if not name:
            raise FacetrackError("An empty name is no video: is a variable of your shell unset?")
        videos = _expand(name)
        own = [path for path in videos if path.name.endswith(OVERLAY_SUFFIX)]
        overlays.update(map(os.path.abspath, own))
        add(path for path in videos if path not in own)
    if manifest is not None:
        for path in read_manifest(manifest):
            add(_folder(path) if os.path.isdir(path) else [path])
    overlays -= found.keys()
    if not found:
        raise FacetrackError("There is no video among what was named but overlays of facetrack's.")
    notes = [f"Left out as overlays of facetrack's: {len(overlays)}."] if overlays else []
    return Found([found[key] for key in sorted(found)], notes)


def read_manifest(name: str) -> list[Path]:
    """The paths in a list: one a line; a file's relative ones are relative to its folder.

    It is in UTF-8, or in UTF-16 with its mark. Empty lines and lines that begin with # are passed
    over (a file of such a name is `./#name`). Where the list holds NUL characters, these divide it
    instead, as `find -print0` does, and every name is possible. "-" is standard input, where the
    current folder takes the file's place.

    Raises:
        FacetrackError: it cannot be read, is not a list of files, or is empty.
    """
    source = Path(name)
    try:
        data = sys.stdin.buffer.read() if name == "-" else source.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FacetrackError(f"The manifest {name} cannot be read: {reason}.") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            data = os.fsencode(data.decode("utf-16"))  # as Windows' PowerShell writes its output
        except UnicodeError as error:
            raise FacetrackError(f"The manifest {name} is not a list of files.") from error
    by_nul = b"\0" in data
    if _CONTROL.search(data.replace(b"\0", b"")):
        raise FacetrackError(f"The manifest {name} is not a list of files.")
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\0" if by_nul else b"\n")
    if not by_nul:
        lines = [line.rstrip(b"\r") for line in lines]
        lines = [line for line in lines if line.strip() and not line.startswith(b"#")]
    folder = Path() if name == "-" else source.parent
    paths = [folder / os.fsdecode(line) for line in lines if line]
    if not paths:
        raise FacetrackError(f"The manifest {name} names no files.")
    return paths


def _expand(name: str) -> list[Path]:
    path = Path(name)
    # Not Path.is_dir, which raises where the name is too long.
    if os.path.isdir(path):
        return _folder(path)
    if os.path.exists(path) or not glob.has_magic(name):
        return [path]
    matching = [Path(match) for match in sorted(glob.glob(name, recursive=True))]
    videos = [path for path in matching if path.is_file() and _is_video(path)]
    folders = [path for path in matching if path.is_dir() and _Inside.of(path).only_images]
    if not videos and not folders:
        raise FacetrackError(f"No video matches {name}.")
    return videos + folders


def _folder(path: Path) -> list[Path]:
    """A folder of videos is those, with overlays; any other is left to the reader of images."""
    inside = _Inside.of(path)
    if inside.videos and inside.images:
        pattern = path / f"*{inside.videos[0].suffix}"
        raise FacetrackError(
            f"{path} holds both videos and images: name the videos by a pattern such as "
            f"'{pattern}', or move the images to a folder of their own."
        )
    return inside.videos + inside.overlays if inside.videos else [path]


@dataclass(frozen=True)
class _Inside:
    """What lies right inside a folder; hidden files do not count."""

    videos: list[Path]
    overlays: list[Path]
    images: bool

    @staticmethod
    def of(folder: Path) -> _Inside:
        try:
            files = [p for p in folder.iterdir() if not p.name.startswith(".") and p.is_file()]
        except OSError:
            files = []
        videos = [p for p in files if _is_video(p)]
        return _Inside(
            [p for p in videos if not p.name.endswith(OVERLAY_SUFFIX)],
            [p for p in videos if p.name.endswith(OVERLAY_SUFFIX)],
            any(p.suffix.lower() in IMAGE_SUFFIXES for p in files),
        )

    @property
    def only_images(self) -> bool:
        return self.images and not self.videos


def _is_video(path: Path) -> bool:
    return VIDEO_NAME.fullmatch(path.name) is not None
