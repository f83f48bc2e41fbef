"""movement's netCDF file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import netcdf_file

from facetrack.exports.base import Source
from facetrack.exports.movement import write


def test_file_holds_all_values_of_all_faces(source: Source, tmp_path: Path) -> None:
    write(tmp_path, source)
    tracks = source.tracks
    with netcdf_file(tmp_path / "a b.movement.nc", "r", mmap=False) as file:
        position = file.variables["position"]
        assert position.dimensions == ("time", "space", "keypoints", "individuals")
        np.testing.assert_array_equal(position[:], tracks.xy.transpose(0, 3, 2, 1))
        np.testing.assert_array_equal(
            file.variables["confidence"][:], tracks.confidence.transpose(0, 2, 1)
        )
        np.testing.assert_array_equal(file.variables["time"][:], tracks.time)
        names = [b"".join(row).strip(b"\0") for row in file.variables["individuals"][:]]
        assert names == [b"face_0", b"face_3"]
        assert (file.ds_type, file.time_unit) == (b"poses", b"seconds")
        assert file.source_file.decode() == "/videos/é b.mp4"
        assert not hasattr(file, "fps")
        assert not hasattr(file.variables["time"], "units"), "units would make it a date"


def test_constant_rate_is_stated_exactly(free_source: Source, tmp_path: Path) -> None:
    time = np.arange(len(free_source.tracks)) * 1001 / 30000
    write(tmp_path, Source(replace(free_source.tracks, time=time), "b"))
    with netcdf_file(tmp_path / "b.movement.nc", "r", mmap=False) as file:
        assert file.fps == pytest.approx(30000 / 1001, rel=1e-12)


@pytest.mark.filterwarnings("ignore:numpy.ndarray size changed:RuntimeWarning")  # of netCDF4
def test_xarray_returns_the_dataset_of_tracks(source: Source, tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    write(tmp_path, source)
    with xarray.open_dataset(tmp_path / "a b.movement.nc") as dataset:
        expected = source.tracks.to_xarray()
        for name in ("position", "confidence", "visible", "time", "region", "frame"):
            np.testing.assert_array_equal(dataset[name], expected[name])
            assert dataset[name].dims == expected[name].dims
        assert dataset.visible.dtype == bool


@pytest.mark.filterwarnings("ignore:numpy.ndarray size changed:RuntimeWarning")  # of netCDF4
def test_movement_opens_it(source: Source, tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    datasets = pytest.importorskip("movement.validators.datasets")
    from movement.kinematics import compute_velocity

    write(tmp_path, source)
    with xarray.open_dataset(tmp_path / "a b.movement.nc") as dataset:
        datasets.ValidPosesInputs.validate(dataset)
        velocity = compute_velocity(dataset.position)
        nose = velocity.sel(individuals="face_0", keypoints="point_30", space="x")
    expected = np.gradient(source.tracks.xy[:, 0, 30, 0], source.tracks.time)
    np.testing.assert_allclose(nose, expected, rtol=1e-3, atol=1e-2)
