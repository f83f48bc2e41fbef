"""Write OpenFace 2's CSV, for scripts written for its FeatureExtraction."""

from __future__ import annotations

import numpy as np

from facetrack.formats.base import TextWriter
from facetrack.tracks import Tracks


class OpenFaceWriter(TextWriter):
    """Write exactly the columns of OpenFace 2's `FeatureExtraction -2Dfp`.

    The columns are `frame, face_id, timestamp, confidence, success, x_0, .., y_0, ..`, separated by
    ", " in the header too. Frames are 1-based. The timestamp has three decimals, confidence two,
    coordinates one; success is 1 or 0. Coordinates are OpenCV pixels in both programs: 0 is the
    centre of the top-left pixel. OpenFace has no empty cells: an unknown point is written as
    0.0, 0.0. Its row has success 0, so a filter on success 1, as OpenFace recommends, removes it.
    """

    def _begin(self, tracks: Tracks) -> None:
        points = tracks.xy.shape[2]
        names = ["frame", "face_id", "timestamp", "confidence", "success"]
        names += [f"{axis}_{i}" for axis in "xy" for i in range(points)]
        self._file.write(", ".join(names) + "\n")
        self._row = "%d, %d, %.3f, %.2f, %d" + ", %.1f" * (2 * points) + "\n"

    def _append(self, tracks: Tracks) -> None:
        frames, faces, points = tracks.visible.shape
        known = np.isfinite(tracks.xy).all(-1)
        # Adding 0 turns -0.0 into 0.0.
        xy = np.round(np.where(known[..., None], tracks.xy, 0).astype(np.float64), 1) + 0.0
        cells = xy.transpose(0, 1, 3, 2).reshape(frames, faces, 2 * points).tolist()
        confidence = tracks.face_confidence.tolist()
        success = (tracks.success & known.all(-1)).tolist()
        ids = tracks.face_id.tolist()
        time = (np.round(tracks.time, 3) + 0.0).tolist()
        for t, index in enumerate(tracks.frames.tolist()):
            for f in range(faces):
                start = (index + 1, ids[f], time[t], confidence[t][f], success[t][f])
                self._file.write(self._row % (*start, *cells[t][f]))
