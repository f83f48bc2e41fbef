"""Training the closer look at doubtful points: its pool, and what a run writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import few_faces
import pytest
import ring_faces
import torch
from safetensors.torch import load_file, save_file
from synthetic_tapir import CAUSAL_BOOTS, synthetic_state

from facetrack.errors import FacetrackError
from facetrack.trackers.tapir import TAPIR, TAPIR_S
from facetrack.trackers.tapir.compact import build_network
from facetrack.trackers.tapir.occlusion import NUM_FEATURES, OcclusionHead, OcclusionSamples
from facetrack.trackers.tapir.types import Estimate
from facetrack.training import occlusion
from facetrack.training.losses import FAR
from facetrack.training.render import Clip
from facetrack.training.signals import Random

CPU = torch.device("cpu")
CONFIG = replace(
    TAPIR_S, stem_channels=8, group_channels=(8, 8), group_blocks=(1, 1), hires_dim=8,
    lowres_dim=8, mixer_width=16, mixer_blocks=2, iterations=2,
)  # fmt: skip
RECIPE = occlusion.OcclusionRecipe(
    steps=3, batch=8, frames=4, points=9, pool=50, first_clips=2, workers=1, save_minutes=1e9
)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ring_faces.make(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained one, to which everything is doubtful."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tracker.safetensors"
    state = {k: v.half().contiguous() for k, v in build_network(CONFIG).state_dict().items()}
    save_file(state, path, {"config": CONFIG.to_json()})
    return path


@pytest.fixture(autouse=True)
def _few_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    few_faces.allow(monkeypatch, 2, 6)
    monkeypatch.setattr(occlusion, "FRAMES", 3)
    monkeypatch.setattr(occlusion, "CLIPS", 1)


def some(count: int, value: float) -> tuple[OcclusionSamples, torch.Tensor]:
    """Points whose logits are `value`."""
    pictures = torch.rand(count, 3, occlusion.PATCH, occlusion.PATCH).repeat(1, 2, 1, 1) * 2 - 1
    where = torch.zeros(count, 3, dtype=torch.long)
    logits = torch.full((count,), value)
    return OcclusionSamples(where, pictures, torch.zeros(count, NUM_FEATURES), logits), logits > 2


def test_a_pool_keeps_the_latest_points() -> None:
    pool = occlusion.Pool(10)
    for value in (1.0, 2.0, 3.0):
        pool.add(*some(4, value))
    samples, seen = pool.draw(Random(0, CPU), 300)
    values, counts = samples.logits.unique(return_counts=True)
    assert values.tolist() == [1.0, 2.0, 3.0]
    assert counts[0] < counts[1]  # two of the first four are left
    assert torch.equal(seen, samples.logits > 2)


def test_a_pool_turns_both_views_alike() -> None:
    pool = occlusion.Pool(10)
    pool.add(*some(5, 1.0))
    changed = 0
    for seed in range(6):
        samples, _ = pool.draw(Random(seed, CPU), 4)
        now, then = samples.patches.chunk(2, 1)
        torch.testing.assert_close(now, then)
        changed += not torch.equal(now[..., :8], then.flip(-1)[..., :8])
    assert changed


def test_a_point_is_found_where_it_is_seen_and_where_it_is_said_to_be() -> None:
    xy = torch.full((1, 3, 2, 2), 100.0)
    visible = torch.tensor([[[True, True], [True, True], [False, True]]])
    clip = Clip(torch.zeros(1, 2, 3, 256, 256), xy, visible, torch.ones_like(visible))
    message = xy.clone()
    message[0, 1, 1, 0] += FAR + 0.1
    message[0, 2, 1, 0] += FAR - 0.1
    none = torch.zeros(1, 3, 2)
    content = occlusion.is_found(clip, Estimate(message, none, none))
    assert content.tolist() == [[[True, True], [True, False], [False, True]]]


def test_a_run_writes_the_tracker_with_its_look(faces: Path, tracker: Path, tmp_path: Path) -> None:
    occlusion.train(str(tracker), RECIPE, faces, tmp_path, CPU)
    path = tmp_path / "tracker.safetensors"
    tapir = TAPIR.from_checkpoint(path)
    assert tapir.config == replace(CONFIG, occlusion_patch=occlusion.PATCH)
    assert isinstance(tapir.network.occlusion_head, OcclusionHead)
    assert tapir.network.occlusion_head.out.weight.any()
    before, after = load_file(tracker), load_file(path)
    for name, value in before.items():
        assert torch.equal(after[name], value), name
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert set(last["held_out"]) == {"doubtful_before", "doubtful", "all_before", "all"}


def test_a_run_begins_with_the_look_of_an_earlier_one(
    faces: Path, tracker: Path, tmp_path: Path
) -> None:
    occlusion.train(str(tracker), RECIPE, faces, tmp_path / "first", CPU)
    earlier = tmp_path / "first" / "tracker.safetensors"
    untouched = replace(RECIPE, steps=1, learning_rate=0.0)
    # Its tracker may have a look already: it is left out, and the one to begin with counts.
    occlusion.train(str(earlier), untouched, faces, tmp_path / "second", CPU, False, earlier)
    first, second = (load_file(tmp_path / n / "tracker.safetensors") for n in ("first", "second"))
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, msg=name)


def test_a_resumed_run_goes_on_with_a_pool_of_its_own(
    faces: Path, tracker: Path, tmp_path: Path
) -> None:
    run = occlusion._Run(tracker, faces, RECIPE, tmp_path, 0, CPU)
    run.train_step(run.progress())
    run.save()
    occlusion.train(str(tracker), RECIPE, faces, tmp_path, CPU, resume=True)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == RECIPE.steps


def test_a_published_network_is_refused(faces: Path, tmp_path: Path) -> None:
    small = replace(CAUSAL_BOOTS, extra_conv_blocks=1, mixer_blocks=1)
    path = tmp_path / "causal.pt"
    torch.save(synthetic_state(small), path)
    with pytest.raises(FacetrackError, match="only compact networks have an occlusion head"):
        occlusion.train(str(path), RECIPE, faces, tmp_path / "out", CPU)
    assert not (tmp_path / "out").exists()


def test_the_look_learns_to_tell_what_is_covered(
    faces: Path, tracker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Points whose surroundings have turned grey are hidden, others are not."""

    def drawn(run: occlusion._Run, random: Random) -> None:
        samples, _ = some(64, 0.0)
        hidden = random.chance(0.5, 64) > 0
        samples.patches[hidden, :3] = 0.2
        run.pool.add(samples, ~hidden)

    monkeypatch.setattr(occlusion._Run, "_draw_clip", drawn)
    recipe = replace(RECIPE, steps=60, batch=64, pool=500, warm_up_steps=5, learning_rate=3e-3)
    run = occlusion._Run(tracker, faces, recipe, tmp_path, 0, CPU)
    parts = [run.train_step(run.progress()) for _ in range(recipe.steps)]
    assert parts[0]["right"] < 0.75
    assert min(part["right"] for part in parts[-5:]) > 0.95
