"""Decide which existing files a run may replace.

A run may replace the results of an earlier run on the same input. It refuses

- any input of the run, always;
- a file that facetrack did not write, by its content;
- the results of another input.

The last two are replaced with `--overwrite`, by the commands that have it.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from facetrack.errors import FacetrackError
from facetrack.files import MAX_JSON_BYTES, Opener, open_file, parse_json, read_json
from facetrack.formats.pts import check_replaceable
from facetrack.images.pose_table import POSE_COLUMNS
from facetrack.measures.coordinates import COORDINATES, column_prefix
from facetrack.measures.files import EVENT_COLUMNS, MEASURE_COLUMNS
from facetrack.record import is_track_record
from facetrack.tracks import FIXED_COLUMNS
from facetrack.video.checksum import input_sha256

_HEAD_BYTES = 4096
_MAX_HEADER_BYTES = 2**20
MP4_MARK = b"facetrack"
"""Text in the metadata of every overlay video."""


@dataclass(frozen=True)
class Alternatives:
    """What the user can do where a file is kept; each is the end of a sentence.

    Attributes:
        to_input: where the file is an input of the run.
        to_foreign: where facetrack did not write it.
        to_other_input: where it holds the results of another input; VIDEO stands for the present
            one.
    """

    to_input: str
    to_foreign: str
    to_other_input: str


def choose_another(name: str) -> Alternatives:
    """Return what the user of a command with `--overwrite` can do.

    Args:
        name: of what another option of the command chooses, such as "--out folder".
    """
    return Alternatives(
        f"choose another {name}",
        f"choose another {name}, move the file away, or give --overwrite to replace it",
        f"choose another {name}, rename VIDEO, or give --overwrite to replace them",
    )


OTHER_FOLDER = choose_another("--out folder")
"""What the user of most commands can do."""


def refuse_inputs(
    outputs: Iterable[Path],
    inputs: Mapping[str, Path],
    alternatives: Alternatives = OTHER_FOLDER,
) -> None:
    """Refuse outputs that are inputs of the run.

    Args:
        outputs: final paths.
        inputs: paths by kind, such as "points file"; those that do not exist are ignored.
        alternatives: what the user can do instead.

    Raises:
        FacetrackError: an output is an input, or another name of one.
    """
    existing = {found: path for path in outputs if (found := _file_id(path)) is not None}
    if not existing:
        return
    for kind, path in inputs.items():
        output = existing.get(_file_id(path) or (0, 0))
        if output is not None:
            raise FacetrackError(
                f"{output} is an input itself, the {kind} of this run, and is not replaced: "
                f"{alternatives.to_input}."
            )


def refuse_foreign_files(
    paths: Mapping[str, Path],
    video: Path,
    opener: Opener | None = None,
    alternatives: Alternatives = OTHER_FOLDER,
) -> None:
    """Refuse to replace files that do not belong to an earlier run of `track` on this video.

    Args:
        paths: final paths by kind; the record has the kind "sidecar".
        video: the input.
        opener: opens the files; None for local files.
        alternatives: what the user can do instead.

    Raises:
        FacetrackError: such a file exists.
    """
    opener = opener or open_file
    record = None
    if _exists(paths["sidecar"], opener):
        record = read_json(paths["sidecar"], opener)
        if not is_track_record(record):
            raise foreign(paths["sidecar"], alternatives)
    for kind, path in paths.items():
        if kind == "pts" and opener is open_file:
            check_replaceable(path)
            continue
        is_ours = kind == "sidecar" or names_kind(record, kind)
        if not is_ours and _exists(path, opener) and not has_mark(kind, path, opener):
            raise foreign(path, alternatives)
    if record is not None:
        refuse_other_input(record["input"], video, paths["sidecar"], alternatives)


def refuse_other_input(
    recorded: Mapping[str, Any],
    video: Path,
    record: Path,
    alternatives: Alternatives = OTHER_FOLDER,
) -> None:
    """Refuse to replace the results of another input.

    Args:
        recorded: see `is_same_input`.
        video: the present input.
        record: path of the existing record.
        alternatives: what the user can do instead.

    Raises:
        FacetrackError: the inputs differ.
    """
    if is_same_input(recorded, video):
        return
    choices = alternatives.to_other_input.replace("VIDEO", video.name or str(video))
    raise FacetrackError(
        f"{record} holds the results of {recorded.get('path')}, another input: {choices}."
    )


def is_same_input(recorded: Mapping[str, Any], video: Path) -> bool:
    """Return True if existing results are those of this input.

    Inputs are the same if they have the same path or the same content. A video may so be changed
    or moved.

    Args:
        recorded: `path`, `absolute_path` and `sha256` of the input of the existing results.
        video: the present input.
    """
    if _same_path(recorded, video):
        return True
    try:
        return recorded.get("sha256") == input_sha256(video)
    except OSError:
        return False  # reading the video will report the reason


def foreign(path: Path, alternatives: Alternatives = OTHER_FOLDER) -> FacetrackError:
    """Return the error about a file that facetrack did not write.

    Args:
        path: of the file.
        alternatives: what the user can do instead.
    """
    return FacetrackError(
        f"{path} exists, and nothing in it or beside it shows that facetrack wrote it: "
        f"{alternatives.to_foreign}."
    )


# ---------------------------------------------------------------- recognise files


def outdated_warnings(names: Iterable[str]) -> list[str]:
    """Return a warning about files of an earlier run that stay beside new ones, if any do."""
    left = list(names)
    if not left:
        return []
    be, do = ("is", "does") if len(left) == 1 else ("are", "do")
    more = f" and {len(left) - 5} more" if len(left) > 5 else ""
    return [
        f"{', '.join(left[:5])}{more} {be} of an earlier run, and {do} not show these points: "
        "remove what is outdated."
    ]


def names_kind(record: Mapping[str, Any] | None, kind: str) -> bool:
    """Return True if a record of `facetrack track` says that its run wrote a file of this kind."""
    if record is None:
        return False
    options = record["options"]
    if kind in ("overlay", "report"):
        return options.get(kind) is True
    if kind in ("measures", "events"):
        return options.get("measures") is True
    formats = options.get("formats")
    return isinstance(formats, list) and kind in formats


def has_mark(kind: str, path: Path, opener: Opener | None = None) -> bool:
    """Return True if the content of a file of this kind shows that facetrack wrote it."""
    try:
        with (opener or open_file)(path) as file:
            return _MARKS[kind](file)
    except (OSError, ValueError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile):
        return False


def is_result(kind: str, path: Path) -> bool:
    """Return True if a file (of kind "pts" a folder) exists and was written by facetrack."""
    if kind != "pts":
        return has_mark(kind, path)
    try:
        check_replaceable(path)
    except FacetrackError:
        return False
    return path.is_dir() and any(path.iterdir())


def begins_with(*starts: bytes) -> Callable[[IO[bytes]], bool]:
    """Return a mark: the file begins with one of these texts."""

    def check(file: IO[bytes]) -> bool:
        return file.read(_HEAD_BYTES).startswith(starts)

    return check


def _is_report(file: IO[bytes]) -> bool:
    return b'<meta name="generator" content="facetrack">' in file.read(_HEAD_BYTES)


def _is_npz(file: IO[bytes]) -> bool:
    names = {"xy.npy", "visible.npy", "face_id.npy", "coordinate_origin.npy"}
    with zipfile.ZipFile(file) as archive:
        return names <= set(archive.namelist())


def is_marked_mp4(file: IO[bytes]) -> bool:
    """Return True if the metadata of an mp4 file holds MP4_MARK."""
    end = file.seek(0, os.SEEK_END)
    for name, begin, stop in _boxes(file, 0, end):
        if name == b"moov":
            for inner, at, last in _boxes(file, begin, stop):
                if inner == b"udta":
                    file.seek(at)
                    return MP4_MARK in file.read(min(last - at, 2**16))
    return False


def _boxes(file: IO[bytes], begin: int, end: int) -> Iterable[tuple[bytes, int, int]]:
    """Yield (name, begin, end) of the content of the boxes of an mp4 file."""
    while begin + 8 <= end:
        file.seek(begin)
        head = file.read(16)
        size, name, header = int.from_bytes(head[:4], "big"), head[4:8], 8
        if size == 1:
            size, header = int.from_bytes(head[8:16], "big"), 16
        elif size == 0:
            size = end - begin
        if size < header:
            return
        yield name, begin + header, min(begin + size, end)
        begin += size


def _is_measures_table(file: IO[bytes]) -> bool:
    # Its first columns are what a manifest of the user's may begin with, too.
    header = file.read(_MAX_HEADER_BYTES)  # columns of groups may have line breaks in their names
    return header.startswith(b"video,table,") and b",seconds_with_eyes,inter_ocular_mm," in header


def _is_curve(file: IO[bytes]) -> bool:
    head = file.read(_HEAD_BYTES)
    return b"<dc:title>facetrack</dc:title>" in head or b"tEXtSoftware\0facetrack" in head


def _is_benchmark(file: IO[bytes]) -> bool:
    content = parse_json(file.read(MAX_JSON_BYTES))
    return isinstance(content, dict) and {"runs", "networks", "versions"} <= content.keys()


_COLUMNS = ",".join(FIXED_COLUMNS)
_MARKS: dict[str, Callable[[IO[bytes]], bool]] = {
    "csv": begins_with(*(f"{_COLUMNS},{column_prefix(c)}x_0,".encode() for c in COORDINATES)),
    "openface": begins_with(
        *(f"{_COLUMNS.replace(',', ', ')}, {next_one},".encode() for next_one in ("x_0", "pose_Tx"))
    ),
    "dlc": begins_with(b"scorer,facetrack,"),
    "npz": _is_npz,
    "uncorrected": _is_npz,
    "overlay": is_marked_mp4,
    "report": _is_report,
    "comparison": begins_with(b"rank,init,tracker,"),
    "measures": begins_with(",".join(MEASURE_COLUMNS[:5]).encode()),
    "poses": begins_with(",".join(POSE_COLUMNS[:5]).encode()),
    "events": begins_with(",".join(EVENT_COLUMNS[:4]).encode()),
    "measures table": _is_measures_table,
    "curve": _is_curve,
    "benchmark": _is_benchmark,
    "images": begins_with(
        *(f"image,face_id,confidence,{column_prefix(c)}x_0,".encode() for c in COORDINATES)
    ),
}
"""How the content of a file of each kind shows that facetrack wrote it."""


def _same_path(recorded: Mapping[str, Any], video: Path) -> bool:
    known = recorded.get("absolute_path")
    if isinstance(known, str):
        return os.path.realpath(known) == os.path.realpath(video)
    # Records of facetrack 0.1 have the path as it was given, from a folder that is not known.
    path = recorded.get("path")
    if not isinstance(path, str) or not path:
        return False
    parts = Path(os.path.normpath(path)).parts
    return parts == Path(os.path.realpath(video)).parts[-len(parts) :] or (
        os.path.realpath(path) == os.path.realpath(video)
    )


def _file_id(path: Path) -> tuple[int, int] | None:
    """Return what identifies an existing file under all its names."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _exists(path: Path, opener: Opener) -> bool:
    if opener is open_file:
        return os.path.lexists(path)
    try:
        with opener(path):
            return True
    except OSError:
        return False
