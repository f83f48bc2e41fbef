"""Return the measures and the events of a video as pandas tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facetrack.measures.events import Event
from facetrack.measures.face_measures import NAMES, FaceMeasures
from facetrack.measures.files import EVENT_COLUMNS, FIRST_COLUMNS, VALID_NAMES, validity
from facetrack.tracks import import_pandas

if TYPE_CHECKING:
    import pandas as pd


def measures_dataframe(faces: Sequence[FaceMeasures]) -> pd.DataFrame:
    """Return a row per frame and face; see `Measured.to_dataframe`."""
    pandas = import_pandas("measures")
    columns: dict[str, list[np.ndarray]] = {name: [] for name in (*FIRST_COLUMNS, *NAMES)}
    marks = []
    for face in faces:
        identity = np.full(len(face.time), face.face_id)
        for name, values in zip(FIRST_COLUMNS, (face.frames, identity, face.time), strict=True):
            columns[name].append(values)
        for name in NAMES:
            columns[name].append(face.values[name])
        marks.append(validity(face))
    # By frame, then by face, as in the file.
    table = {name: np.stack(values, axis=1).ravel() for name, values in columns.items()}
    valid = np.stack(marks, axis=1).reshape(-1, len(VALID_NAMES)).astype(bool)
    table |= {f"{name}_valid": valid[:, index] for index, name in enumerate(VALID_NAMES)}
    return pandas.DataFrame(table)


def events_dataframe(events: Sequence[Event]) -> pd.DataFrame:
    """Return a row per event and eye; see `Measured.events_to_dataframe`."""
    names = {"event": "kind"}
    table: dict[str, Any] = {
        column: [getattr(event, names.get(column, column)) for event in events]
        for column in EVENT_COLUMNS
    }
    # Unknown delays are NaN, also where all are.
    table["delay"] = np.array(table["delay"], float)
    return import_pandas("measures").DataFrame(table)
