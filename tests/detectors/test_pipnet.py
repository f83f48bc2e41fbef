"""PIPNet: upstream's numbers on synthetic weights, and what a checkpoint is recognised by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from face_alignment.models.resnet import Bottleneck
from safetensors.torch import save_file
from synthetic_detectors import listing, state_crc32, synthetic_state
from torch import nn

from facetrack.detectors import DetectorOptions, create, pipnet_meanface
from facetrack.detectors.pipnet import PipConfig, PipMaps, PipNet, PipNetwork, config_of
from facetrack.detectors.resnet import Block, ResNetConfig
from facetrack.errors import FacetrackError
from facetrack.weights import REGISTRY, ResolvedWeights

TINY = PipConfig(backbone=ResNetConfig(stem=4, widths=(4, 4, 8, 8), blocks=(1, 1, 1, 1)))


def made(state: dict[str, torch.Tensor], path: Path, **options: Any) -> PipNet:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    detector = create("pipnet", DetectorOptions(weights=str(path), device="cpu", **options))
    assert isinstance(detector, PipNet)
    return detector


def tiny(points: int = 68, neighbours: int = 10) -> dict[str, torch.Tensor]:
    config = replace(TINY, points=points, neighbours=neighbours)
    return synthetic_state(PipNetwork(config).state_dict())


# ---------------------------------------------------------------- upstream's numbers


@pytest.fixture(scope="module")
def reference(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "pipnet_r18_300w.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def detector(
    golden: Path, reference: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> PipNet:
    """The golden network; as a checkpoint it is read back from a file."""
    state = synthetic_state(golden / "state_dict_pipnet_r18_300w.txt")
    assert state_crc32(state) == int(reference["state_crc32"])
    return made(state, tmp_path_factory.mktemp("pipnet") / "epoch59.pth")


@pytest.fixture(scope="module")
def maps(detector: PipNet, reference: dict[str, np.ndarray]) -> PipMaps:
    with torch.inference_mode():
        return detector.run(detector.prepare(reference["crops"]))


def test_checkpoint_is_recognised(detector: PipNet) -> None:
    message = detector.describe()
    assert (message["scheme"], message["backbone"], message["mean_face"]) == (
        "68",
        "ResNet-18",
        "data_300W",
    )
    assert message["weights"].endswith("epoch59.pth")


def test_input_is_upstreams(detector: PipNet, reference: dict[str, np.ndarray]) -> None:
    batch = detector.prepare(reference["crops"])
    assert batch.shape == (2, 3, 256, 256)
    for x, values, moments in zip(
        batch, reference["input_val"], reference["input_mean_std"], strict=True
    ):
        np.testing.assert_allclose(x.flatten()[reference["input_idx"]], values, atol=1e-6)
        np.testing.assert_allclose([x.mean(), x.std()], moments, atol=1e-5)


def test_raw_maps_are_upstreams(maps: PipMaps, reference: dict[str, np.ndarray]) -> None:
    for ours, name in ((maps.score, "out_cls"), (maps.x, "out_x"), (maps.y, "out_y")):
        np.testing.assert_allclose(ours, reference[name], atol=1e-4, rtol=0)
    index = reference["out_nb_idx"]
    for ours, name in ((maps.near_x, "out_nb_x_val"), (maps.near_y, "out_nb_y_val")):
        some = np.array([face.flatten()[index] for face in ours])
        np.testing.assert_allclose(some, reference[name], atol=1e-4, rtol=0)


def test_neighbours_are_upstreams(reference: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(pipnet_meanface.read("data_300W"), reference["meanface"])
    near = pipnet_meanface.neighbours(reference["meanface"], 10)
    np.testing.assert_array_equal(near, reference["nb_index"])
    who, rank = pipnet_meanface.predictors(near)
    np.testing.assert_array_equal(who, reference["rev_index1"])
    np.testing.assert_array_equal(rank, reference["rev_index2"])


def test_crops_are_upstreams(detector: PipNet, reference: dict[str, np.ndarray]) -> None:
    for box, used, expected in zip(
        reference["boxes"], reference["used_boxes"], reference["crops"], strict=True
    ):
        cut = detector.crop(reference["image"], box.astype(float))
        assert cut is not None
        crop, (scale, origin) = cut
        np.testing.assert_array_equal(np.concatenate([origin, origin + scale - 1]), used)
        assert np.abs(crop.astype(int) - expected).max() <= 1


def test_landmarks_are_upstreams(detector: PipNet, reference: dict[str, np.ndarray]) -> None:
    xy, score = detector.landmarks(reference["crops"])
    for points, box, expected in zip(xy, reference["boxes"], reference["landmarks"], strict=True):
        cut = detector.crop(reference["image"], box.astype(float))
        assert cut is not None
        np.testing.assert_allclose(detector.to_image(points, cut[1]), expected, atol=1e-3, rtol=0)
    np.testing.assert_allclose(score, reference["score"].clip(0, 1), atol=1e-4)


def test_detect_gives_upstreams_landmarks(
    detector: PipNet, reference: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The golden boxes are upstream's own, not those of a HOG detector.
    monkeypatch.setattr(detector, "crop_box", lambda box: box)
    found = detector.detect(reference["image"], reference["boxes"])
    np.testing.assert_allclose(found.xy, reference["landmarks"], atol=1e-3, rtol=0)


@pytest.mark.parametrize("bottleneck", [False, True])
def test_folded_normalisations_leave_the_answers(bottleneck: bool) -> None:
    config = replace(TINY, backbone=replace(TINY.backbone, bottleneck=bottleneck))
    network = PipNetwork(config)
    network.load_state_dict(synthetic_state(network.state_dict()))
    batch = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = network.eval()(batch)
        network.fold_norms()
        after = network(batch)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "points", "backbone"),
    [
        ("r18_300W", 68, "ResNet-18"),
        ("r18_WFLW", 98, "ResNet-18"),
        ("r18_COFW", 29, "ResNet-18"),
        ("r18_AFLW", 19, "ResNet-18"),
        ("r18_LaPa", 106, "ResNet-18"),
        ("r101_300W", 68, "ResNet-101"),
        ("r101_WFLW", 98, "ResNet-101"),
    ],
)
def test_official_layouts_are_recognised(
    golden: Path, name: str, points: int, backbone: str
) -> None:
    path = golden.parent / "specs" / "state_dicts" / f"state_dict_PIPNet_{name}.txt"
    if not path.is_file():
        pytest.skip(f"{path} is absent (research data, not part of the project)")
    with torch.device("meta"):
        state = {key: torch.empty(shape) for key, (shape, _) in listing(path).items()}
        config = config_of(state, path)
        own = PipNetwork(config).state_dict()
    assert (config.points, config.neighbours, config.backbone.name) == (points, 10, backbone)
    assert {k: v.shape for k, v in own.items()} == {k: v.shape for k, v in state.items()}


@pytest.mark.parametrize("stride", [1, 2])
def test_bottlenecks_stride_where_torchvisions_do(stride: int) -> None:
    # The face-alignment package has such a block for another purpose.
    shortcut = nn.Sequential(nn.Conv2d(8, 16, 1, stride, bias=False), nn.BatchNorm2d(16))
    theirs = Bottleneck(8, 4, stride, shortcut).eval()
    ours = Block(8, 4, stride, bottleneck=True).eval()
    state = synthetic_state(theirs.state_dict())
    theirs.load_state_dict(state)
    ours.load_state_dict(state)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 8, 10, 10))).float()
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x))


def test_resnet_101_makes_maps_of_8_by_8_cells() -> None:
    backbone = ResNetConfig(4, (2, 2, 4, 4), (3, 4, 23, 3), bottleneck=True)
    config = PipConfig(29, 10, backbone)
    network = PipNetwork(config).eval()
    assert config_of(network.state_dict(), Path("f")) == config
    with torch.inference_mode():
        maps = network(torch.zeros(1, 3, 256, 256))
    assert (maps.y.shape, maps.near_x.shape) == ((1, 29, 8, 8), (1, 290, 8, 8))


# ---------------------------------------------------------------- decoding


def test_a_landmark_is_the_mean_of_what_it_and_its_neighbours_say(tmp_path: Path) -> None:
    detector = made(tiny(19, 2), tmp_path / "p.pth")
    random = np.random.default_rng(0)
    shapes = [(1, 19, 8, 8)] * 3 + [(1, 38, 8, 8)] * 2
    values = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    (xy,), (score,) = detector.decode(PipMaps(*(torch.from_numpy(v) for v in values)))

    maps = PipMaps(*(v[0] for v in values))
    near = pipnet_meanface.neighbours(pipnet_meanface.read("AFLW"), 2)
    heard: list[list[np.ndarray]] = [[] for _ in range(19)]
    own = []
    for landmark in range(19):
        row, column = np.unravel_index(maps.score[landmark].argmax(), (8, 8))
        corner = np.array([column, row])
        at = (slice(None), row, column)
        own.append((corner + [maps.x[at][landmark], maps.y[at][landmark]]) / 8)
        for rank, other in enumerate(near[landmark]):
            entry = 2 * landmark + rank
            heard[other].append((corner + [maps.near_x[at][entry], maps.near_y[at][entry]]) / 8)
    longest = max(len(some) for some in heard)
    for landmark in range(19):
        some = heard[landmark]
        padded = [some[i % len(some)] for i in range(longest)] if some else []
        expected = np.mean([own[landmark], *padded], axis=0)
        np.testing.assert_allclose(xy[landmark], expected, atol=1e-5)
    np.testing.assert_allclose(score, maps.score.max((1, 2)).clip(0, 1))
    assert min(len(some) for some in heard) == 0, "the case of nobody's neighbour is covered"


def test_many_crops_are_decoded_as_one_by_one(tmp_path: Path) -> None:
    detector = made(tiny(), tmp_path / "p.pth")
    random = np.random.default_rng(0)
    images = [random.integers(0, 255, (90, 120, 3)).astype(np.uint8) for _ in range(3)]
    corners = [random.uniform(0, 60, (count, 2)) for count in (14, 0, 21)]
    boxes = [np.concatenate([c, c + 40], axis=1) for c in corners]
    many = detector.detect_many(images, boxes)
    for image, some, found in zip(images, boxes, many, strict=True):
        for box, xy, score in zip(some, found.xy, found.score, strict=True):
            alone = detector.detect(image, box[None])
            np.testing.assert_allclose(xy, alone.xy[0], atol=1e-3)
            np.testing.assert_allclose(score, alone.score[0], atol=1e-5)
            assert np.isfinite(xy).all()


# ---------------------------------------------------------------- boxes


@pytest.mark.parametrize("points", [68, 98, 29, 19, 106])
def test_crop_brings_the_anchors_to_the_mean_face(points: int, tmp_path: Path) -> None:
    detector = made(tiny(points), tmp_path / "p.pth")
    box = np.array([300, 200, 499, 399.0])
    cut = detector.crop(np.zeros((900, 900, 3), np.uint8), detector.crop_box(box))
    assert cut is not None
    _, (scale, origin) = cut
    anchors = (box[:2] + pipnet_meanface.ANCHORS * 199 - origin) / scale
    face = pipnet_meanface.read(pipnet_meanface.BY_COUNT[points])
    off = anchors - face[list(pipnet_meanface.INDICES[points])]
    # Two parameters an axis cannot bring seven places together exactly; markups differ a little.
    assert np.abs(off).max() < 0.06
    assert np.abs(off.mean(0)).max() < 0.01


def test_crop_of_300w_is_the_published_one() -> None:
    # benchmarks/calibration/box_rules.py: 1.1 times the landmarks' box, a median over faces
    published = [-0.013, 0.071, 1.043, 1.099]
    rule = pipnet_meanface.crop_of(pipnet_meanface.read("data_300W"))
    np.testing.assert_allclose(rule, published, atol=0.02)


@pytest.mark.parametrize(
    ("box", "known"),
    [
        ((-40, -40, 30, 30), True),
        ((60, 50, 140, 130), True),
        ((-500, -500, 600, 600), True),
        ((96, 76, 180, 160), False),
        ((10, 10, 11, 11), False),
    ],
    ids=["corner", "far corner", "larger than the frame", "a pixel inside", "two pixels"],
)
def test_box_half_outside(box: tuple[float, ...], known: bool, tmp_path: Path) -> None:
    detector = made(tiny(), tmp_path / "p.pth")
    found = detector.detect(np.zeros((80, 100, 3), np.uint8), np.array([box]))
    assert np.isfinite(found.xy).all() == known
    assert ((found.score >= 0) & (found.score <= 1)).all()


# ---------------------------------------------------------------- the mean face


@pytest.mark.parametrize("points", [68, 98, 29, 19])
def test_scheme_follows_from_the_shapes(points: int, tmp_path: Path) -> None:
    detector = made(tiny(points), tmp_path / "p.pth")
    assert detector.scheme == str(points)
    assert detector.face_name == pipnet_meanface.BY_COUNT[points]


def test_mean_face_beside_the_file_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "data_300W_CELEBA" / "p.pth"
    assert made(tiny(), path).face_name == "data_300W_CELEBA"
    turned = 1 - pipnet_meanface.read("data_300W")
    beside = path.parent / "meanface.txt"
    beside.write_text(" ".join(str(v) for v in turned.ravel()))
    detector = made(tiny(), path)
    assert detector.face_name == str(beside)
    np.testing.assert_allclose(detector._crop, pipnet_meanface.crop_of(turned))


def test_mean_face_inside_the_file_is_used(tmp_path: Path) -> None:
    face = pipnet_meanface.read("data_300W_CELEBA")
    text = " ".join(str(v) for v in face.ravel())
    save_file(tiny(), tmp_path / "own.safetensors", {"meanface": text})
    detector = PipNet(DetectorOptions(weights=str(tmp_path / "own.safetensors"), device="cpu"))
    assert detector.face_name == "in the weights"
    np.testing.assert_allclose(detector._crop, pipnet_meanface.crop_of(face))


def test_registered_weights_name_their_mean_face(tmp_path: Path) -> None:
    (tmp_path / "meanface.txt").write_text("0 0")
    found = ResolvedWeights(tmp_path / "p.pth", REGISTRY["pipnet-r18-300w-celeba"])
    assert pipnet_meanface.choose(found, {}, 68)[0] == "data_300W_CELEBA"
    for entry in REGISTRY.values():
        if entry.part == "pipnet" and "meanface" in entry.options:
            assert len(pipnet_meanface.read(entry.options["meanface"])) == int(entry.scheme or 106)


@pytest.mark.parametrize(
    ("text", "message"),
    [("0.5 0.5", "its mean face .* 1"), ("a b", "is not a mean face"), ("0 1 2", "not a mean")],
)
def test_unfit_mean_face_is_said(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "meanface.txt").write_text(text)
    with pytest.raises(FacetrackError, match=message):
        made(tiny(), tmp_path / "p.pth")


# ---------------------------------------------------------------- wrong files


def _other(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {"backbone.weight": torch.zeros(3)}


def _headless(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k: v for k, v in state.items() if not k.startswith("cls_layer")}


def _uneven(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {**state, "nb_x_layer.weight": state["nb_x_layer.weight"][:-1]}


def _classifier(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {**state, "fc.weight": torch.zeros(3, 3)}


@pytest.mark.parametrize("change", [_other, _headless, _uneven, _classifier])
def test_other_checkpoints_are_refused_in_one_sentence(change: Any, tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match=r"p\.pth is not a PIPNet checkpoint with .*\.$"):
        made(change(tiny()), tmp_path / "p.pth")


def test_unknown_number_of_points_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match=r"places 37 points: a PIPNet of 19, 29, 68, 98, 106"):
        made(tiny(37), tmp_path / "p.pth")
