"""Train the occlusion head, which refines the visibility of doubtful points, on rendered clips.

The tracker itself stays fixed. Clips are expensive to render and cheap to evaluate, so the doubtful
points of each clip go into a pool, and every step learns from a random part of the pool.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.errors import FacetrackError
from facetrack.runtime.device import choose_precision
from facetrack.trackers.tapir import checkpoint
from facetrack.trackers.tapir.occlusion import OcclusionHead, OcclusionMemory, OcclusionSamples
from facetrack.trackers.tapir.predictor import TAPIR
from facetrack.trackers.tapir.types import Estimate, visibility
from facetrack.training import loop
from facetrack.training.losses import FAR
from facetrack.training.precision import autocast
from facetrack.training.render import Clip, render
from facetrack.training.signals import Random
from facetrack.training.textures import Textures, load_textures
from facetrack.weights import resolve

PATCH = 32
"""Side of the patches in pixels."""
CLIPS, FRAMES = 24, 24
"""Number of clips of held-out faces that each save evaluates, and their length in frames."""
HEAD = "occlusion_head."


@dataclass(frozen=True)
class OcclusionRecipe(loop.Recipe):
    """Settings of a training run; `batch` counts doubtful points.

    Attributes:
        frames, points: number per clip.
        every: number of steps between new clips.
        pool: maximum number of doubtful points in the pool.
        first_clips: number of clips that are rendered before the first step.
    """

    minutes: float = 60.0
    batch: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    ema: float = 0.998
    frames: int = FRAMES
    points: int = 64
    every: int = 4
    pool: int = 200_000
    first_clips: int = 24


def samples_of(clip: Clip, tapir: TAPIR) -> tuple[Estimate, OcclusionSamples | None, Tensor]:
    """Track a clip (B = 1) without the occlusion head and collect its doubtful points.

    Args:
        clip: the clip.
        tapir: the tracker.

    Returns:
        The estimate, its M doubtful points after the first frame, and (M,) bool, True if the point
        is visible and tracked correctly.
    """
    video = clip.video[0]
    frames = (video.permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy()
    query = clip.xy[:, :, 0]
    state = tapir.start(frames[0], query[0].flip(-1).cpu().numpy())
    xy, occlusion, expected = (
        torch.as_tensor(part, device=video.device)[None] for part in tapir.step(state, frames)
    )
    estimate = Estimate(xy, occlusion, expected)
    when = torch.zeros(query.shape[:2], dtype=torch.long, device=video.device)

    def picture(t: int) -> Tensor:
        return video[t : t + 1] * 2 - 1

    memory = OcclusionMemory(picture, when, query, PATCH)
    samples = memory.collect_samples(picture, estimate)
    if samples is None:
        return estimate, None, clip.visible.new_zeros(0)
    use = clip.valid[tuple(samples.indices.T)] & (samples.indices[:, 2] > 0)
    samples = OcclusionSamples(*(part[use] for part in samples))
    return estimate, samples, is_found(clip, estimate)[tuple(samples.indices.T)]


def is_found(clip: Clip, estimate: Estimate) -> Tensor:
    """Return (B, N, T) bool, True if a point is visible and its estimate is correct."""
    return clip.visible & ((estimate.xy - clip.xy).norm(dim=-1) <= FAR)


class Pool:
    """A ring buffer of the latest doubtful points.

    Args:
        size: maximum number of points.
    """

    def __init__(self, size: int) -> None:
        self.size, self.count, self._next = size, 0, 0
        self._parts: dict[str, Tensor] = {}

    def add(self, samples: OcclusionSamples, found: Tensor) -> None:
        """Add points in place of the oldest points."""
        parts = {
            "pictures": ((samples.patches + 1) * 127.5).round().clamp(0, 255).byte(),
            "facts": samples.features,
            "logits": samples.logits,
            "found": found,
        }
        if not self._parts:
            self._parts = {k: v.new_empty(self.size, *v.shape[1:]) for k, v in parts.items()}
        where = (self._next + torch.arange(len(found), device=found.device)) % self.size
        for name, part in parts.items():
            self._parts[name][where] = part
        self._next = (self._next + len(found)) % self.size
        self.count = min(self.size, self.count + len(found))

    def draw(self, random: Random, count: int) -> tuple[OcclusionSamples, Tensor]:
        """Draw random points, and whether they are found.

        The patches are mirrored, rotated by multiples of 90 degrees and changed in brightness, both
        patches of a point in the same way.
        """
        where = random.integers(self.count, count)
        pictures = self._parts["pictures"][where].float() / 127.5 - 1
        symmetry = int(random.integers(8, 1))
        for bit, axis in ((1, -1), (2, -2)):
            if symmetry & bit:
                pictures = pictures.flip(axis)
        if symmetry & 4:
            pictures = pictures.transpose(-1, -2)
        gain = (0.2 * random.normal(count, 1, 1, 1)).exp()
        facts, logits = self._parts["facts"][where], self._parts["logits"][where]
        samples = OcclusionSamples(where[:, None], (pictures + 1) * gain - 1, facts, logits)
        return samples, self._parts["found"][where]


@torch.inference_mode()
def evaluate(
    head: OcclusionHead, tapir: TAPIR, textures: Textures, clips: int = CLIPS
) -> dict[str, float]:
    """Return the accuracy of the visibility in per cent, on seeded clips of held-out faces.

    The keys are "doubtful" and "all" points with the occlusion head, and both with "_before"
    without it.
    """
    head.eval()
    num_correct = {"doubtful_before": 0, "doubtful": 0, "all_before": 0, "all": 0}
    doubtful, num_known = 0, 0
    for i in range(clips):
        clip = render(textures, Random(77_000 + i, textures.faces.device), 1, FRAMES, 64)
        estimate, samples, found = samples_of(clip, tapir)
        known = clip.valid[:, :, 1:]
        is_visible = visibility(estimate)[:, :, 1:] > 0.5
        correct_before = int((is_visible == is_found(clip, estimate)[:, :, 1:])[known].sum())
        gain = 0
        if samples is not None:
            correct_without = int(((samples.logits < 0) == found).sum())
            correct_with = int(((head(samples) < 0) == found).sum())
            num_correct["doubtful_before"] += correct_without
            num_correct["doubtful"] += correct_with
            gain = correct_with - correct_without
            doubtful += len(found)
        num_correct["all_before"] += correct_before
        num_correct["all"] += correct_before + gain
        num_known += int(known.sum())
    head.train()
    return {
        name: round(100 * value / max(1, doubtful if "doubtful" in name else num_known), 2)
        for name, value in num_correct.items()
    }


class _Run(loop.Run):
    """The part of a training run in one process."""

    result = "tracker.safetensors"
    recipe: OcclusionRecipe

    def __init__(
        self,
        tracker: Path,
        faces: Path,
        recipe: OcclusionRecipe,
        out: Path,
        rank: int,
        device: torch.device,
    ) -> None:
        super().__init__(lambda: OcclusionHead(PATCH), recipe, out, rank, device)
        network = checkpoint.load(tracker, None, None)
        network.occlusion_head = None  # collect the doubtful points before any refinement
        self.config = replace(network.config, occlusion_patch=PATCH)
        self.fixed = {k: self.stored(v) for k, v in network.state_dict().items()}
        precision = choose_precision("auto", device, trained_for_it=True)
        self.tapir = TAPIR(network, device, precision)
        self.textures = load_textures(faces, device)
        self.held_out = load_textures(faces, device, held_out=True) if rank == 0 else None
        self.pool = Pool(recipe.pool)

    def _draw_clip(self, random: Random) -> None:
        clip = render(self.textures, random, 1, self.recipe.frames, self.recipe.points)
        _, samples, found = samples_of(clip, self.tapir)
        if samples is not None:
            self.pool.add(samples, found)

    def losses(self, random: Random, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return the loss on points of the pool, and their accuracy without and with the head."""
        recipe = self.recipe
        # The pool is empty also after a resume.
        missing = recipe.first_clips if not self.pool.count else int(self.step % recipe.every == 0)
        for _ in range(missing):
            self._draw_clip(random)
        samples, found = self.pool.draw(random, recipe.batch)
        with autocast(self.device):
            logits = self.network(samples)
        loss = F.binary_cross_entropy_with_logits(logits, (~found).float())
        return loss, {
            "right_before": float(((samples.logits < 0) == found).float().mean()),
            "right": float(((logits < 0) == found).float().mean()),
        }

    def adopt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Select the occlusion head's weights from a tracker's weights."""
        return {k.removeprefix(HEAD): v for k, v in weights.items() if k.startswith(HEAD)}

    def weights(self) -> dict[str, Tensor]:
        """Return the weights of the tracker and of the occlusion head."""
        return self.fixed | {HEAD + name: value for name, value in super().weights().items()}

    def metadata(self) -> dict[str, str]:
        """Return the configuration of the whole network."""
        return {"config": self.config.to_json()}

    def measure(self) -> dict[str, Any]:
        """Evaluate the visibility on clips of held-out faces."""
        assert self.held_out is not None
        head = OcclusionHead(PATCH).to(self.device)
        head.load_state_dict(self.ema)
        return evaluate(head, self.tapir, self.held_out)


def train(
    tracker: str,
    recipe: OcclusionRecipe,
    faces: Path,
    out: Path,
    device: torch.device,
    resume: bool = False,
    start_from: Path | None = None,
) -> None:
    """Train until the budget is spent.

    Args:
        tracker: weights of the tracker, see `--tracker-weights`.
        recipe: settings.
        faces: folder of face crops with landmarks68.npz.
        out: folder for checkpoint.pt, tracker.safetensors (the fixed tracker with its occlusion
            head) and log.jsonl.
        device: the device.
        resume: continue from `out`/checkpoint.pt.
        start_from: a tracker from whose occlusion head to start.

    Raises:
        FacetrackError: the weights are missing or not those of a compact tracker, or the faces are
            not usable.
    """
    path = resolve("tapir", tracker).path
    config = checkpoint.load(path, None, None).config
    if not (config.motion_inputs and config.causal):
        raise FacetrackError(
            f"{path} is a published network: only compact networks have an occlusion head."
        )
    make = functools.partial(_Run, path, faces)
    loop.launch(make, recipe, out, device, resume, start_from)
