"""Write DeepLabCut's CSV, for its plotting, filtering and analysis tools."""

from __future__ import annotations

import numpy as np

from facetrack.formats.base import TextWriter
from facetrack.tracks import Tracks

_SCORER = "facetrack"


class DlcWriter(TextWriter):
    """Write header rows scorer / bodyparts / coords with x, y, likelihood; one row per frame.

    With several faces, DeepLabCut's multi-animal row `individuals` follows the scorer. The first
    column is the 0-based frame. Coordinates are pixels from the centre of the top-left pixel, three
    decimals, empty where unknown; likelihood is the point's confidence, 0 where unknown. Read with
    `pandas.read_csv(path, header=[0, 1, 2], index_col=0)`, or `[0, 1, 2, 3]` for several faces.
    """

    all_faces_first = True

    def _begin(self, tracks: Tracks) -> None:
        faces, points = tracks.xy.shape[1:3]
        individuals = [f"face_{i}" for i in tracks.face_id.tolist() for _ in range(3 * points)]
        bodyparts = [f"point_{i}" for i in range(points) for _ in range(3)] * faces
        coords = ["x", "y", "likelihood"] * (faces * points)
        self._header("scorer", [_SCORER] * len(coords))
        if faces > 1:
            self._header("individuals", individuals)
        self._header("bodyparts", bodyparts)
        self._header("coords", coords)
        self._row = "%d" + ",%.3f,%.3f,%.3f" * (faces * points) + "\n"

    def _header(self, name: str, cells: list[str]) -> None:
        self._file.write(",".join([name, *cells]) + "\n")

    def _append(self, tracks: Tracks) -> None:
        known = np.isfinite(tracks.xy).all(-1, keepdims=True)
        likelihood = np.where(known, tracks.confidence[..., None], 0)
        cells = np.concatenate([tracks.xy, likelihood], axis=-1).reshape(len(tracks), -1)
        # Adding 0 turns -0.0 into 0.0.
        rows = (np.round(cells.astype(np.float64), 3) + 0.0).tolist()
        for frame, row in zip(tracks.frames.tolist(), rows, strict=True):
            line = self._row % (frame, *row)
            self._file.write(line.replace("nan", ""))
