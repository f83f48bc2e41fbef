"""What a TAPIR network is made of: widths, depth and options, as plain data."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

RESOLUTION = 256
"""Side in pixels of the square picture in which points are initialised and coordinates are kept."""


@dataclass(frozen=True)
class TapirConfig:
    """The shape of a TAPIR network (Doersch et al., "TAPIR: Tracking Any Point with per-frame
    Initialization and temporal Refinement", ICCV 2023, arXiv 2306.08637).

    The defaults are the published network. The fields under "compact" are ours: they make a small
    network learn fast, and are off in the published one.

    Attributes:
        stem_channels, stem_kernel: the first convolution, stride 2.
        group_channels, group_blocks, group_strides: residual groups, one entry each.
        hires_group, lowres_group: the groups whose outputs are matched.
        norm_groups: 0 for instance normalisation, else the number of groups of a group norm.
        extra_conv_blocks: residual blocks on the low-resolution map (BootsTAPIR: 5).
        pyramid_level: how many times the low-resolution map is pooled for further levels.
        patch_size: side in cells of the correlation patch around a point.
        mixer_width, mixer_blocks: the temporal refinement network.
        mixer_expansion, time_expansion: how much wider its perceptrons and its convolutions over
            time are within.
        iterations: refinement steps at each resolution.
        causal: a frame sees the past only, so that frames can be streamed.
        softmax_temperature: factor on the matching scores before the softmax.
        cost_volume_convs: whether small convolutions read the cost volume (TAPIR), or the cost
            volumes of both strides are matched directly with learned temperatures (compact).
        feature_update: whether refinement also updates each point's features.
        centred_strides: (compact) strided convolutions sit on the centres of their cells.
        top_down: (compact) merge the low-resolution map into the high-resolution one.
        hires_dim, lowres_dim: (compact) channels of the two matched maps after projection;
            0 keeps the groups' own.
        fine_dim: (compact) channels of a third map, of stride 2, that refinement alone looks at;
            0 for none.
        motion_inputs: (compact) refinement sees velocity, local soft-argmaxes, the global match
            and where the other points' motion puts the point, and may move it to any of them.
        attention_heads: (compact) heads of the attention across points; 0 for none.
        attention_every: (compact) a mixer block out of so many attends across points.
        occlusion_patch: (compact) side in pixels, a multiple of 8, of the patches by which doubtful
            points are looked at again; 0 for no such look.
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
                "motion_inputs looks correlations up in maps made once: feature_update must be off"
            )
        if self.fine_dim and not (self.top_down and self.motion_inputs):
            raise ValueError("fine_dim needs top_down and motion_inputs")
        if self.occlusion_patch and not (self.motion_inputs and self.causal):
            raise ValueError("occlusion_patch needs motion_inputs and causal")
        if self.motion_inputs == self.cost_volume_convs:
            raise ValueError("exactly one of cost_volume_convs and motion_inputs must be on")

    @property
    def hires_channels(self) -> int:
        """Channels of the stride-4 map that is matched."""
        return self.hires_dim or self.group_channels[self.hires_group]

    @property
    def lowres_channels(self) -> int:
        """Channels of the stride-8 map that is matched."""
        return self.lowres_dim or self.group_channels[self.lowres_group]

    @property
    def levels(self) -> int:
        """Number of correlation patches a point has."""
        return 2 + self.pyramid_level

    def to_json(self) -> str:
        """As text for a checkpoint's metadata."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> TapirConfig:
        """Read what `to_json` wrote; unknown names, and sizes that no network has, raise
        ValueError."""
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("a TAPIR configuration must be a JSON object")
        known = {field.name for field in dataclasses.fields(TapirConfig)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown TAPIR options: {', '.join(unknown)}")
        tuples: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        for name, value in tuples.items():
            for one in value if isinstance(value, tuple) else (value,):
                # Bounds on what a file may make us build before its weights are looked at.
                largest = 64 if name.endswith("_blocks") or name == "iterations" else 4096
                if not isinstance(one, int | float) or not 0 <= one <= largest:
                    raise ValueError(f"a TAPIR network with {name} = {value!r}")
        return dataclasses.replace(TapirConfig(), **tuples)


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
    iterations=3,
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
"""The compact network that is shipped: real-time streaming on two CPU cores."""
