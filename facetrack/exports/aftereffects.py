"""Write keyframe data for After Effects: text to copy and to paste onto a layer.

The format is the text that After Effects itself puts on the clipboard for copied keyframes. Numbers
of frames may have decimals there, so keyframes lie at the true times of the frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.exports.base import Source
from facetrack.files import atomic_path

SUFFIX = ".ae.txt"
ORIGIN_OFFSET = 0.5
"""After Effects counts pixels from the corner of the picture, not from the first pixel's centre."""


def write(folder: Path, source: Source) -> list[str]:
    """Write the keyframe data; see `facetrack.exports.base.Write`.

    By default `<stem>.ae.txt` holds one tracker per face with a track point per landmark, to paste
    onto the video's layer. With the setting `points` there is one file per face and point,
    `<stem>.face_0.point_30.ae.txt`, with keyframes of a layer's position, e.g. of a null object.

    Raises:
        FacetrackError: the frames' size is not known, or there is no such point.
    """
    tracks = source.tracks
    if min(tracks.size) < 1:
        raise FacetrackError("After Effects needs the size of the frames, which is not known.")
    points = source.settings.get("points")
    if points is None:
        _write(folder / f"{source.stem}{SUFFIX}", source, _trackers(source))
        return []
    count = tracks.xy.shape[2]
    wrong = [point for point in points if not 0 <= point < count]
    if wrong:
        raise FacetrackError(f"There is no point {wrong[0]}; the points are 0 to {count - 1}.")
    warnings = []
    frames = _frames(source)
    for face in range(len(tracks.face_id)):
        for point in points:
            name = f"{source.face_name(face)}.point_{point}"
            rows = _rows_of(source, frames, face, point, depth="\t0")
            if not rows:
                warnings.append(f"{name} is known in no frame, so it has no file.")
                continue
            block = ["Transform\tPosition", "\tFrame\tX pixels\tY pixels\tZ pixels\t", *rows]
            _write(folder / f"{source.stem}.{name}{SUFFIX}", source, [*block, ""])
    return warnings


def _write(path: Path, source: Source, lines: list[str] | Iterator[str]) -> None:
    width, height = source.tracks.size
    with (
        atomic_path(path) as temporary,
        open(temporary, "w", encoding="ascii", newline="\r\n") as file,
    ):
        file.write(
            "Adobe After Effects 8.0 Keyframe Data\n\n"
            f"\tUnits Per Second\t{source.clock.rate:.6g}\n"
            f"\tSource Width\t{width}\n\tSource Height\t{height}\n"
            "\tSource Pixel Aspect Ratio\t1\n\tComp Pixel Aspect Ratio\t1\n\n"
        )
        for line in lines:
            file.write(f"{line}\n")
        file.write("\nEnd of Keyframe Data\n")


def _trackers(source: Source) -> Iterator[str]:
    """Yield the lines of one tracker per face, with a track point per landmark."""
    tracks = source.tracks
    frames = _frames(source)
    for face in range(len(tracks.face_id)):
        for point in range(tracks.xy.shape[2]):
            rows = _rows_of(source, frames, face, point)
            if not rows:
                continue
            start = f"Motion Trackers\tTracker #{face + 1}\tTrack Point #{point + 1}"
            confidence = 100.0 * tracks.confidence[:, face, point]
            yield from (f"{start}\tConfidence", "\tFrame\tpercent\t")
            yield from (f"\t{f}\t{c:.4g}\t" for f, c in zip(frames, confidence, strict=True))
            for name in ("Feature Center", "Attach Point"):
                yield from ("", f"{start}\t{name}", "\tFrame\tX pixels\tY pixels\t", *rows)
            yield ""


def _rows_of(
    source: Source, frames: list[str], face: int, point: int, depth: str = ""
) -> list[str]:
    """Return a line per frame in which the point is known.

    Args:
        source: of the tracks.
        frames: numbers of all frames, as `_frames` returns them.
        face, point: indices.
        depth: what follows x and y.
    """
    places = source.tracks.xy[:, face, point].astype(float) + ORIGIN_OFFSET
    return [
        f"\t{frames[row]}\t{places[row, 0]:.3f}\t{places[row, 1]:.3f}{depth}\t"
        for row in np.flatnonzero(np.isfinite(places).all(1)).tolist()
    ]


def _frames(source: Source) -> list[str]:
    """Return the numbers of all frames (T,) as text."""
    return [f"{frame:.4f}".rstrip("0").rstrip(".") for frame in source.clock.frames.tolist()]
