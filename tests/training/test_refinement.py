"""Training the 1D heat maps' refinement: what it is shown, and what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import few_faces
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from facetrack.detectors import DetectorOptions, pipnet_meanface
from facetrack.detectors.crops import SIZE
from facetrack.detectors.heatmap1d import Heatmap1d
from facetrack.detectors.heatmap1d_network import Heatmap1dConfig, Heatmap1dNetwork
from facetrack.trackers.heatmap1d import ARCH, load_refinement
from facetrack.training import refinement, textures
from facetrack.training.render import Clip, render
from facetrack.training.signals import Random
from facetrack.weights import ResolvedWeights

CPU = torch.device("cpu")
SMALL = Heatmap1dConfig(width=8, stacks=1, levels=1, channels=4, hidden=8)
RECIPE = refinement.RefinementRecipe(steps=2, frames=4, workers=1, save_minutes=1e9)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    random = np.random.default_rng(0)
    names = [f"{i:03d}.jpg" for i in range(4)]
    for name in names:
        picture = cv2.resize(random.integers(0, 255, (20, 20, 3)).astype(np.uint8), (128, 128))
        cv2.imwrite(str(folder / name), picture)
    points = np.repeat((pipnet_meanface.read("data_300W") * 80 + 24)[None], 4, 0)
    np.savez(folder / "landmarks68.npz", names=np.array(names), points=np.float32(points))
    return folder


@pytest.fixture(autouse=True)
def _few_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    few_faces.allow(monkeypatch, 2, 4)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    state = {k: v for k, v in Heatmap1dNetwork(SMALL).state_dict().items() if v.is_floating_point()}
    path = tmp_path_factory.mktemp("weights") / "heatmap1d.safetensors"
    save_file(state, path, {"arch": "heatmap1d", "config": SMALL.to_json(), "scheme": "68"})
    return path


def detector(weights: Path) -> Heatmap1d:
    return Heatmap1d(DetectorOptions(weights=str(weights), device="cpu"))


def test_landmarks_come_in_their_order_and_all_of_them(faces: Path) -> None:
    """A still, undeformed copy of the mean face is a similarity of the known points."""
    shown = textures.load_textures(faces, CPU)
    clip = render(shown, Random(3, CPU), 2, 3, None, effort=0.0)
    assert clip.xy.shape == (2, 68, 3, 2)
    assert clip.valid.float().mean() > 0.95
    for xy in clip.xy[:, :, 0].double():
        known = torch.from_numpy(pipnet_meanface.read("data_300W"))
        a = known - known.mean(0)
        b = xy - xy.mean(0)
        left = torch.linalg.lstsq(a, b).solution
        assert (a @ left - b).norm(dim=-1).mean() < 0.12 * b.norm(dim=-1).mean()


@pytest.mark.parametrize("is_aligned", [False, True])
def test_crops_show_the_landmarks_where_they_are_said_to_be(weights: Path, is_aligned) -> None:
    """A light dot at a landmark lies there in the crop too, in every frame."""
    face = pipnet_meanface.read("data_300W") * 100 + 70
    if is_aligned:  # a rolled face
        face = (face - 120) @ np.array([[0.8, 0.6], [-0.6, 0.8]]) + 120
    moved = np.stack([face + [2.0 * t, t] for t in range(3)], 1)[None]
    video = np.zeros((1, 3, 3, SIZE, SIZE), np.float32)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for t in range(3):
        x, y = moved[0, 30, t]
        video[0, t] = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18)
    xy = torch.from_numpy(np.float32(moved + 0.5))
    every = torch.ones(xy.shape[:3], dtype=torch.bool)
    clip = Clip(torch.from_numpy(video), xy, every, every)
    seen_by = detector(weights)
    seen_by.aligned = 1.25 if is_aligned else None
    crops, points = refinement.crops_of(clip, seen_by, Random(1, CPU))
    for t in range(3):
        light = crops[0, t, 0].double().numpy()
        centre = np.array([(light * columns).sum(), (light * rows).sum()]) / light.sum()
        np.testing.assert_allclose(points[0, t, 30].numpy(), centre, atol=0.3)


def test_a_run_writes_what_the_tracker_reads(
    faces: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refinement, "CLIPS", 1)
    monkeypatch.setattr(refinement, "FRAMES", 4)
    refinement.train(str(weights), RECIPE, faces, tmp_path, CPU)
    path = tmp_path / f"{ARCH}.safetensors"
    module = load_refinement(ResolvedWeights(path, None), 68)
    assert module.after[-1].weight.any()  # type: ignore[union-attr]
    with safe_open(path, "pt") as file:
        assert len(file.metadata()["detector_sha256"]) == 64
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert set(last["held_out"]) == {"drawn", "refined"}


def test_refinement_learns_from_frames_before(
    faces: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The detector draws perfect maps in every frame but the last, which is empty; the loss of
    what is refined falls below that of what is drawn."""
    from facetrack.detectors.heatmap1d_maps import Marginals, draw

    def blinking(clip: Clip, detector: Heatmap1d, random: Random) -> refinement.DetectedMaps:
        points = random.uniform(60, 200, 1, 1, 68, 2).expand(1, 4, 68, 2)
        maps = draw(points, SMALL.length, SMALL.sigma)
        shown = torch.tensor([1.0, 1, 1, 0])[:, None, None]
        weight = torch.tensor([0.0, 0, 0, 1])[None, :, None].expand(1, 4, 68)
        return refinement.DetectedMaps(Marginals(maps.x * shown, maps.y * shown), points, weight)

    monkeypatch.setattr(refinement, "detect_maps", blinking)
    monkeypatch.setattr(refinement, "render", lambda *_: None)
    recipe = refinement.RefinementRecipe(
        steps=60, frames=4, workers=1, warm_up_steps=5, learning_rate=5e-3
    )
    tmp_path.joinpath("out").mkdir()
    run = refinement._Run(str(weights), faces, recipe, tmp_path / "out", 1, CPU)
    for _ in range(40):
        parts = run.train_step(run.progress())
    assert parts["loss"] < 0.9 * parts["drawn"]
