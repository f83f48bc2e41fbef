"""Motion of rendered layers: maps from the image back to a texture, and their exact inverse.

Coordinates are raster coordinates in pixels, origin at the CORNER of the top-left pixel. A layer's
map at time t sends an image point x to the texture point

    u(x) = A_t x + b_t + R_t(x)

with an affine part and a residual R_t, stored on a coarse lattice over the image and interpolated
bilinearly (the border repeats outside). Pixels and ground-truth points use the same map, so the
ground truth is exact.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.training.signals import Random
from facetrack.training.textures import SIDE

LATTICE = 64
"""Side of the lattice over the image that stores the residual."""
BASIS = 44
"""Side of the lattice over the texture on which deformations are defined."""
BLINK = 2
"""Index of the field of `expression_basis` that closes the eyes, with coefficients from 0 to about
1.5."""


class LayerMap(NamedTuple):
    """A map from image to texture over time.

    Attributes:
        linear: (B, T, 2, 2); offset: (B, T, 2).
        residual: (B, T, 2, LATTICE, LATTICE) texture pixels, or None if the map is affine.
    """

    linear: Tensor
    offset: Tensor
    residual: Tensor | None

    def affine(self, xy: Tensor) -> Tensor:
        """Apply the affine part to image points (B, T, P, 2)."""
        return xy @ self.linear.transpose(-1, -2) + self.offset[:, :, None]

    def invert(self, texture: Tensor, size: int, steps: int = 12) -> tuple[Tensor, Tensor]:
        """Map texture points to the image by a fixed-point iteration.

        Args:
            texture: (B, P, 2) points, or (B, T, P, 2) if they move.
            size: side of the image.
            steps: number of iterations.

        Returns:
            Image points (B, T, P, 2), and (B, T, P) bool, True if the iteration converged to under
            a tenth of a pixel. It does not converge in folds of the map, which have no unique
            inverse.
        """
        inverse = torch.linalg.inv(self.linear)
        moving = texture if texture.ndim == 4 else texture[:, None]
        target = moving - self.offset[:, :, None]
        xy = target @ inverse.transpose(-1, -2)
        if self.residual is None:
            return xy, torch.ones_like(xy[..., 0], dtype=torch.bool)
        flat = self.residual.flatten(0, 1)
        for _ in range(steps):
            grid = (xy / size * 2 - 1).flatten(0, 1)[:, :, None]
            moved = F.grid_sample(flat, grid, padding_mode="border", align_corners=False)
            moved = moved[..., 0].transpose(1, 2).view_as(xy)
            before, xy = xy, (target - moved) @ inverse.transpose(-1, -2)
        return xy, (xy - before).square().sum(-1) < 0.01


def similarity(
    centre: Tensor, position: Tensor, scale: Tensor, angle: Tensor, skew: Tensor | None = None
) -> LayerMap:
    """Return the map of a layer that is moved, scaled and rotated.

    Args:
        centre: (B, 2) texture point that appears at `position`.
        position: (B, T, 2) image point.
        scale: (B, T) magnification.
        angle: (B, T) rotation in radians.
        skew: (B, 2, 2) linear map that is applied first, or None.
    """
    cos, sin = angle.cos() / scale, angle.sin() / scale
    linear = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], -2)
    if skew is not None:
        linear = skew[:, None] @ linear
    offset = centre[:, None] - (linear @ position[..., None])[..., 0]
    return LayerMap(linear, offset, None)


def _bump(grid: Tensor, centre: Tensor, width: Tensor) -> Tensor:
    """Draw Gaussians on a grid (H, W, 2) at centres (B, K, 2), of standard deviation (B, K) px."""
    distance = (grid[None, None] - centre[:, :, None, None]).square().sum(-1)
    return torch.exp(-distance / (2 * width[..., None, None] ** 2))


def expression_basis(landmarks: Tensor, random: Random) -> Tensor:
    """Return displacement fields of facial motion, (B, K, 2, BASIS, BASIS).

    Mouth opening, smile, blink and brows are Gaussians at their landmarks. Head turns come from a
    coarse depth map (an ellipsoid and a nose). Random smooth fields and bumps cover other motion.
    Unit coefficients are large but plausible motions.

    Args:
        landmarks: (B, 68, 2) texture pixels.
        random: draws the random fields.
    """
    batch, device = landmarks.shape[0], landmarks.device
    iod = (landmarks[:, 36] - landmarks[:, 45]).norm(dim=-1)
    axis = (torch.arange(BASIS, device=device) + 0.5) * (SIDE / BASIS)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    unit = iod[:, None, None, None]

    def field(centre: Tensor, width: float, direction: tuple[float, float]) -> Tensor:
        bump = _bump(grid, centre[:, None], (iod * width)[:, None])
        way = torch.tensor(direction, device=device)
        return bump * way[:, None, None] * unit

    def at(*indices: int) -> Tensor:
        return landmarks[:, list(indices)].mean(1)

    jaw_and_lip = field(at(7, 8, 9), 0.35, (0, -0.16)) + field(at(56, 57, 58), 0.16, (0, -0.12))
    smile = field(at(48), 0.18, (0.10, 0.05)) + field(at(54), 0.18, (-0.10, 0.05))
    blink = field(at(37, 38), 0.07, (0, -0.06)) + field(at(43, 44), 0.07, (0, -0.06))
    one_eye = field(at(37, 38), 0.07, (0, -0.06)) + field(at(40, 41), 0.07, (0, 0.03))
    brows = field(at(19), 0.2, (0, 0.09)) + field(at(24), 0.2, (0, 0.09))
    lips = field(at(51), 0.12, (0, 0.06)) + field(at(62, 66), 0.08, (0, -0.06))
    centre = (landmarks.mean(1) + 2 * landmarks[:, 27]) / 3
    far = (grid[None] - centre[:, None, None]) / (iod[:, None, None, None] * 1.05)
    depth = (1 - far.square().sum(-1)).clamp_min(0).sqrt() * 0.9
    depth = depth + 0.3 * _bump(grid, at(30, 33)[:, None], (iod * 0.15)[:, None])[:, 0]
    depth = (depth * iod[:, None, None])[:, None]
    flat = torch.zeros_like(depth)
    yaw, pitch = torch.cat([depth, flat], 1) * 0.25, torch.cat([flat, depth], 1) * 0.25
    fields = [jaw_and_lip, smile, blink, one_eye, brows, lips, yaw, pitch]
    for cells, amplitude in ((4, 0.06), (7, 0.04)):
        noise = random.normal(batch, 2, cells, cells)
        noise = F.interpolate(noise, size=(BASIS, BASIS), mode="bicubic", align_corners=True)
        fields.append(noise * amplitude * unit)
    for _ in range(2):
        where = landmarks.gather(1, random.integers(68, batch, 1, 1).expand(-1, -1, 2))
        width = iod[:, None] * random.log_uniform(0.08, 0.35, batch, 1)
        bump = _bump(grid, where, width) * random.normal(batch, 2)[..., None, None]
        fields.append(bump * width[..., None, None] * 0.25)
    return torch.stack(fields, 1)


def deform(layer: LayerMap, basis: Tensor, coefficients: Tensor, size: int) -> LayerMap:
    """Add the deformation sum_k coefficients[b, k, t] * basis[b, k] to an affine map.

    Args:
        layer: an affine map.
        basis: (B, K, 2, BASIS, BASIS) displacement fields on the texture.
        coefficients: (B, K, T).
        size: the image's side.
    """
    batch, frames = coefficients.shape[0], coefficients.shape[2]
    fields = torch.einsum("bkt,bkcyx->btcyx", coefficients, basis).flatten(0, 1)
    axis = (torch.arange(LATTICE, device=basis.device) + 0.5) * (size / LATTICE)
    lattice = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).view(1, 1, -1, 2)
    where = layer.affine(lattice.expand(batch, frames, -1, -1))
    grid = (where / SIDE * 2 - 1).view(batch * frames, LATTICE, LATTICE, 2)
    # Zeros outside: parts far from the face move rigidly.
    residual = F.grid_sample(fields, grid, padding_mode="zeros", align_corners=False)
    return layer._replace(residual=residual.unflatten(0, (batch, frames)))


def pixel_grid(layer: LayerMap, size: int) -> Tensor:
    """Return each image pixel's texture coordinates (B, T, size, size, 2), scaled to [-1, 1]."""
    batch, frames = layer.offset.shape[:2]
    axis = torch.arange(size, device=layer.offset.device) + 0.5
    # An affine map is a sum of a function of x and one of y, which saves a product per pixel.
    along_x = layer.linear[..., 0][:, :, None] * axis[:, None]
    along_y = layer.linear[..., 1][:, :, None] * axis[:, None] + layer.offset[:, :, None]
    grid = along_x[:, :, None] + along_y[:, :, :, None]
    if layer.residual is not None:
        moved = F.interpolate(
            layer.residual.flatten(0, 1), size=(size, size), mode="bilinear", align_corners=False
        )
        grid = grid + moved.permute(0, 2, 3, 1).view(batch, frames, size, size, 2)
    return grid * (2 / SIDE) - 1


def sample(texture: Tensor, grid: Tensor, padding: str) -> Tensor:
    """Sample textures (B, C, h, w) at grids (B, T, H, W, 2) in [-1, 1], to (B, T, C, H, W)."""
    batch, frames, height, width, _ = grid.shape
    out = F.grid_sample(
        texture,
        grid.view(batch, frames * height, width, 2),
        padding_mode=padding,
        align_corners=False,
    )
    return out.view(batch, -1, frames, height, width).transpose(1, 2)
