"""Test the environment of ffmpeg processes and the formats that they may read."""

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
def recording_ffmpeg(tmp_path: Path) -> Path:
    """Create an ffmpeg program that appends its environment to the file `environments`."""
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


def test_library_paths_of_processes_exclude_the_current_folder(
    recording_ffmpeg: Path, tmp_path: Path
) -> None:
    variables = {**os.environ, "IMAGEIO_FFMPEG_EXE": str(recording_ffmpeg)}
    variables |= {"LD_LIBRARY_PATH": f"{tmp_path}:lib::", "LD_PRELOAD": ""}
    command = [sys.executable, "-m", "facetrack", "track", str(CLIP), "--tracker", "lk"]
    command += ["--init", "ert", "--end", "0.2", "--out", str(tmp_path / "out")]
    result = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    lines = (tmp_path / "environments").read_text().splitlines()
    environments = [json.loads(line) for line in lines]
    assert len(environments) >= 4  # the version, the header, the frames, the overlay
    for environment in environments:
        entries = environment.get("LD_LIBRARY_PATH", "/").split(":")
        assert all(os.path.isabs(entry) for entry in entries), entries
    # The first runs are imageio-ffmpeg's own tests of the program.
    known = {*ffmpeg.environment(), "LD_LIBRARY_PATH", "LC_CTYPE"}
    assert any(environment.keys() <= known for environment in environments)


def test_relative_library_paths_are_removed(
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
def test_a_list_of_files_opens_none_of_them(name: str, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(CLIP.read_bytes())
    (tmp_path / name).write_bytes(MANIFESTS[name])
    with pytest.raises(FacetrackError):
        ffmpeg.read_header(tmp_path / name)


@pytest.mark.parametrize("suffix", ["tga", "ppm", "qoi", "dpx", "jp2"])
def test_a_pattern_in_a_name_reads_no_other_file(suffix: str, tmp_path: Path) -> None:
    image = b"P6\n16 16\n255\n" + bytes(768)
    (tmp_path / f"face1.{suffix}").write_bytes(image)
    (tmp_path / f"face%d.{suffix}").write_bytes(b"\0")
    with pytest.raises(FacetrackError):
        ffmpeg.read_header(tmp_path / f"face%d.{suffix}")


def test_demuxers_of_common_files_are_allowed() -> None:
    allowed = set(ffmpeg.DEMUXERS.split(","))
    assert {"mov", "matroska", "avi", "mpegts", "mpeg", "gif", "ogg", "flv", "mxf"} <= allowed
    assert not {"hls", "dash", "imf", "concat", "image2", "sdp", "lavfi", "tty"} & allowed
