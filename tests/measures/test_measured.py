"""Measures of tracks in memory, and their tables."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import rendered_heads as heads

from facetrack.errors import FacetrackError
from facetrack.measures.face_model import load
from facetrack.tracks import Tracks

pandas = pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def tracks() -> Tracks:
    """Two people; the one with the higher number comes first, and the right eye shuts alone."""
    time = np.arange(60) / 30
    shut = heads.blink(time, 0.8, 0.1, 0.2)
    faces = heads.with_lids(load().mean, {"r": shut, "l": 0 * shut})
    one = heads.tracks_of(heads.project(faces, heads.turns(60, 10)))
    both = one.with_faces([int(one.face_id[0]) + 3, int(one.face_id[0])])
    both.xy[:, 0], both.visible[:, 0] = one.xy[:, 0] + 20, True
    return both


def test_tables_are_those_of_the_files(tracks: Tracks, tmp_path: Path) -> None:
    measured = tracks.measure()
    measured.write(tmp_path, "a")
    written = pandas.read_csv(tmp_path / "a.measures.csv")
    table = measured.to_dataframe()
    assert list(table.columns) == list(written.columns)
    assert len(table) == 120
    np.testing.assert_allclose(table.to_numpy(float), written.to_numpy(float), atol=0.0051)
    assert table.pose_valid.dtype == bool
    written = pandas.read_csv(tmp_path / "a.events.csv")
    events = measured.events_to_dataframe()
    assert list(events.columns) == list(written.columns)
    assert events.event.tolist() == ["wink", "wink"]
    assert events.face_id.tolist() == tracks.face_id.tolist()
    assert events.delay.dtype == float
    np.testing.assert_allclose(events.peak, written.peak, atol=1e-6)


def test_without_events_the_columns_are_there(tracks: Tracks) -> None:
    still = tracks.select(time=(None, 0.5)).measure()
    assert still.events_to_dataframe().empty
    assert "duration" in still.events_to_dataframe().columns
    text = io.StringIO()
    still.events_to_dataframe().to_csv(text, index=False)
    assert text.getvalue().startswith("face_id,event,side,")


def test_what_cannot_be_measured_is_refused(tracks: Tracks) -> None:
    with pytest.raises(FacetrackError, match="Measures need the 68 points"):
        tracks.select(points="right_eye").measure()
    with pytest.raises(FacetrackError, match="above 0 pixels"):
        tracks.measure(focal=0)
