"""Lay landmarks out as labelled arrays: the poses dataset of the package movement.

https://movement.neuroinformatics.dev has the layout. `Tracks.to_xarray` and
`facetrack export movement` share it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.version import __version__

if TYPE_CHECKING:
    import xarray

    from facetrack.tracks import Tracks

RATE_TOLERANCE = 1.5e-3
"""Largest deviation in seconds of the times of a constant rate."""


class LabelledArray(NamedTuple):
    """An array, the names of its axes, and its attributes."""

    axes: tuple[str, ...]
    values: np.ndarray
    attributes: dict[str, str]


class LandmarkArrays(NamedTuple):
    """The arrays of a dataset by name: coordinates, variables, and attributes of the whole."""

    coordinates: dict[str, LabelledArray]
    variables: dict[str, LabelledArray]
    attributes: dict[str, Any]


def labelled_arrays(tracks: Tracks) -> LandmarkArrays:
    """Return the arrays of tracks in movement's layout; see `Tracks.to_xarray`."""
    points = tracks.xy.shape[2]
    region = np.full(points, "", object)
    for name, indices in schemes.get(tracks.scheme).regions.items():
        region[list(indices)] = name
    seconds = {"long_name": "presentation time from the container, in seconds"}
    pixels = {"units": "pixels", "origin": "centre of the top-left pixel; x right, y down"}
    coordinates = {
        "time": LabelledArray(("time",), tracks.time, seconds),
        "space": LabelledArray(("space",), np.array(["x", "y"]), {}),
        "keypoints": LabelledArray(
            ("keypoints",), np.array([f"point_{i}" for i in range(points)]), {}
        ),
        "individuals": LabelledArray(
            ("individuals",), np.array([f"face_{i}" for i in tracks.face_id.tolist()], str), {}
        ),
        "frame": LabelledArray(("time",), tracks.frames, {"long_name": "frame, from 0"}),
        "region": LabelledArray(("keypoints",), region.astype(str), {}),
    }
    if tracks.image_names is not None:
        coordinates["image"] = LabelledArray(("time",), tracks.image_names, {})
    axes = ("time", "keypoints", "individuals")
    variables = {
        "position": LabelledArray(
            ("time", "space", "keypoints", "individuals"), tracks.xy.transpose(0, 3, 2, 1), pixels
        ),
        "confidence": LabelledArray(axes, tracks.confidence.transpose(0, 2, 1), {}),
        "visible": LabelledArray(axes, tracks.visible.transpose(0, 2, 1), {}),
    }
    attributes = {
        "ds_type": "poses",
        "source_software": "facetrack",
        "source_version": __version__,
        "time_unit": "seconds",
        "scheme": tracks.scheme,
        "frame_width": int(tracks.size[0]),
        "frame_height": int(tracks.size[1]),
    }
    rate = _constant_rate(tracks.time)
    if rate is not None:
        attributes["fps"] = rate
    return LandmarkArrays(coordinates, variables, attributes)


def build_dataset(tracks: Tracks) -> xarray.Dataset:
    """Return the landmarks as an xarray dataset; see `Tracks.to_xarray`."""
    try:
        import xarray
    except ImportError as error:
        raise FacetrackError(
            "Datasets of tracks need xarray: pip install 'facetrack[xarray]'."
        ) from error
    arrays = labelled_arrays(tracks)
    return xarray.Dataset(
        data_vars={name: tuple(array) for name, array in arrays.variables.items()},
        coords={name: tuple(array) for name, array in arrays.coordinates.items()},
        attrs=arrays.attributes,
    )


def _constant_rate(time: np.ndarray) -> float | None:
    """Return the rows per second; None if the steps vary, or there is one row."""
    if len(time) < 2 or not time[-1] > time[0]:
        return None
    step = float(time[-1] - time[0]) / (len(time) - 1)
    expected = time[0] + step * np.arange(len(time))
    return 1 / step if np.abs(time - expected).max() <= RATE_TOLERANCE else None
