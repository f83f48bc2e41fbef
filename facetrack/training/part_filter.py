"""Training of the filter between a tracker's points and what a network sees, on recorded clips."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from facetrack.ops.similarity import as_complex
from facetrack.trackers.base import TrackerOptions
from facetrack.trackers.expression.corrector import mean_look
from facetrack.trackers.expression.face_parts import EYE, KINDS, PARTS, Pose, Rest, into
from facetrack.trackers.expression.part_filter import Known, PartFilter, Seen
from facetrack.trackers.expression.part_network import PartNetwork
from facetrack.trackers.factory import create
from facetrack.training import loop, parts
from facetrack.training.part_clips import Recording, read, record, write
from facetrack.training.signals import Random
from facetrack.training.textures import load_textures
from facetrack.weights.state_dict import load_state_dict, read_state_dict

MOVING = {"eye": [6, 7, 9, 10], "mouth": [*range(1, 6), *range(7, 12), 13, 14, 15, 17, 18, 19]}
"""What a tracker loses where eyes or mouths open and shut, by their places in a kind's points."""


LOST = 8.0
"""Per cent of a unit that a point is off at most, as far as the loss goes: of a face that is lost
nothing is to be learned."""


MOVED = 0.04
"""Units of a face by which lids or lips have opened or shut for a frame to count twice."""


class Sequences(NamedTuple):
    """Clips of parts of one kind, as the filter sees them; places as in `Seen`.

    Attributes:
        known: of M parts.
        seen: of M parts in T frames, (M, T, ...) each.
        wanted: (M, T, points, 2), NaN where the truth is not known.
        visible: (M, T, points) float32.
    """

    known: Known
    seen: Seen
    wanted: Tensor
    visible: Tensor


def _pairs(values: np.ndarray) -> np.ndarray:
    return np.stack([values.real, values.imag], -1)


@torch.no_grad()
def looked(network: PartNetwork, patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places, complex, and spreads of patches (..., h, w, 3) uint8."""
    flat = torch.from_numpy(patches.reshape(-1, *patches.shape[-3:]))
    places, spreads = [], []
    for part in flat.split(256):
        said = network(part.permute(0, 3, 1, 2).float() / 255)
        places.append(said[0].float().numpy())
        spreads.append(said[1].float().numpy())
    xy = np.concatenate(places).reshape(*patches.shape[:-3], -1, 2)
    return xy[..., 0] + 1j * xy[..., 1], np.concatenate(spreads).reshape(xy.shape[:-1])


def sequences(clips: Recording, networks: Mapping[str, PartNetwork]) -> dict[str, Sequences]:
    """What networks see in recorded clips, and what the filter should make of it."""
    eyes, eye_spread = looked(networks["eye"], clips.eyes)
    mouths, mouth_spread = looked(networks["mouth"], clips.mouths)
    first_eyes, first_spread = looked(networks["eye"], clips.first_eyes)
    first_mouths, first_mouth_spread = looked(networks["mouth"], clips.first_mouths)
    rows: dict[str, list[tuple[np.ndarray, ...]]] = {"eye": [], "mouth": []}
    for c in range(len(clips.placed)):
        rest = Rest(clips.placed[c])
        home = rest.pose(rest.points)
        poses = [rest.pose(as_complex(points)) for points in clips.tracked[c]]
        tracked, truth = as_complex(clips.tracked[c]), as_complex(clips.truth[c])
        for p, part in enumerate(PARTS):
            if p < 2:
                first, spread0 = first_eyes[c, :, p], first_spread[c, :, p].mean(0)
                now, spread = eyes[c, :, p], eye_spread[c, :, p]
            else:
                first, spread0 = first_mouths[c], first_mouth_spread[c].mean(0)
                now, spread = mouths[c], mouth_spread[c]
            placed = into(p, home, rest.points[part.points])
            seen_first = mean_look(p, rest, list(first))
            here = np.array(
                [into(p, pose, xy[part.points]) for pose, xy in zip(poses, tracked, strict=True)]
            )
            true = np.array(
                [into(p, pose, xy[part.points]) for pose, xy in zip(poses, truth, strict=True)]
            )
            true_first = into(p, home, truth[0][part.points])
            off = (placed - true_first) * _kept(true, true_first, p)
            rows["eye" if p < 2 else "mouth"].append(
                (
                    _pairs(placed),
                    _pairs(placed - seen_first),
                    spread0,
                    _pairs(here - placed),
                    _pairs(now - seen_first),
                    spread,
                    clips.sure[c][:, part.points],
                    _motion(poses, p),
                    _pairs(true + off - placed),
                    clips.seen[c][:, part.points].astype(float),
                )
            )
    made = {}
    for name, row in rows.items():
        values = [torch.from_numpy(np.stack(kind)).float() for kind in zip(*row, strict=True)]
        made[name] = Sequences(Known(*values[:3]), Seen(*values[3:8]), values[8], values[9])
    return made


def _motion(poses: list[Pose], part: int) -> np.ndarray:
    """(T, 2) as `Seen` has it."""
    middles = np.array([pose.middles[part] for pose in poses])
    units = np.array([abs(pose.arrow) for pose in poses])
    return np.stack(
        [np.abs(np.diff(middles, prepend=middles[:1])) / units, np.log(units / 100)], -1
    )


def _kept(true: np.ndarray, first: np.ndarray, part: int) -> np.ndarray:
    """(T, points) how much of what the given points are off by is to be kept: all, but none where
    an eye is shut, whose lids meet whatever was given."""
    kept = np.ones(true.shape)
    if part < 2:
        open_now, open_first = (
            (x[..., list(EYE.lower)] - x[..., list(EYE.upper)]).imag.mean(-1) for x in (true, first)
        )
        share = np.clip(np.nan_to_num(open_now / max(float(open_first), 0.02), nan=1.0), 0, 1)
        kept[:, MOVING["eye"]] = share[:, None]
    return kept


def disturbed(batch: Sequences, name: str, random: Random) -> Sequences:
    """Clips as real ones are: trackers follow lids and lips less than on rendered faces, whose
    texture is always that of the query frame, and the network, which is spared bad pictures,
    errs less."""
    count = len(batch.wanted)
    seen = batch.seen
    follows = 1 - random.chance(0.6, count, 1, 1) * random.uniform(0.3, 1, count, 1, 1)
    share = torch.ones_like(seen.tracked)
    share[:, :, MOVING[name], 1] = follows
    better = random.chance(0.75, count, 1, 1, 1) * random.uniform(0.2, 1, count, 1, 1, 1)
    error = torch.nan_to_num(seen.looked - batch.wanted)
    lasting = error.mean(1, keepdim=True)
    bend = 1 + 0.04 * random.normal(count, 1, 1, 1)
    looked = (seen.looked - better * (lasting + 0.5 * (error - lasting))) * bend
    spread = seen.spread * (1 - 0.6 * better[..., 0])
    return batch._replace(
        seen=seen._replace(tracked=seen.tracked * share, looked=looked, spread=spread)
    )


def opening(places: Tensor, name: str) -> Tensor:
    """(..., pairs) how much further apart places (..., points, 2) are, downwards."""
    kind = KINDS[name]
    return places[..., list(kind.lower), 1] - places[..., list(kind.upper), 1]


def run(network: PartFilter, batch: Sequences) -> tuple[Tensor, Tensor]:
    """Places (M, T, points, 2) and logits (M, T, points)."""
    frames = [Seen(*(x[:, t] for x in batch.seen)) for t in range(batch.wanted.shape[1])]
    memory = network.begin(frames[0])
    places, logits = [], []
    for seen in frames:
        xy, logit, memory = network(batch.known, seen, memory)
        places.append(xy)
        logits.append(logit)
    return torch.stack(places, 1), torch.stack(logits, 1)


def errors(places: Tensor, batch: Sequences, name: str) -> dict[str, Tensor]:
    """Means in per cent of a unit: how far seen and hidden points are off, openings, of which
    those that have changed count more, and how errors bend over time."""
    known = torch.isfinite(batch.wanted[..., 0]).float()
    off = 100 * torch.nan_to_num(places - batch.wanted)
    far = (off.square().sum(-1) + 1e-4).sqrt().clamp(max=LOST)
    seen, hidden = known * batch.visible, known * (1 - batch.visible)
    bend = off[:, 2:] - 2 * off[:, 1:-1] + off[:, :-2]
    steady = known[:, 2:] * known[:, 1:-1] * known[:, :-2]
    wanted = opening(batch.wanted, name)
    both = 100 * torch.nan_to_num(opening(places, name) - wanted)
    moved = 1 + torch.nan_to_num(wanted).abs() / MOVED
    return {
        "seen": (far * seen).sum() / seen.sum(),
        "hidden": (far * hidden).sum() / hidden.sum().clamp_min(1),
        "opening": (both.abs() * moved).sum() / moved.sum(),
        "bend": ((bend.square().sum(-1) + 1e-4).sqrt() * steady).sum() / steady.sum(),
    }


def loss_of(network: PartFilter, batch: Sequences, name: str) -> tuple[Tensor, dict[str, float]]:
    """The loss, and its parts."""
    places, logits = run(network, batch)
    parts = errors(places, batch, name)
    parts["visible"] = nn.functional.binary_cross_entropy_with_logits(logits, batch.visible)
    weights = {"seen": 2.5, "hidden": 0.3, "opening": 2.5, "bend": 0.5, "visible": 1.0}
    total = sum((weights[k] * v for k, v in parts.items()), torch.zeros(()))
    return total, {k: float(v.detach()) for k, v in parts.items()}


def chosen(batch: Sequences, index: Tensor) -> Sequences:
    """Some of the parts."""
    return Sequences(
        Known(*(x[index] for x in batch.known)),
        Seen(*(x[index] for x in batch.seen)),
        batch.wanted[index],
        batch.visible[index],
    )


AT_ONCE = 10
"""Clips of a file."""
HELD_OUT = 40
"""Clips of held-out faces that a save measures."""


@dataclass(frozen=True)
class Recipe(loop.Recipe):
    """All that decides a training run; `batch` counts parts of each kind.

    Attributes:
        clips: how many are recorded before it begins.
    """

    minutes: float = 10.0
    batch: int = 48
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    clip_norm: float = 5.0
    ema: float = 0.998
    workers: int = 1
    save_minutes: float = 2.0
    clips: int = 400


def gather(faces: Path, out: Path, clips: int, seed: int, held_out: bool) -> None:
    """Record clips into `out`, as many as it does not yet hold."""
    out.mkdir(parents=True, exist_ok=True)
    textures = load_textures(faces, torch.device("cpu"), held_out)
    tracker = create("tapir", TrackerOptions(), lambda: (_ for _ in ()).throw(AssertionError))
    for first in range(0, clips, AT_ONCE):
        path = out / f"clips-{seed}-{first:05d}.npz"
        made: list[Recording] = []
        tried = 0
        while not path.exists() and len(made) < AT_ONCE:
            random = Random((seed * 1_000_003 + first) * 64 + tried, torch.device("cpu"))
            clip = record(textures, tracker, random)
            made += [] if clip is None else [clip]
            tried += 1
        if made:
            write(path, made)


def load_networks(path: Path) -> nn.ModuleDict:
    """The networks of `parts`, for inference."""
    networks = parts.build()
    load_state_dict(networks, read_state_dict(path), path, "a file of networks of parts")
    return networks.eval()


def build() -> nn.ModuleDict:
    """The filters of both kinds."""
    return nn.ModuleDict({name: PartFilter(kind) for name, kind in KINDS.items()})


class _Run(loop.Run):
    """One process's part of a training run."""

    result = "expressions.safetensors"
    recipe: Recipe

    def __init__(
        self,
        networks: Path,
        folders: tuple[Path, Path],
        recipe: Recipe,
        out: Path,
        rank: int,
        device: torch.device,
    ) -> None:
        super().__init__(build, recipe, out, rank, device)
        self.networks = load_networks(networks)
        self.learned, self.held_out = (
            sequences(read(folder), dict(self.networks.items()))  # type: ignore[arg-type]
            for folder in folders
        )

    def losses(self, random: Random, progress: float) -> tuple[Tensor, dict[str, float]]:
        """The loss on random parts."""
        total = torch.zeros(())
        told: dict[str, float] = {}
        for name, every in self.learned.items():
            index = random.integers(len(every.wanted), self.recipe.batch)
            drawn = disturbed(chosen(every, index), name, random)
            loss, figures = loss_of(self.network[name], drawn, name)
            total = total + loss
            told |= {f"{name} {k}": v for k, v in figures.items()}
        return total, told

    def stored(self, value: Tensor) -> Tensor:
        """float16, but for vectors, of which there are few."""
        return (value.half() if value.ndim > 1 else value.float()).contiguous()

    def adopt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The filters of such a file."""
        return {k.removeprefix("filters."): v for k, v in weights.items()}

    def weights(self) -> dict[str, Tensor]:
        """The filters', and those of the networks that they listen to."""
        fixed = {f"networks.{k}": v for k, v in self.networks.state_dict().items()}
        fixed = {k: self.stored(v) for k, v in fixed.items() if v.is_floating_point()}
        return fixed | {f"filters.{k}": v for k, v in super().weights().items()}

    def metadata(self) -> dict[str, str]:
        return {}

    @torch.no_grad()
    def measure(self) -> dict[str, Any]:
        """Errors in per cent of a unit on clips of held-out faces: of the tracker alone, of what
        the network sees, and of the filter."""
        filters = build().eval()
        filters.load_state_dict(self.ema)
        figures: dict[str, Any] = {}
        for name, every in self.held_out.items():
            ways = {
                "tracker": every.seen.tracked,
                "network": every.seen.looked,
                "filter": run(filters[name], every)[0],  # type: ignore[arg-type]
            }
            for way, places in ways.items():
                found = errors(places, every, name)
                figures[f"{name} {way}"] = {k: round(float(v), 3) for k, v in found.items()}
        return figures


def train(
    networks: Path,
    recipe: Recipe,
    faces: Path,
    out: Path,
    device: torch.device,
    resume: bool = False,
    start_from: Path | None = None,
) -> None:
    """Record clips, and train until the budget is spent; `out` receives the clips, checkpoint.pt,
    expressions.safetensors and log.jsonl.

    Args:
        networks: parts.safetensors of a training of `parts`.
        faces: folder of face crops with landmarks68.npz.
        resume: go on from `out`/checkpoint.pt.
        start_from: weights to begin with.
    """
    load_networks(networks)  # what cannot be is better said here
    folders = out / "clips", out / "held-out"
    for folder, clips, held_out in zip(
        folders, (recipe.clips, HELD_OUT), (False, True), strict=True
    ):
        gather(faces, folder, clips, recipe.seed, held_out)
    make = functools.partial(_Run, networks, folders)
    loop.launch(make, recipe, out, device, resume, start_from)
