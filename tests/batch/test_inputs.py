"""Which videos are meant."""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facetrack.batch.inputs import Shard, find_videos, one_video, read_manifest
from facetrack.errors import FacetrackError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"x")


def names_of(paths: list[Path]) -> list[str]:
    return [str(path) for path in paths]


# ---------------------------------------------------------------- one or many


def test_a_file_is_one_video(here: Path) -> None:
    touch("a.mp4")
    assert one_video(["a.mp4"]) == Path("a.mp4")


def test_a_missing_file_is_one_video_so_that_its_error_is_said(here: Path) -> None:
    assert one_video(["none.mp4"]) == Path("none.mp4")


def test_a_folder_of_images_is_one_video(here: Path) -> None:
    touch("frames/1.png", "frames/x.overlay.mp4", "frames/x.compare.mp4")
    assert one_video(["frames"]) == Path("frames")


def test_a_file_named_like_a_pattern_is_one_video(here: Path) -> None:
    touch("a[1].mp4")
    assert one_video(["a[1].mp4"]) == Path("a[1].mp4")


@pytest.mark.parametrize("names", [["a.mp4", "b.mp4"], ["*.mp4"], ["folder"], []], ids=str)
def test_others_are_many(names: list[str], here: Path) -> None:
    touch("a.mp4", "b.mp4", "folder/c.mp4")
    assert one_video(names) is None


# ---------------------------------------------------------------- files, folders, patterns


def test_a_video_that_links_of_folders_lead_to_is_in_the_list_once(here: Path) -> None:
    touch("real/v.mp4", "real/v.overlay.mp4", "real/w.mp4")
    Path("link").symlink_to("real")
    Path("real/copy.mp4").symlink_to("v.mp4")  # a name of its own, and so results of their own
    found = find_videos(["real/v.mp4", "link", "link/v.overlay.mp4"])
    assert names_of(found.videos) == ["link/copy.mp4", "real/v.mp4", "link/w.mp4"]
    assert found.notes == ["Left out as overlays of facetrack's: 1."]


def test_the_list_is_sorted_and_each_video_is_in_it_once(here: Path) -> None:
    touch("b.mp4", "a.mp4", "c/d.mov")
    found = find_videos(["b.mp4", "c", "./a.mp4", "*.mp4", str(here / "b.mp4")])
    assert names_of(found.videos) == ["a.mp4", "b.mp4", "c/d.mov"]
    assert found.notes == []


def test_a_folder_gives_its_videos_but_not_what_is_hidden_deeper_or_made_by_us(here: Path) -> None:
    touch("v/b.MKV", "v/a.gif", "v/a.csv", "v/a.json", "v/a.overlay.mp4", "v/.x.mp4", "v/in/c.mp4")
    found = find_videos(["v"])
    assert names_of(found.videos) == ["v/a.gif", "v/b.MKV"]
    assert found.notes == [
        "Left out of v: 1 folder, which is not searched (in/).",
        "Left out as overlays of facetrack's: 1.",
    ]
    assert found.left_out == ["v/in/"]


def test_what_is_left_out_of_a_folder_is_listed(here: Path) -> None:
    touch("v/a.mp4", "v/a.csv", "v/a.dlc.csv", "v/a_pts/1.pts", "v/batch.json", "v/b.csv")
    touch("v/notes.txt", "v/clip.xyz", "v/.hidden", "v/Thumbs.db", "v/in/c.mp4", "v/go/d.mp4")
    found = find_videos(["v"])
    assert found.left_out == ["v/b.csv", "v/clip.xyz", "v/go/", "v/in/", "v/notes.txt"]
    assert found.notes == [
        "Left out of v: 3 files that are no videos by their names (b.csv, clip.xyz, notes.txt), "
        "and 2 folders, which are not searched (go/, in/)."
    ]


def test_a_long_list_of_what_is_left_out_is_cut_in_the_sentence_alone(here: Path) -> None:
    touch("v/a.mp4", *(f"v/{i:03d}.txt" for i in range(100)))
    found = find_videos(["v"])
    assert len(found.left_out) == 100
    (note,) = found.notes
    assert "100 files" in note
    assert note.endswith("009.txt, ...).")


SUFFIXES = """mp4 m4v mov mkv webm avi wmv asf flv f4v mpg mpeg m2v vob ts mts m2ts mxf ogv 3gp 3g2
dv y4m gif apng MP4 MoV Mts h264 rm rmvb divx qt nut"""


@pytest.mark.parametrize("suffix", re.findall(r"\w+", SUFFIXES))
def test_a_folder_gives_videos_of_every_suffix(suffix: str, here: Path) -> None:
    touch(f"v/a.{suffix}", "v/b.mp4")
    assert f"v/a.{suffix}" in names_of(find_videos(["v"]).videos)


# ---------------------------------------------------------------- images


def animation(name: str) -> None:
    """Write an animation of two images."""
    made = cv2.Animation()
    made.frames, made.durations = [np.full((8, 8, 3), i, np.uint8) for i in (9, 99)], [50, 50]
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwriteanimation(name, made)


@pytest.mark.parametrize("suffix", ["webp", "png", "avif"])
def test_animations_of_a_folder_are_videos(suffix: str, here: Path) -> None:
    animation(f"v/a.{suffix}")
    animation(f"v/b.{suffix}")
    assert one_video(["v"]) is None
    assert names_of(find_videos(["v"]).videos) == [f"v/a.{suffix}", f"v/b.{suffix}"]
    assert names_of(find_videos([f"v/*.{suffix}"]).videos) == [f"v/a.{suffix}", f"v/b.{suffix}"]
    assert len(find_videos([f"v/a.{suffix}", f"v/b.{suffix}"]).videos) == 2


def test_images_that_a_shell_expanded_are_one_series(here: Path) -> None:
    names = [f"take/frame_{i}.jpg" for i in (1, 2, 10)]
    touch(*names, "take/thumb_1.jpg")
    assert one_video(names) == Path("take/frame_*.jpg")
    assert one_video(["take/frame_*.jpg"]) == Path("take/frame_*.jpg")
    assert one_video(names[:2]) == Path("take/frame_{1..2}.jpg")
    found = find_videos(names)
    assert names_of(found.videos) == ["take/frame_*.jpg"]
    assert found.notes == ["The 3 images were read as 1 video: take/frame_*.jpg."]


def test_images_of_two_series_are_two_videos(here: Path) -> None:
    touch(*(f"{side}_{i}.png" for side in ("left", "right") for i in range(3)))
    assert one_video(["*.png"]) is None
    found = find_videos(["*.png"])
    assert names_of(found.videos) == ["left_*.png", "right_*.png"]
    assert "left_*.png, right_*.png" in found.notes[0]


def test_series_of_several_folders_are_several_videos(here: Path) -> None:
    names = [f"take{t}/{i:04d}.png" for t in (1, 2) for i in range(3)]
    touch(*names)
    assert names_of(find_videos(names).videos) == ["take1/*.png", "take2/*.png"]


def test_series_go_with_videos(here: Path) -> None:
    touch("a.mp4", "f1.png", "f2.png")
    assert names_of(find_videos(["a.mp4", "f1.png", "f2.png"]).videos) == ["a.mp4", "f*.png"]


def test_a_manifest_may_list_the_images_of_a_series(here: Path) -> None:
    touch("f1.png", "f2.png")
    Path("all.txt").write_text("f2.png\nf1.png\n")
    assert names_of(find_videos([], "all.txt").videos) == ["f*.png"]


@pytest.mark.parametrize("names", [["a.jpg", "b.jpg"], ["f1.jpg", "f2.jpg", "poster.jpg"]])
def test_images_that_are_no_series_are_refused(names: list[str], here: Path) -> None:
    touch(*names)
    assert one_video(names) is None
    with pytest.raises(FacetrackError, match=r"no series.*facetrack detect.*give the folder"):
        find_videos(names)


def test_an_image_alone_is_a_video_of_one_frame(here: Path) -> None:
    touch("a.jpg", "b.mp4")
    assert one_video(["a.jpg"]) == Path("a.jpg")
    assert names_of(find_videos(["a.jpg", "b.mp4"]).videos) == ["a.jpg", "b.mp4"]


def test_overlays_that_the_shell_expanded_are_left_out(here: Path) -> None:
    touch("a.mp4", "a.overlay.mp4", "a.compare.mp4")
    names = ["a.mp4", "a.overlay.mp4", "a.compare.mp4"]
    assert names_of(find_videos(names).videos) == ["a.mp4"]
    assert names_of(find_videos(["."]).videos) == ["a.mp4"]


def test_only_overlays_is_an_error(here: Path) -> None:
    touch("a.overlay.mp4")
    with pytest.raises(FacetrackError, match="only videos found are"):
        find_videos(["*.mp4"])


def test_a_pattern_goes_into_folders_with_two_stars(here: Path) -> None:
    touch("s1/a.mp4", "s2/deep/b.mp4", "s2/notes.txt")
    assert names_of(find_videos(["**/*"]).videos) == ["s1/a.mp4", "s2/deep/b.mp4"]


def test_a_pattern_finds_folders_of_images(here: Path) -> None:
    touch("takes/1/0.png", "takes/2/0.png", "takes/empty/readme.txt")
    assert names_of(find_videos(["takes/*"]).videos) == ["takes/1", "takes/2"]


def test_a_folder_of_images_among_others_is_one_video(here: Path) -> None:
    touch("frames/0.png", "a.mp4")
    assert names_of(find_videos(["frames", "a.mp4"]).videos) == ["a.mp4", "frames"]


@pytest.mark.parametrize("name", ["a b'c\".mp4", "-n.mp4", "é\n.mp4", "$(x).mp4", "a[1].mp4"])
def test_odd_names_are_only_names(name: str, here: Path) -> None:
    touch(name, "plain.mp4")
    assert name in names_of(find_videos([name, "plain.mp4"]).videos)


def test_a_missing_file_stays_in_the_list(here: Path) -> None:
    touch("a.mp4")
    assert names_of(find_videos(["a.mp4", "none.mp4"]).videos) == ["a.mp4", "none.mp4"]


def test_a_pattern_without_a_match_is_an_error(here: Path) -> None:
    with pytest.raises(FacetrackError, match=r"No video matches \*\.mp4"):
        find_videos(["*.mp4"])


def test_videos_among_images_are_refused(here: Path) -> None:
    touch("mix/a.mp4", "mix/a.png")
    with pytest.raises(FacetrackError, match=r"both videos and images.*'mix/\*\.mp4'"):
        find_videos(["mix", "other.mp4"])


def test_an_empty_name_is_refused(here: Path) -> None:
    touch("a.mp4")
    with pytest.raises(FacetrackError, match="name is empty"):
        find_videos(["a.mp4", ""])


# ---------------------------------------------------------------- manifests


def test_manifest_paths_are_relative_to_its_folder(here: Path) -> None:
    touch("lists/v/a.mp4")
    Path("lists/all.txt").write_text("# a comment\n\nv/a.mp4\r\n/abs/b c.mp4\nv/none é.mp4\n")
    assert names_of(read_manifest("lists/all.txt")) == [
        "lists/v/a.mp4",
        "/abs/b c.mp4",
        "lists/v/none é.mp4",
    ]


def test_manifest_may_be_a_table_with_a_column_of_videos(here: Path) -> None:
    """The file that names the groups of `facetrack measure` is a list, too."""
    Path("lists").mkdir()
    table = 'subject,video,note\r\ns01,v/a.mp4,rest\r\ns02,"v/b, c.mp4","with ""quotes"""\r\n'
    Path("lists/study.csv").write_text("\ufeff" + table, encoding="utf-8")
    assert names_of(read_manifest("lists/study.csv")) == ["lists/v/a.mp4", "lists/v/b, c.mp4"]
    Path("plain.csv").write_text("v/a, b.mp4\nv/c.mp4\n")
    assert names_of(read_manifest("plain.csv")) == ["v/a, b.mp4", "v/c.mp4"]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("video,group\n,rest\n", "a row without a video"),
        ("group,video\nrest\n", "a row without a video"),
        ("video,group\n", "names no files"),
        ('video,group\n"a.mp4,rest\n', "not a CSV file"),
        ("video,group\nrtsp://camera/1,rest\n", "names an address"),
        ("", "names no files"),
    ],
)
def test_bad_tables_are_one_sentence(table: str, reason: str, here: Path) -> None:
    Path("study.csv").write_text(table)
    with pytest.raises(FacetrackError, match=reason):
        read_manifest("study.csv")


def test_manifest_names_are_never_patterns(here: Path) -> None:
    touch("a1.mp4")
    Path("all.txt").write_text("a[1].mp4\n")
    assert names_of(find_videos([], "all.txt").videos) == ["a[1].mp4"]


def test_manifest_may_name_a_folder_of_videos(here: Path) -> None:
    touch("v/a.mp4", "v/b.mp4")
    Path("all.txt").write_text("v\n")
    assert names_of(find_videos([], "all.txt").videos) == ["v/a.mp4", "v/b.mp4"]


def test_manifest_divided_by_nul_holds_any_name(here: Path) -> None:
    Path("all.txt").write_bytes(b"#a.mp4\0two\nlines.mp4\0\xff.mp4\0")
    assert read_manifest("all.txt") == [
        Path("#a.mp4"),
        Path("two\nlines.mp4"),
        Path(os.fsdecode(b"\xff.mp4")),
    ]


def test_manifest_of_a_windows_editor_is_read(here: Path) -> None:
    Path("all.txt").write_bytes(b"\xef\xbb\xbfa.mp4\r\nb.mp4\r\n")
    assert read_manifest("all.txt") == [Path("a.mp4"), Path("b.mp4")]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_manifest_of_powershell_is_read(encoding: str, here: Path) -> None:
    Path("all.txt").write_bytes("\ufeffa.mp4\r\nbüro/b.mp4\r\n".encode(encoding))
    assert read_manifest("all.txt") == [Path("a.mp4"), Path("büro/b.mp4")]


def test_manifest_from_standard_input(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"v/a.mp4\n")))
    assert read_manifest("-") == [Path("v/a.mp4")]


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="pipes have no names")
def test_manifest_of_a_pipe_is_relative_to_the_current_folder(here: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"videos/a.mp4\n")
    os.close(writer)
    try:
        assert read_manifest(f"/dev/fd/{reader}") == [Path("videos/a.mp4")]
    finally:
        os.close(reader)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "names no files"),
        (b"# nothing\n\n", "names no files"),
        (b"\0\0\0\x1cftypisom\0\0\2\0", "not a list of files"),
        (b"a\x01.mp4\n", "not a list of files"),
        (b"\xff\xfea", "not a list of files"),
    ],
    ids=["empty", "comments", "a video", "control characters", "half of UTF-16"],
)
def test_what_is_no_manifest_is_said(content: bytes, message: str, here: Path) -> None:
    Path("all.txt").write_bytes(content)
    with pytest.raises(FacetrackError, match=message):
        read_manifest("all.txt")


def test_missing_manifest_is_said(here: Path) -> None:
    with pytest.raises(FacetrackError, match=r"none\.txt cannot be read: no such file"):
        read_manifest("none.txt")


# ---------------------------------------------------------------- shards


@given(st.integers(0, 60), st.integers(1, 20))
def test_shards_are_disjoint_complete_and_even(videos: int, count: int) -> None:
    everything = [Path(str(i)) for i in range(videos)]
    parts = [Shard(i + 1, count).of(everything) for i in range(count)]
    assert sorted(int(str(path)) for part in parts for path in part) == list(range(videos))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_shard_takes_every_nth() -> None:
    assert Shard.parse("2/3").of("abcdefgh") == ["b", "e", "h"]


@pytest.mark.parametrize("text", ["0/3", "4/3", "1/0", "a/b", "1", "1/2/3", "-1/2", "1.5/2", ""])
def test_no_such_shard(text: str) -> None:
    with pytest.raises(FacetrackError, match="--shard"):
        Shard.parse(text)
