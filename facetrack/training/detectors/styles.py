"""Pictures of faces in the styles of the Style Aggregated Network, by filters, and their mean.

Dong, Yan, Ouyang and Yang, "Style Aggregated Network for Facial Landmark Detection", CVPR 2018
(arXiv 1803.04108). There the styles are those of an image editor, and a CycleGAN learns to turn a
picture of any style into the others. Here filters turn the original into them, so the mean over
the styles, the aggregated picture, is known for each training picture, and a generator learns it
from the picture in any of the styles. All pictures are (B, 3, H, W), RGB in [0, 1].
"""

from __future__ import annotations

from torch import Tensor

from facetrack.training import degrade

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601)."""
GAMMA = 0.45
"""Exponent of the light style."""
LINE, GRAIN = 1 / 28, 1 / 160
"""Standard deviations of the blur against which a sketch is drawn, and of the blur that removes a
camera's noise first; in sides of the picture."""
MIDDLE, CONTRAST = 0.45, 0.2
"""Mean and standard deviation of an evenly exposed face's grey."""


def luma(pictures: Tensor) -> Tensor:
    """Return the grey of pictures, (B, 1, H, W)."""
    red, green, blue = pictures.split(1, 1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def grey(pictures: Tensor) -> Tensor:
    """Remove the colours."""
    return luma(pictures).expand_as(pictures)


def light(pictures: Tensor) -> Tensor:
    """Brighten the pictures, the shadows most."""
    return pictures.clamp_min(1e-4) ** GAMMA


def sketch(pictures: Tensor) -> Tensor:
    """Draw dark lines on white: grey divided by the blurred grey ("colour dodge")."""
    side = pictures.shape[-1]
    plain = degrade.blur(luma(pictures), GRAIN * side)
    smooth = degrade.blur(plain, LINE * side)
    return (((plain + 0.02) / (smooth + 0.02)).clamp_max(1) ** 2).expand_as(pictures)


def expose(pictures: Tensor) -> Tensor:
    """Give the middle of each picture, where the face is, the same mean and contrast.

    This takes the place of what the paper's network learns: that a dark or pale picture is one of a
    style, too.
    """
    height, width = pictures.shape[-2:]
    inside = luma(pictures[..., height // 4 : -(height // 4), width // 4 : -(width // 4)])
    mean = inside.mean((1, 2, 3), keepdim=True)
    spread = inside.std((1, 2, 3), keepdim=True).clamp_min(0.02)
    return ((pictures - mean) * (CONTRAST / spread) + MIDDLE).clamp(0, 1)


STYLES = (light, grey, sketch)
"""The styles beside the original."""


def aggregate(pictures: Tensor) -> Tensor:
    """Return the mean over the styles of evenly exposed pictures."""
    even = expose(pictures)
    return sum((style(even) for style in STYLES), even) / (1 + len(STYLES))


def vary(pictures: Tensor) -> Tensor:
    """Redraw every other picture in one of the styles, each in turn."""
    varied = pictures.clone()
    for number, style in enumerate(STYLES):
        part = slice(2 * number + 1, None, 2 * len(STYLES))
        varied[part] = style(pictures[part])
    return varied
