"""The clock of exported frames, and what exporters refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facetrack.cli.export import COMMANDS
from facetrack.errors import FacetrackError
from facetrack.exports.base import EXPORTERS, Clock, Source
from facetrack.tracks import Tracks


def test_constant_rate_gives_whole_frames(tracks: Tracks) -> None:
    even = replace(tracks, time=np.arange(len(tracks)) * 1001 / 30000, first_frame=7)
    clock = Clock.of(even)
    assert clock.is_constant
    assert clock.rate == pytest.approx(30000 / 1001)
    assert clock.frames.tolist() == even.frames.tolist()


def test_times_rounded_to_milliseconds_are_constant(tracks: Tracks) -> None:
    clock = Clock.of(replace(tracks, time=(np.arange(len(tracks)) / 30).round(3)))
    assert clock.is_constant
    assert clock.rate == pytest.approx(30, abs=0.01)


@pytest.mark.parametrize("rate", [24000 / 1001, 25.0, 30.0, 60000 / 1001, 120.0])
@pytest.mark.parametrize("start", [0.0, 1.4])
@pytest.mark.parametrize("lost", [[], [3], [5, 6, 11]])
def test_lost_frames_and_rounded_times_change_no_rate(
    tracks: Tracks, rate: float, start: float, lost: list[int]
) -> None:
    kept = np.setdiff1d(np.arange(len(tracks) + len(lost)), lost)
    clock = Clock.of(replace(tracks, time=(start + kept / rate).round(3)))
    assert clock.rate == pytest.approx(rate, rel=1e-9 if rate == round(rate) else 2e-3)
    np.testing.assert_array_equal(clock.frames, kept)
    assert clock.is_constant == (not lost)


def test_stride_keeps_the_rate_of_the_video(tracks: Tracks) -> None:
    clock = Clock.of(replace(tracks, time=np.arange(len(tracks)) * 3 / 25, stride=3))
    assert clock.rate == pytest.approx(25)
    assert clock.frames[:3].tolist() == [0, 3, 6]


def test_variable_rate_keeps_the_true_times(tracks: Tracks) -> None:
    clock = Clock.of(tracks)
    assert not clock.is_constant
    np.testing.assert_allclose(clock.frames / clock.rate, tracks.time, atol=1e-9)


def test_one_frame_has_a_clock(tracks: Tracks) -> None:
    one = replace(
        tracks,
        **{n: getattr(tracks, n)[:1] for n in ("xy", "visible", "confidence", "time")},
    )
    assert Clock.of(one).is_constant
    assert Source(one, "a").end > one.time[0]


def test_times_that_do_not_rise_are_refused(tracks: Tracks) -> None:
    time = tracks.time.copy()
    time[5] = time[4]
    with pytest.raises(FacetrackError, match="do not rise"):
        Source(replace(tracks, time=time), "a")


def test_every_format_has_a_command() -> None:
    assert list(COMMANDS) == list(EXPORTERS)


@pytest.mark.parametrize("name", ["gltf", "bvh", "elan", "praat", "webvtt"])
def test_layouts_without_measures_are_refused(
    name: str, free_source: Source, tmp_path: Path
) -> None:
    with pytest.raises(FacetrackError, match="68 points"):
        EXPORTERS[name].write(tmp_path, free_source)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", EXPORTERS)
def test_no_face_is_refused_or_written_whole(name: str, source: Source, tmp_path: Path) -> None:
    nowhere = Source(
        replace(
            source.tracks,
            xy=np.full_like(source.tracks.xy, np.nan),
            visible=np.zeros_like(source.tracks.visible),
        ),
        "a",
    )
    if name in ("gltf", "bvh"):
        with pytest.raises(FacetrackError, match="has a head pose"):
            EXPORTERS[name].write(tmp_path, nowhere)
        assert not list(tmp_path.iterdir())
        return
    EXPORTERS[name].write(tmp_path, nowhere)
    assert list(tmp_path.iterdir())
