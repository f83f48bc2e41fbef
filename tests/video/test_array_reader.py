"""Frames in memory are read as those of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import clips
import numpy as np
import pytest

from facetrack.errors import FacetrackError
from facetrack.video.array_reader import ArrayReader, FrameStream, spool_frames
from facetrack.video.frame import Frame
from facetrack.video.span import Span, SpanReader


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.stack([clips.draw_square(index) for index in range(12)])


def summary(frames: Iterator[Frame]) -> list[tuple[int, float, tuple[int, int]]]:
    return [(f.index, round(f.time, 6), clips.square_position(f.image)) for f in frames]


@pytest.mark.parametrize(
    "span",
    [Span(), Span(0.1, 0.4), Span(None, 0.2, 3), Span(0.08, None, 2), Span(-0.1, 0.2)],
    ids=str,
)
def test_an_array_is_read_as_a_file(frames: np.ndarray, dots: Path, span: Span) -> None:
    array, file = ArrayReader(frames, span), SpanReader(dots, span)
    assert array.first == file.first
    assert summary(array.forwards()) == summary(file.forwards())
    assert summary(array.forwards(after=5)) == summary(file.forwards(after=5))
    last = list(file.forwards())[-1].index
    assert summary(array.backwards(last)) == summary(file.backwards(last))
    assert summary(iter([array.frame(last)])) == summary(iter([file.frame(last)]))
    assert array.total == len(list(array.forwards()))
    assert (array.info.width, array.info.height) == (file.info.width, file.info.height)


def test_the_rate_gives_the_times(frames: np.ndarray) -> None:
    assert [f.time for f in ArrayReader(frames, Span(), 10).forwards()][:3] == [0, 0.1, 0.2]


def test_grey_frames_become_rgb(frames: np.ndarray) -> None:
    read = next(ArrayReader(frames[..., 0], Span()).forwards())
    np.testing.assert_array_equal(read.image, frames[0])


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((48, 64, 3), np.uint8), "is one picture"),
        (np.zeros((2, 48, 64, 4), np.uint8), "not (2, 48, 64, 4)"),
        (np.zeros((2, 48, 64, 3), np.float32), "must be uint8"),
        (np.zeros((0, 48, 64, 3), np.uint8), "holds no frames"),
        (np.zeros(5, np.uint8), "not (5,)"),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray, sentence: str) -> None:
    with pytest.raises(FacetrackError) as caught:
        ArrayReader(array, Span())
    assert sentence in str(caught.value)


def test_a_span_without_frames_is_refused(frames: np.ndarray) -> None:
    with pytest.raises(FacetrackError, match="no frame between start and end"):
        _ = ArrayReader(frames, Span(9.0)).first
    with pytest.raises(FacetrackError, match="0 to 9, every 3th"):
        ArrayReader(frames, Span(stride=3)).frame(4)


def test_frames_of_an_iterable_are_kept_on_disk(frames: np.ndarray, tmp_path: Path) -> None:
    kept = spool_frames(iter(frames), tmp_path)
    np.testing.assert_array_equal(kept, frames)
    assert isinstance(kept, np.memmap)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_stream_takes_frames_one_at_a_time(frames: np.ndarray) -> None:
    taken = []

    def camera() -> Iterator[np.ndarray]:
        for index, frame in enumerate(frames):
            taken.append(index)
            yield frame

    stream = FrameStream(camera(), fps=10)
    batches = stream.batches()
    assert [frame.index for frame in next(batches)] == [0]
    assert [frame.time for frame in next(batches)] == [0.1]
    assert taken == [0, 1]
    assert (stream.info.width, stream.info.height) == clips.SIZE


def test_a_stream_can_skip_frames(frames: np.ndarray) -> None:
    stream = FrameStream(iter(frames), fps=10, stride=5)
    read = [frame for batch in stream.batches() for frame in batch]
    assert [(f.index, f.time) for f in read] == [(0, 0.0), (1, 0.5), (2, 1.0)]
    assert [clips.square_position(f.image) for f in read] == [
        clips.expected_position(i) for i in (0, 5, 10)
    ]


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (np.zeros((64, 96, 3)), "not (64, 96, 3) float64"),
        ("clip.mp4", "not str"),
        (None, "not NoneType"),
        (np.zeros((10, 20, 3), np.uint8), "size of the first, 96 x 64 pixels, not 20 x 10"),
        (np.zeros((0, 4, 3), np.uint8), "holds no pixels"),
    ],
)
def test_what_is_no_frame_is_refused(
    frames: np.ndarray, bad: object, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(FacetrackError) as caught:
        spool_frames([frames[0], bad], tmp_path)
    assert sentence in str(caught.value)
    with pytest.raises(FacetrackError) as caught:
        list(FrameStream([frames[0], bad]).batches())  # type: ignore[list-item]
    assert sentence in str(caught.value)


def test_a_stream_of_none_says_so() -> None:
    with pytest.raises(FacetrackError, match="not NoneType"):
        FrameStream([None])  # type: ignore[list-item]


def test_no_frames_are_refused(tmp_path: Path) -> None:
    for reads in (lambda: spool_frames([], tmp_path), lambda: FrameStream([])):
        with pytest.raises(FacetrackError, match="no frames"):
            reads()
