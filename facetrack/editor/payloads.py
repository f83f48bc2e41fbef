"""What a page and the program say to each other."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from facetrack.api.editing import Correction, Doubt, EditSession, PointEdit
from facetrack.errors import FacetrackError
from facetrack.tracks import Tracks

UNKNOWN, HIDDEN, VISIBLE, CORRECTED = 0, 1, 2, 4
"""States of a point; CORRECTED is added to one of the others."""


def describe_session(session: EditSession) -> dict[str, Any]:
    """Return what does not change while a session is open."""
    scheme, frames = session.scheme, session.frames
    return {
        "video": session.video.name,
        "stem": session.stem,
        "corrections_file": str(session.corrections_path),
        "size": list(session.size),
        "count": len(frames),
        "first_frame": int(frames[0]) if len(frames) else 0,
        "stride": int(frames[1] - frames[0]) if len(frames) > 1 else 1,
        "times": [round(float(time), 4) for time in session.times],
        "scheme": scheme.name,
        "points": scheme.count,
        "regions": {name: list(points) for name, points in scheme.regions.items()},
        "lines": [
            [*line.indices, *(line.indices[:1] if line.closed else ())] for line in scheme.lines
        ],
        "events": [
            {name: event.get(name) for name in ("frame", "face_id", "reason")}
            for event in session.events
            if isinstance(event.get("frame"), int)
        ],
    }


def describe_correction(correction: Correction) -> dict[str, Any]:
    """Return a correction for the list on the page."""
    return {
        "frame": correction.frame,
        "face": correction.face,
        "point": correction.point,
        "x": correction.x,
        "hidden": correction.hidden,
        "who": correction.who,
    }


def describe_doubt(doubt: Doubt) -> dict[str, Any]:
    """Return a doubtful frame for the list on the page."""
    return {
        "frame": doubt.frame,
        "face": doubt.face,
        "doubt": doubt.doubt,
        "reasons": [
            {"text": r.text, "doubt": r.doubt, "points": list(r.points)} for r in doubt.reasons
        ],
    }


def pack_tracks(tracks: Tracks, revision: int) -> bytes:
    """Return tracks as bytes, little-endian.

    uint32 length of the header; the header, JSON, padded to a multiple of 4; then xy (T, F, N, 2)
    float32, states (T, F, N) uint8, and confidence (T, F, N) uint8 from 0 to 255.

    Args:
        tracks: the tracks.
        revision: number of the last change that they have.
    """
    states = np.where(np.isfinite(tracks.xy).all(-1), HIDDEN, UNKNOWN).astype(np.uint8)
    states[tracks.visible] = VISIBLE
    if tracks.corrected is not None:
        states[tracks.corrected] |= CORRECTED
    confidence = np.clip(np.nan_to_num(tracks.confidence) * 255, 0, 255).astype(np.uint8)
    header = json.dumps(
        {
            "first": tracks.first_frame,
            "rows": len(tracks),
            "faces": [int(face) for face in tracks.face_id],
            "points": tracks.xy.shape[2],
            "revision": revision,
        }
    ).encode()
    header += b" " * (-len(header) % 4)
    xy = np.ascontiguousarray(tracks.xy, "<f4")
    return b"".join(
        [
            struct.pack("<I", len(header)),
            header,
            xy.tobytes(),
            states.tobytes(),
            confidence.tobytes(),
        ]
    )


# ---------------------------------------------------------------- from the page


def whole(message: Mapping[str, Any], name: str) -> int:
    """Return a whole number from 0 on.

    Raises:
        FacetrackError: there is none.
    """
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**9:
        raise FacetrackError(f"The page sent no whole number as {name}.")
    return value


def point_edits(message: Mapping[str, Any]) -> list[PointEdit]:
    """Return the points of a message.

    Raises:
        FacetrackError: they are malformed, or there are none.
    """
    entries = message.get("points", [])
    if not isinstance(entries, list) or not entries:
        raise FacetrackError("The page sent no points.")
    found = []
    for entry in entries:
        if not isinstance(entry, Mapping):
            raise FacetrackError("The page sent a malformed point.")
        x, y = entry.get("x"), entry.get("y")
        for value in (x, y):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise FacetrackError("The page sent a point without a place.")
            # Not by `isfinite`, which fails at whole numbers beyond the range of floats.
            if not abs(value) <= sys.float_info.max:
                raise FacetrackError("The page sent a point without a place.")
        assert x is not None
        assert y is not None
        found.append(PointEdit(whole(entry, "point"), x, y, entry.get("hidden") is True))
    return found
