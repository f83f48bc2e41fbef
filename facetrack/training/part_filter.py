"""Train the filter that combines a tracker's points with detected landmarks, on recorded clips."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facetrack.files import check_output_folder
from facetrack.trackers.base import TrackerOptions
from facetrack.trackers.expression.face_parts import (
    PATCH_LAYOUTS,
)
from facetrack.trackers.expression.part_filter import PartFilter, PartObservation
from facetrack.trackers.factory import create
from facetrack.training import loop, parts
from facetrack.training.part_clips import Recording, read, record, write
from facetrack.training.part_sequences import (
    MOVING_POINTS,
    SLIDING_POINTS,
    Sequences,
    build_sequences,
    select,
)
from facetrack.training.signals import Random
from facetrack.training.textures import load_textures
from facetrack.weights.state_dict import load_state_dict, read_state_dict

MAX_LOSS_ERROR = 8.0
"""Error, in per cent of a unit of the face, at which the loss of a point saturates: nothing can be
learned from a lost face."""
LOSS_WEIGHTS = {
    "seen": 2.5,
    "hidden": 0.3,
    "opening": 3.0,
    "bend": 0.5,
    "still": 2.0,
    "still bend": 1.0,
    "visible": 1.0,
}
"""Weights of the terms of the loss."""
STILL_OPENING = 0.012
"""Change of the opening since the query frame, in units of the face, up to which eyelids or lips
count as still."""
REAL_SHARE = {"eye": 0.5, "mouth": 0.75}
"""Share of clips of each kind that are made to resemble real video."""
MAX_FOLLOWED, FOLLOWED_DEVIATION = 0.7, 0.2
"""Largest share of an opening that the tracker follows in such a clip, and how much the points'
shares differ."""
SLIP = 0.0025
"""How far the points that it loses slip, in units of the face."""
MAX_DOUBT = 4.0
"""How much less sure the tracker is in such a clip, at most, as a difference of logits."""
DOUBLE_WEIGHT_OPENING = 0.04
"""Change of the opening, in units of the face, at which a frame counts twice."""


def augment(batch: Sequences, name: str, random: Random) -> Sequences:
    """Make a share of the clips resemble real ones; the others stay as they were rendered.

    On real faces, trackers follow eyelids and lips less, because the texture changes. In half of
    these clips they do not follow at all, in the others each point follows by another share. Lips
    are lost across the face, too. Lost points slip to and fro, or a filter would learn that nothing
    moves where the tracker stands still. The tracker is also less sure of all points, as of those
    that something covers in rendered clips. The network has smaller errors, because the pictures
    are better, and says so by its uncertainties. All this comes together, so the filter can tell
    which witness to trust.
    """
    count, frames, points, _ = batch.observation.tracked.shape
    observation = batch.observation
    real = random.chance(REAL_SHARE[name], count, 1, 1)
    follows_at_all = random.chance(0.5, count, 1, 1)
    lost = torch.zeros(points, 2)
    lost[MOVING_POINTS[name], 1] = 1
    lost[SLIDING_POINTS[name], 0] = 1
    most = torch.tensor([1.0, MAX_FOLLOWED])
    followed = most * random.uniform(0, 1, count, 1, 1, 2)
    followed = followed + FOLLOWED_DEVIATION * random.normal(count, 1, points, 2)
    followed = follows_at_all[..., None] * followed.clamp(0, 1)
    tracked = observation.tracked * (1 - real[..., None] * lost * (1 - followed))
    slip = random.smooth(frames, count, points, 2).movedim(-1, 1)
    size = SLIP * random.normal(count, 1, 1, 1).abs()
    tracked = tracked + real[..., None] * lost * size * (slip - slip[:, :1])
    doubt = MAX_DOUBT * random.uniform(0, 1, count, 1, 1) + random.normal(count, 1, points).abs()
    confidence = torch.logit(observation.confidence.clamp(1e-4, 1 - 1e-4)) - real * doubt
    better = real[..., None] * random.uniform(0.5, 1, count, 1, 1, 1)
    error = torch.nan_to_num(observation.detected - batch.target)
    lasting = error.mean(1, keepdim=True)
    bend = 1 + real[..., None] * 0.04 * random.normal(count, 1, 1, 1)
    detected = (observation.detected - better * (lasting + 0.5 * (error - lasting))) * bend
    spread = observation.spread * (1 - 0.6 * better[..., 0])
    return batch._replace(
        observation=observation._replace(
            tracked=tracked, detected=detected, spread=spread, confidence=confidence.sigmoid()
        )
    )


def opening(positions: Tensor, name: str) -> Tensor:
    """Return the vertical distances (..., pairs) between eyelids or lips (..., points, 2)."""
    layout = PATCH_LAYOUTS[name]
    return positions[..., list(layout.lower), 1] - positions[..., list(layout.upper), 1]


def run_filter(network: PartFilter, batch: Sequences) -> tuple[Tensor, Tensor]:
    """Filter all frames.

    Returns:
        Positions (M, T, points, 2) and visibility logits (M, T, points).
    """
    frames = [
        PartObservation(*(x[:, t] for x in batch.observation)) for t in range(batch.target.shape[1])
    ]
    state = network.initial_state(frames[0])
    positions, logits = [], []
    for observation in frames:
        xy, logit, state = network(batch.reference, observation, state)
        positions.append(xy)
        logits.append(logit)
    return torch.stack(positions, 1), torch.stack(logits, 1)


def compute_errors(positions: Tensor, batch: Sequences, name: str) -> dict[str, Tensor]:
    """Return mean errors in per cent of a unit of the face.

    "seen" and "hidden" are distances of visible and hidden points. "opening" is the error of
    openings, weighted by their change. "bend" is the second difference of errors over time. "still"
    and "still bend" are the distances and second differences of visible points whose eyelids or
    lips are as they were in the query frame.
    """
    known = torch.isfinite(batch.target[..., 0]).float()
    off = 100 * torch.nan_to_num(positions - batch.target)
    distance = (off.square().sum(-1) + 1e-4).sqrt().clamp(max=MAX_LOSS_ERROR)
    seen, hidden = known * batch.visible, known * (1 - batch.visible)
    bend = off[:, 2:] - 2 * off[:, 1:-1] + off[:, :-2]
    steady = known[:, 2:] * known[:, 1:-1] * known[:, :-2]
    target = opening(batch.target, name)
    opening_error = 100 * torch.nan_to_num(opening(positions, name) - target)
    weight = 1 + torch.nan_to_num(target).abs() / DOUBLE_WEIGHT_OPENING
    change = torch.nan_to_num(target, nan=1.0).abs().amax(-1, keepdim=True)
    still = seen * (change < STILL_OPENING)
    still_bend = still[:, 2:] * still[:, 1:-1] * still[:, :-2]
    bend_size = (bend.square().sum(-1) + 1e-4).sqrt()
    return {
        "seen": (distance * seen).sum() / seen.sum(),
        "hidden": (distance * hidden).sum() / hidden.sum().clamp_min(1),
        "opening": (opening_error.abs() * weight).sum() / weight.sum(),
        "bend": (bend_size * steady).sum() / steady.sum(),
        "still": (distance * still).sum() / still.sum().clamp_min(1),
        "still bend": (bend_size * still_bend).sum() / still_bend.sum().clamp_min(1),
    }


def compute_loss(
    network: PartFilter, batch: Sequences, name: str
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss and its unweighted terms."""
    positions, logits = run_filter(network, batch)
    terms = compute_errors(positions, batch, name)
    terms["visible"] = nn.functional.binary_cross_entropy_with_logits(logits, batch.visible)
    total = sum((LOSS_WEIGHTS[k] * v for k, v in terms.items()), torch.zeros(()))
    return total, {k: float(v.detach()) for k, v in terms.items()}


CLIPS_PER_FILE = 10
NUM_HELD_OUT_CLIPS = 40
"""Clips of held-out faces that are measured at every save."""


@dataclass(frozen=True)
class FilterRecipe(loop.SmallNetworkRecipe):
    """Settings of a training run; `batch` is the number of parts of each kind per step.

    Attributes:
        clips: number of clips to record before training starts.
        kinds: names of the filters to train; the others keep their weights.
    """

    minutes: float = 10.0
    batch: int = 48
    save_minutes: float = 2.0
    clips: int = 400
    kinds: tuple[str, ...] = tuple(PATCH_LAYOUTS)


def record_clips(faces: Path, out: Path, clips: int, seed: int, held_out: bool) -> None:
    """Record clips into the folder `out`; files that exist are kept."""
    check_output_folder(out)
    textures = load_textures(faces, torch.device("cpu"), held_out)
    tracker = create("tapir", TrackerOptions(), lambda: (_ for _ in ()).throw(AssertionError))
    for first in range(0, clips, CLIPS_PER_FILE):
        path = out / f"clips-{seed}-{first:05d}.npz"
        recordings: list[Recording] = []
        attempts = 0
        while not path.exists() and len(recordings) < CLIPS_PER_FILE:
            random = Random((seed * 1_000_003 + first) * 64 + attempts, torch.device("cpu"))
            clip = record(textures, tracker, random)
            recordings += [] if clip is None else [clip]
            attempts += 1
        if recordings:
            write(path, recordings)


def load_networks(path: Path) -> nn.ModuleDict:
    """Load the networks that `parts` has trained, for inference."""
    networks = parts.build()
    load_state_dict(networks, read_state_dict(path), path, "a file of networks of parts")
    return networks.eval()


def build() -> nn.ModuleDict:
    """Build untrained filters for all layouts."""
    return nn.ModuleDict({name: PartFilter(layout) for name, layout in PATCH_LAYOUTS.items()})


class _Run(loop.Run):
    """One process's part of a training run."""

    result = "expressions.safetensors"
    half_from = 2
    recipe: FilterRecipe

    def __init__(
        self,
        networks: Path,
        folders: tuple[Path, Path],
        recipe: FilterRecipe,
        out: Path,
        rank: int,
        device: torch.device,
    ) -> None:
        super().__init__(build, recipe, out, rank, device)
        self.networks = load_networks(networks)
        self.learned, self.held_out = (
            build_sequences(read(folder), dict(self.networks.items()))  # type: ignore[arg-type]
            for folder in folders
        )

    def losses(self, random: Random, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return the loss on random parts."""
        total = torch.zeros(())
        terms: dict[str, float] = {}
        for name in self.recipe.kinds:
            sequences = self.learned[name]
            index = random.integers(len(sequences.target), self.recipe.batch)
            drawn = augment(select(sequences, index), name, random)
            loss, figures = compute_loss(self.network[name], drawn, name)
            total = total + loss
            terms |= {f"{name} {k}": v for k, v in figures.items()}
        return total, terms

    def adopt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the filters' weights of a file with networks and filters."""
        return {k.removeprefix("filters."): v for k, v in weights.items()}

    def weights(self) -> dict[str, Tensor]:
        """Return the weights of the filters and of the networks that they were trained with."""
        fixed = {f"networks.{k}": v for k, v in self.networks.state_dict().items()}
        fixed = {k: self.stored(v) for k, v in fixed.items() if v.is_floating_point()}
        return fixed | {f"filters.{k}": v for k, v in super().weights().items()}

    @torch.no_grad()
    def measure(self) -> dict[str, Any]:
        """Measure the tracker, the network and the filter on clips of held-out faces.

        Errors are in per cent of a unit of the face.
        """
        filters = build().eval()
        filters.load_state_dict(self.ema)
        figures: dict[str, Any] = {}
        for name, sequences in self.held_out.items():
            methods = {
                "tracker": sequences.observation.tracked,
                "network": sequences.observation.detected,
                "filter": run_filter(filters[name], sequences)[0],  # type: ignore[arg-type]
            }
            for method, positions in methods.items():
                errors = compute_errors(positions, sequences, name)
                figures[f"{name} {method}"] = {k: round(float(v), 3) for k, v in errors.items()}
        return figures


def train(
    networks: Path,
    recipe: FilterRecipe,
    faces: Path,
    out: Path,
    device: torch.device,
    resume: bool = False,
    start_from: Path | None = None,
) -> None:
    """Record clips, then train until the time budget is spent.

    `out` receives the clips, checkpoint.pt, expressions.safetensors and log.jsonl.

    Args:
        networks: parts.safetensors that `parts` has trained.
        faces: folder of face crops with landmarks68.npz.
        resume: continue from `out`/checkpoint.pt.
        start_from: initial weights.
    """
    load_networks(networks)  # reports a bad file before recording starts
    folders = out / "clips", out / "held-out"
    for folder, clips, held_out in zip(
        folders, (recipe.clips, NUM_HELD_OUT_CLIPS), (False, True), strict=True
    ):
        record_clips(faces, folder, clips, recipe.seed, held_out)
    create_run = functools.partial(_Run, networks, folders)
    loop.launch(create_run, recipe, out, device, resume, start_from)
