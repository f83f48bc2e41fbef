"""Test errors and warnings for unreadable and damaged files, and folders of images."""

from __future__ import annotations

import os
from pathlib import Path

import clips
import cv2
import numpy as np
import pytest
from clips import expected_positions, read_frames, square_positions
from closed_folders import close

from facetrack.errors import FacetrackError
from facetrack.video import ffmpeg
from facetrack.video.reader import VideoReader, read_reversed


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.write_clip(tmp_path_factory.mktemp("plain") / "plain.mp4", 12)


# Damage


def truncate(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def test_truncated_file_keeps_its_frames_and_gives_a_warning(tmp_path: Path) -> None:
    codec = ("-c:v", "libx264", "-bf", "0", "-g", "1", "-crf", "10", "-pix_fmt", "yuv420p")
    path = clips.write_clip(tmp_path / "t.mp4", 100, "-movflags", "+faststart", codec=codec)
    frames, warnings = read_frames(truncate(path, 0.6))
    assert 40 < len(frames) < 80
    assert square_positions(frames[:40]) == expected_positions(40)
    assert len(warnings) == 1
    assert f"{len(frames)} frames" in warnings[0]
    assert "announces 4.00 s" in warnings[0]


def test_truncated_matroska(tmp_path: Path) -> None:
    path = truncate(clips.write_clip(tmp_path / "t.mkv", 100, codec=("-c:v", "ffv1")), 0.6)
    frames, warnings = read_frames(path)
    assert len(frames) == clips.decoded_count(path)
    assert "truncated" in warnings[0]


def test_damaged_middle_gives_a_warning(tmp_path: Path) -> None:
    codec = ("-c:v", "libx264", "-crf", "5", "-g", "1", "-pix_fmt", "yuv420p")
    path = clips.write_clip(tmp_path / "d.mp4", 50, "-movflags", "+faststart", codec=codec)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(b ^ 0xFF for b in data[middle : middle + 2000])
    path.write_bytes(data)
    frames, warnings = read_frames(path)
    assert frames
    assert len(warnings) == 1
    assert "damaged" in warnings[0]


def test_sound_longer_than_the_video_gives_no_warning(tmp_path: Path) -> None:
    video = clips.write_clip(tmp_path / "v.mp4", 5)
    assert read_frames(clips.add_audio(video, tmp_path / "a.mp4", offset=2))[1] == []


def test_stopping_at_a_given_frame_gives_no_warning(plain: Path) -> None:
    assert read_frames(plain, last=2)[1] == []


# Errors: one sentence each


def assert_fails(path: Path, match: str) -> None:
    with pytest.raises(FacetrackError, match=match) as caught:
        read_frames(path)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    assert_fails(tmp_path / "no.mp4", "does not exist")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "zero.mp4").touch()
    assert_fails(tmp_path / "zero.mp4", "is empty")


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n",
        "ffconcat version 1.0\n",
        "\n<MPD type='dynamic'>",
        "\ufeff<?xml version='1.0'?>\n<!-- a comment -->\n<CompositionPlaylist>",
    ],
)
def test_list_of_files_is_not_a_video(tmp_path: Path, text: str) -> None:
    """ffmpeg would open the files in the list, and wait for more entries."""
    (tmp_path / "list.mp4").write_text(text + "piece.ts\n")
    assert_fails(tmp_path / "list.mp4", "is a list of other files")


@pytest.mark.parametrize("mark", ["<?xml version='1.0'?>", "<MPD>", "#EXTM3U"])
def test_words_in_metadata_do_not_make_a_list_of_a_video(tmp_path: Path, mark: str) -> None:
    box = b"\0\0\0\x18ftypisom\0\0\2\0isommp41"
    (tmp_path / "cut.mp4").write_bytes(box + b"\0\0\1\0free" + mark.encode() + bytes(1000))
    with pytest.raises(FacetrackError) as caught:
        read_frames(tmp_path / "cut.mp4")
    assert "a list of other files" not in str(caught.value)


def test_xml_without_a_playlist_is_not_a_list(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_text("<?xml version='1.0'?>\n<note>hello</note>\n")
    assert_fails(tmp_path / "x.mp4", "is not a video")


def test_text_is_not_a_video(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello\n" * 100)
    assert_fails(tmp_path / "text.mp4", "is not a video")


def test_sound_only(tmp_path: Path) -> None:
    clips.run_ffmpeg("-f", "lavfi", "-i", "sine=d=0.2", str(tmp_path / "a.m4a"))
    assert_fails(tmp_path / "a.m4a", "sound but no video")


def test_sound_with_a_cover_picture_is_sound_only(tmp_path: Path) -> None:
    cover = ("-f", "lavfi", "-i", "color=red:s=32x32:d=0.1:r=10")
    output = ("-c:v", "png", "-disposition:v:0", "attached_pic", "-frames:v", "1")
    path = tmp_path / "a.mp3"
    clips.run_ffmpeg(
        *cover, "-f", "lavfi", "-i", "sine=d=0.2", "-map", "0", "-map", "1", *output, str(path)
    )
    assert_fails(path, "sound but no video")


def test_missing_index(tmp_path: Path) -> None:
    path = clips.write_clip(tmp_path / "m.mp4", 50, codec=("-c:v", "libx264", "-crf", "5"))
    assert_fails(truncate(path, 0.5), "incomplete: its index")


def test_no_frame_decodes(tmp_path: Path) -> None:
    path = clips.write_clip(tmp_path / "z.mkv", 1, codec=("-c:v", "png"))
    data = path.read_bytes()
    start = data.index(b"\x89PNG")
    path.write_bytes(data[:start] + bytes(len(data) - start))
    assert_fails(path, "no frame of .* could be decoded")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_unreadable_file(tmp_path: Path, plain: Path) -> None:
    path = tmp_path / "secret.mp4"
    path.write_bytes(plain.read_bytes())
    path.chmod(0)
    assert_fails(path, "cannot be read: Permission denied")


def test_a_closed_folder_is_named(
    tmp_path: Path, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    path = tmp_path / "closed" / "a.mp4"
    path.write_bytes(plain.read_bytes())
    close(path.parent, monkeypatch)
    assert_fails(path, "you may not enter the folder .*closed")


def test_reversed_range(plain: Path) -> None:
    with pytest.raises(ValueError, match="no frames from 5 to 3"):
        VideoReader(plain, first=5, last=3)


# Folders of images


def write_images(folder: Path, names: list[str]) -> Path:
    for i, name in enumerate(names):
        cv2.imwrite(str(folder / name), clips.draw_square(i))
    return folder


def test_images_in_natural_order(tmp_path: Path) -> None:
    write_images(tmp_path, ["img1.png", "img2.png", "img10.png", "img11.png"])
    (tmp_path / "notes.txt").touch()
    (tmp_path / "._img1.png").touch()
    frames, warnings = read_frames(tmp_path)
    assert square_positions(frames) == expected_positions(4)
    assert [f.time for f in frames] == [0.0, 0.04, 0.08, 0.12]
    assert ["7 are missing" in warning for warning in warnings] == [True, False]
    assert "1 file that is no images by its name (notes.txt)" in warnings[1]


def test_image_rate(tmp_path: Path) -> None:
    write_images(tmp_path, ["a.png", "b.png"])
    reader = VideoReader(tmp_path, image_fps=10)
    assert [f.time for f in reader] == [0.0, 0.1]
    assert (reader.info.fps, reader.info.duration, reader.info.is_images) == (10, 0.2, True)


def test_one_image_is_one_frame(tmp_path: Path) -> None:
    write_images(tmp_path, ["a%d.png"])
    assert square_positions(read_frames(tmp_path / "a%d.png")[0]) == expected_positions(1)


def test_images_range_and_reverse(tmp_path: Path) -> None:
    write_images(tmp_path, [f"{i}.png" for i in range(6)])
    assert [f.index for f in read_frames(tmp_path, first=2, last=4)[0]] == [2, 3, 4]
    assert [f.index for f in read_reversed(tmp_path, 4, budget_bytes=1)] == [4, 3, 2, 1, 0]


def test_exif_orientation(tmp_path: Path) -> None:
    encoded, data = cv2.imencode(".jpg", clips.draw_square(3))
    assert encoded
    # An Exif segment with one entry, orientation (0x0112) = 6: rotate clockwise by 90 degrees.
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    segment = b"Exif\0\0" + tiff
    header = b"\xff\xd8\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment
    (tmp_path / "a.jpg").write_bytes(header + data.tobytes()[2:])
    frames, _ = read_frames(tmp_path)
    assert clips.square_position(frames[0].image) == clips.square_position(
        np.rot90(clips.draw_square(3), -1)
    )


def test_images_of_several_formats(tmp_path: Path) -> None:
    write_images(tmp_path, ["img1.png", "img2.bmp", "img10.tiff", "img11.webp"])
    frames, warnings = read_frames(tmp_path)
    assert square_positions(frames) == expected_positions(4)
    assert "img1.png and img2.bmp" in warnings[0]


def test_folder_without_images(tmp_path: Path) -> None:
    assert_fails(tmp_path, "folder without images")


def test_error_without_ffmpeg_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise RuntimeError

    monkeypatch.setattr(ffmpeg.imageio_ffmpeg, "get_ffmpeg_exe", missing)
    ffmpeg.executable.cache_clear()
    with pytest.raises(FacetrackError, match="ffmpeg was not found"):
        ffmpeg.executable()
    ffmpeg.executable.cache_clear()
