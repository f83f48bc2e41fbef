"""Find the videos that a user names by files, folders, patterns or a manifest, and shard them."""

from __future__ import annotations

import codecs
import csv
import glob
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from facetrack.api.measure import VIDEO_COLUMN
from facetrack.errors import FacetrackError
from facetrack.files import entry_of, stem_of
from facetrack.runtime.addresses import hide_address
from facetrack.video.image_names import is_image_name, series_path, split_series
from facetrack.video.video_names import is_still_image, is_video, left_out_sentence, others_in

Item = TypeVar("Item")

OVERLAY_SUFFIXES = (".overlay.mp4", ".compare.mp4")
"""Ends of the names of the videos that facetrack writes: they are not tracked with others."""
_ADDRESS = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]+://")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Shard:
    """One of `count` disjoint parts of a list; `index` goes from 1 to `count`."""

    index: int
    count: int

    @staticmethod
    def parse(text: str) -> Shard:
        """Parse `2/8` into Shard(2, 8).

        Raises:
            FacetrackError: the text does not have this form, or the index is out of range.
        """
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
        if not found:
            raise FacetrackError(f"--shard takes i/n, such as 2/8, not '{text}'.")
        index, count = int(found[1]), int(found[2])
        if not 1 <= index <= count:
            raise FacetrackError(f"--shard {text} does not exist: the n shards are 1/n to n/n.")
        return Shard(index, count)

    def of(self, items: Sequence[Item]) -> list[Item]:
        """Return every `count`-th item of a list, starting with the `index`-th."""
        return list(items[self.index - 1 :: self.count])

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True)
class FoundVideos:
    """The videos that a user named.

    Attributes:
        videos: files, and folders and series of images, each once, sorted by their absolute paths,
            in which no folder is a link.
        notes: sentences about files that were left out, and images that are read as a series.
        left_out: paths of what was left out of folders; folders end with a slash.
    """

    videos: list[Path]
    notes: list[str]
    left_out: list[str]


def one_video(names: Sequence[str]) -> Path | None:
    """Return the video if the names mean exactly one, else None.

    It is a file, a folder of images, or a series of images: a pattern of such images, or all that a
    shell made of it. A name that does not exist counts as a video, unless it is a pattern.
    """
    if not names or not names[0]:
        return None
    if len(names) == 1:
        (name,) = names
        if os.path.isdir(name):
            return None if _FolderContents.of(Path(name)).videos else Path(name)
        if os.path.exists(name) or not glob.has_magic(name):
            return Path(name)
    paths = [Path(path) for path in (_glob(names[0]) if len(names) == 1 else names)]
    if len(paths) < 2 or not all(map(is_still_image, paths)):
        return None
    try:
        series = _series(paths)
    except FacetrackError:
        return None  # to be reported by `find_videos`
    return series[0] if len(series) == 1 else None


def find_videos(names: Iterable[str], manifest: str | None = None) -> FoundVideos:
    """Find the videos that a user names.

    Args:
        names: files; folders of images, each of which is one video; folders of videos (without
            their subfolders), where facetrack's own overlays and hidden files are left out; and
            patterns with * ? [ ] and ** for any number of folders. Several images with numbered
            names are one video.
        manifest: a list of files and folders; see `read_manifest`.

    Returns:
        The videos. A named file need not exist; that is reported when its turn comes.

    Raises:
        FacetrackError: a pattern matches no video, a folder contains both videos and images,
            several images are no series, the manifest is unusable, or there is no video at all.
    """
    search = _Search()
    for name in names:
        if not name:
            raise FacetrackError("A video's name is empty: is a shell variable unset?")
        search.add_name(name)
    if manifest is not None:
        for path in read_manifest(manifest):
            search.add_path(path)
    return search.found()


def read_manifest(name: str) -> list[Path]:
    """Read a list of paths, one per line, relative to the list's folder.

    A table whose name ends in .csv and whose header has a column `video` is a list of that column's
    paths: the same file may then name the groups of `facetrack measure --groups`.

    The encoding is UTF-8, or UTF-16 with a byte order mark. Empty lines and lines that begin with #
    are skipped (write `./#name` for such a file). If the list contains NUL characters, they
    separate the paths instead of line breaks, as in the output of `find -print0`.

    Args:
        name: of the file; "-" for standard input. The paths in standard input, or in a pipe, are
            relative to the current folder.

    Raises:
        FacetrackError: the list cannot be read, is not a list of files, or is empty.
    """
    source = Path(name)
    try:
        data = sys.stdin.buffer.read() if name == "-" else source.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FacetrackError(f"The manifest {name} cannot be read: {reason}.") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            data = os.fsencode(data.decode("utf-16"))  # the encoding of PowerShell's output
        except UnicodeError as error:
            raise FacetrackError(f"The manifest {name} is not a list of files.") from error
    is_nul_separated = b"\0" in data
    if _CONTROL.search(data.replace(b"\0", b"")):
        raise FacetrackError(f"The manifest {name} is not a list of files.")
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\0" if is_nul_separated else b"\n")
    if not is_nul_separated:
        lines = [line.rstrip(b"\r") for line in lines]
        lines = [line for line in lines if line.strip() and not line.startswith(b"#")]
        if source.suffix.lower() == ".csv":
            lines = _column_of_videos(name, lines)
    address = next((line for line in lines if _ADDRESS.match(line)), None)
    if address is not None:
        raise FacetrackError(
            f"The manifest {name} names an address, {hide_address(os.fsdecode(address))}: live "
            "sources are typed on the command line, one at a time."
        )
    # A pipe, as of `<(find ...)`, lies in a folder of the system.
    folder = source.parent if source.is_file() else Path()
    paths = [folder / os.fsdecode(line) for line in lines if line]
    if not paths:
        raise FacetrackError(f"The manifest {name} names no files.")
    return paths


def _column_of_videos(name: str, lines: list[bytes]) -> list[bytes]:
    """Return the cells of a table's column `video`; the lines themselves if there is none.

    Raises:
        FacetrackError: the table is broken, or a row names no video.
    """
    table = csv.reader(map(os.fsdecode, lines), strict=True)
    try:
        header = next(table, [])
        if header.count(VIDEO_COLUMN) != 1:
            return lines
        rows = list(table)
    except csv.Error as error:
        raise FacetrackError(f"The manifest {name} is not a CSV file.") from error
    place = header.index(VIDEO_COLUMN)
    if any(len(row) <= place or not row[place] for row in rows):
        raise FacetrackError(f"The manifest {name} has a row without a video.")
    return [os.fsencode(row[place]) for row in rows]


class _Search:
    """Collects the videos that a user names."""

    def __init__(self) -> None:
        self._videos: dict[str, Path] = {}
        self._images: dict[str, Path] = {}
        self._overlays: set[str] = set()
        self._notes: list[str] = []
        self._left_out: list[str] = []

    def add_name(self, name: str) -> None:
        """Add a file, a folder, or what matches a pattern.

        Raises:
            FacetrackError: see `find_videos`.
        """
        path = Path(name)
        # Not Path.is_dir, which raises if the name is too long.
        if os.path.exists(path) or not glob.has_magic(name):
            if path.name.endswith(OVERLAY_SUFFIXES):
                self._overlays.add(entry_of(path))
            else:
                self.add_path(path)
            return
        matching = [Path(match) for match in _glob(name)]
        videos = [path for path in matching if path.is_file() and is_video(path)]
        folders = [p for p in matching if p.is_dir() and _FolderContents.of(p).only_images]
        images = [] if videos or folders else [p for p in matching if is_still_image(p)]
        if not videos and not folders and not images:
            raise FacetrackError(f"No video matches {name}.")
        for video in videos:
            if video.name.endswith(OVERLAY_SUFFIXES):
                self._overlays.add(entry_of(video))
            else:
                self._add_video(video)
        for folder in folders:
            self._add_video(folder)
        self._images.update({entry_of(image): image for image in images})

    def add_path(self, path: Path) -> None:
        """Add a file or a folder, whose name is never a pattern.

        Raises:
            FacetrackError: the folder contains both videos and images.
        """
        if os.path.isdir(path):
            self._add_folder(path)
        elif is_still_image(path):
            self._images[entry_of(path)] = path
        else:
            self._add_video(path)

    def found(self) -> FoundVideos:
        """Return what was found.

        Raises:
            FacetrackError: nothing, or several images that are no series.
        """
        images = list(self._images.values())
        for path in images if len(images) < 2 else self._series_of(images):
            self._add_video(path)
        overlays = self._overlays - self._videos.keys()
        if not self._videos:
            raise FacetrackError("The only videos found are facetrack's own overlays.")
        notes = list(self._notes)
        if overlays:
            notes.append(f"Left out as overlays of facetrack's: {len(overlays)}.")
        videos = [self._videos[key] for key in sorted(self._videos)]
        return FoundVideos(videos, notes, self._left_out)

    def _series_of(self, images: list[Path]) -> list[Path]:
        series = _series(images)
        shown = ", ".join(map(str, series[:_MAX_NAMED])) + (
            ", ..." if len(series) > _MAX_NAMED else ""
        )
        self._notes.append(
            f"The {len(images)} images were read as {len(series)} "
            f"{'video' if len(series) == 1 else 'videos'}: {shown}."
        )
        return series

    def _add_video(self, path: Path) -> None:
        self._videos.setdefault(entry_of(path), path)

    def _add_folder(self, path: Path) -> None:
        """Add a folder's videos; without videos, the folder itself, for the reader of images."""
        inside = _FolderContents.of(path)
        if inside.videos and inside.images:
            pattern = path / f"*{inside.videos[0].suffix}"
            raise FacetrackError(
                f"{path} contains both videos and images: name the videos by a pattern such as "
                f"'{pattern}', or move the images to a folder of their own."
            )
        if not inside.videos:
            self._add_video(path)
            return
        self._overlays.update(map(entry_of, inside.overlays))
        for video in inside.videos:
            self._add_video(video)
        used = {video.name for video in inside.videos}
        others = others_in(path, used, map(stem_of, inside.videos))
        if others:
            self._notes.append(left_out_sentence(path, others, "videos"))
            self._left_out += [os.path.join(path, name) for name in others]


_MAX_NAMED = 5


def _glob(pattern: str) -> list[str]:
    return sorted(glob.glob(pattern, recursive=True))


def _series(images: Sequence[Path]) -> list[Path]:
    """Return the paths of the series that several images form.

    Raises:
        FacetrackError: an image belongs to none, or the path of a series would mean other images.
    """
    folders: dict[Path, list[str]] = {}
    for image in images:
        folders.setdefault(image.parent, []).append(image.name)
    found = [(folder, s) for folder, names in folders.items() for s in split_series(names)]
    single = next((folder / s.names[0] for folder, s in found if len(s.names) == 1), None)
    if single is not None:
        raise FacetrackError(
            f"The {len(images)} images are no series of numbered names: {single} has no other. "
            "`facetrack detect` reads single images; to read images of any names as one video, "
            "give the folder that holds them."
        )
    return [series_path(folder, series) for folder, series in found]


@dataclass(frozen=True)
class _FolderContents:
    """The files directly inside a folder, without hidden files."""

    videos: list[Path]
    overlays: list[Path]
    images: bool

    @staticmethod
    def of(folder: Path) -> _FolderContents:
        try:
            files = [p for p in folder.iterdir() if not p.name.startswith(".") and p.is_file()]
        except OSError:
            files = []
        videos = [p for p in files if is_video(p)]
        chosen = set(videos)
        return _FolderContents(
            [p for p in videos if not p.name.endswith(OVERLAY_SUFFIXES)],
            [p for p in videos if p.name.endswith(OVERLAY_SUFFIXES)],
            any(is_image_name(p.name) for p in files if p not in chosen),
        )

    @property
    def only_images(self) -> bool:
        return self.images and not self.videos
