"""Train a TAPIR point tracker on rendered clips, on one GPU or on CPU cores."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from facetrack.files import check_output_folder
from facetrack.trackers.tapir.compact import CompactTapirNetwork
from facetrack.trackers.tapir.config import TapirConfig
from facetrack.trackers.tapir.types import visibility
from facetrack.training import loop, real
from facetrack.training.forward import forward
from facetrack.training.head_turns import with_relief
from facetrack.training.losses import tracking_loss
from facetrack.training.precision import autocast
from facetrack.training.render import render
from facetrack.training.signals import Random
from facetrack.training.textures import Textures, load_textures


@dataclass(frozen=True)
class Recipe(loop.Recipe):
    """Settings of a training run; `batch` counts clips.

    Attributes:
        frames, long_frames: clip length, and clip length in the last `long_share` of the budget.
        points: number of query points per clip.
        ramp_share: fraction of the budget over which clips grow from easy to the full range.
        real_share: fraction of the steps, given real videos, that train on the averaged weights'
            tracks of these.
    """

    frames: int = 12
    long_frames: int = 24
    long_share: float = 0.4
    ramp_share: float = 0.15
    points: int = 64
    real_share: float = 0.3


@torch.no_grad()
def evaluate(
    network: CompactTapirNetwork, textures: Textures, clips: int = 8, frames: int = 24
) -> dict[str, float]:
    """Return errors in px of the 256 x 256 window, on seeded clips of held-out faces."""
    network.eval()
    sums: dict[str, list[float]] = {
        "seen_px": [],
        "median_px": [],
        "hidden_px": [],
        "visibility": [],
    }
    for i in range(clips):
        random = Random(77_000 + i, textures.faces.device)
        clip = render(textures, random, 1, frames, 64)
        estimates = forward(network, clip).estimates
        error = (estimates[-1].xy - clip.xy).norm(dim=-1)
        seen, hidden = clip.visible & clip.valid, ~clip.visible & clip.valid
        said = visibility(estimates[-1]) > 0.5
        sums["seen_px"] += error[seen].tolist()
        sums["hidden_px"] += error[hidden].tolist()
        sums["visibility"] += (said == clip.visible)[clip.valid].float().tolist()
    sums["median_px"] = [float(torch.tensor(sums["seen_px"]).median())]
    network.train()
    return {name: sum(v) / max(len(v), 1) for name, v in sums.items()}


class _Run(loop.Run):
    """The part of a training run in one process."""

    result = "tracker.safetensors"
    recipe: Recipe

    def __init__(
        self,
        config: TapirConfig,
        faces: Path,
        recipe: Recipe,
        out: Path,
        rank: int,
        device: torch.device,
        real_clips: bool = False,
    ) -> None:
        super().__init__(lambda: CompactTapirNetwork(config), recipe, out, rank, device)
        self.config = config
        self.real_clips = real.load(out) if real_clips else None
        self.teacher = CompactTapirNetwork(config).to(device).eval()
        self.textures = with_relief(load_textures(faces, device))
        self.held_out = (
            with_relief(load_textures(faces, device, held_out=True)) if rank == 0 else None
        )

    def losses(self, random: Random, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return the loss on new clips."""
        recipe = self.recipe
        long = progress >= 1 - recipe.long_share
        # Attention must work with few points as well as with many.
        few = bool(random.chance(0.25, 1))
        frames = recipe.long_frames if long else recipe.frames
        points = recipe.points // 3 if few else recipe.points
        if self.real_clips is not None and bool(random.chance(recipe.real_share, 1)):
            self.teacher.load_state_dict(self.ema)
            drawn = real.draw(self.real_clips, random, recipe.batch, min(frames, real.FRAMES))
            clip = real.taught(self.teacher, *drawn, random, points)
        else:
            effort = min(1.0, 0.3 + 0.7 * progress / max(recipe.ramp_share, 1e-6))
            clip = render(self.textures, random, recipe.batch, frames, points, effort)
        with autocast(self.device):
            match, estimates, fine = forward(self.network, clip, random)
        return tracking_loss(match, estimates, clip.xy, clip.visible, clip.valid, fine)

    def metadata(self) -> dict[str, str]:
        """Return the network's configuration."""
        return {"config": self.config.to_json()}

    def measure(self) -> dict[str, float]:
        """Evaluate the averaged weights on clips of held-out faces."""
        assert self.held_out is not None
        network = CompactTapirNetwork(self.config).to(self.device)
        network.load_state_dict(self.ema)
        return evaluate(network, self.held_out)


def train(
    config: TapirConfig,
    recipe: Recipe,
    faces: Path,
    out: Path,
    device: torch.device,
    resume: bool = False,
    start_from: Path | None = None,
    videos: Path | None = None,
) -> None:
    """Train until the budget is spent.

    Args:
        config: of the network.
        recipe: settings.
        faces: folder of face crops with landmarks68.npz.
        out: folder for checkpoint.pt, tracker.safetensors (averaged weights, float16) and
            log.jsonl; with `videos` also for clips cut out of them.
        device: the device.
        resume: continue from `out`/checkpoint.pt.
        start_from: weights to start from, of the same network or of a smaller network that it
            extends.
        videos: folder of real videos for self-training, or None.
    """
    make = functools.partial(_Run, config, faces)
    if videos is not None:
        check_output_folder(out)
        if not (resume and (out / real.LANDMARKS).is_file()):
            real.gather(videos, out)
        make = functools.partial(make, real_clips=True)
    loop.launch(make, recipe, out, device, resume, start_from)
