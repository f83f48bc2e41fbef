"""PIPNet: pixel-in-pixel regression, in which each landmark is also predicted by its neighbours.

Jin, Liao and Shao, Pixel-in-Pixel Net: Towards Efficient Facial Landmark Detection in the Wild,
IJCV 2021 (arXiv 2003.03771). Official checkpoints with a ResNet load unchanged: 68 points
(300-W), 98 (WFLW), 29 (COFW), 19 (AFLW) and 106 (LaPa).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from facetrack.detectors import pipnet_meanface
from facetrack.detectors.base import DetectorOptions
from facetrack.detectors.crops import SIZE, CropRule, Placement, relative_box
from facetrack.detectors.neural import NeuralDetector
from facetrack.detectors.resnet import ResNet, ResNetConfig, recognise
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.runtime.transfers import constant, download
from facetrack.weights import resolve, state_dict

CHECKPOINT_KIND = "a PIPNet checkpoint with a ResNet"

PADDING = (1.2 - 1) / 2
"""Fraction by which upstream's demonstration enlarges its face detector's box at the left, right
and bottom, and by which it moves the top down. The expression is upstream's: in double precision it
is just below 0.1, so the padding of a box 100 pixels wide is 9 pixels, not 10."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PipMaps(NamedTuple):
    """The network's output for M crops, on a grid of H x W cells.

    Attributes:
        score: (M, N, H, W) score of each landmark in each cell; about 0 to 1, unbounded.
        x, y: (M, N, H, W) the landmark's offset from the cell's top-left corner, in sides of a
            cell; unbounded.
        near_x, near_y: (M, N * K, H, W) the offsets of its K nearest neighbours from the same
            cell; entry landmark * K + rank.
    """

    score: Tensor
    x: Tensor
    y: Tensor
    near_x: Tensor
    near_y: Tensor


@dataclass(frozen=True)
class PipConfig:
    """Configuration of a PIPNet: landmarks N, neighbours K of each, and the backbone."""

    points: int = 68
    neighbours: int = 10
    backbone: ResNetConfig = field(default_factory=ResNetConfig)


class PipNetwork(ResNet):
    """A ResNet and five 1 x 1 convolutions, with upstream's parameter names."""

    def __init__(self, config: PipConfig) -> None:
        super().__init__(config.backbone)
        channels, points = config.backbone.channels, config.points
        self.config = config
        self.cls_layer = nn.Conv2d(channels, points, 1)
        self.x_layer = nn.Conv2d(channels, points, 1)
        self.y_layer = nn.Conv2d(channels, points, 1)
        self.nb_x_layer = nn.Conv2d(channels, points * config.neighbours, 1)
        self.nb_y_layer = nn.Conv2d(channels, points * config.neighbours, 1)

    def forward(self, x: Tensor) -> PipMaps:
        """Map ImageNet-normalised RGB images (M, 3, 256, 256) to maps of 8 x 8 cells."""
        features = self.features(x)
        return PipMaps(
            self.cls_layer(features),
            self.x_layer(features),
            self.y_layer(features),
            self.nb_x_layer(features),
            self.nb_y_layer(features),
        )


def config_of(state: Mapping[str, Tensor], path: Path) -> PipConfig:
    """Infer the configuration of the PIPNet in a state_dict from its names and shapes.

    Raises:
        FacetrackError: the state_dict is not that of a PIPNet with a ResNet.
    """
    try:
        points = state["cls_layer.weight"].shape[0]
        near = state["nb_x_layer.weight"].shape[0]
        backbone = recognise(state)
    except (KeyError, IndexError, ValueError) as error:
        raise FacetrackError(
            f"{path} is not {CHECKPOINT_KIND}: it lacks cls_layer, nb_x_layer or the backbone's "
            "layers."
        ) from error
    if not points or not near or near % points:
        raise FacetrackError(
            f"{path} is not {CHECKPOINT_KIND}: it has {near} neighbours of {points} points."
        )
    return PipConfig(points, near // points, backbone)


class PipNet(NeuralDetector):
    """68, 98, 29, 19 or 106 points from one pass of a ResNet over a face of 256 x 256 pixels.

    The score is the network's score of the chosen cell, clipped to [0, 1]. The network was trained
    with a squared error to give 1 in the landmark's cell and 0 elsewhere, so the score needs no
    sigmoid. It is not a calibrated probability.

    Upstream truncates points to whole pixels; here they keep their fractions and are otherwise
    equal. Upstream's training truncated 300-W's points, which count from 1, and used them in crops
    that count from 0. Points of official weights are therefore about half a pixel too far right and
    down.
    """

    name = "pipnet"
    paper = "Jin et al., Pixel-in-Pixel Net, IJCV 2021 (arXiv 2003.03771)"

    def __init__(self, options: DetectorOptions | None = None) -> None:
        """
        Raises:
            FacetrackError: the weights are missing or not those of a PIPNet, or the mean face is
                missing.
        """
        options = options or DetectorOptions()
        found = resolve("pipnet", options.weights)
        state, metadata = state_dict.read_weights(found.path)
        config = config_of(state, found.path)
        network = state_dict.build(lambda: PipNetwork(config), state, found.path, CHECKPOINT_KIND)
        network.fold_norms()
        scheme = schemes.for_count(config.points).name
        rule = CropRule.read(metadata, found.path)
        super().__init__(network, scheme, options, found, rule, metadata)
        self.face_name, face = pipnet_meanface.choose(found, metadata, config.points)
        self._crop = pipnet_meanface.crop_of(face)
        near = pipnet_meanface.neighbours(face, config.neighbours)
        predictors, rank = pipnet_meanface.predictors(near)
        self._predictors, self._rank = torch.from_numpy(predictors), torch.from_numpy(rank)
        self._config = config

    def crop_box(self, box: np.ndarray) -> np.ndarray:
        """Return the box that upstream's demonstration would pad to the training crop.

        Measured: the places of eyes, mouth and chin of annotated faces in dlib's HOG box
        (`pipnet_meanface.ANCHORS`). Published: their mean places in the network's training crops,
        the mean face. The box aligns the two. For 300-W it agrees with the published rule, the
        landmarks' box times 1.1. Assumed: the anchors of mean faces with other markups lie in the
        same places of the face.

        Weights trained here store their own crop rule instead.
        """
        if self.rule:
            return self.rule.square(box)
        x0, y0, x1, y1 = relative_box(box, self._crop)
        width, height = (x1 - x0) / (1 + 2 * PADDING), y1 - y0
        x0, y0 = x0 + PADDING * width, y0 - PADDING * height
        return np.array([x0, y0, x0 + width, y0 + height])

    def crop(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, Placement] | None:
        """Cut out upstream's padded box, stretched to 256 x 256; see `NeuralDetector.crop`.

        The crop unit is the crop's side: (0, 0) is its top-left and (1, 1) its bottom-right corner.
        """
        if self.rule:
            cut = self.rule.cut(image, box)
            if cut is None:
                return None
            crop, (step, origin) = cut
            return crop, Placement(step * SIZE, origin - step / 2)
        x0, y0, x1, y1 = (int(v) for v in np.rint(box))
        height, width = image.shape[:2]
        right, down = int((x1 - x0) * PADDING), int((y1 - y0) * PADDING)
        left, top = max(x0 - right, 0), max(y0 + down, 0)
        # As upstream, the last column and row are left out of the crop but count when mapping back.
        # This shifts points by less than a pixel.
        last_x, last_y = min(x1 - 1 + right, width - 1), min(y1 - 1 + down, height - 1)
        if last_x <= left or last_y <= top:
            return None
        crop = cv2.resize(image[top:last_y, left:last_x], (SIZE, SIZE))
        scale = np.array([last_x - left + 1, last_y - top + 1], float)
        return crop, Placement(scale, np.array([left, top], float))

    def prepare(self, crops: np.ndarray) -> Tensor:
        """Convert crops (M, 256, 256, 3) RGB uint8 to float32 with ImageNet's normalisation."""
        x = torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2).float().div_(255)
        mean, std = (constant(tuple(v), x).view(3, 1, 1) for v in (MEAN, STD))
        return x.sub_(mean).div_(std)

    def decode(self, output: PipMaps) -> tuple[np.ndarray, np.ndarray]:
        """Decode maps to landmarks (M, N, 2) in crop sides and scores (M, N) in [0, 1].

        Each landmark's best cell predicts the landmark and its neighbours. A landmark's position is
        the mean of its own prediction and those of all landmarks that have it as a neighbour.
        """
        maps = PipMaps(*map(torch.from_numpy, download(*output)))
        count, points, rows, columns = maps.score.shape
        score, cell = maps.score.flatten(2).max(-1)
        row, column = cell // columns, cell % columns

        def at_cell(values: Tensor) -> Tensor:
            """Read maps (M, N * K, H, W) at the best cells, (M, N, K)."""
            values = values.reshape(count, points, -1, rows * columns)
            index = cell[:, :, None, None].expand(-1, -1, values.shape[2], 1)
            return values.gather(3, index).squeeze(3)

        places = []
        for own, near, start, cells in (
            (maps.x, maps.near_x, column, columns),
            (maps.y, maps.near_y, row, rows),
        ):
            direct = (at_cell(own).squeeze(2) + start) / cells
            indirect = ((at_cell(near) + start[..., None]) / cells)[:, self._predictors, self._rank]
            mean = torch.cat([direct[..., None], indirect], -1).mean(-1)
            # A landmark that is no other's neighbour has only its own prediction.
            places.append(torch.where((self._predictors[:, 0] < 0), direct, mean))
        xy = torch.stack(places, -1)
        return xy.numpy(), score.clamp(0, 1).numpy()

    def details(self) -> dict[str, Any]:
        """Return the names of the backbone and of the mean face that defines the neighbours."""
        return {"backbone": self._config.backbone.name, "mean_face": self.face_name}
