"""S3FD, whose weights are not part of facetrack: decoding, and a run with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facetrack import weights
from facetrack.errors import FacetrackError
from facetrack.face_detectors import sfd

PICTURE = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)


def maps(levels: int = 2, side: int = 8) -> list[np.ndarray]:
    """Maps without a face: logits (background, face), then offsets, for strides 4, 8, ..."""
    empty = []
    for i in range(levels):
        size = side // 2**i
        logits = np.zeros((2, size, size), np.float32)
        logits[0] = 10
        empty += [logits, np.zeros((4, size, size), np.float32)]
    return empty


def put(level: list[np.ndarray], row: int, column: int, logit: float, *offsets: float) -> None:
    level[0][:, row, column] = 0, logit
    level[1][:, row, column] = offsets or (0, 0, 0, 0)


def test_a_cell_without_offsets_is_its_prior() -> None:
    found = maps()
    put(found[2:], 1, 2, 3.0)  # stride 8: centre (20, 12) from the picture's corner, side 32
    boxes, score = sfd.decode(found)
    np.testing.assert_allclose(boxes, [[20 - 16.5, 12 - 16.5, 20 + 15.5, 12 + 15.5]])
    np.testing.assert_allclose(score, [1 / (1 + np.exp(-3))])


def test_offsets_move_and_stretch_the_prior() -> None:
    found = maps()
    put(found[:2], 5, 3, 3.0, 1, -2, 5 * np.log(2), 0)  # stride 4: side 16, moved by 1.6, -3.2
    ((x0, y0, x1, y1),), _ = sfd.decode(found)
    np.testing.assert_allclose([(x0 + x1) / 2, (y0 + y1) / 2], [14 + 1.6 - 0.5, 22 - 3.2 - 0.5])
    np.testing.assert_allclose([x1 - x0, y1 - y0], [32, 16])


def test_of_cells_on_one_face_the_surest_stays() -> None:
    found = maps()
    put(found[:2], 4, 4, 2.0)
    put(found[:2], 4, 5, 3.0)
    put(found[:2], 0, 0, 1.0)
    _, score = sfd.decode(found)
    np.testing.assert_allclose(score, 1 / (1 + np.exp([-3, -1])))


def test_an_unsure_cell_is_no_face() -> None:
    found = maps()
    put(found[:2], 4, 4, -0.1)
    boxes, score = sfd.decode(found)
    assert (boxes.shape, score.shape) == ((0, 4), (0,))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under the official file's names."""
    from face_alignment.detection.sfd.net_s3fd import s3fd

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("sfd") / "s3fd.pth"
    torch.save(s3fd().state_dict(), path)
    return path


@pytest.fixture
def detector(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> sfd.Sfd:
    monkeypatch.setattr(weights, "resolve", lambda part: weights.ResolvedWeights(checkpoint, None))
    return sfd.Sfd()


def test_official_layout_loads_and_runs(detector: sfd.Sfd, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(sfd, "decode", lambda m: seen.append(m) or (np.empty((0, 4)), np.empty(0)))
    detector.detect(PICTURE)
    (found,) = seen
    assert [m.shape[0] for m in found] == [2, 4] * 6
    assert found[0].shape[1:] == (17, 22)  # 70 x 90 in steps of 4
    assert detector.describe()["name"] == "sfd"


def test_network_sees_blue_first_less_the_mean(
    detector: sfd.Sfd, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def network(x: torch.Tensor) -> list[torch.Tensor]:
        seen.append(x)
        return [torch.from_numpy(m)[None] for m in maps()]

    monkeypatch.setitem(detector.__dict__, "_network", network)
    detector.detect(np.full((1080, 1920, 3), (123, 117, 200), np.uint8))
    (x,) = seen
    assert x[0, :, 0, 0].tolist() == [96, 0, 0]
    assert x.shape[2] * x.shape[3] <= sfd.MAX_IMAGE_PIXELS * 1.01


@pytest.mark.parametrize("shape", [(1, 1), (10, 500), (16, 16)])
def test_small_images_have_no_face(detector: sfd.Sfd, shape: tuple[int, int]) -> None:
    detector.__dict__.setdefault("_network", lambda x: [torch.from_numpy(m)[None] for m in maps()])
    assert detector.detect(np.zeros((*shape, 3), np.uint8)).boxes.shape == (0, 4)


def test_another_network_s_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "other.pth"
    torch.save({"conv1.weight": torch.zeros(3)}, path)
    monkeypatch.setattr(weights, "resolve", lambda part: weights.ResolvedWeights(path, None))
    with pytest.raises(FacetrackError, match="is not an S3FD face detector"):
        sfd.Sfd().detect(PICTURE)


def test_missing_weights_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACETRACK_HOME", str(tmp_path))
    with pytest.raises(FacetrackError, match="facetrack weights fetch sfd"):
        sfd.Sfd().detect(PICTURE)
