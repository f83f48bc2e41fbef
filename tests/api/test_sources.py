"""What can be tracked from Python, and with which keywords."""

from __future__ import annotations

import os
from pathlib import Path

import clips
import numpy as np
import pytest

import facetrack
from facetrack import DetectorOptions, TrackerOptions
from facetrack.api.keywords import (
    TrackKeywords,
    check_keywords,
    image_options,
    live_options,
    tracking_options,
)
from facetrack.errors import FacetrackError
from facetrack.tracks import Tracks

POINTS = np.array([[0.0, 0.0], [7.0, 7.0]])
SETTINGS = {"points": POINTS, "tracker": "lk"}


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.stack([clips.draw_square(index) for index in range(12)])


@pytest.fixture(scope="module")
def of_file(dots: Path) -> Tracks:
    return facetrack.track(dots, **SETTINGS)


def assert_same(one: Tracks, other: Tracks) -> None:
    np.testing.assert_array_equal(one.xy, other.xy)
    np.testing.assert_array_equal(one.visible, other.visible)
    np.testing.assert_allclose(one.time, other.time, atol=1e-6)
    assert (one.scheme, one.size) == (other.scheme, other.size)


def test_arrays_lists_and_generators_give_what_the_file_gives(
    frames: np.ndarray, of_file: Tracks
) -> None:
    assert of_file.scheme == "points-2"
    for source in (frames, list(frames), (frame for frame in frames), np.asfortranarray(frames)):
        assert_same(facetrack.track(source, fps=25, **SETTINGS), of_file)


def test_parts_of_arrays(frames: np.ndarray, dots: Path) -> None:
    settings = {**SETTINGS, "start": "0:00.08", "end": 0.4, "stride": 2, "query_frame": 6}
    found = facetrack.track(frames, fps=25, **settings)
    assert found.frames.tolist() == [2, 4, 6, 8]
    assert_same(found, facetrack.track(dots, **settings))


def test_nothing_is_left_in_the_temporary_folder(
    frames: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    facetrack.track(iter(frames), **SETTINGS)
    next(iter(facetrack.stream(iter(frames), **SETTINGS)))
    assert os.listdir(tmp_path) == []


def test_progress_is_called_to_the_end(frames: np.ndarray) -> None:
    calls: list[tuple[int, int | None]] = []
    facetrack.track(frames, progress=lambda *call: calls.append(call), **SETTINGS)
    assert calls[-1] == (12, 12)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


@pytest.mark.parametrize("source", [3.5, None, {"a": 1}, b"clip.mp4", True])
def test_other_sources_are_a_type_error(source: object) -> None:
    with pytest.raises(TypeError, match="must be a path, the number of a camera"):
        facetrack.track(source, **SETTINGS)  # type: ignore[arg-type]


@pytest.mark.parametrize("camera", [93, "93", np.int64(93)])
def test_a_number_is_a_camera(camera: object) -> None:
    with pytest.raises(FacetrackError, match="camera"):
        facetrack.track(camera)  # type: ignore[arg-type]
    with pytest.raises(FacetrackError, match="numbered from 0"):
        facetrack.track(-1)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_live_source_ends_after_max_frames(dots: Path, tmp_path: Path, of_file: Tracks) -> None:
    import shutil
    import threading

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    stream = clips.run_ffmpeg("-i", str(dots), "-c", "copy", "-f", "matroska", "-")

    def send() -> None:
        with open(pipe, "wb") as file:
            try:
                file.write(stream)
            except BrokenPipeError:
                return

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    found = facetrack.track(str(pipe), max_frames=5, **SETTINGS)
    assert len(found) == 5
    np.testing.assert_allclose(found.xy, of_file.xy[:5], atol=1e-3)
    thread.join(10)
    shutil.rmtree(tmp_path)


# ---------------------------------------------------------------- keywords


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"trackr": "lk"}, "track() has no keyword 'trackr'; did you mean tracker?"),
        ({"frobnicate": 1}, "track() has no keyword 'frobnicate'; the keywords are init, tracker"),
        ({"stride": "2"}, "stride must be a whole number, not '2' (str)."),
        ({"stride": True}, "stride must be a whole number, not True (bool)."),
        ({"device": 0}, "device must be text, not 0 (int)."),
        ({"tracker": None}, "tracker must be text, not None (NoneType)."),
        ({"stride": None}, "stride must be a whole number, not None (NoneType)."),
        ({"query_frame": ["a"]}, "query_frame must be numbers of frames, not 'a'."),
        ({"query_frame": [1.5]}, "query_frame must be numbers of frames, not 1.5."),
        ({"steady": "no"}, "steady must be True or False, not 'no' (str)."),
        ({"seconds": 3}, "seconds is for cameras, addresses and pipes"),
        ({"tracker_options": {}}, "tracker_options must be facetrack.TrackerOptions, not dict."),
    ],
)
def test_a_wrong_keyword_is_a_type_error_in_one_sentence(
    keywords: dict, sentence: str, dots: Path
) -> None:
    with pytest.raises(TypeError) as caught:
        facetrack.track(dots, **{**SETTINGS, **keywords})
    assert sentence in str(caught.value)


def test_keywords_reach_the_options_of_the_parts() -> None:
    keywords = {
        "device": "cpu",
        "flip": True,
        "steady": False,
        "tracker_weights": Path("w.pt"),
        "faces": "all",
        "redetect": "30",
        "start": "1:30",
        "fps": "30000/1001",
        "tracker_options": TrackerOptions(device="cuda", causal=True),
    }
    with tracking_options(keywords) as options:
        assert options.tracker_options == TrackerOptions(
            "w.pt", causal=True, steady=False, device="cpu"
        )
        assert options.detector_options == DetectorOptions(device="cpu", flip=True)
        assert (options.faces, options.redetect, options.start) == (None, 30, 90.0)
        assert options.fps == pytest.approx(29.97, abs=0.01)
    with tracking_options({"faces": "largest"}) as options:
        assert options.faces == 1


def test_every_field_of_the_options_is_a_keyword() -> None:
    import dataclasses

    fields = {field.name for field in dataclasses.fields(facetrack.Options)}
    fields.remove("further_query_frames")  # `query_frame` takes a list
    parts = {field.name for field in dataclasses.fields(TrackerOptions)}
    parts |= {field.name for field in dataclasses.fields(DetectorOptions)}
    assert fields | (parts - {"weights"}) <= set(TrackKeywords.__annotations__)


def test_keywords_of_live_sources() -> None:
    options = live_options({"seconds": 2.5, "max_frames": 7, "stride": 2, "tracker": "lk"})
    assert (options.max_seconds, options.max_frames, options.stride) == (2.5, 7, 2)


@pytest.mark.parametrize("points", [[[1, 2, 3]], [], [[np.nan, 1.0]], "text", 5])
def test_points_must_be_points(points: object, dots: Path) -> None:
    with pytest.raises(FacetrackError):
        facetrack.track(dots, points=points, tracker="lk")  # type: ignore[arg-type]


def test_faces_must_be_a_number_or_a_name() -> None:
    with (
        pytest.raises(FacetrackError, match="'largest' or 'all'"),
        tracking_options({"faces": "x"}),
    ):
        pass


def test_image_keywords() -> None:
    options = image_options({"device": "cpu", "flip": True, "faces": "all"})
    assert options.detector_options == DetectorOptions(device="cpu", flip=True)
    assert options.faces == "all"
    with pytest.raises(TypeError, match="no keyword 'face'; did you mean faces"):
        facetrack.detect("a.png", face="all")  # type: ignore[call-arg]
    check_keywords("track", {}, TrackKeywords)
