"""Build comparisons from files of `facetrack track` and `facetrack compare`."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.comparison import measures, storage
from facetrack.comparison.results import Comparison, Result
from facetrack.errors import FacetrackError
from facetrack.files import not_found, read_json
from facetrack.formats.earlier_runs import SavedRun, find_runs, summary_of, video_places
from facetrack.record import is_track_record, record_beside, recorded_focal
from facetrack.report.commands import command_of
from facetrack.report.page import write_report
from facetrack.report.tables import PERSON
from facetrack.tracks import Tracks
from facetrack.video.image_files import is_present

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
    contents = [{"options": comparison.options}, *(result.about for result in comparison.results)]
    return next(filter(None, map(recorded_focal, contents)), None)


def of_runs(paths: Sequence[str | Path], video: str | Path | None = None) -> Comparison:
    """Build the comparison of saved runs on the same video.

    Args:
        paths: see `facetrack.formats.earlier_runs.find_runs`; every table needs its record. The
            folder of a `facetrack compare` must be the only path.
        video: present path of the video. By default the path in the record, or if that does not
            exist, a file of the same name beside the record; see
            `facetrack.formats.earlier_runs.video_places`.

    Raises:
        FacetrackError: a file is missing or invalid, or the runs are of different videos.
    """
    for path in map(Path, paths):
        summary = summary_of(path)
        if summary is not None:
            if len(paths) > 1:
                raise FacetrackError(f"{path} is a comparison: give it as the only run.")
            return _with_video(storage.read(summary.parent), summary.parent, video)
    found = [(run, _record_of(run)) for run in find_runs(paths)]
    runs = [(run.read(), record, run.stem) for run, record in found]
    try:
        comparison = _comparison(Path(found[0][0].video), runs)
    except (TypeError, ValueError, AttributeError) as error:
        names = " or ".join(str(run.record) for run, _ in found)
        raise FacetrackError(f"{names} is not a record of facetrack track ({error}).") from None
    return _with_video(comparison, found[0][0].table.parent, video)


def input_files(paths: Sequence[str | Path]) -> dict[str, Path]:
    """Return the files that `of_runs` reads, by what they are."""
    files: dict[str, Path] = {}
    for path in map(Path, paths):
        summary = summary_of(path)
        if summary is not None:
            files[f"comparison {summary}"] = summary
            files |= {f"table {p}": p for p in sorted(summary.parent.glob("*.csv"))}
            continue
        for run in find_runs([path]):
            files |= {
                f"record {run.record}": run.record or run.table,
                f"table {run.table}": run.table,
            }
    return files


def _record_of(run: SavedRun) -> dict[str, Any]:
    """Read the record of a run, without which nothing says what its tracks are."""
    if run.record is None:
        record = record_beside(run.table)
        if os.path.isfile(record):
            raise FacetrackError(f"{record} is not a record of facetrack track.")
        raise FacetrackError(
            f"The record {record} is missing: a report needs it beside {run.table}."
        )
    content = read_json(run.record)
    if not is_track_record(content):  # it has changed since it was found
        raise FacetrackError(f"{run.record} is not a record of facetrack track.")
    return dict(content)


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
                *("detector", "face_detector", "tracker", "expressions", "head", "identity"),
                *("shape", "query", "options"),
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
            raise not_found(video)
        return replace(comparison, video=Path(video))
    places = video_places(comparison.input, folder)
    return replace(comparison, video=next(filter(is_present, places), comparison.video))
