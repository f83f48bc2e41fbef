"""Logs of tracks return what was added, in both directions, or nothing."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facetrack.errors import FacetrackError
from facetrack.pipeline import track_log
from facetrack.pipeline.track_log import Mark, TrackLog
from facetrack.tracks import Tracks


def tracks(first: int, count: int = 3, faces: int = 1) -> Tracks:
    random = np.random.default_rng(first)
    xy = random.normal(size=(count, faces, 4, 2)).astype(np.float32)
    xy[0, 0, 1] = np.nan
    return Tracks(
        xy=xy,
        visible=random.random(xy.shape[:3]) > 0.5,
        confidence=random.random(xy.shape[:3]).astype(np.float32),
        time=random.random(count),
        face_id=np.arange(faces) + first,
        scheme=f"points-{first}",
        size=(96, 64 + first),
        first_frame=first,
        stride=1 + first % 3,
    )


def assert_same(found: list[Tracks], wanted: list[Tracks]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        for field in fields(Tracks):
            a, b = getattr(one, field.name), getattr(other, field.name)
            np.testing.assert_array_equal(a, b, err_msg=field.name)
            assert type(a) is type(b)
            assert getattr(a, "dtype", None) == getattr(b, "dtype", None)


@given(
    counts=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 3)), max_size=8),
    most=st.sampled_from([0, 1500, 2**24]),
    temporary=st.booleans(),
)
@settings(max_examples=40)
def test_tracks_are_returned_in_both_directions(
    tmp_path_factory: pytest.TempPathFactory,
    counts: list[tuple[int, int]],
    most: int,
    temporary: bool,
) -> None:
    added = [tracks(i, *count) for i, count in enumerate(counts)]
    log = TrackLog(None if temporary else tmp_path_factory.mktemp("log") / "deep/log")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(track_log, "MAX_BUFFERED_BYTES", most)
        for one in added:
            log.add(one)
    assert_same(list(log), added)
    assert_same(list(reversed(log)), added[::-1])


@pytest.mark.parametrize("forwards", [False, True])
def test_saving_during_iteration_repeats_nothing(tmp_path: Path, forwards: bool) -> None:
    log, added = TrackLog(tmp_path / "log"), [tracks(i) for i in range(5)]
    for i, one in enumerate(added):
        log.add(one)
        if i == 1:
            log.save()
    found = []
    for one in log if forwards else reversed(log):
        found.append(one)
        log.save()
    assert_same(found, added if forwards else added[::-1])


def test_few_tracks_are_written_on_save_only(tmp_path: Path) -> None:
    log = TrackLog(tmp_path / "log")
    log.add(tracks(0))
    assert_same(list(log), [tracks(0)])
    assert list(tmp_path.iterdir()) == []
    log.save()
    assert list(tmp_path.iterdir()) == [tmp_path / "log"]


def test_many_tracks_are_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track_log, "MAX_BUFFERED_BYTES", 10_000)
    log, sizes = TrackLog(tmp_path / "log"), []
    for i in range(40):
        log.add(tracks(i))
        sizes.append(sum(map(len, log._buffer)))
    assert max(sizes) <= 10_000
    assert (tmp_path / "log").stat().st_size > 20_000


def marked(path: Path, count: int) -> Mark:
    """Return the marks of a log whose tracks were saved one by one."""
    log = TrackLog(path)
    for i in range(count):
        log.add(tracks(i))
        mark = log.save()
    return mark


def test_another_log_continues_from_a_mark(tmp_path: Path) -> None:
    mark = marked(tmp_path / "log", 2)
    later = TrackLog(tmp_path / "log")
    assert later.load(mark)
    later.add(tracks(2))
    last = TrackLog(tmp_path / "log")
    assert last.load(later.save())
    assert_same(list(last), [tracks(0), tracks(1), tracks(2)])


def test_tracks_after_the_mark_are_dropped(tmp_path: Path) -> None:
    mark = marked(tmp_path / "log", 2)
    with open(tmp_path / "log", "ab") as file:
        file.write(b"the run was killed before it said how much there is" * 100)
    later = TrackLog(tmp_path / "log")
    assert later.load(mark)
    later.add(tracks(7))
    later.save()
    assert_same(list(reversed(later)), [tracks(7), tracks(1), tracks(0)])


def test_the_mark_of_an_empty_log_needs_no_file(tmp_path: Path) -> None:
    assert TrackLog(tmp_path / "log").load(TrackLog(tmp_path / "other").save())


@pytest.mark.parametrize("at", [0, 400, -1])
def test_a_changed_file_is_rejected(tmp_path: Path, at: int) -> None:
    mark = marked(tmp_path / "log", 2)
    content = bytearray((tmp_path / "log").read_bytes())
    content[at] ^= 1
    (tmp_path / "log").write_bytes(content)
    later = TrackLog(tmp_path / "log")
    assert not later.load(mark)
    assert list(later) == []


def test_a_truncated_file_is_rejected(tmp_path: Path) -> None:
    mark = marked(tmp_path / "log", 2)
    content = (tmp_path / "log").read_bytes()
    (tmp_path / "log").write_bytes(content[:-1])
    assert not TrackLog(tmp_path / "log").load(mark)


def test_only_a_temporary_file_stays_open(tmp_path: Path) -> None:
    """It is closed with the log: an unclosed file would be a warning, an error in tests."""
    log = TrackLog()
    log.add(tracks(0))
    log.save()
    file = log._temporary
    assert file is not None
    del log
    assert file.closed


def test_an_unwritable_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    log = TrackLog(tmp_path / "file/log")
    log.add(tracks(0))
    with pytest.raises(FacetrackError, match="file/log cannot be written"):
        log.save()
    with pytest.raises(FacetrackError, match="nothing cannot be read"):
        TrackLog(tmp_path / "nothing").load(Mark(5, b""))
