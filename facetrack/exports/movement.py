"""Write the poses dataset of the package movement as a netCDF file.

The file is netCDF's 64-bit classic format, which SciPy writes. `xarray.open_dataset` and movement's
reader of netCDF files open it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facetrack.exports.base import Source
from facetrack.files import atomic_path
from facetrack.landmarks.dataset import LabelledArray, labelled_arrays

SUFFIX = ".movement.nc"


def write(folder: Path, source: Source) -> list[str]:
    """Write `<stem>.movement.nc`; see `facetrack.exports.base.Write`."""
    from scipy.io import netcdf_file

    arrays = labelled_arrays(source.tracks)
    with (
        atomic_path(folder / f"{source.stem}{SUFFIX}") as temporary,
        # Version 2 has 64-bit offsets. Time is the record axis, which may exceed 2 GB.
        netcdf_file(temporary, "w", version=2) as file,
    ):
        for name, value in arrays.attributes.items():
            if isinstance(value, str):
                value = _encoded(value)
            else:  # a plain float would be written as float32
                value = np.float64(value) if isinstance(value, float) else np.int32(value)
            setattr(file, name, value)
        if source.video:
            file.source_file = _encoded(source.video)
        sizes = {name: len(array.values) for name, array in arrays.coordinates.items()}
        for axis in ("time", "space", "keypoints", "individuals"):
            file.createDimension(axis, None if axis == "time" else sizes[axis])
        # Coordinates that are not an axis are named by the variables to which they belong.
        others = " ".join(name for name in arrays.coordinates if name not in file.dimensions)
        for name, array in {**arrays.coordinates, **arrays.variables}.items():
            _write_array(file, name, array, others if name in arrays.variables else "")
    return []


def _write_array(file: object, name: str, array: LabelledArray, coordinates: str) -> None:
    axes, values, attributes = array.axes, array.values, dict(array.attributes)
    if values.dtype.kind in "US":
        encoded = np.array([_encoded(text) for text in values.tolist()], "S")
        length = max(encoded.dtype.itemsize, 1)
        values = encoded.astype(f"S{length}").view("S1").reshape(len(encoded), length)
        axes = (*axes, f"{name}_length")
        file.createDimension(axes[-1], length)  # type: ignore[attr-defined]
        attributes["_Encoding"] = "utf-8"
    elif values.dtype == bool:
        values, attributes["dtype"] = values.astype(np.int8), "bool"
    elif values.dtype == np.int64:
        values = values.astype(np.int32)
    variable = file.createVariable(name, values.dtype, axes)  # type: ignore[attr-defined]
    variable[:] = values
    if coordinates:
        attributes["coordinates"] = coordinates
    for key, text in attributes.items():
        setattr(variable, key, _encoded(text))


def _encoded(text: str) -> bytes:
    """Return text as UTF-8; bytes of file names that are not UTF-8 are written as \\udcXX."""
    return text.encode("utf-8", "backslashreplace")
