"""The start of the sound, against sound whose start is known."""

from __future__ import annotations

from pathlib import Path

import clips
import pytest

from facetrack.errors import FacetrackError
from facetrack.video.audio import audio_start


def with_sound(path: Path, offset: float, *codec: str) -> Path:
    """Write a clip of 2 seconds whose sound starts at a time."""
    clips.run_ffmpeg(
        *("-f", "lavfi", "-i", "testsrc=d=2:r=25:s=64x48"),
        *("-itsoffset", str(offset), "-f", "lavfi", "-i", "sine=d=1", "-map", "0", "-map", "1"),
        *("-c:v", "libx264", *codec, str(path)),
    )
    return path


@pytest.mark.parametrize("offset", [0.0, 0.25])
def test_start_of_plain_sound(tmp_path: Path, offset: float) -> None:
    path = with_sound(tmp_path / "a.mkv", offset, "-c:a", "pcm_s16le")
    assert audio_start(path) == pytest.approx(offset, abs=1e-3)


def test_start_counts_the_samples_that_a_codec_puts_first(tmp_path: Path) -> None:
    """It is that of the first sample which a program gets that extracts the sound."""
    path = with_sound(tmp_path / "a.mp4", 0.5, "-c:a", "aac")
    assert audio_start(path) == pytest.approx(0.5, abs=1024 / 44100 + 1e-3)


def test_clip_without_sound_is_one_sentence(tmp_path: Path) -> None:
    silent = clips.write_clip(tmp_path / "silent.mp4", 3)
    for path in (silent, tmp_path / "none.mp4", tmp_path):
        with pytest.raises(FacetrackError, match="--audio-offset in seconds"):
            audio_start(path)
