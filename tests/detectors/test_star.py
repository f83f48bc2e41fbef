"""STAR: parity with the reference on synthetic weights; its files, crops and scores."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_detectors import listing, state_crc32, synthetic_state

from facetrack.detectors import DetectorOptions
from facetrack.detectors.crops import SIZE
from facetrack.detectors.star import ENLARGE, MAX_CROPS, Star
from facetrack.detectors.star_network import (
    BOUNDARY,
    StarConfig,
    StarNetwork,
    concentration,
    decode,
)
from facetrack.errors import FacetrackError

LISTING = "state_dict_star_wflw_98.txt"
SMALL = StarConfig(points=29, edges=7, stacks=2, levels=4, width=8)


def small_state(config: StarConfig = SMALL) -> dict[str, torch.Tensor]:
    state = synthetic_state(StarNetwork(config).state_dict())
    # Every point on one edge: the maps are then positive, as with real membership.
    weight = torch.zeros_like(state["e2h_transform.weight"])
    weight[:, 0] = 1
    state |= {"e2h_transform.weight": weight, "e2h_transform.bias": torch.zeros(config.points)}
    return state


def saved(path: Path, state: dict[str, torch.Tensor]) -> Path:
    """As upstream's trainer saves: the network among its optimiser's and scheduler's state."""
    moments = {i: {"step": 1, "exp_avg": value} for i, value in enumerate(state.values())}
    torch.save(
        {
            "net": state,
            "optimizer": {"state": moments, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.99)}]},
            "scheduler": {"milestones": {200: 1}, "last_epoch": 3},
            "epoch": 3,
        },
        path,
    )
    return path


def star(path: Path, flip: bool = False) -> Star:
    return Star(DetectorOptions(weights=str(path), device="cpu", flip=flip))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("star") / "small.pkl", small_state())


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict[str, np.ndarray]:
    return dict(np.load(golden / "star_wflw_98.npz"))


@pytest.fixture(scope="module")
def official(
    golden: Path, expected: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Star, int]:
    """The detector of a file in the official layout, and the checksum of its weights."""
    quarter = {f"features.{i}.1.conv.weight": 0.25 for i in range(4)}
    state = synthetic_state(golden / LISTING, quarter)
    membership = torch.from_numpy(expected["e2h_weight"].astype(np.float32))
    state["e2h_transform.weight"] = membership.reshape(98, 9, 1, 1)
    state["e2h_transform.bias"] = torch.from_numpy(expected["e2h_bias"].astype(np.float32))
    path = saved(tmp_path_factory.mktemp("official") / "wflw.pkl", state)
    return star(path), state_crc32(state)


# ---------------------------------------------------------------- parity with the reference


def test_names_and_shapes_are_the_published_ones(golden: Path) -> None:
    ours = {k: tuple(v.shape) for k, v in StarNetwork(StarConfig()).state_dict().items()}
    assert ours == {k: s for k, (s, _) in listing(golden / LISTING).items()}


def test_synthetic_weights_are_the_goldens(
    official: tuple[Star, int], expected: dict[str, np.ndarray]
) -> None:
    assert official[1] == int(expected["state_crc32"])


def test_maps_agree_with_the_reference(
    official: tuple[Star, int], expected: dict[str, np.ndarray]
) -> None:
    detector, _ = official
    batch = detector.prepare(np.ascontiguousarray(expected["crops_bgr"][..., ::-1]))
    with torch.inference_mode():
        stacks = list(detector.network.stacks(batch))
    places = np.stack([decode(maps.fusion).numpy() for maps in stacks], 1)
    np.testing.assert_allclose(places, expected["stack_landmarks_norm"], atol=1e-5)
    for name, values in (("point", "pointmap"), ("edge", "edgemap"), ("fusion", "fusion")):
        for i, maps in enumerate(stacks):
            for box in range(2):
                seen = getattr(maps, name)[box].flatten()[expected[f"{values}_idx"]]
                np.testing.assert_allclose(seen, expected[f"{values}_val"][box, i], atol=1e-4)


def test_landmarks_agree_with_the_reference_from_the_crops(
    official: tuple[Star, int], expected: dict[str, np.ndarray]
) -> None:
    detector, _ = official
    xy, score = detector.landmarks(np.ascontiguousarray(expected["crops_bgr"][..., ::-1]))
    assert ((score >= 0) & (score <= 1)).all()
    for box in range(2):
        _, placement = detector.crop(expected["image"], expected["boxes"][box])
        found = detector.to_image(xy[box], placement)
        np.testing.assert_allclose(found, expected["landmarks"][box], atol=1e-3)


def test_landmarks_agree_with_the_reference_from_the_photo(
    official: tuple[Star, int], expected: dict[str, np.ndarray]
) -> None:
    detector, _ = official
    for box in range(2):
        crop, placement = detector.crop(expected["image"], expected["boxes"][box])
        away = crop[..., ::-1].astype(int) - expected["crops_bgr"][box]
        assert np.abs(away).max() <= 4
        found = detector.to_image(detector.landmarks(crop[None])[0][0], placement)
        np.testing.assert_allclose(found, expected["landmarks"][box], atol=0.5)


def test_official_file_is_recognised(official: tuple[Star, int]) -> None:
    detector, _ = official
    assert detector.scheme == "98"
    output_text = detector.describe()
    assert (output_text["name"], output_text["stacks"], output_text["width"]) == ("star", 4, 256)
    assert len(output_text["sha256"]) == 64
    assert "CVPR 2023" in output_text["paper"]


# ---------------------------------------------------------------- the network


def test_boundary_is_where_the_last_heat_map_is_high() -> None:
    network = StarNetwork(SMALL).eval()
    network.load_state_dict(small_state())
    inputs: list[torch.Tensor] = []
    network.hgs[1].register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    with torch.inference_mode():
        first, _ = network.stacks(torch.rand(1, 3, SIZE, SIZE) * 2 - 1)
    down, across, _, down_edge, across_edge = inputs[0][0, -5:]
    edge = first.heat[0, -1] > BOUNDARY
    assert 0 < edge.float().mean() < 1
    assert torch.equal(down[:, 0], torch.linspace(-1, 1, 64))
    assert torch.equal(across[0], torch.linspace(-1, 1, 64))
    assert torch.equal(down_edge, down * edge)
    assert torch.equal(across_edge, across * edge)


def test_unused_skip_layers_have_no_effect() -> None:
    state = small_state()
    picture = torch.rand(1, 3, SIZE, SIZE)
    answers = []
    for factor in (1, 5):
        unused = {k: v * factor for k, v in state.items() if "hgs" in k and "skip_layer" in k}
        network = StarNetwork(SMALL).eval()
        network.load_state_dict(state | unused)
        with torch.inference_mode():
            answers.append(network(picture).fusion)
    assert len(unused) == 2 * 2 * 13
    assert torch.equal(*answers)


def test_a_single_lit_cell_is_found_there() -> None:
    fusion = torch.zeros(1, 1, 64, 64)
    fusion[0, 0, 10, 40] = 3
    place = decode(fusion)
    torch.testing.assert_close(place, torch.tensor([[[40.0, 10.0]]]) / 63 * 2 - 1)
    assert concentration(fusion, place, 4.0).item() == 1


def test_two_peaks_far_apart_score_nothing_between_them() -> None:
    fusion = torch.zeros(1, 1, 64, 64)
    fusion[0, 0, 10, (10, 50)] = 1
    assert concentration(fusion, decode(fusion), 4.0).item() == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(5, 12), st.integers(5, 12), st.floats(0.5, 6))
def test_score_is_the_share_of_the_map_near_the_point(seed, height, width, radius) -> None:
    generator = torch.Generator().manual_seed(seed)
    fusion = torch.rand(1, 3, height, width, generator=generator)
    xy = torch.rand(1, 3, 2, generator=generator) * 2 - 1
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    for k, got in enumerate(concentration(fusion, xy, radius)[0]):
        x, y = (xy[0, k] + 1) / 2 * torch.tensor([width - 1, height - 1])
        near = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
        assert got == pytest.approx(float(fusion[0, k][near].sum() / fusion[0, k].sum()), abs=1e-5)


def test_maps_without_numbers_have_neither_place_nor_score() -> None:
    fusion = torch.full((1, 2, 6, 6), torch.nan)
    place = decode(fusion)
    assert place.isnan().all()
    assert concentration(fusion, place, 4.0).isnan().all()


def test_empty_map_is_a_point_of_no_score() -> None:
    fusion = torch.zeros(1, 2, 64, 64)
    assert torch.isfinite(decode(fusion)).all()
    assert not concentration(fusion, decode(fusion), 4.0).any()


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("config", "scheme"),
    [
        (StarConfig(98, 9, stacks=1, levels=2, width=12), "98"),
        (StarConfig(68, 9, stacks=3, levels=4, width=8), "68"),
        (SMALL, "29"),
    ],
)
def test_variant_is_recognised_from_names_and_shapes(
    config: StarConfig, scheme: str, tmp_path: Path
) -> None:
    detector = star(saved(tmp_path / "w.pkl", small_state(config)))
    assert detector.scheme == scheme
    assert detector.network.config == config


@pytest.mark.parametrize(
    ("change", "output_text"),
    [
        (lambda s: {"weight": torch.zeros(3)}, "it has no e2h_transform and hgs.0.coordconv"),
        (lambda s: {k: v for k, v in s.items() if k != "pre.0.bn.bias"}, "lacks pre.0.bn.bias"),
        (lambda s: s | {"pre.0.conv.bias": torch.zeros(5)}, r"pre.0.conv.bias has shape \(5,\)"),
        (lambda s: s | {"hgs.0.coordconv.conv.bias": torch.zeros(2_000_000)}, "2000000 channels"),
        (lambda s: s | {"hgs.0." + 900 * "low2." + "up1": torch.zeros(1)}, "900 levels"),
    ],
    ids=["another network", "one missing", "one misshapen", "absurdly wide", "absurdly deep"],
)
def test_wrong_file_gets_one_sentence(change, output_text: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pkl", change(small_state()))
    with pytest.raises(FacetrackError, match=output_text) as caught:
        star(path)
    message = str(caught.value)
    assert message.startswith(f"{path} is not a STAR checkpoint: ")
    assert message.endswith(".")
    assert "\n" not in message


# ---------------------------------------------------------------- the detector


def noise(height: int, width: int) -> np.ndarray:
    random = np.random.default_rng(3)
    coarse = random.integers(0, 256, (height // 16, width // 16, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def test_points_move_with_the_picture(small: Path) -> None:
    detector, image = star(small), noise(256, 320)
    box = np.array([[90, 60, 189, 159]], float)
    at_home = detector.detect(image, box)
    shift = np.array([20, 16])
    moved = np.zeros((300, 400, 3), np.uint8)
    moved[16 : 16 + 256, 20 : 20 + 320] = image
    away = detector.detect(moved, box + np.tile(shift, 2))
    assert at_home.xy.shape == (1, 29, 2)
    np.testing.assert_allclose(away.xy, at_home.xy + shift, atol=1e-2)
    np.testing.assert_allclose(away.score, at_home.score, atol=1e-3)


def test_many_faces_are_what_they_are_alone(small: Path) -> None:
    detector, image = star(small), noise(256, 320)
    corners = np.random.default_rng(4).uniform(20, 120, (MAX_CROPS + 3, 2))
    boxes = np.concatenate([corners, corners + 99], axis=1)
    together = detector.detect(image, boxes)
    for face in (0, MAX_CROPS - 1, MAX_CROPS, MAX_CROPS + 2):
        alone = detector.detect(image, boxes[face : face + 1])
        np.testing.assert_allclose(together.xy[face], alone.xy[0], atol=1e-2)


def test_crop_is_upstreams_square_around_the_landmarks_box(small: Path) -> None:
    detector = star(small)
    image = np.zeros((300, 300, 3), np.uint8)
    _, placement = detector.crop(image, np.array([50, 60, 150, 180], float))
    middle = detector.to_image(np.full((1, 2), 127.5), placement)
    np.testing.assert_allclose(middle, [[100, 120]])
    np.testing.assert_allclose(placement.scale, ENLARGE * 100 / SIZE)


def test_mirrored_picture_gives_mirrored_points_with_flip(small: Path) -> None:
    detector, image = star(small, flip=True), noise(256, 256)
    crop = image[None]
    xy, score = detector.landmarks(crop)
    mirrored, mirrored_score = detector.landmarks(np.ascontiguousarray(crop[:, :, ::-1]))
    swap = detector._swap.numpy()
    mirrored = mirrored[:, swap] * (-1, 1) + (SIZE - 1, 0)
    np.testing.assert_allclose(mirrored, xy, atol=1e-3)
    np.testing.assert_allclose(mirrored_score[:, swap], score, atol=1e-4)


def test_own_box_holds_annotated_faces(shared_data: Path, small: Path) -> None:
    from facetrack.face_detectors.dlib_hog import DlibHog

    folder = shared_data / "faces68_train"
    data = np.load(folder / "landmarks68.npz")
    detector, hog, centres, sides = star(small), DlibHog(), [], []
    for i in range(0, len(data["names"]), len(data["names"]) // 30):
        # The pictures are all of one size and the detector works in steps of sizes: vary it.
        scale = 0.6 * 1.2 ** -((i % 7) / 7)
        image = cv2.imread(str(folder / str(data["names"][i])))[..., ::-1]
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        points = data["points"][i] * scale
        low, high = points.min(0), points.max(0)
        for box in hog.detect(image).boxes:
            if (box[:2] < points.mean(0)).all() and (points.mean(0) < box[2:]).all():
                own = detector.crop_box(box.astype(float))
                shorter = (high - low).min()
                centres.append(((own[:2] + own[2:]) / 2 - (low + high) / 2) / shorter)
                sides.append((own[2:] - own[:2]).min() / shorter)
    assert len(sides) >= 25
    assert np.abs(np.median(centres, axis=0)).max() < 0.05
    assert np.median(sides) == pytest.approx(1, abs=0.05)
