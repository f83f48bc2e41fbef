"""Which existing files a run may replace."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import clips
import pytest

from facetrack.api.outputs import Outputs
from facetrack.api.ownership import has_mark, is_marked_mp4
from facetrack.api.track import track_to_files
from facetrack.errors import FacetrackError
from facetrack.files import read_json
from facetrack.pipeline.options import Options

ALL = ("csv", "openface", "dlc", "pts", "npz")


def contents(folder: Path) -> dict[str, bytes]:
    files = [p for p in folder.rglob("*") if p.is_file()]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


@pytest.fixture(scope="module")
def results(
    dots: Path, own_points: Options, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """All files of one run: `dots.csv` and so on."""
    folder = tmp_path_factory.mktemp("results")
    track_to_files(dots, own_points, Outputs(folder, ALL, report=True))
    return contents(folder)


@pytest.fixture
def folder(results: dict[str, bytes], tmp_path: Path) -> Path:
    """A folder with these files."""
    for name, content in results.items():
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_bytes(content)
    return tmp_path / "out"


def refuse(video: Path, options: Options, outputs: Outputs, match: str, **more: object) -> None:
    """Check that the run is refused in one sentence and changes nothing."""
    before = contents(outputs.folder)
    with pytest.raises(FacetrackError, match=match) as caught:
        track_to_files(video, options, outputs, **more)
    assert len(str(caught.value).splitlines()) == 1
    assert contents(outputs.folder) == before
    assert not [p for p in outputs.folder.iterdir() if p.name.startswith(".")]


def test_a_repeated_run_needs_no_option(folder: Path, dots: Path, own_points: Options) -> None:
    outputs = Outputs(folder, ALL, report=True)
    track_to_files(dots, own_points, outputs)
    # Fewer files, and then all again: the record no longer names the others.
    track_to_files(dots, own_points, Outputs(folder, overlay=False))
    track_to_files(dots, own_points, outputs)


def test_without_its_record_each_file_is_recognised(
    folder: Path, dots: Path, own_points: Options
) -> None:
    (folder / "dots.json").unlink()
    track_to_files(dots, own_points, Outputs(folder, ALL, report=True))
    assert (folder / "dots.json").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dots.csv", b"x,y\n1,2\n"),
        ("dots.csv", b""),
        ("dots.json", b'{"my": "settings"}'),
        ("dots.json", b"[" * 100_000),
        ("dots.openface.csv", b"frame,x\n1,2\n"),
        ("dots.dlc.csv", b"scorer,DLC_resnet50,DLC_resnet50\n"),
        ("dots.npz", b"PK\x03\x04"),
        ("dots.overlay.mp4", b"\0\0\0\x18ftypisom" + b"\0" * 12),
        ("dots.report.html", b"<html>mine</html>"),
        ("dots_pts/notes.txt", b"mine"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_of_another_program_is_kept(
    name: str, content: bytes, dots: Path, own_points: Options, tmp_path: Path
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    outputs = Outputs(tmp_path, ALL, report=True)
    refuse(dots, own_points, outputs, f"{name.split('/')[0]} (exists|holds)")
    if "/" in name:
        return
    outputs = Outputs(tmp_path, overlay="mp4" in name, formats=ALL)
    track_to_files(dots, own_points, replace(outputs, report=True), overwrite=True)
    assert (tmp_path / name).read_bytes() != content


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("link", [None, os.symlink, os.link], ids=["itself", "symlink", "link"])
def test_an_input_is_never_replaced(
    overwrite: bool,
    link: Callable[[Path, Path], None] | None,
    dots: Path,
    own_points: Options,
    tmp_path: Path,
) -> None:
    video, out = tmp_path / "clip.mp4", tmp_path / "out"
    out.mkdir()
    shutil.copy(dots, video)
    points = out / "clip.csv" if link is None else tmp_path / "points.csv"
    shutil.copy(str(own_points.points), points)
    if link is not None:
        link(points, out / "clip.csv")
    options = replace(own_points, points=points)
    outputs = Outputs(out, overlay=False)
    refuse(video, options, outputs, "clip.csv is an input itself.*points file", overwrite=overwrite)
    manifest = {"manifest": out / "clip.csv"}
    refuse(video, own_points, outputs, "manifest", overwrite=overwrite, inputs=manifest)


def test_weights_of_the_user_s_are_not_replaced(dots: Path, tmp_path: Path) -> None:
    weights = tmp_path / "dots.npz"
    weights.write_bytes(b"weights")
    options = Options(tracker_options=replace(Options().tracker_options, weights=str(weights)))
    refuse(dots, options, Outputs(tmp_path, ("npz",)), "dots.npz is an input itself.*weights")


def test_results_of_another_input_are_kept(
    folder: Path, dots: Path, own_points: Options, tmp_path: Path
) -> None:
    other = clips.write_clip(tmp_path / "dots.mkv", 5)
    outputs = Outputs(folder, overlay=False)
    refuse(other, own_points, outputs, rf"results of {dots}, another input: .*--overwrite")
    track_to_files(other, own_points, outputs, overwrite=True)
    assert json.loads((folder / "dots.json").read_text())["input"]["path"] == str(other)


def test_a_video_that_was_moved_or_changed_is_the_same_input(
    dots: Path, own_points: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    shutil.copy(dots, tmp_path / "a/dots.mp4")
    monkeypatch.chdir(tmp_path)
    outputs = Outputs(tmp_path / "out", overlay=False)
    track_to_files(Path("a/dots.mp4"), own_points, outputs)
    shutil.move("a/dots.mp4", "dots.mp4")
    track_to_files(Path("dots.mp4"), own_points, outputs)  # the same content
    clips.write_clip(tmp_path / "dots.mp4", 5)
    monkeypatch.chdir(tmp_path / "a")
    result = track_to_files(Path("../dots.mp4"), own_points, outputs)  # the same path
    assert result.frames == 5


def test_records_of_facetrack_0_1_have_relative_paths(
    dots: Path, own_points: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    shutil.copy(dots, tmp_path / "a/dots.mp4")
    outputs = Outputs(tmp_path / "out", overlay=False)
    track_to_files(tmp_path / "a/dots.mp4", own_points, outputs)
    record = tmp_path / "out/dots.json"
    content = json.loads(record.read_text())
    del content["input"]["absolute_path"]
    content["input"].update(path="a/dots.mp4", sha256="0")
    record.write_text(json.dumps(content))
    clips.write_clip(tmp_path / "b/dots.mp4", 5)
    refuse(tmp_path / "b/dots.mp4", own_points, outputs, "another input")
    track_to_files(tmp_path / "a/dots.mp4", own_points, outputs)


def test_two_runs_at_once_do_not_mix(dots: Path, own_points: Options, tmp_path: Path) -> None:
    """The results that appear while another video of the same name is tracked are kept."""
    other = clips.write_clip(tmp_path / "dots.mkv", 5)
    outputs = Outputs(tmp_path / "out", overlay=False)
    ran = []

    def meanwhile(models: object) -> None:
        ran.append(track_to_files(other, own_points, outputs))

    with pytest.raises(FacetrackError, match="another input"):
        track_to_files(dots, own_points, outputs, started=meanwhile)
    assert ran[0].frames == 5
    assert json.loads((tmp_path / "out/dots.json").read_text())["input"]["frames"] == 5


@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"\0\0\0\x01moov" + b"\xff" * 8, b"moov" * 9])
def test_no_mp4_has_no_mark(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with open(tmp_path / "a.mp4", "rb") as file:
        assert not is_marked_mp4(file)
    assert not has_mark("overlay", clips.write_clip(tmp_path / "other.mp4", 2))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.dlc.csv")
    both_ends = os.open(tmp_path / "a.dlc.csv", os.O_RDWR)
    try:
        os.write(both_ends, b"scorer,facetrack,")
        assert not has_mark("dlc", tmp_path / "a.dlc.csv")
        assert read_json(tmp_path / "a.dlc.csv") is None
    finally:
        os.close(both_ends)
