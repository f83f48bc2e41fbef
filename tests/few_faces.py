"""Let trainings of tests begin with a few faces."""

from __future__ import annotations

import zlib

import pytest

from facetrack.training import textures


def allow(patch: pytest.MonkeyPatch, held_out: int, count: int) -> None:
    """Hold out `held_out` of the `count` faces 000.jpg, 001.jpg, ..., and take them for many."""
    sums = sorted(zlib.crc32(f"{i:03d}.jpg".encode()) for i in range(count))
    patch.setattr(textures, "HELD_OUT", sums[held_out] / 2**32)
    patch.setattr(textures, "FEW", held_out)
