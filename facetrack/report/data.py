"""The data for the page's scripts: tracks and curves, in a bounded number of bytes."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from facetrack.comparison.measures import face_size
from facetrack.comparison.results import Comparison, Result
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.landmarks.schemes import Scheme
from facetrack.report import signals

POINT_BUDGET = 16_000_000
"""Maximum bytes of points before base64. Above it the page has only every nth frame."""
_BYTES_PER_POINT = 9
VIEWS = {
    "face": ((), 1.5),
    "eyes": (("right_eye", "left_eye"), 1.7),
    "mouth": (("outer_lips", "mouth"), 1.9),
}
"""Views that follow a part of the face: regions (none for all points), and the side of the view in
multiples of the region's longer side."""


def stride_of(comparison: Comparison, budget: int = POINT_BUDGET) -> int:
    """Return the number of frames per row of the page such that all points fit the budget."""
    points = sum(math.prod(r.tracks.visible.shape) for r in comparison.results)
    if comparison.truth is not None:
        points += math.prod(comparison.truth.shape[:2])
    return max(1, math.ceil(points * _BYTES_PER_POINT / budget))


def page_data(comparison: Comparison, stride: int) -> dict[str, Any]:
    """Return all data of the page except the images.

    Arrays are base64 of little-endian numbers, NaN if unknown. Rows are every `stride`-th frame.
    Keys: `time` float64 (R,); `views` float32 (R, 3) each, see `signals.view`; `truth` with `xy`,
    or null; `schemes`; and `methods`, each with `xy` float32 (R, N, 2), `state` uint8 (R, N): 0
    unknown, 1 hidden, 2 visible; `series` float32 (R,); `spectrum`; and `map`, the indices of the
    page's points among the method's points, or null if the layouts do not match.
    """
    first = comparison.results[0].tracks
    page_scheme = schemes.get(first.scheme)
    used = {r.tracks.scheme: schemes.get(r.tracks.scheme) for r in comparison.results}
    unit = "% of the inter-ocular distance" if all(s.eye_corners for s in used.values()) else "px"
    return {
        "frames": len(first),
        "first": first.first_frame,
        "stride": stride * first.stride,
        "size": list(first.size),
        "time": _encoded(first.time[::stride], "<f8"),
        "scheme": page_scheme.name,
        "schemes": {name: _layout(scheme) for name, scheme in used.items()},
        "views": _views(comparison.results, stride),
        "truth": _truth(comparison.truth, page_scheme, stride),
        "spectrumUnit": unit,
        "methods": [_method(r, page_scheme, unit, stride) for r in comparison.results],
    }


def _method(result: Result, page_scheme: Scheme, unit: str, stride: int) -> dict[str, Any]:
    tracks, scheme = result.tracks, schemes.get(result.tracks.scheme)
    xy, visible = tracks.xy[:, 0], tracks.visible[:, 0]
    scale = 1.0
    if unit != "px":
        size = face_size(xy, scheme)
        known = size[np.isfinite(size)]
        scale = float(np.median(known)) / 100 if len(known) else 0.0
    found = signals.spectrum(xy, visible, tracks.time, scale)
    curves = {
        **result.series,
        "head": signals.head_size(xy),
        "eyes": signals.eye_aspect_ratio(xy, scheme),
        "mouth": signals.mouth_opening(xy, scheme),
    }
    query = result.about.get("query")
    return {
        "label": result.label,
        "init": result.init,
        "tracker": result.tracker,
        "scheme": scheme.name,
        "map": _map(scheme, page_scheme),
        "query": query.get("frame") if isinstance(query, dict) else None,
        "xy": _encoded(xy[::stride], "<f4"),
        "state": _encoded(
            np.isfinite(xy).all(-1).astype(np.uint8)[::stride] + visible[::stride], "u1"
        ),
        "series": {
            name: _encoded(values[::stride], "<f4")
            for name, values in curves.items()
            if values is not None and np.isfinite(values).any()
        },
        "spectrum": None
        if found is None
        else {"hz": _encoded(found[0], "<f4"), "value": _encoded(found[1], "<f4")},
    }


def _truth(truth: np.ndarray | None, page_scheme: Scheme, stride: int) -> dict[str, Any] | None:
    if truth is None:
        return None
    scheme = schemes.for_count(truth.shape[1])
    return {"map": _map(scheme, page_scheme), "xy": _encoded(truth[::stride], "<f4")}


def _map(scheme: Scheme, page_scheme: Scheme) -> list[int] | None:
    try:
        return list(schemes.index_map(scheme.name, page_scheme.name))
    except FacetrackError:
        return None


def _layout(scheme: Scheme) -> dict[str, Any]:
    return {
        "title": scheme.title,
        "count": scheme.count,
        "regions": {name: list(index) for name, index in scheme.regions.items()},
        "lines": [
            list(line.indices) + ([line.indices[0]] if line.closed else []) for line in scheme.lines
        ],
    }


def _views(results: Sequence[Result], stride: int) -> dict[str, str]:
    """Return the views of parts of the face, in each frame by the first method that has it."""
    views = {}
    for name, (regions, margin) in VIEWS.items():
        box: np.ndarray | None = None
        for result in results:
            scheme = schemes.get(result.tracks.scheme)
            index = [i for region in regions for i in scheme.regions.get(region, ())]
            if regions and not index:
                continue
            xy = result.tracks.xy[:, 0]
            found = signals.boxes(xy[:, index] if regions else xy)
            box = found if box is None else np.where(np.isfinite(box), box, found)
        square = None if box is None else signals.view(box, results[0].tracks.time, margin)
        if square is not None:
            views[name] = _encoded(square[::stride], "<f4")
    return views


def _encoded(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, kind).tobytes()).decode("ascii")
