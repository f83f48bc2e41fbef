"""Styles of faces by filters, and the mean over them that a generator learns."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor

from facetrack.detectors.cascades.base import SIDE
from facetrack.training.detectors import styles


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    face = skimage.data.astronaut()[20:200, 140:320]
    small = cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    picture = torch.from_numpy(small.astype(np.float32) / 255).permute(2, 0, 1)
    return torch.stack([picture, picture.flip(2)])


def test_grey_has_no_colour_and_keeps_the_luma(pictures: Tensor) -> None:
    drawn = styles.grey(pictures)
    assert drawn.shape == pictures.shape
    assert float(drawn.std(1).max()) < 1e-6
    luma = cv2.cvtColor(pictures[0].permute(1, 2, 0).numpy(), cv2.COLOR_RGB2GRAY)
    torch.testing.assert_close(drawn[0, 0], torch.from_numpy(luma), atol=1e-3, rtol=0)


def test_light_brightens_the_shadows_most() -> None:
    ramp = torch.linspace(0, 1, 11).view(1, 1, 1, 11).expand(1, 3, 4, 11)
    drawn = styles.light(ramp)
    gain = (drawn - ramp)[0, 0, 0]
    assert (gain[1:10] > 0).all()
    assert float(drawn.max()) == pytest.approx(1)
    assert int(gain.argmax()) < 4


def test_a_sketch_is_white_with_dark_lines_at_edges_whatever_the_light() -> None:
    picture = torch.full((1, 3, SIDE, SIDE), 0.3)
    picture[..., 60:] = 0.8
    drawn = styles.sketch(picture)
    assert float(drawn[..., :30].min()) > 0.97
    assert float(drawn[..., 90:].min()) > 0.97
    assert float(drawn[0, 0, 50].min()) < 0.6
    assert abs(int(drawn[0, 0, 50].argmin()) - 59) <= 2
    dim = styles.sketch(0.6 * picture)
    assert float((dim - drawn).abs().max()) < 0.1


def test_even_exposure_undoes_gain_and_offset(pictures: Tensor) -> None:
    pictures = 0.25 + 0.5 * pictures
    dark = 0.4 * pictures + 0.05
    even, again = styles.expose(pictures), styles.expose(dark)
    torch.testing.assert_close(again, even, atol=0.02, rtol=0)
    middle = styles.grey(even)[:, 0, SIDE // 4 : -(SIDE // 4), SIDE // 4 : -(SIDE // 4)]
    torch.testing.assert_close(
        middle.mean((1, 2)), torch.full((2,), styles.MIDDLE), atol=0.05, rtol=0
    )
    flat = styles.expose(torch.full((1, 3, SIDE, SIDE), 0.2))
    assert torch.isfinite(flat).all()


def test_the_aggregated_picture_is_the_mean_over_the_styles(pictures: Tensor) -> None:
    even = styles.expose(pictures)
    parts = [even, styles.light(even), styles.grey(even), styles.sketch(even)]
    torch.testing.assert_close(styles.aggregate(pictures), sum(parts) / 4)
    assert float(styles.aggregate(pictures).min()) >= 0
    assert float(styles.aggregate(pictures).max()) <= 1


def test_half_of_a_batch_varies_in_style(pictures: Tensor) -> None:
    batch = pictures[:1].expand(8, -1, -1, -1)
    varied = styles.vary(batch)
    same = [bool(torch.equal(a, b)) for a, b in zip(varied, batch, strict=True)]
    assert same == [True, False] * 4
    for place, style in (
        (1, styles.light),
        (3, styles.grey),
        (5, styles.sketch),
        (7, styles.light),
    ):
        torch.testing.assert_close(varied[place], style(batch[:1])[0])
