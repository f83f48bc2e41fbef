"""Test what all writers have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from facetrack.errors import FacetrackError
from facetrack.formats.base import FORMATS, open_writer, output_path
from facetrack.formats.npz import read_npz
from facetrack.tracks import Tracks

Make = Callable[..., Tracks]


@pytest.mark.parametrize("name", FORMATS)
class TestEveryFormat:
    def test_only_the_complete_file_appears(
        self, tmp_path: Path, make_tracks: Make, name: str
    ) -> None:
        with open_writer(name, tmp_path, "my.clip") as writer:
            writer.write(make_tracks(3, 1, 4))
            assert not output_path(name, tmp_path, "my.clip").exists()
        assert [p.name for p in tmp_path.iterdir()] == [f"my.clip{FORMATS[name].suffix}"]

    def test_no_file_after_an_exception(self, tmp_path: Path, make_tracks: Make, name: str) -> None:
        with pytest.raises(KeyError), open_writer(name, tmp_path, "clip") as writer:  # noqa: PT012
            writer.write(make_tracks(3, 1, 4))
            raise KeyError
        assert list(tmp_path.iterdir()) == []

    def test_earlier_result_is_kept_after_an_exception(
        self, tmp_path: Path, make_tracks: Make, name: str
    ) -> None:
        with open_writer(name, tmp_path, "clip") as writer:
            writer.write(make_tracks(3, 1, 4))
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(KeyError), open_writer(name, tmp_path, "clip"):
            raise KeyError
        assert sorted(tmp_path.rglob("*")) == before

    def test_no_file_without_a_frame(self, tmp_path: Path, name: str) -> None:
        with (
            pytest.raises(FacetrackError, match="no frame to write"),
            open_writer(name, tmp_path, "a"),
        ):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_chunks_give_the_same_bytes_as_a_single_write(
        self, tmp_path: Path, make_tracks: Make, cut_tracks: Make, name: str
    ) -> None:
        tracks = make_tracks(7, 2, 3)
        contents = []
        for folder, cuts in (("whole", [0, 7]), ("parts", [0, 1, 5, 5, 7])):
            (tmp_path / folder).mkdir()
            with open_writer(name, tmp_path / folder, "clip") as writer:
                for start, stop in pairwise(cuts):
                    writer.write(cut_tracks(tracks, start, stop))
            files = sorted(p for p in (tmp_path / folder).rglob("*") if p.is_file())
            contents.append([(p.name, p.read_bytes()) for p in files])
        assert contents[0] == contents[1]

    def test_chunk_out_of_order_is_refused(
        self, tmp_path: Path, make_tracks: Make, cut_tracks: Make, name: str
    ) -> None:
        tracks = make_tracks(4, 1, 3)
        with open_writer(name, tmp_path, "clip") as writer:
            writer.write(cut_tracks(tracks, 0, 2))
            with pytest.raises(ValueError, match=r"not .* 2, 1\)"):
                writer.write(cut_tracks(tracks, 3, 4))

    def test_missing_folder_is_reported_in_one_sentence(
        self, tmp_path: Path, make_tracks: Make, name: str
    ) -> None:
        (tmp_path / "file").touch()
        with (
            pytest.raises(FacetrackError, match="cannot be written"),
            open_writer(name, tmp_path / "file", "clip") as writer,
        ):
            writer.write(make_tracks(1, 1, 3))


def test_time_that_is_not_a_number_is_refused(tmp_path: Path, make_tracks: Make) -> None:
    bad = make_tracks(2, 1, 3)
    bad.time[1] = np.nan
    with (
        pytest.raises(ValueError, match="finite time"),
        open_writer("csv", tmp_path, "clip") as writer,
    ):
        writer.write(bad)


def test_unknown_format() -> None:
    with pytest.raises(FacetrackError, match="choose csv, openface, dlc, pts, npz"):
        open_writer("xls", Path(), "clip")


@pytest.mark.parametrize("name", ["dlc", "pts", "npz"])
def test_formats_with_a_place_for_each_face_spool_the_tracks(
    tmp_path: Path, make_tracks: Make, name: str
) -> None:
    first, second = _complete(make_tracks(2, 1, 3)), _complete(make_tracks(2, 2, 3, first_frame=2))
    with open_writer(name, tmp_path, "apart") as writer:
        writer.write(first)
        writer.write(second)
    with open_writer(name, tmp_path, "joined") as writer:
        writer.write(Tracks.concatenate([first, second]))
    apart, joined = (output_path(name, tmp_path, stem) for stem in ("apart", "joined"))
    if name == "pts":
        texts = [
            {p.name.removeprefix(folder.name[:-4]): p.read_text() for p in folder.iterdir()}
            for folder in (apart, joined)
        ]
        assert texts[0] == texts[1]
        assert len(texts[0]) > 0
    else:
        assert apart.read_bytes() == joined.read_bytes()


@pytest.mark.parametrize("name", ["csv", "openface", "dlc", "pts", "npz"])
def test_frames_of_a_stride_keep_their_indices(
    tmp_path: Path, make_tracks: Make, name: str
) -> None:
    tracks = replace(_complete(make_tracks(3, 1, 3, first_frame=4)), stride=5)
    with open_writer(name, tmp_path, "clip") as writer:
        writer.write(tracks)
    path = output_path(name, tmp_path, "clip")
    if name == "npz":
        frames = read_npz(path).frames.tolist()
    elif name == "pts":
        frames = sorted(int(p.stem.rpartition("_")[2]) for p in path.iterdir())
    else:
        rows = path.read_text().splitlines()
        frames = [int(row.split(",")[0]) for row in rows if row[0].isdigit()]
    first = 5 if name == "openface" else 4
    assert frames == [first, first + 5, first + 10]


def _complete(tracks: Tracks) -> Tracks:
    return replace(tracks, xy=np.nan_to_num(tracks.xy), visible=np.ones_like(tracks.visible))


def test_full_disk_is_reported_in_one_sentence(
    tmp_path: Path, make_tracks: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    writer = open_writer("csv", tmp_path, "clip")
    monkeypatch.setattr(writer, "_append", full)
    with pytest.raises(FacetrackError, match=r"clip\.csv cannot be written: No space left"), writer:
        writer.write(make_tracks(2, 1, 3))
    assert list(tmp_path.iterdir()) == []
