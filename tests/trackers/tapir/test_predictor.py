"""The TAPIR predictor: streaming, resolutions, coordinates, limits of memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from synthetic_tapir import CAUSAL_BOOTS, PANNING, TINY_CAUSAL, noise_video, synthetic_state

from facetrack.trackers.tapir import TAPIR, TAPIR_S, predictor
from facetrack.trackers.tapir import stream_state as state_module
from facetrack.trackers.tapir.compact import build_network
from facetrack.trackers.tapir.config import refinement_sizes
from facetrack.trackers.tapir.stream_state import Grouping

QUERIES = np.array([[0, 40.0, 60.0], [0, 100.5, 30.25], [0, 200.0, 220.0], [0, 10.0, 128.0]])


WITH_OCCLUSION_HEAD = replace(TAPIR_S, occlusion_patch=32)


def _tapir(config, refines: bool = True) -> TAPIR:
    """Return a predictor with random weights; without refinement it returns the matches."""
    torch.manual_seed(0)
    network = build_network(config)
    if network.occlusion_head is not None:
        torch.nn.init.normal_(network.occlusion_head.out.weight)
    if not config.motion_inputs:
        network.load_state_dict(synthetic_state(config))
    if not refines:
        torch.nn.init.zeros_(network.torch_pips_mixer.linear_1.weight)
        torch.nn.init.zeros_(network.torch_pips_mixer.linear_1.bias)
    return TAPIR(network.eval())


@pytest.mark.parametrize(
    ("full", "sizes"),
    [
        ((256, 256), [(256, 256)]),
        ((144, 176), [(256, 256)]),
        ((480, 480), [(256, 256), (480, 480)]),
        ((480, 640), [(256, 256), (344, 400), (480, 640)]),
        ((256, 384), [(256, 256), (256, 384)]),
        ((482, 645), [(256, 256), (344, 400), (480, 640)]),
    ],
)
def test_refinement_resolutions_are_log_spaced_multiples_of_eight(full, sizes):
    assert refinement_sizes(full) == sizes


@pytest.mark.parametrize(
    "config",
    [TINY_CAUSAL, TAPIR_S, WITH_OCCLUSION_HEAD],
    ids=["official", "compact", "occlusion head"],
)
@pytest.mark.parametrize("chunk", [1, 3])
def test_streaming_equals_tracking_a_whole_clip(config, chunk):
    tapir = _tapir(config)
    video = noise_video(7, 256, 256)
    whole = tapir.track(video, QUERIES)
    state = tapir.start(video[0], QUERIES[:, 1:])
    parts = [tapir.step(state, video[i : i + chunk]) for i in range(0, len(video), chunk)]
    np.testing.assert_allclose(
        np.concatenate([p.tracks for p in parts], 1), whole.tracks, atol=2e-3
    )
    occlusion = np.concatenate([p.occlusion for p in parts], 1)
    np.testing.assert_allclose(occlusion, whole.occlusion, atol=1e-3)


def test_unrefined_output_is_that_without_an_occlusion_head():
    tapir = _tapir(WITH_OCCLUSION_HEAD)
    video = noise_video(3, 256, 256)
    refined = tapir.step(tapir.start(video[0], QUERIES[:, 1:]), video)
    tapir.network.occlusion_head = None
    alone = tapir.step(tapir.start(video[0], QUERIES[:, 1:]), video)
    for output in (refined, alone):
        np.testing.assert_allclose(output.unrefined_visibility, alone.visibility, atol=1e-5)
        np.testing.assert_allclose(output.unrefined_tracks, alone.tracks, atol=1e-3)
    assert np.abs(refined.visibility - alone.visibility).max() > 0.01
    assert np.abs(refined.tracks - alone.tracks).max() > 0.01


def test_streaming_state_does_not_grow():
    tapir = _tapir(TAPIR_S)
    video = noise_video(6, 256, 256)

    def size(state):
        return sum(t.numel() for level in state.caches for cache in level for t in cache.values())

    state = tapir.start(video[0], QUERIES[:, 1:])
    tapir.step(state, video[:2])
    after_two = size(state)
    tapir.step(state, video[2:])
    assert size(state) == after_two


def test_a_causal_network_ignores_the_future():
    tapir = _tapir(TINY_CAUSAL)
    video = noise_video(6, 256, 256)
    changed = video.copy()
    changed[4:] = 255 - changed[4:]
    before, after = tapir.track(video, QUERIES), tapir.track(changed, QUERIES)
    np.testing.assert_allclose(before.tracks[:, :4], after.tracks[:, :4], atol=1e-4)


def test_an_offline_network_uses_the_future():
    tapir = _tapir(replace(PANNING, mixer_blocks=1))
    video = noise_video(5, 256, 256)
    changed = video.copy()
    changed[4:] = 255 - changed[4:]
    before, after = tapir.track(video, QUERIES), tapir.track(changed, QUERIES)
    assert np.abs(before.tracks[:, 3] - after.tracks[:, 3]).max() > 1e-4


def test_offline_tracks_start_from_the_query_point_in_its_frame():
    tapir = _tapir(replace(PANNING, mixer_blocks=1), refines=False)
    queries = QUERIES + np.array([2, 0, 0])
    tracks = tapir.track(noise_video(4, 256, 256), queries).tracks
    np.testing.assert_allclose(tracks[:, 2], queries[:, [2, 1]], atol=1e-3)


def test_points_of_a_wide_picture_are_mapped_axis_by_axis():
    """The query is found in its own frame, on a grid that is not square."""
    tapir = _tapir(replace(PANNING, mixer_blocks=1), refines=False)
    video = noise_video(1, 320, 512)
    queries = np.array([[0, 100.0, 400.0], [0, 300.0, 50.0]])
    tracks = tapir.track(video, queries).tracks
    np.testing.assert_allclose(tracks[:, 0], queries[:, [2, 1]], atol=1e-2)


@pytest.mark.parametrize(
    ("video", "queries"),
    [
        (np.zeros((2, 8, 8), np.uint8), QUERIES),
        (np.zeros((2, 8, 8, 3), np.float32), QUERIES),
        (np.zeros((2, 8, 8, 3), np.uint8), QUERIES[:, :2]),
    ],
)
def test_arrays_of_the_wrong_shape_are_refused(video, queries):
    with pytest.raises(ValueError, match="must be"):
        _tapir(TAPIR_S).track(video, queries)


@pytest.mark.parametrize("frames_at_once", [1, 8])
def test_bfloat16_stays_near_float32_with_published_networks(frames_at_once):
    """Also on noise, where many places are similar."""
    video = noise_video(8, 256, 256)
    places = np.random.default_rng(1).uniform(20, 236, (68, 2))
    tracks = []
    for precision in (torch.float32, torch.bfloat16):
        network = build_network(CAUSAL_BOOTS)
        network.load_state_dict(synthetic_state(CAUSAL_BOOTS))
        tapir = TAPIR(network.eval(), precision=precision)
        state = tapir.start(video[0], places)
        steps = range(0, len(video), frames_at_once)
        result = [tapir.step(state, video[i : i + frames_at_once]).tracks for i in steps]
        tracks.append(np.concatenate(result, 1))
    distances = np.linalg.norm(tracks[0] - tracks[1], axis=-1)
    assert distances.max() < 0.25
    assert np.median(distances) < 0.05


def test_a_device_out_of_memory_gets_fewer_frames_at_once(monkeypatch):
    tapir = _tapir(WITH_OCCLUSION_HEAD)
    video = noise_video(7, 256, 256)
    expected = tapir.step(tapir.start(video[0], QUERIES[:, 1:]), video)
    state, sizes = tapir.start(video[0], QUERIES[:, 1:]), []
    refine = tapir.network.refine

    def short_of_memory(*arguments):
        # After matching, when some caches of the mixer are updated.
        result = refine(*arguments)
        sizes.append(arguments[3].estimate.xy.shape[2])
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return result

    monkeypatch.setattr(tapir.network, "refine", short_of_memory)
    result = tapir.step(state, video)
    assert sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    np.testing.assert_allclose(result.tracks, expected.tracks, atol=2e-3)
    np.testing.assert_allclose(result.occlusion, expected.occlusion, atol=1e-3)
    assert tapir.warnings[0] == (
        "cpu has too little free memory for 7 frames at once: it went on with 3."
    )
    assert len(tapir.warnings) == 2


def test_many_points_are_tracked_with_fewer_frames_at_once(monkeypatch):
    tapir = _tapir(TAPIR_S)
    video = noise_video(7, 256, 256)
    expected = tapir.step(tapir.start(video[0], QUERIES[:, 1:]), video)
    monkeypatch.setattr(predictor, "MAX_CPU_ROWS", 3 * len(QUERIES) + 1)
    state, sizes = tapir.start(video[0], QUERIES[:, 1:]), []
    refine = tapir.network.refine
    monkeypatch.setattr(
        tapir.network,
        "refine",
        lambda *arguments: sizes.append(arguments[3].estimate.xy.shape[2]) or refine(*arguments),
    )
    result = tapir.step(state, video)
    assert sizes == [3, 3, 1]
    np.testing.assert_allclose(result.tracks, expected.tracks, atol=2e-3)


def test_out_of_memory_on_a_single_frame_is_an_error(monkeypatch):
    tapir = _tapir(TAPIR_S)
    video = noise_video(2, 256, 256)
    state = tapir.start(video[0], QUERIES[:, 1:])

    def no_memory(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(tapir.network, "refine", no_memory)
    with pytest.raises(torch.OutOfMemoryError):
        tapir.step(state, video)


@given(st.integers(1, 40), st.integers(0, 3), st.integers(1, 9))
def test_joined_groups_are_the_original_points(count, groups, together):
    points = np.random.default_rng(0).uniform(size=(*(groups,) * (groups > 0), count, 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state_module, "MAX_GROUP_POINTS", together)
        grouping = Grouping.of(points)
    split = grouping.split(points)
    assert split.shape[1] <= together
    assert len(split) == max(1, groups) * -(-count // together)
    np.testing.assert_array_equal(grouping.join(torch.from_numpy(split)).numpy(), points)


def test_each_group_of_many_points_takes_every_nth(monkeypatch):
    tapir = _tapir(TAPIR_S)
    video = noise_video(3, 256, 256)
    points = np.random.default_rng(1).uniform(30, 220, (7, 2))
    monkeypatch.setattr(state_module, "MAX_GROUP_POINTS", 3)
    got = tapir.step(tapir.start(video[0], points), video).tracks
    monkeypatch.setattr(state_module, "MAX_GROUP_POINTS", 100)
    for first, own in ((0, [0, 3, 6]), (1, [1, 4, 0])):
        expected = tapir.step(tapir.start(video[0], points[own]), video).tracks
        unpadded = slice(None, None if first == 0 else 2)
        np.testing.assert_allclose(got[first::3][unpadded], expected[unpadded], atol=1e-3)
