"""Common base of the networks that regress shapes, and of the detectors that run them.

A network sees the crop of a face's box, starts at the mean shape in it, and moves the points in
stages. It also states how far each point may be off: the scale of a Laplace distribution of the
distance, which is learned as well. The score follows from it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from facetrack.detectors.base import DetectorOptions
from facetrack.detectors.cascades.shapes import ShapeBasis
from facetrack.detectors.crops import SIZE, CropRule, Placement
from facetrack.detectors.neural import NeuralDetector
from facetrack.detectors.scores import EXACT
from facetrack.errors import FacetrackError
from facetrack.files import parse_json
from facetrack.landmarks import schemes
from facetrack.runtime.transfers import download
from facetrack.weights import state_dict

CROP = CropRule.around_landmarks(1.5)
"""The crop: 1.5 sides of the HOG box, around the middle of LANDMARK_BOX."""
SIDE = 112
"""Side of the networks' pictures in pixels: that of the Deep Alignment Network."""
MOST_WIDTH, MOST_POINTS, MOST_COMPONENTS = 512, 200, 400
"""Largest sizes that a file may ask for."""


class Prediction(NamedTuple):
    """What a network answers, in units of half the crop.

    Attributes:
        shapes: (T, B, N, 2) places after each of T stages; the last are the answer.
        spread: (B, N) logarithm of the Laplace scale of the answer's distances from the truth.
    """

    shapes: Tensor
    spread: Tensor


class ShapeConfig(NamedTuple):
    """The size of a network, as its weights file records it.

    Attributes:
        points: number of landmarks N.
        components: number of shape components K; see `ShapeBasis`.
        width: channels of the widest layers, and a factor of all others.
    """

    points: int = 68
    components: int = 60
    width: int = 64

    @staticmethod
    def read(text: str) -> ShapeConfig:
        """Read a configuration from JSON.

        Raises:
            ValueError: it is not one.
        """
        content = parse_json(text)
        if not isinstance(content, dict) or content.keys() != set(ShapeConfig._fields):
            raise ValueError("its configuration has other keys")
        values = [content[name] for name in ShapeConfig._fields]
        limits = (MOST_POINTS, MOST_COMPONENTS, MOST_WIDTH)
        for value, most in zip(values, limits, strict=True):
            if type(value) is not int or not 1 <= value <= most:
                raise ValueError("its configuration is out of range")
        if values[2] % 8:
            raise ValueError("its width is not a multiple of 8")
        return ShapeConfig(*values)


class ShapeNetwork(nn.Module):
    """A network from pictures (B, 3, SIDE, SIDE), RGB in [-1, 1], to a `Prediction`.

    Attributes:
        arch: the detector's name.
        config: the size.
        basis: mean shape and shape components.
        uncertainty: the layer from features of the face to the spread of each landmark.
    """

    arch: ClassVar[str]

    def __init__(self, config: ShapeConfig, features: int = 0) -> None:
        """
        Args:
            config: the size.
            features: number of features from which the spread follows; each network has its own.
        """
        super().__init__()
        self.config = config
        self.basis = ShapeBasis(config.points, config.components)
        self.uncertainty = nn.Linear(features, config.points)
        nn.init.zeros_(self.uncertainty.weight)
        nn.init.constant_(self.uncertainty.bias, -3.0)

    @abstractmethod
    def forward(self, pictures: Tensor) -> Prediction:
        """Place the landmarks; see the class."""

    @property
    @abstractmethod
    def last_convolution(self) -> nn.Module | None:
        """The layer whose output (B, C, h, w) is the highest-level map of features, if any."""

    def answer(self, shapes: list[Tensor], features: Tensor) -> Prediction:
        """Join the shapes (B, N, 2) of the stages, and the spread that features (B, F) imply."""
        # The spread is a reader of features: it does not shape them.
        return Prediction(torch.stack(shapes), self.uncertainty(features.detach()).float())


def small_start(layer: nn.Linear) -> nn.Linear:
    """Make the last layer of a stage begin near no movement, so that the mean shape is kept."""
    nn.init.normal_(layer.weight, std=0.1 / layer.in_features**0.5)
    nn.init.zeros_(layer.bias)
    return layer


def convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Return a padded convolution, batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class CascadeDetector(NeuralDetector):
    """A detector of the landmarks of one face in its box, by a network that regresses shapes.

    One view of each face is taken, that of the given box, so the effect of the box shows. The
    score of a landmark is the probability that it is within EXACT of its true place, under the
    Laplace distribution that the network states.

    Subclasses name the network.
    """

    build: ClassVar[type[ShapeNetwork]]
    layout: ClassVar[str] = ""
    """The point layout; none where it follows from the number of points."""
    rule: CropRule

    def __init__(self, options: DetectorOptions | None = None) -> None:
        """
        Args:
            options: `flip` has no effect.

        Raises:
            FacetrackError: the weights are missing, or they are not those of this network.
        """
        from facetrack.weights import resolve

        options = options or DetectorOptions()
        found = resolve(self.name, options.weights)
        state, metadata = state_dict.read_weights(found.path)
        config = config_of(self.name, metadata, found.path)
        kind = f"a checkpoint of {self.name}"
        network = state_dict.build(lambda: self.build(config), state, found.path, kind)
        scheme = schemes.get(self.layout) if self.layout else schemes.for_count(config.points)
        if scheme.count != config.points:
            raise FacetrackError(f"{found.path} is not {kind}: it places {config.points} points.")
        rule = CropRule.read(metadata, found.path) or CROP
        super().__init__(network, scheme.name, options, found, rule, metadata)
        if self.aligned is not None:
            raise FacetrackError(f"{found.path} is not {kind}: it has aligned crops.")
        self.num_views = 1
        self._corners = scheme.eye_corners

    def crop_box(self, box: np.ndarray) -> np.ndarray:
        """Return the square crop of the network; see `NeuralDetector.crop_box`."""
        return self.rule.square(box)

    def crop(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, Placement] | None:
        """Cut out the box, black outside the image; see `NeuralDetector.crop`.

        The crop unit is the crop's pixel (pixel centres).
        """
        return self.rule.cut(image, box)

    def prepare(self, crops: np.ndarray) -> Tensor:
        """Convert crops (M, 256, 256, 3) RGB uint8 to (M, 3, SIDE, SIDE) in [-1, 1]."""
        small = [cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for crop in crops]
        pictures = torch.from_numpy(np.stack(small)).to(self.device).permute(0, 3, 1, 2)
        return pictures.float() / 127.5 - 1

    def decode(self, output: Prediction) -> tuple[np.ndarray, np.ndarray]:
        """Decode a prediction to landmarks (M, N, 2) in crop pixels and scores (M, N)."""
        places = output.shapes[-1]
        xy = ((places + 1) * SIZE - 1) / 2
        landmarks, scores = download(xy, score(places, output.spread, self._corners))
        return landmarks, scores

    def details(self) -> dict[str, Any]:
        """Return the network's size."""
        return {"components": self.network.config.components, "width": self.network.config.width}


def config_of(arch: str, metadata: Mapping[str, str], path: Path) -> ShapeConfig:
    """Read a network's configuration from the metadata of its safetensors file.

    Raises:
        FacetrackError: the configuration is missing, invalid or of another network.
    """
    kind = f"a checkpoint of {arch}"
    if metadata.get("arch") != arch or "config" not in metadata:
        raise FacetrackError(f"{path} is not {kind}: its metadata do not say so.")
    try:
        return ShapeConfig.read(metadata["config"])
    except ValueError as error:
        raise FacetrackError(f"{path} is not {kind}: {error}.") from error


def score(places: Tensor, spread: Tensor, corners: tuple[int, int] | None) -> Tensor:
    """Return the probability (B, N) that each landmark is within EXACT of its true place.

    The distances r of an isotropic Laplace distribution in the plane have the density
    r exp(-r / b) / b^2.

    Args:
        places: (B, N, 2).
        spread: (B, N) log b, in the same unit.
        corners: landmarks whose distance is the unit of EXACT; None for the diagonal of the points'
            box, which is about twice that of a face's outer eye corners.
    """
    if corners is None:
        unit = (places.amax(1) - places.amin(1)).norm(dim=-1) / 2
    else:
        unit = (places[:, corners[0]] - places[:, corners[1]]).norm(dim=-1)
    t = EXACT * unit[:, None] / spread.clamp(-8, 3).exp()
    return 1 - (1 + t) * torch.exp(-t)
