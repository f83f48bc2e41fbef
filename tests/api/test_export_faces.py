"""Corrected frames as faces to train on."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import sample_run
from typer.testing import CliRunner

from facetrack.api.editing import EditSession, PointEdit
from facetrack.api.export_faces import SIDE_PER_FACE, export_faces
from facetrack.cli import app
from facetrack.errors import FacetrackError
from facetrack.formats.earlier_runs import find_runs
from facetrack.training.detectors import data

FRAMES = 40


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return sample_run.write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", FRAMES)


@pytest.fixture
def record(clip: Path, tmp_path: Path) -> Path:
    """A run with two corrected frames, saved."""
    path = sample_run.save_run(tmp_path / "run", clip, FRAMES)
    session = EditSession.open(path, who="tester")
    # Without networks: the corrected points alone move.
    session._corrector.placer._get_detector = lambda: None
    session._corrector.placer._get_shapes = lambda: None
    for frame in (8, 20):
        x, y = sample_run.true_points(FRAMES)[frame, sample_run.POINT]
        session.correct(frame, 0, [PointEdit(sample_run.POINT, float(x), float(y))])
    session.save()
    return path


def exported(record: Path, folder: Path, **settings):
    return export_faces(find_runs([record]), folder, **settings)


def test_crops_hold_the_corrected_faces_and_their_points(record, tmp_path):
    folder = tmp_path / "corrected"
    result = exported(record, folder)
    assert (result.corrected, result.between) == (2, 0)
    with np.load(folder / "landmarks68.npz") as table:
        names, points = table["names"].tolist(), table["points"]
    assert names == ["clip.face0.000008.jpg", "clip.face0.000020.jpg"]
    truth = sample_run.true_points(FRAMES)
    for name, found, frame in zip(names, points, (8, 20), strict=True):
        crop = cv2.imread(str(folder / name))
        side = len(crop)
        assert crop.shape == (side, side, 3)
        size = np.ptp(truth[frame], axis=0).max()
        assert side == pytest.approx(size * SIDE_PER_FACE, abs=6)
        # The face is in the middle, and points are off from one another as in the frame.
        middle = (found.min(0) + found.max(0)) / 2
        np.testing.assert_allclose(middle, (side - 1) / 2, atol=1)
        offset = truth[frame, sample_run.POINT] - found[sample_run.POINT]
        # The texture at a point is that of the frame at the same place.
        session = EditSession.open(record)
        whole = session.image(frame)
        x, y = np.round(found[27]).astype(int)
        wide = np.round(found[27] + offset).astype(int)
        seen = crop[y - 2 : y + 3, x - 2 : x + 3].mean()
        assert seen == pytest.approx(
            whole[wide[1] - 2 : wide[1] + 3, wide[0] - 2 : wide[0] + 3].mean(), abs=25
        )
    content = json.loads(result.record.read_text())["faces"]
    assert sorted(content["files"]) == [*names, "landmarks68.npz"]


def test_training_reads_the_folder(record, tmp_path, monkeypatch):
    folder = tmp_path / "corrected"
    result = exported(record, folder, every=1)
    assert result.corrected == 2
    assert result.between > 20
    monkeypatch.setattr(data.textures, "FEW", 5)
    names, held_out = data.names_of(folder, "68")
    assert len(names) + len(held_out) == result.corrected + result.between
    faces = data.load(folder, "68", "cpu", side=64)
    assert faces.points.shape[1:] == (68, 2)
    assert faces.points.min() > 0
    assert faces.points.max() < 63


def test_a_second_export_replaces_the_first_and_nothing_else(record, tmp_path):
    folder = tmp_path / "corrected"
    exported(record, folder, every=5)
    count = len(list(folder.glob("*.jpg")))
    assert count > 2
    (folder / "mine.jpg").write_bytes(b"mine")
    exported(record, folder)
    assert len(list(folder.glob("*.jpg"))) == 2 + 1
    assert (folder / "mine.jpg").read_bytes() == b"mine"
    (folder / "faces.json").unlink()
    with pytest.raises(FacetrackError, match="exists"):
        exported(record, folder)
    assert len(list(folder.glob("*.jpg"))) == 2 + 1


def test_what_a_person_has_changed_since_is_kept(record, tmp_path):
    folder = tmp_path / "corrected"
    exported(record, folder, every=5)
    first, *_, last = sorted(folder.glob("*.jpg"))
    first.write_bytes(b"retouched")
    exported(record, folder)  # that frame is not among them
    assert first.read_bytes() == b"retouched"
    assert not last.exists()
    (folder / "landmarks68.npz").write_bytes(b"with mine")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FacetrackError, match="npz was changed since facetrack wrote it"):
        exported(record, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    exported(record, folder, overwrite=True)
    assert (folder / "landmarks68.npz").read_bytes() != b"with mine"


def test_a_run_without_corrections_is_named(clip, tmp_path):
    path = sample_run.save_run(tmp_path / "run", clip, FRAMES)
    result = CliRunner().invoke(
        app, ["export", "faces", str(path), "--out", str(tmp_path / "corrected")]
    )
    assert result.exit_code == 2
    assert "has no corrected points: save them" in result.output
    assert not (tmp_path / "corrected").exists()
