"""Training MTCNN: three networks in order, resumed exactly, into a file that the detector reads."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import dotted_faces
import few_faces
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from facetrack import face_detectors
from facetrack.cli import app
from facetrack.errors import FacetrackError
from facetrack.face_detectors import mtcnn, mtcnn_network
from facetrack.training.face_detectors import train as training
from facetrack.training.face_detectors.losses import Targets
from facetrack.training.face_detectors.samples import LANDMARK, POSITIVE
from facetrack.training.face_detectors.scenes import Scene
from facetrack.training.signals import Random

CPU = torch.device("cpu")
RECIPE = training.MtcnnRecipe(steps=6, batch=7, scenes=4, save_minutes=1e9, warm_up_steps=1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    backgrounds = tmp_path_factory.mktemp("backgrounds")
    random = np.random.default_rng(0)
    for i in range(3):
        coarse = random.integers(0, 255, (6, 8, 3), np.uint8)
        smooth = cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(backgrounds / f"{i}.png"), smooth)
    return dotted_faces.write(tmp_path_factory.mktemp("faces")), backgrounds


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    few_faces.allow(monkeypatch, 3, 8)
    monkeypatch.setattr(training, "NUM_MEASURED", 2)


def begun(folders: tuple[Path, Path], out: Path) -> training.MtcnnRun:
    out.mkdir(parents=True, exist_ok=True)
    return training.MtcnnRun(*folders, RECIPE, out, 0, CPU)


def steps_of(run: training.MtcnnRun, count: int) -> None:
    for _ in range(count):
        run.train_step(run.progress())


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    training.train(RECIPE, *folders, tmp_path / "whole", CPU)
    half = begun(folders, tmp_path / "parts")
    steps_of(half, 4)  # within the last network
    half.save()
    training.train(RECIPE, *folders, tmp_path / "parts", CPU, resume=True)
    whole, parts = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)
        for name in ("whole", "parts")
    )
    assert parts["step"] == whole["step"] == RECIPE.steps
    for kind in ("network", "ema"):
        for key, value in whole[kind].items():
            torch.testing.assert_close(parts[kind][key], value, msg=key)


def test_one_network_is_trained_after_the_other(folders: tuple[Path, Path], tmp_path: Path) -> None:
    run, moved = begun(folders, tmp_path), []
    for _ in range(RECIPE.steps):
        before = {k: v.clone() for k, v in run.network.state_dict().items()}
        steps_of(run, 1)
        after = run.network.state_dict()
        moved.append({run._stage_of(k) for k, v in before.items() if not torch.equal(v, after[k])})
    # Step 0 of 6 is within the first 15 %, steps 1 and 2 within the first 40 %. A network also
    # takes its averaged weights when the next one begins.
    assert moved == [{0}, {0, 1}, {1}, {1, 2}, {2}, {2}]
    assert [line["stage"] for line in lines(tmp_path)] == list(training.STAGES)


def test_a_network_that_is_done_keeps_its_averaged_weights(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    run = begun(folders, tmp_path)
    steps_of(run, 1)
    averaged = {k: v.clone() for k, v in run.ema.items() if k.startswith("proposal")}
    steps_of(run, 5)
    for name, value in averaged.items():
        torch.testing.assert_close(run.ema[name], value, rtol=0, atol=0)
        torch.testing.assert_close(run.network.state_dict()[name], value, rtol=0, atol=0)


def test_each_network_has_its_own_rising_learning_rate(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    run = begun(folders, tmp_path)
    for stage, share in enumerate((1.0, 0.4, 0.2)):
        run.stage = stage
        factors = [run.warm_up(progress) for progress in (0.0, 0.02, 0.05, 0.9)]
        assert factors == pytest.approx([0.01 * share, 0.41 * share, share, share])


def test_untrained_networks_answer_with_the_window_itself(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    run = begun(folders, tmp_path)
    for stage, side in enumerate(training.SIDES):
        run.stage = stage
        answers = run._answer(torch.randn(20, 3, side, side))
        assert answers.points.shape == (20, 10)
        assert (answers.points - 0.5).abs().mean() < 1
        assert answers.offsets.abs().mean() < 1
        assert answers.logits.abs().mean() < 1
        features = run.network.get_submodule(training.STAGES[stage]).features
        assert 0.2 < features(torch.randn(20, 3, side, side)).std() < 20


def test_later_networks_learn_from_what_those_before_take_for_faces(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def candidates(self: mtcnn.Mtcnn, image: np.ndarray, networks: int) -> np.ndarray:
        asked.append(networks)
        return np.array([[10.0, 10, 60, 60]])

    monkeypatch.setattr(mtcnn.Mtcnn, "candidates", candidates)
    run = begun(folders, tmp_path)
    steps_of(run, 1)
    assert asked == []
    steps_of(run, 2)
    assert set(asked) == {1}
    steps_of(run, 1)
    assert set(asked) == {1, 2}
    assert run.samples.pictures.shape[1:] == (48, 48, 3)


@pytest.mark.parametrize(("steps", "seconds"), [(0, 0.35 * 0.15 * 600), (6, math.inf)])
def test_windows_are_collected_in_a_share_of_the_minutes(
    steps: int,
    seconds: float,
    folders: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = []

    def collect(*arguments: Any) -> training.Samples:
        limits.append(arguments[-1])
        return training.Samples(*(np.zeros(0) for _ in training.Samples._fields))

    monkeypatch.setattr(training, "collect", collect)
    recipe = replace(RECIPE, steps=steps, minutes=10.0)
    training.MtcnnRun(*folders, recipe, tmp_path, 0, CPU)._begin(0)
    assert limits == [pytest.approx(seconds)]


def test_the_file_is_what_the_detector_reads(folders: tuple[Path, Path], tmp_path: Path) -> None:
    run = begun(folders, tmp_path)
    steps_of(run, 5)
    run.finish()
    path = tmp_path / "mtcnn.safetensors"
    loaded = mtcnn_network.load(path)
    picture = torch.randn(2, 3, 48, 48)
    run.network.load_state_dict(run.ema)
    with torch.inference_mode():
        expected = run.network.get_submodule("output")(picture)
        for given, wanted in zip(loaded.output(picture), expected, strict=True):
            torch.testing.assert_close(given, wanted, rtol=0.02, atol=0.02)
    detector = face_detectors.create(f"mtcnn={path}")
    found = detector.detect(np.zeros((120, 160, 3), np.uint8))
    assert found.boxes.shape[1:] == (4,)
    assert np.isfinite(found.boxes).all()
    assert detector.describe()["weights"] == str(path)
    assert set(lines(tmp_path)[-1]["held_out"]) == {"stage", "recall", "others"}


def test_a_short_training_learns_to_tell_faces(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P-Net proposes easy faces and little else after some seconds."""
    monkeypatch.setattr(training, "NUM_MEASURED", 8)
    recipe = replace(RECIPE, steps=1400, batch=28, scenes=60, learning_rate=1e-2, ema=0.95)
    recipe = replace(recipe, warm_up_steps=20)
    run = training.MtcnnRun(*folders, recipe, tmp_path, 0, CPU)
    before = run.measure()
    steps_of(run, 199)
    after = run.measure()
    assert (before["stage"], after["stage"]) == ("proposal", "proposal")
    assert before["recall"] < 60 < 80 < after["recall"]
    assert after["others"] < 400  # of some ten thousand places that it looks at


def test_mirroring_keeps_points_on_what_they_mark() -> None:
    picture = torch.zeros(2, 3, 10, 10)
    picture[:, :, 2, 1] = 1
    points = torch.tensor([0.15, 0.8, 0.5, 0.2, 0.7, 0.25, 0.3, 0.5, 0.7, 0.8])
    offsets = torch.tensor([0.1, 0.2, -0.3, 0.4])
    targets = Targets(
        torch.tensor([POSITIVE, LANDMARK]), offsets.expand(2, 4), points.expand(2, 10)
    )
    flip = torch.tensor([True, False])
    shown, mirrored = training.mirror(picture, targets, flip)
    assert shown[0, 0, 2, 8] == 1
    assert torch.equal(shown[1], picture[1])
    # What was the left edge, moved by 0.1 to the right, is the right edge, moved to the left.
    torch.testing.assert_close(mirrored.offsets[0], torch.tensor([0.3, 0.2, -0.1, 0.4]))
    x = torch.tensor([0.2, 0.85, 0.5, 0.3, 0.8])
    y = torch.tensor([0.3, 0.25, 0.5, 0.8, 0.7])
    torch.testing.assert_close(mirrored.points[0], torch.cat([x, y]))
    torch.testing.assert_close(mirrored.points[1], points)


def test_spoilt_windows_stay_pictures() -> None:
    pictures = torch.rand(40, 3, 12, 12)
    spoilt = training.spoil(pictures, Random(0, CPU))
    assert spoilt.shape == pictures.shape
    assert 0 <= float(spoilt.min()) <= float(spoilt.max()) <= 1
    assert not torch.equal(spoilt, pictures)


class Answering(mtcnn.Mtcnn):
    """Takes two places for faces."""

    def candidates(self, image: np.ndarray, networks: int) -> np.ndarray:
        return np.array([[10.0, 10, 50, 50], [300.0, 300, 340, 340]])


def test_recall_and_other_windows_are_counted() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    boxes = np.array([[12.0, 10, 52, 50], [100.0, 100, 160, 160]])
    with_two = Scene(image, boxes, np.zeros((2, 5, 2)), boxes)
    without = Scene(image, boxes[:0], np.zeros((0, 5, 2)), boxes[:0])
    found = training.measured(Answering(), [with_two, without], stage=0)
    assert found == {"recall": 50.0, "others": 1.5}


def test_the_command_trains_weights_that_the_detector_takes(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = ["train", "face-detector", "--faces", str(folders[0]), "--out", str(out)]
    command += ["--backgrounds", str(folders[1]), "--device", "cpu", "--steps", "6"]
    done = CliRunner().invoke(app, [*command, "--batch", "7", "--scenes", "3"])
    assert done.exit_code == 0, done.output
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((90, 90, 3), 99, np.uint8))
    detect = ["detect", str(tmp_path / "grey.png"), "--out", str(tmp_path / "out")]
    detect += ["--face-detector", f"mtcnn={out / 'mtcnn.safetensors'}", "--init", "ert"]
    CliRunner().invoke(app, detect)
    record = json.loads((tmp_path / "out" / "landmarks.json").read_text())
    assert record["face_detector"]["weights"] == str(out / "mtcnn.safetensors")
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 2
    assert "holds weights already" in again.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--arch", "yunet"], "There is no face detector 'yunet' to train: choose mtcnn."),
        (["--backgrounds", "nowhere"], "nowhere is not a folder: --backgrounds needs photographs"),
        (["--faces", "nowhere"], "nowhere"),
        (["--resume"], "has no checkpoint.pt to resume from."),
        (["--start-from", "none.safetensors"], "none.safetensors does not exist."),
    ],
)
def test_bad_input_is_one_sentence(
    options: list[str],
    sentence: str,
    folders: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["train", "face-detector", "--faces", str(folders[0])]
    command += ["--backgrounds", str(folders[1]), "--device", "cpu", "--steps", "1"]
    result = CliRunner().invoke(app, [*command, *options])
    assert result.exit_code == 2, result.output
    last = result.stderr.splitlines()[-1]
    assert last.startswith("facetrack: ")
    assert sentence in last


def test_weights_of_another_network_do_not_start_it(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    from facetrack.weights import resolve

    with pytest.raises(FacetrackError, match="has no layer of the network to train"):
        training.train(RECIPE, *folders, tmp_path, CPU, start_from=resolve("shape").path)
