"""Between the frames that the network sees, positions and logits lie on lines."""

from dataclasses import fields

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facetrack.trackers.tapir.face_window import Window
from facetrack.trackers.tapir.interpolation import (
    STRIDE,
    choose_frames,
    follow_flow_back,
    interpolate,
)
from facetrack.trackers.tapir.output import Output


def _output(random: np.random.Generator, frames: int, lead: tuple[int, ...] = ()) -> Output:
    shape = (*lead, 5, frames)
    arrays = {}
    for field in fields(Output):
        size = (*shape, 2) if field.name.endswith("tracks") else shape
        arrays[field.name] = random.normal(size=size).astype(np.float32)
    return Output(**arrays)


@given(st.integers(1, 40))
def test_the_last_frame_is_seen_and_no_two_in_a_row_are_left_out(count):
    shown = choose_frames(count)
    assert shown[-1] == count - 1
    assert shown[0] < STRIDE
    assert (np.diff(shown) == STRIDE).all()


@given(st.integers(1, 12), st.sampled_from([(), (3,)]), st.integers(0, 9))
@settings(max_examples=30)
def test_seen_frames_keep_the_networks_output(count, lead, seed):
    random = np.random.default_rng(seed)
    shown = choose_frames(count)
    before, output = _output(random, 2, lead), _output(random, len(shown), lead)
    filled = interpolate(before, output, shown, count)
    assert filled.tracks.shape == (*lead, 5, count, 2)
    for field in fields(Output):
        axis = -2 if field.name.endswith("tracks") else -1
        kept = np.take(getattr(filled, field.name), shown, axis)
        assert kept == pytest.approx(getattr(output, field.name), abs=1e-6)
        assert kept.dtype == getattr(output, field.name).dtype


@given(st.integers(1, 12), st.integers(0, 9))
@settings(max_examples=30)
def test_what_changes_evenly_is_found_exactly(count, seed):
    """From the last frame before on, whatever earlier frames were like."""
    random = np.random.default_rng(seed)
    start, step = _output(random, 1), _output(random, 1)

    def at(times: np.ndarray) -> Output:
        even = {}
        for field in fields(Output):
            first, change = getattr(start, field.name), getattr(step, field.name)
            even[field.name] = first + change * (
                times[:, None] if field.name.endswith("tracks") else times
            )
        return Output(**even)

    shown = choose_frames(count)
    before = Output.concatenate([_output(random, 1), at(np.array([-1.0]))])
    filled, truth = interpolate(before, at(shown), shown, count), at(np.arange(count))
    for field in fields(Output):
        found = getattr(filled, field.name)
        assert found == pytest.approx(getattr(truth, field.name), abs=1e-4)


SIDE = 256
PLACES = np.array([[90.0, 100.0], [150.0, 120.0], [120.0, 170.0]])


def _moved_texture(right: float) -> np.ndarray:
    random = np.random.default_rng(3)
    texture = cv2.GaussianBlur(
        random.uniform(0, 255, (SIDE, SIDE, 3)).astype(np.float32), (0, 0), 4
    )
    texture = 128 + 6 * (texture - texture.mean())
    move = np.array([[1, 0, right], [0, 1, 0]], np.float32)
    return cv2.warpAffine(texture, move, (SIDE, SIDE), borderMode=2).clip(0, 255).astype(np.uint8)


def _halfway(visible: float = 5.0) -> tuple[Output, np.ndarray]:
    """Return points that move by 2.0 in two frames, by a line, and the frames the network saw."""
    tracks = np.stack([PLACES + [1.0, 0.0], PLACES + [2.0, 0.0]], 1).astype(np.float32)
    logits = np.full((3, 2), -visible, np.float32)
    return Output(tracks, logits, logits, tracks, 1 / (1 + np.exp(logits))), np.array([1])


def test_the_flow_corrects_what_does_not_move_evenly():
    frames = np.stack([_moved_texture(1.6), _moved_texture(2.0)])
    output, shown = _halfway()
    corrected = follow_flow_back(output, shown, frames, Window(0, 0, SIDE), frames)
    assert corrected.tracks[:, 0] == pytest.approx(PLACES + [1.6, 0.0], abs=0.1)
    np.testing.assert_array_equal(corrected.tracks[:, 1], output.tracks[:, 1])


def test_an_unsure_flow_changes_nothing():
    noise = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)
    frames = np.stack([noise, _moved_texture(2.0)])
    output, shown = _halfway()
    corrected = follow_flow_back(output, shown, frames, Window(0, 0, SIDE), frames)
    np.testing.assert_array_equal(corrected.tracks, output.tracks)


def test_hidden_points_do_not_follow_the_flow():
    frames = np.stack([_moved_texture(1.6), _moved_texture(2.0)])
    output, shown = _halfway(visible=-5.0)
    corrected = follow_flow_back(output, shown, frames, Window(0, 0, SIDE), frames)
    np.testing.assert_array_equal(corrected.tracks, output.tracks)
