"""The backbone: a pre-activation ResNet without max-pooling, as in TAPIR."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrack.runtime.onednn import fused_conv
from facetrack.trackers.tapir.config import TapirConfig
from facetrack.trackers.tapir.matching import inverse_length
from facetrack.trackers.tapir.mixer import gelu


class FeatureMaps(NamedTuple):
    """Features of M frames.

    Attributes:
        hires: (M, H/4, W/4, C), of unit length over the channels.
        lowres: (M, H/8, W/8, C), of unit length over the channels.
        fine: (M, H/2, W/2, C) for refinement only; C is 0 in networks without it. Not normalised:
            refinement uses few cells of this large map, and normalises those.
    """

    hires: Tensor
    lowres: Tensor
    fine: Tensor


def relu(x: Tensor) -> Tensor:
    """Apply ReLU, in place unless gradients are recorded: nothing else may use `x`."""
    return F.relu(x) if torch.is_grad_enabled() else F.relu_(x)


class Norm(nn.Module):
    """Instance normalisation (`groups` 0) or group normalisation, with scale and offset.

    There are no running statistics: a frame's features do not depend on the rest of its batch.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.groups = groups or channels

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, self.groups, self.weight, self.bias, 1e-5)


class _EndPaddedConv(nn.Conv2d):
    """A convolution of 3 x 3 and stride 2 that pads at the end only, as TensorFlow does."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 2, 0, 2)))


def _same_conv(inputs: int, outputs: int, stride: int, centred: bool) -> nn.Conv2d:
    """Create a convolution without bias that keeps the size at stride 1 and halves it at stride 2.

    At stride 2 the published network pads at the end only, so the receptive field lies half a cell
    to the right of and below the cell: under rotation that moves a match. `centred` uses a 4 x 4
    kernel instead, which is centred on the cell.
    """
    if stride == 2 and not centred:
        return _EndPaddedConv(inputs, outputs, 3, stride, bias=False)
    return nn.Conv2d(inputs, outputs, 4 if stride == 2 else 3, stride, padding=1, bias=False)


class _Block(nn.Module):
    def __init__(
        self, inputs: int, outputs: int, stride: int, project: bool, config: TapirConfig
    ) -> None:
        super().__init__()
        # A strided 1 x 1 convolution is off-centre too: average the cell first.
        self.pool = 2 if config.centred_strides and stride == 2 else 1
        projection_stride = 1 if self.pool == 2 else stride
        self.proj_conv = (
            nn.Conv2d(inputs, outputs, 1, projection_stride, bias=False) if project else None
        )
        self.bn_0 = Norm(inputs, config.norm_groups)
        self.conv_0 = _same_conv(inputs, outputs, stride, config.centred_strides)
        self.bn_1 = Norm(outputs, config.norm_groups)
        self.conv_1 = _same_conv(outputs, outputs, 1, config.centred_strides)

    def forward(self, x: Tensor) -> Tensor:
        y = relu(self.bn_0(x))
        shortcut = x
        if self.proj_conv is not None:
            shortcut = self.proj_conv(F.avg_pool2d(y, 2) if self.pool == 2 else y)
        y = self.conv_0(y)
        return fused_conv(self.conv_1, relu(self.bn_1(y)), residual=shortcut)


class _Group(nn.Module):
    def __init__(
        self, inputs: int, outputs: int, blocks: int, stride: int, config: TapirConfig
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            _Block(inputs if i == 0 else outputs, outputs, stride if i == 0 else 1, i == 0, config)
            for i in range(blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class ResNet(nn.Module):
    """The residual network.

    (M, 3, H, W) in [-1, 1] -> the outputs of the stem, the hires and the lowres group, each
    (M, C, h, w).
    """

    def __init__(self, config: TapirConfig) -> None:
        super().__init__()
        self.hires_group, self.lowres_group = config.hires_group, config.lowres_group
        kernel = config.stem_kernel
        self.initial_conv = nn.Conv2d(3, config.stem_channels, kernel, 2, bias=False)
        # An even kernel is centred on the cell; the published 7 x 7 is padded by 2 and 4.
        before = (kernel - 2) // 2
        after = before if kernel % 2 == 0 else before + 2
        self.stem_padding = (before, after, before, after)
        inputs = (config.stem_channels, *config.group_channels[:-1])
        self.block_groups = nn.ModuleList(
            _Group(c_in, c_out, blocks, stride, config)
            for c_in, c_out, blocks, stride in zip(
                inputs,
                config.group_channels,
                config.group_blocks,
                config.group_strides,
                strict=True,
            )
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        stem = x = self.initial_conv(F.pad(x, self.stem_padding))
        outputs = []
        for group in self.block_groups:
            x = group(x)
            outputs.append(x)
        return stem, outputs[self.hires_group], outputs[self.lowres_group]


class _ExtraConv(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(channels, eps=1e-5)
        self.conv = nn.Conv2d(channels, 4 * channels, 3, padding=1)
        self.conv_1 = nn.Conv2d(4 * channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer_norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        wide = gelu(self.conv(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        # The residual is taken after the normalisation, as upstream does.
        return x + self.conv_1(wide)


class ExtraConvs(nn.Module):
    """BootsTAPIR's further residual blocks on the lowres map (M, C, h, w)."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_ExtraConv(channels) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class TopDown(nn.Module):
    """Merge the lowres map into the hires one, and that into the stem's; project all of them.

    Compact networks only.
    """

    def __init__(self, config: TapirConfig) -> None:
        super().__init__()
        hires = config.group_channels[config.hires_group]
        lowres = config.group_channels[config.lowres_group]
        self.norm_hires = Norm(hires, config.norm_groups)
        self.norm_lowres = Norm(lowres, config.norm_groups)
        self.lowres = nn.Conv2d(lowres, config.lowres_channels, 1)
        self.lateral = nn.Conv2d(hires, config.hires_channels, 1)
        self.descend = nn.Conv2d(lowres, config.hires_channels, 1)
        self.merge = nn.Conv2d(config.hires_channels, config.hires_channels, 3, padding=1)
        self.fine: nn.ModuleDict | None = None
        if config.fine_dim:
            self.fine = nn.ModuleDict(
                {
                    "lateral": nn.Conv2d(config.stem_channels, config.fine_dim, 3, padding=1),
                    "descend": nn.Conv2d(config.hires_channels, config.fine_dim, 1),
                    "out": nn.Conv2d(config.fine_dim, config.fine_dim, 1),
                }
            )

    def forward(
        self, stem: Tensor, hires: Tensor, lowres: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return hires, lowres and fine maps, (M, C, h, w) each, for the outputs of `ResNet`."""
        lowres = relu(self.norm_lowres(lowres))
        up = F.interpolate(
            self.descend(lowres), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        merged = relu(self.lateral(relu(self.norm_hires(hires))) + up)
        fine = None
        if self.fine is not None:
            up = F.interpolate(
                self.fine["descend"](merged),
                scale_factor=2.0,
                mode="bilinear",
                align_corners=False,
            )
            fine = self.fine["out"](relu(self.fine["lateral"](relu(stem)) + up))
        return self.merge(merged), self.lowres(lowres), fine


def unit_length(x: Tensor) -> Tensor:
    """Divide vectors (..., C) by their lengths, in float32."""
    x = x.float()
    return x * inverse_length(x)[..., None]
