"""Find the results of earlier runs, which other commands read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facetrack.api.ownership import is_track_record, read_json
from facetrack.comparison import storage
from facetrack.errors import FacetrackError
from facetrack.files import stem_of
from facetrack.formats.csv import read_csv
from facetrack.formats.npz import read_npz
from facetrack.tracks import Tracks
from facetrack.video.video_names import is_video_name

TABLE_SUFFIXES = (".npz", ".csv")
"""Suffixes of files of tracks, in order of preference; an .npz contains more."""


@dataclass(frozen=True)
class SavedRun:
    """A file of tracks.

    Attributes:
        table: the .csv or .npz file.
        video: path of the video as recorded; "" if not recorded.
        size: (width, height) of the frames; (0, 0) if not recorded.
        record: the run's record; None without one.
    """

    table: Path
    video: str = ""
    size: tuple[int, int] = (0, 0)
    record: Path | None = None

    @property
    def stem(self) -> str:
        """Stem of the output files."""
        return self.table.name.removesuffix(self.table.suffix)

    def read(self) -> Tracks:
        """Read the tracks.

        Raises:
            FacetrackError: the file is malformed, or the size of the frames is not known.
        """
        if self.table.suffix.lower() == ".npz":
            return read_npz(self.table)
        if min(self.size) < 1:
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

    Raises:
        FacetrackError: a path names no run.
    """
    found: dict[str, SavedRun] = {}
    for name in map(Path, names):
        for run in _runs_at(named_run(name)):
            if size is not None and min(run.size) < 1:
                run = replace(run, size=size)
            found.setdefault(os.path.realpath(run.table), run)
    if not found:
        raise FacetrackError("Name at least one run: a table of facetrack track, or a folder.")
    return list(found.values())


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


def _runs_at(path: Path) -> list[SavedRun]:
    if os.path.isdir(path):
        if os.path.isfile(path / storage.SUMMARY):
            return _compared(path / storage.SUMMARY)
        runs = [run for file in sorted(path.glob("*.json")) if (run := _of_record(file))]
        if not runs:
            raise FacetrackError(
                f"{path} contains no run of facetrack track: a .csv or .npz with its .json is "
                "needed."
            )
        return runs
    if not os.path.isfile(path):
        raise FacetrackError(f"There is no {path}; check the path.")
    if path.name == storage.SUMMARY and _is_comparison(read_json(path)):
        return _compared(path)
    if path.suffix.lower() == ".json":
        run = _of_record(path)
        if run is None:
            raise FacetrackError(
                f"{path} is not a record of facetrack track with a .npz or .csv beside it."
            )
        return [run]
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise FacetrackError(f"{path} is not a run of facetrack track: a .csv, .npz or .json.")
    record = path.with_name(path.name.removesuffix(path.suffix) + ".json")
    content = read_json(record) if os.path.isfile(record) else None
    if content is not None and is_track_record(content):
        return [_run(path, content, record)]
    return [SavedRun(path)]


def _of_record(path: Path) -> SavedRun | None:
    """Return the run of a record; None if the file is no record, or has no table."""
    content = read_json(path)
    if not is_track_record(content):
        return None
    stem = path.name.removesuffix(path.suffix)
    tables = (path.with_name(stem + suffix) for suffix in TABLE_SUFFIXES)
    table = next((table for table in tables if os.path.isfile(table)), None)
    return None if table is None else _run(table, content, path)


def _run(table: Path, content: Mapping[str, Any], record: Path) -> SavedRun:
    entry = content["input"]
    return SavedRun(table, str(entry.get("path", "")), _size(entry), record)


def _size(entry: Mapping[str, Any]) -> tuple[int, int]:
    width, height = entry.get("width"), entry.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else (0, 0)


def _is_comparison(content: Any) -> bool:
    return isinstance(content, dict) and "comparison_format" in content


def _compared(summary: Path) -> list[SavedRun]:
    """Return the runs of a comparison: the tracks of each method."""
    content = read_json(summary)
    try:
        if not _is_comparison(content):
            raise ValueError("no comparison")
        size, video = _size(content["input"]), str(content["video"])
        tables = [summary.parent / str(r["files"]["csv"]) for r in content["results"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FacetrackError(f"{summary} is not a summary of facetrack compare.") from error
    return [SavedRun(table, video, size) for table in tables]
