"""Mean shapes, bases of shapes and similarity transforms, batched and differentiable.

Places are in units of half the crop: (-1, -1) is its top left corner, (1, 1) its bottom right one.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Similarity(NamedTuple):
    """A batch of transforms p -> matrix @ p + shift.

    Attributes:
        matrix: (B, 2, 2) a rotation times a scale each.
        shift: (B, 2).
    """

    matrix: Tensor
    shift: Tensor

    def apply(self, points: Tensor) -> Tensor:
        """Transform points (B, N, 2)."""
        return self.turn(points) + self.shift[:, None]

    def turn(self, offsets: Tensor) -> Tensor:
        """Rotate and scale offsets (B, N, 2), without the shift."""
        # Written out, so that no autocast lowers the precision of places.
        (a, b), (c, d) = self.matrix[:, 0, :, None].unbind(1), self.matrix[:, 1, :, None].unbind(1)
        x, y = offsets[..., 0], offsets[..., 1]
        return torch.stack([a * x + b * y, c * x + d * y], -1)

    def inverse(self) -> Similarity:
        """Return the transforms back."""
        (a, b) = self.matrix[:, 0].unbind(1)
        power = (a * a + b * b).clamp_min(1e-12)
        matrix = self.matrix.transpose(1, 2) / power[:, None, None]
        back = Similarity(matrix, torch.zeros_like(self.shift))
        return Similarity(matrix, -back.turn(self.shift[:, None])[:, 0])


def fit_similarity(source: Tensor, target: Tensor) -> Similarity:
    """Fit the transforms that map shapes to others by least squares.

    Args:
        source, target: (B, N, 2); a shape whose points coincide is only shifted and shrunk to 0.
    """
    from_middle, to_middle = source.mean(1), target.mean(1)
    one, other = source - from_middle[:, None], target - to_middle[:, None]
    power = one.square().sum((1, 2)).clamp_min(1e-12)
    cos = (one * other).sum((1, 2)) / power
    sin = (one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]).sum(1) / power
    matrix = torch.stack([cos, -sin, sin, cos], -1).view(-1, 2, 2)
    turn = Similarity(matrix, torch.zeros_like(from_middle))
    return Similarity(matrix, to_middle - turn.turn(from_middle[:, None])[:, 0])


class ShapeBasis(nn.Module):
    """The mean shape of training faces, and how faces differ from it most.

    The basis is the principal components of the shapes, each scaled to its standard deviation, so
    that a network's outputs of unit size are faces (Cootes et al., "Active Shape Models", CVIU
    1995). It starts as a face in no particular shape; `fit` takes it from data.

    Args:
        points: number of landmarks N.
        size: number of components K.
    """

    mean: Tensor
    components: Tensor

    def __init__(self, points: int, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(points, 2))
        self.register_buffer("components", torch.zeros(size, points, 2))

    @torch.no_grad()
    def fit(self, shapes: Tensor) -> None:
        """Take mean and components from shapes (M, N, 2).

        There are at most M - 1 components; the others stay 0.
        """
        mean = shapes.mean(0)
        flat = (shapes - mean).flatten(1)
        _, values, rows = torch.linalg.svd(flat, full_matrices=False)
        rows = rows * (values / max(len(shapes) - 1, 1) ** 0.5)[:, None]
        count = min(len(rows), len(self.components))
        self.mean.copy_(mean)
        self.components.zero_()
        self.components[:count] = rows[:count].view(count, *mean.shape)

    def start(self, batch: int) -> Tensor:
        """Return the mean shape for each of a batch, (B, N, 2)."""
        return self.mean.expand(batch, -1, -1)

    def offsets(self, weights: Tensor) -> Tensor:
        """Combine the components: weights (B, K) to offsets (B, N, 2) in float32."""
        with torch.autocast(weights.device.type, enabled=False):
            flat = weights.float() @ self.components.float().flatten(1)
        return flat.view(len(weights), *self.mean.shape)
