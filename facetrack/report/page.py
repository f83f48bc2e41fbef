"""Puts the page together: one file, everything inside, nothing fetched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from facetrack.comparison.results import Comparison
from facetrack.errors import FacetrackError
from facetrack.files import atomic_path, check_output_folder
from facetrack.report import data, pictures, tables
from facetrack.tracks import Tracks

SCRIPTS = ("store.js", "viewer.js", "plots.js", "main.js")
MEANINGS = {
    "error": "Distance from the ground truth in each frame, mean over the points, in % of the "
    "distance between the outer eye corners.",
    "disagreement": "Distance from the median of the other methods in each frame, mean over the "
    "points, in % of the distance between the outer eye corners. It shows where methods part, not "
    "which one is right.",
    "drift": "Distance from the landmarks that the method's own detector places anew in that "
    "frame, in % of the distance between the outer eye corners.",
}


def write_report(comparison: Comparison, path: Path) -> list[str]:
    """Write the page that shows a comparison, or one run, as a self-contained HTML file.

    Args:
        comparison: with at least one result. Its video is read for the pictures; where that is not
            possible the page has none.
        path: of the file, which is replaced; its folder is made if need be.

    Returns:
        Sentences about what the page lacks; they are on the page too.

    Raises:
        FacetrackError: the file cannot be written, or the results do not belong together.
    """
    _check(comparison)
    path = Path(path)
    check_output_folder(path.absolute().parent)
    stride = data.stride_of(comparison)
    first = comparison.results[0].tracks
    taken: pictures.Pictures | None = None
    notes: list[str] = []
    warnings: list[str] = []
    try:
        _check_video(comparison)
        taken = pictures.take(
            comparison.video,
            first.first_frame,
            first.stride * (len(first) - 1) + 1,
            first.size,
            stride=stride * first.stride,
        )
    except FacetrackError as error:
        warnings.append(f"The report shows no pictures: {str(error).rstrip('.')}.")
    if stride > 1:
        notes.append(
            f"Points and curves are those of every {_nth(stride)} frame, so that the page stays "
            "small; the measures are of all frames."
        )
    if taken is not None:
        notes += _left_out(taken, first.size, stride * first.stride)
    text = _render(comparison, stride, taken, notes, warnings)
    with atomic_path(path) as temporary:
        # A file name that is not UTF-8 reaches Python as lone surrogates.
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
    return warnings


def _check(comparison: Comparison) -> None:
    if not comparison.results:
        raise FacetrackError("There is nothing to report: no method has a result.")
    first = comparison.results[0].tracks
    for result in comparison.results:
        tracks = result.tracks
        if not np.array_equal(tracks.frames, first.frames):
            raise FacetrackError(
                f"{result.label} has frames {_range(tracks)}, {comparison.results[0].label} "
                f"{_range(first)}: a report is of one video."
            )
        if tracks.size != first.size:
            raise FacetrackError(f"{result.label} is of frames of another size: not one video.")


def _check_video(comparison: Comparison) -> None:
    """Pictures of another video under these points would mislead."""
    from facetrack.video.checksum import input_sha256

    known = comparison.input.get("sha256")
    if not known or not comparison.video.exists():
        return
    try:
        found = input_sha256(comparison.video)
    except OSError as error:
        raise FacetrackError(f"{comparison.video} cannot be read: {error.strerror}.") from None
    if found != known:
        raise FacetrackError(f"{comparison.video} is not the video that was tracked.")


def _range(tracks: Tracks) -> str:
    last = int(tracks.frames[-1])
    every = f", every {_nth(tracks.stride)}" if tracks.stride > 1 else ""
    return f"{tracks.first_frame} to {last}{every}"


def _left_out(taken: pictures.Pictures, size: tuple[int, int], stride: int) -> list[str]:
    notes = []
    if taken.size != size:
        notes.append(
            f"The pictures are {taken.size[0]} x {taken.size[1]} pixels, the video's frames "
            f"{size[0]} x {size[1]}."
        )
    if taken.stride > stride:
        notes.append(
            f"Only every {_nth(taken.stride)} frame has a picture, so that the page stays small: "
            "the player steps from one of these to the next."
        )
    return notes


def _nth(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"


def _render(
    comparison: Comparison,
    stride: int,
    taken: pictures.Pictures | None,
    notes: list[str],
    warnings: list[str],
) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

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

    results = tables.ordered(comparison)
    page = environment.get_template("page.html.jinja")
    return page.render(
        comparison=comparison,
        results=results,
        single=len(results) == 1,
        rows=tables.measure_rows(results, MEASURES),
        ranked_by=next((m for m in MEASURES if m.key == comparison.ranked_by), None),
        events=tables.event_rows(results),
        stages=tables.stage_rows(results, comparison.seconds),
        weights=tables.weights_used(results),
        facts=tables.input_facts(comparison.input),
        memory=tables.shown_memory(comparison.peak_memory),
        versions=list(tables.flat(comparison.environment.get("versions", {}))),
        conventions=[
            fact
            for name, some in sorted(comparison.environment.items())
            if name != "versions"
            for fact in tables.flat(some, name)
        ],
        described=[
            *(
                [("Comparison", list(tables.flat(comparison.options)))]
                if comparison.options
                else []
            ),
            *((r.label, list(tables.flat(r.about))) for r in results),
        ],
        warnings=_all_warnings(comparison, warnings),
        notes=notes,
        data=data.page_data(replace(comparison, results=results), stride),
        pictures=taken,
        meanings=MEANINGS,
        style=source("style.css"),
        dark=source("dark.css"),
        scripts=[source(name) for name in SCRIPTS],
        plotly=get_plotlyjs(),
    )


def _all_warnings(comparison: Comparison, warnings: list[str]) -> list[str]:
    """Each once; named by method where not all methods share it."""
    results = comparison.results
    said = warnings + comparison.warnings
    for result in results:
        for warning in result.warnings:
            common = all(warning in other.warnings for other in results)
            said.append(warning if common else f"{result.label}: {warning}")
    return list(dict.fromkeys(said))
