"""The keywords of `facetrack.track`, `stream`, `detect` and `pose`: options without nesting."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np

from facetrack.detectors import DetectorOptions
from facetrack.errors import FacetrackError
from facetrack.images.pipeline import ImageOptions
from facetrack.pipeline.options import Options
from facetrack.suggestions import did_you_mean
from facetrack.trackers.base import TrackerOptions
from facetrack.video.live_reader import LiveOptions
from facetrack.video.span import parse_rate, parse_time

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class TrackKeywords(TypedDict, total=False):
    """Keywords of `facetrack.track` and `facetrack.stream`, as on the command line.

    Attributes:
        init: landmark detector: "ert", "pipnet", "fan", "star", "heatmap1d", "star+fan",
            "cascade", "cfan", "dan", "dcnn", "fifa", "mdm", "san" or "points".
        tracker: point tracker: "tapir", "lk", "per-frame" or "heatmap1d".
        device: of the networks: "auto", "cpu", "cuda", "cuda:1", "mps".
        faces: how many to track: a number, "largest" (1) or "all".
        points: your own points: an array (N, 2) of pixels, or a file; `init` may be left out.
        start, end: the part to track, in seconds or as text ("1:30").
        query_frame: frame on which the landmarks are placed; of a list, the tracks are blended.
        corrections: file of corrections by hand.
        stride: every Nth frame is tracked.
        fps: frames a second of arrays, iterables and images.
        face_detector: "auto", "hog", "cnn", "mtcnn", "yunet", "sfd" or "haar"; "mtcnn=FILE" for
            weights of your own.
        redetect: "auto", "never", or every so many frames.
        expressions: correct eyes, brows, mouth and chin with small networks.
        steady: smooth TAPIR's points by optical flow.
        follow_face: track in a window around the face.
        scheme: layout of the landmarks.
        detector_weights, tracker_weights: names or files.
        flip: average with the mirrored image.
        causal, softmax_temperature: of an official TAPIR checkpoint.
        precision: "auto", "float32" or "bfloat16".
        detector_options, tracker_options: all options of a part; single keywords override them.
        seconds, max_frames: end of a live source.
        drop, retries, timeout: of a live source; see `facetrack.video.live_reader.LiveOptions`.
        camera_size, camera_rate: of a camera, e.g. "1280x720" and 30.
    """

    init: str
    tracker: str
    device: str
    faces: int | Literal["largest", "all"] | None
    points: str | os.PathLike[str] | ArrayLike | None
    start: float | str | None
    end: float | str | None
    query_frame: int | Sequence[int] | None
    corrections: str | os.PathLike[str] | None
    stride: int
    fps: float | str | None
    face_detector: str
    redetect: int | str
    expressions: bool
    steady: bool
    follow_face: bool
    scheme: str | None
    detector_weights: str
    tracker_weights: str
    flip: bool
    causal: bool | None
    softmax_temperature: float | None
    precision: str
    detector_options: DetectorOptions
    tracker_options: TrackerOptions
    seconds: float | None
    max_frames: int | None
    drop: bool | None
    retries: int
    timeout: float
    camera_size: str | None
    camera_rate: float | None


class DetectKeywords(TypedDict, total=False):
    """Keywords of `facetrack.detect`, as on the command line.

    Attributes:
        init: landmark detector: "ert", "pipnet", "fan", "star", "heatmap1d", "star+fan",
            "cascade", "cfan", "dan", "dcnn", "fifa", "mdm" or "san".
        device: of the network: "auto", "cpu", "cuda", "cuda:1", "mps".
        faces: "largest" or "all".
        face_detector: "auto", "hog", "cnn", "mtcnn", "yunet", "sfd" or "haar"; "mtcnn=FILE" for
            weights of your own.
        box: (x0, y0, x1, y1) of the face of a single image.
        scheme: layout of the landmarks.
        detector_weights: a name or a file.
        flip: average with the mirrored image.
        precision: "auto", "float32" or "bfloat16".
        detector_options: all options of the detector; single keywords override them.
    """

    init: str
    device: str
    faces: Literal["largest", "all"]
    face_detector: str
    box: tuple[float, float, float, float] | None
    scheme: str | None
    detector_weights: str
    flip: bool
    precision: str
    detector_options: DetectorOptions


class PoseKeywords(TypedDict, total=False):
    """Keywords of `facetrack.pose`, as on the command line.

    Attributes:
        method: "landmarks" or "network".
        init: landmark detector of the method "landmarks".
        detector_weights: its weights, a name or a file.
        pose_weights: of the method "network", a name or a file.
        device: of the networks: "auto", "cpu", "cuda", "cuda:1", "mps".
        faces: "largest" or "all".
        face_detector: "auto", "hog", "cnn", "mtcnn", "yunet", "sfd" or "haar".
        focal: focal length in pixels; None for OpenFace's rule.
    """

    method: Literal["landmarks", "network"]
    init: str
    detector_weights: str | os.PathLike[str]
    pose_weights: str | os.PathLike[str]
    device: str
    faces: Literal["largest", "all"]
    face_detector: str
    focal: float | None


_NUMBER, _TEXT = (int, float, np.integer, np.floating), (str,)
_PATH = (str, os.PathLike)
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "int": ((int, np.integer), "a whole number"),
    "float": (_NUMBER, "a number"),
    "bool": ((bool, np.bool_), "True or False"),
    "str": (_TEXT, "text"),
    "time": ((*_NUMBER, *_TEXT), "seconds, or text such as '1:30'"),
    "count": ((int, np.integer, *_TEXT), "a whole number or a name"),
    "path": (_PATH, "text or a path"),
    "frames": ((int, np.integer, list, tuple), "a whole number, or several"),
}
"""Kind of a value -> its types, and their name in a sentence."""
_TYPES = {
    "query_frame": "frames",
    "corrections": "path",
    "stride": "int",
    "max_frames": "int",
    "retries": "int",
    "softmax_temperature": "float",
    "seconds": "float",
    "timeout": "float",
    "camera_rate": "float",
    "faces": "count",
    "redetect": "count",
    "start": "time",
    "end": "time",
    "fps": "time",
    "focal": "float",
    "method": "str",
    **dict.fromkeys(("detector_weights", "tracker_weights", "pose_weights"), "path"),
    **dict.fromkeys(("expressions", "steady", "follow_face", "flip", "causal", "drop"), "bool"),
    **dict.fromkeys(("init", "tracker", "device", "face_detector", "scheme", "precision"), "str"),
    "camera_size": "str",
}
"""Keyword -> kind of its value."""
_LIVE = {"max_frames": "max_frames", "seconds": "max_seconds"}
_LIVE |= {"drop": "drop", "retries": "retries", "timeout": "timeout"}
CAMERA = ("camera_size", "camera_rate")


def check_keywords(function: str, keywords: Mapping[str, Any], known: type) -> None:
    """Check names and types of keywords.

    Args:
        function: name of the function, for the sentence.
        keywords: what was given.
        known: TypedDict of the keywords.

    Raises:
        TypeError: a keyword is unknown, or its value has another type.
    """
    names = list(known.__annotations__)
    for name, value in keywords.items():
        if name not in names:
            hint = did_you_mean(name, names) or f"; the keywords are {', '.join(names)}."
            raise TypeError(f"{function}() has no keyword {name!r}{hint}")
        # Annotations are not evaluated: that would import what they name.
        hint = getattr(known.__annotations__[name], "__forward_arg__", "")
        if name not in _TYPES or (value is None and "None" in hint):
            continue
        kind = _TYPES[name]
        types, shown = _KINDS[kind]
        is_flag = isinstance(value, bool | np.bool_)
        if not isinstance(value, types) or (is_flag and kind != "bool"):
            raise TypeError(f"{name} must be {shown}, not {value!r} ({type(value).__name__}).")


@contextmanager
def tracking_options(keywords: Mapping[str, Any]) -> Iterator[Options]:
    """Yield the options of a run for keywords that `check_keywords` has passed.

    Points in an array are in a temporary file until the context ends.

    Raises:
        FacetrackError: a value is out of range.
    """
    values = {k: v for k, v in keywords.items() if k not in _LIVE and k not in CAMERA}
    detector = _part(values, "detector_options", DetectorOptions, "detector_weights", ("flip",))
    own = ("causal", "softmax_temperature", "follow_face", "steady")
    tracker = _part(values, "tracker_options", TrackerOptions, "tracker_weights", own)
    for name in ("device", "precision"):
        values.pop(name, None)
    for name in ("start", "end"):
        if isinstance(values.get(name), str):
            values[name] = parse_time(values[name])
    if isinstance(values.get("fps"), str):
        values["fps"] = parse_rate(values["fps"])
    if "faces" in values:
        values["faces"] = _faces(values["faces"])
    redetect = values.get("redetect")
    if isinstance(redetect, str) and redetect.isdecimal():
        values["redetect"] = int(redetect)
    if isinstance(values.get("query_frame"), list | tuple):
        frames: list[int | None] = list(values["query_frame"])
        for frame in frames:
            if not isinstance(frame, int | np.integer) or isinstance(frame, bool):
                raise TypeError(f"query_frame must be numbers of frames, not {frame!r}.")
        values["query_frame"], *further = frames or [None]
        values["further_query_frames"] = tuple(further)
    if values.get("corrections") is not None:
        values["corrections"] = Path(values["corrections"])
    points = values.pop("points", None)
    with TemporaryDirectory(prefix="facetrack-") as folder:
        if points is not None:
            values["points"] = _points_file(points, Path(folder))
            values.setdefault("init", "points")
        yield Options(**values, detector_options=detector, tracker_options=tracker)


def live_options(keywords: Mapping[str, Any]) -> LiveOptions:
    """Return how to read a live source.

    Raises:
        FacetrackError: a value is out of range.
    """
    values = {_LIVE[name]: value for name, value in keywords.items() if name in _LIVE}
    return LiveOptions(**values, stride=keywords.get("stride", 1))


def refuse_live_keywords(keywords: Mapping[str, Any]) -> None:
    """Refuse keywords that only live sources have.

    Raises:
        TypeError: one was given.
    """
    for name in (*_LIVE, *CAMERA):
        if keywords.get(name) is not None:
            raise TypeError(f"{name} is for cameras, addresses and pipes, not for this source.")


def image_options(keywords: Mapping[str, Any]) -> ImageOptions:
    """Return the options of `facetrack.detect` for keywords that `check_keywords` has passed.

    Raises:
        FacetrackError: a value is out of range.
    """
    values = dict(keywords)
    detector = _part(values, "detector_options", DetectorOptions, "detector_weights", ("flip",))
    for name in ("device", "precision"):
        values.pop(name, None)
    return ImageOptions(**values, detector_options=detector)


def _part(
    values: dict[str, Any], name: str, kind: type[Any], weights: str, own: tuple[str, ...]
) -> Any:
    """Take the keywords of a part out of `values`; return its options."""
    options = values.pop(name, None)
    options = kind() if options is None else options
    if not isinstance(options, kind):
        raise TypeError(f"{name} must be facetrack.{kind.__name__}, not {type(options).__name__}.")
    found = {key: values.pop(key) for key in own if key in values}
    found |= {key: values[key] for key in ("device", "precision") if key in values}
    if weights in values:
        found["weights"] = os.fspath(values.pop(weights))
    return dataclasses.replace(options, **found)


def _faces(faces: int | str | None) -> int | None:
    if faces is None or faces == "all":
        return None
    if faces == "largest":
        return 1
    if isinstance(faces, str) and not faces.isdecimal():
        raise FacetrackError(f"faces must be a number, 'largest' or 'all', not {faces!r}.")
    return int(faces)


def _points_file(points: Any, folder: Path) -> Path:
    """Return the file of the user's own points; an array is written to one."""
    if isinstance(points, str | os.PathLike):
        return Path(points)
    try:
        xy = np.asarray(points, np.float64)
    except (TypeError, ValueError):
        xy = np.zeros(0)
    if xy.ndim != 2 or xy.shape[1] != 2 or not len(xy):
        raise FacetrackError(
            f"points must be a file, or an array (N, 2) of x, y in pixels, not {xy.shape}."
        )
    if not np.isfinite(xy).all():
        raise FacetrackError("points must have finite positions: leave unknown points out.")
    path = folder / "points.csv"
    path.write_text("x,y\n" + "".join(f"{x!r},{y!r}\n" for x, y in xy.tolist()))
    return path
