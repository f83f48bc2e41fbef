"""Landmark networks from the command line: official files, fetched ones, and their layouts."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import clips
import http_files
import numpy as np
import pytest
import torch
from face_alignment.models import FAN
from http_files import Served, Server
from synthetic_detectors import synthetic_state
from typer.testing import CliRunner, Result

from facetrack.cli import app
from facetrack.detectors.pipnet import PipConfig, PipNetwork
from facetrack.detectors.resnet import ResNetConfig
from facetrack.detectors.star_network import StarConfig, StarNetwork
from facetrack.formats.csv import read_csv
from facetrack.landmarks import schemes
from facetrack.weights import REGISTRY, Weights

BOX = "60,60,200,200"
WFLW, IBUG = "pipnet-r18-wflw", "pipnet-r18-300w"


def pipnet(points: int) -> dict[str, torch.Tensor]:
    """A PIPNet of four channels, under the official names."""
    backbone = ResNetConfig(stem=4, widths=(4, 4, 8, 8), blocks=(1, 1, 1, 1))
    return synthetic_state(PipNetwork(PipConfig(points, 10, backbone)).state_dict())


def fan() -> dict[str, torch.Tensor]:
    return synthetic_state(FAN(1).state_dict(), {"conv_last0.weight": 0.125})


def star(points: int) -> dict[str, Any]:
    """As STAR's trainer saves."""
    network = StarNetwork(StarConfig(points=points, edges=7, stacks=1, levels=4, width=8))
    state = synthetic_state(network.state_dict())
    # Every point on one edge, so that the maps are positive.
    weight = torch.zeros_like(state["e2h_transform.weight"])
    weight[:, 0] = 1
    state |= {"e2h_transform.weight": weight, "e2h_transform.bias": torch.zeros(points)}
    return {"net": state, "optimizer": {"state": {}}, "scheduler": {}, "epoch": 3}


def as_file(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.fixture
def published(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, Weights]:
    """PIPNets of 98 and of 68 points, as published but for their size, on the server."""
    entries = {}
    for name, points in ((WFLW, 98), (IBUG, 68)):
        body = as_file(pipnet(points))
        official = REGISTRY[name]
        server.files[official.file] = Served(body)
        entries[name] = replace(
            official,
            url=f"{server.url}/{official.file}",
            bytes=len(body),
            sha256=hashlib.sha256(body).hexdigest(),
        )
        monkeypatch.setitem(REGISTRY, name, entries[name])
    return entries


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def detect(face_picture: Path, out: Path, *words: object) -> np.ndarray:
    """(N, 2) what `facetrack detect` finds in the box."""
    command = ("detect", face_picture, "--box", BOX, "--device", "cpu", "--out", out)
    result = run(*command, *words)
    assert result.exit_code == 0, result.output
    with open(out / "landmarks.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    count = (len(row) - 3) // 2
    return np.array([[float(row[f"{a}_{i}"]) for a in "xy"] for i in range(count)])


def record(folder: Path, name: str = "landmarks.json") -> dict[str, Any]:
    return json.loads((folder / name).read_text())


# ---------------------------------------------------------------- official files


@pytest.mark.parametrize(
    ("init", "name", "content", "points"),
    [
        ("pipnet", "epoch59.pth", pipnet(19), 19),
        ("pipnet", "parallel.pth", {f"module.{k}": v for k, v in pipnet(98).items()}, 98),
        ("fan", "2DFAN.pth.tar", {"state_dict": fan()}, 68),
        ("star", "COFW_STARLoss.pkl", star(29), 29),
    ],
    ids=["pipnet", "pipnet-module", "fan", "star"],
)
def test_own_file_in_the_official_layout(
    init: str, name: str, content: Any, points: int, face_picture: Path, tmp_path: Path
) -> None:
    file, out = tmp_path / name, tmp_path / "out"
    file.write_bytes(as_file(content))
    xy = detect(face_picture, out, "--init", init, "--detector-weights", file, "--overlay")
    assert xy.shape == (points, 2)
    assert np.isfinite(xy).all()
    content = record(out)["detector"]
    assert (content["name"], content["scheme"], content["weights"]) == (
        init,
        str(points),
        str(file),
    )
    assert content["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (out / "face.overlay.png").is_file()


@pytest.mark.parametrize("init", ["fan", "star"])
def test_flip_counts_the_mirrored_picture(init: str, face_picture: Path, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(as_file(fan() if init == "fan" else star(29)))
    words = ("--init", init, "--detector-weights", file)
    plain = detect(face_picture, tmp_path / "plain", *words)
    both = detect(face_picture, tmp_path / "both", *words, "--flip")
    assert not np.allclose(plain, both)
    assert record(tmp_path / "both")["detector"]["flip"] is True
    assert record(tmp_path / "both")["warnings"] == []


@pytest.mark.parametrize("command", ["detect", "track"])
def test_another_detectors_file_is_one_sentence(
    command: str, face_picture: Path, face_clip: Path, tmp_path: Path
) -> None:
    file = tmp_path / "fan.pth"
    file.write_bytes(as_file(fan()))
    source = face_picture if command == "detect" else face_clip
    words = ("--init", "pipnet", "--detector-weights", file, "--out", tmp_path / "out")
    result = run(command, source, *words)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert f"{file} is not a PIPNet checkpoint" in line


# ---------------------------------------------------------------- fetched files


@pytest.mark.parametrize("init", ["pipnet", "fan", "star", "heatmap1d"])
@pytest.mark.parametrize("command", ["detect", "track"])
def test_without_weights_the_way_to_get_them_is_said(
    command: str, init: str, face_picture: Path, face_clip: Path, tmp_path: Path, monkeypatch
) -> None:
    http_files.prepare(monkeypatch, tmp_path / "home")
    for entry in [e for e in REGISTRY.values() if e.part == init and e.bundled]:
        monkeypatch.delitem(REGISTRY, entry.name)
    source = face_picture if command == "detect" else face_clip
    result = run(command, source, "--init", init, "--out", tmp_path / "out")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    known = any(entry.part == init for entry in REGISTRY.values())
    assert (f"facetrack weights fetch {init}-" in line) == known
    assert init in line
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_fetch_verify_detect_track_and_offline_again(
    published: dict[str, Weights], face_picture: Path, face_clip: Path, tmp_path: Path, monkeypatch
) -> None:
    entry, out = published[WFLW], tmp_path / "out"
    fetched = run("weights", "fetch", WFLW)
    assert fetched.exit_code == 0
    assert "NOT for commercial use" in fetched.stderr
    assert run("weights", "verify", WFLW).stdout == f"{WFLW}: intact (by SHA-256)\n"
    online = detect(face_picture, out, "--init", "pipnet")
    assert online.shape == (98, 2)

    monkeypatch.setenv("FACETRACK_OFFLINE", "1")
    assert run("weights", "fetch", WFLW).exit_code == 0
    np.testing.assert_array_equal(detect(face_picture, out, "--init", "pipnet"), online)
    words = ("--init", "pipnet", "--tracker", "lk", "--face-detector", "hog", "--out", out)
    result = run("track", face_clip, *words)
    assert result.exit_code == 0, result.output
    (note,) = (line for line in result.stdout.splitlines() if line.startswith("weights: "))
    assert WFLW in note
    assert "research use only, NOT for commercial use" in note
    tracks = read_csv(out / "face.csv")
    assert tracks.xy.shape == (3, 1, 98, 2)
    assert clips.decoded_count(out / "face.overlay.mp4") == 3
    content = record(out, "face.json")
    assert content["query"]["scheme"] == "98"
    assert {
        k: content["detector"][k] for k in ("weights", "sha256", "licence", "noncommercial")
    } == {
        "weights": WFLW,
        "sha256": entry.sha256,
        "licence": entry.licence,
        "noncommercial": True,
    }


def test_a_name_chooses_among_fetched_weights(
    published: dict[str, Weights], face_picture: Path, tmp_path: Path
) -> None:
    assert run("weights", "fetch", WFLW, IBUG).exit_code == 0
    out = tmp_path / "out"
    assert len(detect(face_picture, out, "--init", "pipnet", "--detector-weights", WFLW)) == 98
    assert len(detect(face_picture, out, "--init", "pipnet", "--detector-weights", IBUG)) == 68


# ---------------------------------------------------------------- layouts


def test_98_points_become_68(
    published: dict[str, Weights], face_picture: Path, face_clip: Path, tmp_path: Path
) -> None:
    run("weights", "fetch", WFLW)
    out = tmp_path / "out"
    all_points = detect(face_picture, out, "--init", "pipnet")
    mapped = detect(face_picture, out, "--init", "pipnet", "--scheme", "68")
    np.testing.assert_array_equal(mapped, all_points[list(schemes.MAP_98_TO_68)])
    content = record(out)["detector"]
    assert (content["scheme"], content["mapped_from"]) == ("68", "98")

    words = ("--init", "pipnet", "--tracker", "lk", "--face-detector", "hog", "--out", out)
    for scheme, name in (("98", "all"), ("68", "mapped")):
        # The detector's own layout may be named as well.
        copy = tmp_path / f"{name}.mp4"
        copy.write_bytes(face_clip.read_bytes())
        result = run("track", copy, *words, "--no-overlay", "--scheme", scheme)
        assert result.exit_code == 0, result.output
    of_98, of_68 = read_csv(out / "all.csv"), read_csv(out / "mapped.csv")
    np.testing.assert_array_equal(of_68.xy[0], schemes.map_98_to_68(of_98.xy[0]))
    assert record(out, "mapped.json")["query"]["scheme"] == "68"


def test_a_layout_out_of_reach_is_one_sentence(
    published: dict[str, Weights], face_clip: Path, tmp_path: Path
) -> None:
    run("weights", "fetch", IBUG)
    words = ("--init", "pipnet", "--scheme", "98", "--out", tmp_path / "out")
    result = run("track", face_clip, *words)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "68 points of layout 68 cannot be converted to layout 98" in line
