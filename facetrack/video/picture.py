"""Prepare decoded frames: deinterlace them, convert their colours, keep one size and shape.

ffmpeg deinterlaces and converts (`Preparation`). `Canvas` fits frames of another size or pixel
aspect into that of the first frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import cv2
import numpy as np

from facetrack.video import colour, showinfo
from facetrack.video.showinfo import Stamp

_DEINTERLACE = "bwdif=mode=send_frame:parity=auto:deint=interlaced"
"""One frame for each frame. Frames that are not interlaced pass unchanged."""
_MARKING_CODECS = {
    *("cavs", "dnxhd", "dvvideo", "ffv1", "h264", "mpeg1video", "mpeg2video", "mpeg4", "prores"),
    *("rawvideo", "v210", "vc1", "wmv3"),
}
"""Codecs whose decoder tells which frames are interlaced; otherwise the container does."""
_FIELD_CODECS = {"hevc"}
"""Codecs whose decoder returns single fields as frames of half the height."""
_SHAPE_TOLERANCE = 0.01
"""Relative difference of pixel aspects that is taken for rounding."""


@dataclass(frozen=True)
class Preparation:
    """Filters between the decoder and RGB.

    Attributes:
        deinterlace: compute whole frames from the fields of interlaced frames.
        fields: "tff" or "bff" if all frames are interlaced although the decoder does not say so.
        colour: filters that convert the colours; "" for those that ffmpeg adds by itself.
    """

    deinterlace: bool = False
    fields: str = ""
    colour: str = ""

    def filters(self, select: str = "", turn: str = "", held: int | None = None) -> str:
        """Return ffmpeg's filters, with `showinfo` among them.

        Args:
            select: expression that selects the frames to convert; "" for all.
            turn: filters that turn the frames upright; "" if they are.
            held: index of the only frame to convert, with the frame before it. The deinterlacer,
                which waits for a later frame, gets it twice. None: convert all.
        """
        # showinfo comes after the deinterlacer, which loses a frame where the frame size changes.
        filters = [f"setfield={self.fields}"] if self.fields else []
        if held is not None:
            filters += [rf"select=between(n\,{held - 1}\,{held})"]
            filters += [f"loop=loop=1:size=1:start={min(held, 1) + 1}"]  # counts from 1
        filters += [_DEINTERLACE] if self.deinterlace else []
        filters += [turn] if turn else []
        filters += [showinfo.FILTER]
        filters += [f"select={select}"] if select else []
        return ",".join(filters + ([self.colour] if self.colour else []))

    def covers(self, needed: Preparation) -> bool:
        """Return True if frames that need the other preparation may get this one."""
        return self.colour == needed.colour and (self.deinterlace or not needed.deinterlace)

    def changed_to(self, needed: Preparation) -> Preparation:
        """Return a preparation that covers the other one and goes on deinterlacing."""
        if self.deinterlace:
            return replace(self, colour=needed.colour)
        return needed


@dataclass(frozen=True)
class PictureFormat:
    """Properties of a video that determine how its frames are prepared.

    Attributes:
        size: (width, height) of the first frame.
        pixel_aspect: width / height of its pixels.
        first: the preparation of the first frame.
        container, codec: ffmpeg's names of the file's format and of the codec.
        field_order: that of the header: "tff" or "bff"; "" for frames that are not interlaced.
    """

    size: tuple[int, int]
    pixel_aspect: Fraction = Fraction(1)
    first: Preparation = Preparation()
    container: str = ""
    codec: str = ""
    field_order: str = ""

    @classmethod
    def of(cls, stamps: list[Stamp], container: str, codec: str, field_order: str) -> PictureFormat:
        """Return the format of a video from its first frames and its header."""
        stamp = stamps[0]
        picture = cls(
            stamp.size,
            stamp.pixel_aspect,
            container=container,
            codec=codec.lower(),
            field_order=field_order,
        )
        first = picture.preparation(stamp)
        if any(picture.preparation(s).deinterlace for s in stamps):
            first = replace(first, deinterlace=True)
        return replace(picture, first=first)

    def preparation(self, stamp: Stamp) -> Preparation:
        """Return the preparation that a frame needs."""
        filters = colour.conversion(stamp.colour, colour.is_hd(self.size)).filters
        if stamp.interlaced:
            return Preparation(deinterlace=self.codec not in _FIELD_CODECS, colour=filters)
        fields = "" if self.codec in _MARKING_CODECS else self.field_order
        return Preparation(bool(fields), fields, filters)

    def is_single_field(self, stamp: Stamp) -> bool:
        """Return True if the frame is one field of an interlaced video."""
        return stamp.interlaced and self.codec in _FIELD_CODECS


class Canvas:
    """Fits frames into the size of the first frame without distortion.

    Coordinates in the fitted frame are pixels of the first frame's size and pixel aspect. The rest
    of the frame is black.

    Args:
        size: (width, height) of the first frame.
        pixel_aspect: width / height of its pixels.
    """

    def __init__(self, size: tuple[int, int], pixel_aspect: Fraction) -> None:
        self.size = size
        self._pixel_aspect = pixel_aspect

    def fits(self, size: tuple[int, int], pixel_aspect: Fraction) -> bool:
        """Return True if such a frame stays as it is."""
        difference = abs(float(pixel_aspect / self._pixel_aspect) - 1)
        return size == self.size and difference <= _SHAPE_TOLERANCE

    def fit(self, image: np.ndarray, pixel_aspect: Fraction) -> np.ndarray:
        """Return the image (H, W, 3) uint8 in the canvas' size.

        Args:
            image: (H, W, 3) uint8 RGB.
            pixel_aspect: width / height of its pixels.
        """
        height, width = image.shape[:2]
        if self.fits((width, height), pixel_aspect):
            return image
        stretch = float(pixel_aspect / self._pixel_aspect)
        scale = min(self.size[0] / (width * stretch), self.size[1] / height)
        inner = (
            min(self.size[0], max(1, round(width * stretch * scale))),
            min(self.size[1], max(1, round(height * scale))),
        )
        smaller = inner[0] < width and inner[1] < height
        method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        fitted = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        left, top = (self.size[0] - inner[0]) // 2, (self.size[1] - inner[1]) // 2
        fitted[top : top + inner[1], left : left + inner[0]] = cv2.resize(
            image, inner, interpolation=method
        )
        return fitted
