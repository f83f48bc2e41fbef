"""Decide how the colours of a video become those of ordinary RGB pictures (BT.709).

HDR pictures (HLG and PQ) hold brightness far above white. Shown as ordinary pictures they are grey
and flat, so they are tone-mapped. Wide-gamut BT.2020 pictures are converted. ffmpeg itself respects
the range (limited or full) and the matrix (BT.601, BT.709, BT.2020) that a file states. Where none
is stated, the matrix follows from the size, as in players: BT.709 for HD, BT.601 for less.

The tone curve was chosen on rendered HLG and PQ versions of ordinary footage, with white at 100 and
at 203 cd/m2 (ITU-R BT.2408): the contrast in a face is 90 % or more of that of the original.
"""

from __future__ import annotations

import functools
import subprocess
from dataclasses import asdict, dataclass, replace
from typing import Any

from facetrack.video import ffmpeg

_UNKNOWN = {"unknown", "unspecified", "reserved", "N/A"}
_HDR_TRANSFERS = {"arib-std-b67": "HLG", "smpte2084": "PQ"}
_NOMINAL_WHITE = 100
"""Brightness in cd/m2 that becomes 1 before tone mapping."""
_TONE_MAP = "tonemap=mobius:param=0.4:peak=10:desat=2"
"""Linear up to 40 cd/m2; then compressed, so that 1000 cd/m2 becomes white."""
# zscale handles these; others, e.g. with odd sizes, fail.
_PLANAR = "format=yuv444p|yuv444p10le|yuv444p12le|yuv444p16le|gbrp|gbrp10le|gbrp12le|gbrp16le"
_ZSCALE_MATRICES = {
    *("gbr", "bt709", "fcc", "bt470bg", "smpte170m", "smpte240m", "ycgco", "bt2020nc", "bt2020c"),
    "ictcp",
}
_ZSCALE_TRANSFERS = {
    *("bt709", "bt470m", "bt470bg", "smpte170m", "smpte240m", "linear", "log100", "log316"),
    *("iec61966-2-4", "iec61966-2-1", "bt2020-10", "bt2020-12", "smpte2084", "arib-std-b67"),
}
_ZSCALE_PRIMARIES = {
    *("bt709", "bt470m", "bt470bg", "smpte170m", "smpte240m", "film", "bt2020", "smpte428"),
    *("smpte431", "smpte432"),
}
_HD_SIDES = (1280, 577)


@dataclass(frozen=True)
class Colour:
    """Colour properties of a frame, in ffmpeg's terms; None where the file does not state them.

    Attributes:
        pixels: the pixel format, e.g. "yuv420p10le".
        range: "tv" (limited) or "pc" (full).
        matrix: how red, green and blue were combined, e.g. "bt709".
        primaries: the gamut, e.g. "bt2020".
        transfer: the transfer characteristics, e.g. "smpte2084" (PQ).
    """

    pixels: str
    range: str | None = None
    matrix: str | None = None
    primaries: str | None = None
    transfer: str | None = None

    def stated(
        self,
        color_range: str = "unknown",
        color_space: str = "unknown",
        color_primaries: str = "unknown",
        color_trc: str = "unknown",
    ) -> Colour:
        """Return the colour with the properties that ffmpeg's log states."""
        properties = (color_range, color_space, color_primaries, color_trc)
        known = [None if name in _UNKNOWN else name for name in properties]
        return Colour(self.pixels, *known)

    @property
    def hdr(self) -> str | None:
        """Return "HLG" or "PQ" for high dynamic range, else None."""
        return _HDR_TRANSFERS.get(self.transfer or "")

    @property
    def is_wide(self) -> bool:
        """Return True for the gamut or a matrix of BT.2020."""
        return self.primaries == "bt2020" or self.matrix in ("bt2020nc", "bt2020c", "ictcp")

    @property
    def is_rgb(self) -> bool:
        """Return True if the pixels hold red, green and blue."""
        return any(name in self.pixels for name in ("rgb", "bgr", "gbr", "pal8"))

    @property
    def is_grey(self) -> bool:
        """Return True if the pixels hold brightness only."""
        return self.pixels.startswith(("gray", "mono", "ya"))


@dataclass(frozen=True)
class Conversion:
    """What is done with the colours.

    Attributes:
        filters: ffmpeg's filters; "" for none.
        description: what they do, for the record.
        primaries, transfer: those of the pictures afterwards, in ffmpeg's terms.
    """

    filters: str
    description: str
    primaries: str = "bt709"
    transfer: str = "bt709"


def is_hd(size: tuple[int, int]) -> bool:
    """Return True if players take pictures of this size without a stated matrix for BT.709."""
    return max(size) >= _HD_SIDES[0] or min(size) >= _HD_SIDES[1]


@functools.lru_cache(maxsize=64)
def conversion(colour: Colour, hd: bool) -> Conversion:
    """Return what is to be done with frames of this colour.

    Args:
        colour: the frames' colour.
        hd: True if the video's size is that of HD (`is_hd`).
    """
    if colour.hdr or colour.is_wide:
        source = f"{colour.hdr}, BT.2020" if colour.hdr else "BT.2020"
        if not has_zscale():
            return Conversion(
                "",
                f"none: {source} needs an ffmpeg with the filters zscale and tonemap",
                *_labels(colour),
            )
        if colour.hdr:
            return Conversion(_tone_mapping(colour), f"tone-mapped from {source} to BT.709")
        return Conversion(_gamut_mapping(colour), f"converted from {source} to BT.709")
    labels = _labels(colour)
    if colour.matrix is None and not (colour.is_rgb or colour.is_grey):
        if hd:
            return Conversion("setparams=colorspace=bt709", "none: read as BT.709", *labels)
        return Conversion("", "none: read as BT.601", *labels)
    return Conversion("", "none", *labels)


def describe(colour: Colour, hd: bool) -> dict[str, Any]:
    """Return the record's entry for the colour of a video and what was done with it."""
    properties = asdict(colour)
    return {**properties, "hdr": colour.hdr, "conversion": conversion(colour, hd).description}


def _tone_mapping(colour: Colour) -> str:
    linear = f"zscale=t=linear:npl={_NOMINAL_WHITE}:p=bt709,format=gbrpf32le"
    return f"{_complete(colour)},{_PLANAR},{linear},{_TONE_MAP},{_TO_RGB}"


def _gamut_mapping(colour: Colour) -> str:
    return f"{_complete(colour)},{_PLANAR},{_TO_RGB}"


_TO_RGB = "zscale=p=bt709:t=bt709:m=gbr:r=pc,format=gbrp"


def _complete(colour: Colour) -> str:
    """Return a filter that states what the frames do not, since zscale needs all of it."""
    known = replace(
        colour,
        range=_among({"tv", "pc"}, colour.range, "pc" if colour.is_rgb else "tv"),
        matrix="gbr" if colour.is_rgb else _among(_ZSCALE_MATRICES, colour.matrix, "bt2020nc"),
        primaries=_among(_ZSCALE_PRIMARIES, colour.primaries, "bt2020"),
        transfer=_among(_ZSCALE_TRANSFERS, colour.transfer, "bt709"),
    )
    return (
        f"setparams=range={known.range}:colorspace={known.matrix}"
        f":color_primaries={known.primaries}:color_trc={known.transfer}"
    )


def _labels(colour: Colour) -> tuple[str, str]:
    """Return the primaries and the transfer to tag unconverted pictures with."""
    primaries = colour.primaries or ("bt2020" if colour.is_wide else "bt709")
    # ffmpeg's options have other names for the old gamma curves.
    transfers = _ZSCALE_TRANSFERS - {"bt470m", "bt470bg"}
    return (
        _among(_ZSCALE_PRIMARIES, primaries, "bt709"),
        _among(transfers, colour.transfer, "bt709"),
    )


def _among(names: set[str], name: str | None, default: str) -> str:
    return name if name in names else default


@functools.cache
def has_zscale() -> bool:
    """Return True if ffmpeg has the filters for tone mapping."""
    text = subprocess.run(
        [ffmpeg.executable(), "-hide_banner", "-filters"],
        capture_output=True,
        text=True,
        errors="replace",
        env=ffmpeg.environment(),
    ).stdout
    return all(f" {name} " in text for name in ("zscale", "tonemap"))
