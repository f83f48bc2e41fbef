"""Test that pictures are whole and keep their shape: interlaced footage, changes within a file."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import clips
import numpy as np
import pytest
from clips import read_frames

from facetrack.video import picture
from facetrack.video.picture import Canvas, Preparation
from facetrack.video.probe import probe
from facetrack.video.reader import read_reversed
from facetrack.video.span import Span, SpanReader

# ------------------------------------------------------------------------------ interlaced footage

FIELDS = 24
"""Number of moments of an interlaced clip, two a frame."""
INTERLACED = ("-flags", "+ilme+ildct")
PAL = (720, 576)


def draw_bar(moment: int, size: tuple[int, int]) -> np.ndarray:
    """Return a grey picture with a white bar, which moves 6 pixels from moment to moment."""
    image = np.full((size[1], size[0], 3), 60, np.uint8)
    x = 20 + 6 * moment
    image[:, x : x + 24] = 220
    return image


def write_interlaced(
    path: Path,
    codec: tuple[str, ...],
    order: str = "tff",
    size: tuple[int, int] = (320, 240),
    progressive: bool = False,
    pixels: str = "yuv420p",
) -> Path:
    """Write a moving bar; the two fields of each frame are from different moments."""
    raw = b"".join(draw_bar(i, size).tobytes() for i in range(FIELDS))
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", "50")
    weave = f"interlace=scan={order}:lowpass=0,setfield={order}"
    filters = f"format={pixels}," + ("fps=25" if progressive else weave)
    clips.run_ffmpeg(*source, "-i", "pipe:0", "-vf", filters, *codec, str(path), data=raw)
    return path


def combing(image: np.ndarray) -> float:
    """Return how much lines differ from both of their neighbours, in grey levels."""
    lines = image.mean(-1)[8:-8]
    above, below = lines[1:-1] - lines[:-2], lines[1:-1] - lines[2:]
    return float(np.where(above * below > 0, np.minimum(abs(above), abs(below)), 0).mean())


def bar_position(image: np.ndarray) -> float:
    """Return x of the middle of the bar."""
    row = image[8:-8].mean((0, 2)) - 60
    return float((row * np.arange(len(row))).sum() / row.sum())


INTERLACED_FILES: dict[str, tuple[str, tuple[str, ...]]] = {
    "mpeg2": ("a.mpg", ("-c:v", "mpeg2video", "-q:v", "2", *INTERLACED)),
    "h264": ("a.ts", ("-c:v", "libx264", "-qp", "8", *INTERLACED)),
    "camcorder": ("a.m2ts", ("-c:v", "libx264", "-qp", "8", "-bf", "2", *INTERLACED)),
    "mpeg4": ("a.mp4", ("-c:v", "mpeg4", "-q:v", "2", *INTERLACED)),
    "prores": ("a.mov", ("-c:v", "prores_ks", *INTERLACED)),
    "ffv1": ("a.mkv", ("-c:v", "ffv1")),
    # Only the container says so.
    "png": ("a.mov", ("-c:v", "png")),
    "vp8": ("a.mkv", ("-c:v", "libvpx", "-b:v", "4M")),
    "hevc": ("a.mkv", ("-c:v", "libx265", "-x265-params", "log-level=0:qp=8")),
}


@pytest.mark.parametrize("kind", INTERLACED_FILES)
def test_interlaced_footage_is_deinterlaced(tmp_path: Path, kind: str) -> None:
    name, codec = INTERLACED_FILES[kind]
    path = write_interlaced(tmp_path / name, codec)
    frames, warnings = read_frames(path)
    assert len(frames) == clips.decoded_count(path) == FIELDS // 2
    assert [b.time - a.time for a, b in pairwise(frames)] == pytest.approx([0.04] * 11, abs=1e-3)
    assert max(combing(frame.image) for frame in frames) < 1.5  # 6 as they are stored
    assert np.diff([bar_position(f.image) for f in frames[1:]]) == pytest.approx(
        np.full(10, 12), abs=2
    )
    assert len(warnings) == 1
    assert "is interlaced: each frame was deinterlaced" in warnings[0]
    assert probe(path).is_deinterlaced


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_frames_show_the_moment_of_their_first_field(tmp_path: Path, order: str) -> None:
    codec = ("-c:v", "ffv1")
    frames, _ = read_frames(write_interlaced(tmp_path / "a.mkv", codec, order))
    positions = [bar_position(f.image) for f in frames[1:-1]]
    assert positions == pytest.approx([20 + 12 * i + 11.5 for i in range(1, 11)], abs=3.5)


DISPLAYS = [
    tuple(filter(None, ("-display_rotation", str(angle), flip)))
    for angle in (0, 90, 180, 270)
    for flip in ("", "-display_hflip")
] + [("-display_rotation", "30")]
"""Ways to turn and to mirror a file, as options of ffmpeg's input."""


@pytest.fixture(scope="module")
def two_scans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write an interlaced clip, and a progressive one of its deinterlaced frames."""
    folder = tmp_path_factory.mktemp("scans")
    codec = ("-c:v", "libx264", "-qp", "0", *INTERLACED)
    interlaced = write_interlaced(folder / "interlaced.mp4", codec, size=(192, 128))
    whole = b"".join(frame.image.tobytes() for frame in read_frames(interlaced)[0])
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "192x128", "-r", "25", "-i", "pipe:0")
    progressive = folder / "progressive.mp4"
    clips.run_ffmpeg(*source, "-c:v", "libx264rgb", "-qp", "0", str(progressive), data=whole)
    return {"interlaced": interlaced, "progressive": progressive}


@pytest.mark.parametrize("display", DISPLAYS, ids=" ".join)
def test_turned_interlaced_footage_looks_like_turned_frames(
    tmp_path: Path, two_scans: dict[str, Path], display: tuple[str, ...]
) -> None:
    turned = {scan: tmp_path / f"{scan}.mp4" for scan in two_scans}
    for scan, path in turned.items():
        clips.run_ffmpeg(*display, "-i", str(two_scans[scan]), "-c", "copy", str(path))
    frames, warnings = read_frames(turned["interlaced"])
    wanted, _ = read_frames(turned["progressive"])
    assert "is interlaced" in warnings[0]
    info, other = probe(turned["interlaced"]), probe(turned["progressive"])
    assert (info.width, info.height) == (other.width, other.height) == frames[0].image.shape[1::-1]
    assert info.rotation == other.rotation
    assert [f.time for f in frames] == pytest.approx([f.time for f in wanted])
    for frame, expected in zip(frames, wanted, strict=True):
        assert np.abs(frame.image.astype(int) - expected.image).mean() < 1
    tail, _ = read_frames(turned["interlaced"], first=7)
    assert all((a.image == b.image).all() for a, b in zip(tail, frames[7:], strict=True))


def test_a_turn_within_the_frames_is_kept_while_deinterlacing(tmp_path: Path) -> None:
    codec = ("-c:v", "libx264", "-qp", "8", *INTERLACED)
    plain = write_interlaced(tmp_path / "plain.h264", codec)
    path = tmp_path / "turned.h264"
    flag = "h264_metadata=display_orientation=insert:rotate=90"
    clips.run_ffmpeg("-i", str(plain), "-c", "copy", "-bsf:v", flag, str(path))
    frames, _ = read_frames(path)
    assert frames[0].image.shape == (320, 240, 3)
    assert max(combing(frame.image.swapaxes(0, 1)) for frame in frames) < 1.5


def test_dv_tapes_are_deinterlaced(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    write_interlaced(path, ("-c:v", "dvvideo", "-pix_fmt", "yuv420p"), "bff", PAL)
    frames, warnings = read_frames(path)
    assert len(frames) == FIELDS // 2
    assert max(combing(frame.image) for frame in frames) < 1.5
    assert "is interlaced" in warnings[0]


@pytest.mark.parametrize("kind", ["mpeg2", "h264", "prores"])
def test_progressive_footage_is_left_alone(tmp_path: Path, kind: str) -> None:
    name, codec = INTERLACED_FILES[kind]
    codec = tuple(option for option in codec if option not in INTERLACED)
    path = write_interlaced(tmp_path / name, codec, progressive=True)
    frames, warnings = read_frames(path)
    assert len(frames) == FIELDS // 2
    assert warnings == []
    assert not probe(path).is_deinterlaced


@pytest.mark.parametrize("kind", ["colour", "size", "one frame"])
def test_no_frame_is_lost_where_interlaced_footage_changes(tmp_path: Path, kind: str) -> None:
    codec = ("-c:v", "libx264", "-qp", "8", "-bf", "0", *INTERLACED)
    other = {
        "colour": ("-colorspace", "bt709"),
        "size": (),
        "one frame": ("-frames:v", "1"),
    }[kind]
    size = (320, 240) if kind == "colour" else (160, 120)
    first = write_interlaced(tmp_path / "first.ts", (*codec, "-colorspace", "smpte170m"))
    second = write_interlaced(tmp_path / "second.ts", (*codec, *other), size=size)
    path, parts = tmp_path / "joined.ts", [first, second, first]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames, _ = read_frames(path)
    expected = [frame.image for part in parts for frame in read_frames(part)[0]]
    assert len(frames) == len(expected) == clips.decoded_count(path)
    for frame, image in zip(frames, expected, strict=True):
        fitted = Canvas((320, 240), Fraction(1)).fit(image, Fraction(1))
        # A single frame has no neighbour whose fields tell what has moved.
        assert np.array_equal(frame.image, fitted) or (kind, frame.index) == ("one frame", 12)
    tail, _ = read_frames(path, first=11)
    assert [f.index for f in tail] == list(range(11, len(frames)))
    assert np.array_equal(tail[0].image, frames[11].image)


@pytest.fixture(scope="module")
def interlaced_later(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a clip of twelve progressive frames, then twelve interlaced ones."""
    folder = tmp_path_factory.mktemp("later")
    codec = ("-c:v", "libx264", "-qp", "8", "-bf", "0")
    first = write_interlaced(folder / "first.ts", codec, progressive=True)
    second = write_interlaced(folder / "second.ts", (*codec, *INTERLACED))
    path = folder / "both.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    return path


def test_footage_that_becomes_interlaced_is_deinterlaced_from_there(
    interlaced_later: Path,
) -> None:
    frames, warnings = read_frames(interlaced_later)
    assert len(frames) == clips.decoded_count(interlaced_later) == FIELDS
    assert max(combing(frame.image) for frame in frames) < 1.5
    assert any("is interlaced from frame 12 on" in w for w in warnings)
    reader = SpanReader(interlaced_later, Span())
    assert not reader.deinterlaced
    assert len(list(reader.forwards())) == FIELDS
    assert reader.deinterlaced


@pytest.mark.parametrize("first", [3, 12, 13, 20])
def test_frames_do_not_depend_on_where_reading_begins(interlaced_later: Path, first: int) -> None:
    whole, tail = read_frames(interlaced_later)[0], read_frames(interlaced_later, first=first)[0]
    assert [(f.index, f.time) for f in tail] == [(f.index, f.time) for f in whole[first:]]
    assert all((a.image == b.image).all() for a, b in zip(tail, whole[first:], strict=True))


def test_single_fields_are_said(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    parameters = "interlace=tff:log-level=0:qp=8"
    write_interlaced(path, ("-c:v", "libx265", "-x265-params", parameters))
    frames, warnings = read_frames(path)
    assert len(frames) == FIELDS // 2
    assert len(warnings) == 1
    assert "each of its frames is a single field" in warnings[0]


# ------------------------------------------------------------------------- changes within a file


def draw_disc(size: tuple[int, int], aspect: Fraction = Fraction(1)) -> np.ndarray:
    """Return a picture with a disc, which is round when its pixels have their aspect."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    distance = np.hypot((x - (width - 1) / 2) * float(aspect), y - (height - 1) / 2)
    image = np.full((height, width, 3), 90, np.uint8)
    image[distance < 0.35 * min(width * aspect, height)] = 230
    return image


def write_disc(
    path: Path,
    size: tuple[int, int],
    codec: tuple[str, ...],
    aspect: Fraction = Fraction(1),
    count: int = 6,
    *options: str,
) -> Path:
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-i", "pipe:0")
    filters = ("-vf", f"setsar={aspect.numerator}/{aspect.denominator}:max=10000")
    data = draw_disc(size, aspect).tobytes() * count
    clips.run_ffmpeg(*source, *filters, *codec, *options, str(path), data=data)
    return path


def disc_shape(image: np.ndarray, aspect: Fraction = Fraction(1)) -> tuple[float, float, float]:
    """Return width / height of the disc as displayed, and its middle (x, y)."""
    rows, columns = np.nonzero(image.mean(-1) > 160)
    width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
    return float(width * aspect / height), float(columns.mean()), float(rows.mean())


def assert_round(images: list[np.ndarray], aspect: Fraction = Fraction(1)) -> None:
    height, width = images[0].shape[:2]
    for image in images:
        shape, x, y = disc_shape(image, aspect)
        assert shape == pytest.approx(1, abs=0.06)
        assert (x, y) == pytest.approx(((width - 1) / 2, (height - 1) / 2), abs=1)


H264 = ("-c:v", "libx264", "-qp", "8", "-pix_fmt", "yuv420p", "-bf", "0")
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "2", "-bf", "0")
MJPEG = ("-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj444p")
CHANGES: dict[str, tuple[str, tuple[str, ...], list[tuple[int, int]]]] = {
    "turned": ("mjpeg", MJPEG, [(160, 96), (96, 160)]),
    "smaller": ("ts", H264, [(160, 96), (120, 96)]),
    "larger": ("ts", H264, [(96, 96), (320, 180)]),
    "three": ("h264", H264, [(160, 96), (96, 96), (96, 160)]),
    "back": ("ts", H264, [(160, 96), (96, 128), (160, 96)]),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_other_sizes_keep_their_shape(tmp_path: Path, kind: str) -> None:
    suffix, codec, sizes = CHANGES[kind]
    parts = [write_disc(tmp_path / f"{i}.{suffix}", s, codec) for i, s in enumerate(sizes)]
    path = tmp_path / f"all.{suffix}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames, warnings = read_frames(path)
    assert len(frames) == clips.decoded_count(path) == 6 * len(sizes)
    assert {frame.image.shape for frame in frames} == {(sizes[0][1], sizes[0][0], 3)}
    assert_round([frame.image for frame in frames])
    (told,) = [w for w in warnings if "picture" in w]
    (w, h), (later_w, later_h) = sizes[:2]
    assert f"changes at frame 6, from {w}x{h} to {later_w}x{later_h}" in told
    assert ("1 more time later" in told) == (len(sizes) > 2)
    tail, _ = read_frames(path, first=8)
    assert all((a.image == b.image).all() for a, b in zip(tail, frames[8:], strict=True))


@pytest.mark.parametrize("container", ["webm", "mkv"])
def test_a_call_that_changes_its_size(tmp_path: Path, container: str) -> None:
    # VP8 frames of two sizes, in one track as a recorded call has them.
    codec = ("-c:v", "libvpx", "-b:v", "2M")
    first = write_disc(tmp_path / "first.ivf", (160, 96), codec)
    second = write_disc(tmp_path / "second.ivf", (96, 128), codec)
    data = bytearray(first.read_bytes())
    frames_of_second = bytearray(second.read_bytes()[32:])
    position = 0
    while position < len(frames_of_second):
        size = int.from_bytes(frames_of_second[position : position + 4], "little")
        pts = int.from_bytes(frames_of_second[position + 4 : position + 12], "little") + 6
        frames_of_second[position + 4 : position + 12] = pts.to_bytes(8, "little")
        position += 12 + size
    joined = tmp_path / "joined.ivf"
    joined.write_bytes(data + frames_of_second)
    path = tmp_path / f"call.{container}"
    clips.run_ffmpeg("-i", str(joined), "-c", "copy", str(path))
    frames, warnings = read_frames(path)
    assert len(frames) == 12
    assert_round([frame.image for frame in frames])
    assert len(warnings) == 1
    assert "frame 6, from 160x96 to 96x128" in warnings[0]
    backward = list(read_reversed(path, 11, budget_bytes=4 * frames[0].image.nbytes))
    assert all((a.image == b.image).all() for a, b in zip(backward, frames[::-1], strict=True))


@pytest.mark.parametrize("turn", [90, 270])
def test_a_turn_within_a_file_keeps_the_shape(tmp_path: Path, turn: int) -> None:
    plain = write_disc(tmp_path / "plain.h264", (160, 96), H264)
    turned = tmp_path / "turned.h264"
    flag = f"h264_metadata=display_orientation=insert:rotate={turn}"
    clips.run_ffmpeg("-i", str(plain), "-c", "copy", "-bsf:v", flag, str(turned))
    path = tmp_path / "both.h264"
    path.write_bytes(plain.read_bytes() + turned.read_bytes())
    frames, warnings = read_frames(path)
    assert len(frames) == 12
    assert_round([frame.image for frame in frames])
    assert any("frame 6, from 160x96 to 96x160" in w for w in warnings)


@pytest.mark.parametrize("suffix", ["ts", "mpg"])
@pytest.mark.parametrize(
    "aspects", [(Fraction(16, 15), Fraction(64, 45)), (Fraction(64, 45), Fraction(16, 15))]
)
def test_a_change_of_the_pixel_aspect_keeps_the_shape(
    tmp_path: Path, aspects: tuple[Fraction, Fraction], suffix: str
) -> None:
    # As in broadcasts, which switch between 4:3 and 16:9.
    codec = H264 if suffix == "ts" else MPEG2
    parts = [
        write_disc(tmp_path / f"{i}.{suffix}", (180, 144), codec, a) for i, a in enumerate(aspects)
    ]
    path = tmp_path / f"both.{suffix}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames, warnings = read_frames(path)
    change = next(i for i, w in enumerate(warnings) if "changes at frame" in w)
    assert len(frames) == clips.decoded_count(path) >= 11
    assert_round([frame.image for frame in frames], aspects[0])
    stated = " to ".join(f"180x144 with pixels of {a.numerator}:{a.denominator}" for a in aspects)
    assert f", from {stated}" in warnings[change]
    assert probe(path).pixel_aspect == aspects[0]
    tail, _ = read_frames(path, first=8)
    assert all((a.image == b.image).all() for a, b in zip(tail, frames[8:], strict=True))


def test_a_picture_of_the_same_shape_fills_the_frame() -> None:
    canvas = Canvas((160, 96), Fraction(1))
    fitted = canvas.fit(np.full((48, 80, 3), 200, np.uint8), Fraction(1))
    assert fitted.shape == (96, 160, 3)
    assert fitted.min() == 200
    same = np.zeros((96, 160, 3), np.uint8)
    assert canvas.fit(same, Fraction(1)) is same


def test_extreme_shapes_fit() -> None:
    canvas = Canvas((160, 96), Fraction(1))
    for size in ((1, 4000), (4000, 1), (1, 1)):
        assert canvas.fit(np.zeros((size[1], size[0], 3), np.uint8), Fraction(1)).shape[0] == 96


def test_preparations_cover_each_other() -> None:
    plain, fields = Preparation(), Preparation(deinterlace=True)
    assert fields.covers(plain)
    assert not plain.covers(fields)
    assert not plain.covers(Preparation(colour="x"))
    assert fields.changed_to(Preparation(colour="x")) == Preparation(True, "", "x")
    assert picture.showinfo.FILTER in fields.filters("gte(n,3)")


def test_a_shared_call_keeps_its_shape(shared_cases: Path) -> None:
    frames, warnings = read_frames(shared_cases / "call.webm")
    assert {frame.image.shape for frame in frames} == {(360, 640, 3)}
    assert frames[20].image[:, :180].max() == frames[20].image[:, -180:].max() == 0
    assert frames[20].image[:, 190:-190].mean() > 60
    assert "frame 15, from 640x360 to 360x480" in warnings[0]
