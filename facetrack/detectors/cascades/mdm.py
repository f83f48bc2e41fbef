"""The Mnemonic Descent Method: a recurrent network walks from the mean shape to the landmarks.

Trigeorgis, Snape, Nicolaou, Antonakos and Zafeiriou, "Mnemonic Descent Method: A Recurrent Process
Applied for End-to-End Face Alignment", CVPR 2016. The authors published no weights in a usable
form; they were trained here.
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
    small_start,
)
from facetrack.detectors.cascades.patches import around

STEPS = 4
"""Steps of the descent, as in the paper."""
PATCH = 10
"""Side of a patch in pixels, of a picture of half the side; the paper's are 30 at full size."""
SPAN = 28 / SIDE
"""Width of a patch, in widths of the crop."""


class MdmNetwork(ShapeNetwork):
    """Patches around the points, a convolutional network for all of them, and a recurrent state.

    The network's map is pooled and joined with its central part before pooling, as in the paper. A
    layer for each point then compresses both to a few numbers, which the paper's network does not:
    its layer from all patches to the state has 100 times as many weights. The state is
    tanh(A state + B patches); the movement of the shape follows from it, through shape components.
    """

    arch = "mdm"

    def __init__(self, config: ShapeConfig) -> None:
        self.state_size = 8 * config.width
        super().__init__(config, self.state_size)
        low, high = config.width // 8, config.width // 4
        # Without normalisation, as in the paper: half of the time would go into it.
        self.first = nn.Sequential(nn.Conv2d(3, low, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.second = nn.Sequential(nn.Conv2d(low, high, 3, padding=1), nn.ReLU())
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        inside = high * (3 * 3 + 3 * 3)
        self.compress = nn.Linear(inside, config.width // 2)
        self.own = nn.Parameter(torch.ones(config.points, config.width // 2))
        self.take = nn.Linear(config.points * (config.width // 2), self.state_size)
        self.keep = nn.Linear(self.state_size, self.state_size, bias=False)
        self.move = small_start(nn.Linear(self.state_size, config.components))

    @property
    def last_convolution(self) -> nn.Module:
        return self.second

    def forward(self, pictures: Tensor) -> Prediction:
        """Walk from the mean shape in STEPS steps."""
        batch = len(pictures)
        shape = self.basis.start(batch)
        state = pictures.new_zeros(batch, self.state_size)
        shapes = []
        pictures = F.avg_pool2d(pictures, 2)
        for _ in range(STEPS):
            # As in the paper, no gradient flows through where the patches lie.
            patches = around(pictures, shape.detach(), PATCH, SPAN).flatten(0, 1)
            patches = patches.contiguous(memory_format=torch.channels_last)
            state = torch.tanh(self.take(self.describe(patches, batch)) + self.keep(state))
            shape = shape + self.basis.offsets(self.move(state))
            shapes.append(shape)
        return self.answer(shapes, state)

    def describe(self, patches: Tensor, batch: int) -> Tensor:
        """Return the numbers (B, N * width / 2) for patches (B * N, 3, PATCH, PATCH)."""
        maps = self.second(self.first(patches))
        middle = maps[:, :, 1:4, 1:4]
        joined = torch.cat([self.pool(maps).flatten(1), middle.flatten(1)], 1)
        each = self.compress(joined).view(batch, self.config.points, -1)
        return torch.relu(each * self.own).flatten(1)


class Mdm(CascadeDetector):
    """68 points by recurrent descent from the mean shape."""

    name = MdmNetwork.arch
    build = MdmNetwork
    paper = "Trigeorgis et al., Mnemonic Descent Method, CVPR 2016"
