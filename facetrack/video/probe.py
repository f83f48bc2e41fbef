"""Read the properties of a video from its header and its first frames."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from facetrack.errors import FacetrackError
from facetrack.video import ffmpeg
from facetrack.video.animations import is_animation
from facetrack.video.avif import FIRST_VIDEO, video_stream
from facetrack.video.clock import UnreadStart, unread_start
from facetrack.video.colour import Colour, Conversion, conversion, describe, is_hd
from facetrack.video.decoder import first_frames
from facetrack.video.display_matrix import read_display_matrix
from facetrack.video.image_names import IMAGE_SUFFIXES, is_series_path
from facetrack.video.image_source import first_readable, open_images
from facetrack.video.picture import PictureFormat
from facetrack.video.showinfo import Stamp
from facetrack.video.timeline import Mark, Timeline

IMAGE_FPS = 25.0
"""Frames per second assumed for images that have no times of their own."""


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video, from its header and first frame.

    Attributes:
        path: the file, or the folder or series of images.
        width, height: size in pixels, as displayed (rotation applied).
        rotation: clockwise degrees that turn the stored frames upright; 0 if they are only
            mirrored.
        fps: average frame rate from the header, for information only, since every frame has its own
            time; None if unknown.
        start_time: start of the container's clock in seconds, as reported by ffmpeg, else the time
            of the first frame.
        has_audio: True if there is an audio track.
        audio_codec: ffmpeg's name of the audio codec, e.g. "aac"; None without audio.
        duration: duration of the longest stream in seconds, from the header; None if unknown.
        codec: ffmpeg's name of the video codec; "images" for image files.
        is_images: True for images that OpenCV reads: a folder, a series, a file.
        pixel_aspect: width / height of a pixel as displayed; frames are not rescaled.
        single_stream: True if the file has no streams except this video stream.
        colour: the colour properties of the first frame; None for images.
        picture: how frames are prepared; None for images.
        dolby_vision: profile and compatibility, e.g. "8.4"; None without Dolby Vision.
        unread_start: the first frames, if ffmpeg does not read their times; else None.
    """

    path: Path
    width: int
    height: int
    rotation: int
    fps: Fraction | None
    start_time: float
    has_audio: bool
    audio_codec: str | None
    duration: float | None
    codec: str
    is_images: bool
    pixel_aspect: Fraction = Fraction(1)
    single_stream: bool = True
    colour: Colour | None = None
    picture: PictureFormat | None = None
    dolby_vision: str | None = None
    unread_start: UnreadStart | None = None

    @property
    def is_deinterlaced(self) -> bool:
        """Return True if the video begins with interlaced frames, which are deinterlaced."""
        return self.picture is not None and self.picture.first.deinterlace

    def describe_colour(self) -> dict[str, Any] | None:
        """Return the record's entry for the colours; None for images."""
        if self.colour is None:
            return None
        described = describe(self.colour, is_hd((self.width, self.height)))
        return {**described, "dolby_vision": self.dolby_vision}

    @property
    def conversion(self) -> Conversion:
        """Return what is done with the colours."""
        if self.colour is None:
            return Conversion("", "none")
        return conversion(self.colour, is_hd((self.width, self.height)))


def probe(path: str | Path, *, image_fps: float = IMAGE_FPS) -> VideoInfo:
    """Read the properties of a video file, an image or a folder of images from its first frame.

    Args:
        path: the file, folder, or path of a series (`facetrack.video.image_names`).
        image_fps: frames per second of images without times of their own.

    Raises:
        FacetrackError: `path` is missing, unreadable, not a video or without video frames, or its
            first frame cannot be decoded.
    """
    path = Path(path)
    if _is_images(path):
        return _probe_images(path, image_fps)
    try:
        stamps, header = first_frames(path)
    except FacetrackError:
        # Older versions of ffmpeg do not decode animated WebP.
        if is_animation(path) and path.suffix.lower() == ".webp":
            return _probe_images(path, image_fps)
        raise
    codec, details = header.video or ("unknown", "")
    stamp, stream = stamps[0], video_stream(path)
    # That of the first stream, which is a still image if another holds the frames.
    fps = parse_header_rate(details) if stream == FIRST_VIDEO else None
    step = float(1 / fps) if fps else None
    unread = unread_start(path, stream, header.container, details, stamp.time, step)
    return VideoInfo(
        path=path,
        width=stamp.size[0],
        height=stamp.size[1],
        rotation=_rotation(path, stream, header.rotation),
        fps=fps,
        start_time=_start_time(stamps, header.start, unread),
        has_audio=header.audio is not None,
        audio_codec=header.audio,
        duration=header.duration,
        codec=codec,
        is_images=False,
        pixel_aspect=stamp.pixel_aspect,
        single_stream=header.streams <= 1,
        colour=stamp.colour,
        dolby_vision=header.dolby_vision,
        picture=PictureFormat.of(stamps, header.container, codec, ffmpeg.field_order(details)),
        unread_start=unread,
    )


def colour_warnings(info: VideoInfo) -> list[str]:
    """Return sentences about colours that cannot be shown as they are meant."""
    if info.dolby_vision is not None and info.dolby_vision.startswith("5."):
        return [
            f"The colours of {info.path} are wrong: it is Dolby Vision of profile 5, which only "
            "its own decoder shows correctly; export it as HDR10, HLG or SDR."
        ]
    colour = info.colour
    if colour is not None and (colour.hdr or colour.is_wide) and not info.conversion.filters:
        return [
            f"The colours of {info.path} stay as they are, and look pale: this ffmpeg lacks the "
            "filters zscale and tonemap."
        ]
    return []


def _start_time(stamps: list[Stamp], announced: float | None, unread: UnreadStart | None) -> float:
    """Return the start of the clock: the header's, unless the first frame's time is wrong."""
    first = None if unread is None else unread.time_of(0)
    if first is not None:
        return first if announced is None else min(first, announced)
    timeline = Timeline()
    marks = (Mark(i, stamp.time, stamp.duration) for i, stamp in enumerate(stamps))
    moments = [moment for mark in marks for moment in timeline.push(mark)]
    moments += timeline.close()
    if announced is None or not moments[0].is_original:
        return moments[0].time
    return announced


def _rotation(path: Path, stream: str, stated: int) -> int:
    """Return the rotation: that of the header, which takes left to right for half a turn."""
    if stated == 180 and read_display_matrix(path, stream).is_mirrored:
        return 0
    return stated


def _probe_images(path: Path, image_fps: float) -> VideoInfo:
    images = open_images(path)
    height, width = first_readable(images).shape[:2]
    rate = None if images.times else Fraction(image_fps).limit_denominator(100_000)
    duration = images.times[-1] if images.times else float(len(images) / (rate or 1))
    return VideoInfo(
        path, width, height, 0, rate, 0.0, False, None, duration, images.codec, is_images=True
    )


def _is_images(path: Path) -> bool:
    # Not Path.is_dir, which raises if the name is too long.
    if os.path.isdir(path) or is_series_path(path):
        return True
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_animation(path)


def parse_header_rate(text: str) -> Fraction | None:
    """Parse the frame rate, with at most two decimals, from a stream's line of the header."""
    match = re.search(r", ([\d.]+)(k?) fps", text)
    if not match:
        return None
    rate = Fraction(match[1]) * (1000 if match[2] else 1)
    whole = round(rate)
    if rate != whole and abs(Fraction(whole * 1000, 1001) - rate) <= Fraction(1, 200):
        return Fraction(whole * 1000, 1001)
    return rate or None
