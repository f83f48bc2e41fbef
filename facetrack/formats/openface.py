"""Write OpenFace 2's CSV, for scripts written for its FeatureExtraction."""

from __future__ import annotations

import numpy as np

from facetrack.formats.base import TextWriter
from facetrack.measures.face_measures import POSE, has_measures, points_68
from facetrack.tracks import Tracks


class OpenFaceWriter(TextWriter):
    """Write exactly the columns of OpenFace 2's `FeatureExtraction -pose -2Dfp`.

    The columns are `frame, face_id, timestamp, confidence, success, pose_Tx, pose_Ty, pose_Tz,
    pose_Rx, pose_Ry, pose_Rz, x_0, .., y_0, ..`, separated by ", " in the header too. Frames are
    1-based. The timestamp has three decimals, confidence two, coordinates one, the position of the
    head one (mm) and its angles three (radians); success is 1 or 0. Coordinates are OpenCV pixels
    in both programs: 0 is the centre of the top-left pixel. OpenFace has no empty cells: an unknown
    point is written as 0.0, 0.0, an unknown pose as zeros. Such a row has success 0, so a filter on
    success 1, as OpenFace recommends, removes it. Layouts without the 68 points have no pose: their
    columns are those of `-2Dfp`.

    Poses are estimated from the whole video, so its tracks are kept until the end.
    """

    def _begin(self, tracks: Tracks) -> None:
        points = tracks.xy.shape[2]
        self._has_pose = has_measures(tracks.scheme)
        self._kept: list[Tracks] = []
        names = ["frame", "face_id", "timestamp", "confidence", "success"]
        names += POSE if self._has_pose else ()
        names += [f"{axis}_{i}" for axis in "xy" for i in range(points)]
        self._file.write(", ".join(names) + "\n")
        pose = ", %.1f" * 3 + ", %.3f" * 3 if self._has_pose else ""
        self._row = "%d, %d, %.3f, %.2f, %d" + pose + ", %.1f" * (2 * points) + "\n"

    def _append(self, tracks: Tracks) -> None:
        if self._has_pose:
            self._kept.append(tracks)
        else:
            self._write_rows(tracks, np.zeros((*tracks.visible.shape[:2], 0)))

    def _end(self) -> None:
        if not self._has_pose:
            return
        ids = list(dict.fromkeys(int(i) for part in self._kept for i in part.face_id))
        pose = _poses(Tracks.concatenate(self._kept), self.focal)
        start = 0
        for part in self._kept:
            faces = [ids.index(int(face)) for face in part.face_id]
            self._write_rows(part, pose[start : start + len(part)][:, faces])
            start += len(part)

    def _write_rows(self, tracks: Tracks, pose: np.ndarray) -> None:
        """Write frames with poses (T, F, 6), NaN where unknown, or (T, F, 0) without poses."""
        frames, faces, points = tracks.visible.shape
        known = np.isfinite(tracks.xy).all(-1)
        # Adding 0 turns -0.0 into 0.0.
        xy = np.round(np.where(known[..., None], tracks.xy, 0).astype(np.float64), 1) + 0.0
        cells = xy.transpose(0, 1, 3, 2).reshape(frames, faces, 2 * points).tolist()
        confidence = tracks.face_confidence.tolist()
        is_posed = np.isfinite(pose).all(-1)
        success = (tracks.success & known.all(-1) & is_posed).tolist()
        pose = np.where(is_posed[..., None], pose, 0)
        digits = (1, 1, 1, 3, 3, 3)[: pose.shape[-1]]
        columns = [np.round(pose[..., k], n) + 0.0 for k, n in enumerate(digits)]
        poses = (np.stack(columns, -1) if columns else pose).tolist()
        ids = tracks.face_id.tolist()
        time = (np.round(tracks.time, 3) + 0.0).tolist()
        for t, index in enumerate(tracks.frames.tolist()):
            for f in range(faces):
                start = (index + 1, ids[f], time[t], confidence[t][f], success[t][f])
                self._file.write(self._row % (*start, *poses[t][f], *cells[t][f]))


def _poses(tracks: Tracks, focal: float | None) -> np.ndarray:
    """Return pose_Tx to pose_Rz of each frame and face (T, F, 6), NaN where unknown."""
    from facetrack.measures import face_model
    from facetrack.measures.head import choose_camera, track_head

    xy, seen = points_68(tracks)
    pose = np.full((*xy.shape[:2], 6), np.nan)
    if min(tracks.size) < 1:
        return pose
    camera = choose_camera(xy, seen, tracks.size, focal, face_model.load())
    for face in range(xy.shape[1]):
        head = track_head(xy[:, face], seen[:, face], camera, face_model.load())
        pose[:, face] = np.concatenate([head.translation, head.angles], axis=1)
    return pose
