"""The trunk that STAR and the 1D heat maps share."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from facetrack.detectors.hourglass import StackedHourglass, with_coordinates
from facetrack.runtime import onednn


def _trained(stacks: int, filtered: int) -> StackedHourglass:
    """One whose normalisations change something, in evaluation mode."""
    torch.manual_seed(0)
    network = StackedHourglass(8, stacks, 2, antialiased=True, filtered=filtered)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return network.eval()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("stacks", "filtered"), [(1, 0), (2, 16)])
@torch.no_grad()
def test_folded_normalisations_give_the_same_features(stacks, filtered, packed):
    network, pictures = _trained(stacks, filtered), torch.randn(2, 3, 64, 64)
    wanted = network(pictures)
    network.fold_norms()
    if packed:
        onednn.pack(network)
    norms = [name for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert all(name.endswith("bn1") for name in norms)  # those that come before a convolution
    torch.testing.assert_close(network(pictures), wanted, atol=1e-4, rtol=1e-4)


def test_coordinates_say_where_cells_are():
    x = torch.zeros(2, 1, 3, 5)
    inside = torch.zeros(2, 1, 3, 5, dtype=torch.bool)
    inside[1, 0, 0, 4] = True
    content = with_coordinates(x, inside)
    assert content.shape == (2, 6, 3, 5)
    assert content[1, 1, :, 0].tolist() == [-1, 0, 1]  # down
    assert content[0, 2, 0].tolist() == [-1, -0.5, 0, 0.5, 1]  # across
    assert content[0, 3, 1, 2] == 0
    assert content[0, 3, 0, 0] == content[0, 3, 2, 4] == 1
    assert content[1, 4:, 0, 4].tolist() == [-1, 1]
    assert content[:, 4:].abs().sum() == 2  # nowhere else
    assert torch.equal(with_coordinates(x), content[:, :4])
