"""Note what changes within a video, and say so in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from facetrack.video.colour import Colour
from facetrack.video.picture import Canvas, PictureFormat, Preparation
from facetrack.video.showinfo import Stamp
from facetrack.video.timeline import Fault, Timeline

if TYPE_CHECKING:
    from facetrack.video.probe import VideoInfo

_MAX_KEPT = 1000
_MAX_NAMED_FAULTS = 3


@dataclass(frozen=True)
class Shape:
    """Size and pixel aspect of the frames from frame `index` on."""

    index: int
    size: tuple[int, int]
    pixel_aspect: Fraction

    def is_same(self, other: Shape) -> bool:
        """Return True if frames of one shape look right in the other."""
        return Canvas(self.size, self.pixel_aspect).fits(other.size, other.pixel_aspect)

    def describe(self, with_aspect: bool) -> str:
        """Return the size, and the pixel aspect if it is wanted."""
        aspect = self.pixel_aspect
        pixels = f" with pixels of {aspect.numerator}:{aspect.denominator}" if with_aspect else ""
        return f"{self.size[0]}x{self.size[1]}{pixels}"


class Changes:
    """What changes within a video: note each frame, in order."""

    def __init__(self) -> None:
        self._shapes: list[Shape] = []
        self._last: Shape | None = None
        self._colours: list[tuple[int, Colour]] = []
        self._deinterlaced: int | None = None
        self._single_fields: int | None = None

    def note(
        self, index: int, stamp: Stamp, picture: PictureFormat, preparation: Preparation
    ) -> None:
        """Note the next frame.

        Args:
            index, stamp: the frame.
            picture: the format of the video.
            preparation: how the frame is prepared.
        """
        shape = Shape(index, stamp.size, stamp.pixel_aspect)
        if self._last is None:
            self._last = Shape(0, picture.size, picture.pixel_aspect)
            self._shapes = [self._last]
        if not shape.is_same(self._last):
            self._last = shape
            if len(self._shapes) < _MAX_KEPT:
                self._shapes.append(shape)
        if not self._colours or (
            len(self._colours) == 1 and _kind(stamp.colour) != _kind(self._colours[0][1])
        ):
            self._colours.append((index, stamp.colour))
        if self._deinterlaced is None and preparation.deinterlace:
            self._deinterlaced = index
        if self._single_fields is None and picture.is_single_field(stamp):
            self._single_fields = index

    def is_deinterlaced(self, last: int) -> bool:
        """Return True if a frame up to `last` was deinterlaced."""
        return self._deinterlaced is not None and self._deinterlaced <= last

    def warnings(self, path: Path, last: int) -> list[str]:
        """Return sentences about the frames up to frame `last` of the video `path`."""
        sentences = []
        shapes = [shape for shape in self._shapes if shape.index <= last]
        if len(shapes) > 1:
            sentences.append(_shape_warning(path, shapes))
        if len(self._colours) > 1 and self._colours[1][0] <= last:
            before, after = (_kind(colour) for _, colour in self._colours)
            sentences.append(
                f"The colours of {path} change at frame {self._colours[1][0]}, from {before} to "
                f"{after}; each frame is converted as its own colours need."
            )
        if self.is_deinterlaced(last):
            start = f" from frame {self._deinterlaced} on" if self._deinterlaced else ""
            sentences.append(
                f"{path} is interlaced{start}: each frame was deinterlaced, so that moving edges "
                "are not torn; the frames keep their numbers and times."
            )
        if self._single_fields is not None and self._single_fields <= last:
            sentences.append(
                f"{path} is interlaced: each of its frames is a single field of half the height."
            )
        return sentences


def _kind(colour: Colour) -> str:
    return colour.hdr or ("BT.2020" if colour.is_wide else "ordinary colours")


def _shape_warning(path: Path, shapes: list[Shape]) -> str:
    first, second = shapes[:2]
    aspect = first.pixel_aspect != second.pixel_aspect
    more = len(shapes) - 2
    often = f", and {more} more time{'s' if more > 1 else ''} later" if more else ""
    return (
        f"The picture of {path} changes at frame {second.index}, from {first.describe(aspect)} to "
        f"{second.describe(aspect)}{often}: frames of another size or shape are fitted into "
        f"{first.describe(False)} without distortion, between black bars, and their points are in "
        "the pixels of that size."
    )


def time_warnings(info: VideoInfo, timeline: Timeline, start: float | None, last: int) -> list[str]:
    """Return sentences about times that were repaired, or that are before zero.

    Args:
        info: the video.
        timeline: the times of its frames.
        start: time of frame 0; None if unknown.
        last: index of the last frame that counts.
    """
    sentences, path = [], info.path
    faults = [fault for fault in timeline.faults if fault.index <= last]
    if faults:
        # Only the first faults are kept, so the number of all is right if all frames were read.
        hidden = timeline.num_faults - len(timeline.faults) if len(faults) == _MAX_KEPT else 0
        named = "; ".join(map(_describe_fault, faults[:_MAX_NAMED_FAULTS]))
        more = len(faults) + hidden - _MAX_NAMED_FAULTS
        others = f"; and so at {more} more frames" if more > 0 else ""
        sentences.append(
            f"The times in {path} do not rise from frame to frame and were repaired: "
            f"{named}{others}."
        )
    unread = info.unread_start
    if unread is not None:
        sentences.append(
            f"The times in {path} begin before zero, where ffmpeg does not read them: those before "
            f"frame {unread.frames} (at {unread.time:.3f} s) were counted back from it, from "
            f"{unread.time_of(0):.3f} s on."
        )
    elif start is not None and start < 0:
        sentences.append(
            f"The times in {path} begin before zero: frame 0 is at {start:.3f} s. They are kept."
        )
    return sentences


def _describe_fault(fault: Fault) -> str:
    after = "" if fault.previous is None else f" after {fault.previous:.3f} s"
    said = f"frame {fault.index} is said to be at {fault.stated:.3f} s{after}"
    if fault.restart:
        return f"{said}, where the clock starts again, so the later times are moved on"
    return f"{said}, so its time was estimated"
