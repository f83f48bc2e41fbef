"""Find the videos that a user names by files, folders, patterns or a manifest, and shard them."""

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
from facetrack.video.image_names import IMAGE_SUFFIXES
from facetrack.video.reader import VIDEO_NAME

Item = TypeVar("Item")

OVERLAY_SUFFIX = ".overlay.mp4"
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
        videos: files and folders of images, each once, sorted by their absolute paths.
        notes: sentences about files that were left out.
    """

    videos: list[Path]
    notes: list[str]


def one_video(names: Sequence[str]) -> Path | None:
    """Return the video if the names mean exactly one, a file or a folder of images; else None.

    A name that does not exist counts as a video, unless it is a pattern.
    """
    if len(names) != 1 or not names[0]:
        return None
    (name,) = names
    if os.path.isdir(name):
        return None if _FolderContents.of(Path(name)).videos else Path(name)
    return Path(name) if os.path.exists(name) or not glob.has_magic(name) else None


def find_videos(names: Iterable[str], manifest: str | None = None) -> FoundVideos:
    """Find the videos that a user names.

    Args:
        names: files; folders of images, each of which is one video; folders of videos (without
            their subfolders), where facetrack's own overlays and hidden files are left out; and
            patterns with * ? [ ] and ** for any number of folders.
        manifest: a list of files and folders; see `read_manifest`.

    Returns:
        The videos. A named file need not exist; that is reported when its turn comes.

    Raises:
        FacetrackError: a pattern matches no video, a folder contains both videos and images, the
            manifest is unusable, or there is no video at all.
    """
    found: dict[str, Path] = {}
    overlays: set[str] = set()

    def add(paths: Iterable[Path]) -> None:
        for path in paths:
            found.setdefault(os.path.abspath(path), path)

    for name in names:
        if not name:
            raise FacetrackError("A video's name is empty: is a shell variable unset?")
        videos = _expand(name)
        overlay_paths = [path for path in videos if path.name.endswith(OVERLAY_SUFFIX)]
        overlays.update(map(os.path.abspath, overlay_paths))
        add(path for path in videos if path not in overlay_paths)
    if manifest is not None:
        for path in read_manifest(manifest):
            add(_folder(path) if os.path.isdir(path) else [path])
    overlays -= found.keys()
    if not found:
        raise FacetrackError("The only videos found are facetrack's own overlays.")
    notes = [f"Left out as overlays of facetrack's: {len(overlays)}."] if overlays else []
    return FoundVideos([found[key] for key in sorted(found)], notes)


def read_manifest(name: str) -> list[Path]:
    """Read a list of paths, one per line, relative to the list's folder.

    The encoding is UTF-8, or UTF-16 with a byte order mark. Empty lines and lines that begin with #
    are skipped (write `./#name` for such a file). If the list contains NUL characters, they
    separate the paths instead of line breaks, as in the output of `find -print0`.

    Args:
        name: of the file; "-" for standard input, with paths relative to the current folder.

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
    folder = Path() if name == "-" else source.parent
    paths = [folder / os.fsdecode(line) for line in lines if line]
    if not paths:
        raise FacetrackError(f"The manifest {name} names no files.")
    return paths


def _expand(name: str) -> list[Path]:
    path = Path(name)
    # Not Path.is_dir, which raises if the name is too long.
    if os.path.isdir(path):
        return _folder(path)
    if os.path.exists(path) or not glob.has_magic(name):
        return [path]
    matching = [Path(match) for match in sorted(glob.glob(name, recursive=True))]
    videos = [path for path in matching if path.is_file() and _is_video(path)]
    folders = [path for path in matching if path.is_dir() and _FolderContents.of(path).only_images]
    if not videos and not folders:
        raise FacetrackError(f"No video matches {name}.")
    return videos + folders


def _folder(path: Path) -> list[Path]:
    """Return a folder's videos with their overlays; without videos, the folder itself.

    The reader of image folders handles the folder itself.
    """
    inside = _FolderContents.of(path)
    if inside.videos and inside.images:
        pattern = path / f"*{inside.videos[0].suffix}"
        raise FacetrackError(
            f"{path} contains both videos and images: name the videos by a pattern such as "
            f"'{pattern}', or move the images to a folder of their own."
        )
    return inside.videos + inside.overlays if inside.videos else [path]


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
        videos = [p for p in files if _is_video(p)]
        return _FolderContents(
            [p for p in videos if not p.name.endswith(OVERLAY_SUFFIX)],
            [p for p in videos if p.name.endswith(OVERLAY_SUFFIX)],
            any(p.suffix.lower() in IMAGE_SUFFIXES for p in files),
        )

    @property
    def only_images(self) -> bool:
        return self.images and not self.videos


def _is_video(path: Path) -> bool:
    return VIDEO_NAME.fullmatch(path.name) is not None
