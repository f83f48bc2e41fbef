"""Counts how work and memory grow with points, faces, pixels and frames: linearly or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bench.test_work import Count

from facetrack.trackers.tapir import TAPIR, TAPIR_S
from facetrack.trackers.tapir.compact import build_network
from facetrack.trackers.tapir.tracker import TapirTracker

SMALL = replace(
    TAPIR_S,
    stem_channels=8,
    group_channels=(8, 8),
    norm_groups=2,
    hires_dim=8,
    lowres_dim=8,
    fine_dim=4,
    mixer_width=16,
    mixer_blocks=2,
    attention_heads=2,
)
FRAMES = 2


@pytest.fixture
def tapir() -> TAPIR:
    torch.manual_seed(0)
    return TAPIR(build_network(SMALL).eval())


def video(side: int, frames: int = FRAMES) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (frames, side, side, 3), dtype=np.uint8)


def bytes_within(thing: Any, seen: set[int]) -> int:
    """Return the bytes of the tensors and arrays that an object holds.

    Args:
        seen: ids of objects that do not count.
    """
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    if isinstance(thing, torch.Tensor | np.ndarray):
        return int(thing.nbytes)
    parts = list(vars(thing).values()) if hasattr(thing, "__dict__") else []
    if isinstance(thing, dict):
        parts = list(thing.values())
    elif isinstance(thing, list | tuple):
        parts = list(thing)
    return sum(bytes_within(part, seen) for part in parts)


def work_of_points(tapir: TAPIR, count: int) -> Count:
    """Count the work of a step with this many points."""
    clip = video(256)
    points = np.random.default_rng(1).uniform(20, 236, (count, 2))
    state = tapir.start(clip[0], points)
    with Count() as work:
        tapir.step(state, clip)
    return work


def test_work_is_linear_in_the_number_of_points(tapir: TAPIR) -> None:
    few, some, many = (work_of_points(tapir, count).bytes for count in (512, 1024, 4096))
    of_point = (some - few) / 512
    assert few + 0.9 * 3584 * of_point < many < few + 1.1 * 3584 * of_point


def test_memory_is_linear_in_the_number_of_points(tapir: TAPIR) -> None:
    """Points refer to each other in groups: all to all would be quadratic."""

    def memory(count: int) -> int:
        points = np.random.default_rng(1).uniform(20, 236, (count, 2))
        state = tapir.start(video(256)[0], points)
        return bytes_within(state, {id(tapir)})

    few, some, many = (memory(count) for count in (512, 1024, 4096))
    assert many < few + 1.1 * 3584 * (some - few) / 512


@pytest.mark.parametrize("faces", [2, 16])
def test_each_face_takes_the_work_of_the_first(tapir: TAPIR, faces: int) -> None:
    def work(count: int) -> Count:
        tracker = TapirTracker(tapir, follow=True, path=Path("none"))
        clip = video(480)
        points = np.random.default_rng(1).uniform(180, 300, (68, 2))
        states = [tracker.start(clip[0], points) for _ in range(count)]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # operations of other threads are not counted
        try:
            with Count() as counted:
                tracker.step_many(states, clip)
        finally:
            torch.set_num_threads(threads)
        return counted

    one, all_faces = work(1), work(faces)
    assert all_faces.bytes <= faces * one.bytes * 1.01
    assert sum(all_faces.calls.values()) <= faces * sum(one.calls.values()) * 1.01


def test_the_networks_work_does_not_grow_with_the_pictures_pixels(tapir: TAPIR) -> None:
    def work(side: int) -> Count:
        tracker = TapirTracker(tapir, follow=True, path=Path("none"))
        clip = video(side)
        points = np.random.default_rng(1).uniform(0.4 * side, 0.6 * side, (68, 2))
        state = tracker.start(clip[0], points)
        with Count() as counted:
            tracker.step(state, clip)
        return counted

    work(480)  # what is made once
    small, large = work(480), work(2160)
    assert large.bytes == small.bytes
    assert large.calls == small.calls


def test_a_streams_state_does_not_grow_with_the_frames(tapir: TAPIR) -> None:
    tracker = TapirTracker(tapir, follow=True, path=Path("none"))
    clip = video(480)
    points = np.random.default_rng(1).uniform(180, 300, (68, 2))
    state = tracker.start(clip[0], points)

    sizes = []
    for _ in range(12):
        tracker.step(state, clip)
        sizes.append(bytes_within(state, {id(tapir)}))
    assert sizes[0] > 1e5
    assert max(sizes[4:]) == max(sizes[2:4])
