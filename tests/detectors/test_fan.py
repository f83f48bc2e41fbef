"""FAN: upstream's numbers on synthetic weights, sub-pixel decoding, and its checkpoints."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from synthetic_detectors import state_crc32, synthetic_state

from facetrack.detectors import DetectorOptions, create
from facetrack.detectors.crops import LANDMARK_BOX, relative_box
from facetrack.detectors.fan import FAN, Fan
from facetrack.errors import FacetrackError
from facetrack.face_detectors.dlib_hog import DlibHog
from facetrack.landmarks import schemes

# The golden network's exceptions from the weight rule.
FACTORS = {f"conv_last{i}.weight": 0.125 for i in range(4)}
SURE = 1e-3
"""Decoding is discrete: where margins are below this, rounding may decide."""


def made(path: Path, flip: bool = False) -> Fan:
    detector = create("fan", DetectorOptions(weights=str(path), device="cpu", flip=flip))
    assert isinstance(detector, Fan)
    return detector


@pytest.fixture(scope="module")
def one_stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a FAN with one hourglass."""
    path = tmp_path_factory.mktemp("fan") / "fan1.pth"
    torch.save(synthetic_state(FAN(1).state_dict(), FACTORS), path)
    return path


# ---------------------------------------------------------------- upstream's numbers


@pytest.fixture(scope="module")
def reference(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "fan4.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def four_stacks(
    golden: Path, reference: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    state = synthetic_state(golden / "state_dict_fan4.txt", FACTORS)
    assert state_crc32(state) == int(reference["state_crc32"])
    path = tmp_path_factory.mktemp("fan") / "2DFAN4.pth.tar"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "flip"])
def run(
    request: pytest.FixtureRequest, four_stacks: Path, reference: dict[str, np.ndarray]
) -> tuple[Fan, torch.Tensor, dict[str, np.ndarray]]:
    """The detector, its maps of the golden crops, and the golden arrays of that kind."""
    detector = made(four_stacks, flip=request.param)
    with torch.inference_mode():
        maps = detector.run(detector.prepare(reference["crops"]))
    suffix = "_flip" if request.param else ""
    names = ("heatmap_val", "margins", "grid_xy", "score", "landmarks")
    return detector, maps, {name: reference[name + suffix] for name in names}


Run = tuple[Fan, torch.Tensor, dict[str, np.ndarray]]


def test_checkpoint_is_recognised(run: Run) -> None:
    message = run[0].describe()
    assert (message["scheme"], message["stacks"]) == ("68", 4)


def test_maps_are_upstreams(run: Run, reference: dict[str, np.ndarray]) -> None:
    _, maps, expected = run
    some = maps.flatten(1)[:, reference["heatmap_idx"]]
    np.testing.assert_allclose(some, expected["heatmap_val"], atol=1e-4, rtol=0)


def test_places_in_the_map_are_upstreams(run: Run) -> None:
    detector, maps, expected = run
    xy, score = detector.decode(maps)
    sure = (expected["margins"] > SURE).all(-1)
    assert sure.mean() > 0.9
    np.testing.assert_array_equal(xy[sure], expected["grid_xy"][sure])
    passes = 2 if detector.describe()["flip"] else 1
    np.testing.assert_allclose(score, (expected["score"] / passes).clip(0, 1), atol=1e-4)


def test_detect_gives_upstreams_landmarks_before_truncation(
    run: Run, reference: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, _, expected = run
    # The golden boxes are upstream's own, not those of a HOG detector.
    monkeypatch.setattr(detector, "crop_box", lambda box: box)
    found = detector.detect(reference["image"], reference["boxes"][:, :4])
    sure = (expected["margins"] > SURE).all(-1)
    np.testing.assert_allclose(found.xy[sure], expected["landmarks"][sure], atol=1e-3, rtol=0)


def test_crops_are_upstreams(four_stacks: Path, reference: dict[str, np.ndarray]) -> None:
    detector = made(four_stacks)
    for face, box in enumerate(reference["boxes"][:, :4]):
        cut = detector.crop(reference["image"], box)
        assert cut is not None
        crop, (scale, origin) = cut
        assert np.abs(crop.astype(int) - reference["crops"][face]).max() <= 1
        np.testing.assert_allclose(scale * 64, 200 * reference["scale"][face])
        np.testing.assert_allclose(origin + 32 * scale, reference["center"][face])


# ---------------------------------------------------------------- decoding


def test_steps_go_to_the_higher_neighbour_and_not_at_the_edge(one_stack: Path) -> None:
    maps = torch.zeros(1, 68, 64, 64)
    maps[0, 0, 20, 30], maps[0, 0, 20, 31], maps[0, 0, 19, 30] = 0.9, 0.5, 0.4
    maps[0, 1, 20, 0], maps[0, 1, 20, 1], maps[0, 1, 21, 0] = 2.0, 0.5, 0.5
    maps[0, 2, 63, 62] = -1.0
    (xy,), (score,) = made(one_stack).decode(maps)
    np.testing.assert_allclose(xy[0], [30.75, 20.25])
    np.testing.assert_allclose(xy[1], [0.5, 20.5])
    np.testing.assert_allclose(xy[2], [0.5, 0.5])
    np.testing.assert_allclose(score[:3], [0.9, 1.0, 0.0])


def test_flipping_mirrors_back_and_swaps_sides(one_stack: Path) -> None:
    plain, flipped = made(one_stack), made(one_stack, flip=True)
    crops = np.random.default_rng(0).integers(0, 255, (1, 256, 256, 3)).astype(np.uint8)
    # The sum of a picture's maps and its mirror image's is its own mirror image, left for right.
    with torch.inference_mode():
        maps = flipped.run(flipped.prepare(crops))
        mirrored = flipped.run(flipped.prepare(np.ascontiguousarray(crops[:, :, ::-1])))
        single = plain.run(plain.prepare(crops))
    swap = list(schemes.get("68").swap)
    np.testing.assert_allclose(mirrored.flip(3)[:, swap], maps, atol=1e-4)
    assert (maps - single).abs().max() > 0.1


def test_many_faces_are_placed_as_one_by_one(one_stack: Path) -> None:
    detector = made(one_stack)
    random = np.random.default_rng(0)
    images = [random.integers(0, 255, (90, 120, 3)).astype(np.uint8) for _ in range(2)]
    boxes = [np.array([[30, 20, 70, 60], [50, 30, 80, 60.0]]), np.array([[10, 10, 60, 60.0]])]
    many = detector.detect_many(images, boxes)
    for image, some, found in zip(images, boxes, many, strict=True):
        alone = [detector.detect(image, box[None]) for box in some]
        for xy, score, one in zip(found.xy, found.score, alone, strict=True):
            # A tie between cells may be decided by rounding.
            assert (np.abs(xy - one.xy[0]).max(-1) < 1e-3).mean() > 0.95
            np.testing.assert_allclose(score, one.score[0], atol=1e-4)


# ---------------------------------------------------------------- boxes


def test_own_box_is_the_landmarks_box(one_stack: Path) -> None:
    box = np.array([100, 200, 200, 300.0])
    x0, y0, x1, y1 = LANDMARK_BOX
    expected = [100 + 100 * x0, 200 + 100 * y0, 100 + 100 * x1, 200 + 100 * y1]
    np.testing.assert_allclose(made(one_stack).crop_box(box), expected)


def test_landmarks_box_holds_annotated_faces(shared_data: Path) -> None:
    folder = shared_data / "faces68_train"
    data = np.load(folder / "landmarks68.npz")
    hog, off = DlibHog(), []
    for i in range(20, len(data["names"]), len(data["names"]) // 24):
        image = cv2.imread(str(folder / str(data["names"][i])))[..., ::-1]
        truth = data["points"][i]
        tight = np.concatenate([truth.min(0), truth.max(0)])
        for box in hog.detect(image).boxes[:1]:
            if (box[:2] < truth.mean(0)).all() and (truth.mean(0) < box[2:]).all():
                off.append((relative_box(box, LANDMARK_BOX) - tight) / (box[2] - box[0]))
    assert len(off) > 15
    assert np.abs(np.median(off, axis=0)).max() < 0.06


@pytest.mark.parametrize(
    ("box", "known"),
    [
        ((-40, -40, 30, 30), True),
        ((60, 50, 140, 130), True),
        ((-5000, -5000, 6000, 6000), False),
        ((10, 10, 11, 11), True),
    ],
    ids=["corner", "far corner", "far larger than the frame", "two pixels"],
)
def test_box_half_outside(one_stack: Path, box: tuple[float, ...], known: bool) -> None:
    found = made(one_stack).detect(np.zeros((80, 100, 3), np.uint8), np.array([box]))
    assert np.isfinite(found.xy).all() == known
    assert ((found.score >= 0) & (found.score <= 1)).all()


# ---------------------------------------------------------------- checkpoints


def test_torchscript_archive_gives_the_same_network(one_stack: Path, tmp_path: Path) -> None:
    network = FAN(1).eval()
    network.load_state_dict(torch.load(one_stack, weights_only=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch has announced TorchScript's end
        torch.jit.trace(network, torch.zeros(1, 3, 256, 256)).save(str(tmp_path / "2DFAN.zip"))
    crops = np.random.default_rng(0).integers(0, 255, (1, 256, 256, 3)).astype(np.uint8)
    xy, _ = made(tmp_path / "2DFAN.zip").landmarks(crops)
    np.testing.assert_array_equal(xy, made(one_stack).landmarks(crops)[0])


def test_fewer_stacks_are_recognised(one_stack: Path, tmp_path: Path) -> None:
    assert made(one_stack).describe()["stacks"] == 1
    torch.save(FAN(2).state_dict(), tmp_path / "fan2.pth")
    assert made(tmp_path / "fan2.pth").describe()["stacks"] == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda state: {"layer1.0.conv1.weight": torch.zeros(3)},
        lambda state: {k: v for k, v in state.items() if not k.startswith("l0")},
        lambda state: {**state, "l0.weight": torch.zeros(98, 256, 1, 1)},
    ],
    ids=["other network", "no head", "98 points"],
)
def test_other_checkpoints_are_refused_in_one_sentence(
    change: Any, one_stack: Path, tmp_path: Path
) -> None:
    torch.save(change(torch.load(one_stack, weights_only=True)), tmp_path / "x.pth")
    with pytest.raises(FacetrackError, match=r"x\.pth is not a checkpoint of the 2D FAN.*\.$"):
        made(tmp_path / "x.pth")
