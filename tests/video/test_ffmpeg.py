"""ffmpeg's processes: their environment, and the formats that they may read."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from facetrack.errors import FacetrackError
from facetrack.video import ffmpeg

CLIP = Path(__file__).parents[2] / "examples" / "astronaut.mp4"


@pytest.fixture
def environment_of_children(tmp_path: Path) -> Path:
    """A stand-in for ffmpeg that appends its environment to the file `environments`."""
    program = tmp_path / "ffmpeg"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, os, sys\n"
        f"with open({str(tmp_path / 'environments')!r}, 'a') as file:\n"
        "    file.write(json.dumps(dict(os.environ)) + '\\n')\n"
        f"os.execv({ffmpeg.executable()!r}, ['ffmpeg', *sys.argv[1:]])\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def test_no_process_gets_a_library_path_of_the_current_folder(
    environment_of_children: Path, tmp_path: Path
) -> None:
    asked = {**os.environ, "IMAGEIO_FFMPEG_EXE": str(environment_of_children)}
    asked |= {"LD_LIBRARY_PATH": f"{tmp_path}:lib::", "LD_PRELOAD": ""}
    command = [sys.executable, "-m", "facetrack", "track", str(CLIP), "--tracker", "lk"]
    command += ["--init", "ert", "--end", "0.2", "--out", str(tmp_path / "out")]
    ran = subprocess.run(command, env=asked, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    lines = (tmp_path / "environments").read_text().splitlines()
    environments = [json.loads(line) for line in lines]
    assert len(environments) >= 4  # the version, the header, the frames, the overlay
    for environment in environments:
        entries = environment.get("LD_LIBRARY_PATH", "/").split(":")
        assert all(os.path.isabs(entry) for entry in entries), entries
    # The first runs of the program are imageio-ffmpeg's own check of it.
    known = {*ffmpeg.environment(), "LD_LIBRARY_PATH", "LC_CTYPE"}
    assert any(environment.keys() <= known for environment in environments)


def test_importing_opencv_leaves_no_entry_for_the_current_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/usr/lib:")
    assert ffmpeg.environment()["LD_LIBRARY_PATH"] == "/usr/lib"
    monkeypatch.setenv("LD_LIBRARY_PATH", ":.:lib")
    assert "LD_LIBRARY_PATH" not in ffmpeg.environment()


MANIFESTS = {
    "dash.mpd": b'<?xml version="1.0"?>\n<!-- ' + b"x" * 6000 + b' -->\n<MPD type="static"></MPD>',
    "late.mpd": b"<!-- " + b"x" * 5000 + b' --><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
    "imf.xml": b'<CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2013">',
    "hls.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nclip.mp4\n#EXT-X-ENDLIST\n",
    "concat.txt": b"ffconcat version 1.0\nfile clip.mp4\n",
    "session.sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 5004 RTP/AVP 96\n",
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_file_that_names_other_files_opens_none(name: str, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(CLIP.read_bytes())
    (tmp_path / name).write_bytes(MANIFESTS[name])
    with pytest.raises(FacetrackError):
        ffmpeg.read_header(tmp_path / name)


@pytest.mark.parametrize("suffix", ["tga", "ppm", "qoi", "dpx", "jp2"])
def test_a_pattern_in_a_name_reads_no_sibling(suffix: str, tmp_path: Path) -> None:
    picture = b"P6\n16 16\n255\n" + bytes(768)
    (tmp_path / f"face1.{suffix}").write_bytes(picture)
    (tmp_path / f"face%d.{suffix}").write_bytes(b"\0")
    with pytest.raises(FacetrackError):
        ffmpeg.read_header(tmp_path / f"face%d.{suffix}")


def test_the_demuxers_of_common_files_are_listed() -> None:
    listed = set(ffmpeg.DEMUXERS.split(","))
    assert {"mov", "matroska", "avi", "mpegts", "mpeg", "gif", "ogg", "flv", "mxf"} <= listed
    assert not {"hls", "dash", "imf", "concat", "image2", "sdp", "lavfi", "tty"} & listed
