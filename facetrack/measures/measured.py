"""Measure a video: all faces, their events and the summary."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facetrack.measures import face_model
from facetrack.measures.dataframes import events_dataframe, measures_dataframe
from facetrack.measures.events import Event, find_events
from facetrack.measures.face_measures import FaceMeasures, measure
from facetrack.measures.files import SUFFIXES, write_events, write_measures
from facetrack.measures.lab_clock import LabClock
from facetrack.measures.summary import summarise
from facetrack.tracks import Tracks
from facetrack.weights import resolve

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Measured:
    """The measures of a video, of `Tracks.measure`.

    Attributes:
        faces: the measures over time, one per face.
        events: blinks and others of all faces, sorted by face and time.
    """

    faces: list[FaceMeasures]
    events: list[Event]

    def write(self, folder: Path, stem: str, clock: LabClock | None = None) -> None:
        """Write `<stem>.measures.csv` and `<stem>.events.csv`.

        Args:
            folder: of the files.
            stem: of their names.
            clock: clocks of the laboratory, for further columns.

        Raises:
            FacetrackError: a file cannot be written.
        """
        write_measures(folder / f"{stem}{SUFFIXES['measures']}", self.faces, clock)
        write_events(folder / f"{stem}{SUFFIXES['events']}", self.events, clock)

    def to_dataframe(self) -> pd.DataFrame:
        """Return the measures as a pandas table, one row per frame and face.

        The columns are those of `<stem>.measures.csv`: `frame`, `face_id`, `timestamp` (seconds),
        the measures, NaN where they are not valid, and their `_valid` (bool). Unlike in the file,
        values are not rounded.

        Raises:
            FacetrackError: pandas is not installed.
        """
        return measures_dataframe(self.faces)

    def events_to_dataframe(self) -> pd.DataFrame:
        """Return the events as a pandas table, one row per event and eye.

        The columns are those of `<stem>.events.csv`. `complete` is None for the mouth, `delay` is
        NaN where only one eye is known.

        Raises:
            FacetrackError: pandas is not installed.
        """
        return events_dataframe(self.events)

    def summaries(self) -> list[dict[str, Any]]:
        """Return the summary of each face, as in the record: rates, medians, percentiles."""
        return [summarise(face, self.events) for face in self.faces]

    def record(self) -> dict[str, Any]:
        """Return the entry for a record: summaries, focal length, and the 3-D face used."""
        return {
            "faces": self.summaries(),
            "focal": round(self.faces[0].focal, 3) if self.faces else None,
            "face_model": resolve(face_model.PART, "auto").describe(),
        }


def measure_video(tracks: Tracks, focal: float | None = None) -> Measured:
    """Measure the faces of a video, see `facetrack.measures.face_measures.measure`.

    Raises:
        FacetrackError: the layout lacks the 68 points, or the size of the frames is not known.
    """
    faces = measure(tracks, face_model.load(), focal)
    return Measured(faces, [event for face in faces for event in find_events(face)])
