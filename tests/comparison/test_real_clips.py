"""A comparison of real detectors and trackers is what runs of `facetrack track` give."""

from __future__ import annotations

import clips
import numpy as np
import pytest

import facetrack
from facetrack.api.compare import compare, example_clip
from facetrack.video.ffmpeg import file_url


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """The first frames of the example clip, made small."""
    path = tmp_path_factory.mktemp("real") / "short.mkv"
    size = ("-vf", "scale=320:240", "-frames:v", "10", "-an", "-c:v", "libx264", "-qp", "10")
    clips.run_ffmpeg("-i", file_url(example_clip()), *size, file_url(path))
    return path


def test_methods_are_what_each_is_alone(clip) -> None:
    found = compare(
        clip,
        inits=["ert"],
        trackers=["tapir", "lk", "per-frame"],
        face_detector="mtcnn",
        query_frame=4,
        cycle_frames=3,
        check_every=0.2,
    )
    for result in found.results:
        alone = facetrack.track(
            clip, init="ert", tracker=result.tracker, face_detector="mtcnn", query_frame=4
        )
        np.testing.assert_array_equal(result.tracks.xy, alone.xy, err_msg=result.label)
        np.testing.assert_array_equal(result.tracks.visible, alone.visible)
        np.testing.assert_array_equal(result.tracks.confidence, alone.confidence)
        np.testing.assert_array_equal(result.tracks.time, alone.time)
        assert result.measures["missing"] == 0
        assert result.measures["disagreement"] < 10
        assert result.measures["detections_failed"] == 0
    tapir = found.results[0]
    assert 0 < tapir.measures["drift"] < 10
    assert 0 < tapir.measures["cycle"] < 5
    assert tapir.about["tracker"]["weights"] == "tapir-s"
    assert found.peak_memory > 50


def test_a_name_is_no_list_of_names(clip) -> None:
    with pytest.raises(TypeError, match="lists of names"):
        compare(clip, inits="ert")
