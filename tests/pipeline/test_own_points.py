"""Points of users that are swapped, normalised, or far from the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facetrack.errors import FacetrackError
from facetrack.pipeline.query_frame import read_own_points

SIZE = (640, 360)


def test_the_names_of_the_header_are_obeyed(shared_cases: Path) -> None:
    xy, warnings = read_own_points(shared_cases / "yx.csv", SIZE)
    np.testing.assert_allclose(xy[:2], [[296.03, 213.54], [245.32, 171.57]], atol=1e-3)
    assert warnings == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("norm.csv", "lie between 0 and 1: they must be x,y in pixels .* 640x360"),
        ("outside.csv", "5000,300 .* lies far outside the 640x360 picture"),
        ("far.csv", "30000,30000 .* lies far outside"),
        ("farther.csv", "1000000,-1000000 .* lies far outside"),
    ],
)
def test_points_that_make_no_sense_are_refused(shared_cases: Path, name: str, message: str) -> None:
    with pytest.raises(FacetrackError, match=message) as error:
        read_own_points(shared_cases / name, SIZE)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("separator", [",", ";", "\t", " "])
@pytest.mark.parametrize("header", ["x{}y", "y{}x", "id{}y{}x"])
def test_tables_of_each_kind_give_the_same_points(
    tmp_path: Path, separator: str, header: str
) -> None:
    points = np.array([[296.0, 213.5], [245.25, 171.0]])
    names = header.split("{}")
    cells = [
        [{"x": f"{x:.2f}", "y": f"{y:.2f}", "id": str(i)}[name] for name in names]
        for i, (x, y) in enumerate(points)
    ]
    path = tmp_path / "points.csv"
    path.write_text("\n".join(separator.join(row) for row in [names, *cells]))
    xy, _ = read_own_points(path, SIZE)
    np.testing.assert_array_equal(xy, points)
    if separator != ",":
        path.write_text(path.read_text().replace(".", ","))
        np.testing.assert_array_equal(read_own_points(path, SIZE)[0], points)
