"""Test that image files with several images are recognised by their structure."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from facetrack.video.animations import count_images, is_animation, tiff_pages
from facetrack.video.avif import FIRST_VIDEO, video_stream

GREY = np.full((16, 24, 3), 90, np.uint8)


def write(path: Path, count: int) -> Path:
    if count == 1:
        encoded, data = cv2.imencode(path.suffix, GREY)
        assert encoded
        path.write_bytes(data.tobytes())
        return path
    animation = cv2.Animation()
    animation.frames = [GREY + 10 * i for i in range(count)]
    animation.durations = [50] * count
    assert cv2.imwriteanimation(str(path), animation)
    return path


@pytest.mark.parametrize("suffix", [".webp", ".png", ".avif"])
def test_animations_are_told_from_still_images(tmp_path: Path, suffix: str) -> None:
    moving, still = write(tmp_path / f"m{suffix}", 3), write(tmp_path / f"s{suffix}", 1)
    assert (is_animation(moving), is_animation(still)) == (True, False)
    assert count_images(moving) == (2 if suffix == ".avif" else 3)
    assert count_images(still) == 1


def test_the_images_of_a_gif_are_counted(tmp_path: Path) -> None:
    assert count_images(write(tmp_path / "m.gif", 5)) == 5
    assert count_images(write(tmp_path / "s.gif", 1)) == 1


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.webp", 3).rename(tmp_path / "a.jpg")
    assert is_animation(path)


def ifd(order: str, big: bool, position: int, tags: dict[int, int], last: bool) -> bytes:
    """Return one page's directory at a position of a TIFF file."""
    number, offset = ("Q", "Q") if big else ("H", "I")
    entries = b"".join(
        struct.pack(f"{order}HH{offset}I", tag, 4, 1, value) + bytes(4 if big else 0)
        for tag, value in tags.items()
    )
    head = struct.pack(f"{order}{number}", len(tags))
    size = len(head) + len(entries) + struct.calcsize(offset)
    return head + entries + struct.pack(f"{order}{offset}", 0 if last else position + size)


def tiff(path: Path, order: str, big: bool, pages: list[dict[int, int]]) -> Path:
    mark = {"<": b"II", ">": b"MM"}[order]
    if big:
        data = mark + struct.pack(f"{order}HHHQ", 43, 8, 0, 16)
    else:
        data = mark + struct.pack(f"{order}HI", 42, 8)
    for i, tags in enumerate(pages):
        data += ifd(order, big, len(data), tags, i == len(pages) - 1)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_pages_without_previews_and_masks(tmp_path: Path, order: str, big: bool) -> None:
    kinds = (0, 1, 2, 4)
    pages = [{254: kind, 256: 640, 257: 480 + i} for i, kind in enumerate(kinds)]
    path = tiff(tmp_path / "a.tif", order, big, pages)
    assert tiff_pages(path) == [(0, (640, 480)), (2, (640, 482))]
    assert count_images(path) == 2


def test_a_loop_of_pages_ends(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", "<", False, [{256: 8, 257: 8}] * 2)
    data = bytearray(path.read_bytes())
    data[-4:] = struct.pack("<I", 8)
    path.write_bytes(data)
    assert len(tiff_pages(path)) == 2


@pytest.mark.parametrize("suffix", [".webp", ".png", ".avif", ".gif", ".tif"])
def test_a_file_that_is_cut_anywhere_is_no_crash(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        assert cv2.imwritemulti(str(path), [GREY] * 3)
    else:
        write(path, 3)
    data = path.read_bytes()
    for length in {*range(0, min(len(data), 200)), *range(0, len(data), 37)}:
        path.write_bytes(data[:length])
        assert count_images(path) >= 1
        is_animation(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "a.png"
    os.mkfifo(pipe)
    assert not is_animation(pipe)
    assert count_images(pipe) == 1
    assert video_stream(pipe) == FIRST_VIDEO


def test_other_files_hold_one_image(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "b.jpg").write_text("text")
    for name in ("a.jpg", "b.jpg", "none.jpg", "."):
        assert count_images(tmp_path / name) == 1
        assert not is_animation(tmp_path / name)
