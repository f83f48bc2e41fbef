"""The overlay video of a run: lost faces, and the zoom."""

from __future__ import annotations

from pathlib import Path

import clips
import numpy as np
import pytest

from facetrack.api.outputs import Outputs
from facetrack.api.run_files import RunFiles
from facetrack.errors import FacetrackError
from facetrack.pipeline.assembly import Chunk
from facetrack.tracks import Tracks
from facetrack.video.frame import Frame
from facetrack.video.reader import probe

SIZE = (320, 240)
FRAMES = 6
GREY = 90


def face(visible: bool) -> Tracks:
    """A face of 40 pixels in the upper left of the frame."""
    random = np.random.default_rng(0)
    xy = np.repeat(random.uniform(60, 100, (1, 1, 68, 2)), FRAMES, 0)
    return Tracks(
        xy=xy.astype(np.float32),
        visible=np.full((FRAMES, 1, 68), visible),
        confidence=np.ones((FRAMES, 1, 68), np.float32),
        time=np.arange(FRAMES) / 25,
        face_id=np.zeros(1, np.int64),
        scheme="68",
        size=SIZE,
    )


def overlay(folder: Path, tracks: Tracks, **options: bool) -> np.ndarray:
    """The last frame of the overlay of a grey video."""
    folder.mkdir()
    video = clips.write_clip(folder / "clip.mp4", FRAMES, size=SIZE)
    image = np.full((SIZE[1], SIZE[0], 3), GREY, np.uint8)
    frames = [Frame(i, i / 25, image, 0.04) for i in range(FRAMES)]
    outputs = Outputs(folder / "out", **options)
    with RunFiles(video, probe(video), outputs, show_ids=False) as files:
        files.write(Chunk(frames, tracks))
        files.close()
        files.finish({"seconds": {}, "warnings": []})
    written, _ = clips.read_frames(folder / "out" / "clip.overlay.mp4")
    assert len(written) == FRAMES
    return written[-1].image.astype(int)


def drawn_box(image: np.ndarray) -> tuple[int, int]:
    """Width and height of what differs from the grey."""
    rows, columns = np.nonzero(np.abs(image - GREY).max(-1) > 40)
    return int(np.ptp(columns)), int(np.ptp(rows))


def test_a_lost_face_is_not_drawn(tmp_path: Path) -> None:
    assert np.abs(overlay(tmp_path / "seen", face(True)) - GREY).max() > 60
    assert np.abs(overlay(tmp_path / "lost", face(False)) - GREY).max() < 15


def test_zoom_enlarges_the_face_and_keeps_the_size_of_the_video(tmp_path: Path) -> None:
    plain, zoomed = (
        overlay(tmp_path / str(zoom), face(True), overlay_zoom=zoom) for zoom in (False, True)
    )
    assert zoomed.shape == plain.shape == (SIZE[1], SIZE[0], 3)
    assert drawn_box(plain)[1] == pytest.approx(40, abs=8)
    assert drawn_box(zoomed)[1] == pytest.approx(120, abs=20)


def test_zoom_without_an_overlay_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match="--no-overlay"):
        Outputs(tmp_path, overlay=False, overlay_zoom=True)
