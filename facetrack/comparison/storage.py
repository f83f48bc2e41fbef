"""Write and read comparisons: `summary.json`, `summary.csv`, and a CSV of tracks per method."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.comparison.measures import BY_KEY, MEASURES
from facetrack.comparison.results import Comparison, Result
from facetrack.errors import FacetrackError
from facetrack.files import atomic_path, parse_json, stem_of
from facetrack.formats.csv import CsvWriter, read_csv
from facetrack.formats.earlier_runs import SUMMARY
from facetrack.landmarks import schemes
from facetrack.measures.coordinates import PIXELS, coordinates_record
from facetrack.record import write_record
from facetrack.tables import TableWriter
from facetrack.tracks import Tracks

TABLE = "summary.csv"
FORMAT = 1
"""Version of summary.json. Earlier versions of facetrack may not read a later format."""
_PER_FRAME = ("backwards", "track", "cycle", "decode", "draw")
_PLAIN = ("input", "ranking", "ranked_by", "command", "environment", "options", "warnings")


def paths(folder: Path, video: Path, labels: dict[str, str]) -> dict[str, Path]:
    """Return the paths of the files that `write` writes, by kind.

    The kinds are "csv", "json", and "csv of LABEL" for each method.

    Args:
        folder: output folder.
        video: the video.
        labels: name of the method's files ("ert-tapir") by its label.
    """
    stem = stem_of(video)
    tables = {f"csv of {label}": folder / f"{stem}.{name}.csv" for label, name in labels.items()}
    return {"csv": folder / TABLE, "json": folder / SUMMARY, **tables}


def write(
    comparison: Comparison,
    folder: Path,
    point_confidence: bool = False,
    focal: float | None = None,
) -> Comparison:
    """Write a comparison into a folder.

    The files are summary.json, summary.csv, `<stem>.<init>-<tracker>.csv` per method and, with
    ground truth, `<stem>.ground-truth.csv`. Tables of tracks have the coordinates of the options.
    Each file appears only once it is complete, summary.json last.

    Args:
        comparison: with at least one result.
        folder: the output folder.
        point_confidence: write the confidence of each point into the tables of tracks.
        focal: focal length in pixels, for frontal coordinates; None for OpenFace's rule.

    Returns:
        The comparison with the files' paths.

    Raises:
        FacetrackError: a file cannot be written.
    """
    folder = Path(folder)
    final = paths(folder, comparison.video, {r.label: file_label(r) for r in comparison.results})
    coordinates = comparison.options.get("coordinates", PIXELS)
    results = []
    for result in comparison.results:
        path = final[f"csv of {result.label}"]
        _write_tracks(result.tracks, path, coordinates, focal, point_confidence)
        results.append(dataclasses.replace(result, files={**result.files, "csv": path}))
    files = {**comparison.files, "csv": final["csv"], "json": final["json"]}
    if comparison.truth is not None:
        files["ground truth"] = folder / f"{stem_of(comparison.video)}.ground-truth.csv"
        tracks = _truth_tracks(comparison.truth, comparison.truth_visible, results[0].tracks)
        _write_tracks(tracks, files["ground truth"], coordinates, focal)
    written = dataclasses.replace(comparison, results=results, files=files)
    _write_table(written, final["csv"])
    write_record(final["json"], _content(written, folder))
    return written


def file_label(result: Result) -> str:
    """Return the part of a method's file names that identifies it: "ert-tapir"."""
    return f"{result.init}-{result.tracker}"


def read(folder: Path) -> Comparison:
    """Read a comparison that `write` wrote into a folder.

    Positions have the three decimals of the CSV, and the points of a face share its confidence.

    Raises:
        FacetrackError: the folder contains no comparison, or it is damaged.
    """
    folder = Path(folder)
    path = folder / SUMMARY
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        if content["comparison_format"] != FORMAT:
            raise FacetrackError(f"{path} was written by another version of facetrack.")
        size = (int(content["input"]["width"]), int(content["input"]["height"]))
        results = [_result(folder, entry, size) for entry in content["results"]]
        truth, visible = None, None
        files = {kind: folder / name for kind, name in content["files"].items()}
        if "ground truth" in files:
            tracks = read_csv(files["ground truth"], size)
            truth = tracks.xy[:, 0].astype(float)
            visible = tracks.visible[:, 0] if content["truth_visible"] else None
        return Comparison(
            video=Path(content["video"]),
            results=results,
            truth=truth,
            truth_visible=visible,
            seconds={stage: float(value) for stage, value in content["seconds"].items()},
            peak_memory=_number(content["peak_memory_mb"]),
            files=files,
            **{name: content[name] for name in _PLAIN},
        )
    except FileNotFoundError:
        raise FacetrackError(f"{folder} contains no {SUMMARY}: it is not a comparison.") from None
    except OSError as error:
        raise FacetrackError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise FacetrackError(f"{path} is damaged or not a comparison of facetrack.") from error


def _result(folder: Path, entry: dict[str, Any], size: tuple[int, int]) -> Result:
    files = {kind: folder / name for kind, name in entry["files"].items()}
    tracks = read_csv(files["csv"], size)
    if tracks.scheme != entry["scheme"]:
        raise FacetrackError(f"{files['csv']} and {SUMMARY} have different layouts.")
    return Result(
        label=entry["label"],
        init=entry["init"],
        tracker=entry["tracker"],
        tracks=tracks,
        measures={key: _number(value) for key, value in entry["measures"].items()},
        series={
            name: np.array([_number(value) for value in values], float)
            for name, values in entry["series"].items()
        },
        seconds={stage: float(value) for stage, value in entry["seconds"].items()},
        about=entry["about"],
        warnings=entry["warnings"],
        files=files,
    )


def _content(comparison: Comparison, folder: Path) -> dict[str, Any]:
    return {
        "comparison_format": FORMAT,
        "video": str(comparison.video),
        **{name: getattr(comparison, name) for name in _PLAIN},
        "seconds": _rounded(comparison.seconds),
        "frames_per_second": speeds(comparison.seconds, len(comparison.results[0].tracks)),
        "peak_memory_mb": _finite(comparison.peak_memory),
        "truth_visible": comparison.truth_visible is not None,
        **coordinates_record(comparison.options.get("coordinates", PIXELS)),
        "measures": [dataclasses.asdict(measure) for measure in MEASURES],
        "results": [
            {
                "label": result.label,
                "init": result.init,
                "tracker": result.tracker,
                "scheme": result.tracks.scheme,
                "measures": {key: _finite(value) for key, value in result.measures.items()},
                "series": {
                    name: [_finite(value, 4) for value in values.tolist()]
                    for name, values in result.series.items()
                },
                "seconds": _rounded(result.seconds),
                "frames_per_second": speeds(result.seconds, len(result.tracks)),
                "about": result.about,
                "warnings": result.warnings,
                "files": _relative(result.files, folder),
            }
            for result in comparison.results
        ],
        "files": _relative(comparison.files, folder),
    }


def _write_table(comparison: Comparison, path: Path) -> None:
    """Write a table with one row per method, in the order of the ranking."""
    keys = [m.key for m in MEASURES if any(m.key in r.measures for r in comparison.results)]
    stages = list(dict.fromkeys(stage for r in comparison.results for stage in r.seconds))
    place = {label: i for i, label in enumerate(comparison.ranking)}
    results = sorted(comparison.results, key=lambda r: place.get(r.label, 0))
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        rows = TableWriter(file)
        heads = [BY_KEY[key].column for key in keys]
        rows.writerow(["rank", "init", "tracker", *heads, *(f"{s}_seconds" for s in stages)])
        for result in results:
            rank = place[result.label] + 1 if place else 1
            figures = [_cell(result.measures.get(key, math.nan)) for key in keys]
            spent = [_cell(result.seconds.get(stage, math.nan)) for stage in stages]
            rows.writerow([rank, result.init, result.tracker, *figures, *spent])


def speeds(seconds: dict[str, float], frames: int) -> dict[str, float]:
    """Return the frames per second of the stages that process all frames."""
    stages = (s for s in _PER_FRAME if s != "cycle" and seconds.get(s, 0) > 0)
    return {stage: round(frames / seconds[stage], 3) for stage in stages}


def _write_tracks(
    tracks: Tracks,
    path: Path,
    coordinates: str,
    focal: float | None,
    point_confidence: bool = False,
) -> None:
    with CsvWriter(path) as writer:
        writer.coordinates = coordinates
        writer.focal = focal
        writer.point_confidence = point_confidence
        writer.write(tracks)


def _truth_tracks(truth: np.ndarray, visible: np.ndarray | None, like: Tracks) -> Tracks:
    known = np.isfinite(truth).all(-1)
    visible = known if visible is None else known & visible
    return dataclasses.replace(
        like,
        xy=truth[:, None].astype(np.float32),
        visible=visible[:, None],
        confidence=known[:, None].astype(np.float32),
        scheme=schemes.for_count(truth.shape[1]).name,
    )


def _relative(files: dict[str, Path], folder: Path) -> dict[str, str]:
    """Return names relative to the folder, so that it can be moved."""
    return {kind: path.relative_to(folder).as_posix() for kind, path in files.items()}


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {stage: round(value, 4) for stage, value in seconds.items()}


def _finite(value: float, digits: int = 6) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _cell(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""
