"""Define what exporters read and how they are called, and list the exporters."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.measures.face_measures import has_measures
from facetrack.measures.measured import Measured, measure_video
from facetrack.measures.pose import Camera
from facetrack.tracks import Tracks

MAX_DEVIATION = 1.5e-3
"""Largest deviation from a constant rate, in seconds, that the clock of a container explains:
Matroska rounds times to milliseconds."""
DEFAULT_RATE = 25.0
"""Frames per second of a video of one frame, whose rate is not known."""


@dataclass(frozen=True)
class Clock:
    """The times of the frames in the terms of programs that count frames.

    Attributes:
        rate: frames per second of the video; with varying steps, that of the median step.
        frames: (T,) float64, number of each row's frame at this rate. Whole numbers, from that of
            the first row on, where the rate is constant but for lost frames; else `time * rate`,
            between two whole numbers if need be.
        is_constant: True if all times are those of a constant rate, and no frame is lost.
    """

    rate: float
    frames: np.ndarray
    is_constant: bool

    @classmethod
    def of(cls, tracks: Tracks) -> Clock:
        """Return the clock of tracks."""
        time, frames = tracks.time, tracks.frames.astype(float)
        if len(time) < 2:
            return cls(DEFAULT_RATE, frames, True)
        steps = np.diff(time)
        usual = float(np.median(steps))
        # Lost frames leave gaps of whole steps.
        numbers = np.concatenate([[0], np.cumsum(np.maximum(np.rint(steps / usual), 1))])
        rate = _fitted_rate(time, numbers)
        if rate is None:
            rate = tracks.stride / usual
            return cls(rate, time * rate, False)
        is_constant = bool(numbers[-1] == len(time) - 1)
        return cls(rate * tracks.stride, frames[0] + numbers * tracks.stride, is_constant)


def _fitted_rate(time: np.ndarray, numbers: np.ndarray) -> float | None:
    """Return the rate at which frames (T,) have times (T,); None if no constant rate has them.

    A whole rate, or 1000/1001 of one as in television, is preferred: times are often rounded.
    """

    def deviation(rate: float) -> float:
        off = time - numbers / rate
        return float(np.ptp(off)) / 2

    rate = 1 / float(np.polyfit(numbers, time, 1)[0])
    usual = [round(rate), round(rate * 1.001) / 1.001]
    near = min((value for value in usual if value), key=deviation, default=rate)
    return next((value for value in (near, rate) if deviation(value) <= MAX_DEVIATION), None)


@dataclass(frozen=True)
class Source:
    """The results of a run, from which files are made.

    Attributes:
        tracks: of the whole video; its times rise.
        stem: stem of the output files.
        video: path of the video; "" if not recorded.
        focal: focal length in pixels, for head poses; None for OpenFace's rule.
        settings: the format's own options, by name.

    Raises:
        FacetrackError: the times do not rise from frame to frame.
    """

    tracks: Tracks
    stem: str
    video: str = ""
    focal: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.tracks):
            raise FacetrackError(f"The run {self.stem} holds no frames.")
        if not (np.diff(self.tracks.time) > 0).all():
            raise FacetrackError(
                f"The times of {self.stem} do not rise from frame to frame: correct the column "
                "timestamp."
            )

    @cached_property
    def clock(self) -> Clock:
        """The clock of the frames."""
        return Clock.of(self.tracks)

    @cached_property
    def measured(self) -> Measured:
        """Measures and events of all faces.

        Raises:
            FacetrackError: the layout has no measures.
        """
        return measure_video(self.tracks, self.focal)

    @property
    def has_poses(self) -> bool:
        """True if the layout has head poses, and the frames' size is known."""
        return has_measures(self.tracks.scheme) and min(self.tracks.size) > 0

    @property
    def camera(self) -> Camera:
        """The camera of the head poses; without poses that of OpenFace's rule."""
        if self.has_poses and self.measured.faces:
            return Camera.of_frame(self.tracks.size, self.measured.faces[0].focal)
        return Camera.of_frame(self.tracks.size, self.focal)

    @property
    def end(self) -> float:
        """Time in seconds at which the last frame ends."""
        time = self.tracks.time
        step = float(np.median(np.diff(time))) if len(time) > 1 else 1 / self.clock.rate
        return float(time[-1]) + step

    def face_name(self, index: int) -> str:
        """Return the name of a face, such as "face_0", by its index in the tracks."""
        return f"face_{int(self.tracks.face_id[index])}"


Write = Callable[[Path, Source], "list[str]"]
"""Writes the files of a source into a folder; returns sentences about what a format cannot hold."""


class Exporter(NamedTuple):
    """A format for another program.

    Attributes:
        module: module with the function `write`, imported on first use.
        title: what is written, for the help.
        conventions: units, axes and times, for the record.
    """

    module: str
    title: str
    conventions: str

    def write(self, folder: Path, source: Source) -> list[str]:
        """Write the files of a source into a folder; see `Write`."""
        write: Write = importlib.import_module(self.module).write
        return write(folder, source)


_PIXELS = "pixels from the centre of the top-left pixel, x to the right, y down"
_SECONDS = "times in seconds from the video's container"

EXPORTERS: dict[str, Exporter] = {
    "movement": Exporter(
        "facetrack.exports.movement",
        "movement's poses dataset, a netCDF file: points, confidence, visibility",
        f"{_PIXELS}; {_SECONDS}",
    ),
    "blender": Exporter(
        "facetrack.exports.blender",
        "a Python script for Blender: empties with keyframes, and the camera",
        "metres; the camera at the origin looks along +Y, +Z is up; keyframes at the frames' true "
        "times, scene frame 1 is time 0",
    ),
    "aftereffects": Exporter(
        "facetrack.exports.aftereffects",
        "keyframe data for After Effects, to paste: trackers of all points",
        "pixels from the top-left corner of the picture, x to the right, y down; keyframes at the "
        "frames' true times, frame 0 is time 0",
    ),
    "gltf": Exporter(
        "facetrack.exports.gltf",
        "glTF (.glb): the person's face, animated by the head pose, and the camera",
        f"metres; the camera at the origin looks along -Z, +Y is up; {_SECONDS}",
    ),
    "bvh": Exporter(
        "facetrack.exports.bvh",
        "BVH: the head pose of each face, at a constant rate",
        "centimetres and degrees; +X to the right of the image, +Y up, +Z to the camera, which is "
        "at the origin; rotations Rx @ Ry @ Rz; resampled to a constant rate from the first frame",
    ),
    "elan": Exporter(
        "facetrack.exports.elan",
        "ELAN (.eaf): tiers of blinks and other events",
        "times in milliseconds from the video's container",
    ),
    "praat": Exporter(
        "facetrack.exports.praat",
        "a Praat TextGrid: tiers of blinks and other events",
        _SECONDS,
    ),
    "bids": Exporter(
        "facetrack.exports.bids",
        "a BIDS dataset of motion: points and head pose, channels, events",
        f"points in {_PIXELS}; head poses in mm and radians on OpenFace's axes (x to the right of "
        "the image, y down, z away from the camera; Rx @ Ry @ Rz); channel latency: seconds from "
        "the first frame",
    ),
    "webvtt": Exporter(
        "facetrack.exports.webvtt",
        "WebVTT subtitles of blinks and other events",
        _SECONDS,
    ),
}
