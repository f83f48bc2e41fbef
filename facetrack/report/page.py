"""Assemble the page as one self-contained file that fetches nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.comparison.results import Comparison
from facetrack.errors import FacetrackError
from facetrack.files import atomic_path, check_output_folder
from facetrack.measures.measured import Measured
from facetrack.report import data, faces, pictures, tables
from facetrack.tracks import Tracks
from facetrack.video.image_files import is_present

SCRIPTS = ("store.js", "viewer.js", "charts.js", "plots.js", "measures.js", "main.js")
BYTES_PER_MINUTE = 2_000_000
"""Size of the page for a minute of video; shorter ones may take as much."""
MAX_BYTES = 40_000_000
"""Size of the page of a long video."""
MIN_PICTURE_BYTES = 400_000
"""Least size of the pictures for a minute of video, where points and curves are many."""
FIXED_BYTES = 220_000
"""Size of the page without data: scripts, styles, tables."""
MIN_RATE = 10.0
"""Frames per second below which a frame counts as 1 / MIN_RATE seconds, for the page's size."""
MEANINGS = {
    "error": "Distance from the ground truth in each frame, mean over the points, in % of the "
    "distance between the outer eye corners.",
    "disagreement": "Distance from the median of the other methods in each frame, mean over the "
    "points, in % of the distance between the outer eye corners. It shows where methods differ, "
    "not which one is right.",
    "drift": "Distance from the landmarks that the method's own detector finds in that frame, in % "
    "of the distance between the outer eye corners.",
}


def write_report(comparison: Comparison, path: Path, focal: float | None = None) -> list[str]:
    """Write the page that shows a comparison, or one run, as a self-contained HTML file.

    Args:
        comparison: with at least one result. The images are read from its video; if that is not
            possible, the page has none.
        path: of the file, which is replaced; its folder is created if it does not exist.
        focal: focal length in pixels, for head poses; None for OpenFace's rule.

    Returns:
        Sentences about missing parts of the page; the page shows them too.

    Raises:
        FacetrackError: the file cannot be written, or the results do not belong together.
    """
    _check(comparison)
    path = Path(path)
    check_output_folder(path.absolute().parent)
    comparison = replace(comparison, results=tables.ordered(comparison))
    stride = data.stride_of(comparison)
    first = comparison.results[0].tracks
    measured, warnings = faces.measure_results(comparison, focal)
    content = data.page_data(comparison, stride)
    for method, one in zip(content["methods"], measured, strict=True):
        method["face"] = faces.face_data(one, stride)
    images: pictures.Pictures | None = None
    notes: list[str] = []
    try:
        _check_video(comparison)
        images = pictures.take(
            comparison.video,
            first.first_frame,
            first.stride * (len(first) - 1) + 1,
            first.size,
            _picture_budget(first, len(json.dumps(content))),
            stride * first.stride,
        )
    except FacetrackError as error:
        warnings.insert(0, f"The report shows no pictures: {str(error).rstrip('.')}.")
    if stride > 1:
        notes.append(
            f"Points and curves show every {_nth(stride)} frame, to keep the page small; the "
            "measures cover all frames."
        )
    if images is not None:
        notes += _image_notes(images, first.size, stride * first.stride)
    text = _render(comparison, content, measured, images, notes, warnings)
    with atomic_path(path) as temporary:
        # A file name that is not UTF-8 reaches Python as lone surrogates.
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
    return warnings


def _picture_budget(tracks: Tracks, data_bytes: int) -> int:
    """Return the maximum bytes of the pictures, given those of points and curves."""
    minutes = max(1.0, min(_seconds(tracks), len(tracks) / MIN_RATE) / 60)
    total = min(MAX_BYTES, BYTES_PER_MINUTE * minutes)
    least = min(MAX_BYTES / 2, MIN_PICTURE_BYTES * minutes)
    return round(max(least, total - data_bytes - FIXED_BYTES))


def _seconds(tracks: Tracks) -> float:
    """Return the time from the first frame to the end of the last one."""
    if len(tracks) < 2:
        return 0.0
    steps = np.diff(tracks.time)
    return float(tracks.time[-1] - tracks.time[0] + np.median(steps))


def _check(comparison: Comparison) -> None:
    if not comparison.results:
        raise FacetrackError("There is nothing to report: no method has a result.")
    first = comparison.results[0].tracks
    for result in comparison.results:
        tracks = result.tracks
        if not np.array_equal(tracks.frames, first.frames):
            raise FacetrackError(
                f"{result.label} has frames {_range(tracks)}, {comparison.results[0].label} "
                f"{_range(first)}: a report shows one video."
            )
        if tracks.size != first.size:
            raise FacetrackError(
                f"{result.label} has frames of a different size: a report shows one video."
            )


def _check_video(comparison: Comparison) -> None:
    """Raise FacetrackError if the video is not the one that was tracked."""
    from facetrack.video.checksum import input_sha256

    known = comparison.input.get("sha256")
    if not known or not is_present(comparison.video):
        return
    try:
        digest = input_sha256(comparison.video)
    except OSError as error:
        raise FacetrackError(f"{comparison.video} cannot be read: {error.strerror}.") from None
    if digest != known:
        raise FacetrackError(f"{comparison.video} is not the video that was tracked.")


def _range(tracks: Tracks) -> str:
    last = int(tracks.frames[-1])
    every = f", every {_nth(tracks.stride)}" if tracks.stride > 1 else ""
    return f"{tracks.first_frame} to {last}{every}"


def _image_notes(images: pictures.Pictures, size: tuple[int, int], stride: int) -> list[str]:
    notes = []
    if images.size != size:
        notes.append(
            f"The pictures are {images.size[0]} x {images.size[1]} pixels, the video's frames "
            f"{size[0]} x {size[1]}."
        )
    if images.stride > stride:
        notes.append(
            f"Only every {_nth(images.stride)} frame has a picture, to keep the page small: the "
            "player steps through these frames."
        )
    return notes


def _nth(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"


def _render(
    comparison: Comparison,
    content: dict[str, Any],
    measured: list[Measured | None],
    images: pictures.Pictures | None,
    notes: list[str],
    warnings: list[str],
) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from facetrack.comparison.measures import MEASURES

    loader = PackageLoader("facetrack.report", "template")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}

    def source(name: str) -> str:
        return loader.get_source(environment, name)[0]

    results = comparison.results
    labels = [result.label for result in results]
    people = tables.are_people(results)
    method = f"{results[0].init} + {results[0].tracker}"
    page = environment.get_template("page.html.jinja")
    return page.render(
        comparison=comparison,
        results=results,
        single=len(results) == 1,
        people=people,
        seconds=_seconds(results[0].tracks),
        stage_labels=[method] if people else labels,
        picture_rate=pictures.RATE,
        subject=tables.subject(results),
        method=method,
        # The speed is that of the run, which the times show.
        rows=tables.measure_rows(
            results, [m for m in MEASURES if not (people and m.key == "fps")], ranked=not people
        ),
        summary=faces.summary_rows(measured),
        eye_events=faces.eye_events(labels, measured),
        has_faces=any(one is not None for one in measured),
        measure_titles=faces.titles(),
        ranked_by=next((m for m in MEASURES if m.key == comparison.ranked_by), None),
        events=tables.event_rows(results),
        stages=tables.stage_rows(results[:1] if people else results, comparison.seconds),
        weights=tables.weights_used(results),
        facts=tables.input_facts(comparison.input),
        memory=tables.shown_memory(comparison.peak_memory),
        versions=list(tables.flat(comparison.environment.get("versions", {}))),
        conventions=[
            fact
            for name, value in sorted(comparison.environment.items())
            if name != "versions"
            for fact in tables.flat(value, name)
        ],
        described=[
            *(
                [("Comparison", list(tables.flat(comparison.options)))]
                if comparison.options
                else []
            ),
            *(
                (method if people else r.label, list(tables.flat(r.about)))
                for r in (results[:1] if people else results)
            ),
        ],
        warnings=_all_warnings(comparison, warnings),
        notes=notes,
        data={**content, "subject": tables.subject(results)},
        pictures=images,
        meanings=MEANINGS,
        style=source("style.css"),
        dark=source("dark.css"),
        scripts=[source(name) for name in SCRIPTS],
        uplot=source("uplot.js"),
        uplot_style=source("uplot.css"),
    )


def _all_warnings(comparison: Comparison, warnings: list[str]) -> list[str]:
    """Return each warning once, with the method's name if not all methods share it."""
    results = comparison.results
    all_warnings = warnings + comparison.warnings
    for result in results:
        for warning in result.warnings:
            common = all(warning in other.warnings for other in results)
            all_warnings.append(warning if common else f"{result.label}: {warning}")
    return list(dict.fromkeys(all_warnings))
