"""The network that predicts one-dimensional heat maps, with attention between the two axes.

Yin, Wang, Chen, Chen and Liang, "Attentive One-Dimensional Heatmap Regression for Facial Landmark
Detection and Tracking", ACM MM 2020 (arXiv 2004.02108). The structure follows the paper. Its
authors published neither code nor weights, so the widths and names are chosen here.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from facetrack.detectors.crops import SIZE
from facetrack.detectors.heatmap1d_maps import Marginals
from facetrack.detectors.hourglass import STRIDE, StackedHourglass
from facetrack.files import parse_json

CELLS = SIZE // STRIDE
"""Cells of the features along each axis."""


@dataclass(frozen=True)
class Heatmap1dConfig:
    """Configuration of the network.

    Attributes:
        points: landmarks N.
        width, stacks, levels: of the hourglasses (`StackedHourglass`).
        channels: channels of each axis's features after compression (the paper's D).
        compressions: number of halvings of the other axis.
        hidden: channels of the upsampling layers.
        upsampling: factors from CELLS to the maps' length L, one deconvolution each.
        attention: weight of the features attended to on the other axis (the paper's 0.4).
        sigma: standard deviation in pixels of the target Gaussians.
        antialiased, filtered: the hourglasses' options of that name (`StackedHourglass`).
    """

    points: int = 68
    width: int = 96
    stacks: int = 2
    levels: int = 4
    channels: int = 64
    compressions: int = 3
    hidden: int = 128
    upsampling: tuple[int, ...] = (2, 2, 3)
    attention: float = 0.4
    sigma: float = 4.0
    antialiased: bool = False
    filtered: bool = False

    def __post_init__(self) -> None:
        # The limits keep a network that is read from a file to a sensible size.
        limits = {"points": 1000, "width": 1024, "stacks": 16, "levels": 5, "channels": 1024}
        limits |= {"hidden": 4096, "compressions": 5}
        for name, limit in limits.items():
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= limit:
                raise ValueError(f"{name} must be a whole number from 1 to {limit}, not {value!r}")
        if self.width % 4:
            raise ValueError(f"width must be a multiple of 4, not {self.width}")
        factors = self.upsampling
        if not factors or not all(type(f) is int and 1 <= f <= 8 for f in factors):
            raise ValueError(f"upsampling must be factors from 1 to 8, not {factors!r}")
        if self.length > 16 * SIZE:
            raise ValueError(f"maps of {self.length} cells are too long")
        for name in ("antialiased", "filtered"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name} must be true or false, not {getattr(self, name)!r}")
        for name in ("attention", "sigma"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 < value <= SIZE:
                raise ValueError(f"{name} must be a positive number, not {value!r}")

    @property
    def length(self) -> int:
        """Number of cells L of a map. The paper's best is three times the image's side, 768."""
        return CELLS * math.prod(self.upsampling)

    def to_json(self) -> str:
        """Return the configuration as text for a checkpoint's metadata."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Heatmap1dConfig:
        """Read the text of `to_json`.

        Raises:
            ValueError: the text is not a valid configuration.
        """
        values = parse_json(text)
        if not isinstance(values, dict):
            raise ValueError("a configuration must be a JSON object")
        known = {field.name for field in dataclasses.fields(Heatmap1dConfig)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown options: {', '.join(unknown)}")
        if isinstance(values.get("upsampling"), list):
            values["upsampling"] = tuple(values["upsampling"])
        return Heatmap1dConfig(**values)


class Heatmap1dNetwork(nn.Module):
    """Map images (M, 3, 256, 256), BGR in [-1, 1], to `Marginals` of (M, N, L).

    Args:
        config: the network's configuration.
    """

    def __init__(self, config: Heatmap1dConfig) -> None:
        super().__init__()
        self.config = config
        rest = CELLS >> config.compressions
        self.features = StackedHourglass(
            config.width,
            config.stacks,
            config.levels,
            config.antialiased,
            CELLS if config.filtered else 0,
        )
        self.compress_x = _compression(config)
        self.compress_y = _compression(config)
        self.attention = CoAttention(config.channels, rest, config.attention)
        self.draw_x = _drawing(config, config.channels * rest)
        self.draw_y = _drawing(config, config.channels * rest)

    def forward(self, pictures: Tensor) -> Marginals:
        """Compute the maps of images (M, 3, 256, 256)."""
        features = self.features(pictures)
        # The y branch gets the transposed features, so that both branches compress along rows. Each
        # gives (M, channels, CELLS, rest): the places on its axis, then the features of each place.
        x = self.compress_x(features).transpose(2, 3)
        y = self.compress_y(features.transpose(2, 3)).transpose(2, 3)
        x, y = self.attention(x, y)
        return Marginals(
            *(
                draw(axis.transpose(2, 3).flatten(1, 2))
                for draw, axis in ((self.draw_x, x), (self.draw_y, y))
            )
        )


class CoAttention(nn.Module):
    """Co-attention: each place on an axis attends to all places on the other, per channel.

    With the paper's D^x = `x` and (D^y)^T = `y`, both places x features:
    x' = x + g softmax(x Q y^T / sqrt(d)) y and y' = y + g softmax(y P x^T / sqrt(d)) x.

    Args:
        channels: number of channels; each has its own P and Q.
        size: d, number of features of a place.
        gain: g.
    """

    def __init__(self, channels: int, size: int, gain: float) -> None:
        super().__init__()
        self.gain = gain
        self.p = nn.Parameter(torch.randn(channels, size, size) / math.sqrt(size))
        self.q = nn.Parameter(torch.randn(channels, size, size) / math.sqrt(size))

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Map features (M, channels, places, size) of both axes to features of the same shapes."""
        root = math.sqrt(x.shape[-1])
        from_x = torch.softmax(y @ self.p @ x.transpose(-2, -1) / root, -1)
        from_y = torch.softmax(x @ self.q @ y.transpose(-2, -1) / root, -1)
        return x + self.gain * from_y @ y, y + self.gain * from_x @ x


class TemporalRefinement(nn.Module):
    """Correct the heat maps of a frame by those of the frames before it (the paper's tracker).

    With E_t the maps of frame t: U_t = CNN3(E_t), V_t = U_t + decay V_{t-1}, and the result is
    E_t + CNN4(V_t). Each axis has its own weights. The untrained network is the identity.

    Args:
        points: landmarks N.
        width: channels of U_t and V_t for each axis.
        decay: weight of the previous frame's memory (the paper's 0.3).
    """

    def __init__(self, points: int, width: int = 64, decay: float = 0.3) -> None:
        super().__init__()
        self.width, self.decay = width, decay
        # Groups keep the axes apart: the first half of the channels is x, the second is y.
        self.before = nn.Sequential(_axes(points, width), nn.ReLU(), _axes(width, width), nn.ReLU())
        last = _axes(width, points)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(cast(Tensor, last.bias))
        self.after = nn.Sequential(_axes(width, width), nn.ReLU(), last)

    def forward(self, clips: Marginals) -> Marginals:
        """Refine the maps (B, T, N, L) of B complete clips of T frames."""
        stacked = torch.cat(clips, 2)
        B, T, channels, length = stacked.shape
        features = self.before(stacked.flatten(0, 1)).view(B, T, -1)
        frame = torch.arange(T, device=stacked.device)
        age = (frame[:, None] - frame).to(stacked.dtype)
        # Row t holds the weights at frame t of all frames up to it.
        weights = torch.where(age < 0, 0.0, self.decay ** age.clamp_min(0))
        memory = (weights @ features).view(B * T, -1, length)
        return Marginals(*(stacked + self.after(memory).view(B, T, channels, length)).chunk(2, 2))

    def step(self, maps: Marginals, state: Tensor | None) -> tuple[Marginals, Tensor]:
        """Refine the maps of the next frame of B clips.

        Args:
            maps: (B, N, L) each.
            state: V_{t-1}, (B, 2 * width, L), x's channels before y's; None at the first frame.

        Returns:
            Refined maps (B, N, L) each, and V_t, the state for the next frame.
        """
        stacked = torch.cat(maps, 1)
        memory: Tensor = self.before(stacked)
        if state is not None:
            memory = memory + self.decay * state
        return Marginals(*(stacked + self.after(memory)).chunk(2, 1)), memory


def _compression(config: Heatmap1dConfig) -> nn.Sequential:
    """Build layers (M, width, CELLS, CELLS) -> (M, channels, CELLS / 2**compressions, CELLS)."""
    inputs, layers = config.width, list[nn.Module]()
    for _ in range(config.compressions):
        layers += [
            nn.Conv2d(inputs, config.channels, 3, (2, 1), 1, bias=False),
            nn.BatchNorm2d(config.channels),
            nn.ReLU(inplace=True),
        ]
        inputs = config.channels
    return nn.Sequential(*layers)


def _drawing(config: Heatmap1dConfig, inputs: int) -> nn.Sequential:
    """Build deconvolutions (M, inputs, CELLS) -> (M, N, L)."""
    layers: list[nn.Module] = [nn.Conv1d(inputs, config.hidden, 3, padding=1, bias=False)]
    outputs: Sequence[int] = [config.hidden] * (len(config.upsampling) - 1) + [config.points]
    for factor, count in zip(config.upsampling, outputs, strict=True):
        # A kernel size that is a multiple of the factor treats all cells alike. An odd factor needs
        # three times the factor to stay centred.
        size, padding = (2 * factor, factor // 2) if factor % 2 == 0 else (3 * factor, factor)
        layers += [
            nn.BatchNorm1d(config.hidden),
            nn.ReLU(inplace=True),
            nn.ConvTranspose1d(config.hidden, count, size, factor, padding),
        ]
    return nn.Sequential(*layers)


def _axes(inputs: int, outputs: int) -> nn.Conv1d:
    """Build separate convolutions for x and y: (B, 2 * inputs, L) -> (B, 2 * outputs, L)."""
    return nn.Conv1d(2 * inputs, 2 * outputs, 9, padding=4, groups=2)
