"""ResNet without its classifier, under torchvision's parameter names.

He et al., Deep Residual Learning for Image Recognition, CVPR 2016. As in torchvision, the stride of
a bottleneck is in its 3 x 3 convolution.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from facetrack.runtime.onednn import fused_conv


@dataclass(frozen=True)
class ResNetConfig:
    """Configuration of a ResNet.

    Attributes:
        stem: channels of the first convolution.
        widths: inner channels of the blocks in each of the four layers.
        blocks: number of blocks in each layer.
        bottleneck: use blocks of three convolutions, which quadruple the channels, instead of two.
    """

    stem: int = 64
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    blocks: tuple[int, int, int, int] = (2, 2, 2, 2)
    bottleneck: bool = False

    @property
    def channels(self) -> int:
        """Channels of the last layer."""
        return self.widths[3] * (4 if self.bottleneck else 1)

    @property
    def name(self) -> str:
        """Name as in the literature, which counts the main path's convolutions and a classifier."""
        return f"ResNet-{sum(self.blocks) * (3 if self.bottleneck else 2) + 2}"


def recognise(state: Mapping[str, Tensor]) -> ResNetConfig:
    """Infer the configuration of the ResNet in a state_dict from its names and shapes.

    Raises:
        KeyError: a layer is missing.
    """
    found = [re.match(r"layer([1-4])\.(\d+)\.", name) for name in state]
    numbers = [(int(m[1]), int(m[2])) for m in found if m]
    w1, w2, w3, w4 = (state[f"layer{i}.0.conv1.weight"].shape[0] for i in (1, 2, 3, 4))
    b1, b2, b3, b4 = (1 + max(b for layer, b in numbers if layer == i) for i in (1, 2, 3, 4))
    return ResNetConfig(
        stem=state["conv1.weight"].shape[0],
        widths=(w1, w2, w3, w4),
        blocks=(b1, b2, b3, b4),
        bottleneck="layer1.0.conv3.weight" in state,
    )


class Block(nn.Module):
    """A residual block: two 3 x 3 convolutions, or a 1 x 1, 3 x 3, 1 x 1 bottleneck."""

    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        outputs = width * 4 if bottleneck else width
        first = 1 if bottleneck else stride
        second = stride if bottleneck else 1
        size = 1 if bottleneck else 3
        self.conv1 = nn.Conv2d(inputs, width, size, first, size // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, second, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        if bottleneck:
            self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(outputs)
        self.bottleneck = bottleneck
        self.downsample: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (M, inputs, H, W) to (M, outputs, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self._rectified(1, x)
        if self.bottleneck:
            return self._rectified(3, self._rectified(2, y), shortcut)
        return self._rectified(2, y, shortcut)

    def _rectified(self, number: int, x: Tensor, plus: Tensor | None = None) -> Tensor:
        """Apply convolution `number`, its normalisation, an optional addition and ReLU."""
        conv, norm = getattr(self, f"conv{number}"), getattr(self, f"bn{number}")
        if isinstance(norm, nn.Identity):
            return fused_conv(conv, x, True, plus)
        y: Tensor = norm(conv(x))
        return F.relu_(y if plus is None else y + plus)


class ResNet(nn.Module):
    """Images to features at 1 / 32 of their size."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, config.stem, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(config.stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = config.stem
        layers = []
        for index, (width, count) in enumerate(zip(config.widths, config.blocks, strict=True)):
            blocks = []
            for block in range(count):
                stride = 2 if index > 0 and block == 0 else 1
                blocks.append(Block(inputs, width, stride, config.bottleneck))
                inputs = width * 4 if config.bottleneck else width
            layers.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = layers

    def fold_norms(self) -> None:
        """Fold batch normalisations into the preceding convolutions, to save memory traffic.

        For inference only: the outputs stay the same, but the state_dict changes.
        """
        self.eval()
        for module in self.modules():
            if isinstance(module, (ResNet, Block)):
                for number in "123":
                    _fold(module, f"conv{number}", f"bn{number}")
                if isinstance(down := getattr(module, "downsample", None), nn.Sequential):
                    _fold(down, "0", "1")

    def features(self, x: Tensor) -> Tensor:
        """Map images (M, 3, H, W) to features (M, channels, H / 32, W / 32)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x


def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    """Fuse two named layers of `module`, if they are a convolution and a normalisation."""
    layers = module._modules
    first, second = layers.get(convolution), layers.get(norm)
    if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
        layers[convolution], layers[norm] = fuse_conv_bn_eval(first, second), nn.Identity()
