"""Training of a TAPIR point tracker on rendered clips, on one GPU or on CPU cores."""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from facetrack.errors import FacetrackError
from facetrack.trackers.tapir.backbone import FeatureMaps
from facetrack.trackers.tapir.config import TapirConfig
from facetrack.trackers.tapir.network import Estimate, Match, TapirNetwork, visibility
from facetrack.training.losses import tracking_loss
from facetrack.training.render import Clip, render
from facetrack.training.signals import Random
from facetrack.training.textures import Textures, load_textures


@dataclass(frozen=True)
class Recipe:
    """All that decides a training run, besides the pictures.

    Attributes:
        minutes: wall-clock budget; the learning rate follows the share of it that is spent.
        steps: if not 0, the budget is this many optimiser steps instead.
        batch: clips a process and step.
        frames, long_frames: clip length, and that of the last `long_share` of the budget.
        points: query points a clip.
        ramp_share: share of the budget over which clips grow from easy to the whole range.
        workers: processes whose gradients are averaged (CPU only; one thread each).
    """

    minutes: float = 60.0
    steps: int = 0
    batch: int = 1
    frames: int = 12
    long_frames: int = 24
    long_share: float = 0.15
    ramp_share: float = 0.15
    points: int = 64
    learning_rate: float = 8e-4
    weight_decay: float = 1e-3
    warm_up_steps: int = 150
    clip_norm: float = 2.0
    ema: float = 0.999
    seed: int = 1
    workers: int = 2
    save_minutes: float = 4.0


def to_input(video: Tensor) -> Tensor:
    """(B, T, 3, H, W) in [0, 1] -> (B*T, 3, H, W) in [-1, 1], channels last."""
    return (video.flatten(0, 1) * 2 - 1).contiguous(memory_format=torch.channels_last)


FINE_ERROR = 4.0
"""Pixels by which the place is off, along either axis, around which the fine map must find it."""


class Answer(NamedTuple):
    """What a network makes of a clip.

    Attributes:
        match: stage 1.
        estimates: after each iteration.
        fine: scores of the fine map around places near the truth, and the truth's offsets from
            them in its cells; None for networks without one.
    """

    match: Match
    estimates: list[Estimate]
    fine: tuple[Tensor, Tensor] | None


def forward(network: TapirNetwork, clip: Clip, random: Random | None = None) -> Answer:
    """Track a clip's points from their true positions in its first frame.

    `random` is for what training alone needs: the places from which the fine map is supervised.
    """
    batch = clip.video.shape[0]
    maps = network.features(to_input(clip.video))
    grid = FeatureMaps(*(m.unflatten(0, (batch, -1)) for m in maps))
    first = clip.xy[:, :, 0]
    queries = network.query_features(
        [grid], torch.cat([torch.zeros_like(first[..., :1]), first], -1)
    )
    match = network.match(queries, grid)
    size = (clip.video.shape[-2], clip.video.shape[-1])
    estimates = network.refine(queries, grid, 0, match, match.estimate, None, size)
    fine = None
    if random is not None and network.config.fine_dim:
        off = random.uniform(-FINE_ERROR, FINE_ERROR, *clip.xy.shape)
        scores = network.fine_scores(queries, grid.fine, clip.xy + off)
        fine = scores, -off * (grid.fine.shape[3] / size[1])
    return Answer(match, estimates, fine)


def _step_seed(recipe: Recipe, rank: int, step: int) -> int:
    """A seed a step, so that a resumed run sees what an uninterrupted one would have seen."""
    return (recipe.seed * 1_000_003 + step) * 64 + rank


@torch.no_grad()
def evaluate(
    network: TapirNetwork, textures: Textures, clips: int = 8, frames: int = 24
) -> dict[str, float]:
    """Errors in px of the 256 x 256 window on rendered clips of held-out faces, seeded."""
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


class _Run:
    """One process's part of a training run."""

    def __init__(
        self,
        config: TapirConfig,
        recipe: Recipe,
        faces: Path,
        out: Path,
        rank: int,
        device: torch.device,
    ) -> None:
        torch.manual_seed(recipe.seed)  # the same first weights in every process
        self.config, self.recipe, self.out, self.rank, self.device = (
            config,
            recipe,
            out,
            rank,
            device,
        )
        self.network = TapirNetwork(config).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        decay = [p for p in self.network.parameters() if p.ndim > 1]
        rest = [p for p in self.network.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": decay, "weight_decay": recipe.weight_decay},
                {"params": rest, "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
            betas=(0.9, 0.98),
        )
        self.textures = load_textures(faces, device)
        self.held_out = load_textures(faces, device, held_out=True) if rank == 0 else None
        self.step, self.elapsed = 0, 0.0

    @property
    def checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def begin_from(self, path: Path) -> None:
        """Take the weights of another run, as far as they go: what a layer has more of than there
        (it grew at its end) starts at zero, what is new starts as it would."""
        with safe_open(path, "pt") as file:
            old = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        state = self.network.state_dict()
        for name, value in state.items():
            if (there := old.get(name)) is None:
                continue
            if there.ndim != value.ndim or any(
                a > b for a, b in zip(there.shape, value.shape, strict=True)
            ):
                raise FacetrackError(
                    f"{path} cannot be the start: its {name} is {tuple(there.shape)}, "
                    f"that of the network to train {tuple(value.shape)}."
                )
            if there.shape != value.shape:
                value.zero_()
            value[tuple(slice(n) for n in there.shape)] = there
        self.ema = {k: v.detach().clone() for k, v in state.items()}

    def load(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.ema = state["ema"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed = state["step"], state["elapsed"]

    def save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "ema": self.ema,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "elapsed": self.elapsed,
        }
        _replace(self.checkpoint, lambda path: torch.save(state, path))
        half = {k: v.half().contiguous() for k, v in self.ema.items()}
        metadata = {
            "config": self.config.to_json(),
            "steps": str(self.step),
            "recipe": json.dumps(asdict(self.recipe), sort_keys=True),
            "minutes": f"{self.elapsed / 60:.1f}",
        }
        _replace(self.out / "tracker.safetensors", lambda path: save_file(half, path, metadata))

    def progress(self) -> float:
        if self.recipe.steps:
            return self.step / self.recipe.steps
        return self.elapsed / 60 / self.recipe.minutes

    def train_step(self, progress: float) -> dict[str, float]:
        recipe = self.recipe
        rate = recipe.learning_rate * min(1.0, (self.step + 1) / recipe.warm_up_steps)
        rate *= 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        long = progress >= 1 - recipe.long_share
        random = Random(_step_seed(recipe, self.rank, self.step), self.device)
        # Attention must cope with few points as well as with many.
        few = bool(random.chance(0.25, 1))
        clip = render(
            self.textures,
            random,
            recipe.batch,
            recipe.long_frames if long else recipe.frames,
            recipe.points // 3 if few else recipe.points,
            effort=min(1.0, 0.3 + 0.7 * progress / max(recipe.ramp_share, 1e-6)),
        )
        with torch.autocast(self.device.type, torch.bfloat16):
            match, estimates, fine = forward(self.network, clip, random)
        loss, parts = tracking_loss(match, estimates, clip.xy, clip.visible, clip.valid, fine)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._share_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip_norm)
        if torch.isfinite(norm):
            self.optimizer.step()
        decay = min(recipe.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            self.ema[name].lerp_(value, 1 - decay)
        self.step += 1
        return {"loss": float(loss.detach()), "norm": float(norm), "rate": rate, **parts}

    def _share_gradients(self) -> None:
        if not dist.is_initialized():
            return
        grads = [p.grad for p in self.network.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in grads])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        for grad, part in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
            grad.copy_(part.view_as(grad))

    def agree(self, value: float) -> float:
        """The first process's value, so that all follow one clock."""
        if not dist.is_initialized():
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(shared, 0)
        return float(shared)

    def log(self, record: dict[str, Any]) -> None:
        with open(self.out / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def averaged(self) -> TapirNetwork:
        network = TapirNetwork(self.config).to(self.device)
        network.load_state_dict(self.ema)
        return network

    def loop(self) -> None:
        began = time.monotonic() - self.elapsed
        saved = self.elapsed
        recent: list[dict[str, float]] = []
        while True:
            self.elapsed = self.agree(time.monotonic() - began)
            progress = self.progress()
            if progress >= 1:
                break
            recent.append(self.train_step(progress))
            if self.rank:
                continue
            if self.step % 50 == 0:
                means = {k: sum(r[k] for r in recent) / len(recent) for k in recent[0]}
                self.log({"step": self.step, "minutes": self.elapsed / 60, **means})
                recent = []
            if self.elapsed - saved > 60 * self.recipe.save_minutes:
                saved = self.elapsed
                self.finish()
        if self.rank == 0:
            self.finish()

    def finish(self) -> None:
        """Save, and measure the averaged weights on held-out faces."""
        self.save()
        assert self.held_out is not None
        measured = evaluate(self.averaged(), self.held_out)
        self.log({"step": self.step, "minutes": self.elapsed / 60, "held_out": measured})


def _replace(path: Path, write: Any) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _process(
    rank: int,
    config: TapirConfig,
    recipe: Recipe,
    faces: Path,
    out: Path,
    device: torch.device,
    resume: bool,
    start_from: Path | None,
    meeting: str,
) -> None:
    if recipe.workers > 1:
        torch.set_num_threads(1)
        dist.init_process_group(
            "gloo", init_method=f"file://{meeting}", rank=rank, world_size=recipe.workers
        )
    run = _Run(config, recipe, faces, out, rank, device)
    if resume:
        run.load()
    elif start_from is not None:
        run.begin_from(start_from)
    run.loop()
    if dist.is_initialized():
        dist.destroy_process_group()


def train(
    config: TapirConfig,
    recipe: Recipe,
    faces: Path,
    out: Path,
    device: torch.device,
    resume: bool = False,
    start_from: Path | None = None,
) -> None:
    """Train until the budget is spent; `out` receives checkpoint.pt, tracker.safetensors (averaged
    weights, float16) and log.jsonl.

    Args:
        faces: folder of face crops with landmarks68.npz.
        resume: go on from `out`/checkpoint.pt.
        start_from: weights (`.safetensors`) to begin with, of the same network or a smaller one
            that it extends.
    """
    out.mkdir(parents=True, exist_ok=True)
    if device.type != "cpu":
        recipe = replace(recipe, workers=1)
    if recipe.workers == 1:
        _process(0, config, recipe, faces, out, device, resume, start_from, "")
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(
            _process,
            (config, recipe, faces, out, device, resume, start_from, f"{folder}/meeting"),
            nprocs=recipe.workers,
        )
