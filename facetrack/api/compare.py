"""Compare methods on one video: `facetrack.compare`, and the files of `facetrack compare`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from facetrack.callbacks import Progress
from facetrack.comparison import storage
from facetrack.comparison.grid import Grid
from facetrack.comparison.options import CompareOptions
from facetrack.comparison.passes import Sink
from facetrack.comparison.results import Comparison
from facetrack.comparison.run import Started, null_sink, run
from facetrack.defaults import INIT
from facetrack.errors import FacetrackError
from facetrack.files import check_output_folder, stem_of
from facetrack.tracks import Tracks
from facetrack.video.encoder import VideoEncoder
from facetrack.video.frame import Frame
from facetrack.video.reader import VideoInfo

EXAMPLE = "astronaut.mp4"


def example_clip() -> Path:
    """Return the path of the example clip, the default video of a comparison.

    It lies inside an installed package, or in `examples` of a checkout.

    Raises:
        FacetrackError: the installation has no example clip.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "_examples", package.parent / "examples"):
        if (folder / EXAMPLE).is_file():
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
) -> Comparison:
    """Compare methods, and write their tracks, `<stem>.compare.mp4` and `report.html`.

    Args:
        video: a video file or a folder of images.
        options: the methods, and how to compare them.
        folder: the output folder.
        draw: write the side-by-side video.
        report: write the report.
        progress, started, command: see `facetrack.comparison.run.run`.

    Returns:
        The comparison with the paths of all files.

    Raises:
        FacetrackError: bad input or an output that cannot be written, in one sentence.
    """
    video, folder = Path(video), Path(folder)
    overlay = folder / f"{stem_of(video)}.compare.mp4"
    page = folder / "report.html"
    labels = {f"{i} + {t}": f"{i}-{t}" for i in options.inits for t in options.trackers}
    final = [*storage.paths(folder, video, labels).values(), overlay, page]
    inputs = [p for p in (video, options.ground_truth) if p is not None and p.exists()]
    for path in final:
        if path.exists() and any(path.samefile(source) for source in inputs):
            raise FacetrackError(f"{path} is the input itself: choose another --out folder.")
    check_output_folder(folder)
    encoders: list[VideoEncoder] = []
    with ExitStack() as stack:
        # The video gets its final name when the stack closes, so only after everything worked.

        def opened(info: VideoInfo, labels: list[str]) -> Sink:
            if not draw:
                return null_sink
            grid = Grid(labels, (info.width, info.height))
            encoder = VideoEncoder(
                overlay,
                grid.size,
                audio_from=video if info.has_audio else None,
                start_time=info.start_time,
                pixel_aspect=info.pixel_aspect,
            )
            encoders.append(stack.enter_context(encoder))
            return Drawing(grid, encoder)

        comparison = run(video, options, progress, started, opened, command)
    comparison.warnings.extend(warning for encoder in encoders for warning in encoder.warnings)
    comparison.files.update({"overlay": overlay} if draw else {})
    if report:
        from facetrack.report import write_report

        began = time.perf_counter()
        comparison.warnings.extend(write_report(comparison, page))
        comparison.files["report"] = page
        comparison.seconds["report"] = time.perf_counter() - began
    return storage.write(comparison, folder)


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
    **options: Any,
) -> Comparison:
    """Compare initialisers and trackers on one video.

    Args:
        video: a video file or a folder of images; None: the example clip.
        inits: names of landmark detectors, e.g. "ert", "pipnet", "fan", "star".
        trackers: names of point trackers, e.g. "tapir", "lk", "per-frame".
        out: output folder for the files of `facetrack compare`; None to write no files.
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
    return compare_to_files(path, chosen, Path(out), command=command)
