"""Landmark networks of the least size, for tests of training."""

from __future__ import annotations

from facetrack.detectors.heatmap1d_network import Heatmap1dConfig
from facetrack.detectors.pipnet import PipConfig
from facetrack.detectors.resnet import ResNetConfig
from facetrack.detectors.star_network import StarConfig
from facetrack.landmarks import schemes
from facetrack.training.detectors import networks


def tiny(arch: str, antialiased: bool = False, filtered: bool = False) -> networks.Trainee:
    """A network of the least size that there is of it."""
    scheme, plain = schemes.get("68"), networks.Options()
    if arch == "pipnet":
        # oneDNN ends the process in the gradients of strided 1 x 1 convolutions of fewer than 8
        # channels, last in memory, where AVX2 is all there is.
        backbone = ResNetConfig(stem=8, widths=(8, 8, 8, 16), blocks=(1, 1, 1, 1))
        return networks.Pip(scheme, plain, PipConfig(backbone=backbone))
    if arch == "star":
        config = StarConfig(68, 9, 2, 1, 8, antialiased, filtered)
        return networks.Star(scheme, plain, config)
    if arch == "heatmap1d":
        small = Heatmap1dConfig(
            width=8, stacks=1, levels=1, channels=4, hidden=8,
            antialiased=antialiased, filtered=filtered,
        )  # fmt: skip
        return networks.Heatmap1d(scheme, plain, small)
    return networks.Fan(scheme, plain)
