"""The point tracker at work on the faces of a stretch: their rows are filled, onwards and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facetrack.landmarks.geometry import landmark_distance
from facetrack.multiface.appearance import AppearanceMonitor
from facetrack.multiface.clip import FOUND_SHARE, Clip, Row
from facetrack.multiface.detection import DRIFTED
from facetrack.multiface.face_track import Event, FaceTrack, PresenceFilter
from facetrack.multiface.offset_correction import OffsetCorrector
from facetrack.trackers import PointTracker, StepResult, step_all
from facetrack.video.frame import Frame


class Propagator:
    """Carries faces through stretches of frames.

    Args:
        tracker: carries the points.
        detects: whether faces are detected again, so that what the tracker says can be checked.
        most: how many faces a row may hold; None: any number.

    Attributes:
        events: what was told so far, in order.
        current: the face_id that was seen last.
        last: (N, 2) where each face was last in this shot.
    """

    def __init__(self, tracker: PointTracker, detects: bool, most: int | None) -> None:
        self._tracker, self._detects, self._most = tracker, detects, most
        self.events: list[Event] = []
        self.current = 0
        self.last: dict[int, np.ndarray] = {}

    def begin(self, face_id: int, image: np.ndarray, xy: np.ndarray) -> FaceTrack:
        """A face with landmarks (N, 2) in an image (H, W, 3), which is to be stepped over."""
        return FaceTrack(face_id, self._tracker.start(image, xy), fusion=self._fusion(xy))

    def step(self, faces: Sequence[FaceTrack], images: np.ndarray, stretch: Clip) -> None:
        """Carry faces through the images (K, H, W, 3) of a stretch, and fill its rows."""
        new = slice(stretch.before, stretch.before + len(stretch.new))
        results = step_all(self._tracker, [face.state for face in faces], images)
        for face, result in zip(faces, results, strict=True):
            self._fill(face, StepResult(*(kind[new] for kind in result)), stretch, 0)

    def restart(self, face: FaceTrack, xy: np.ndarray, stretch: Clip, at: int, since: int) -> None:
        """Carry a face on from landmarks (N, 2) in row `at`; and back, but not before row `since`,
        where it was not seen, or seen elsewhere."""
        if face.back is not None:
            stretch.forget(face.face_id, face.back, at)
        stretch.forget_unseen(face.face_id, at)
        face.state = self._tracker.start(stretch.new[at].image, xy)
        # What was last seen was seen elsewhere, or later.
        face.fusion, face.place, face.jumped = self._fusion(xy), AppearanceMonitor(), None
        face.presence, face.gone, face.back = PresenceFilter(), False, None
        face.doubts = face.misses = face.strange = 0
        face.recognised = -np.inf
        images = np.stack([f.image for f in stretch.new[at:]])
        self._fill(face, self._tracker.step(face.state, images), stretch, at)
        if at > since:
            self._fill_back(face.face_id, xy, stretch, at, since)

    def lose(self, face: FaceTrack, stretch: Clip, since: int) -> None:
        """It is known to be gone from row `since` on."""
        face.presence.lose()
        face.gone, face.back, face.since = True, None, stretch.last.time
        stretch.forget(face.face_id, since)

    def tell(self, frame: Frame, face: FaceTrack, reason: str, **more: object) -> None:
        """An event of that frame; `more` are fields of `Event`."""
        more.setdefault("before", face.summary())
        self.events.append(Event(frame.index, frame.time, face.face_id, reason, **more))  # type: ignore[arg-type]

    def _fusion(self, placed: np.ndarray) -> OffsetCorrector | None:
        """For points that were placed at (N, 2)."""
        return OffsetCorrector(placed) if self._detects else None

    def _fill(self, face: FaceTrack, result: StepResult, stretch: Clip, at: int) -> None:
        """Put a tracker's answer into the rows from `at` on, and tell of faces that go or come."""
        frames = stretch.new[at:]
        gone, (xy, visible, confidence) = face.presence.apply(frames, result)
        if face.fusion is not None:
            xy = face.fusion.apply(np.array([f.time for f in frames]), xy)
        for k, frame in enumerate(frames):
            returns = face.gone and not gone[k]
            if gone[k] and not face.gone:
                face.since, face.back = frame.time, None
                self.tell(frame, face, "lost")
            face.gone = bool(gone[k])
            if not face.gone:
                before, face.xy, face.visible = face.summary(), xy[k], visible[k]
                jumped = self._detects and face.place.changed(frame.image, xy[k])
                if jumped and face.jumped is None:
                    face.jumped = at + k
                self.last[face.face_id], self.current = xy[k], face.face_id
                if returns and not self._detects:
                    self.tell(frame, face, "seen again", before=before, after=face.summary())
                elif returns:
                    face.back = at + k
            stretch.rows[at + k][face.face_id] = (xy[k], visible[k], confidence[k])

    def _fill_back(self, face_id: int, xy: np.ndarray, stretch: Clip, at: int, since: int) -> None:
        """Follow a face with landmarks `xy` in row `at` back through the rows in which it has not
        been seen, or elsewhere, as long as it is seen."""
        images = np.stack([f.image for f in stretch.new[since : at + 1][::-1]])
        back = self._tracker.step(self._tracker.start(images[0], xy), images)
        for k in range(1, len(images)):
            row, (xy, visible, confidence) = stretch.rows[at - k], (kind[k] for kind in back)
            if visible.mean() < FOUND_SHARE:
                return
            if face_id in row:
                known, seen, _ = row[face_id]
                if seen.mean() >= FOUND_SHARE and landmark_distance(known, xy, seen) <= DRIFTED:
                    return
            elif not self._make_room(row):
                return
            row[face_id] = xy, visible, confidence

    def _make_room(self, row: Row) -> bool:
        """For one more face; those of which nothing is known give way. False if there is none."""
        most = self._most
        if most is None or len(row) < most:
            return True
        unknown = [i for i, (xy, *_) in row.items() if not np.isfinite(xy).any()]
        for face_id in unknown:
            del row[face_id]
        return len(row) < most
