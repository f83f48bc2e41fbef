"""The training loop: resumes exactly, saves whole files, learns."""

from __future__ import annotations

import json
from dataclasses import replace

import few_faces
import numpy as np
import pytest
import ring_faces
import torch
from typer.testing import CliRunner

from facetrack.cli import app
from facetrack.errors import FacetrackError
from facetrack.trackers.tapir import TAPIR, TAPIR_S
from facetrack.training.tracker import Recipe, train

CONFIG = replace(
    TAPIR_S, stem_channels=8, group_channels=(8, 8), group_blocks=(1, 1), hires_dim=8,
    lowres_dim=8, mixer_width=16, mixer_blocks=2, iterations=2,
)  # fmt: skip
RECIPE = Recipe(steps=4, frames=3, long_frames=3, points=9, workers=1, save_minutes=1e9)
CPU = torch.device("cpu")
SMALLER = replace(CONFIG, fine_dim=0)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return ring_faces.make(tmp_path_factory.mktemp("faces"))


@pytest.fixture(autouse=True)
def _few_held_out(monkeypatch):
    few_faces.allow(monkeypatch, 2, 6)


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(faces, tmp_path):
    train(CONFIG, RECIPE, faces, tmp_path / "whole", CPU, resume=False)
    # The learning rate follows the budget: stop the first half by hand, not by a smaller budget.
    from facetrack.training.tracker import _Run

    half = _Run(CONFIG, faces, RECIPE, tmp_path / "parts", 0, CPU)
    (tmp_path / "parts").mkdir()
    for _ in range(2):
        half.train_step(half.progress())
    half.save()
    train(CONFIG, RECIPE, faces, tmp_path / "parts", CPU, resume=True)
    whole, parts = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)
        for name in ("whole", "parts")
    )
    assert parts["step"] == whole["step"] == RECIPE.steps
    for key, value in whole["network"].items():
        torch.testing.assert_close(parts["network"][key], value, msg=key)


def test_the_result_is_a_checkpoint_of_its_own_configuration(faces, tmp_path):
    train(CONFIG, RECIPE, faces, tmp_path, CPU, resume=False)
    assert TAPIR.from_checkpoint(tmp_path / "tracker.safetensors").config == CONFIG
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checkpoint.pt",
        "log.jsonl",
        "tracker.safetensors",
    ]
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert set(last["held_out"]) == {"seen_px", "median_px", "hidden_px", "visibility"}


def test_a_run_begins_from_a_smaller_network_without_changing_what_it_says(faces, tmp_path):
    """The new look at the fine map joins with zero weights: only its share of the gates acts."""
    from facetrack.training.tracker import _Run

    train(SMALLER, RECIPE, faces, tmp_path / "small", CPU)
    start = tmp_path / "small" / "tracker.safetensors"
    run = _Run(CONFIG, faces, RECIPE, tmp_path / "large", 0, CPU)
    run.begin_from(start)
    old = TAPIR.from_checkpoint(start).network.state_dict()
    new = run.network.state_dict()
    for name, value in old.items():
        torch.testing.assert_close(new[name][tuple(slice(n) for n in value.shape)], value)
    grown = new["torch_pips_mixer.linear.weight"]
    width = old["torch_pips_mixer.linear.weight"].shape[1]
    assert grown.shape[1] > width
    assert not grown[:, width:].any()
    assert all(torch.equal(run.ema[name], value) for name, value in new.items())


def test_weights_of_a_larger_network_cannot_be_the_start(faces, tmp_path):
    train(CONFIG, RECIPE, faces, tmp_path / "large", CPU)
    with pytest.raises(FacetrackError, match="cannot be the start"):
        train(
            SMALLER, RECIPE, faces, tmp_path / "out", CPU,
            start_from=tmp_path / "large" / "tracker.safetensors",
        )  # fmt: skip


def test_two_workers_average_their_gradients(faces, tmp_path, monkeypatch):
    """Both start from the same weights and make the same step, so one file is enough."""
    import torch.distributed as dist

    from facetrack.training.tracker import _Run

    run = _Run(CONFIG, faces, RECIPE, tmp_path, 0, CPU)
    for parameter in run.network.parameters():
        parameter.grad = torch.ones_like(parameter)
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_reduce", lambda flat: flat.add_(3))
    run._share_gradients()
    for parameter in run.network.parameters():
        torch.testing.assert_close(parameter.grad, torch.full_like(parameter, 2.0))


def test_a_folder_without_faces_is_said(tmp_path):
    with pytest.raises(FacetrackError, match="faces"):
        train(CONFIG, RECIPE, tmp_path, tmp_path / "out", CPU, resume=False)


def test_real_videos_are_cut_once_and_learned_from(faces, tmp_path, monkeypatch):
    from facetrack.training import real

    cuts: list[object] = []
    taught: list[torch.Size] = []
    teach = real.taught

    def gather(videos, out):
        cuts.append(videos)
        window = np.random.default_rng(0).integers(0, 255, (real.FRAMES, 352, 352, 3))
        np.save(out / "real-0000.npy", window.astype(np.uint8))
        np.save(out / "real-landmarks.npy", np.full((1, 68, 2), 170, np.float32))

    def watched(*arguments):
        clip = teach(*arguments)
        taught.append(clip.video.shape)
        return clip

    monkeypatch.setattr(real, "gather", gather)
    monkeypatch.setattr(real, "taught", watched)
    recipe = replace(RECIPE, real_share=1.0)
    train(CONFIG, recipe, faces, tmp_path / "run", CPU, videos=tmp_path)
    assert [size[1] for size in taught] == [RECIPE.frames] * RECIPE.steps
    train(CONFIG, recipe, faces, tmp_path / "run", CPU, resume=True, videos=tmp_path)
    assert len(cuts) == 1
    assert (tmp_path / "run" / "tracker.safetensors").is_file()


def test_the_refinements_size_can_be_chosen(faces, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "facetrack.training.tracker.train", lambda config, *more: asked.append(config)
    )
    command = ["train", "tracker", "--faces", str(faces), "--out", str(tmp_path)]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert CliRunner().invoke(app, [*command, "--width", "128", "--depth", "3"]).exit_code == 0
    assert CliRunner().invoke(app, [*command, "--iterations", "4"]).exit_code == 0
    assert asked == [
        TAPIR_S,
        replace(TAPIR_S, mixer_width=128, mixer_blocks=3),
        replace(TAPIR_S, iterations=4),
    ]
    refused = CliRunner().invoke(app, [*command, "--width", "100"])
    assert refused.exit_code == 2
    assert "multiple of 8" in refused.output
