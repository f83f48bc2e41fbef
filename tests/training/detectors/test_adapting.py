"""Adapting a network to a few faces: what stays, what is held out, what is refused."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import dotted_faces
import few_faces
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_networks import tiny
from typer.testing import CliRunner

from facetrack.cli import app
from facetrack.detectors import DetectorOptions, create
from facetrack.errors import FacetrackError
from facetrack.training.detectors import adapting, data
from facetrack.training.detectors.train import DetectorRun, Recipe, train

CPU = torch.device("cpu")
RECIPE = Recipe(steps=3, batch=2, workers=1, save_minutes=1e9, learning_rate=1e-3)
KEPT = {"scores": '{"slope": 1.5, "offsets": %s}' % ([0.25] * 68), "aligned": "1.25"}


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    """Ten faces of a clip, as corrections leave them."""
    folder = dotted_faces.write(tmp_path_factory.mktemp("faces"), 10)
    with np.load(folder / "landmarks68.npz") as table:
        points = table["points"]
    names = [f"clip.face0.{10 * i:06d}.jpg" for i in range(10)]
    for i, name in enumerate(names):
        (folder / f"{i:03d}.jpg").rename(folder / name)
    np.savez(folder / "landmarks68.npz", names=np.array(names), points=points)
    return folder


def trained(arch: str, faces: Path, folder: Path) -> Path:
    """A start: a tiny network of random weights, and statistics that are those of many faces."""
    folder.mkdir()
    run = DetectorRun(functools.partial(tiny, arch), faces, None, RECIPE, folder, 0, CPU)
    run.save()
    path = folder / f"{arch}.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file(load_file(path), path, {**metadata, **KEPT})
    return path


@pytest.fixture(scope="module")
def starts(faces, tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("starts")
    return {arch: trained(arch, faces, root / arch) for arch in ("star", "pipnet", "heatmap1d")}


@pytest.mark.parametrize("arch", ["star", "pipnet", "heatmap1d"])
def test_weights_learn_and_what_few_faces_cannot_tell_stays(arch, faces, starts, tmp_path):
    path, lines = starts[arch], []
    start = adapting.find_start(str(path))
    assert start.arch == arch
    errors = adapting.adapt(start, RECIPE, faces, tmp_path, CPU, progress=lines.append)
    result = tmp_path / f"{arch}.safetensors"
    old, new = load_file(path), load_file(result)
    assert old.keys() == new.keys()
    running = [name for name in old if "running" in name]
    learned = [name for name in old if name.endswith("weight") and old[name].ndim == 4]
    assert running
    assert all(torch.equal(old[name], new[name]) for name in running)
    changed = [name for name in learned if not torch.equal(old[name], new[name])]
    assert len(changed) > len(learned) / 2
    with safe_open(path, "pt") as before, safe_open(result, "pt") as after:
        kept = {
            "scores",
            "aligned",
            "config",
            "crop",
            "scheme",
            "meanface",
        } & before.metadata().keys()
        assert {k: before.metadata()[k] for k in kept} == {k: after.metadata()[k] for k in kept}
    assert lines[0] == f"{arch}: 8 faces to learn from, 2 held out"
    assert (
        lines[1] == f"error on the held-out faces: {errors[0]:.2f} % before, {errors[1]:.2f} % now"
    )
    create(arch, DetectorOptions(weights=str(result), device="cpu"))


def test_the_error_before_is_that_of_the_start(faces, starts, tmp_path):
    """Nothing is learned at a rate of zero: the errors before and after are the same."""
    recipe = Recipe(steps=1, batch=2, workers=1, learning_rate=0.0)
    start = adapting.find_start(str(starts["star"]))
    before, after = adapting.adapt(start, recipe, faces, tmp_path, CPU)
    assert after == pytest.approx(before, rel=1e-3)
    wrong = adapting.adapt(start, RECIPE, faces, tmp_path / "learned", CPU)
    assert wrong[0] == before
    lines: list[str] = []
    adapting.adapt(start, recipe, faces, tmp_path / "again", CPU, progress=lines.append)
    assert ("It is no better there" in lines[2]) == (after >= before)
    assert wrong[1] != before


def test_an_interrupted_adaptation_goes_on_as_if_it_had_not_been(
    faces, starts, tmp_path, monkeypatch
):
    start = adapting.find_start(str(starts["star"]))
    adapting.adapt(start, RECIPE, faces, tmp_path / "whole", CPU)
    step = adapting._AdaptingRun.train_step

    def stop(run, progress):
        if run.step == 1:
            run.save()
            raise KeyboardInterrupt
        return step(run, progress)

    monkeypatch.setattr(adapting._AdaptingRun, "train_step", stop)
    with pytest.raises(KeyboardInterrupt):
        adapting.adapt(start, RECIPE, faces, tmp_path / "parts", CPU)
    monkeypatch.setattr(adapting._AdaptingRun, "train_step", step)
    adapting.adapt(start, RECIPE, faces, tmp_path / "parts", CPU, resume=True)
    whole, parts = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)
        for name in ("whole", "parts")
    )
    assert whole["step"] == parts["step"] == RECIPE.steps
    for name, value in whole["network"].items():
        torch.testing.assert_close(parts["network"][name], value, msg=name)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 10**6)), min_size=5, max_size=80, unique=True
    )
)
def test_the_end_of_each_sequence_is_held_out(frames):
    names = sorted(f"run{run}.face0.{frame:06d}.jpg" for run, frame in frames)
    known, held_out = data.split_sequences(names)
    assert sorted(known + held_out) == names
    assert 1 <= len(held_out) <= len(names) / 5
    for run in range(4):
        own = [[n for n in part if n.startswith(f"run{run}.")] for part in (known, held_out)]
        if all(own):
            assert max(own[0]) < min(own[1])


def test_corrected_faces_are_a_small_folder_however_many(faces, tmp_path, monkeypatch):
    few_faces.allow(monkeypatch, 3, 8)
    folder = tmp_path / "faces"
    shutil.copytree(faces, folder)
    assert not data.is_small(folder)
    data.refuse_few(folder)
    (folder / data.EXPORTED).write_text("{}")
    assert data.is_small(folder)
    assert data.names_of(folder, "68")[1] == ["clip.face0.000080.jpg", "clip.face0.000090.jpg"]


def test_few_faces_train_nothing_from_the_beginning(faces, tmp_path):
    with pytest.raises(FacetrackError, match=r"holds 10 .* --start-from star-s"):
        train("star", RECIPE, faces, tmp_path, CPU)


def test_networks_of_mean_shapes_and_foreign_weights_are_refused(faces, starts, tmp_path):
    with pytest.raises(FacetrackError, match="dan learns its mean shape from many faces"):
        adapting.adapt(adapting.find_start("dan-s"), RECIPE, faces, tmp_path, CPU)
    path = tmp_path / "mine.safetensors"
    save_file(load_file(starts["star"]), path)
    with pytest.raises(
        FacetrackError, match="holds no landmark network that facetrack has trained"
    ):
        adapting.adapt(adapting.Start(path, None), RECIPE, faces, tmp_path, CPU)
    with pytest.raises(FacetrackError, match="neither a file nor weights"):
        adapting.find_start("star-z")


def run(*words: object):
    return CliRunner().invoke(app, ["train", "detector", *map(str, words)])


def test_a_start_says_the_network_and_its_size(faces, starts, tmp_path):
    out = tmp_path / "own"
    words = ("--faces", faces, "--start-from", starts["star"], "--workers", 1, "--batch", 2)
    result = run(*words, "--steps", 1, "--out", out)
    assert result.exit_code == 0, result.output
    assert "2 held out" in result.output
    assert f"--init star --detector-weights {out / 'star.safetensors'}" in result.output
    again = run(*words, "--steps", 1, "--out", out)
    assert again.exit_code == 2
    assert "holds weights already" in again.output


def test_sizes_cannot_be_chosen_of_what_is_adapted(faces, starts, tmp_path):
    words = (
        "--faces",
        faces,
        "--start-from",
        starts["star"],
        "--stacks",
        3,
        "--out",
        tmp_path / "o",
    )
    result = run(*words)
    assert result.exit_code == 2
    assert "adapted as it is" in " ".join(result.output.split())
    assert not (tmp_path / "o").exists()


def test_a_training_names_its_network(faces, tmp_path):
    result = run("--faces", faces, "--out", tmp_path / "o")
    assert result.exit_code == 2
    assert "Name a network to train (--arch)" in result.output


def test_many_faces_continue_at_the_size_of_the_start(faces, starts, tmp_path, monkeypatch):
    few_faces.allow(monkeypatch, 3, 8)
    path = starts["star"]
    recipe = Recipe(
        steps=1, batch=2, workers=1, warm_up_steps=1, learning_rate=0.0, weight_decay=0.0
    )
    train("star", recipe, faces, tmp_path, CPU, start_from=path)
    old, new = load_file(path), load_file(tmp_path / "star.safetensors")
    assert {k: v.shape for k, v in old.items()} == {k: v.shape for k, v in new.items()}


@pytest.mark.parametrize("model", ["shape", "shape3d"])
def test_a_model_of_shapes_replaces_no_file(model, faces):
    table = faces / "landmarks68.npz"
    before = table.read_bytes()
    words = ["train", model, "--faces", str(faces), "--out", str(table)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "replaces no file" in " ".join(result.output.split())
    assert table.read_bytes() == before
