"""Training what sees lids and lips, and what decides between that and a tracker."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import ring_faces
import torch
from typer.testing import CliRunner

from facetrack.cli import app
from facetrack.trackers.expression.corrector import ExpressionNetwork
from facetrack.trackers.expression.face_parts import EYE, KINDS, MOUTH, PARTS
from facetrack.training import part_clips, part_filter, parts, textures
from facetrack.training.part_pictures import KNOWN, Bank, banks, faces_of, sample
from facetrack.training.signals import Random

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return ring_faces.make(tmp_path_factory.mktemp("faces"))


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(textures, "HELD_OUT", 2)
    monkeypatch.setattr(parts, "MEASURED", 8)
    monkeypatch.setattr(part_filter, "HELD_OUT", 1)
    monkeypatch.setattr(part_filter, "AT_ONCE", 1)
    monkeypatch.setattr(part_clips, "FRAMES", 6)


@pytest.fixture
def labelled(faces, tmp_path):
    """Two of the faces, as a mesh would label them."""
    with np.load(faces / "landmarks68.npz") as data:
        names, points = data["names"][:2], data["points"][:2].copy()
    unknown = np.setdiff1d(np.arange(68), KNOWN)
    points[:, unknown] = 0
    path = tmp_path / "labelled.npz"
    np.savez(path, names=np.array([str(faces / n) for n in names]), points=points)
    return path


def test_patches_have_their_landmarks_where_they_show_them(tmp_path):
    """A face whose lower lip has a bright dot, which nothing else has."""
    ring_faces.make(tmp_path, 1)
    with np.load(tmp_path / "landmarks68.npz") as data:
        name, points = str(data["names"][0]), data["points"][0].astype(float)
    size = cv2.imread(str(tmp_path / name)).shape[:2]
    for landmark, kind in ((39, EYE), (54, MOUTH)):
        image = np.full((*size, 3), 20, np.uint8)
        place = points[landmark]
        cv2.circle(image, tuple(round(float(v)) for v in place), 3, (255, 255, 255), -1)
        path = tmp_path / f"{landmark}.png"
        cv2.imwrite(str(path), image)
        one = faces_of(tmp_path, [name])._replace(paths=[path])
        which = "eye" if kind is EYE else "mouth"
        bank = Bank(*(x[:1] for x in banks(one, CPU)[which]))  # of eyes, the right one
        drawn = sample(bank, kind, 30, Random(4, CPU), spoilt=False)
        index = 8 if kind is EYE else 6
        found = 0
        for picture, places in zip(drawn.pictures, drawn.places, strict=True):
            grey = picture.mean(0) - 0.12
            bright = grey.clamp_min(0) ** 2
            x, y = (places[index] * kind.scale).tolist()
            at = np.array([x + kind.width / 2, y + kind.height / 2])
            if (
                bright.max() < 0.2
                or (at < 6).any()
                or (at > (kind.width - 6, kind.height - 6)).any()
            ):
                continue  # beyond the patch, or its edge
            rows, columns = torch.meshgrid(*map(torch.arange, grey.shape), indexing="ij")
            centre = [float((bright * i).sum() / bright.sum()) + 0.5 for i in (columns, rows)]
            np.testing.assert_allclose(centre, at, atol=2.0)
            found += 1
        assert found > 3


def test_what_a_mesh_does_not_label_is_not_learned(faces, labelled):
    bank = banks(faces_of(faces, [], labelled), CPU)
    for name, part in (("eye", PARTS[0]), ("mouth", PARTS[2])):
        wanted = np.isin(part.points, [i for i in KNOWN if i != 8])
        assert (bank[name].known.numpy() == wanted).all()
    assert banks(faces_of(faces, ["000.jpg"]), CPU)["eye"].known.all()


def test_pictures_are_the_same_again_with_the_same_seed(faces):
    names = ["000.jpg", "001.jpg"]
    made = banks(faces_of(faces, names), CPU)
    for name, kind in KINDS.items():
        one, other = (sample(made[name], kind, 20, Random(2, CPU)) for _ in range(2))
        assert torch.equal(one.pictures, other.pictures)
        assert torch.equal(one.places, other.places)
        assert one.pictures.shape == (20, 3, kind.height, kind.width)


def _run(*arguments):
    result = CliRunner().invoke(app, ["train", "expressions", *map(str, arguments)])
    assert result.exit_code == 0, result.output


def test_the_commands_make_a_file_that_a_tracker_takes(faces, labelled, tmp_path):
    one, two = tmp_path / "parts", tmp_path / "filter"
    _run("--arch", "parts", "--faces", faces, "--labelled", labelled, "--out", one,
         "--steps", 2, "--batch", 4)  # fmt: skip
    _run("--arch", "filter", "--faces", faces, "--parts", one / "parts.safetensors",
         "--out", two, "--clips", 10, "--steps", 2, "--batch", 2)  # fmt: skip
    record = [json.loads(line) for line in (two / "log.jsonl").read_text().splitlines()][-1]
    assert set(record["held_out"]) == {
        f"{kind} {way}" for kind in KINDS for way in ("tracker", "network", "filter")
    }
    network = ExpressionNetwork(str(two / "expressions.safetensors"))
    patches = [np.zeros((p.kind.height, p.kind.width, 3), np.uint8) for p in PARTS]
    looks = network.look([patches, patches])
    assert [len(face) for face in looks] == [3, 3]
    assert looks[0][2].places.shape == (MOUTH.points,)


def test_a_filter_needs_networks(faces, tmp_path):
    arguments = ["train", "expressions", "--arch", "filter", "--faces", str(faces)]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)])
    assert result.exit_code
    assert "--parts" in result.output


def test_a_recording_holds_what_the_tracker_saw(faces, tmp_path):
    part_filter.gather(Path(faces), tmp_path, 1, 1, held_out=False)
    clips = part_clips.read(tmp_path)
    assert clips.tracked.shape == (1, 6, 68, 2)
    assert clips.eyes.shape == (1, 6, 2, EYE.height, EYE.width, 3)
    assert np.isfinite(clips.truth[0, 0]).all()
    files = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    part_filter.gather(Path(faces), tmp_path, 1, 1, held_out=False)  # has them already
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == files
