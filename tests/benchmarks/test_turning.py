"""The clips of turning heads turn as far as they say, and show the landmarks where they are."""

from __future__ import annotations

import numpy as np
from test_turned_heads import NOSE_TIP, photograph

from benchmarks.accuracy.turning import BANDS, FRAMES, make
from benchmarks.clips.turned_heads import heads

__all__ = ["photograph"]


def test_the_head_looks_into_the_camera_and_turns_to_both_sides(
    photograph: tuple[np.ndarray, np.ndarray],
) -> None:
    image, points = photograph
    (head,) = heads([image], points[None])
    clip = make(head, np.random.default_rng(0), every=10)
    assert clip.xy.shape == (len(clip.images), 68, 2)
    assert len(clip.images) == FRAMES // 10
    assert clip.turn[0] < 15
    assert clip.turn.max() > 45
    # The tip of the nose goes to one side of the eyes, and then to the other.
    nose = (clip.xy[:, NOSE_TIP] - clip.xy[:, [36, 45]].mean(1))[:, 0] / clip.unit
    assert nose.min() < -0.3
    assert nose.max() > 0.3
    assert {np.digitize(turn, [high for _, high in BANDS]) for turn in clip.turn} >= {0, 1, 2, 3}
    for picture, (x, y) in zip(clip.images[:2], clip.xy[:2, NOSE_TIP], strict=True):
        bright = picture[..., 0].astype(float) - 130
        weight = bright.clip(0) / bright.clip(0).sum()
        seen = weight.sum(0) @ np.arange(640), weight.sum(1) @ np.arange(480)
        assert np.hypot(seen[0] - x, seen[1] - y) < 6
