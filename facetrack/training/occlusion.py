"""Training of the closer look at doubtful points, on rendered clips, the tracker fixed.

Pictures are dear to draw and cheap to look at: what is doubtful in a clip goes into a pool, and
every step learns from a random part of the pool.
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
from facetrack.training.render import Clip, render
from facetrack.training.signals import Random
from facetrack.training.textures import Textures, load_textures
from facetrack.weights import resolve

PATCH = 32
"""Side of the patches, pixels."""
CLIPS, FRAMES = 24, 24
"""Clips of held-out faces that a save measures, and their length."""
HEAD = "occlusion_head."


@dataclass(frozen=True)
class Recipe(loop.Recipe):
    """All that decides a training run; `batch` counts doubtful points.

    Attributes:
        frames, points: of a clip.
        every: steps between fresh clips.
        pool: doubtful points that are kept, the latest ones.
        first_clips: clips that the first step waits for.
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
    """What a tracker without the look makes of one clip (B = 1), the points that are doubtful to
    it after the first frame, and for each whether it is found: (M,) bool."""
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
    """(B, N, T) bool: the point is seen, and where it is said to be."""
    return clip.visible & ((estimate.xy - clip.xy).norm(dim=-1) <= FAR)


class Pool:
    """The latest doubtful points, as many as fit.

    Args:
        size: how many.
    """

    def __init__(self, size: int) -> None:
        self.size, self.count, self._next = size, 0, 0
        self._parts: dict[str, Tensor] = {}

    def add(self, samples: OcclusionSamples, found: Tensor) -> None:
        """Put points in, in place of the oldest."""
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
        """Points at random, and which are found. The pictures are mirrored and turned by quarters,
        and made darker or brighter, both of a point alike."""
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
    """Share of points of which is told rightly whether they are found, in per cent, on seeded clips
    of held-out faces: of doubtful points and of all, without the look and with it."""
    head.eval()
    right = {"doubtful_before": 0, "doubtful": 0, "all_before": 0, "all": 0}
    doubtful, every = 0, 0
    for i in range(clips):
        clip = render(textures, Random(77_000 + i, textures.faces.device), 1, FRAMES, 64)
        estimate, samples, found = samples_of(clip, tapir)
        known = clip.valid[:, :, 1:]
        said = visibility(estimate)[:, :, 1:] > 0.5
        before = int((said == is_found(clip, estimate)[:, :, 1:])[known].sum())
        gained = 0
        if samples is not None:
            was = int(((samples.logits < 0) == found).sum())
            now = int(((head(samples) < 0) == found).sum())
            right["doubtful_before"] += was
            right["doubtful"] += now
            gained = now - was
            doubtful += len(found)
        right["all_before"] += before
        right["all"] += before + gained
        every += int(known.sum())
    head.train()
    return {
        name: round(100 * value / max(1, doubtful if "doubtful" in name else every), 2)
        for name, value in right.items()
    }


class _Run(loop.Run):
    """One process's part of a training run."""

    result = "tracker.safetensors"
    recipe: Recipe

    def __init__(
        self,
        tracker: Path,
        faces: Path,
        recipe: Recipe,
        out: Path,
        rank: int,
        device: torch.device,
    ) -> None:
        super().__init__(lambda: OcclusionHead(PATCH), recipe, out, rank, device)
        network = checkpoint.load(tracker, None, None)
        network.occlusion_head = None  # what learns must not have been judged already
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
        """The loss on points of the pool, and how many of them were and are told rightly."""
        recipe = self.recipe
        # After a resume the pool is empty as well.
        missing = recipe.first_clips if not self.pool.count else int(self.step % recipe.every == 0)
        for _ in range(missing):
            self._draw_clip(random)
        samples, found = self.pool.draw(random, recipe.batch)
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self.network(samples)
        loss = F.binary_cross_entropy_with_logits(logits, (~found).float())
        return loss, {
            "right_before": float(((samples.logits < 0) == found).float().mean()),
            "right": float(((logits < 0) == found).float().mean()),
        }

    def adopt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The look's part of a tracker's weights."""
        return {k.removeprefix(HEAD): v for k, v in weights.items() if k.startswith(HEAD)}

    def weights(self) -> dict[str, Tensor]:
        """The tracker's, and the look's."""
        return self.fixed | {HEAD + name: value for name, value in super().weights().items()}

    def metadata(self) -> dict[str, str]:
        """The whole network's configuration."""
        return {"config": self.config.to_json()}

    def measure(self) -> dict[str, Any]:
        """How often visibility is told rightly on clips of held-out faces."""
        assert self.held_out is not None
        head = OcclusionHead(PATCH).to(self.device)
        head.load_state_dict(self.ema)
        return evaluate(head, self.tapir, self.held_out)


def train(
    tracker: str,
    recipe: Recipe,
    faces: Path,
    out: Path,
    device: torch.device,
    resume: bool = False,
    start_from: Path | None = None,
) -> None:
    """Train until the budget is spent; `out` receives checkpoint.pt, tracker.safetensors (the fixed
    tracker with its look) and log.jsonl.

    Args:
        tracker: its weights, as `--tracker-weights` takes them.
        faces: folder of face crops with landmarks68.npz.
        resume: go on from `out`/checkpoint.pt.
        start_from: a tracker whose look to begin with.

    Raises:
        FacetrackError: there are no such weights, they are no compact tracker's, or the faces are
            not usable.
    """
    path = resolve("tapir", tracker).path
    config = checkpoint.load(path, None, None).config
    if not (config.motion_inputs and config.causal):
        raise FacetrackError(f"{path} is a published network: only compact ones look twice.")
    make = functools.partial(_Run, path, faces)
    loop.launch(make, recipe, out, device, resume, start_from)
