"""The benchmark of faces cut off by the border keeps the share of landmarks that it says."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_faces import drawn_face

from benchmarks.accuracy.cut_off import SIDES, cut
from benchmarks.common.heldout import Face


@pytest.fixture
def face() -> Face:
    """Return a picture whose grey levels tell the column, and whose greens tell the row."""
    rows, columns = np.indices((352, 352))
    image = np.stack([columns % 256, rows % 256, (rows // 256) * 2 + columns // 256], -1)
    return Face(image.astype(np.uint8), drawn_face())


@pytest.mark.parametrize("side", range(len(SIDES)))
@pytest.mark.parametrize("within", [0.75, 0.45])
def test_a_share_of_the_landmarks_stays_in_the_picture(face, side, within):
    smaller, inside = cut(face, side, within)
    assert inside.mean() == pytest.approx(
        within, abs=0.15
    )  # of a drawn face, several lie on a line
    axis, direction = SIDES[side]
    kept = face.points[inside, axis]
    lost = face.points[~inside, axis]
    assert (kept.max() < lost.min()) if direction < 0 else (kept.min() > lost.max())
    # What is shown at a landmark is what was there before.
    for old, new in zip(face.points[inside], smaller.points[inside], strict=True):
        (x0, y0), (x1, y1) = np.floor(old + 0.5).astype(int), np.floor(new + 0.5).astype(int)
        assert (smaller.image[y1, x1] == face.image[y0, x0]).all()


def test_all_landmarks_leave_the_picture_as_it_is(face):
    smaller, inside = cut(face, 2, 1.0)
    assert smaller is face
    assert inside.all()
