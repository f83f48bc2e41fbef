"""Training of networks that regress shapes: what they see, what they learn, what they write."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path

import dotted_faces
import few_faces
import numpy as np
import pytest
import torch

from facetrack.detectors import DetectorOptions, create
from facetrack.detectors.cascades.base import SIDE, Prediction, ShapeConfig
from facetrack.detectors.crops import hog_box
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.training.detectors import augment, networks, styles
from facetrack.training.detectors.cascades import CASCADES, Cascade, Cfan, San
from facetrack.training.detectors.data import load_held_out
from facetrack.training.detectors.train import DetectorRun, Recipe, measured, train
from facetrack.training.signals import Random

CPU = torch.device("cpu")
RECIPE = Recipe(
    steps=3, batch=2, workers=1, save_minutes=1e9, warm_up_steps=1, aligned=False, fifa=0.0
)
ARCHS = sorted(CASCADES)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return dotted_faces.write(tmp_path_factory.mktemp("faces"), 12)


@pytest.fixture(autouse=True)
def _few_held_out(monkeypatch):
    few_faces.allow(monkeypatch, 3, 12)


def tiny(arch: str) -> Cascade:
    config = ShapeConfig(5 if arch == "dcnn" else 68, 8, 8)
    return CASCADES[arch](schemes.get("68"), networks.Options(), config)


def begun(arch: str, faces: Path, out: Path, recipe: Recipe = RECIPE) -> DetectorRun:
    out.mkdir(parents=True, exist_ok=True)
    return DetectorRun(functools.partial(tiny, arch), faces, None, recipe, out, 0, CPU)


@pytest.mark.parametrize("arch", ARCHS)
def test_the_weights_are_those_of_a_detector_that_answers_as_trained(arch, faces, tmp_path):
    run = begun(arch, faces, tmp_path)
    run.train_step(0.9)
    run.save()
    path = tmp_path / f"{arch}.safetensors"
    detector = create(arch, DetectorOptions(str(path), "cpu", precision="float32"))
    assert detector.scheme == ("5" if arch == "dcnn" else "68")
    held_out = load_held_out(faces, "68")
    box = hog_box(held_out.points[0])
    found = detector.detect(held_out.images[0], box[None])
    assert np.isfinite(found.xy).all()
    np.testing.assert_allclose(detector.crop_box(box), run.trainee.rule.square(box))
    network = run.trainee.network
    network.load_state_dict(run.ema)
    network.eval()
    crops = np.full((1, 256, 256, 3), 90, np.uint8)
    crops[:, 64:192, 32:100] = 200
    pictures = torch.nn.functional.interpolate(
        torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255, size=SIDE, mode="area"
    )
    with torch.inference_mode():
        expected = network(run.trainee.prepare(pictures))
        given = detector.network(detector.prepare(crops))
    assert float((given.shapes[-1] - expected.shapes[-1]).abs().max()) < 0.01
    assert float((given.spread - expected.spread).abs().max()) < 0.05


@pytest.mark.parametrize("arch", ARCHS)
def test_a_perfect_network_is_decoded_to_the_truth(arch, faces, tmp_path):
    run = begun(arch, faces, tmp_path)
    run.save()
    detector = create(arch, DetectorOptions(str(tmp_path / f"{arch}.safetensors"), "cpu"))
    points = torch.rand(2, 68, 2) * 170 + 40
    trainee = run.trainee
    assert isinstance(trainee, Cascade)
    places = trainee.wanted((2 * points + 1) / 256 - 1)
    answer = Prediction(places[None], torch.full(places.shape[:2], -6.0))
    loss, parts = Cascade.loss(trainee, answer, points, torch.ones(2, 68))
    assert parts["distance"] < 2e-3
    xy, score = detector.decode(answer)
    np.testing.assert_allclose(xy, trainee.wanted(points).numpy(), atol=1e-3)
    assert (score > 0.9).all()
    assert torch.isfinite(loss)


@pytest.mark.parametrize("arch", ARCHS)
def test_landmarks_without_a_label_do_not_count(arch, faces, tmp_path):
    trainee = begun(arch, faces, tmp_path).trainee
    torch.manual_seed(0)
    output = trainee.network(trainee.prepare(torch.rand(2, 3, SIDE, SIDE)))
    points = torch.rand(2, 68, 2) * 20 + torch.linspace(20, 220, 68)[:, None]
    labelled = torch.ones(2, 68)
    labelled[0, 28:34] = 0
    elsewhere = points.clone()
    elsewhere[0, 28:34] += 15
    with torch.no_grad():
        known, guessed = (
            Cascade.loss(trainee, output, p, labelled)[0] for p in (points, elsewhere)
        )
        counted = Cascade.loss(trainee, output, elsewhere, torch.ones(2, 68))[0]
    assert float(known) == pytest.approx(float(guessed), rel=1e-5)
    assert float(counted) != pytest.approx(float(known), rel=1e-4)


@pytest.mark.parametrize("arch", ARCHS)
def test_each_network_learns_dots(arch, faces, tmp_path):
    """With what it learns of a few faces, its error on them falls well below the mean shape's."""
    recipe = replace(RECIPE, batch=8, learning_rate=4e-3, steps=60)
    run = begun(arch, faces, tmp_path, recipe)
    exact = augment.Augmentation(
        rotation=10.0, scale=(0.9, 1.1), shift=0.12, spoilt=0.0, lids=0.0, lips=0.0, turned=0.0
    )
    views = augment.sample_spoilt(run.parts[0].source, 8, Random(0, CPU), exact, SIDE)
    trainee = run.trainee
    trainee.advance(1.0)
    batch = trainee.prepare(views.pictures)
    mean = trainee.network.basis.start(8)
    truth = trainee.wanted((2 * views.points + 1) / 256 - 1)
    before = float((mean - truth).norm(dim=-1).mean())
    optimiser = torch.optim.Adam(trainee.network.parameters(), 4e-3)
    # Maps first have to find the face at all.
    for _ in range({"fifa": 150, "san": 90}.get(arch, 60)):
        optimiser.zero_grad()
        loss, _ = trainee.loss(trainee.run(batch), views.points, views.labelled)
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        shapes = trainee.network(batch).shapes
    after = float((shapes[-1] - truth).norm(dim=-1).mean())
    assert after < 0.6 * before


def test_small_crops_show_the_same_faces_with_points_in_the_same_unit(faces, tmp_path):
    run = begun("dan", faces, tmp_path)
    plain = replace(Cascade.ranges, spoilt=0.0)
    small = augment.sample_clear(run.parts[0].source, 4, Random(3, CPU), plain, SIDE)
    large = augment.sample_clear(run.parts[0].source, 4, Random(3, CPU), plain)
    torch.testing.assert_close(small.points, large.points, atol=1e-2, rtol=0)
    shrunk = torch.nn.functional.interpolate(large.pictures, size=SIDE, mode="area")
    assert float((shrunk - small.pictures).abs().mean()) < 0.03


def test_squares_lie_on_the_landmarks_of_small_crops():
    points = torch.tensor([[[128.0, 64.0]]])
    views = augment.Views(
        torch.ones(1, 3, SIDE, SIDE), points, torch.zeros(1, 1, dtype=torch.bool), torch.ones(1, 1)
    )
    painted = augment.paint_squares(views, 3, torch.ones(1, dtype=torch.bool))
    dark = (painted[0, 0] == 0).nonzero().float()
    middle = (points[0, 0].flip(0) + 0.5) * SIDE / 256 - 0.5
    assert len(dark) == 9
    assert float((dark.mean(0) - middle).abs().max()) <= 0.5


def test_auto_encoders_learn_greedily_at_first(faces, tmp_path):
    trainee = begun("cfan", faces, tmp_path).trainee
    assert isinstance(trainee, Cfan)
    points = torch.rand(4, 68, 2) * 170 + 40
    batch = trainee.prepare(torch.rand(4, 3, SIDE, SIDE))
    for progress, greedy in ((0.0, True), (0.14, True), (0.2, False)):
        trainee.advance(progress)
        _, parts = trainee.loss(trainee.run(batch), points, torch.ones(4, 68))
        assert (parts["reproduction"] > 0) == greedy


def test_five_points_are_measured_against_what_the_annotation_implies(faces):
    held_out = load_held_out(faces, "68")

    class Exact:
        name, scheme = "exact", "5"

        def detect_many(self, images, boxes):
            from facetrack.detectors import Landmarks
            from facetrack.detectors.cascades.dcnn import five_points

            five = five_points(torch.from_numpy(held_out.points)).numpy()
            return [Landmarks(xy[None], np.ones((1, 5), np.float32)) for xy in five]

    boxes = hog_box(held_out.points)
    assert measured(Exact(), held_out, boxes, schemes.get("68"))["nme_ic"] == 0


def test_training_starts_from_the_box_whatever_the_options_say(faces, tmp_path):
    recipe = Recipe(steps=2, batch=2, workers=1)  # aligned and with squares, as by default
    train("mdm", recipe, faces, tmp_path, CPU, build=functools.partial(tiny, "mdm"))
    detector = create("mdm", DetectorOptions(str(tmp_path / "mdm.safetensors"), "cpu"))
    assert detector.aligned is None
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert set(last["held_out"]) == {"exact_boxes", "jittered_boxes"}


@pytest.mark.parametrize(
    ("arch", "scheme", "options", "match"),
    [
        ("mdm", "68", {"stacks": 2}, "hourglass"),
        ("dan", "68", {"antialiased": True}, "hourglass"),
        ("dan", "68", {"width": 12}, "multiple of 8"),
        ("dcnn", "98", {}, "68 points"),
        ("cascade", "98", {}, "68 points"),
    ],
)
def test_what_cannot_be_is_refused(arch, scheme, options, match):
    with pytest.raises(FacetrackError, match=match):
        networks.make(arch, scheme, networks.Options(**options))


def test_agreement_of_two_views_needs_maps(faces, tmp_path):
    recipe = replace(RECIPE, dcca=1.0, batch=4)
    with pytest.raises(FacetrackError, match="no maps"):
        train("cfan", recipe, faces, tmp_path, CPU, build=functools.partial(tiny, "cfan"))
    run = begun("dan", faces, tmp_path, recipe)
    assert "agreement" in run.train_step(0.0)


def test_pictures_of_half_the_side_are_refused(faces, tmp_path):
    recipe = replace(RECIPE, halved=0.3)
    with pytest.raises(FacetrackError, match="half the side"):
        train("dan", recipe, faces, tmp_path, CPU, build=functools.partial(tiny, "dan"))


@torch.no_grad()
def test_the_generator_is_to_draw_the_mean_of_the_styles_from_any_of_them(faces, tmp_path):
    run = begun("san", faces, tmp_path)
    trainee = run.trainee
    assert isinstance(trainee, San)
    batch = trainee.prepare(torch.rand(1, 3, SIDE, SIDE)).repeat(6, 1, 1, 1)
    prediction, maps, _, wanted = trainee.run(batch)
    assert prediction.shapes.shape == (4, 6, 68, 2)
    assert [m.shape for m in maps] == [(6, 68, SIDE // 8, SIDE // 8)] * 4
    torch.testing.assert_close((wanted + 1) / 2, styles.aggregate((batch + 1) / 2))
    # One picture in four styles has one wish.
    torch.testing.assert_close(wanted, wanted[:1].expand_as(wanted))
    points, labelled = torch.rand(6, 68, 2) * 170 + 40, torch.ones(6, 68)
    exact, parts = trainee.loss((prediction, maps, wanted, wanted), points, labelled)
    worse, _ = trainee.loss((prediction, maps, wanted + 0.5, wanted), points, labelled)
    assert parts["style"] == 0
    assert float(worse - exact) == pytest.approx(San.STYLE * 0.5, rel=1e-3)


@torch.no_grad()
def test_all_stages_learn_the_maps(faces, tmp_path):
    trainee = begun("san", faces, tmp_path).trainee
    prediction, maps, drawn, wanted = trainee.run(trainee.prepare(torch.rand(2, 3, SIDE, SIDE)))
    points, labelled = torch.rand(2, 68, 2) * 170 + 40, torch.ones(2, 68)
    before, _ = trainee.loss((prediction, maps, drawn, wanted), points, labelled)
    for stage in range(4):
        changed = [m + 5.0 * (s == stage) for s, m in enumerate(maps)]
        after, _ = trainee.loss((prediction, changed, drawn, wanted), points, labelled)
        assert float(after) > float(before) + 1
