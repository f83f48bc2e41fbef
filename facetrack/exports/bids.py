"""Write a BIDS dataset of motion (BIDS 1.9 and later).

https://bids-specification.readthedocs.io/en/stable/modality-specific-files/motion.html
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.exports.base import Source
from facetrack.exports.tiers import SIDES, label_of
from facetrack.files import atomic_path
from facetrack.measures.face_measures import POSE
from facetrack.version import __version__

SUFFIX = "_bids"
BIDS_VERSION = "1.10.0"
MISSING = "n/a"
POINT_PREFIX = "point_"
_LABEL = re.compile(r"[0-9A-Za-z]+")
_COLUMNS = ("name", "component", "type", "tracked_point", "units", "reference_frame", "description")
_CAMERA = "camera"
_IMAGE = "image"


class Channel(NamedTuple):
    """A column of the motion file: its description, values (T,) and decimals."""

    name: str
    component: str
    type: str
    tracked_point: str
    units: str
    reference_frame: str
    description: str
    values: np.ndarray
    decimals: int

    def cells(self) -> list[str]:
        """Return the cells of the column; unknown values are n/a."""
        return [
            f"{value + 0.0:.{self.decimals}f}" if np.isfinite(value) else MISSING
            for value in self.values.astype(float).round(self.decimals).tolist()
        ]


def write(folder: Path, source: Source) -> list[str]:
    """Write the folder `<stem>_bids`, a whole dataset; see `facetrack.exports.base.Write`.

    Settings: `subject`, `session` and `task`, labels of letters and digits.
    """
    subject = _label(source, "subject") or re.sub("[^0-9A-Za-z]", "", source.stem) or "01"
    session, task = _label(source, "session"), _label(source, "task") or "face"
    inside = f"ses-{session}/" if session else ""
    root = folder / f"{source.stem}{SUFFIX}"
    place = root / f"sub-{subject}" / inside / "motion"
    place.mkdir(parents=True)
    start = "_".join([f"sub-{subject}", *([f"ses-{session}"] if session else []), f"task-{task}"])
    motion = f"{start}_tracksys-facetrack"
    channels = list(_channels(source))
    _write_table(
        place / f"{motion}_channels.tsv",
        [_COLUMNS, *([*map(str, channel[: len(_COLUMNS)])] for channel in channels)],
    )
    _write_table(
        place / f"{motion}_motion.tsv",
        zip(*(channel.cells() for channel in channels), strict=True),
    )
    _write_json(place / f"{motion}_motion.json", _sidecar(source, channels, task))
    _write_json(place / f"{motion}_channels.json", _reference_frames(source))
    if source.has_poses:
        _write_table(place / f"{motion}_events.tsv", _events(source))
        _write_json(place / f"{motion}_events.json", _EVENT_COLUMNS)
    _write_json(
        root / "dataset_description.json",
        {
            "Name": f"facetrack {source.stem}",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "raw",
            "GeneratedBy": [{"Name": "facetrack", "Version": __version__}],
        },
    )
    _write_text(root / "README", _readme(source))
    _write_table(root / "participants.tsv", [["participant_id"], [f"sub-{subject}"]])
    return []


def _label(source: Source, name: str) -> str | None:
    value = source.settings.get(name)
    if value is not None and not _LABEL.fullmatch(value):
        raise FacetrackError(f"--{name} takes letters and digits, not '{value}'.")
    return None if value is None else str(value)


def _channels(source: Source) -> Iterable[Channel]:
    tracks = source.tracks
    yield Channel(
        *("latency", MISSING, "LATENCY", MISSING, "s", MISSING),
        "time of the frame since the first",
        tracks.time - tracks.time[0],
        6,
    )
    for index in range(len(tracks.face_id)):
        face = source.face_name(index)
        if source.has_poses:
            measures = source.measured.faces[index]
            for name in POSE:
                is_place, axis = name[5] == "T", name[6]
                yield Channel(
                    *(f"{face}_{name}", axis, "POS" if is_place else "ORNT", f"{face}_head"),
                    *("mm" if is_place else "rad", _CAMERA),
                    "head pose",
                    measures.values[name],
                    3 if is_place else 6,
                )
        for point in range(tracks.xy.shape[2]):
            name = f"{face}_{POINT_PREFIX}{point}"
            for number, letter in enumerate("xy"):
                yield Channel(
                    *(f"{name}_{letter}", letter, "POS", name, "px", _IMAGE),
                    "landmark",
                    tracks.xy[:, index, point, number],
                    3,
                )
            yield Channel(
                *(f"{name}_confidence", MISSING, "MISC", name, MISSING, MISSING),
                "confidence of the tracker, 0 to 1",
                tracks.confidence[:, index, point],
                3,
            )
            yield Channel(
                *(f"{name}_visible", MISSING, "MISC", name, MISSING, MISSING),
                "1 where the landmark is visible, 0 where hidden or unknown",
                tracks.visible[:, index, point],
                0,
            )


def _sidecar(source: Source, channels: Sequence[Channel], task: str) -> dict[str, Any]:
    tracks = source.tracks
    counts: dict[str, int] = defaultdict(int)
    for channel in channels:
        counts[channel.type] += 1
    rate = source.clock.rate / tracks.stride
    duration = source.end - float(tracks.time[0])
    return {
        "TaskName": task,
        "TaskDescription": "Facial landmarks and head pose, tracked in a video.",
        "SamplingFrequency": round(rate, 6),
        "SamplingFrequencyEffective": round(len(tracks) / duration, 6),
        "TrackingSystemName": "facetrack",
        "SoftwareVersions": __version__,
        "RecordingDuration": round(duration, 6),
        "RecordingType": "continuous",
        "MissingValues": MISSING,
        "MotionChannelCount": len(channels),
        "TrackedPointsCount": len({c.tracked_point for c in channels} - {MISSING}),
        **{f"{kind}ChannelCount": count for kind, count in sorted(counts.items())},
    }


def _reference_frames(source: Source) -> dict[str, Any]:
    width, height = source.tracks.size
    image = {
        "SpatialAxes": "RI_",
        "Description": "pixels of the picture as it is displayed; the origin is the centre of the "
        f"top-left pixel, x points to the right, y down; the picture has {width} x {height} pixels",
    }
    camera = {
        "SpatialAxes": "RIA",
        "RotationOrder": "XYZ",
        "RotationRule": "right-hand",
        "Description": "axes of the camera, at the origin: x to the right of the picture, y down, "
        "z away from the camera; the rotation matrix of a head is Rx @ Ry @ Rz, and the identity "
        "for a face towards the camera",
    }
    levels = {_IMAGE: image, **({_CAMERA: camera} if source.has_poses else {})}
    return {"reference_frame": {"Description": "axes of the channel", "Levels": levels}}


_EVENT_COLUMNS = {
    "trial_type": {
        "Description": "kind of event",
        "Levels": {
            "blink": "both eyes, or the only one that is seen, close and open",
            "partial blink": "a blink in which the eye was not shut",
            "wink": "one eye closes while the other stays open",
            "partial wink": "a wink in which the eye was not shut",
            "closure": "the lids are down by half or more for over 0.5 s",
            "partial closure": "a closure in which the eye was not shut",
            "mouth opening": "the mouth opens and closes within 1 s",
        },
    },
    "face": {"Description": "the face"},
    "part": {"Description": "right eye, left eye or mouth; the subject's own right and left"},
    "peak": {"Description": "time of the peak since the first frame", "Units": "s"},
    "depth": {
        "Description": "share of the eye's opening that is lost at the peak; of the mouth the "
        "opening in % of the inter-ocular distance"
    },
}


def _events(source: Source) -> Iterable[Sequence[str]]:
    yield "onset", "duration", *_EVENT_COLUMNS
    start = float(source.tracks.time[0])
    for event in sorted(source.measured.events, key=lambda event: (event.start, event.side)):
        yield (
            f"{event.start - start + 0.0:.6f}",
            f"{event.duration:.6f}",
            label_of(event),
            f"face_{event.face_id}",
            SIDES[event.side],
            f"{event.peak - start + 0.0:.6f}",
            f"{event.depth:.4f}",
        )


def _readme(source: Source) -> str:
    return (
        f"Facial landmarks of {source.stem}, tracked in a video by facetrack {__version__}.\n\n"
        "Each row of the motion file is a frame. Its first channel, latency, has the true time of "
        "the\nframe in seconds since the first frame, because the frame rate of a video may vary. "
        "The first\nframe is at "
        f"{float(source.tracks.time[0]):.6f} s in the video. Unknown values are n/a.\n"
    )


def _write_table(path: Path, rows: Iterable[Sequence[str]]) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as f:
        for row in rows:
            f.write("\t".join(row) + "\n")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    _write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
