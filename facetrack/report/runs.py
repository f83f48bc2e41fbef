"""Build comparisons from files of `facetrack track` and `facetrack compare`."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.comparison import measures
from facetrack.comparison.results import Comparison, Result
from facetrack.errors import FacetrackError
from facetrack.files import parse_json
from facetrack.formats.csv import read_csv
from facetrack.formats.npz import read_npz
from facetrack.report.commands import command_of
from facetrack.report.page import write_report
from facetrack.report.tables import PERSON
from facetrack.tracks import Tracks
from facetrack.video.image_files import is_present

SUMMARY = "summary.json"
"""The file that marks a folder of `facetrack compare`."""
TABLE_SUFFIXES = (".npz", ".csv")
"""Suffixes of files of tracks, in order of preference; an .npz contains more."""
_ENVIRONMENT = ("versions", "platform", "frame_base", "coordinate_origin", "units")


def report_of_track(
    video: Path, tracks: Tracks, record: Mapping[str, Any], path: Path
) -> list[str]:
    """Write the page of one run of `facetrack track`.

    Args:
        video: the tracked video, whose frames are shown.
        tracks: of all its frames.
        record: content of the run's `<stem>.json`.
        path: of the page.

    Returns:
        Sentences about missing parts of the page; see `write_report`.

    Raises:
        FacetrackError: the page cannot be written.
    """
    comparison = _comparison(Path(video), [(tracks, record, "")])
    return write_report(comparison, path, focal_of(comparison))


def focal_of(comparison: Comparison) -> float | None:
    """Return the focal length in pixels with which runs were measured; None for OpenFace's rule."""
    for result in comparison.results:
        options = result.about.get("options")
        focal = options.get("focal") if isinstance(options, Mapping) else None
        if isinstance(focal, int | float) and focal > 0:
            return float(focal)
    return None


def of_runs(paths: Sequence[str | Path], video: str | Path | None = None) -> Comparison:
    """Build the comparison of saved runs on the same video.

    Args:
        paths: each a table (`<stem>.csv` or `.npz`) of `facetrack track` with its record
            `<stem>.json` beside it, such a record, a folder of them, or the folder of a
            `facetrack compare`, which must be the only path.
        video: present path of the video. By default the path in the record, or if that does not
            exist, a file of the same name beside the record.

    Raises:
        FacetrackError: a file is missing or invalid, or the runs are of different videos.
    """
    run_paths = [Path(path) for path in paths]
    if not run_paths:
        raise FacetrackError("Name at least one run: a table of facetrack track, or a folder.")
    compared = [
        path for path in run_paths if os.path.isfile(path / SUMMARY) or path.name == SUMMARY
    ]
    if compared:
        if len(run_paths) > 1:
            raise FacetrackError(f"{compared[0]} is a comparison: give it as the only run.")
        from facetrack.comparison import storage

        folder = compared[0].parent if compared[0].name == SUMMARY else compared[0]
        return _with_video(storage.read(folder), folder, video)
    records = list(dict.fromkeys(record for path in run_paths for record in _find_records(path)))
    runs = []
    for path, table in records:
        record = _read_record(path)
        runs.append((_tracks(table, record), record, path.stem))
    try:
        comparison = _comparison(Path(str(runs[0][1]["input"].get("path", ""))), runs)
    except (TypeError, ValueError, AttributeError) as error:
        names = " or ".join(str(path) for path, _ in records)
        raise FacetrackError(f"{names} is not a record of facetrack track ({error}).") from None
    return _with_video(comparison, records[0][0].parent, video)


def input_files(paths: Sequence[str | Path]) -> dict[str, Path]:
    """Return the files that `of_runs` reads, by what they are; those of no run are left out."""
    files: dict[str, Path] = {}
    for path in map(Path, paths):
        if path.name == SUMMARY or os.path.isfile(path / SUMMARY):
            summary = path if path.name == SUMMARY else path / SUMMARY
            files[f"comparison {summary}"] = summary
            files |= {f"table {p}": p for p in sorted(summary.parent.glob("*.csv"))}
        else:
            for record, table in _find_records(path):
                files |= {f"record {record}": record, f"table {table}": table}
    return files


# ---------------------------------------------------------------- reading


def _find_records(path: Path) -> list[tuple[Path, Path]]:
    """Return the paths (record, table) of every run that `path` names."""
    if os.path.isdir(path):
        files = [file for file in sorted(path.glob("*.json")) if _is_record_file(file)]
        pairs = [(file, table) for file in files if (table := _find_table(file)) is not None]
        if not pairs:
            raise FacetrackError(
                f"{path} contains no run of facetrack track: a .csv or .npz with its .json is "
                "needed."
            )
        return pairs
    if not os.path.isfile(path):
        raise FacetrackError(f"There is no {path}; check the path.")
    if path.suffix.lower() == ".json":
        beside = _find_table(path)
        if beside is None:
            raise FacetrackError(f"There is neither a .npz nor a .csv beside {path}.")
        return [(path, beside)]
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise FacetrackError(f"{path} is not a run of facetrack track: a .csv, .npz or .json.")
    record = path.with_suffix(".json")
    if not os.path.isfile(record):
        raise FacetrackError(f"The record {record} is missing: a report needs it beside {path}.")
    return [(record, path)]


def _find_table(record: Path) -> Path | None:
    # Not with_suffix alone: a stem may contain a dot.
    stem = record.with_suffix("")
    tables = (stem.with_name(stem.name + suffix) for suffix in TABLE_SUFFIXES)
    return next((table for table in tables if os.path.isfile(table)), None)


def _is_record_file(path: Path) -> bool:
    try:
        content = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return False
    return _has_record_fields(content)


def _has_record_fields(content: Any) -> bool:
    return isinstance(content, dict) and all(
        isinstance(content.get(part), dict) for part in ("input", "options", "tracker")
    )


def _read_record(path: Path) -> dict[str, Any]:
    try:
        content = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise FacetrackError(f"{path} cannot be read as JSON ({error}).") from None
    if not _has_record_fields(content):
        raise FacetrackError(f"{path} is not a record of facetrack track.")
    return dict(content)


def _tracks(table: Path, record: Mapping[str, Any]) -> Tracks:
    if table.suffix.lower() == ".npz":
        return read_npz(table)
    width, height = (record["input"].get(name) for name in ("width", "height"))
    if not (isinstance(width, int) and isinstance(height, int)):
        raise FacetrackError(f"The record beside {table} lacks the size of the frames.")
    return read_csv(table, (width, height))


# ---------------------------------------------------------------- assembling


def _comparison(video: Path, runs: Sequence[tuple[Tracks, Mapping[str, Any], str]]) -> Comparison:
    """Combine runs, given as (tracks, record, name of the file)."""
    inputs = [dict(record["input"]) for _, record, _ in runs]
    for other, (_, _, name) in zip(inputs[1:], runs[1:], strict=True):
        if any(other.get(k) != inputs[0].get(k) for k in ("sha256", "width", "height", "frames")):
            raise FacetrackError(
                f"{runs[0][2]} and {name} are runs on different videos: a report shows one video."
            )
    named = [
        (result, name)
        for tracks, record, name in runs
        for result in _of_faces(tracks, record, alone=len(runs) == 1)
    ]
    results = _with_labels([result for result, _ in named], [name for _, name in named])
    if len(results) == len(runs):
        _add_disagreement(results)
    first = runs[0][1]
    return Comparison(
        video=video,
        input=inputs[0],
        results=results,
        ranking=[],
        ranked_by="",
        truth=None,
        command="\n".join(dict.fromkeys(command_of(record) for _, record, _ in runs)),
        environment={name: first[name] for name in _ENVIRONMENT if name in first},
    )


def _of_faces(tracks: Tracks, record: Mapping[str, Any], alone: bool) -> list[Result]:
    """Split a run into one result per face.

    Args:
        tracks, record: of the run.
        alone: True for the only run: its people need no name of the method.
    """
    faces = tracks.face_id.tolist()
    results = [_result(tracks.with_faces([face]), record) for face in faces]
    if len(faces) > 1:
        results = [
            replace(result, label=f"{'' if alone else result.label + ', '}{PERSON} {face}")
            for result, face in zip(results, faces, strict=True)
        ]
    return results


def _result(tracks: Tracks, record: Mapping[str, Any]) -> Result:
    """Build the result of one face of a run."""
    warnings = [str(warning) for warning in record.get("warnings", [])]
    face = int(tracks.face_id[0])
    events = [e for e in record.get("events", []) if e.get("face_id") == face]
    seconds = {k: float(v) for k, v in record.get("seconds", {}).items()}
    known = np.isfinite(tracks.xy).all(-1)
    tracking = seconds.get("track", math.nan)
    init, tracker = record["options"].get("init", "?"), record["tracker"].get("name", "?")
    return Result(
        label=f"{init} + {tracker}",
        init=str(init),
        tracker=str(tracker),
        tracks=tracks,
        measures={
            "jitter": measures.jitter(tracks, measures.consensus_size([tracks])),
            "visible": 100 * float(tracks.visible.mean()),
            "missing": 100 * float(1 - known.mean()),
            "fps": len(tracks) / tracking if tracking > 0 else math.nan,
        },
        series={},
        seconds=seconds,
        about={
            name: record[name]
            for name in (
                *("detector", "face_detector", "tracker", "expressions", "identity", "shape"),
                *("query", "options"),
            )
            if record.get(name) is not None
        },
        warnings=warnings,
        events=events,
    )


def _with_labels(results: Iterable[Result], names: Sequence[str]) -> list[Result]:
    """Make labels unique, by the file's name if that suffices, otherwise by number."""
    results = list(results)
    for by_number in (False, True):
        labels = [result.label for result in results]
        duplicates = {label for label in labels if labels.count(label) > 1}
        results = [
            replace(r, label=f"{r.label} ({i + 1 if by_number else name})")
            if r.label in duplicates
            else r
            for i, (r, name) in enumerate(zip(results, names, strict=True))
        ]
    return results


def _add_disagreement(results: Sequence[Result]) -> None:
    """Add the disagreement between the runs of each layout, as in `facetrack compare`."""
    for scheme in {result.tracks.scheme for result in results}:
        group = [result for result in results if result.tracks.scheme == scheme]
        lengths = {len(result.tracks) for result in group}
        if len(group) < 2 or len(lengths) > 1:
            continue
        tracks = [result.tracks for result in group]
        disagreements = measures.disagreement(tracks, measures.consensus_size(tracks))
        for result, values in zip(group, disagreements, strict=True):
            result.series["disagreement"] = measures.by_frame(values)
            result.measures["disagreement"] = measures.mean(values)


def _with_video(comparison: Comparison, folder: Path, video: str | Path | None) -> Comparison:
    """Return the comparison with the present path of its video."""
    if video is not None:
        if not is_present(Path(video)):
            raise FacetrackError(f"There is no {video}; check the path.")
        return replace(comparison, video=Path(video))
    beside = folder / comparison.video.name
    if not is_present(comparison.video) and comparison.video.name and is_present(beside):
        return replace(comparison, video=beside)
    return comparison
