"""Find the results of earlier runs, which other commands read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facetrack.errors import FacetrackError
from facetrack.files import not_found, open_file, read_json, reason_of, stem_of
from facetrack.formats.csv import read_csv
from facetrack.formats.npz import read_npz
from facetrack.record import is_track_record, record_beside, recorded_focal, recorded_size
from facetrack.tracks import Tracks
from facetrack.video.image_files import is_present
from facetrack.video.video_names import is_video_name

TABLE_SUFFIXES = (".npz", ".csv")
"""Suffixes of files of tracks, in order of preference; an .npz contains more."""
SUMMARY = "summary.json"
"""The file that marks a folder of `facetrack compare`."""


@dataclass(frozen=True)
class SavedRun:
    """A file of tracks.

    Attributes:
        table: the .csv or .npz file.
        video: path of the video as recorded; "" if not recorded.
        size: (width, height) of the frames; (0, 0) if not recorded.
        record: the run's record; None without one.
        places: where the video may lie, see `video_places`.
        focal: focal length in pixels that was given for head poses; None if none was.
    """

    table: Path
    video: str = ""
    size: tuple[int, int] = (0, 0)
    record: Path | None = None
    places: tuple[Path, ...] = ()
    focal: float | None = None

    @property
    def stem(self) -> str:
        """Stem of the output files."""
        return self.table.name.removesuffix(self.table.suffix)

    @property
    def present_video(self) -> str:
        """Path of the video today; as recorded if it is in none of its places."""
        found = next((str(path) for path in self.places if is_present(path)), None)
        return self.video if found is None else found

    def read(self) -> Tracks:
        """Read the tracks.

        Raises:
            FacetrackError: the file is malformed, or the size of the frames is not known.
        """
        if self.table.suffix.lower() == ".npz":
            return read_npz(self.table)
        if min(self.size) < 1 and self.record is not None:
            raise FacetrackError(f"The record {self.record} lacks the size of the frames.")
        if min(self.size) < 1:
            read_csv(self.table, (1, 1))  # of a table of another kind the size does not matter
            raise FacetrackError(
                f"The record of {self.table} is missing, so the size of its frames is not known: "
                "give it as --size WIDTHxHEIGHT."
            )
        return read_csv(self.table, self.size)


def find_runs(names: Iterable[str | Path], size: tuple[int, int] | None = None) -> list[SavedRun]:
    """Find the runs that paths name.

    Args:
        names: each a table (.csv or .npz), a record (.json), a folder of them, the folder of a
            `facetrack compare`, or a video that was tracked, see `record_of_video`.
        size: (width, height) of the frames of tables without a record.

    Returns:
        Each run once, in the order of `names`; a run of two tables by the one that comes first.

    Raises:
        FacetrackError: a path names no run.
    """
    found: dict[str, SavedRun] = {}
    for name in map(Path, names):
        for run in _runs_at(named_run(name)):
            if size is not None and min(run.size) < 1:
                run = replace(run, size=size)
            found.setdefault(os.path.realpath(run.record or run.table), run)
    if not found:
        raise FacetrackError("Name at least one run: a table of facetrack track, or a folder.")
    return list(found.values())


def video_places(entry: Mapping[str, Any], folder: Path) -> list[Path]:
    """Return the paths under which a recorded video may lie, the surest first.

    The path as it was given may be relative to a folder that is not the present one, where it may
    lead to another video.

    Args:
        entry: `path` and `absolute_path` of the video in a record.
        folder: of the record, where the video may lie, too.
    """
    given, absolute = (str(entry.get(name) or "") for name in ("path", "absolute_path"))
    leads_there = not absolute or os.path.realpath(given) == os.path.realpath(absolute)
    names = [name for name in ([given] if leads_there else [absolute, given]) if name]
    beside = [Path(folder) / os.path.basename(name) for name in names]
    return [*map(Path, names[:1]), *beside, *map(Path, names[1:])]


def record_of_video(video: Path) -> Path | None:
    """Return the record of a tracked video, beside it or in the present folder; None if none is."""
    name = f"{stem_of(video)}.json"
    for folder in (video.absolute().parent, Path.cwd()):
        content = read_json(folder / name)
        entry = content.get("input") if isinstance(content, dict) else None
        known = entry.get("absolute_path") if isinstance(entry, dict) else None
        if isinstance(known, str) and os.path.realpath(known) == os.path.realpath(video):
            return folder / name
    return None


def named_run(path: Path) -> Path:
    """Return the record of a video; other paths name a run themselves.

    Raises:
        FacetrackError: the video has no results.
    """
    if not (is_video_name(path.name) and os.path.isfile(path)):
        return path
    record = record_of_video(path)
    if record is None:
        raise FacetrackError(
            f"{path} has no results of facetrack track beside it or in this folder: track it "
            "first, or name its .csv, .npz or .json."
        )
    return record


def summary_of(path: Path) -> Path | None:
    """Return the summary of the comparison that a path names: a folder, or the summary itself.

    Returns:
        None for everything else, also the record of a video called `summary.mp4`.
    """
    summary = path / SUMMARY if os.path.isdir(path) else path
    if summary.name != SUMMARY or not os.path.isfile(summary):
        return None
    return None if is_track_record(read_json(summary)) else summary


def _runs_at(path: Path) -> list[SavedRun]:
    summary = summary_of(path)
    if summary is not None:
        return _compared(summary)
    if os.path.isdir(path):
        return _runs_in(path)
    if not os.path.isfile(path):
        raise not_found(path)
    if path.suffix.lower() == ".json":
        return [_of_record(path)]
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise FacetrackError(f"{path} is not a run of facetrack track: a .csv, .npz or .json.")
    record = record_beside(path)
    content = read_json(record)
    return [_run(path, content, record) if is_track_record(content) else SavedRun(path)]


def _runs_in(folder: Path) -> list[SavedRun]:
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".json"))
    except OSError as error:
        raise FacetrackError(f"{folder} cannot be read: {reason_of(error)}.") from error
    runs = []
    for record in (folder / name for name in names):
        tables = _tables_beside(record)
        if tables and is_track_record(content := read_json(record)):
            runs.append(_run(_newest_table(tables, content), content, record))
    if not runs:
        raise FacetrackError(
            f"{folder} contains no run of facetrack track: a .csv or .npz with its .json is needed."
        )
    return runs


def _of_record(path: Path) -> SavedRun:
    try:
        with open_file(path):
            content = read_json(path)
    except OSError as error:
        raise FacetrackError(f"{path} cannot be read: {reason_of(error)}.") from error
    if not is_track_record(content):
        raise FacetrackError(f"{path} is not a record of facetrack track.")
    tables = _tables_beside(path)
    if not tables:
        raise FacetrackError(f"There is neither a .npz nor a .csv beside {path}.")
    return _run(_newest_table(tables, content), content, path)


def _tables_beside(record: Path) -> list[Path]:
    stem = record.name.removesuffix(record.suffix)
    tables = (record.with_name(stem + suffix) for suffix in TABLE_SUFFIXES)
    return [table for table in tables if os.path.isfile(table)]


def _newest_table(tables: list[Path], content: Mapping[str, Any]) -> Path:
    """Return the table that the recorded run wrote; another may be of an earlier run."""
    options = content.get("options")
    formats = options.get("formats") if isinstance(options, Mapping) else None
    written = [t for t in tables if isinstance(formats, list) and t.suffix[1:] in formats]
    return (written or tables)[0]


def _run(table: Path, content: Mapping[str, Any], record: Path) -> SavedRun:
    entry = content["input"]
    places = tuple(video_places(entry, record.parent))
    size, focal = recorded_size(content), recorded_focal(content)
    return SavedRun(table, str(entry.get("path", "")), size, record, places, focal)


def _compared(summary: Path) -> list[SavedRun]:
    """Return the runs of a comparison: the tracks of each method."""
    content = read_json(summary)
    try:
        if "comparison_format" not in content:
            raise ValueError("no comparison")
        size, video = recorded_size(content), str(content["video"])
        places = tuple(video_places(content["input"], summary.parent))
        focal = recorded_focal(content)
        tables = [summary.parent / str(r["files"]["csv"]) for r in content["results"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FacetrackError(f"{summary} is damaged or not a comparison of facetrack.") from error
    return [SavedRun(table, video, size, None, places, focal) for table in tables]
