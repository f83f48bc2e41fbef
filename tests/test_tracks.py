"""Test tracks as tables and plots."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facetrack.errors import FacetrackError
from facetrack.formats.csv import CsvWriter, read_csv
from facetrack.tracks import Tracks


def random_tracks(
    frames: int = 5, faces: int = 2, points: int = 68, first_frame: int = 7
) -> Tracks:
    """Return random tracks at uneven times, with a fifth of the points unknown."""
    rng = np.random.default_rng(3)
    xy = rng.uniform(0, 400, (frames, faces, points, 2)).astype(np.float32)
    unknown = rng.random((frames, faces, points)) < 0.2
    xy[unknown] = np.nan
    return Tracks(
        xy=xy,
        visible=(rng.random(unknown.shape) < 0.5) & ~unknown,
        confidence=np.where(unknown, 0, rng.random(unknown.shape)).astype(np.float32),
        time=np.cumsum(rng.uniform(0.01, 0.1, frames)),
        face_id=np.array([4, 9])[:faces],
        scheme="68" if points == 68 else f"points-{points}",
        size=(640, 480),
        first_frame=first_frame,
    )


@pytest.fixture
def pyplot() -> Iterator[object]:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


# ---------------------------------------------------------------- tables


def test_wide_table_equals_the_csv_file(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    tracks = random_tracks()
    with CsvWriter(tmp_path / "a.csv") as writer:
        writer.write(tracks)
    from_file = pandas.read_csv(tmp_path / "a.csv")
    table = tracks.to_dataframe()
    assert list(table.columns) == list(from_file.columns)
    np.testing.assert_allclose(table.to_numpy(float), from_file.to_numpy(float), atol=6e-4)


def test_wide_table_has_integers_and_booleans() -> None:
    pytest.importorskip("pandas")
    table = random_tracks().to_dataframe()
    assert table["frame"].tolist() == [7, 7, 8, 8, 9, 9, 10, 10, 11, 11]
    assert table["face_id"].tolist() == [4, 9] * 5
    assert table["success"].dtype == table["v_0"].dtype == bool


def test_long_table_has_every_point() -> None:
    pytest.importorskip("pandas")
    tracks = random_tracks()
    table = tracks.to_dataframe("long")
    assert len(table) == 5 * 2 * 68
    (row,) = table[(table.frame == 9) & (table.face_id == 9) & (table.point == 40)].itertuples()
    np.testing.assert_equal([row.x, row.y], tracks.xy[2, 1, 40].tolist())
    assert row.visible == tracks.visible[2, 1, 40]
    assert row.confidence == tracks.confidence[2, 1, 40]
    assert row.timestamp == tracks.time[2]
    assert row.region == "right_eye"


def test_long_table_of_a_free_layout_has_no_regions() -> None:
    pytest.importorskip("pandas")
    assert random_tracks(points=3).to_dataframe("long").region.isna().all()


def test_tracks_read_from_a_file_give_the_same_table(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    with CsvWriter(tmp_path / "a.csv") as writer:
        writer.write(random_tracks(faces=1))
    table = read_csv(tmp_path / "a.csv").to_dataframe().drop(columns="confidence")
    from_file = pandas.read_csv(tmp_path / "a.csv").drop(columns="confidence")
    np.testing.assert_allclose(table.to_numpy(float), from_file.to_numpy(float), rtol=1e-6)


def test_unknown_layout_is_refused() -> None:
    pytest.importorskip("pandas")
    with pytest.raises(FacetrackError, match="wide or long"):
        random_tracks().to_dataframe("tall")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("package", "call", "command"),
    [
        ("pandas", lambda tracks: tracks.to_dataframe(), "pip install 'facetrack[dataframe]'"),
        ("matplotlib", lambda tracks: tracks.plot(), "pip install 'facetrack[plots]'"),
    ],
    ids=["pandas", "matplotlib"],
)
def test_missing_package_error_names_the_command(package, call, command, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(FacetrackError) as error:
        call(random_tracks())
    assert command in str(error.value)


# ---------------------------------------------------------------- plots


def test_trajectory_is_solid_where_the_point_is_visible(pyplot) -> None:
    tracks = random_tracks()
    x_axis, y_axis = tracks.plot(points=[40], face_id=9)
    for axis, values in ((x_axis, tracks.xy[:, 1, 40, 0]), (y_axis, tracks.xy[:, 1, 40, 1])):
        solid, dotted = axis.lines
        np.testing.assert_array_equal(solid.get_xdata(), tracks.time)
        seen = np.where(tracks.visible[:, 1, 40], values, np.nan)
        np.testing.assert_array_equal(solid.get_ydata(), seen.astype(float))
        np.testing.assert_array_equal(dotted.get_ydata(), values.astype(float))


def test_y_points_down_as_in_the_frame(pyplot) -> None:
    _, y_axis = random_tracks().plot(points=[0])
    bottom, top = y_axis.get_ylim()
    assert bottom > top


def test_tracks_are_equal_if_all_values_are() -> None:
    tracks = random_tracks()
    assert tracks == pickle.loads(pickle.dumps(tracks))
    assert tracks != replace(tracks, xy=tracks.xy + 1)
    assert tracks != replace(tracks, scheme="free")
    assert tracks != replace(tracks, image_names=np.array(list("abcde")))
    assert tracks != random_tracks(frames=4)


def test_tracks_without_a_face_cannot_be_written(tmp_path: Path) -> None:
    nobody = random_tracks().select(faces=[])
    for name in ("a.csv", "a.npz"):
        with pytest.raises(FacetrackError, match="without a face"):
            nobody.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_regions_and_points_are_each_drawn_once(pyplot) -> None:
    axes = random_tracks().plot(points=["right_eye", 36, 30])
    labels = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert labels == ["36", "37", "38", "39", "40", "41", "30"]
    assert len(random_tracks().plot(points=30)[0].get_lines()) > 0


@pytest.mark.parametrize("points", [[1.5], [True], [68]])
def test_points_are_selected_as_by_select(points, pyplot) -> None:
    with pytest.raises(FacetrackError, match=f"no point {points[0]}"):
        random_tracks().plot(points=points)


def test_visibility_distinguishes_unknown_hidden_and_seen(pyplot) -> None:
    tracks = random_tracks(frames=9)
    (axis,) = tracks.plot("visibility", points=[3, 50])
    (mesh,) = axis.collections
    known = np.isfinite(tracks.xy[:, 0]).all(-1)
    expected = (known.astype(int) + tracks.visible[:, 0])[:, [3, 50]].T
    np.testing.assert_array_equal(np.asarray(mesh.get_array()).reshape(2, 9), expected)
    assert set(expected.ravel()) == {0, 1, 2}


def test_visibility_of_all_points_names_the_regions(pyplot) -> None:
    (axis,) = random_tracks().plot("visibility")
    assert "outer_lips" in [label.get_text() for label in axis.get_yticklabels()]


def test_given_axes_are_used(pyplot) -> None:
    figure, (first, second) = pyplot.subplots(2)
    assert random_tracks().plot(axes=[first, second]) == [first, second]
    assert pyplot.get_fignums() == [figure.number]


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("kind", ["trajectories", "visibility"])
def test_short_tracks_can_be_drawn(kind, frames, pyplot) -> None:
    axes = random_tracks(frames=frames, points=5).plot(kind)
    axes[0].figure.canvas.draw()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "pie"}, "trajectories or visibility"),
        ({"points": [68]}, "points go from 0 to 67"),
        ({"points": "ears"}, "The regions are: jaw, right_brow"),
        ({"points": []}, "at least one"),
        ({"face_id": 5}, "the faces are 4, 9"),
    ],
    ids=["kind", "point", "region", "none", "face"],
)
def test_wrong_choice_is_refused_in_one_sentence(options, message, pyplot) -> None:
    with pytest.raises(FacetrackError, match=message):
        random_tracks().plot(**options)


def test_wrong_number_of_axes_is_refused(pyplot) -> None:
    _, axis = pyplot.subplots()
    with pytest.raises(FacetrackError, match="takes 2 axes, not 1"):
        random_tracks().plot(axes=axis)


def test_tracks_without_a_frame_are_not_plotted(pyplot) -> None:
    with pytest.raises(FacetrackError, match="no face"):
        random_tracks(frames=0).plot()
