"""The data for the page's scripts: tracks and curves, in a bounded number of bytes."""

from __future__ import annotations

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
from facetrack.report.packing import pack, pack_bytes, pack_times

POINT_BUDGET = 16_000_000
"""Maximum bytes of points. Above it the page has only every nth frame."""
_BYTES_PER_POINT = 3
"""Usual bytes of a point and its state, packed."""
POINT_STEP = 1 / 8
"""Distance of the positions that are kept, in pixels."""
MIN_SEEN_SHARE = 0.25
"""Share of a face's points that must be visible; below it the face is lost, and not drawn."""
VIEWS = {
    "face": ((), 1.5),
    "eyes": (("right_eye", "left_eye"), 1.7),
    "mouth": (("outer_lips", "mouth"), 1.9),
}
"""Views that follow a part of the face: regions (none for all points), and the side of the view in
multiples of the region's longer side."""
UNKNOWN, HIDDEN, VISIBLE = 0, 1, 2
"""States of a point."""


def stride_of(comparison: Comparison, budget: int = POINT_BUDGET) -> int:
    """Return the number of frames per row of the page such that all points fit the budget."""
    points = sum(math.prod(r.tracks.visible.shape) for r in comparison.results)
    if comparison.truth is not None:
        points += math.prod(comparison.truth.shape[:2])
    return max(1, math.ceil(points * _BYTES_PER_POINT / budget))


def page_data(comparison: Comparison, stride: int) -> dict[str, Any]:
    """Return all data of the page except the pictures and the measures of faces.

    Arrays are packed (`facetrack.report.packing`), NaN if unknown. Rows are every `stride`-th
    frame. Keys: `start` and `time` (R,); `truth` with `xy`, or null; `schemes`; and `methods`, each
    with `xy` (R, N, 2), `state` (R, N): UNKNOWN, HIDDEN or VISIBLE; `lost` (R,): 1 where the face
    is lost; `views` (R, 3) each, see `signals.view`; `series` (R,); `spectrum`; and `map`, the
    indices of the page's points among the method's points, or null if the layouts do not match.
    """
    first = comparison.results[0].tracks
    page_scheme = schemes.get(first.scheme)
    used = {r.tracks.scheme: schemes.get(r.tracks.scheme) for r in comparison.results}
    unit = "% of the inter-ocular distance" if all(s.eye_corners for s in used.values()) else "px"
    time = first.time[::stride]
    return {
        "frames": len(first),
        "first": first.first_frame,
        "stride": stride * first.stride,
        "size": list(first.size),
        "start": float(time[0]),
        "time": pack_times(time),
        "scheme": page_scheme.name,
        "schemes": {name: _layout(scheme) for name, scheme in used.items()},
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
    state = np.isfinite(xy).all(-1).astype(np.uint8) + visible
    return {
        "label": result.label,
        "init": result.init,
        "tracker": result.tracker,
        "scheme": scheme.name,
        "map": _map(scheme, page_scheme),
        "query": query.get("frame") if isinstance(query, dict) else None,
        "xy": pack(xy[::stride], POINT_STEP),
        "state": pack_bytes(state[::stride]),
        "lost": pack_bytes((visible.mean(-1) < MIN_SEEN_SHARE)[::stride]),
        "views": _views(result, stride),
        "series": {
            name: pack(values[::stride])
            for name, values in curves.items()
            if values is not None and np.isfinite(values[::stride]).any()
        },
        "spectrum": None
        if found is None
        else {"hz": pack(found[0]), "value": pack(np.log10(np.maximum(found[1], 1e-9)))},
    }


def _truth(truth: np.ndarray | None, page_scheme: Scheme, stride: int) -> dict[str, Any] | None:
    if truth is None:
        return None
    scheme = schemes.for_count(truth.shape[1])
    return {"map": _map(scheme, page_scheme), "xy": pack(truth[::stride], POINT_STEP)}


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


def _views(result: Result, stride: int) -> dict[str, Any]:
    """Return the views of parts of the face."""
    tracks, scheme = result.tracks, schemes.get(result.tracks.scheme)
    # A lost face's guesses lie anywhere.
    xy = np.where(tracks.success[:, 0, None, None], tracks.xy[:, 0], np.nan)
    views = {}
    for name, (regions, margin) in VIEWS.items():
        index = [i for region in regions for i in scheme.regions.get(region, ())]
        if regions and not index:
            continue
        box = signals.boxes(_chosen(xy, index))
        square = signals.view(box, tracks.time, margin)
        if square is not None:
            views[name] = pack(square[::stride], POINT_STEP)
    return views


def _chosen(xy: np.ndarray, index: Sequence[int]) -> np.ndarray:
    return xy[:, list(index)] if index else xy
