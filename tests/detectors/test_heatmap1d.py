"""The 1D-heatmap detector: reading and drawing maps, attention, refinement over time, files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from facetrack.detectors import DetectorOptions
from facetrack.detectors.crops import SIZE
from facetrack.detectors.heatmap1d import Heatmap1d
from facetrack.detectors.heatmap1d_maps import Marginals, dark, draw, read
from facetrack.detectors.heatmap1d_network import (
    CoAttention,
    Heatmap1dConfig,
    Heatmap1dNetwork,
    TemporalRefinement,
)
from facetrack.errors import FacetrackError

LENGTH = 768
SMALL = Heatmap1dConfig(width=8, stacks=1, levels=2, channels=4, hidden=8)


def saved(path: Path, config: Heatmap1dConfig = SMALL, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    state = {
        k: v.half() if v.is_floating_point() else v
        for k, v in Heatmap1dNetwork(config).state_dict().items()
    }
    save_file(state, path, {"arch": "heatmap1d", "config": config.to_json()})
    return path


def heatmap1d(path: Path, flip: bool = False) -> Heatmap1d:
    return Heatmap1d(DetectorOptions(weights=str(path), device="cpu", flip=flip))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("heatmap1d") / "small.safetensors")


# ---------------------------------------------------------------- reading and drawing maps


@given(
    centre=st.floats(0, LENGTH - 1),
    spread=st.floats(1.0, 20.0),
    smoothing=st.floats(0.5, 8.0),
    height=st.floats(0.05, 2.0),
)
def test_centre_of_any_sampled_gaussian_is_found(
    centre: float, spread: float, smoothing: float, height: float
) -> None:
    cells = torch.arange(LENGTH, dtype=torch.float32)
    gaussian = height * torch.exp(-((cells - centre) ** 2) / (2 * spread**2))
    place, _ = dark(gaussian, smoothing)
    assert abs(place.item() - centre) * SIZE / LENGTH < 0.02


@given(
    xy=st.lists(st.tuples(st.floats(0, SIZE - 1), st.floats(0, SIZE - 1)), min_size=1, max_size=5),
    length=st.sampled_from([128, 256, 768]),
)
def test_what_is_drawn_is_read_again(xy: list[tuple[float, float]], length: int) -> None:
    points = torch.tensor(xy)
    # The coarsest cells are two pixels: narrower Gaussians would fall between them.
    found, score = read(draw(points, length, 2.0), 2.0)
    torch.testing.assert_close(found, points, atol=0.02, rtol=0)
    # The nearest cell is at most half a cell away from either peak.
    least = np.exp(-((SIZE / length / 2) ** 2) / (2 * 2.0**2))
    assert ((score > least - 1e-3) & (score <= 1)).all()


def test_drawn_maps_are_the_marginals_of_a_gaussian() -> None:
    point, sigma = (100.3, 40.0), 2.5
    pixels = np.arange(SIZE)
    plane = np.exp(-((pixels - point[0]) ** 2 + (pixels[:, None] - point[1]) ** 2) / (2 * sigma**2))
    maps = draw(torch.tensor([point], dtype=torch.float64), SIZE, sigma)
    for axis, drawn in ((0, maps.x), (1, maps.y)):
        marginal = plane.sum(axis)
        # Both heights are free: the shape is what counts.
        np.testing.assert_allclose(drawn[0] / drawn.sum(), marginal / marginal.sum(), atol=1e-6)


def test_unknown_landmarks_are_drawn_as_zeros() -> None:
    maps = draw(torch.tensor([[np.nan, np.nan], [5.0, 6.0]]), LENGTH, 2.0)
    assert not maps.x[0].any()
    assert not maps.y[0].any()
    assert maps.x[1].max() > 0.99


def test_noise_moves_the_smoothed_peak_little() -> None:
    torch.manual_seed(0)
    points = 20 + 200 * torch.rand(500, 2)
    clean = draw(points, LENGTH, 2.0)
    noisy = Marginals(*(m + 0.05 * torch.randn(m.shape) for m in clean))
    found, _ = read(noisy, 2.0)
    highest = torch.stack([m.argmax(-1) for m in noisy], -1) / 3 - 1 / 3
    error, coarse = ((p - points).norm(dim=-1).mean() for p in (found, highest))
    assert error < 0.25
    assert error < coarse / 2


def test_score_is_the_lower_of_the_two_peaks() -> None:
    maps = draw(torch.tensor([[100.0, 100.0]]), LENGTH, 2.0)
    _, score = read(Marginals(0.7 * maps.x, 1.4 * maps.y), 2.0)
    assert score.item() == pytest.approx(0.7, abs=1e-3)


@pytest.mark.parametrize("value", [0.0, -1.0, 0.5], ids=["zeros", "negative", "flat"])
def test_map_without_a_peak_gives_some_place(value: float) -> None:
    place, height = dark(torch.full((2, 3, LENGTH), value), 6.0)
    assert ((place >= 0) & (place <= LENGTH - 1)).all()
    assert (height == value).all()


# ---------------------------------------------------------------- the network


def test_two_maps_of_768_cells_a_landmark() -> None:
    with torch.inference_mode():
        maps = Heatmap1dNetwork(SMALL).eval()(torch.zeros(2, 3, SIZE, SIZE))
    assert maps.x.shape == maps.y.shape == (2, 68, LENGTH)


def test_training_brings_the_maps_nearer() -> None:
    torch.manual_seed(1)
    network = Heatmap1dNetwork(SMALL).train()
    pictures = torch.rand(2, 3, SIZE, SIZE)
    target = draw(torch.rand(2, 68, 2) * SIZE, LENGTH, 6.0)
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    losses = []
    for _ in range(15):
        maps = network(pictures)
        loss = (maps.x - target.x).square().sum() + (maps.y - target.y).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    trained = [p for p in network.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.any() for p in trained)


def test_axes_are_each_others_mirror() -> None:
    torch.manual_seed(2)
    network = Heatmap1dNetwork(SMALL).eval()
    for part in ("compress", "draw"):
        weights = getattr(network, f"{part}_x").state_dict()
        getattr(network, f"{part}_y").load_state_dict(weights)
    network.attention.p.data.copy_(network.attention.q.data)
    # Features of a turned picture are turned features where every kernel is its own transpose.
    for layer in network.features.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.weight.data.add_(layer.weight.data.transpose(2, 3).clone()).div_(2)
    # ... and where it does not tell the two coordinates apart, down and across.
    for weight, down in (
        (network.features.pre[0].conv.weight, 3),
        (network.features.hgs[0].coordconv.conv.weight, SMALL.width),
    ):
        weight.data[:, down] = weight.data[:, down + 1]
    # Statistics of the picture itself: with untrained ones the signal fades on its way.
    for layer in network.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.track_running_stats, layer.running_mean, layer.running_var = False, None, None
    picture = torch.rand(1, 3, SIZE, SIZE)
    with torch.inference_mode():
        maps, turned = network(picture), network(picture.transpose(2, 3))
    assert (maps.x - maps.y).abs().max() > 1e-3
    torch.testing.assert_close(maps.x, turned.y, atol=1e-4, rtol=1e-4)


def test_attention_is_the_papers_equations() -> None:
    torch.manual_seed(3)
    channels, places, size, gain = 2, 5, 3, 0.4
    attention = CoAttention(channels, size, gain)
    d_x, d_y = torch.randn(channels, places, size), torch.randn(channels, size, places)
    with torch.no_grad():
        x, y = attention(d_x[None], d_y.transpose(1, 2)[None])
        for k in range(channels):
            p, q = attention.p[k], attention.q[k]
            w_xy = torch.softmax(d_y[k].T @ p @ d_x[k].T / size**0.5, 1)
            w_yx = torch.softmax(d_x[k] @ q @ d_y[k] / size**0.5, 1)
            torch.testing.assert_close(x[0, k], d_x[k] + gain * w_yx @ d_y[k].T)
            torch.testing.assert_close(y[0, k].T, d_y[k] + gain * (w_xy @ d_x[k]).T)


# ---------------------------------------------------------------- refinement over time


def refinement() -> TemporalRefinement:
    torch.manual_seed(4)
    module = TemporalRefinement(points=3, width=4)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return module.eval()


def clip(frames: int = 9) -> Marginals:
    torch.manual_seed(5)
    return Marginals(torch.rand(2, frames, 3, 48), torch.rand(2, frames, 3, 48))


def test_frame_by_frame_equals_the_whole_clip() -> None:
    module, maps, state = refinement(), clip(), None
    with torch.inference_mode():
        whole = module(maps)
        for t in range(maps.x.shape[1]):
            one, state = module.step(Marginals(maps.x[:, t], maps.y[:, t]), state)
            torch.testing.assert_close(one.x, whole.x[:, t])
            torch.testing.assert_close(one.y, whole.y[:, t])
    assert state.shape == (2, 2 * 4, 48)


def test_memory_is_the_exponential_moving_sum() -> None:
    module, maps = refinement(), clip()
    with torch.inference_mode():
        alone, state = [], None
        for t in range(9):
            frame = Marginals(maps.x[:, t], maps.y[:, t])
            alone.append(module.step(frame, None)[1])
            _, state = module.step(frame, state)
    expected = sum(0.3 ** (8 - t) * value for t, value in enumerate(alone))
    torch.testing.assert_close(state, expected)


def test_axes_are_refined_apart_and_only_by_the_past() -> None:
    module, maps = refinement(), clip()
    other = Marginals(maps.x.clone(), maps.y.clone())
    other.x[:, 5] += 1
    with torch.inference_mode():
        before, after = module(maps), module(other)
    torch.testing.assert_close(after.y, before.y)
    torch.testing.assert_close(after.x[:, :5], before.x[:, :5])
    assert (after.x[:, 6] - before.x[:, 6]).abs().max() > 1e-3


def test_untrained_refinement_changes_nothing() -> None:
    maps = clip()
    refined = TemporalRefinement(points=3, width=4)(maps)
    assert torch.equal(refined.x, maps.x)
    assert torch.equal(refined.y, maps.y)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("points", [68, 98, 29, 19])
def test_shape_and_scheme_come_from_the_files_metadata(points: int, tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, points=points, upsampling=(4,), sigma=3.0)
    detector = heatmap1d(saved(tmp_path / "w.safetensors", config))
    assert detector.scheme == str(points)
    assert detector.network.config == config
    assert detector.describe()["map_length"] == 256


@pytest.mark.parametrize(
    ("metadata", "output_text"),
    [
        (None, "its metadata do not say so"),
        ({"arch": "pipnet", "config": "{}"}, "its metadata do not say so"),
        ({"arch": "heatmap1d", "config": "{"}, "Expecting"),
        ({"arch": "heatmap1d", "config": "[]"}, "must be a JSON object"),
        ({"arch": "heatmap1d", "config": '{"depth": 3}'}, "unknown options: depth"),
        ({"arch": "heatmap1d", "config": '{"points": "68"}'}, "points must be"),
        ({"arch": "heatmap1d", "config": '{"width": 1000000}'}, "width must be"),
        ({"arch": "heatmap1d", "config": '{"upsampling": [8, 8, 8]}'}, "too long"),
        ({"arch": "heatmap1d", "config": '{"sigma": NaN}'}, "sigma must be"),
        ({"arch": "heatmap1d", "config": "{}"}, "it lacks|has shape"),
    ],
)
def test_wrong_file_gets_one_sentence(
    metadata: dict[str, str] | None, output_text: str, tmp_path: Path
) -> None:
    path = tmp_path / "w.safetensors"
    save_file(Heatmap1dNetwork(SMALL).state_dict(), path, metadata)
    with pytest.raises(FacetrackError, match=output_text) as caught:
        heatmap1d(path)
    message = str(caught.value)
    assert message.startswith(f"{path} is not a 1D-heatmap checkpoint")
    assert message.endswith(".")
    assert "\n" not in message


def test_configuration_survives_the_file() -> None:
    config = Heatmap1dConfig(points=29, upsampling=(2, 2), attention=0.1)
    assert Heatmap1dConfig.from_json(config.to_json()) == config
    assert json.loads(config.to_json())["points"] == 29


# ---------------------------------------------------------------- the detector


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(6).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_detects_from_a_path(small: Path) -> None:
    detector = heatmap1d(small)
    images = [picture(200, 240), picture(150, 150)]
    boxes = [np.array([[60, 50, 150, 140], [10, 10, 90, 90]]), np.array([[30, 30, 110, 110]])]
    first, second = detector.detect_many(images, boxes)
    assert (first.xy.shape, second.xy.shape) == ((2, 68, 2), (1, 68, 2))
    assert np.isfinite(first.xy).all()
    assert ((first.score >= 0) & (first.score <= 1)).all()
    alone = detector.detect(images[1], boxes[1])
    # An untrained network's maps are flat: a few of their highest cells are a matter of rounding.
    assert (np.abs(second.xy - alone.xy) < 1e-2).mean() > 0.95
    assert "2004.02108" in detector.describe()["paper"]


def test_drawn_maps_come_back_as_image_pixels(small: Path) -> None:
    detector, image = heatmap1d(small), picture(300, 300)
    box = np.array([100, 90, 199, 189], float)
    _, placement = detector.crop(image, detector.crop_box(box))
    points = np.random.default_rng(7).uniform(80, 220, (1, 68, 2))
    in_crop = torch.from_numpy((points - placement.origin) / placement.scale)
    xy, score = detector.decode(draw(in_crop, LENGTH, SMALL.sigma))
    np.testing.assert_allclose(detector.to_image(xy[0], placement), points[0], atol=0.02)
    assert (score > 0.98).all()


def test_mirrored_picture_gives_mirrored_points_with_flip(small: Path) -> None:
    detector = heatmap1d(small, flip=True)
    crop = picture(SIZE, SIZE)[None]
    batch = detector.prepare(crop)
    with torch.inference_mode():
        maps, mirrored = detector.run(batch), detector.run(batch.flip(3))
    swap = detector._swap
    torch.testing.assert_close(mirrored.x[:, swap].flip(2), maps.x)
    torch.testing.assert_close(mirrored.y[:, swap], maps.y)


def test_crop_holds_all_landmarks_of_nearly_all_annotated_faces(
    shared_data: Path, small: Path
) -> None:
    import cv2

    from facetrack.face_detectors.dlib_hog import DlibHog

    folder = shared_data / "faces68_train"
    data = np.load(folder / "landmarks68.npz")
    detector, hog, inside = heatmap1d(small), DlibHog(), []
    for i in range(0, len(data["names"]), len(data["names"]) // 25):
        image = cv2.imread(str(folder / str(data["names"][i])))[..., ::-1]
        points, boxes = data["points"][i], hog.detect(image).boxes
        for box in boxes[(boxes[:, :2] < points.mean(0)).all(1)][:1]:
            own = detector.crop_box(box.astype(float))
            if (points.mean(0) < own[2:]).all():
                inside.append(((points > own[:2]) & (points < own[2:])).all())
    assert len(inside) >= 20
    assert np.mean(inside) > 0.9
