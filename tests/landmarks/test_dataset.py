"""Labelled arrays of landmarks."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from facetrack.errors import FacetrackError
from facetrack.landmarks.dataset import labelled_arrays
from facetrack.tracks import Tracks


@pytest.fixture
def tracks() -> Tracks:
    random = np.random.default_rng(1)
    shape = (4, 2, 68)
    return Tracks(
        xy=random.uniform(0, 100, (*shape, 2)).astype(np.float32),
        visible=random.uniform(size=shape) > 0.5,
        confidence=random.uniform(size=shape).astype(np.float32),
        time=np.array([0.0, 0.05, 0.08, 0.2]),
        face_id=np.array([0, 7]),
        scheme="68",
        size=(640, 480),
        first_frame=3,
    )


def test_axes_are_those_of_movement(tracks: Tracks) -> None:
    coordinates, variables, attributes = labelled_arrays(tracks)
    position = variables["position"]
    assert position.axes == ("time", "space", "keypoints", "individuals")
    assert position.values[2, 1, 30, 1] == tracks.xy[2, 1, 30, 1]
    assert variables["confidence"].axes == ("time", "keypoints", "individuals")
    assert variables["confidence"].values[3, 8, 1] == tracks.confidence[3, 1, 8]
    assert coordinates["individuals"].values.tolist() == ["face_0", "face_7"]
    assert coordinates["keypoints"].values[30] == "point_30"
    assert coordinates["region"].values[30] == "nose_bridge"
    assert coordinates["frame"].values.tolist() == [3, 4, 5, 6]
    assert (attributes["ds_type"], attributes["time_unit"]) == ("poses", "seconds")


def test_rate_is_stated_only_where_it_is_constant(tracks: Tracks) -> None:
    assert "fps" not in labelled_arrays(tracks).attributes
    even = replace(tracks, time=np.arange(4) / 25)
    assert labelled_arrays(even).attributes["fps"] == pytest.approx(25)


def test_dataset_has_these_arrays(tracks: Tracks) -> None:
    pytest.importorskip("xarray")
    dataset = tracks.to_xarray()
    assert dict(dataset.sizes) == {"time": 4, "space": 2, "keypoints": 68, "individuals": 2}
    one = dataset.position.sel(individuals="face_7", keypoints="point_30", space="y")
    np.testing.assert_array_equal(one, tracks.xy[:, 1, 30, 1])
    assert dataset.time.values.tolist() == tracks.time.tolist()


def test_missing_xarray_is_one_sentence(tracks: Tracks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(FacetrackError, match=r"pip install 'facetrack\[xarray\]'"):
        tracks.to_xarray()
