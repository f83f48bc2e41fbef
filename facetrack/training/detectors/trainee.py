"""What a landmark network adds to the training loop: the interface of `networks` and `cascades`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from facetrack.detectors.crops import KEY, SIZE, CropRule
from facetrack.landmarks import schemes
from facetrack.training.detectors.augment import Augmentation

SIDE = 1.4
"""Sides of the HOG box that our own crops are wide: holds all landmarks of 95 in 100 faces in the
boxes that dlib gives, of 99 at 1.46 (253 annotated faces of the 300-W training sets)."""
MARGIN = 2.0
"""Pixels beyond the crop's edge up to which a landmark is asked of a map."""

Parts = dict[str, float]


@dataclass(frozen=True)
class Options:
    """What may be chosen of a network; 0 takes the architecture's own compact size.

    Attributes:
        stacks, width: hourglasses in a row, and their channels.
        heatmap_loss: of fan, "awing" or "mse".
        antialiased, filtered: hourglass options of star and heatmap1d (`StackedHourglass`).
    """

    stacks: int = 0
    width: int = 0
    heatmap_loss: str = "awing"
    antialiased: bool = False
    filtered: bool = False


class Trainee(ABC):
    """A network in training.

    Attributes:
        arch: the detector's name.
        rule: the square that it looks at.
        network: takes what `prepare` gives.
        scheme: the point layout.
        resizable: whether the network and its loss take pictures of any side, as maps do.
        has_maps: whether `features` gives maps.
        side: of its pictures in pixels.
        from_box: whether it always sees the face's box, never aligned crops.
        ranges: how far crops go from what an exact face box gives; None for the usual.
        inherited: metadata of the weights that the network was restored from, to be kept.
    """

    arch: str
    resizable = True
    has_maps = True
    side = SIZE
    from_box = False
    ranges: Augmentation | None = None
    rule = CropRule.around_landmarks(SIDE)
    network: nn.Module

    def __init__(self, scheme: schemes.Scheme, options: Options) -> None:
        self.scheme, self.options = scheme, options
        self.inherited: dict[str, str] = {}

    def begin(self, points: Tensor) -> None:
        """Called once, with the training faces' landmarks (M, N, 2) in pixels of exact crops."""
        return

    def advance(self, progress: float) -> None:
        """Called before each step, with the share of the budget that is spent."""
        return

    @abstractmethod
    def prepare(self, pictures: Tensor) -> Tensor:
        """The network's input, as its detector makes it, from RGB (B, 3, side, side) in [0, 1]."""

    def adopt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Another network's weights under the names that they have in this one."""
        return weights

    @property
    @abstractmethod
    def features(self) -> nn.Module:
        """The layer whose output is the network's highest-level features (B, C, h, w)."""

    def run(self, batch: Tensor) -> Any:
        """What the loss needs."""
        return self.network(batch)

    @abstractmethod
    def loss(self, output: Any, points: Tensor, labelled: Tensor) -> tuple[Tensor, Parts]:
        """The loss in float32, and its parts.

        Args:
            output: of `run`, in any precision.
            points: (B, N, 2) crop pixels, origin at the centre of the top-left pixel.
            labelled: (B, N) 1 for landmarks that count, 0 for guesses.
        """

    def config(self) -> str:
        """The network's shape, as JSON."""
        return "{}"

    def metadata(self) -> dict[str, str]:
        """What the weights file says, for the detector to read."""
        return {
            "arch": self.arch,
            "config": self.config(),
            "scheme": self.scheme.name,
            KEY: self.rule.write(),
        }

    def close(self, points: Tensor) -> Tensor:
        """(B, N) 1 for landmarks that lie in the crop, 0 for those a map cannot show."""
        low, high = -0.5 - MARGIN, SIZE - 0.5 + MARGIN
        return ((points > low) & (points < high)).all(-1).float()
