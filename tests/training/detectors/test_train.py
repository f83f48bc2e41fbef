"""Training landmark detectors: resumes exactly, saves what the detectors read, learns, says what is
wrong."""

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
from tiny_networks import tiny
from typer.testing import CliRunner

from facetrack.cli import app
from facetrack.detectors import DetectorOptions, create
from facetrack.detectors.crops import CropRule, hog_box
from facetrack.detectors.hourglass import FourierFilter, halve_antialiased
from facetrack.detectors.star_network import StarConfig
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.training import textures
from facetrack.training.detectors import augment, networks
from facetrack.training.detectors.data import load, load_held_out
from facetrack.training.detectors.ert import ErtRecipe, _turned, examples, train_ert
from facetrack.training.detectors.train import DetectorRun, Recipe, train
from facetrack.training.signals import Random

CPU = torch.device("cpu")
RECIPE = Recipe(steps=3, batch=2, workers=1, save_minutes=1e9, warm_up_steps=1)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return dotted_faces.write(tmp_path_factory.mktemp("faces"))


@pytest.fixture(autouse=True)
def _few_held_out(monkeypatch):
    few_faces.allow(monkeypatch, 3, 8)


def begun(
    arch: str, faces: Path, out: Path, recipe: Recipe = RECIPE, **options: bool
) -> DetectorRun:
    out.mkdir(parents=True, exist_ok=True)
    return DetectorRun(functools.partial(tiny, arch, **options), faces, None, recipe, out, 0, CPU)


@pytest.mark.parametrize("arch", ["pipnet", "star"])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(arch, faces, tmp_path):
    build = functools.partial(tiny, arch)
    train(arch, RECIPE, faces, tmp_path / "whole", CPU, build=build)
    half = begun(arch, faces, tmp_path / "parts")
    half.train_step(half.progress())
    half.save()
    train(arch, RECIPE, faces, tmp_path / "parts", CPU, build=build, resume=True)
    whole, parts = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)
        for name in ("whole", "parts")
    )
    assert parts["step"] == whole["step"] == RECIPE.steps
    for kind in ("network", "ema"):
        for key, value in whole[kind].items():
            torch.testing.assert_close(parts[kind][key], value, msg=key)


@pytest.mark.parametrize(
    ("arch", "options"),
    [
        ("pipnet", {}),
        ("fan", {}),
        ("star", {}),
        ("star", {"antialiased": True, "filtered": True}),
        ("heatmap1d", {}),
        ("heatmap1d", {"antialiased": True, "filtered": True}),
    ],
)
def test_the_weights_are_those_of_a_detector_that_answers_as_trained(
    arch, options, faces, tmp_path
):
    """The detector's network, from the file, draws what the averaged weights draw."""
    run = begun(arch, faces, tmp_path, **options)
    run.train_step(0.0)
    run.save()
    path = tmp_path / f"{arch}.safetensors"
    detector = create(arch, DetectorOptions(weights=str(path), device="cpu", precision="float32"))
    assert detector.scheme == "68"
    held_out = load_held_out(faces, "68")
    box = hog_box(held_out.points[0])
    found = detector.detect(held_out.images[0], box[None])
    assert found.xy.shape == (1, 68, 2)
    assert np.isfinite(found.xy).all()
    np.testing.assert_allclose(detector.crop_box(box), run.trainee.rule.square(box))

    network = run.trainee.network
    network.load_state_dict(run.ema)
    network.eval()
    crops = np.random.default_rng(0).integers(0, 255, (1, 256, 256, 3)).astype(np.uint8)
    pictures = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        # The whole input pipeline of training against the detector's own.
        expected = flat(network(run.trainee.prepare(pictures)))
        given = flat(detector.network(detector.prepare(crops)))
    # On average: STAR's boundary is a threshold, which float16 may cross in single cells.
    assert float((given - expected).abs().mean()) < 0.01 * float(expected.abs().mean())


def flat(output) -> torch.Tensor:
    if isinstance(output, torch.Tensor):
        return output.flatten()
    return torch.cat([flat(part) for part in output])


@pytest.mark.parametrize("arch", ["pipnet", "fan", "star", "heatmap1d"])
def test_landmarks_without_a_label_do_not_count(arch, faces, tmp_path):
    run = begun(arch, faces, tmp_path)
    torch.manual_seed(0)
    output = run.trainee.run(run.trainee.prepare(torch.rand(2, 3, 256, 256)))
    points = torch.rand(2, 68, 2) * 200 + 20
    labelled = torch.ones(2, 68)
    labelled[0, 30:40] = 0
    elsewhere = points.clone()
    elsewhere[0, 30:40] += 15
    with torch.no_grad():
        known, guessed = (run.trainee.loss(output, p, labelled)[0] for p in (points, elsewhere))
        counted = run.trainee.loss(output, elsewhere, torch.ones(2, 68))[0]
    assert float(known) == pytest.approx(float(guessed), rel=1e-5)
    assert float(counted) != pytest.approx(float(known), rel=1e-4)


def test_faces_with_pseudo_labels_are_learned_as_well(faces, tmp_path):
    pseudo = tmp_path / "pseudo"
    pseudo.mkdir()
    with np.load(faces / "landmarks68.npz") as data:
        table = {key: data[key] for key in data.files}
    for name in table["names"]:
        (pseudo / str(name)).write_bytes((faces / str(name)).read_bytes())
    with pytest.raises(FacetrackError, match="which landmarks are labelled"):
        train("star", RECIPE, faces, tmp_path / "out", CPU, pseudo=faces, build=partial_star())
    np.savez(pseudo / "landmarks68.npz", **table, labelled=np.ones((8, 68), bool))
    train("star", RECIPE, faces, tmp_path / "out", CPU, pseudo=pseudo, build=partial_star())
    assert (tmp_path / "out" / "star.safetensors").is_file()
    recipe = replace(RECIPE, plain=0.6, pseudo_share=0.25)
    run = DetectorRun(partial_star(), faces, pseudo, recipe, tmp_path / "out", 0, CPU)
    assert [part.share for part in run.parts] == pytest.approx([0.6, 0.3, 0.1])


def test_plain_faces_stay_as_they_were_photographed(faces, tmp_path):
    """Their crops differ by where they were cut out, but by nothing else."""
    run = begun("star", faces, tmp_path)
    plain, other = run.parts
    assert plain.share + other.share == pytest.approx(1)
    assert (plain.ranges.rotation, plain.ranges.scale) == (other.ranges.rotation, (0.86, 1.16))
    exact = replace(plain.ranges, rotation=0.0, scale=(1.0, 1.0), shift=0.0, mirror=0.0)
    views = augment.sample_spoilt(plain.source, 20, Random(1, CPU), exact)
    known = [
        plain.source.frame_of(face).to_crop(face) for face in run.faces.points.double().numpy()
    ]
    for points in views.points.numpy():
        assert min(np.abs(points - face).max() for face in known) < 0.05
    spoilt = augment.sample_spoilt(plain.source, 20, Random(1, CPU), replace(exact, spoilt=1.0))
    assert not torch.equal(views.pictures, spoilt.pictures)
    torch.testing.assert_close(views.points, spoilt.points)


def partial_star():
    return functools.partial(tiny, "star")


@pytest.mark.parametrize("arch", ["pipnet", "fan", "star", "heatmap1d"])
def test_a_perfect_network_is_decoded_to_the_truth(arch, faces, tmp_path):
    """The targets of training and the decoding of the detector mean the same places."""
    run = begun(arch, faces, tmp_path)
    run.save()
    path = tmp_path / f"{arch}.safetensors"
    detector = create(arch, DetectorOptions(weights=str(path), device="cpu"))
    random = np.random.default_rng(0)
    truth = random.uniform(40, 210, (1, 68, 2))
    points = torch.from_numpy(truth).float()
    xy, _ = detector.decode(ideal(arch, run, points))
    # Through the placement of a crop, which every detector states in units of its own.
    image, box = np.zeros((300, 300, 3), np.uint8), np.array([80.0, 70.0, 211.0, 201.0])
    placed = detector.crop(image, detector.crop_box(box))
    cut = run.trainee.rule.cut(image, run.trainee.rule.square(box))
    assert placed is not None
    assert cut is not None
    step, origin = cut[1]
    error = detector.to_image(xy[0], placed[1]) - (truth[0] * step + origin)
    assert np.abs(error).max() < (0.1 if arch == "star" else 1e-2)


def ideal(arch, run, points):
    """Maps without error for `points`, by minimising the loss where they are not simply drawn."""
    from facetrack.detectors.heatmap1d_maps import draw
    from facetrack.detectors.pipnet import PipMaps
    from facetrack.training.detectors import targets

    if arch == "heatmap1d":
        return draw(points, 768, 4.0)
    if arch == "fan":
        return targets.point_maps((points + 0.5) / 4 - 0.5, 64, networks.SIGMA)
    if arch == "star":
        truth = (2 * points + 1) / 256 - 1
        return targets.point_maps((truth + 1) / 2 * 63, 64, networks.SIGMA)
    maps = [torch.zeros(1, n, 8, 8, requires_grad=True) for n in (68, 68, 68, 680, 680)]
    optimiser = torch.optim.SGD(maps, lr=1.0)
    # Absolute errors have gradients of a fixed size: the steps must shrink.
    for step in range(400):
        optimiser.zero_grad()
        loss, _ = run.trainee.loss(PipMaps(*maps), points, torch.ones(1, 68))
        loss.backward()
        for m in maps:
            m.grad.sign_()
        optimiser.param_groups[0]["lr"] = 0.2 * 0.98**step
        optimiser.step()
    return PipMaps(*(m.detach() for m in maps))


def test_the_log_holds_losses_and_what_was_measured(faces, tmp_path):
    build = functools.partial(tiny, "heatmap1d")
    train("heatmap1d", RECIPE, faces, tmp_path, CPU, build=build)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checkpoint.pt",
        "heatmap1d.safetensors",
        "log.jsonl",
    ]
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert set(last["held_out"]) == {"exact_boxes", "jittered_boxes"}
    assert set(last["held_out"]["exact_boxes"]) == {"nme_ic", "fr_10"}


def test_the_loss_falls(faces, tmp_path):
    recipe = Recipe(steps=25, batch=2, workers=1, learning_rate=1e-2, warm_up_steps=1, fifa=0.0)
    run = begun("pipnet", faces, tmp_path, recipe)
    seen = [run.train_step(0.0)["loss"] for _ in range(25)]
    assert np.mean(seen[-5:]) < 0.5 * np.mean(seen[:3])


def test_two_views_agree_in_the_log(faces, tmp_path):
    recipe = Recipe(steps=2, batch=4, workers=1, dcca=1.0)
    run = begun("heatmap1d", faces, tmp_path, recipe)
    parts = run.train_step(0.0)
    assert 0 < parts["agreement"] <= 1


def test_held_out_faces_are_in_no_training(faces):
    names = sorted(p.name for p in faces.glob("*.jpg"))
    kept, held_out = textures.split_names(names)
    points = load(faces, "68", CPU, dotted_faces.SIDE).points.numpy()
    apart = load_held_out(faces, "68").points
    assert (len(points), len(apart)) == (len(kept), len(held_out)) == (5, 3)
    assert not any(np.allclose(a, b, atol=0.1) for a in points for b in apart)


def test_vectors_stay_in_float32_and_the_rest_does_not(faces, tmp_path):
    from safetensors.torch import load_file

    run = begun("pipnet", faces, tmp_path)
    run.ema["bn1.running_var"].fill_(1e6)  # beyond float16
    run.save()
    state = load_file(tmp_path / "pipnet.safetensors")
    assert (state["bn1.running_var"] == 1e6).all()
    assert state["conv1.weight"].dtype == torch.float16


def test_a_run_begins_from_a_network_of_fewer_stacks(faces, tmp_path):
    run = begun("star", faces, tmp_path / "first")
    run.save()
    config = StarConfig(68, 9, 3, 1, 8)
    build = functools.partial(networks.Star, schemes.get("68"), networks.Options(), config)
    longer = DetectorRun(build, faces, None, RECIPE, tmp_path, 0, CPU)
    longer.begin_from(tmp_path / "first" / "star.safetensors")
    old, new = run.ema, longer.network.state_dict()
    # An input that only a later stack has joins with zero weights; what was there is as it was.
    for name in ("pre.0.conv.weight", "hgs.1.coordconv.conv.weight"):
        torch.testing.assert_close(new[name], old[name].half().float())


def test_weights_of_another_network_cannot_be_the_start(faces, tmp_path):
    begun("heatmap1d", faces, tmp_path / "first").save()
    run = begun("pipnet", faces, tmp_path)
    with pytest.raises(FacetrackError, match="cannot be the start"):
        run.begin_from(tmp_path / "first" / "heatmap1d.safetensors")


@pytest.mark.parametrize(
    ("first", "then", "trunk"),
    [("star", "heatmap1d", "features.{}"), ("heatmap1d", "star", "{}")],
)
def test_hourglasses_of_one_network_start_the_other(first, then, trunk, faces, tmp_path):
    old = begun(first, faces, tmp_path / "first")
    old.save()
    run = begun(then, faces, tmp_path)
    run.begin_from(tmp_path / "first" / f"{first}.safetensors")
    before, new = old.ema, run.network.state_dict()
    inside = "features." if first == "heatmap1d" else ""
    for name in ("pre.0.conv.weight", "hgs.0.low1.conv2.conv.weight", "features.0.1.conv.weight"):
        value = before[inside + name].half().float()
        torch.testing.assert_close(new[trunk.format(name)], value)


def test_the_first_share_of_the_budget_sees_pictures_of_half_the_side(faces, tmp_path):
    run = begun("pipnet", faces, tmp_path, replace(RECIPE, halved=0.5))
    sides = []
    run.network.register_forward_pre_hook(lambda _, given: sides.append(given[0].shape[-1]))
    for progress in (0.0, 0.4, 0.6):
        run.losses(Random(0, CPU), progress)
    assert sides == [128, 128, 256]


def test_attention_cannot_begin_with_smaller_pictures(faces, tmp_path):
    with pytest.raises(FacetrackError, match="half the side"):
        train("heatmap1d", replace(RECIPE, halved=0.5), faces, tmp_path, CPU)


def test_a_network_that_keeps_to_half_the_side_is_shown_such_pictures(faces, tmp_path):
    run = begun("star", faces, tmp_path, replace(RECIPE, halved=1.0))
    run.save()
    crops = np.random.default_rng(0).integers(0, 255, (2, 256, 256, 3), np.uint8)
    made = create("star", DetectorOptions(weights=str(tmp_path / "star.safetensors"), device="cpu"))
    shown = made.prepare(crops)
    assert shown.shape == (2, 3, 128, 128)
    quarter = crops.reshape(2, 128, 2, 128, 2, 3).mean((2, 4)) / 255 * 2 - 1
    np.testing.assert_allclose(shown.permute(0, 2, 3, 1).flip(3).numpy(), quarter, atol=0.6 / 127)
    xy, _ = made.landmarks(crops)
    assert xy.shape == (2, 68, 2)


def test_only_star_keeps_to_half_the_side(faces, tmp_path):
    with pytest.raises(FacetrackError, match="star alone"):
        train("pipnet", replace(RECIPE, halved=1.0), faces, tmp_path, CPU)


# ---------------------------------------------------------------- hourglass options


def test_halving_without_aliasing_hardly_cares_where_the_picture_begins():
    """A pattern finer than the halved cells moves by one cell: the plain maximum changes a lot."""
    torch.manual_seed(0)
    picture = torch.rand(1, 1, 64, 64)
    moved = picture.roll(1, 3)

    def change(halve) -> float:
        one, two = halve(picture)[..., 4:-4, 4:-4], halve(moved)[..., 4:-4, 4:-4]
        return float((one - two).abs().mean() / one.std())

    plain = change(lambda x: torch.nn.functional.max_pool2d(x, 2))
    assert change(halve_antialiased) < 0.85 * plain


def test_halving_without_aliasing_keeps_places():
    """The blurred maximum of a lone peak is centred where the peak is."""
    axis = torch.arange(32.0)
    peak = torch.exp(-((axis - 14.5) ** 2)[None] / 18 - ((axis[:, None] - 16.5) ** 2) / 18)
    half = halve_antialiased(peak[None, None])[0, 0]
    cells = torch.arange(16.0) * 2 + 0.5
    assert half.shape == (16, 16)
    assert float((half.sum(0) * cells).sum() / half.sum()) == pytest.approx(14.5, abs=0.05)
    assert float((half.sum(1) * cells).sum() / half.sum()) == pytest.approx(16.5, abs=0.05)


def test_an_untrained_filter_changes_nothing_and_a_trained_one_shapes_frequencies():
    layer = FourierFilter(2, 8)
    x = torch.randn(3, 2, 8, 8)
    torch.testing.assert_close(layer(x), x)
    with torch.no_grad():
        layer.factor[:, 1] = 0
        layer.factor[0, 1, 0, 0] = 1  # only the mean of the second channel is left
    y = layer(x)
    torch.testing.assert_close(y[:, 0], x[:, 0])
    torch.testing.assert_close(y[:, 1], x[:, 1].mean((1, 2), keepdim=True).expand(3, 8, 8))


# ---------------------------------------------------------------- crop rules, ERT, command line


def test_crop_rules_survive_the_file_and_damaged_ones_are_said(tmp_path):
    rule = CropRule(0.5, 0.55, 1.4)
    assert CropRule.read({"crop": rule.write()}, tmp_path) == rule
    assert CropRule.read({}, tmp_path) is None
    for text in ("[1, 2]", "x", "[0.5, 0.5, -1]", '["a", 1, 1]', "3"):
        with pytest.raises(FacetrackError, match="damaged"):
            CropRule.read({"crop": text}, tmp_path)


def test_ert_is_trained_and_read(faces, tmp_path):
    small = ErtRecipe(
        cascades=2, trees=5, depth=2, starts=2, boxes=2, pixels=40, tests=5, side=80, workers=1
    )
    measured = train_ert(small, faces, tmp_path)
    assert measured["exact_boxes"]["nme_ic"] < 30
    assert (tmp_path / "ert.dat").stat().st_size > 1000
    detector = create("ert", DetectorOptions(weights=str(tmp_path / "ert.dat")))
    assert detector._uses_second_view  # as the weights do that come with facetrack
    held_out = load_held_out(faces, "68")
    found = detector.detect(held_out.images[0], hog_box(held_out.points[:1]))
    assert np.isfinite(found.xy).all()


def test_ert_learns_on_turned_and_mirrored_copies_too(faces):
    recipe = ErtRecipe(turned=2, boxes=3, side=80)
    pictures, answers = examples(faces, "68", recipe)
    assert len(pictures) == len(answers) == 5 * (1 + 2) * 2
    assert {len(some) for some in answers} == {3}
    for picture, some in zip(pictures, answers, strict=True):
        assert picture.shape == (80, 80)
        exact, *off = (box for box, _ in some)
        np.testing.assert_allclose(exact, hog_box(some[0][1]))
        assert not any(np.allclose(box, exact, atol=0.1) for box in off)


def test_what_is_at_a_landmark_is_there_when_the_picture_is_turned():
    points = np.array([[60.0, 40.0], [30.0, 70.0], [50.0, 52.0]])
    y, x = np.mgrid[:100, :100]
    for seed in range(4):
        for k, (px, py) in enumerate(points):
            dot = 200 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 18)
            made, moved = _turned(np.uint8(dot), points, np.random.default_rng(seed))
            weight = made / made.sum()
            centre = np.array([(x * weight).sum(), (y * weight).sum()])
            assert np.linalg.norm(centre - moved[k]) < 0.2
        assert np.linalg.norm(moved - points, axis=1).max() > 0.5


def said(*words: str) -> str:
    result = CliRunner().invoke(app, ["train", "detector", *words])
    assert result.exit_code == 2, result.output
    return result.stderr.strip()


def test_the_command_trains(faces, tmp_path):
    words = ["train", "detector", "--arch", "star", "--faces", str(faces), "--out", str(tmp_path)]
    words += ["--steps", "1", "--batch", "1", "--workers", "1", "--width", "8", "--stacks", "1"]
    result = CliRunner().invoke(app, [*words, "--antialiased", "--device", "cpu", "--no-fifa"])
    assert result.exit_code == 0, result.output
    detector = create("star", DetectorOptions(str(tmp_path / "star.safetensors"), device="cpu"))
    assert detector.network.config == StarConfig(68, 9, 1, 4, 8, antialiased=True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--arch", "hrnet"], "no network 'hrnet'"),
        (["--arch", "fan", "--width", "64"], "256 channels"),
        (["--arch", "fan", "--points-scheme", "98"], "landmarks98.npz"),
        (["--arch", "star", "--points-scheme", "29"], "29"),
        (["--arch", "pipnet", "--stacks", "2"], "no hourglass"),
        (["--arch", "fan", "--heatmap-loss", "l1"], "awing or mse"),
        (["--arch", "pipnet", "--resume"], "no checkpoint.pt"),
        (["--arch", "ert", "--resume"], "in one go"),
        (["--arch", "pipnet", "--start-from", "nowhere.pth"], "neither a file nor"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(words, sentence, faces, tmp_path):
    told = said(*words, "--faces", str(faces), "--out", str(tmp_path / "out"), "--device", "cpu")
    assert sentence in told
    assert "\n" not in told


def test_an_ensemble_that_exists_is_not_replaced(faces, tmp_path):
    kept = tmp_path / "ert.dat"
    kept.write_bytes(b"of hours")
    assert "replaces no file" in said(
        "--arch", "ert", "--faces", str(faces), "--out", str(tmp_path)
    )
    assert kept.read_bytes() == b"of hours"


def test_a_folder_without_faces_is_said(tmp_path):
    told = said("--arch", "pipnet", "--faces", str(tmp_path), "--out", str(tmp_path / "out"))
    assert "landmarks68.npz" in told
