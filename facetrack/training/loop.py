"""Common training loop: budget, steps, averaged weights, checkpoints and parallel processes."""

from __future__ import annotations

import functools
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor, nn

from facetrack.errors import FacetrackError
from facetrack.files import atomic_path
from facetrack.runtime.interrupts import StopState, defer_interrupts
from facetrack.training import workers
from facetrack.training.folder import training_folder
from facetrack.training.signals import Random
from facetrack.weights import pickles
from facetrack.weights.state_dict import read_state_dict


@dataclass(frozen=True)
class Recipe:
    """Common settings of a training run.

    Attributes:
        minutes: wall-clock budget; the learning rate depends on the fraction of it that is spent.
        steps: if not 0, the budget is this number of optimiser steps instead.
        batch: number of samples per process and step.
        ema: decay of the averaged weights per step, reached after enough steps.
        workers: number of single-threaded processes whose gradients are averaged (CPU only).
        save_minutes: minutes between saves; each save evaluates the averaged weights.
    """

    minutes: float = 60.0
    steps: int = 0
    batch: int = 1
    learning_rate: float = 8e-4
    weight_decay: float = 1e-3
    warm_up_steps: int = 150
    clip_norm: float = 2.0
    ema: float = 0.999
    seed: int = 1
    workers: int = 2
    save_minutes: float = 4.0


@dataclass(frozen=True)
class SmallNetworkRecipe(Recipe):
    """Settings of a network of less than a million weights, in one process."""

    learning_rate: float = 2e-3
    clip_norm: float = 5.0
    ema: float = 0.998
    workers: int = 1


class Run(ABC):
    """The part of a training run in one process. Subclasses define the loss and the evaluation.

    Attributes:
        result: name of the weights file in `out`.
        half_from: number of dimensions from which on weights are stored in float16; those with
            fewer are few, and are stored in float32.
        network: the trained network, on `device`.
        ema: averaged weights by name.
        step, elapsed: number of optimiser steps and seconds so far.
        saved: `step` at the last save; 0 before it.
        stop: whether this process is asked to stop. Steps are not interrupted.
    """

    result: str
    half_from = 0

    def __init__(
        self,
        build: Callable[[], nn.Module],
        recipe: Recipe,
        out: Path,
        rank: int,
        device: torch.device,
    ) -> None:
        torch.manual_seed(recipe.seed)  # the same first weights in every process
        self.recipe, self.out, self.rank, self.device = recipe, out, rank, device
        self.network = build().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        trained = [p for p in self.network.parameters() if p.requires_grad]
        decay = [p for p in trained if p.ndim > 1]
        rest = [p for p in trained if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": decay, "weight_decay": recipe.weight_decay},
                {"params": rest, "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
            betas=(0.9, 0.98),
            fused=True,
        )
        self.step, self.elapsed, self.saved = 0, 0.0, 0
        self.stop = StopState()

    # ------------------------------------------------------------------ for subclasses to define

    @abstractmethod
    def losses(self, random: Random, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a new batch, and its parts for the log."""

    @abstractmethod
    def measure(self) -> dict[str, Any]:
        """Evaluate the averaged weights on held-out data. Called only in the first process."""

    def metadata(self) -> dict[str, str]:
        """Return metadata for the weights file besides recipe, steps and minutes."""
        return {}

    def stored(self, value: Tensor) -> Tensor:
        """Convert a weight for the weights file."""
        return (value.half() if value.ndim >= self.half_from else value.float()).contiguous()

    def weights(self) -> dict[str, Tensor]:
        """Return the content of the weights file by name."""
        return {k: self.stored(v) for k, v in self.ema.items() if v.is_floating_point()}

    def adopt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Convert the weights of a file to this network's names, to start from them."""
        return weights

    # ------------------------------------------------------------------ files

    @property
    def checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def begin_from(self, path: Path) -> None:
        """Start from the weights of another run where the layers match.

        Additional rows or columns at the end of a larger layer start at zero. New layers keep their
        initial weights.
        """
        old = self.adopt(read_state_dict(path))
        state = self.network.state_dict()
        if not any(name in old for name in state):
            raise FacetrackError(
                f"{path} cannot be the start: it has no layer of the network to train."
            )
        for name, value in state.items():
            if (there := old.get(name)) is None or not value.is_floating_point():
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
            value[tuple(slice(n) for n in there.shape)] = there.to(value)
        self.ema = {k: v.detach().clone() for k, v in state.items()}

    def load(self) -> None:
        """Continue from the checkpoint.

        Raises:
            FacetrackError: it is damaged, or of a network of another kind or size.
        """
        try:
            state = pickles.load(self.checkpoint, self.device)
            self.network.load_state_dict(state["network"])
            self.ema = state["ema"]
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.elapsed = state["step"], state["elapsed"]
        except Exception as error:  # PyTorch raises many types
            raise FacetrackError(
                f"{self.checkpoint} cannot be continued: it is damaged, or its training had "
                "another --arch or other sizes."
            ) from error
        self.saved = self.step

    def save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "ema": self.ema,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "elapsed": self.elapsed,
        }
        with atomic_path(self.checkpoint) as path:
            torch.save(state, path)
        metadata = {
            **self.metadata(),
            "steps": str(self.step),
            "recipe": json.dumps(asdict(self.recipe), sort_keys=True),
            "minutes": f"{self.elapsed / 60:.1f}",
        }
        with atomic_path(self.out / self.result) as path:
            save_file(self.weights(), path, metadata)
        self.saved = self.step

    def save_new_steps(self) -> None:
        """Save in the first process, if there were steps since the last save."""
        if self.rank == 0 and self.step > self.saved:
            self.save()

    def log(self, record: dict[str, Any]) -> None:
        with open(self.out / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def finish(self) -> None:
        """Save, and evaluate the averaged weights on held-out faces."""
        self.save()
        with self.stop.lifted():
            held_out = self.measure()
        self.log({"step": self.step, "minutes": self.elapsed / 60, "held_out": held_out})

    # ------------------------------------------------------------------ steps

    def progress(self) -> float:
        if self.recipe.steps:
            return self.step / self.recipe.steps
        return self.elapsed / 60 / self.recipe.minutes

    def warm_up(self, progress: float) -> float:
        """Return the factor, up to 1, with which the learning rate rises at first."""
        return min(1.0, (self.step + 1) / self.recipe.warm_up_steps)

    def train_step(self, progress: float) -> dict[str, float]:
        recipe = self.recipe
        rate = recipe.learning_rate * self.warm_up(progress)
        rate *= 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        # A seed per step, so that a resumed run draws the same data as an uninterrupted run.
        seed = (recipe.seed * 1_000_003 + self.step) * 64 + self.rank
        loss, parts = self.losses(Random(seed, self.device), progress)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._share_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip_norm)
        if torch.isfinite(norm):
            self.optimizer.step()
        decay = min(recipe.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.ema[name].lerp_(value, 1 - decay)
            else:
                self.ema[name].copy_(value)
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

    def loop(self) -> None:
        """Train until the budget is spent.

        Raises:
            KeyboardInterrupt: the process was asked to stop, or its main process has died. The
                steps so far are saved, unless a second request cut that short. The message says
                what is saved.
        """
        try:
            with defer_interrupts() as self.stop:
                self._train()
        except KeyboardInterrupt:
            note = f"saved up to step {self.saved}; --resume continues"
            raise KeyboardInterrupt(note if self.saved else "no step was saved yet") from None

    def _train(self) -> None:
        began = time.monotonic() - self.elapsed
        saved = self.elapsed
        recent: list[dict[str, float]] = []
        while True:
            is_asked = self.stop.requested or workers.is_orphaned()
            # One clock for all processes, which stop after the same step.
            self.elapsed, is_stopping = workers.agree(time.monotonic() - began, is_asked)
            if is_stopping:
                self.save_new_steps()
                raise KeyboardInterrupt
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


Make = Callable[[Recipe, Path, int, torch.device], Run]
"""Creates the run of a process from recipe, out, rank and device."""


def launch(
    make: Make,
    recipe: Recipe,
    out: Path,
    device: torch.device,
    resume: bool = False,
    start_from: Path | None = None,
) -> None:
    """Train in the recipe's number of processes (one, unless on a CPU).

    Args:
        make: creates each process's run; must be picklable.
        recipe: settings.
        out: folder for checkpoint, weights and log.
        device: the device.
        resume: continue from `out`/checkpoint.pt.
        start_from: weights to start from.

    Raises:
        FacetrackError: `out` cannot be written, or another training writes into it.
        KeyboardInterrupt: the process was asked to stop; the message says what is saved.
    """
    if device.type != "cpu":
        recipe = replace(recipe, workers=1)
    work = functools.partial(_work, make, recipe, out, device, resume, start_from)
    with training_folder(out):
        workers.run(work, recipe.workers)


def _work(
    make: Make,
    recipe: Recipe,
    out: Path,
    device: torch.device,
    resume: bool,
    start_from: Path | None,
    rank: int,
) -> None:
    run = make(recipe, out, rank, device)
    if resume:
        run.load()
    elif start_from is not None:
        run.begin_from(start_from)
    run.loop()
