"""Compare methods on one video: `facetrack.compare`, and the files of `facetrack compare`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from facetrack.api.ownership import (
    foreign,
    has_mark,
    refuse_inputs,
    refuse_other_input,
)
from facetrack.api.staging import new_names, publish, staged
from facetrack.callbacks import Progress
from facetrack.comparison import storage
from facetrack.comparison.grid import Grid
from facetrack.comparison.options import CompareOptions
from facetrack.comparison.passes import Sink
from facetrack.comparison.results import Comparison
from facetrack.comparison.run import Started, null_sink, run
from facetrack.defaults import INIT
from facetrack.errors import FacetrackError
from facetrack.files import read_json, stem_of
from facetrack.formats.earlier_runs import SUMMARY
from facetrack.measures.face_measures import has_measures
from facetrack.measures.files import RECORD_SUFFIX, SUFFIXES
from facetrack.measures.measured import measure_video
from facetrack.record import environment, write_record
from facetrack.tracks import Tracks
from facetrack.video.encoder import VideoEncoder
from facetrack.video.frame import Frame
from facetrack.video.reader import VideoInfo

EXAMPLE = "astronaut.mp4"
PAGE = "report.html"
_KINDS = ("csv", "overlay", "report", "comparison", "measures", "events")
"""Kinds of files whose content shows that facetrack wrote them."""


def example_clip() -> Path:
    """Return the path of the example clip, the default video of a comparison.

    It lies inside an installed package, or in `examples` of a checkout.

    Raises:
        FacetrackError: the installation has no example clip.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "_examples", package.parent / "examples"):
        if os.path.isfile(folder / EXAMPLE):
            return folder / EXAMPLE
    raise FacetrackError("The example clip is not part of this installation: name a video.")


def compare_to_files(
    video: Path,
    options: CompareOptions,
    folder: Path,
    draw: bool = True,
    report: bool = True,
    progress: Progress = lambda done, total: None,
    started: Started = lambda models: None,
    command: str = "",
    overwrite: bool = False,
    measures: bool = False,
    focal: float | None = None,
    point_confidence: bool = False,
) -> Comparison:
    """Compare methods, and write their tracks, `<stem>.compare.mp4` and `report.html`.

    All files appear together, or none.

    Args:
        video: a video file, a folder of images, or a series such as `frames/img_*.png`.
        options: the methods, and how to compare them.
        folder: the output folder.
        draw: write the side-by-side video.
        report: write the report.
        progress, started, command: see `facetrack.comparison.run.run`.
        overwrite: replace files that facetrack did not write, or that compare another video.
        measures: write the measures and events of each method's tracks.
        focal: focal length in pixels, for head poses and frontal coordinates; None for OpenFace's
            rule.
        point_confidence: write the confidence of each point into the tables of tracks.

    Returns:
        The comparison with the paths of all files.

    Raises:
        FacetrackError: bad input or an output that cannot be written, in one sentence.
    """
    video, folder = Path(video), Path(folder)
    overlay = f"{stem_of(video)}.compare.mp4"
    labels = {f"{i} + {t}": f"{i}-{t}" for i in options.inits for t in options.trackers}
    finals = [*storage.paths(folder, video, labels).values(), folder / overlay, folder / PAGE]
    inputs = {"video": video, "ground truth": options.ground_truth}
    refuse_inputs(finals, {kind: path for kind, path in inputs.items() if path is not None})
    if not overwrite:
        _refuse_foreign_files(folder, finals, video)
    with staged(folder) as place:
        measure = _measuring(place, focal) if measures else None
        comparison = _compare_into(
            *(place, video, options, overlay if draw else None, report),
            *(progress, started, command, measure),
            point_confidence=point_confidence,
            focal=focal,
        )
        finals = [folder / name for name in new_names(place) if name != SUMMARY]
        finals.append(folder / SUMMARY)
        if not overwrite:
            _refuse_foreign_files(folder, finals, video)  # another run may have ended meanwhile
        publish(place, finals)
    results = [replace(r, files=_moved(r.files, folder)) for r in comparison.results]
    return replace(comparison, results=results, files=_moved(comparison.files, folder))


def _compare_into(
    folder: Path,
    video: Path,
    options: CompareOptions,
    overlay: str | None,
    report: bool,
    progress: Progress,
    started: Started,
    command: str,
    measure: Callable[[Comparison], Comparison] | None,
    point_confidence: bool,
    focal: float | None,
) -> Comparison:
    """Compare methods and write the files into a staging folder; see `compare_to_files`.

    Args:
        overlay: name of the side-by-side video; None for no video.
        measure: writes the measures; None for no measures.
        point_confidence, focal: see `compare_to_files`.
    """
    encoders: list[VideoEncoder] = []
    with ExitStack() as stack:

        def opened(info: VideoInfo, labels: list[str]) -> Sink:
            if overlay is None:
                return null_sink
            grid = Grid(labels, (info.width, info.height))
            encoder = VideoEncoder(
                folder / overlay,
                grid.size,
                audio_from=video if info.has_audio else None,
                start_time=info.start_time,
                pixel_aspect=info.pixel_aspect,
                primaries=info.conversion.primaries,
                transfer=info.conversion.transfer,
            )
            encoders.append(stack.enter_context(encoder))
            return Drawing(grid, encoder)

        comparison = run(video, options, progress, started, opened, command)
    if focal is not None:
        comparison.options["focal"] = focal
    comparison.warnings.extend(warning for encoder in encoders for warning in encoder.warnings)
    if overlay is not None:
        comparison.files["overlay"] = folder / overlay
    if measure is not None:
        comparison = measure(comparison)
    if report:
        from facetrack.report import write_report

        began = time.perf_counter()
        comparison.warnings.extend(write_report(comparison, folder / PAGE, focal))
        comparison.files["report"] = folder / PAGE
        comparison.seconds["report"] = time.perf_counter() - began
    return storage.write(comparison, folder, point_confidence, focal)


def _measuring(folder: Path, focal: float | None) -> Callable[[Comparison], Comparison]:
    """Return a function that writes the measures of each method into a folder."""

    def measured(comparison: Comparison) -> Comparison:
        results = []
        for result in comparison.results:
            stem = f"{stem_of(comparison.video)}.{storage.file_label(result)}"
            if not has_measures(result.tracks.scheme):
                warning = f"The layout of {result.label} has no measures."
                results.append(replace(result, warnings=[*result.warnings, warning]))
                continue
            found = measure_video(result.tracks, focal)
            found.write(folder, stem)
            files = {kind: folder / f"{stem}{suffix}" for kind, suffix in SUFFIXES.items()}
            files["measures record"] = folder / f"{stem}{RECORD_SUFFIX}"
            write_record(files["measures record"], {**environment(), "measures": found.record()})
            results.append(replace(result, files={**result.files, **files}))
        return replace(comparison, results=results)

    return measured


def _refuse_foreign_files(folder: Path, finals: Sequence[Path], video: Path) -> None:
    """Refuse to replace files that do not belong to an earlier comparison on this video."""
    summary = folder / SUMMARY
    names: set[str] = set()
    if os.path.exists(summary):
        content = read_json(summary)
        if not isinstance(content, dict) or "comparison_format" not in content:
            raise foreign(summary)
        try:
            groups = [content["files"], *(result["files"] for result in content["results"])]
            names = {str(name) for group in groups for name in group.values()}
            recorded = {"path": str(content["video"]), **content["input"]}
        except (KeyError, TypeError, AttributeError):
            raise foreign(summary) from None
        refuse_other_input(recorded, video, summary)
    for path in finals:
        if path.name == SUMMARY or path.name in names or not os.path.lexists(path):
            continue
        if not any(has_mark(kind, path) for kind in _KINDS):
            raise foreign(path)


def _moved(files: dict[str, Path], folder: Path) -> dict[str, Path]:
    return {kind: folder / path.name for kind, path in files.items()}


class Drawing:
    """Draws each frame into the side-by-side video.

    Args:
        grid: arranges the methods' pictures.
        encoder: writes the video.
    """

    def __init__(self, grid: Grid, encoder: VideoEncoder) -> None:
        self._grid, self._encoder = grid, encoder

    def __call__(self, frames: list[Frame], tracks: dict[str, Tracks]) -> None:
        for i, frame in enumerate(frames):
            image = self._grid.picture(frame.image, tracks, i)
            self._encoder.write(image, frame.time, frame.duration)


def compare(
    video: str | Path | None = None,
    inits: Iterable[str] = (INIT,),
    trackers: Iterable[str] = ("tapir",),
    out: str | Path | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Comparison:
    """Compare initialisers and trackers on one video.

    Args:
        video: a video file, a folder or series of images; None: the example clip.
        inits: names of landmark detectors, e.g. "ert", "pipnet", "fan", "star"; ["all"] for all
            whose weights are there.
        trackers: names of point trackers, e.g. "tapir", "lk", "per-frame".
        out: output folder for the files of `facetrack compare`; None to write no files.
        overwrite: replace files there that belong to another video or another program.
        **options: other fields of `facetrack.comparison.options.CompareOptions`.

    Returns:
        The comparison, with a result for each detector with each tracker, in that order.

    Raises:
        FacetrackError: bad input, in one sentence.

    Example:
        >>> found = facetrack.compare(inits=["ert"], trackers=["lk", "tapir"])  # doctest: +SKIP
        >>> found.ranking  # doctest: +SKIP
        ['ert + tapir', 'ert + lk']
        >>> found.results[0].measures["jitter"]  # doctest: +SKIP
    """
    if isinstance(inits, str) or isinstance(trackers, str):
        raise TypeError("inits and trackers are lists of names: give a list, even of one")
    if options.get("ground_truth") is not None:
        options["ground_truth"] = Path(options["ground_truth"])
    chosen = CompareOptions(inits=tuple(inits), trackers=tuple(trackers), **options)
    path = example_clip() if video is None else Path(video)
    arguments = {"inits": list(chosen.inits), "trackers": list(chosen.trackers), **options}
    words = "".join(f", {name}={value!r}" for name, value in arguments.items())
    command = f"facetrack.compare({str(path)!r}{words})"
    if out is None:
        return run(path, chosen, command=command)
    return compare_to_files(path, chosen, Path(out), command=command, overwrite=overwrite)
