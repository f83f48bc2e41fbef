"""Test point files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facetrack.errors import FacetrackError
from facetrack.landmarks.point_files import format_pts, read_points, write_pts


def _write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


PTS = "version: 1\nn_points:  2\n{\n1.000 2.500\n446.000 91.250\n}\n"


def test_pts_is_one_based(tmp_path: Path) -> None:
    xy = read_points(_write(tmp_path, "a.pts", PTS))
    assert xy.dtype == np.float32
    assert xy.tolist() == [[0, 1.5], [445, 90.25]]


@pytest.mark.parametrize(
    "text",
    [
        PTS.replace("\n", "\r\n"),
        "\ufeff" + PTS,
        PTS.replace("\n", "\n\n"),
        PTS.replace("version: 1\n", ""),
        PTS.replace(" ", "\t"),
    ],
    ids=["crlf", "bom", "blank lines", "no version", "tabs"],
)
def test_pts_variants(tmp_path: Path, text: str) -> None:
    assert read_points(_write(tmp_path, "a.PTS", text)).tolist() == [[0, 1.5], [445, 90.25]]


@pytest.mark.parametrize(
    "text",
    [
        "1,2.5\n3,-4\n",
        "x,y\n1,2.5\n3,-4\n",
        "1;2.5\r\n3;-4\r\n",
        "1 2.5\n3\t-4",
        " 1 , 2.5 \n\n 3 , -4 \n",
        "\ufeffx;y\n1;2.5\n3;-4\n",
        "y,x\n2.5,1\n-4,3\n",
        "id,X,Y,note\n0,1,2.5,a\n1,3,-4,b\n",
        '"x","y"\n"1","2.5"\n"3","-4"\n',
        "1,0;2,5\n3;-4\n",
        "1,0 2,5\n3,0\t-4,0\n",
        '"1,0","2,5"\n"3,0","-4,0"\n',
        "id\ty\tx\n0\t2,5\t1,0\n1\t-4\t3\n",
        'point;"y";"x"\n"nose tip";"2,5";"1"\nchin;-4;3\n',
        "Y (px),X (px)\n2.5,1\n-4,3\n",
        "y_px;x_px\n2,5;1\n-4;3\n",
        "row,column\n2.5,1\n-4,3\n",
        "row,y,x\n1,2.5,1\n2,-4,3\n",
        "# y x\n2.5 1\n-4 3\n",
        "# made by hand\n\ny,x\n2.5,1\n# chin\n-4,3\n",
    ],
    ids=[
        *("comma", "header", "semicolon", "blanks", "spaces", "bom", "y first", "other columns"),
        *("quotes", "decimal commas", "decimal commas and blanks", "quoted decimal commas"),
        *(
            "tabs",
            "names",
            "units",
            "suffixes",
            "rows",
            "rows of a table",
            "header of numpy",
            "comments",
        ),
    ],
)
def test_rows_are_zero_based(tmp_path: Path, text: str) -> None:
    assert read_points(_write(tmp_path, "a.csv", text)).tolist() == [[1, 2.5], [3, -4]]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.pts", PTS.replace("2\n{", "3\n{"), "says n_points: 3 but holds 2"),
        ("a.pts", PTS.replace("2\n{", "two\n{"), "says n_points: two but holds 2"),
        ("a.pts", "version: 1\n{\n1 2\n}\n", "no line 'n_points: N'"),
        ("a.pts", PTS.replace("}", ""), "not within braces"),
        ("a.pts", "}\nn_points: 1\n{\n1 1\n", "not within braces"),
        ("a.pts", "n_points: 0\n{\n}\n", "holds no points"),
        ("a.pts", "", "not within braces"),
        ("a.pts", PTS.replace("1.000", "nan"), "nan is not a position"),
        ("a.csv", "1,inf\n", "inf is not a position"),
        ("a.csv", "1,2\n1,-infinity\n", "-infinity is not a position"),
        ("a.csv", "", "holds no points"),
        ("a.csv", "x,y\n", "holds no points"),
        ("a.csv", "1,2,3\n", "not 3 cells"),
        ("a.csv", "1,2\n5\n", "not 1 cells"),
        ("a.csv", "1,2,\n", "not 3 cells"),
        ("a.csv", "1,5;2,5px\n3;4\n", "'2,5px' is not a number"),
        ("a.csv", "x,z\n1,2\n", "one column x and one column y"),
        ("a.csv", "x1,y1,x2,y2\n1,2,3,4\n", "one column x and one column y"),
        ("a.csv", "x,y,x\n1,2,3\n", "one column x and one column y"),
        ("a.csv", "id,x,y\n1,2\n", "2 cells and the header 3"),
        ("a.csv", "1,2\nx,3\n", "'x' is not a number"),
        ("a.csv", "-1px,-2px\n3,4\n", "'-1px' is not a number"),
        ("a.csv", ",\n3,4\n", "'' is not a number"),
        ("a.csv", "1,y\n", "'y' is not a number"),
        ("a.csv", "1,\n", "'' is not a number"),
        ("a.csv", "1,2\n1e300,3\n", "beyond 1,000,000 pixels"),
        ("a.csv", b"\x89PNG\r\n\x1a\n\x00\x00", "not a text file"),
        ("a.pts", b"\x00\x01\x02", "not a text file"),
    ],
)
def test_wrong_file(tmp_path: Path, name: str, text: str | bytes, message: str) -> None:
    path = _write(tmp_path, name, text)
    with pytest.raises(FacetrackError, match=message) as caught:
        read_points(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match="no points file"):
        read_points(tmp_path / "none.csv")


def test_folder_instead_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match="cannot be read"):
        read_points(tmp_path)


def test_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    with path.open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(FacetrackError, match="too large"):
        read_points(path)


@given(st.binary(max_size=200), st.sampled_from(["a.pts", "a.csv"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_points_or_one_sentence(tmp_path: Path, data: bytes, name: str) -> None:
    path = _write(tmp_path, name, data)
    try:
        xy = read_points(path)
    except FacetrackError as error:
        message = str(error)
    else:
        message = "no error"
        assert np.isfinite(xy).all()
    assert len(message.splitlines()) == 1


POSITIONS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 100), st.just(2)),
    elements=st.floats(-9000, 9000, width=32),
)


@given(POSITIONS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_pts_round_trip(tmp_path: Path, xy: np.ndarray) -> None:
    write_pts(tmp_path / "a.pts", xy)
    np.testing.assert_allclose(read_points(tmp_path / "a.pts"), xy, atol=0.0011)


def test_pts_text() -> None:
    text = format_pts(np.array([[0, 0], [9.5, 1.25]], np.float32))
    assert text == "version: 1\nn_points: 2\n{\n1.000 1.000\n10.500 2.250\n}\n"


@pytest.mark.parametrize("xy", [np.zeros((0, 2)), np.zeros((2, 3)), np.full((2, 2), np.nan)])
def test_pts_refuses_points_it_cannot_represent(tmp_path: Path, xy: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"xy must be|unknown point"):
        write_pts(tmp_path / "a.pts", xy)
    assert list(tmp_path.iterdir()) == []


def test_too_many_points(tmp_path: Path) -> None:
    assert len(read_points(_write(tmp_path, "a.csv", "1,2\n" * 10_000))) == 10_000
    with pytest.raises(FacetrackError, match="holds 10001 points: 10,000 can be tracked"):
        read_points(_write(tmp_path, "a.csv", "1,2\n" * 10_001))
