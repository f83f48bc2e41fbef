"""Files that cannot be read, or not whole: one sentence each. Folders of images."""

from __future__ import annotations

import os
from pathlib import Path

import clips
import cv2
import numpy as np
import pytest
from clips import dots, read, wanted

from facetrack.errors import FacetrackError
from facetrack.video import ffmpeg
from facetrack.video.reader import VideoReader, read_reversed


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.write_clip(tmp_path_factory.mktemp("plain") / "plain.mp4", 12)


# Damage


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def test_truncated_file_keeps_what_decodes_and_says_so(tmp_path: Path) -> None:
    codec = ("-c:v", "libx264", "-bf", "0", "-g", "1", "-crf", "10", "-pix_fmt", "yuv420p")
    path = clips.write_clip(tmp_path / "t.mp4", 100, "-movflags", "+faststart", codec=codec)
    frames, warnings = read(cut(path, 0.6))
    assert 40 < len(frames) < 80
    assert dots(frames[:40]) == wanted(40)
    assert len(warnings) == 1
    assert f"{len(frames)} frames" in warnings[0]
    assert "of the 4.00 s" in warnings[0]


def test_truncated_matroska(tmp_path: Path) -> None:
    path = cut(clips.write_clip(tmp_path / "t.mkv", 100, codec=("-c:v", "ffv1")), 0.6)
    frames, warnings = read(path)
    assert len(frames) == clips.decoded_count(path)
    assert "cut off" in warnings[0]


def test_damaged_middle_is_said(tmp_path: Path) -> None:
    codec = ("-c:v", "libx264", "-crf", "5", "-g", "1", "-pix_fmt", "yuv420p")
    path = clips.write_clip(tmp_path / "d.mp4", 50, "-movflags", "+faststart", codec=codec)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(b ^ 0xFF for b in data[middle : middle + 2000])
    path.write_bytes(data)
    frames, warnings = read(path)
    assert frames
    assert len(warnings) == 1
    assert "damaged" in warnings[0]


def test_sound_longer_than_the_pictures_is_no_loss(tmp_path: Path) -> None:
    video = clips.write_clip(tmp_path / "v.mp4", 5)
    assert read(clips.add_audio(video, tmp_path / "a.mp4", offset=2))[1] == []


def test_stopping_at_a_given_frame_is_no_loss(plain: Path) -> None:
    assert read(plain, last=2)[1] == []


# Errors: one sentence each


def fails(path: Path, match: str) -> None:
    with pytest.raises(FacetrackError, match=match) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    fails(tmp_path / "no.mp4", "does not exist")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "zero.mp4").touch()
    fails(tmp_path / "zero.mp4", "is empty")


@pytest.mark.parametrize("text", ["#EXTM3U\n", "ffconcat version 1.0\n", "\n<MPD type='dynamic'>"])
def test_list_of_files_is_not_a_video(tmp_path: Path, text: str) -> None:
    """ffmpeg would open what is in it; and wait for a list that is to go on."""
    (tmp_path / "list.mp4").write_text(text + "piece.ts\n")
    fails(tmp_path / "list.mp4", "is a list of other files")


def test_text_is_not_a_video(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello\n" * 100)
    fails(tmp_path / "text.mp4", "is not a video")


def test_sound_only(tmp_path: Path) -> None:
    clips.run("-f", "lavfi", "-i", "sine=d=0.2", str(tmp_path / "a.m4a"))
    fails(tmp_path / "a.m4a", "sound but no video")


def test_sound_with_a_cover_picture_is_sound_only(tmp_path: Path) -> None:
    cover = ("-f", "lavfi", "-i", "color=red:s=32x32:d=0.1:r=10")
    output = ("-c:v", "png", "-disposition:v:0", "attached_pic", "-frames:v", "1")
    path = tmp_path / "a.mp3"
    clips.run(
        *cover, "-f", "lavfi", "-i", "sine=d=0.2", "-map", "0", "-map", "1", *output, str(path)
    )
    fails(path, "sound but no video")


def test_missing_index(tmp_path: Path) -> None:
    path = clips.write_clip(tmp_path / "m.mp4", 50, codec=("-c:v", "libx264", "-crf", "5"))
    fails(cut(path, 0.5), "incomplete: its index")


def test_no_frame_decodes(tmp_path: Path) -> None:
    path = clips.write_clip(tmp_path / "z.mkv", 1, codec=("-c:v", "png"))
    data = path.read_bytes()
    start = data.index(b"\x89PNG")
    path.write_bytes(data[:start] + bytes(len(data) - start))
    fails(path, "no frame of .* could be decoded")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_unreadable_file(tmp_path: Path, plain: Path) -> None:
    path = tmp_path / "secret.mp4"
    path.write_bytes(plain.read_bytes())
    path.chmod(0)
    fails(path, "cannot be read: Permission denied")


def test_range_upside_down(plain: Path) -> None:
    with pytest.raises(ValueError, match="no frames from 5 to 3"):
        VideoReader(plain, first=5, last=3)


# Folders of images


def write_images(folder: Path, names: list[str]) -> Path:
    for i, name in enumerate(names):
        cv2.imwrite(str(folder / name), clips.dot(i))
    return folder


def test_images_in_natural_order(tmp_path: Path) -> None:
    write_images(tmp_path, ["img1.png", "img2.bmp", "img10.tiff", "img11.webp"])
    (tmp_path / "notes.txt").touch()
    (tmp_path / "._img1.png").touch()
    frames, warnings = read(tmp_path)
    assert dots(frames) == wanted(4)
    assert [f.time for f in frames] == [0.0, 0.04, 0.08, 0.12]
    assert warnings == []


def test_image_rate(tmp_path: Path) -> None:
    write_images(tmp_path, ["a.png", "b.png"])
    reader = VideoReader(tmp_path, image_fps=10)
    assert [f.time for f in reader] == [0.0, 0.1]
    assert (reader.info.fps, reader.info.duration, reader.info.is_images) == (10, 0.2, True)


def test_one_image_is_one_frame(tmp_path: Path) -> None:
    write_images(tmp_path, ["a%d.png"])
    assert dots(read(tmp_path / "a%d.png")[0]) == wanted(1)


def test_images_range_and_reverse(tmp_path: Path) -> None:
    write_images(tmp_path, [f"{i}.png" for i in range(6)])
    assert [f.index for f in read(tmp_path, first=2, last=4)[0]] == [2, 3, 4]
    assert [f.index for f in read_reversed(tmp_path, 4, budget_bytes=1)] == [4, 3, 2, 1, 0]


def test_exif_orientation(tmp_path: Path) -> None:
    done, data = cv2.imencode(".jpg", clips.dot(3))
    assert done
    # An Exif segment with one entry, orientation (0x0112) = 6: turn clockwise by 90 degrees.
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    segment = b"Exif\0\0" + tiff
    head = b"\xff\xd8\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment
    (tmp_path / "a.jpg").write_bytes(head + data.tobytes()[2:])
    frames, _ = read(tmp_path)
    assert clips.where(frames[0].image) == clips.where(np.rot90(clips.dot(3), -1))


def test_images_of_two_sizes(tmp_path: Path) -> None:
    write_images(tmp_path, ["a.png"])
    cv2.imwrite(str(tmp_path / "b.png"), clips.dot(0, (48, 40)))
    fails(tmp_path, r"one size: .*b\.png is 48x40, a\.png is 96x64")


def test_unreadable_image(tmp_path: Path) -> None:
    write_images(tmp_path, ["a.png"])
    (tmp_path / "b.png").write_text("no picture")
    fails(tmp_path, "is not an image")


def test_folder_without_images(tmp_path: Path) -> None:
    fails(tmp_path, "folder without images")


def test_ffmpeg_is_told_by_name_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise RuntimeError

    monkeypatch.setattr(ffmpeg.imageio_ffmpeg, "get_ffmpeg_exe", missing)
    ffmpeg.executable.cache_clear()
    with pytest.raises(FacetrackError, match="ffmpeg was not found"):
        ffmpeg.executable()
    ffmpeg.executable.cache_clear()
