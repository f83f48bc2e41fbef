"""AVIF images are turned upright as their properties say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facetrack.video.image_files import read_image

image_of = pytest.importorskip("PIL.Image", reason="Pillow writes the images of this test")
ops = pytest.importorskip("PIL.ImageOps")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_read_upright(tmp_path: Path, orientation: int) -> None:
    corners = np.zeros((48, 64, 3), np.uint8)
    corners[:24, :32], corners[:24, 32:], corners[24:, :32] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    exif = image_of.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.avif"
    try:
        image_of.fromarray(corners).save(path, exif=exif, quality=95)
    except (OSError, KeyError) as error:
        pytest.skip(f"this Pillow writes no AVIF: {error}")
    expected = np.asarray(ops.exif_transpose(image_of.open(path)).convert("RGB"), int)
    found = read_image(path).astype(int)
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 8
