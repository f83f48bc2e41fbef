"""What networks that regress shapes add to the training loop: pictures of one size, one loss."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrack.detectors.cascades import fifa, san
from facetrack.detectors.cascades.base import CROP, SIDE, Prediction, ShapeConfig, ShapeNetwork
from facetrack.detectors.cascades.cfan import CfanNetwork
from facetrack.detectors.cascades.coarse_to_fine import CoarseToFineNetwork
from facetrack.detectors.cascades.dan import DanNetwork
from facetrack.detectors.cascades.dcnn import DcnnNetwork, five_points
from facetrack.detectors.cascades.fifa import FifaNetwork
from facetrack.detectors.cascades.maps import cells
from facetrack.detectors.cascades.mdm import MdmNetwork
from facetrack.detectors.cascades.san import SanNetwork
from facetrack.detectors.crops import SIZE
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.training.detectors import losses, styles, targets
from facetrack.training.detectors.augment import Augmentation, draw
from facetrack.training.detectors.trainee import Options, Parts, Trainee
from facetrack.training.precision import in_float32
from facetrack.training.signals import Random

SPREAD_SHARE = 0.05
"""Weight of the spread's likelihood beside the distance in eye distances."""
COPIES = 4
"""Random boxes of each face from which the shape components follow."""
ON_THE_WAY = 0.15
"""Share of the learning of places that goes to the way there: stages before the last."""


class Cascade(Trainee):
    """A network that regresses shapes; subclasses name it.

    It sees pictures of SIDE pixels, cut from the box of a face as sloppy detectors give it.
    """

    resizable = False
    side = SIDE
    rule = CROP
    from_box = True
    ranges = Augmentation(
        20.0, (0.82, 1.22), 0.15, 0.2, lids=0.0, lips=0.0, turned=0.0, spoilt=0.3, ended=0.0
    )
    build: ClassVar[type[ShapeNetwork]]
    standard_width: ClassVar[int] = 64
    network: ShapeNetwork

    def __init__(
        self, scheme: schemes.Scheme, options: Options, config: ShapeConfig | None = None
    ) -> None:
        super().__init__(scheme, options)
        if options.stacks or options.antialiased or options.filtered:
            raise FacetrackError(f"{self.arch} has no hourglass: only its width can be chosen.")
        if options.width % 8:
            raise FacetrackError(f"The width of {self.arch} must be a multiple of 8.")
        if config is None:
            plain = ShapeConfig(points=self.answered(scheme).count)
            config = plain._replace(width=options.width or self.standard_width)
        self.network = self.build(config)
        self.eyes = self.answered(scheme).eye_corners

    def answered(self, scheme: schemes.Scheme) -> schemes.Scheme:
        """The layout of the network's own points, for faces annotated in `scheme`."""
        return scheme

    def wanted(self, points: Tensor) -> Tensor:
        """The network's own points (B, K, 2) of annotated faces (B, N, 2)."""
        return points

    def known(self, labelled: Tensor) -> Tensor:
        """Which of the network's own points are known (B, K), of `labelled` ones (B, N)."""
        return labelled

    def begin(self, points: Tensor) -> None:
        """Take the mean shape and the components of the shapes, as sloppy boxes show them.

        A face's place, size and roll in its box are then the first components.
        """
        shapes = self.wanted((2 * points + 1) / SIZE - 1)
        random = Random(0, points.device)
        shapes = shapes.repeat(COPIES, 1, 1)
        square = shapes.new_tensor([0.0, 0.0, SIZE, 0.0]).expand(len(shapes), -1)
        where = draw(square, random, self.ranges)
        swap = list(self.answered(self.scheme).swap)
        mirrored = torch.linalg.solve(
            where.matrix, (shapes - 2 / SIZE * where.centre[:, None]).transpose(1, 2)
        ).transpose(1, 2)
        self.network.basis.fit(
            torch.where(where.mirrored[:, None, None], mirrored[:, swap], mirrored)
        )

    def prepare(self, pictures: Tensor) -> Tensor:
        return pictures * 2 - 1

    @property
    def features(self) -> nn.Module:
        return self.network.last_convolution or self.network

    def loss(self, output: Prediction, points: Tensor, labelled: Tensor) -> tuple[Tensor, Parts]:
        """Distances of all stages in eye distances, and the likelihood of the last ones."""
        truth = self.wanted((2 * points + 1) / SIZE - 1)
        weight = self.known(labelled)
        assert self.eyes is not None
        first, second = self.eyes
        unit = (truth[:, first] - truth[:, second]).norm(dim=-1).clamp_min(0.05)
        squared = (output.shapes - truth).square().sum(-1)
        distance = (squared + 1e-8).sqrt()  # (T, B, K)
        each = (distance * weight / unit[:, None]).sum((1, 2)) / weight.sum().clamp_min(1)
        last, way = each[-1], each.mean()
        spread = output.spread
        likelihood = distance[-1].detach() * torch.exp(-spread) + 2 * spread
        likelihood = (likelihood * weight).sum() / weight.sum().clamp_min(1)
        total = (1 - ON_THE_WAY) * last + ON_THE_WAY * way + SPREAD_SHARE * likelihood
        return total, {"distance": losses.number(last), "spread": losses.number(likelihood)}

    def config(self) -> str:
        return json.dumps(self.network.config._asdict())

    def metadata(self) -> dict[str, str]:
        return {**super().metadata(), "scheme": self.answered(self.scheme).name}


class Mdm(Cascade):
    """Recurrent descent of 512 numbers of state."""

    arch, build = MdmNetwork.arch, MdmNetwork


class Dan(Cascade):
    """Two stages of five convolutions."""

    arch, build = DanNetwork.arch, DanNetwork
    standard_width = 32


class CoarseToFine(Cascade):
    """A network for the face, and two rounds of networks for its parts."""

    arch, build = CoarseToFineNetwork.arch, CoarseToFineNetwork
    standard_width = 32

    def __init__(
        self, scheme: schemes.Scheme, options: Options, config: ShapeConfig | None = None
    ) -> None:
        if scheme.name != "68":
            raise FacetrackError(f"{self.arch} knows the parts of 68 points, not of {scheme.name}.")
        super().__init__(scheme, options, config)


class Cfan(Cascade):
    """Auto-encoders: greedy training for a share of the budget, then fine-tuning of all layers."""

    arch, build = CfanNetwork.arch, CfanNetwork
    has_maps = False
    network: CfanNetwork
    GREEDY = 0.15
    """Share of the budget, its first, in which the layers learn to reproduce their inputs."""

    def advance(self, progress: float) -> None:
        self.greedy = progress < self.GREEDY

    def run(self, batch: Tensor) -> tuple[Prediction, Tensor | None]:
        """The prediction, and the pictures while the auto-encoders still learn to reproduce."""
        return self.network(batch), batch if self.greedy else None

    def loss(self, output: Any, points: Tensor, labelled: Tensor) -> tuple[Tensor, Parts]:
        prediction, pictures = output
        total, parts = super().loss(prediction, points, labelled)
        if pictures is None:
            return total, {**parts, "reproduction": 0.0}
        error = self.network.reproduction(pictures, (2 * points + 1) / SIZE - 1)
        # The last layers learn on top of what the others know at the time.
        return total + error, {**parts, "reproduction": losses.number(error)}


class Dcnn(Cascade):
    """Five points of faces of 68: the labels of the eyes' middles are those of their outlines."""

    arch, build = DcnnNetwork.arch, DcnnNetwork

    def __init__(
        self, scheme: schemes.Scheme, options: Options, config: ShapeConfig | None = None
    ) -> None:
        if scheme.name != "68":
            raise FacetrackError(f"{self.arch} learns from 68 points, not from {scheme.name}.")
        super().__init__(scheme, options, config)

    def answered(self, scheme: schemes.Scheme) -> schemes.Scheme:
        return schemes.get("5")

    def wanted(self, points: Tensor) -> Tensor:
        return five_points(points)

    def known(self, labelled: Tensor) -> Tensor:
        return (five_points(labelled[..., None])[..., 0] > 0.999).float()


class MapCascade(Cascade):
    """A network that draws heat maps: they learn by cross-entropy, and their mean places as well.

    Attributes:
        sigma: standard deviation in cells of the Gaussians to be drawn.
    """

    sigma: ClassVar[float]
    MAPS = 5.0
    """Weight of the maps' cross-entropy: that and the distance then learn at a similar pace."""

    def map_loss(self, maps: Tensor, points: Tensor, labelled: Tensor) -> Tensor:
        """The cross-entropy of maps (B, N, side, side) before the sigmoid."""
        side = maps.shape[-1]
        truth = targets.point_maps(cells((2 * points + 1) / SIZE - 1, side), side, self.sigma)
        wrong = F.binary_cross_entropy_with_logits(maps.float(), truth, reduction="none")
        return losses.mean(wrong.mean((2, 3)), self.close(points) * labelled)


class Fifa(MapCascade):
    """A small vision transformer: heat maps by cross-entropy, and places."""

    arch, build, sigma = FifaNetwork.arch, FifaNetwork, fifa.SIGMA
    network: FifaNetwork

    def run(self, batch: Tensor) -> tuple[Prediction, Tensor]:
        """The prediction, and the maps that it was read from."""
        maps, features = self.network.maps(batch)
        return self.network.read(maps, features), maps

    def loss(self, output: Any, points: Tensor, labelled: Tensor) -> tuple[Tensor, Parts]:
        prediction, maps = output
        total, parts = super().loss(prediction, points, labelled)
        error = self.map_loss(maps, points, labelled)
        return total + self.MAPS * error, {**parts, "maps": losses.number(error)}


class San(MapCascade):
    """A generator of style-aggregated pictures, and stages of heat maps; all learn together.

    Half of the faces come in another style. The generator learns to draw the mean of the styles of
    the picture as it was (`styles`), and what helps to place landmarks.
    """

    arch, build, sigma = SanNetwork.arch, SanNetwork, san.SIGMA
    network: SanNetwork
    STYLE = 2.0
    """Weight of the generator's absolute error."""

    def run(self, batch: Tensor) -> tuple[Prediction, list[Tensor], Tensor, Tensor]:
        """The prediction, all stages' maps, the aggregated pictures and what they should be."""
        plain = ((batch.float() + 1) / 2).contiguous()
        with in_float32(batch.device):
            varied, wanted = styles.vary(plain), styles.aggregate(plain)
        varied = self.prepare(varied).contiguous(memory_format=torch.channels_last)
        drawn, maps, features = self.network.look(varied)
        return self.network.read(maps, features), maps, drawn, self.prepare(wanted)

    def loss(self, output: Any, points: Tensor, labelled: Tensor) -> tuple[Tensor, Parts]:
        prediction, maps, drawn, wanted = output
        total, parts = super().loss(prediction, points, labelled)
        error = torch.stack([self.map_loss(m, points, labelled) for m in maps]).mean()
        style = (drawn - wanted).abs().mean()
        parts = {**parts, "maps": losses.number(error), "style": losses.number(style)}
        return total + self.MAPS * error + self.STYLE * style, parts


CASCADES: dict[str, type[Cascade]] = {
    t.arch: t for t in (Mdm, Dan, CoarseToFine, Cfan, Dcnn, Fifa, San)
}
