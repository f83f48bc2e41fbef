"""What can be done with tracks: select, join, smooth, fill, resample, convert, draw, save, show."""

from __future__ import annotations

import doctest
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import facetrack
from facetrack.errors import FacetrackError
from facetrack.series import methods
from facetrack.tracks import Tracks


def tracks_of(frames: int, faces: int = 1, points: int = 68, fps: float = 25.0) -> Tracks:
    rng = np.random.default_rng(0)
    shape = (frames, faces, points)
    return Tracks(
        xy=rng.uniform(5, 40, (*shape, 2)).astype(np.float32),
        visible=rng.uniform(size=shape) > 0.2,
        confidence=rng.uniform(size=shape).astype(np.float32),
        time=np.arange(frames) / fps,
        face_id=np.arange(faces),
        scheme="68" if points == 68 else f"points-{points}",
        size=(64, 48),
    )


def line(values: list[float], time: list[float] | None = None) -> Tracks:
    """Tracks of one point, whose x and y have these values."""
    tracks = tracks_of(len(values), points=1)
    xy = np.array(values, np.float32)[:, None, None, None].repeat(2, -1)
    known = np.isfinite(xy).all(-1)
    times = tracks.time if time is None else np.array(time, np.float64)
    return replace(tracks, xy=xy, visible=known, time=times)


def test_examples(tmp_path: Path) -> None:
    found = doctest.DocTestFinder().find(methods.TimeSeries, "TimeSeries")
    names = {"tracks": tracks_of(3), "facetrack": facetrack, "np": np, "folder": tmp_path}
    runner = doctest.DocTestRunner()
    for test in found:
        test.globs.update(names)
        assert runner.run(test).failed == 0
    assert runner.summarize().attempted >= 7


# ---------------------------------------------------------------- parts


def test_selected_points_keep_their_values() -> None:
    tracks = tracks_of(5)
    chosen = tracks.select(points=[30, "right_eye", 3])
    assert chosen.scheme == "points-8"
    indices = [30, *range(36, 42), 3]
    np.testing.assert_array_equal(chosen.xy, tracks.xy[:, :, indices])
    np.testing.assert_array_equal(chosen.visible, tracks.visible[:, :, indices])
    assert tracks.select(points=30).xy.shape == (5, 1, 1, 2)


def test_all_points_keep_the_layout() -> None:
    assert tracks_of(2).select(points=range(68)).scheme == "68"


def test_selected_faces_and_times() -> None:
    tracks = replace(tracks_of(10, faces=3), first_frame=100, stride=2, face_id=np.array([4, 7, 9]))
    chosen = tracks.select(faces=[9, 4], time=(0.08, 0.2))
    assert chosen.face_id.tolist() == [9, 4]
    assert chosen.frames.tolist() == [104, 106, 108]
    np.testing.assert_array_equal(chosen.xy, tracks.xy[2:5][:, [2, 0]])
    assert tracks.select(time=(None, None)).xy.shape == tracks.xy.shape


def test_selected_images_keep_their_names() -> None:
    tracks = replace(tracks_of(3), image_names=np.array(["a", "b", "c"]))
    assert tracks.select(time=(0.04, None)).image_names.tolist() == ["b", "c"]


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ({"points": 68}, "no point 68; points go from 0 to 67"),
        ({"points": -1}, "no point -1"),
        ({"points": True}, "no point True"),
        ({"points": 1.5}, "no point 1.5"),
        ({"points": [None]}, "no point None"),
        ({"points": [float("nan")]}, "no point nan"),
        ({"points": []}, "No points were named"),
        ({"points": "rigth_eye"}, "no region 'rigth_eye'; did you mean right_eye?"),
        ({"points": "tail"}, "no region 'tail'. The regions are: jaw"),
        ({"faces": 1}, "no face 1; the faces are 0"),
        ({"time": (5, 6)}, "no frame from 5 to 6 s; the tracks have 0.000 to 0.080 s"),
    ],
)
def test_what_is_not_there_cannot_be_selected(what: dict, sentence: str) -> None:
    with pytest.raises(FacetrackError) as caught:
        tracks_of(3).select(**what)
    assert sentence in str(caught.value)


def test_parts_are_joined_again() -> None:
    tracks = tracks_of(9, faces=2)
    parts = [tracks.select(time=(None, 0.12)), tracks.select(time=(0.12, None))]
    joined = Tracks.concat(parts)
    np.testing.assert_array_equal(joined.xy, tracks.xy)
    assert joined.frames.tolist() == tracks.frames.tolist()


def test_parts_that_do_not_follow_each_other_are_refused() -> None:
    tracks = tracks_of(9)
    parts = [tracks.select(time=(0.12, None)), tracks.select(time=(None, 0.12))]
    with pytest.raises(FacetrackError, match="does not continue"):
        Tracks.concat(parts)
    with pytest.raises(FacetrackError, match="same layout"):
        Tracks.concat([tracks, tracks_of(3, points=5)])
    with pytest.raises(FacetrackError, match="no tracks"):
        Tracks.concat([])


# ---------------------------------------------------------------- filters


@pytest.mark.parametrize("method", ["savgol", "one-euro"])
def test_smoothing_lessens_noise_and_keeps_what_is_missing(method: str) -> None:
    tracks = tracks_of(100, faces=2)
    clean = np.linspace(0, 30, 100)[:, None, None, None] * np.ones(tracks.xy.shape)
    noisy = clean + np.random.default_rng(1).normal(0, 0.5, clean.shape)
    noisy[20:30, 0] = np.nan
    noisy[50, 1, 3] = np.nan
    smooth = replace(tracks, xy=noisy.astype(np.float32)).smooth(
        method, window=15, min_cutoff=2.0, beta=0.0
    )
    assert smooth.xy.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(smooth.xy), np.isnan(noisy))
    np.testing.assert_array_equal(smooth.visible, tracks.visible)
    lag = 0 if method == "savgol" else np.nanmean(smooth.xy - clean)
    assert np.nanstd(smooth.xy - clean - lag) < 0.6 * np.nanstd(noisy - clean)


def test_savgol_is_that_of_scipy() -> None:
    from scipy.signal import savgol_filter

    tracks = tracks_of(30)
    expected = savgol_filter(tracks.xy.astype(np.float64), 7, 2, axis=0)
    np.testing.assert_allclose(tracks.smooth().xy, expected, atol=1e-4)


def test_a_polynomial_is_not_changed_even_in_short_runs() -> None:
    parabola = (np.arange(12.0) ** 2).tolist()
    parabola[4] = np.nan
    tracks = line(parabola)
    np.testing.assert_allclose(tracks.smooth(window=9, order=2).xy, tracks.xy, atol=1e-3)


def test_one_euro_uses_no_later_frame() -> None:
    tracks = tracks_of(20)
    whole = tracks.smooth("one-euro").xy
    part = tracks.select(time=(None, tracks.time[10])).smooth("one-euro").xy
    np.testing.assert_array_equal(whole[:10], part)


def test_one_euro_at_a_constant_rate_is_a_low_pass_filter() -> None:
    step = line([0.0] * 5 + [1.0] * 60)
    xy = step.smooth("one-euro", min_cutoff=1.0, beta=0.0).xy[:, 0, 0, 0]
    weight = 1 / (1 + 25 / (2 * np.pi))
    expected = [0.0] * 5 + [1 - (1 - weight) ** (k + 1) for k in range(60)]
    np.testing.assert_allclose(xy, expected, atol=1e-5)


@pytest.mark.parametrize("method", ["savgol", "one-euro"])
def test_nothing_is_smoothed_across_a_cut(method: str) -> None:
    tracks = replace(line([0.0] * 10 + [100.0] * 10), first_frame=50)
    smooth = tracks.smooth(method, breaks=[60])
    np.testing.assert_allclose(smooth.xy, tracks.xy, atol=1e-4)
    assert np.abs(tracks.smooth(method).xy - tracks.xy).max() > 1


@pytest.mark.parametrize(
    "options",
    [{"window": 4}, {"window": 3, "order": 3}, {"method": "one-euro", "min_cutoff": 0}],
)
def test_smoothing_that_cannot_be_is_refused(options: dict) -> None:
    with pytest.raises(FacetrackError):
        tracks_of(9).smooth(**options)
    with pytest.raises(FacetrackError, match="savgol or one-euro"):
        tracks_of(9).smooth("median")  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["linear", "pchip"])
def test_short_gaps_are_filled_and_long_ones_are_not(method: str) -> None:
    nan = np.nan
    tracks = line([nan, 0, 1, nan, 3, 4, nan, nan, nan, 8, nan])
    filled = tracks.interpolate(0.1, method)
    np.testing.assert_allclose(filled.xy[:5, 0, 0, 0], [nan, 0, 1, 2, 3], atol=1e-5)
    assert np.isnan(filled.xy[[0, 6, 7, 8, 10]]).all()
    assert not filled.visible[3]
    assert filled.confidence[3] == 0
    np.testing.assert_array_equal(filled.visible[[1, 2, 4, 5]], True)
    whole = tracks.interpolate(1.0, method)
    np.testing.assert_allclose(whole.xy[1:10, 0, 0, 0], np.arange(9), atol=1e-5)


def test_gaps_are_measured_in_seconds() -> None:
    tracks = line([0, np.nan, 2], time=[0.0, 0.9, 1.0])
    assert np.isnan(tracks.interpolate(0.5).xy[1]).all()
    np.testing.assert_allclose(tracks.interpolate(1.0).xy[1], 1.8, rtol=1e-5)


def test_resampled_rows_lie_between_their_neighbours() -> None:
    tracks = line([0, 1, 2, 6], time=[1.0, 1.1, 1.2, 1.6])
    resampled = tracks.resample(10)
    np.testing.assert_allclose(resampled.time, np.arange(7) / 10 + 1)
    np.testing.assert_allclose(resampled.xy[:, 0, 0, 0], np.arange(7), atol=1e-5)
    assert resampled.frames.tolist() == list(range(7))


def test_resampling_makes_nothing_up() -> None:
    tracks = line([0, np.nan, 2, 3], time=[0.0, 0.1, 0.2, 0.3])
    xy = tracks.resample(20).xy[:, 0, 0, 0]
    np.testing.assert_allclose(xy, [0, *[np.nan] * 3, 2, 2.5, 3], atol=1e-5)
    assert not tracks.resample(20).visible[1:4].any()


def test_the_same_rate_changes_nothing() -> None:
    tracks = tracks_of(50, faces=2, fps=30000 / 1001)
    same = tracks.resample(30000 / 1001)
    np.testing.assert_allclose(same.xy, tracks.xy, atol=1e-3)
    np.testing.assert_array_equal(same.visible, tracks.visible)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_a_rate_must_be_a_rate(fps: float) -> None:
    with pytest.raises(FacetrackError, match="rows a second"):
        tracks_of(3).resample(fps)


def test_one_frame_and_none_can_be_filtered() -> None:
    for frames in (0, 1):
        tracks = tracks_of(frames)
        for filtered in (tracks.smooth(), tracks.smooth("one-euro"), tracks.interpolate()):
            assert len(filtered) == frames
        assert len(tracks.resample(10)) == frames


# ---------------------------------------------------------------- coordinates, pictures, files


def test_normalised_positions_are_those_of_the_tables() -> None:
    tracks = tracks_of(4)
    np.testing.assert_allclose(
        tracks.normalise("normalised"), (tracks.xy + 0.5) / (64, 48), rtol=1e-6
    )
    head = tracks.normalise()
    np.testing.assert_allclose(head[..., 45, :] - head[..., 36, :], [[[1, 0]]] * 4, atol=1e-9)
    with pytest.raises(FacetrackError, match="eye corners"):
        tracks_of(4, points=5).normalise("head")


def test_points_are_drawn_on_a_copy() -> None:
    tracks = tracks_of(3)
    image = np.zeros((48, 64, 3), np.uint8)
    drawn = tracks.draw(image, frame=2)
    assert drawn.any()
    assert not image.any()
    assert tracks.select(time=(0.04, 0.08)).draw(image).any()
    with pytest.raises(FacetrackError, match="Name one of the 3 frames"):
        tracks.draw(image)
    with pytest.raises(FacetrackError, match="no frame 3"):
        tracks.draw(image, frame=3)
    with pytest.raises(FacetrackError, match=r"The image must be \(H, W, 3\) uint8"):
        tracks.draw(image / 255, frame=2)
    with pytest.raises(FacetrackError, match="Give one name for each face: 1, not 0"):
        tracks.draw(image, frame=2, names=[])


@pytest.mark.parametrize("name", ["a.npz", "a.csv", "A.CSV"])
def test_what_is_saved_can_be_loaded(name: str, tmp_path: Path) -> None:
    tracks = tracks_of(4, faces=2)
    path = tracks.save(tmp_path / name)
    loaded = Tracks.load(path)
    np.testing.assert_allclose(loaded.xy, tracks.xy, atol=1e-3)
    np.testing.assert_array_equal(loaded.visible, tracks.visible)
    assert loaded.face_id.tolist() == [0, 1]


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match=r"no file of tracks '\.xlsx'"):
        tracks_of(2).save(tmp_path / "a.xlsx")
    with pytest.raises(FacetrackError, match=r"\.csv, \.npz"):
        Tracks.load(tmp_path / "a.txt")


def test_the_table_is_that_of_the_command_line(tmp_path: Path) -> None:
    tracks = tracks_of(2)
    text = tracks.to_csv()
    assert text.startswith("frame,face_id,timestamp,confidence,success,x_0,")
    assert tracks.to_csv(tmp_path / "a.csv") is None
    assert (tmp_path / "a.csv").read_text() == text


# ---------------------------------------------------------------- notebooks


def test_tracks_are_shown_in_one_line() -> None:
    tracks = tracks_of(26, faces=2)
    text = repr(tracks)
    assert "26 frames, 2 faces, 68 points, 0.00 to 1.00 s, 64 x 48 pixels" in text
    assert len(text) < 120
    assert "1 frame, 1 face, 1 point" in repr(line([0.0]))
    assert "0 frames" in repr(tracks_of(0))


def test_the_table_of_notebooks_has_a_row_for_every_face() -> None:
    from xml.etree import ElementTree

    tracks = replace(tracks_of(300, faces=30), face_id=np.arange(30) + 5)
    tree = ElementTree.fromstring(tracks._repr_html_())
    rows = tree.findall(".//tbody/tr")
    assert [row.find("th").text for row in rows] == [str(i + 5) for i in range(20)]
    assert "and 10 more faces" in "".join(tree.itertext())
    assert ElementTree.fromstring(tracks_of(0)._repr_html_()) is not None
