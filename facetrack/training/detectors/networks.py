"""What each landmark network adds to the loop: its size, its input, its loss, its metadata.

The sizes are for two CPU cores; `Options` makes them larger.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facetrack.detectors import (
    alignment,
    fan,
    heatmap1d,
    pipnet,
    pipnet_meanface,
    scores,
    shape_correction,
    star,
)
from facetrack.detectors.cascades import base as cascades
from facetrack.detectors.crops import SIZE, CropRule
from facetrack.detectors.heatmap1d import CROP
from facetrack.detectors.heatmap1d_maps import Marginals
from facetrack.detectors.heatmap1d_maps import draw as draw_marginals
from facetrack.detectors.heatmap1d_network import Heatmap1dConfig, Heatmap1dNetwork
from facetrack.detectors.hourglass import signed_bgr
from facetrack.detectors.pipnet import MEAN, STD, PipConfig, PipNetwork
from facetrack.detectors.star import HALVED
from facetrack.detectors.star_network import StarConfig, StarNetwork
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.training.detectors import losses, targets
from facetrack.training.detectors.cascades import CASCADES
from facetrack.training.detectors.trainee import Options, Parts, Trainee
from facetrack.weights.state_dict import read_weights

SIGMA = 1.5
"""Standard deviation in cells of the Gaussians on maps of 64 x 64 cells."""
TRUNK, FIRST = "features.", "pre.0.conv.weight"
"""Where the 1D-heatmap network has its hourglasses, and their first layer."""


class Pip(Trainee):
    """PIPNet with a ResNet-18."""

    arch = "pipnet"
    network: PipNetwork

    def __init__(
        self, scheme: schemes.Scheme, options: Options, config: PipConfig | None = None
    ) -> None:
        super().__init__(scheme, options)
        self.network = PipNetwork(config or PipConfig(points=scheme.count))
        self.face: Tensor | None = None
        self.mean, self.std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))

    def begin(self, points: Tensor) -> None:
        """Take the mean face, which says who is whose neighbour."""
        self.face = ((points + 0.5) / SIZE).mean(0).cpu()
        if text := self.inherited.get("meanface"):
            self.face = torch.tensor([float(v) for v in text.split()]).view(-1, 2)
        near = pipnet_meanface.neighbours(self.face.numpy(), self.network.config.neighbours)
        self.near = torch.from_numpy(near).to(points.device)

    def prepare(self, pictures: Tensor) -> Tensor:
        return (pictures - self.mean.to(pictures.device)) / self.std.to(pictures.device)

    @property
    def features(self) -> nn.Module:
        return self.network.layer4

    def loss(self, output: Any, points: Tensor, labelled: Tensor) -> tuple[Tensor, Parts]:
        maps = type(output)(*(m.float() for m in output))
        return losses.pip_loss(maps, (points + 0.5) / SIZE, self.near, labelled)

    def metadata(self) -> dict[str, str]:
        assert self.face is not None
        numbers = " ".join(f"{v:.6f}" for v in self.face.flatten().tolist())
        return {**super().metadata(), "meanface": numbers}


class Fan(Trainee):
    """The face-alignment package's FAN, with one hourglass unless told otherwise."""

    arch = "fan"
    rule = CROP
    network: Any  # the package says nothing of its type

    def __init__(self, scheme: schemes.Scheme, options: Options) -> None:
        from face_alignment.models import FAN

        super().__init__(scheme, options)
        if scheme.name != "68":
            raise FacetrackError(f"The FAN places 68 points, not {scheme.name}.")
        if options.width:
            raise FacetrackError("The FAN has 256 channels and no other width.")
        if options.antialiased or options.filtered:
            raise FacetrackError("The FAN's hourglass has no options; star's and heatmap1d's have.")
        self.network = FAN(options.stacks or 1)

    def prepare(self, pictures: Tensor) -> Tensor:
        return pictures

    @property
    def features(self) -> nn.Module:
        last = self.network.num_modules - 1
        layer: nn.Module = self.network.get_submodule(f"bn_end{last}")
        return layer

    def loss(self, output: Any, points: Tensor, labelled: Tensor) -> tuple[Tensor, Parts]:
        cells = (points + 0.5) * (output[-1].shape[-1] / SIZE) - 0.5
        wanted = targets.point_maps(cells, output[-1].shape[-1], SIGMA)
        distance = losses.adaptive_wing if self.options.heatmap_loss == "awing" else losses.squared
        weight = self.close(points) * labelled
        each = [losses.mean(distance(maps.float(), wanted), weight) for maps in output]
        return torch.stack(each).sum(), {f"stack{i}": losses.number(v) for i, v in enumerate(each)}

    def config(self) -> str:
        return json.dumps({"stacks": self.network.num_modules})


class Star(Trainee):
    """STAR's network with two hourglasses of 128 channels, where four of 256 are published."""

    arch = "star"
    rule = CROP
    network: StarNetwork
    WEIGHTS = (1.0, 10.0, 10.0)
    """Of the STAR loss, the point maps and the edge maps: upstream's."""

    def __init__(
        self, scheme: schemes.Scheme, options: Options, config: StarConfig | None = None
    ) -> None:
        super().__init__(scheme, options)
        config = config or StarConfig(
            points=scheme.count,
            edges=len(scheme.lines),
            stacks=options.stacks or 2,
            width=options.width or 128,
            antialiased=options.antialiased,
            filtered=options.filtered,
        )
        self.network = StarNetwork(config)
        on, alone = targets.membership(scheme)
        lines = {"weight": on[..., None, None], "bias": alone}
        self.network.e2h_transform.load_state_dict(lines)

    def prepare(self, pictures: Tensor) -> Tensor:
        return signed_bgr(pictures)

    def adopt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """A 1D-heatmap network's hourglasses are STAR's."""
        inner = {k.removeprefix(TRUNK): v for k, v in weights.items() if k.startswith(TRUNK)}
        return inner if FIRST in inner else weights

    def run(self, batch: Tensor) -> Any:
        return list(self.network.stacks(batch))

    @property
    def features(self) -> nn.Module:
        return self.network.features[-1]

    def loss(self, output: Any, points: Tensor, labelled: Tensor) -> tuple[Tensor, Parts]:
        size = output[-1].fusion.shape[-1]
        # Upstream's scale, which its decoding expects; see `detectors.star`.
        truth = (2 * points + 1) / SIZE - 1
        cells = (truth + 1) / 2 * (size - 1)
        wanted = targets.point_maps(cells, size, SIGMA)
        lines = targets.line_maps(cells, self.scheme, size, SIGMA)
        weight = self.close(points) * labelled
        # A line is known where all its landmarks are.
        on, _ = targets.membership(self.scheme)
        unknown = (1 - labelled) @ (on.to(labelled) > 0).float()
        everywhere = (unknown == 0).float()
        total, parts = points.new_zeros(()), {}
        for i, maps in enumerate(output):
            each = (
                losses.star_loss(maps.fusion.float(), truth, weight),
                losses.mean(losses.adaptive_wing(maps.point.float(), wanted), weight),
                losses.mean(losses.adaptive_wing(maps.edge.float(), lines), everywhere),
            )
            share = 2.0 ** (i + 1 - len(output))
            for factor, value in zip(self.WEIGHTS, each, strict=True):
                total = total + share * factor * value
            parts = dict(zip(("star", "point", "edge"), map(losses.number, each), strict=True))
        return total, parts

    def config(self) -> str:
        config = self.network.config
        return json.dumps({"stacks": config.stacks, "levels": config.levels, "width": config.width})

    def metadata(self) -> dict[str, str]:
        antialiased = self.network.config.antialiased
        return {**super().metadata(), **({"antialiased": "true"} if antialiased else {})}


class Heatmap1d(Trainee):
    """The attentive 1D-heatmap network, with one hourglass unless told otherwise."""

    arch = "heatmap1d"
    resizable = False  # attention has weights for each place
    network: Heatmap1dNetwork
    rule = CROP

    def __init__(
        self, scheme: schemes.Scheme, options: Options, config: Heatmap1dConfig | None = None
    ) -> None:
        super().__init__(scheme, options)
        try:
            config = config or Heatmap1dConfig(
                points=scheme.count,
                stacks=options.stacks or 1,
                width=options.width or 96,
                channels=32,
                antialiased=options.antialiased,
                filtered=options.filtered,
            )
        except ValueError as error:
            raise FacetrackError(f"This 1D-heatmap network cannot be: {error}.") from error
        self.network = Heatmap1dNetwork(config)

    def prepare(self, pictures: Tensor) -> Tensor:
        return signed_bgr(pictures)

    def adopt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """STAR's hourglasses are this network's, but for two channels that later ones see more."""
        if FIRST not in weights:
            return weights
        fits = self.network.features.state_dict()
        return {
            TRUNK + k: v[:, : fits[k].shape[1]] if k.endswith("coordconv.conv.weight") else v
            for k, v in weights.items()
            if k in fits
        }

    @property
    def features(self) -> nn.Module:
        return self.network.features

    def loss(self, output: Any, points: Tensor, labelled: Tensor) -> tuple[Tensor, Parts]:
        config = self.network.config
        wanted = draw_marginals(points, config.length, config.sigma)
        drawn = Marginals(output.x.float(), output.y.float())
        return losses.marginal_loss(drawn, wanted, self.close(points) * labelled), {}

    def config(self) -> str:
        return self.network.config.to_json()


INHERITED = ("meanface", alignment.KEY, HALVED, scores.KEY, shape_correction.KEY)
"""Metadata that an adapted network keeps."""

TRAINEES: dict[str, type[Trainee]] = {t.arch: t for t in (Pip, Fan, Star, Heatmap1d)}
TRAINEES.update(CASCADES)


def make(arch: str, scheme: str, options: Options) -> Trainee:
    """The network of that name, untrained.

    Raises:
        FacetrackError: there is none, or it cannot be as `options` say.
    """
    if options.heatmap_loss not in ("awing", "mse"):
        raise FacetrackError(f"There is no heat-map loss {options.heatmap_loss!r}: awing or mse.")
    if options.width % 4 or not 0 <= options.width <= 1024 or not 0 <= options.stacks <= 16:
        raise FacetrackError("A network needs up to 16 stacks of up to 1024 channels, by fours.")
    if arch == "pipnet" and options != Options(heatmap_loss=options.heatmap_loss):
        raise FacetrackError("PIPNet has no hourglass: there are no stacks or width to choose.")
    if arch not in TRAINEES:
        raise FacetrackError(f"There is no network {arch!r} to train: {', '.join(TRAINEES)}, ert.")
    return TRAINEES[arch](schemes.get(scheme), options)


def restore(path: Path, scheme: str, options: Options | None = None) -> Trainee:
    """Make a network of the size that the weights in a file have; its weights are random.

    Args:
        path: weights that facetrack has trained.
        scheme: the point layout of the faces to learn from.
        options: what does not belong to the size.

    Raises:
        FacetrackError: the file holds no such network, or it places other points.
    """
    state, metadata = read_weights(path)
    arch = metadata.get("arch")
    if arch not in TRAINEES:
        raise FacetrackError(f"{path} holds no landmark network that facetrack has trained.")
    layout, options = schemes.get(scheme), options or Options()
    made: Trainee
    if arch == "pipnet":
        made = Pip(layout, options, pipnet.config_of(state, path))
    elif arch == "fan":
        made = Fan(layout, replace(options, stacks=fan.stacks_of(state, path)))
    elif arch == "star":
        made = Star(layout, options, star.config_of(state, metadata, path))
    elif arch == "heatmap1d":
        made = Heatmap1d(layout, options, heatmap1d.config_of(metadata, path))
    else:
        width = cascades.config_of(arch, metadata, path).width
        made = TRAINEES[arch](layout, replace(options, width=width))
    placed = metadata.get("scheme", scheme)
    if placed not in (scheme, "5"):
        raise FacetrackError(f"{path} places {placed} points, not {scheme}.")
    made.rule = CropRule.read(metadata, path) or made.rule
    made.inherited = {key: metadata[key] for key in INHERITED if key in metadata}
    return made
