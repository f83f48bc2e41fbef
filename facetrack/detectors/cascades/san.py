"""The Style Aggregated Network: a face, and the mean of the face's styles, read together.

Dong, Yan, Ouyang and Yang, "Style Aggregated Network for Facial Landmark Detection", CVPR 2018
(arXiv 1803.04108). The weights were trained here.

A generator turns a face of any style, light, grey or sketched as well as plain, into the mean of
its styles, which shows little of the style it came in. A convolutional pose machine (Wei et al.,
CVPR 2016) then draws heat maps from both pictures. Three things differ from the paper. Its mean is
over what a CycleGAN makes of the face in each style; here one small generator learns the mean
itself, which filters make of the training pictures (`facetrack.training.detectors.styles`), along
with the landmarks. Places are the means of the maps instead of their peaks. And all is smaller.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrack.detectors.cascades.base import (
    SIDE,
    CascadeDetector,
    Prediction,
    ShapeConfig,
    ShapeNetwork,
    convolution,
)
from facetrack.detectors.cascades.maps import mean_places, rare

MAP = SIDE // 8
"""Side of a heat map in cells; an eighth of the picture's, as in the paper."""
SIGMA = 0.8
"""Standard deviation in cells of the Gaussians on the maps."""
WIDE = 5
"""Side in cells of the kernels of the second and third stage; 7 in the paper."""


def styled(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Return a padded convolution, normalisation of each picture alone, and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.InstanceNorm2d(outputs, affine=True),
        nn.ReLU(),
    )


class Generator(nn.Module):
    """Pictures (B, 3, SIDE, SIDE) to the means of their styles, of the same shape and range.

    Like the paper's generators, it normalises each channel of each picture alone, which removes
    much of the style (Ulyanov et al., arXiv 1607.08022).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = styled(3, width, 5, 2)
        self.shrink = styled(width, 2 * width, 3, 2)
        self.deep = nn.Sequential(styled(2 * width, 2 * width), styled(2 * width, 4 * width))
        self.grow = styled(2 * width, 2 * width)
        self.draw = nn.Conv2d(2 * width + 12, 12, 3, 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Draw the aggregated pictures."""
        half = self.enter(pictures)
        deep = F.pixel_shuffle(self.deep(self.shrink(half)), 2)
        grown = self.grow(torch.cat([deep, half], 1))
        fine = F.pixel_unshuffle(pictures, 2)
        return F.pixel_shuffle(self.draw(torch.cat([grown, fine], 1)), 2)


class SanNetwork(ShapeNetwork):
    """A generator, features of both pictures, and three stages of heat maps.

    The features and the first stage have the same weights for both pictures. The second stage sees
    the features and the maps of both, the third one those features and the maps of the second.
    """

    arch = "san"

    def __init__(self, config: ShapeConfig) -> None:
        w, points = config.width, config.points
        super().__init__(config, w)
        self.generator = Generator(max(4, w // 8))
        self.features = nn.Sequential(
            convolution(3, w // 4, 5, stride=2),
            convolution(w // 4, w // 2),
            nn.MaxPool2d(2),
            convolution(w // 2, w),
            nn.MaxPool2d(2),
            convolution(w, w),
            convolution(w, w),
        )
        self.first = nn.Sequential(convolution(w, w), convolution(w, w), self.maps())
        self.second = self.stage(2 * w + 2 * points)
        self.third = self.stage(2 * w + points)
        self.draw = nn.ModuleList([self.maps(), self.maps()])
        self.sharpness = nn.Parameter(torch.zeros(3))

    def maps(self) -> nn.Conv2d:
        """Return the layer that draws maps from features."""
        layer = nn.Conv2d(self.config.width, self.config.points, 1)
        nn.init.constant_(layer.bias, rare(SIGMA, MAP))  # type: ignore[arg-type]
        return layer

    def stage(self, inputs: int) -> nn.Sequential:
        """Return the convolutions of a later stage."""
        w = self.config.width
        return nn.Sequential(
            convolution(inputs, w, 1),
            convolution(w, w, WIDE),
            convolution(w, w, WIDE),
            convolution(w, w, WIDE),
        )

    @property
    def last_convolution(self) -> nn.Module:
        return self.third

    def forward(self, pictures: Tensor) -> Prediction:
        """Place the landmarks at the means of their maps."""
        _, maps, features = self.look(pictures)
        return self.read(maps, features)

    def look(self, pictures: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """Return the aggregated pictures, the maps of all stages, and features (B, width).

        Maps are (B, N, MAP, MAP) before the sigmoid in float32: the first stage's from the given
        and from the aggregated picture, the second's and the third's.
        """
        batch = len(pictures)
        aggregated = self.generator(pictures)
        both = self.features(torch.cat([pictures, aggregated.to(pictures)]))
        drawn = self.first(both)
        both = torch.cat([both[:batch], both[batch:]], 1)
        one, other = drawn[:batch], drawn[batch:]
        second = self.draw[0](self.second(torch.cat([both, one, other], 1)))
        x = self.third(torch.cat([both, second], 1))
        maps = [m.float() for m in (one, other, second, self.draw[1](x))]
        return aggregated.float(), maps, x.float().mean((2, 3))

    def read(self, maps: list[Tensor], features: Tensor) -> Prediction:
        """Return the mean places of the maps of all stages, and the spread features imply."""
        sharpness = self.sharpness[[0, 0, 1, 2]]
        shapes = [mean_places(m, s) for m, s in zip(maps, sharpness, strict=True)]
        return self.answer(shapes, features)


class San(CascadeDetector):
    """68 points from heat maps of the face and of its style-aggregated picture."""

    name = SanNetwork.arch
    build = SanNetwork
    paper = "Dong et al., Style Aggregated Network, CVPR 2018 (arXiv 1803.04108)"
