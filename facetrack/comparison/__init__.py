"""Several initialisers and trackers on one video, measured side by side."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facetrack.defaults import INIT

if TYPE_CHECKING:
    from facetrack.comparison.results import Comparison

__all__ = ["compare"]


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
        inits: landmark detectors that place the points, e.g. "ert", "pipnet", "fan", "star".
        trackers: point trackers that carry them: "tapir", "lk", "per-frame".
        out: folder for what `facetrack compare` writes; None: nothing is written.
        **options: other fields of `facetrack.comparison.options.CompareOptions`.

    Returns:
        The comparison: a result for every init with every tracker, in that order.

    Raises:
        FacetrackError: bad input, in one sentence.

    Example:
        >>> found = facetrack.compare(inits=["ert"], trackers=["lk", "tapir"])  # doctest: +SKIP
        >>> found.ranking  # doctest: +SKIP
        ['ert + tapir', 'ert + lk']
        >>> found.results[0].measures["jitter"]  # doctest: +SKIP
    """
    from facetrack.api.compare import compare_to_files, example_clip
    from facetrack.comparison.options import CompareOptions
    from facetrack.comparison.run import run

    if isinstance(inits, str) or isinstance(trackers, str):
        raise TypeError("inits and trackers are lists of names: give a list, even of one")
    if options.get("ground_truth") is not None:
        options["ground_truth"] = Path(options["ground_truth"])
    chosen = CompareOptions(inits=tuple(inits), trackers=tuple(trackers), **options)
    path = example_clip() if video is None else Path(video)
    said = {"inits": list(chosen.inits), "trackers": list(chosen.trackers), **options}
    words = "".join(f", {name}={value!r}" for name, value in said.items())
    command = f"facetrack.compare({str(path)!r}{words})"
    if out is None:
        return run(path, chosen, command=command)
    return compare_to_files(path, chosen, Path(out), command=command)
