"""Measure saved runs: `facetrack measure`."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from facetrack.api.clocks import clock_of_saved_run
from facetrack.api.ownership import (
    foreign,
    has_mark,
    is_track_record,
    read_json,
    refuse_inputs,
)
from facetrack.api.staging import publish, staged
from facetrack.comparison import storage
from facetrack.errors import FacetrackError
from facetrack.files import reason_of, sha256_of
from facetrack.formats.csv import read_csv
from facetrack.formats.npz import read_npz
from facetrack.measures.files import RECORD_SUFFIX, SUFFIXES, write_table
from facetrack.measures.measured import Measured, measure_video
from facetrack.measures.summary import flat
from facetrack.record import environment, write_record
from facetrack.tracks import Tracks

TABLE_SUFFIXES = (".npz", ".csv")
"""Suffixes of files of tracks, in order of preference; an .npz contains more."""
VIDEO_COLUMN = "video"
"""Column of a manifest of groups that names the videos."""


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


@dataclass(frozen=True)
class MeasuredRun:
    """The result of one run: its files by kind, and what was measured."""

    run: SavedRun
    paths: dict[str, Path]
    measured: Measured


def find_runs(names: Iterable[str | Path], size: tuple[int, int] | None = None) -> list[SavedRun]:
    """Find the runs that paths name.

    Args:
        names: each a table (.csv or .npz), a record (.json), a folder of them, or the folder of a
            `facetrack compare`.
        size: (width, height) of the frames of tables without a record.

    Raises:
        FacetrackError: a path names no run.
    """
    found: dict[str, SavedRun] = {}
    for name in map(Path, names):
        for run in _runs_at(name):
            if size is not None and min(run.size) < 1:
                run = replace(run, size=size)
            found.setdefault(os.path.realpath(run.table), run)
    if not found:
        raise FacetrackError("Name at least one run: a table of facetrack track, or a folder.")
    return list(found.values())


def _runs_at(path: Path) -> list[SavedRun]:
    if path.is_dir():
        if (path / storage.SUMMARY).is_file():
            return _compared(path / storage.SUMMARY)
        runs = [run for file in sorted(path.glob("*.json")) if (run := _of_record(file))]
        if not runs:
            raise FacetrackError(
                f"{path} contains no run of facetrack track: a .csv or .npz with its .json is "
                "needed."
            )
        return runs
    if not path.is_file():
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
    content = read_json(record) if record.is_file() else None
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
    table = next((table for table in tables if table.is_file()), None)
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


# ---------------------------------------------------------------- writing


def measure_to_files(
    run: SavedRun,
    folder: Path | None = None,
    focal: float | None = None,
    overwrite: bool = False,
    utc: datetime | None = None,
    audio_offset: float | str | None = None,
) -> MeasuredRun:
    """Measure a saved run and write its files: all of them, or none.

    Args:
        run: the run.
        folder: output folder; None for that of the run.
        focal: focal length in pixels; None for OpenFace's rule.
        overwrite: replace files that facetrack did not write.
        utc, audio_offset: see `facetrack.api.clocks.clock_of_saved_run`.

    Raises:
        FacetrackError: the run cannot be measured, or a file cannot be written.
    """
    folder = run.table.parent if folder is None else Path(folder)
    paths = {kind: folder / f"{run.stem}{suffix}" for kind, suffix in SUFFIXES.items()}
    paths["record"] = folder / f"{run.stem}{RECORD_SUFFIX}"
    inputs = {"table of this run": run.table}
    if run.record is not None:
        inputs["record of this run"] = run.record
    refuse_inputs(paths.values(), inputs)
    if not overwrite:
        _refuse_foreign(paths)
    tracks = run.read()
    content = {} if run.record is None else read_json(run.record)
    known = content if isinstance(content, dict) else {}
    clock = clock_of_saved_run(tracks, Path(run.video), known, utc, audio_offset)
    measured = measure_video(tracks, focal)
    try:
        digest = sha256_of(run.table)
    except OSError as error:
        raise FacetrackError(f"{run.table} cannot be read: {reason_of(error)}.") from error
    record = {
        **environment(),
        "measured": {
            "table": str(run.table),
            "absolute_path": os.path.abspath(run.table),
            "sha256": digest,
            "video": run.video,
        },
        "measures": measured.record(),
        **({} if clock is None else {"clock": clock.record()}),
    }
    with staged(folder) as place:
        measured.write(place, run.stem, clock)
        write_record(place / paths["record"].name, record)
        publish(place, list(paths.values()))
    return MeasuredRun(run, paths, measured)


def _refuse_foreign(paths: Mapping[str, Path]) -> None:
    for kind, path in paths.items():
        if not os.path.lexists(path):
            continue
        if kind == "record":
            content = read_json(path)
            is_ours = isinstance(content, dict) and {"versions", "measures"} <= content.keys()
        else:
            is_ours = has_mark(kind, path)
        if not is_ours:
            raise foreign(path)


def table_rows(
    runs: Sequence[MeasuredRun], groups: Mapping[str, Mapping[str, str]] | None = None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows of a table of several videos, and sentences about videos without groups.

    Args:
        runs: measured runs.
        groups: group columns by video; see `read_groups`.
    """
    rows: list[dict[str, Any]] = []
    warnings = []
    names = {name for row in (groups or {}).values() for name in row}
    for result in runs:
        video = result.run.video or result.run.stem
        own: dict[str, Any] = dict.fromkeys(sorted(names, key=_order(groups)))
        if groups:
            found = next((groups[key] for key in _keys(result.run) if key in groups), None)
            if found is None:
                warnings.append(f"The manifest has no groups for {video}.")
            own |= found or {}
        for summary in result.measured.summaries():
            rows.append(
                {VIDEO_COLUMN: video, "table": str(result.run.table), **own, **flat(summary)}
            )
    return rows, warnings


def _order(groups: Mapping[str, Mapping[str, str]] | None) -> Any:
    first: list[str] = list(next(iter((groups or {}).values()), {}))
    return first.index


def _keys(run: SavedRun) -> list[str]:
    """Return what may name a run in a manifest, from the most to the least exact."""
    video = Path(run.video) if run.video else Path(run.stem)
    return [os.path.realpath(video), run.video, video.name, run.stem, video.stem]


def read_groups(path: Path) -> dict[str, dict[str, str]]:
    """Read a manifest of groups: a CSV file with a column `video` and any further columns.

    A video is named by its path, relative to the manifest's folder or as it was given to
    `facetrack track`, by its file name, or by its stem.

    Returns:
        The further columns of each row, by every name under which its video may be looked up.

    Raises:
        FacetrackError: the file cannot be read, or has no column `video`.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = list(reader.fieldnames or [])
            rows = list(reader)
    except OSError as error:
        raise FacetrackError(f"{path} cannot be read: {reason_of(error)}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise FacetrackError(f"{path} is not a CSV file.") from error
    if VIDEO_COLUMN not in columns or len(set(columns)) < len(columns):
        raise FacetrackError(f"{path} needs a header with one column called {VIDEO_COLUMN}.")
    own = [name for name in columns if name != VIDEO_COLUMN]
    groups: dict[str, dict[str, str]] = {}
    for row in rows:
        name = row[VIDEO_COLUMN] or ""
        if None in row or not name:
            raise FacetrackError(f"{path} has a row without a video, or with too many cells.")
        values = {column: row[column] or "" for column in own}
        for key in (os.path.realpath(path.parent / name), name):
            groups[key] = values
    return groups


def write_table_file(
    path: Path,
    runs: Sequence[MeasuredRun],
    groups: Mapping[str, Mapping[str, str]] | None = None,
    inputs: Mapping[str, Path] | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Write a table of several videos: one row per video and face.

    Returns:
        Sentences about videos without groups.

    Raises:
        FacetrackError: the file is an input, is not facetrack's, or cannot be written.
    """
    rows, warnings = table_rows(runs, groups)
    check_table(path, {**(inputs or {}), **{f"table {r.run.table}": r.run.table for r in runs}})
    if not overwrite and os.path.lexists(path) and not has_mark("measures table", path):
        raise foreign(path)
    write_table(path, rows)
    return warnings


def check_table(path: Path, inputs: Mapping[str, Path]) -> None:
    """Refuse a table that is an input.

    Raises:
        FacetrackError: it is one.
    """
    refuse_inputs([path], inputs)
