"""Measure saved runs: `facetrack measure`."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from facetrack.api.clocks import clock_of_saved_run
from facetrack.api.ownership import OTHER_FOLDER, foreign, has_mark, names_kind, refuse_inputs
from facetrack.api.single_file import SingleFile
from facetrack.api.staging import publish, staged
from facetrack.errors import FacetrackError
from facetrack.files import read_json, reason_of, sha256_of
from facetrack.formats.earlier_runs import SavedRun
from facetrack.measures.files import RECORD_SUFFIX, SUFFIXES
from facetrack.measures.measured import Measured, measure_video
from facetrack.measures.summary import flat
from facetrack.record import environment, is_track_record, write_record

VIDEO_COLUMN = "video"
"""Column of a manifest of groups that names the videos."""


@dataclass(frozen=True)
class MeasuredRun:
    """The result of one run: its files by kind, and what was measured."""

    run: SavedRun
    paths: dict[str, Path]
    measured: Measured


# ---------------------------------------------------------------- writing


def measure_paths(run: SavedRun, folder: Path | None = None) -> dict[str, Path]:
    """Return the files of a measured run by kind, the record last.

    Args:
        run: the run.
        folder: output folder; None for that of the run.
    """
    folder = run.table.parent if folder is None else Path(folder)
    paths = {kind: folder / f"{run.stem}{suffix}" for kind, suffix in SUFFIXES.items()}
    return {**paths, "record": folder / f"{run.stem}{RECORD_SUFFIX}"}


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
        focal: focal length in pixels; None for that of the run, or without one OpenFace's rule.
        overwrite: replace files that facetrack did not write, and measures of another run.
        utc, audio_offset: see `facetrack.api.clocks.clock_of_saved_run`.

    Raises:
        FacetrackError: the run cannot be measured, or a file cannot be written.
    """
    paths = measure_paths(run, folder)
    inputs = {"table of this run": run.table}
    if run.record is not None:
        inputs["record of this run"] = run.record
    refuse_inputs(paths.values(), inputs)
    if not overwrite:
        _refuse_foreign(paths)
        _refuse_other_run(run, paths["record"])
    tracks = run.read()
    content = {} if run.record is None else read_json(run.record)
    known = content if isinstance(content, dict) else {}
    clock = clock_of_saved_run(tracks, Path(run.present_video), known, utc, audio_offset)
    measured = measure_video(tracks, run.focal if focal is None else focal)
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
    with staged(paths["record"].parent) as place:
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


def _refuse_other_run(run: SavedRun, path: Path) -> None:
    """Refuse to replace the measures of another run, which `track` or `measure` wrote.

    Args:
        run: the present run.
        path: of the record of its measures. Beside its table are its own measures.
    """
    if os.path.realpath(path.parent) == os.path.realpath(run.table.parent):
        return
    tracked = path.with_name(f"{run.stem}.json")
    if is_track_record(record := read_json(tracked)) and names_kind(record, "measures"):
        raise _other_run(tracked, record["input"].get("path"))
    content = read_json(path)
    entry = content.get("measured") if isinstance(content, dict) else None
    entry = entry if isinstance(entry, dict) else {}
    known = entry.get("absolute_path")
    if isinstance(known, str) and not _is_same_table(known, run.table):
        raise _other_run(path, entry.get("table"))


def _is_same_table(known: str, table: Path) -> bool:
    """Return whether a recorded path is that of a table; a run may have two, .csv and .npz."""
    return os.path.realpath(os.path.splitext(known)[0]) == os.path.realpath(
        os.path.splitext(table)[0]
    )


def _other_run(record: Path, name: Any) -> FacetrackError:
    return FacetrackError(
        f"{record} holds the results of {name}, another run: {OTHER_FOLDER.to_foreign}."
    )


def table_rows(
    runs: Sequence[SavedRun],
    results: Sequence[MeasuredRun],
    groups: Mapping[str, Mapping[str, str]] | None = None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows of a table of several videos, and sentences about videos without groups.

    Args:
        runs: the runs in the order of their rows.
        results: of those that were measured. The others have a row that is empty apart from names
            and groups.
        groups: group columns by video; see `read_groups`.

    Raises:
        FacetrackError: a group column has the name of a column of the table.
    """
    rows: list[dict[str, Any]] = []
    warnings = []
    names = {name for row in (groups or {}).values() for name in row}
    summaries = {result.run: result.measured.summaries() for result in results}
    for run in runs:
        video = run.video or run.stem
        own: dict[str, Any] = dict.fromkeys(sorted(names, key=_order(groups)))
        if groups:
            found = next((groups[key] for key in _keys(run) if key in groups), None)
            if found is None:
                warnings.append(f"The manifest has no groups for {video}.")
            own |= found or {}
        for measured in [flat(summary) for summary in summaries.get(run, [])] or [{}]:
            if taken := sorted(own.keys() & {"table", *measured}):
                raise FacetrackError(
                    f"The groups have a column {taken[0]!r}, as the table has itself: give it "
                    "another name."
                )
            rows.append({VIDEO_COLUMN: video, "table": str(run.table), **own, **measured})
    return rows, warnings


def _order(groups: Mapping[str, Mapping[str, str]] | None) -> Any:
    first: list[str] = list(next(iter((groups or {}).values()), {}))
    return first.index


def _keys(run: SavedRun) -> list[str]:
    """Return what may name a run in a manifest, from the most to the least exact."""
    video = Path(run.video) if run.video else Path(run.stem)
    surest = run.places[0] if run.places else video
    return [os.path.realpath(surest), run.video, video.name, run.stem, video.stem]


def read_groups(path: Path) -> dict[str, dict[str, str]]:
    """Read a manifest of groups: a CSV file with a column `video` and any further columns.

    A video is named by its path, relative to the manifest's folder or as it was given to
    `facetrack track`, by its file name, or by its stem.

    Returns:
        The further columns of each row, by every name under which its video may be looked up.

    Raises:
        FacetrackError: the file cannot be read, has no column `video`, or two different rows for
            one video.
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
            if groups.setdefault(key, values) != values:
                raise FacetrackError(
                    f"{path} has two rows for {name} that differ: the groups are those of a video."
                )
    return groups


def table_file(
    path: Path,
    runs: Sequence[SavedRun],
    folder: Path | None = None,
    groups: Path | None = None,
    overwrite: bool = False,
) -> SingleFile:
    """Return the table of several videos as a file to check and to write.

    Args:
        path: of the table.
        runs: the runs to measure.
        folder: output folder of the measures; None for that of each run.
        groups: the manifest of groups, if there is one.
        overwrite: replace a file that facetrack did not write.

    Raises:
        FacetrackError: the measures of a run have this name.
    """
    inputs = {} if groups is None else {"manifest of groups": groups}
    for run in runs:
        inputs[f"table {run.table}"] = run.table
        if run.record is not None:
            inputs[f"record {run.record}"] = run.record
        if os.path.abspath(path) in map(os.path.abspath, measure_paths(run, folder).values()):
            raise FacetrackError(f"{path} is the name of a run's measures: choose another --table.")
    return SingleFile(path, "measures table", "--table", inputs, overwrite)
