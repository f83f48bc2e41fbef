"""Test that the tensors of TorchScript archives are read without running their programs."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from facetrack.errors import FacetrackError
from facetrack.weights.state_dict import read_state_dict


@pytest.fixture(autouse=True)
def _ignore_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns that TorchScript is deprecated
        yield


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.PReLU())
        self.register_buffer("mean", torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
        self.transposed = nn.Parameter(torch.ones(2, 3).half().t())

    def forward(self, x: Tensor) -> Tensor:
        return (
            self.layers(x - self.mean.float()[:, None, None]).sum() + self.transposed.float().sum()
        )


class Writer(nn.Module):
    """Writes a file when it is loaded by `torch.jit.load`."""

    def __init__(self, witness: str) -> None:
        super().__init__()
        self.witness = witness
        self.weight = torch.zeros(4)

    @torch.jit.export
    def __getstate__(self) -> tuple[str, Tensor, bool]:
        return self.witness, self.weight, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, Tensor, bool]) -> None:
        self.witness = state[0]
        self.weight = torch.from_file(self.witness, True, 4).add_(1)
        self.training = state[2]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight


@pytest.mark.parametrize("traced", [False, True])
def test_tensors_equal_those_of_the_network(tmp_path: Path, traced: bool) -> None:
    network = Network().eval()
    example = torch.zeros(1, 3, 8, 8)
    scripted = torch.jit.trace(network, example) if traced else torch.jit.script(network)
    scripted.save(str(tmp_path / "network.pth"))
    loaded, expected = read_state_dict(tmp_path / "network.pth"), network.state_dict()
    assert loaded.keys() == expected.keys()
    for name, value in expected.items():
        assert loaded[name].dtype == value.dtype
        assert torch.equal(loaded[name], value), name


def test_a_program_that_writes_a_file_is_not_run(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    torch.jit.script(Writer(str(witness))).save(str(tmp_path / "evil.pth"))
    torch.jit.load(str(tmp_path / "evil.pth"))
    assert witness.exists(), "torch.jit.load does not run the program"
    os.unlink(witness)
    with pytest.raises(FacetrackError, match="not a file of network weights"):
        read_state_dict(tmp_path / "evil.pth")
    assert not witness.exists()


def _repack(source: Path, target: Path, compression: int, extra: bytes = b"") -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith("/data/0"):
                content += extra
            new.writestr(entry.filename, content)


def test_a_compressed_archive_is_refused_before_it_expands(tmp_path: Path) -> None:
    torch.jit.script(Network()).save(str(tmp_path / "network.pth"))
    _repack(tmp_path / "network.pth", tmp_path / "bomb.pth", zipfile.ZIP_DEFLATED, bytes(2**26))
    assert (tmp_path / "bomb.pth").stat().st_size < 2**20
    with pytest.raises(FacetrackError, match="not a file of network weights"):
        read_state_dict(tmp_path / "bomb.pth")


def test_a_huge_view_of_one_number_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1).expand(2**30)}, tmp_path / "expanded.pth")
    with pytest.raises(FacetrackError, match="not a file of network weights"):
        read_state_dict(tmp_path / "expanded.pth")


def test_a_state_dict_in_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2**22)}, tmp_path / "plain.pth")
    _repack(tmp_path / "plain.pth", tmp_path / "bomb.pth", zipfile.ZIP_DEFLATED)
    with pytest.raises(FacetrackError, match="not a file of network weights"):
        read_state_dict(tmp_path / "bomb.pth")
