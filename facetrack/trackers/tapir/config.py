"""Configuration of a TAPIR network: widths, depth and options, as plain data."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any

from facetrack.files import parse_json

RESOLUTION = 256
"""Side in pixels of the square picture on which points are initialised. All coordinates within the
network refer to it."""


@dataclass(frozen=True)
class TapirConfig:
    """The shape of a TAPIR network (Doersch et al., "TAPIR: Tracking Any Point with per-frame
    Initialization and temporal Refinement", ICCV 2023, arXiv 2306.08637).

    The defaults are those of the published network. Fields marked "(compact)" are off in it: they
    belong to the compact network, where they make a small network learn fast.

    Attributes:
        stem_channels, stem_kernel: the first convolution, stride 2.
        group_channels, group_blocks, group_strides: residual groups, one entry each.
        hires_group, lowres_group: indices of the groups whose outputs are matched.
        norm_groups: 0 for instance normalisation, else the number of groups of a group norm.
        extra_conv_blocks: residual blocks on the low-resolution map (BootsTAPIR: 5).
        pyramid_level: number of further levels, each pooled from the one before.
        patch_size: side in cells of the correlation patch around a point.
        mixer_width, mixer_blocks: channels and depth of the temporal refinement network.
        mixer_expansion, time_expansion: factors by which its perceptrons and its convolutions over
            time widen the channels inside.
        iterations: refinement steps at each resolution.
        causal: results depend on the past only, so frames can be streamed.
        softmax_temperature: factor on the matching scores before the softmax.
        cost_volume_convs: True if small convolutions read the cost volume (TAPIR), False if the
            cost volumes of both strides are matched directly with learned temperatures (compact).
        feature_update: refinement also updates each point's features.
        centred_strides: (compact) strided convolutions are centred on their output cells.
        top_down: (compact) merge the low-resolution map into the high-resolution one.
        hires_dim, lowres_dim: (compact) channels of the two matched maps after projection;
            0 keeps the groups' own.
        fine_dim: (compact) channels of a third map, of stride 2, that only refinement uses; 0 for
            none.
        motion_inputs: (compact) refinement also receives velocity, local soft-argmaxes, the global
            match and the position predicted from the other points' motion, and may move a point to
            any of these.
        attention_heads: (compact) heads of the attention across points; 0 for none.
        attention_every: (compact) every Nth mixer block attends across points.
        occlusion_patch: (compact) side in pixels, a multiple of 8, of the occlusion head's patches;
            0 for no occlusion head.
    """

    stem_channels: int = 64
    stem_kernel: int = 7
    group_channels: tuple[int, ...] = (64, 128, 256, 256)
    group_blocks: tuple[int, ...] = (2, 2, 2, 2)
    group_strides: tuple[int, ...] = (1, 2, 2, 1)
    hires_group: int = 1
    lowres_group: int = 3
    norm_groups: int = 0
    extra_conv_blocks: int = 0
    pyramid_level: int = 0
    patch_size: int = 7
    mixer_width: int = 512
    mixer_blocks: int = 12
    mixer_expansion: int = 4
    time_expansion: int = 4
    iterations: int = 4
    causal: bool = False
    softmax_temperature: float = 20.0
    cost_volume_convs: bool = True
    feature_update: bool = True
    centred_strides: bool = False
    top_down: bool = False
    hires_dim: int = 0
    lowres_dim: int = 0
    fine_dim: int = 0
    motion_inputs: bool = False
    attention_heads: int = 0
    attention_every: int = 2
    occlusion_patch: int = 0

    def __post_init__(self) -> None:
        lengths = {len(self.group_channels), len(self.group_blocks), len(self.group_strides)}
        if len(lengths) != 1:
            raise ValueError("group_channels, group_blocks and group_strides differ in length")
        if self.motion_inputs and self.feature_update:
            raise ValueError(
                "motion_inputs looks up correlations computed once: feature_update must be off"
            )
        if self.fine_dim and not (self.top_down and self.motion_inputs):
            raise ValueError("fine_dim needs top_down and motion_inputs")
        if self.occlusion_patch and not (self.motion_inputs and self.causal):
            raise ValueError("occlusion_patch needs motion_inputs and causal")
        if self.motion_inputs == self.cost_volume_convs:
            raise ValueError("exactly one of cost_volume_convs and motion_inputs must be on")

    @property
    def hires_channels(self) -> int:
        """Channels of the matched stride-4 map."""
        return self.hires_dim or self.group_channels[self.hires_group]

    @property
    def lowres_channels(self) -> int:
        """Channels of the matched stride-8 map."""
        return self.lowres_dim or self.group_channels[self.lowres_group]

    @property
    def levels(self) -> int:
        """Number of correlation patches per point."""
        return 2 + self.pyramid_level

    def to_json(self) -> str:
        """Return the configuration as JSON text for a checkpoint's metadata."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> TapirConfig:
        """Read a configuration that `to_json` wrote.

        Raises:
            ValueError: a name is unknown, or a size is out of bounds.
        """
        values = parse_json(text)
        if not isinstance(values, dict):
            raise ValueError("a TAPIR configuration must be a JSON object")
        known = {field.name for field in dataclasses.fields(TapirConfig)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown TAPIR options: {', '.join(unknown)}")
        options: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        for name, value in options.items():
            if not _is_possible(name, value):
                raise ValueError(f"no TAPIR network has {name} = {value!r}")
        return dataclasses.replace(TapirConfig(), **options)


def _is_possible(name: str, value: Any) -> bool:
    """Return True if a network may have this value of an option."""
    usual = getattr(TapirConfig, name)
    if isinstance(usual, tuple):
        return isinstance(value, tuple) and all(_is_like(name, usual[0], v) for v in value)
    return _is_like(name, usual, value)


def _is_like(name: str, usual: float, number: Any) -> bool:
    kinds = (int, float) if isinstance(usual, float) else (type(usual),)
    # Zero switches off what is off by default, and is the first group.
    smallest = 1 if usual and type(usual) is int and not name.endswith("_group") else 0
    # Bounds on the layers that are built before they are compared with the weights.
    largest = 64 if name.endswith("_blocks") or name == "iterations" else 4096
    return type(number) in kinds and smallest <= number <= largest


TAPIR_S = TapirConfig(
    stem_channels=32,
    stem_kernel=6,
    group_channels=(56, 96),
    group_blocks=(2, 2),
    group_strides=(2, 2),
    hires_group=0,
    lowres_group=1,
    norm_groups=8,
    pyramid_level=1,
    mixer_width=192,
    mixer_blocks=5,
    mixer_expansion=3,
    time_expansion=1,
    iterations=2,
    causal=True,
    cost_volume_convs=False,
    feature_update=False,
    centred_strides=True,
    top_down=True,
    hires_dim=64,
    lowres_dim=128,
    fine_dim=32,
    motion_inputs=True,
    attention_heads=4,
)
"""The bundled compact network: real-time streaming on two CPU cores."""


Size = tuple[int, int]
"""(height, width) in pixels."""


def refinement_sizes(full: Size) -> list[Size]:
    """Return the resolutions of refinement: from 256 x 256 to the picture's own, log-spaced.

    All sides are multiples of 8.

    >>> refinement_sizes((480, 640))
    [(256, 256), (344, 400), (480, 640)]
    """
    base = RESOLUTION
    ratio = max(full) / base
    count = math.ceil(math.log2(ratio)) + 1 if ratio > 1 else 1
    if count <= 1:
        return [(base, base)]

    def between(side: int, share: float) -> int:
        return max(8, round((base * (side / base) ** share) // 8) * 8)

    shares = [i / (count - 1) for i in range(count)]
    return [(between(full[0], s), between(full[1], s)) for s in shares]
