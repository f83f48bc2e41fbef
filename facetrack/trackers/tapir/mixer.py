"""Temporal refinement network: an MLP-mixer whose token mixing is a depthwise convolution in time.

Tokens are (P, T, C): P independent points, T frames, C channels. In a causal network each
convolution also receives the two frames before. Streaming keeps these two frames (`MixerCache`), so
frames given one by one have the same results as a whole clip.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrack.runtime.onednn import fused_linear_gelu
from facetrack.trackers.tapir.config import TapirConfig

KERNEL = 3
"""Frames that a temporal convolution spans."""
MixerCache = dict[str, Tensor]
"""The last two input frames of each block's convolutions, zeros at the start of a video.
`block_{i}_causal_1` is (P, 2, C), `block_{i}_causal_2` is (P, 2, E*C), E the time expansion."""
GELU_BATCH = 1 << 18
"""Numbers per batch of GELU on a CPU: they fit into its caches."""


def gelu(x: Tensor) -> Tensor:
    """Compute GELU, approximated as in the official code.

    In bfloat16 it is exact GELU: rounding hides the difference (5e-4 at most), and a CPU takes a
    quarter of the time. In float32 on a CPU without gradients it is computed as x sigmoid(2y): the
    equivalent x (1 + tanh y) / 2 takes more than twice as long.
    """
    if x.dtype == torch.bfloat16:
        return F.gelu(x)
    if x.device.type != "cpu" or torch.is_grad_enabled():
        return F.gelu(x, approximate="tanh")
    flat = x.reshape(-1)
    out = torch.empty_like(flat)
    slope = 2 * math.sqrt(2 / math.pi)
    for value, target in zip(flat.split(GELU_BATCH), out.split(GELU_BATCH), strict=True):
        torch.mul(value, value, out=target)
        target.mul_(0.044715 * slope).add_(slope).mul_(value).sigmoid_().mul_(value)
    return out.view(x.shape)


class ScaleNorm(nn.Module):
    """Layer normalisation over (..., C) with a scale and no offset."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, (x.shape[-1],), self.weight, None, 1e-5)


class Linear(nn.Linear):
    """A linear layer that converts its input to the precision of its weights."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype))


class TimeConv(nn.Module):
    """Depthwise convolution over time, (P, T + 2, C) -> (P, T, multiplier * C), no padding.

    Part j of an expanded channel c is at j * width + c, so that the parts lie in blocks. Weights
    are in the order of the official checkpoints, c * expansion + j.

    Args:
        channels: C.
        multiplier: outputs per channel.
        expansion: parts per channel in the output.
    """

    def __init__(self, channels: int, multiplier: int, expansion: int) -> None:
        super().__init__()
        self.multiplier, self.expansion = multiplier, expansion
        self.weight = nn.Parameter(torch.empty(channels * multiplier, 1, KERNEL))
        self.bias = nn.Parameter(torch.zeros(channels * multiplier))
        nn.init.normal_(self.weight, std=KERNEL**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        # As a channels-last 2-D convolution with as many channels as groups: many times faster on
        # a CPU than a grouped conv1d, or than one with several outputs a group.
        x = x.to(self.weight.dtype)
        if self.multiplier > 1:
            x = x.repeat(1, 1, self.multiplier)
        channels = x.shape[-1]
        image = x.transpose(1, 2)[:, :, None].contiguous(memory_format=torch.channels_last)
        weight, bias = (in_blocks(v, 0, self.expansion) for v in (self.weight, self.bias))
        out = F.conv2d(image, weight[:, :, None], bias, groups=channels)
        return out[:, :, 0].transpose(1, 2)


def in_blocks(official: Tensor, axis: int, parts: int) -> Tensor:
    """Reorder channels from the official code's c * parts + j to j * width + c."""
    if parts == 1:
        return official
    return official.unflatten(axis, (-1, parts)).transpose(axis, axis + 1).flatten(axis, axis + 1)


def interleaved(blocks: Tensor, axis: int, parts: int) -> Tensor:
    """Reorder channels back from `in_blocks`."""
    if parts == 1:
        return blocks
    return blocks.unflatten(axis, (parts, -1)).transpose(axis, axis + 1).flatten(axis, axis + 1)


class _ChannelsMixer(nn.Module):
    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        self.mlp2_up = Linear(width, width * expansion)
        self.mlp2_down = Linear(width * expansion, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp2_down(fused_linear_gelu(self.mlp2_up, x, gelu))


class _Attention(nn.Module):
    """Attention across the points of one frame, so that seen points help hidden ones."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = ScaleNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, points: int) -> Tensor:
        tokens, frames, width = x.shape
        batch = tokens // points
        y = self.qkv(self.norm(x)).view(batch, points, frames, 3, self.heads, width // self.heads)
        # Each (batch * frames, heads, points, d): PyTorch's fast kernel needs exactly four axes.
        q, k, v = y.permute(3, 0, 2, 4, 1, 5).flatten(1, 2).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v).unflatten(0, (batch, frames))
        return x + self.out(y.permute(0, 3, 1, 2, 4).reshape(tokens, frames, width))


class _Block(nn.Module):
    def __init__(self, config: TapirConfig, attends: bool) -> None:
        super().__init__()
        width = config.mixer_width
        self.causal = config.causal
        self.layer_norm = ScaleNorm(width)
        parts = config.time_expansion
        self.mlp1_up = TimeConv(width, parts, parts)
        self.mlp1_up_1 = TimeConv(width * parts, 1, parts)
        self.layer_norm_1 = ScaleNorm(width)
        self.conv_channels_mixer = _ChannelsMixer(width, config.mixer_expansion)
        self.attention = _Attention(width, config.attention_heads) if attends else None

    def _extend(self, x: Tensor, cache: MixerCache | None, key: str, parts: int = 1) -> Tensor:
        """Put the two earlier frames (or padding) before the frames of x, and update the cache.

        Networks that are not causal are padded on both sides.

        Args:
            x: (P, T, C), channels in blocks.
            key: the entry of the cache, which is in the order of the official code.
            parts: blocks of channels.
        """
        if not self.causal:
            return F.pad(x, (0, 0, 1, 1))
        if cache is None:
            return F.pad(x, (0, 0, KERNEL - 1, 0))
        x = torch.cat([in_blocks(cache[key].to(x.dtype), 2, parts), x], 1)
        cache[key] = interleaved(x[:, -(KERNEL - 1) :], 2, parts)
        return x

    def forward(self, x: Tensor, points: int, cache: MixerCache | None, index: int) -> Tensor:
        y = self._extend(self.layer_norm(x), cache, f"block_{index}_causal_1")
        y = gelu(self.mlp1_up(y))
        parts = self.mlp1_up.expansion
        y = self.mlp1_up_1(self._extend(y, cache, f"block_{index}_causal_2", parts))
        for part in y.split(x.shape[-1], -1):
            x = x + part
        if self.attention is not None:
            x = self.attention(x, points)
        return x + self.conv_channels_mixer(self.layer_norm_1(x))


class Mixer(nn.Module):
    """The refinement network: (P, T, inputs) -> (P, T, outputs); P = batch * points."""

    def __init__(self, config: TapirConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        width = config.mixer_width
        self.linear = nn.Linear(inputs, width)
        every = config.attention_every
        self.blocks = nn.ModuleList(
            _Block(config, config.attention_heads > 0 and i % every == every - 1)
            for i in range(config.mixer_blocks)
        )
        self.layer_norm = ScaleNorm(width)
        self.linear_1 = nn.Linear(width, outputs)

    def forward(self, x: Tensor, points: int, cache: MixerCache | None = None) -> Tensor:
        """Refine tokens (P, T, inputs).

        Args:
            points: N, for blocks that attend across points.
            cache: of the frames before when streaming, updated in place.
        """
        x = self.linear(x)
        for index, block in enumerate(self.blocks):
            x = block(x, points, cache, index)
        return self.linear_1(self.layer_norm(x))


def empty_cache(config: TapirConfig, tokens: int, device: torch.device) -> MixerCache:
    """Return the cache before the first frame.

    Args:
        tokens: batch * points.
    """
    width = config.mixer_width
    cache = {}
    for i in range(config.mixer_blocks):
        for stage, channels in ((1, width), (2, width * config.time_expansion)):
            cache[f"block_{i}_causal_{stage}"] = torch.zeros(
                tokens, KERNEL - 1, channels, device=device
            )
    return cache
