"""Test the names of a series' images in the tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facetrack.errors import FacetrackError
from facetrack.formats.base import FORMATS, open_writer, output_path
from facetrack.formats.csv import read_csv
from facetrack.formats.npz import read_npz
from facetrack.tracks import Tracks

NAMES = ['a,"b" 1.png', "nan 2.png", "ü\n\r3.png", "=1+long name 4.png"]

Make = Callable[..., Tracks]


@pytest.fixture
def parts(make_tracks: Make, cut_tracks: Make) -> list[Tracks]:
    """Tracks of a series in two parts; the second face is absent from the first."""
    both = make_tracks(4, 2, 3)
    cut = [cut_tracks(both, 0, 1).with_faces([0]), cut_tracks(both, 1, 4)]
    named = np.split(np.array(NAMES), [1])
    return [
        dataclasses.replace(part, image_names=names) for part, names in zip(cut, named, strict=True)
    ]


def write(name: str, folder: Path, parts: list[Tracks]) -> Path:
    with open_writer(name, folder, "a") as writer:
        for part in parts:
            writer.write(part)
    return output_path(name, folder, "a")


@pytest.mark.parametrize(("name", "read"), [("csv", read_csv), ("npz", read_npz)])
def test_names_come_back(
    tmp_path: Path, parts: list[Tracks], name: str, read: Callable[[Path], Tracks]
) -> None:
    loaded = read(write(name, tmp_path, parts))
    assert loaded.image_names is not None
    assert loaded.image_names.tolist() == NAMES
    whole = Tracks.concatenate(parts)
    np.testing.assert_allclose(loaded.xy, whole.xy, atol=0.00075)
    np.testing.assert_array_equal(loaded.visible, whole.visible)


@pytest.mark.parametrize("name", sorted(FORMATS.keys() - {"csv", "npz"}))
def test_other_formats_have_no_names(tmp_path: Path, parts: list[Tracks], name: str) -> None:
    plain = [dataclasses.replace(part, image_names=None) for part in parts]
    (tmp_path / "plain").mkdir()
    with_names, without = write(name, tmp_path, parts), write(name, tmp_path / "plain", plain)
    if with_names.is_dir():
        assert sorted(p.name for p in with_names.iterdir()) == sorted(
            p.name for p in without.iterdir()
        )
    else:
        assert with_names.read_bytes() == without.read_bytes()


def test_the_name_is_the_last_column_and_only_of_images(
    tmp_path: Path, parts: list[Tracks]
) -> None:
    header = write("csv", tmp_path, parts).read_text(encoding="utf-8").splitlines()[0]
    assert header.endswith(",v_0,v_1,v_2,image")
    plain = [dataclasses.replace(part, image_names=None) for part in parts]
    header = write("csv", tmp_path, plain).read_text(encoding="utf-8").splitlines()[0]
    assert header.endswith(",v_0,v_1,v_2")


def test_a_name_that_is_not_utf8_is_escaped(tmp_path: Path, make_tracks: Make) -> None:
    names = np.array(["\udcff.png"])
    tracks = dataclasses.replace(make_tracks(1, 1, 2), image_names=names)
    loaded = read_csv(write("csv", tmp_path, [tracks]))
    assert loaded.image_names is not None
    assert loaded.image_names.tolist() == ["\\udcff.png"]


def test_a_chunk_without_names_does_not_follow_one_with(
    tmp_path: Path, parts: list[Tracks]
) -> None:
    plain = dataclasses.replace(parts[1], image_names=None)
    with pytest.raises(ValueError, match="names of images"):
        write("csv", tmp_path, [parts[0], plain])


def test_two_images_of_one_frame_are_refused(tmp_path: Path, parts: list[Tracks]) -> None:
    path = write("csv", tmp_path, parts)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("nan 2.png", "other.png", 1), encoding="utf-8")
    with pytest.raises(FacetrackError, match="one frame two images"):
        read_csv(path)


def test_tables_of_pandas_have_the_name(parts: list[Tracks]) -> None:
    pytest.importorskip("pandas")
    table = Tracks.concatenate(parts).to_dataframe()
    assert table.columns[-1] == "image"
    assert table["image"].tolist() == [name for name in NAMES for _ in range(2)]
