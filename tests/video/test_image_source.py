"""Test images as a video: bad ones, other sizes, pages, and the images of animations."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import clips
import cv2
import numpy as np
import pytest
from clips import read_frames

from facetrack.errors import FacetrackError
from facetrack.video import ffmpeg, image_source
from facetrack.video.image_files import read_image
from facetrack.video.reader import VideoReader, probe, read_reversed

DELAYS = [100, 40, 200, 40, 500, 60]
TIMES = [0.0, 0.1, 0.14, 0.34, 0.38, 0.88]


def shades(count: int = 6, size: tuple[int, int] = (64, 48)) -> list[np.ndarray]:
    """Return images of one shade each: 20, 50, 80, ..."""
    return [np.full((size[1], size[0], 3), 20 + 30 * i, np.uint8) for i in range(count)]


def write_series(folder: Path, names: list[str], images: list[np.ndarray] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    for name, image in zip(names, images or shades(len(names)), strict=True):
        encoded, data = cv2.imencode(Path(name).suffix, image)
        assert encoded
        (folder / name).write_bytes(data.tobytes())
    return folder


def write_animation(path: Path, delays: list[int] = DELAYS) -> Path:
    """Write an animation, one shade an image."""
    animation = cv2.Animation()
    animation.frames, animation.durations = shades(len(delays)), delays
    assert cv2.imwriteanimation(str(path), animation)
    return path


def shades_of(path: Path) -> list[int]:
    """Return the shade of each frame, in both reading directions."""
    frames = list(VideoReader(path))
    back = list(read_reversed(path, len(frames) - 1, budget_bytes=2 * frames[0].image.nbytes))
    for frame, again in zip(frames, reversed(back), strict=True):
        assert (frame.time, frame.name, frame.problem) == (again.time, again.name, again.problem)
        assert np.array_equal(frame.image, again.image)
    return [round(frame.image[24, 32].mean()) for frame in frames]


# Bad images


def bad_files(folder: Path, kind: str) -> None:
    path = folder / "f3.jpg"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("no image\n")
    elif kind == "folder":
        path.unlink()
        path.symlink_to("nowhere.jpg")
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    else:
        path.write_bytes(os.urandom(5000))


@pytest.mark.parametrize("kind", ["empty", "text", "folder", "cut", "noise"])
def test_a_bad_image_is_a_frame_with_a_problem(tmp_path: Path, kind: str) -> None:
    write_series(tmp_path, [f"f{i}.jpg" for i in range(1, 6)])
    bad_files(tmp_path, kind)
    frames, warnings = read_frames(tmp_path)
    assert [frame.problem is not None for frame in frames] == [0, 0, 1, 0, 0]
    assert [frame.name for frame in frames] == [f"f{i}.jpg" for i in range(1, 6)]
    assert [round(frame.image.mean()) for frame in frames] == [20, 50, 50, 110, 140]
    (warning,) = warnings
    assert "1 of 5 images" in warning
    assert "f3.jpg" in warning


def test_bad_images_at_the_start_show_the_first_that_can_be_read(tmp_path: Path) -> None:
    write_series(tmp_path, [f"f{i}.png" for i in range(4)])
    for name in ("f0.png", "f1.png"):
        (tmp_path / name).write_bytes(b"")
    assert shades_of(tmp_path) == [80, 80, 80, 110]
    frames, warnings = read_frames(tmp_path, first=1)
    assert [round(frame.image.mean()) for frame in frames] == [80, 80, 110]
    assert "f1.png" in warnings[0]
    assert "f0.png" not in warnings[0]


def test_a_bad_image_that_is_read_first_shows_the_one_before(tmp_path: Path) -> None:
    write_series(tmp_path, [f"f{i}.png" for i in range(4)])
    (tmp_path / "f2.png").write_bytes(b"")
    frames, warnings = read_frames(tmp_path, first=2)
    assert [round(frame.image.mean()) for frame in frames] == [50, 110]
    assert len(warnings) == 1


def test_images_after_the_last_frame_are_not_warned_of(tmp_path: Path) -> None:
    write_series(tmp_path, [f"f{i}.png" for i in range(4)])
    (tmp_path / "f3.png").write_bytes(b"")
    assert read_frames(tmp_path, last=1)[1] == []


def test_only_bad_images_are_an_error(tmp_path: Path) -> None:
    for name in ("a1.png", "a2.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(FacetrackError, match="None of the 2 images") as caught:
        probe(tmp_path)
    assert "a1.png is empty" in str(caught.value)


def test_another_size_keeps_its_shape(tmp_path: Path) -> None:
    images = [*shades(2), np.full((48, 24, 3), 200, np.uint8), np.full((96, 128, 3), 90, np.uint8)]
    write_series(tmp_path, [f"f{i}.png" for i in range(4)], images)
    frames, warnings = read_frames(tmp_path)
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert (frames[2].image[:, 20:44] == 200).all()
    assert not frames[2].image[:, :20].any()
    assert not frames[2].image[:, 44:].any()
    assert (frames[3].image == 90).all()
    (warning,) = warnings
    assert "2 of 4 images" in warning
    assert "f2.png, f3.png" in warning
    assert "24x48" in warning


def test_names_of_two_kinds_and_gaps_are_warned_of(tmp_path: Path) -> None:
    write_series(tmp_path, ["frame_1.png", "frame_2.png", "frame_5.png", "thumb_1.png"])
    assert ["gaps" in w for w in read_frames(tmp_path)[1]] == [False, True]


def test_the_path_of_a_series_is_a_video(tmp_path: Path) -> None:
    write_series(tmp_path, ["frame_1.png", "frame_2.png", "thumb_1.png"])
    frames, warnings = read_frames(tmp_path / "frame_*.png")
    assert [frame.name for frame in frames] == ["frame_1.png", "frame_2.png"]
    assert warnings == []


def test_unicode_names(tmp_path: Path) -> None:
    names = ["bild ü 1.png", "bild ü 2.png", "bild ü 10.png"]
    write_series(tmp_path, names)
    assert [frame.name for frame in VideoReader(tmp_path)] == names


def test_times_come_from_the_rate_of_the_info(tmp_path: Path) -> None:
    write_series(tmp_path, ["1.png", "2.png", "3.png"])
    info = probe(tmp_path, image_fps=30000 / 1001)
    assert info.fps == Fraction(30000, 1001)
    times = [0.0, 1001 / 30000, 2002 / 30000]
    assert [frame.time for frame in VideoReader(tmp_path, info=info)] == times
    assert [frame.time for frame in read_reversed(tmp_path, 2, info=info)] == times[::-1]


# Several images in one file


@pytest.mark.parametrize("suffix", ["webp", "png", "gif", "avif"])
def test_an_animation_has_all_images_with_their_delays(tmp_path: Path, suffix: str) -> None:
    path = write_animation(tmp_path / f"ä.{suffix}")
    frames, warnings = read_frames(path)
    assert [frame.time for frame in frames] == pytest.approx(TIMES)
    assert frames[-1].duration == pytest.approx(0.06)
    assert warnings == []
    # OpenCV writes GIF with a few colours.
    tolerance = 20 if suffix == "gif" else 2
    assert np.abs(np.array(shades_of(path)) - [20, 50, 80, 110, 140, 170]).max() <= tolerance


def test_an_animation_with_transparency_has_all_images(tmp_path: Path) -> None:
    animation = cv2.Animation()
    animation.frames = [np.dstack([f, np.full(f.shape[:2], 128, np.uint8)]) for f in shades()]
    animation.durations = DELAYS
    assert cv2.imwriteanimation(str(tmp_path / "a.avif"), animation)
    assert np.abs(np.array(shades_of(tmp_path / "a.avif")) - 20 - 30 * np.arange(6)).max() <= 2


def without_animated_webp(monkeypatch: pytest.MonkeyPatch) -> None:
    demuxers = ",".join(name for name in ffmpeg.DEMUXERS.split(",") if "webp" not in name)
    options = [demuxers if word == ffmpeg.DEMUXERS else word for word in ffmpeg.INPUT_OPTIONS]
    monkeypatch.setattr(ffmpeg, "INPUT_OPTIONS", options)
    monkeypatch.setattr(image_source, "CACHE_BYTES", 4 * 64 * 48 * 4)


@pytest.mark.parametrize("delays", [DELAYS, [0, 70, 0]])
def test_opencv_reads_an_animated_webp_like_ffmpeg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delays: list[int]
) -> None:
    path = write_animation(tmp_path / "a.webp", delays)
    times = [frame.time for frame in VideoReader(path)]
    without_animated_webp(monkeypatch)
    assert probe(path).is_images
    assert [frame.time for frame in VideoReader(path)] == times
    assert np.abs(np.diff(shades_of(path)) - 30).max() <= 2
    assert probe(path).codec == "webp"


def test_an_animated_webp_that_nothing_decodes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_animation(tmp_path / "a.webp")
    without_animated_webp(monkeypatch)
    monkeypatch.delattr(cv2, "imreadanimation")
    with pytest.raises(FacetrackError, match="neither this ffmpeg nor this OpenCV"):
        probe(path)


@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_the_pages_of_a_tiff_file_are_a_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(image_source, "CACHE_BYTES", at_once * 64 * 48 * 3)
    path = tmp_path / "stack.tif"
    assert cv2.imwritemulti(str(path), shades())
    assert shades_of(path) == [20, 50, 80, 110, 140, 170]
    info = probe(path, image_fps=10)
    assert [frame.time for frame in VideoReader(path, info=info)] == pytest.approx(
        [i / 10 for i in range(6)]
    )
    assert {frame.name for frame in VideoReader(path)} == {None}


def test_pages_of_other_sizes_keep_their_shape(tmp_path: Path) -> None:
    pages = [*shades(2), np.full((48, 24, 3), 200, np.uint8), *shades(1)]
    assert cv2.imwritemulti(str(tmp_path / "a.tiff"), pages)
    frames, warnings = read_frames(tmp_path / "a.tiff")
    assert [round(frame.image[24, 32].mean()) for frame in frames] == [20, 50, 200, 20]
    assert "page 3 of a.tiff" in warnings[0]


def test_a_damaged_page_is_a_frame_with_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    assert cv2.imwritemulti(str(path), shades(4))
    data = bytearray(path.read_bytes())
    strips = (273).to_bytes(2, "little")  # the tag with the positions of a page's data
    at = [i for i in range(8, len(data)) if data[i : i + 2] == strips and data[i + 3] == 0]
    assert len(at) == 4
    data[at[2] + 4 : at[2] + 12] = b"\1\0\0\0" + b"\xff\xff\xff\x7f"
    path.write_bytes(data)
    frames, warnings = read_frames(path)
    assert [frame.problem is not None for frame in frames] == [0, 0, 1, 0]
    assert "page 3 of a.tif" in warnings[0]


def test_a_huge_page_is_a_frame_with_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    assert cv2.imwritemulti(str(path), shades(3))
    data = bytearray(path.read_bytes())
    width = (256).to_bytes(2, "little") + (3).to_bytes(2, "little") + (1).to_bytes(4, "little")
    at = [i for i in range(len(data)) if data.startswith(width, i)]
    assert len(at) == 3
    for tag in (at[1], at[1] + 12):
        data[tag + 8 : tag + 12] = (60_000).to_bytes(4, "little")
    path.write_bytes(data)
    frames, warnings = read_frames(path)
    assert [frame.problem is not None for frame in frames] == [0, 1, 0]
    assert "60000x60000" in warnings[0]


def test_a_stack_of_imagej_without_pages_is_refused(tmp_path: Path) -> None:
    """ImageJ writes stacks of more than 4 GB so."""
    path = tmp_path / "a.tif"
    text = b"ImageJ=1.54f\nimages=20\nslices=20\n\0"
    assert cv2.imwrite(str(path), shades(1)[0])
    data = bytearray(path.read_bytes())
    path.write_bytes(data + text)
    with pytest.raises(FacetrackError, match="a stack of 20 images that ImageJ wrote"):
        probe(path)
    assert cv2.imwritemulti(str(path), shades(3))
    path.write_bytes(path.read_bytes() + text)
    assert len(read_frames(path)[0]) == 3


def test_files_with_several_images_in_a_folder_are_warned_of(tmp_path: Path) -> None:
    write_series(tmp_path, ["f1.png", "f2.png"])
    write_animation(tmp_path / "f2.png")
    frames, warnings = read_frames(tmp_path)
    assert len(frames) == 2
    assert "Only the first image was read" in warnings[0]
    assert "f2.png" in warnings[0]


@pytest.mark.parametrize("name", ["a.png", "a.tif", "rgb.tif", "pages.tif", "folder"])
@pytest.mark.parametrize("peak", [200, 4095])
def test_values_of_12_bits_in_16_are_warned_of(tmp_path: Path, name: str, peak: int) -> None:
    path, deep = tmp_path / name, np.linspace(0, peak, 64 * 48).astype(np.uint16).reshape(48, 64)
    if name == "folder":
        path.mkdir()
        write_series(path, ["1.png", "2.png"], [deep, deep])
    elif name == "pages.tif":
        cv2.imwritemulti(str(path), [deep // 2, deep])
    elif name == "rgb.tif":
        cv2.imwrite(str(path), np.dstack([deep] * 3))
    else:
        cv2.imwrite(str(path), deep)
    _, warnings = read_frames(path)
    assert warnings == [
        f"{path} holds 16-bit values up to {peak} only, and is nearly black: scale it to the full "
        "range."
    ]


@pytest.mark.parametrize("kind", ["black", "8 bits", "full", "only the first is dark"])
def test_other_dark_images_are_not_warned_of(tmp_path: Path, kind: str) -> None:
    dark = np.full((48, 64), 0 if kind == "black" else 9, np.uint8 if "8" in kind else np.uint16)
    bright = np.full((48, 64), 60_000, np.uint16)
    images = [bright if kind == "full" else dark, bright if "first" in kind else dark]
    write_series(tmp_path, ["1.png", "2.png"], images)
    assert read_frames(tmp_path)[1] == []


def test_still_images_are_one_frame(tmp_path: Path) -> None:
    names = ["a.webp", "a.png", "a.avif", "a.tif", "a.jpg", "a.gif"]
    for name in names:
        write_series(tmp_path, [name], shades(1))
        assert len(read_frames(tmp_path / name)[0]) == 1


def test_the_square_of_a_series_keeps_its_place(tmp_path: Path) -> None:
    write_series(tmp_path, ["1.png", "2.png"], [clips.draw_square(i) for i in range(2)])
    assert clips.square_positions(read_frames(tmp_path)[0]) == clips.expected_positions(2)


def test_floating_point_tiff_is_refused_with_what_is_read(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.tif"), np.zeros((48, 64), np.float32))
    with pytest.raises(FacetrackError, match=r"not an image .* whole numbers of 8 or 16 bits"):
        read_image(tmp_path / "a.tif")
