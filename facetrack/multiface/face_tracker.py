"""The faces of a video while it is tracked: who is there, and when to detect again."""

from __future__ import annotations

import itertools
from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from facetrack.identity.verifier import STRANGER
from facetrack.landmarks.geometry import faces_overlap, landmark_distance
from facetrack.multiface.clip import FOUND_SHARE, Clip
from facetrack.multiface.detection import DRIFTED, DetectedFace, FaceLandmarker, stale
from facetrack.multiface.face_track import Event, FaceTrack, RedetectPolicy
from facetrack.multiface.propagation import Propagator
from facetrack.ops.assignment import linear_assignment
from facetrack.trackers import PointTracker
from facetrack.video.frame import Frame

if TYPE_CHECKING:
    from facetrack.identity.verifier import FaceVerifier

LOOKS = (1.0, 4.0)
"""Seconds between two looks for faces: the interval doubles while all is well."""
UNSURE_LOOK, DOUBTFUL_LOOK = 0.5, 0.25
"""Seconds to the next look while less than half of a face is seen; and while hardly anything of it
is, or where the last one left a doubt. Two doubts decide."""
SAME_FACE = 0.6
"""Mean distance of landmarks, in sizes of the face, up to which a find is the tracked face."""
AGREES = 0.05
"""The same, up to which the two are of one opinion."""
SURE, POSSIBLE = 1.0, 2.0
"""Implausibility of detected landmarks up to which they are believed against the tracker's, and up
to which they are a face at all: most faces in films have 0.3 to 0.8, a bandaged one seen from the
side 1.5, a hand or a wall 5."""
ODD = 0.8
"""Implausibility of the tracker's points from where a far more plausible detection is believed."""
KEPT = 5.0
"""Seconds for which the tracker may find a lost face again by itself."""
RECOGNISED = 4.0
"""Seconds for which a face that nothing is wrong with is not told from others once more: what tells
them apart takes longer than all else of a look."""
UNCONFIRMED = 3
"""Looks in a row without any sign of a face under impossible points, after which it is gone."""


class _Moment(NamedTuple):
    frame: int
    time: float


class MultiFaceTracker:
    """Follows faces through consecutive frames.

    Args:
        tracker: carries the points.
        finder: looks for faces, and `judge` tells people and impossible faces; None where nothing
            is to be detected again.
        policy: when to detect.

    Attributes:
        faces: those that are followed.
        known: face_ids given so far.
    """

    def __init__(
        self,
        tracker: PointTracker,
        finder: FaceLandmarker | None,
        judge: FaceVerifier | None,
        policy: RedetectPolicy,
    ) -> None:
        self._tracker, self._finder, self._judge, self._policy = tracker, finder, judge, policy
        self._carrier = Propagator(tracker, finder is not None, policy.faces)
        self.faces: list[FaceTrack] = []
        self.known = 0
        self._looked = _Moment(0, -np.inf)
        self._interval = LOOKS[0]

    # ---------------------------------------------------------------- what the pipeline asks

    def another(self) -> MultiFaceTracker:
        """A new one of the same make, which tells the same people apart."""
        return MultiFaceTracker(self._tracker, self._finder, self._judge, self._policy)

    def begin(self, frame: Frame, placed: Sequence[np.ndarray]) -> None:
        """Follow the faces with landmarks `placed`, (N, 2) each; `frame` is to be stepped over."""
        for xy in placed:
            face = self._carrier.begin(self.known, frame.image, xy)
            self.known += 1
            self.faces.append(face)
            if self._judge is not None:
                self._judge.remember_face(face.face_id, frame.image, xy)
        self._looked = _Moment(frame.index, frame.time)

    @property
    def events(self) -> list[Event]:
        """What was decided so far, in order."""
        return self._carrier.events

    @property
    def current(self) -> int:
        """The face_id that was followed last."""
        return self._carrier.current

    @property
    def searching(self) -> bool:
        """Whether there is no face to follow, so that the next look should come soon."""
        return not self.faces and self._finder is not None

    def cut(self, frame: Frame) -> None:
        """A new shot begins with `frame`, the next one: nobody is where they were."""
        self._carrier.last.clear()
        for face in self.faces:
            if not face.gone:
                self._carrier.tell(frame, face, "cut")
            face.presence.lose()
            face.gone, face.since = True, frame.time
        if self._policy.cuts_end:
            self.faces = []

    def advance(self, stretch: Clip) -> None:
        """Step over a stretch of frames and fill its rows with the faces that are followed; a face
        that is gone is NaN."""
        if self.faces:
            images = np.stack([f.image for f in stretch.frames])
            self._carrier.step(self.faces, images, stretch)
        if self._finder is None:
            return
        if self.searching:
            self._search(stretch, self._finder)
        elif self._is_due(stretch.last) or any(f.uncertain for f in self.faces):
            self._look(stretch, self._finder)
        for face in self.faces:
            face.jumped = None
        now = stretch.last.time
        self.faces = [f for f in self.faces if not (f.gone and now - f.since > KEPT)]

    # ---------------------------------------------------------------- looks

    @property
    def _opinion(self) -> FaceVerifier:
        assert self._judge is not None
        return self._judge

    def _is_due(self, frame: Frame) -> bool:
        if self._policy.every is not None:
            return frame.index - self._looked.frame >= self._policy.every
        seen = min((0.0 if f.gone else f.visible.mean() for f in self.faces), default=0.0)
        wait, most = self._interval, self._policy.faces
        if most is None or len(self.faces) < most:
            wait = min(wait, LOOKS[0])  # someone may come
        if seen < 0.5:
            wait = min(wait, DOUBTFUL_LOOK if seen < FOUND_SHARE else UNSURE_LOOK)
        if any(faces_overlap(one.xy, two.xy) for one, two in itertools.combinations(self.faces, 2)):
            wait = min(wait, DOUBTFUL_LOOK)
        return frame.time - self._looked.time >= wait - 1e-6

    def _search(self, stretch: Clip, finder: FaceLandmarker) -> None:
        """Look at the last frame; on a find, start where the first of those before shows one."""
        at, found = len(stretch.new) - 1, finder.find(stretch.last.image)
        for earlier in range(at if found else 0):
            before = finder.find(stretch.new[earlier].image)
            if before:
                at, found = earlier, before
                break
        self._take_in(found, stretch, at)

    def _look(self, stretch: Clip, finder: FaceLandmarker) -> None:
        """Compare the faces that are followed with those in the last frame."""
        found, calm = finder.find(stretch.last.image), True
        pairs = self._pairs(found)
        looks = {
            face.face_id: None
            if self._is_known(face, pairs[face.face_id], found, stretch.last)
            else self._describe(pairs[face.face_id], stretch.last)
            for face in self.faces
            if face.face_id in pairs
        }
        self._exchange(pairs, looks, stretch)
        for face in list(self.faces):
            one = pairs.get(face.face_id)
            if one is None:
                agree = self._missed(face, stretch, finder)
            else:
                agree = self._compare(face, one, looks[face.face_id], stretch)
            calm = calm and agree
        self._part(pairs, stretch)
        taken = {id(one) for one in pairs.values()}
        missed = {face.face_id for face in self.faces} - pairs.keys()
        rest = [one for one in found if id(one) not in taken]
        self._take_in(rest, stretch, len(stretch.new) - 1, missed)
        calmer = min(max(2 * self._interval, LOOKS[0]), LOOKS[1])
        self._interval = calmer if calm else DOUBTFUL_LOOK
        self._looked = _Moment(stretch.last.index, stretch.last.time)

    def _pairs(self, found: list[DetectedFace]) -> dict[int, DetectedFace]:
        """Which find is which of the faces, by where they are."""
        here = [face for face in self.faces if np.isfinite(face.xy).all(-1).any()]
        if not here or not found:
            return {}
        every = np.ones(len(found[0].xy), bool)
        cost = np.array([[landmark_distance(f.xy, one.xy, every) for one in found] for f in here])
        best = linear_assignment(np.minimum(cost, 1e3))
        return {here[i].face_id: found[j] for i, j in best if cost[i, j] < SAME_FACE}

    def _is_known(
        self, face: FaceTrack, one: DetectedFace, found: list[DetectedFace], now: Frame
    ) -> bool:
        """Whether the face, found as `one`, was recognised of late, and nothing has happened since
        by which it could be somebody else's."""
        others = [f.xy for f in self.faces if f is not face] + [f.xy for f in found if f is not one]
        return (
            face.well_known
            and now.time - face.recognised < RECOGNISED
            and bool(face.visible.mean() >= 0.5)
            and landmark_distance(face.xy, one.xy, face.visible) <= AGREES
            and not any(faces_overlap(face.xy, xy) for xy in others)
        )

    def _describe(self, one: DetectedFace, frame: Frame) -> np.ndarray | None:
        if self._opinion.shape_error(one.xy) > POSSIBLE:
            return None
        return self._opinion.describe(frame.image, one.xy)

    def _exchange(
        self, pairs: dict[int, DetectedFace], looks: dict[int, np.ndarray | None], stretch: Clip
    ) -> None:
        """Give two faces their ids back, where the points of each have gone over to the other."""
        others = {i: self._opinion.someone_else(i, look) for i, look in looks.items()}
        # Once is enough where the tracker itself does not see them.
        unsure = [f for f in self.faces if f.strange or f.visible.mean() < FOUND_SHARE]
        for one, other in itertools.combinations(unsure, 2):
            a, b = one.face_id, other.face_id
            if others.get(a) != b or others.get(b) != a:
                continue
            for face in (one, other):
                self._carrier.tell(stretch.last, face, "other person")
                stretch.forget_unseen(face.face_id, len(stretch.new) - 1)
            one.face_id, other.face_id, one.strange, other.strange = b, a, 0, 0
            tables: list[dict[int, Any]] = [pairs, looks, stretch.rows[-1], self._carrier.last]
            for known in tables:
                known[a], known[b] = known[b], known[a]

    def _compare(
        self, face: FaceTrack, one: DetectedFace, look: np.ndarray | None, stretch: Clip
    ) -> bool:
        """A face and what was found where it is; returns whether the two agree."""
        judge, last = self._opinion, len(stretch.new) - 1
        doubt = judge.shape_error(one.xy)
        who = judge.someone_else(face.face_id, look)
        face.misses = 0
        face.strange = 0 if who is None else face.strange + 1
        if who is not None:
            if face.strange > 1 or face.absent or face.jumped is not None:
                self._replace(face, who, one, look, stretch)
            return False
        error = landmark_distance(face.xy, one.xy, face.visible)
        if face.absent or face.visible.mean() < FOUND_SHARE:
            return self._found_again(face, one, stretch, look, error)
        # A shape that is hardly a face's is wrong even where little else speaks against it.
        ours = judge.shape_error(face.xy, face.visible)
        odd = error > AGREES and ours > max(ODD, 2 * doubt)
        drifted = error > DRIFTED or odd or stale(face.xy, face.visible, one)
        if not (drifted and doubt <= SURE):
            face.doubts = 0
            if error <= AGREES and doubt <= SURE:
                if look is not None:
                    judge.remember(face.face_id, look)
                    face.recognised = stretch.last.time
                if face.fusion is not None:
                    face.fusion.observe(one.xy, face.visible)
            return True
        face.doubts += 1
        if face.doubts > 1 or self._policy.every is not None:
            self._restart(face, one, look, stretch, last, "drift", error)
        return False

    def _found_again(
        self,
        face: FaceTrack,
        one: DetectedFace,
        stretch: Clip,
        look: np.ndarray | None,
        error: float,
    ) -> bool:
        """A face that the tracker does not see, or says it sees again, was found."""
        judge, doubt = self._opinion, self._opinion.shape_error(one.xy)
        itself = face.face_id in self._nearby(one.xy) or judge.who(look, {face.face_id}) is not None
        # What covers the points that are not seen spoils a detection too.
        if doubt > (POSSIBLE if face.absent else SURE) or (face.absent and not itself):
            if face.back is not None:
                self._carrier.lose(face, stretch, face.back)
            return False
        if face.back is not None and error <= AGREES:
            self._carrier.tell(stretch.last, face, "seen again", after=face.summary(), error=error)
            face.back = None
            return True
        reason = "returned" if face.absent else "drift"
        self._restart(face, one, look, stretch, len(stretch.new) - 1, reason)
        return False

    def _missed(self, face: FaceTrack, stretch: Clip, finder: FaceLandmarker) -> bool:
        """No face was found where this one is; returns whether that is no reason to worry."""
        frame = stretch.last
        if face.back is not None:
            self._carrier.lose(face, stretch, face.back)
            return False
        if face.gone:
            return True
        one = None
        if np.isfinite(face.xy).any():  # a detector on every frame may know no point
            low, high = np.nanmin(face.xy, 0), np.nanmax(face.xy, 0)
            one = finder.place(frame.image, np.concatenate([low, high]).astype(np.float32))
        agrees = one is not None and landmark_distance(face.xy, one.xy, face.visible) <= DRIFTED
        if agrees or self._opinion.shape_error(face.xy, face.visible) <= POSSIBLE:
            face.misses = 0
            return True
        face.misses += 1
        if face.misses >= UNCONFIRMED:
            self._carrier.tell(frame, face, "no face")
            self._carrier.lose(face, stretch, len(stretch.new) - 1)
            self.faces.remove(face)
        return False

    def _part(self, pairs: dict[int, DetectedFace], stretch: Clip) -> None:
        """Of two that follow one face, keep the one that a find agrees with, or that sees more."""
        for one, other in itertools.combinations(list(self.faces), 2):
            if (
                one in self.faces
                and other in self.faces
                and landmark_distance(one.xy, other.xy, one.visible | other.visible) < DRIFTED
            ):
                worse = min(other, one, key=lambda f: (f.face_id in pairs, f.visible.mean()))
                self._carrier.tell(stretch.last, worse, "same face")
                self.faces.remove(worse)
                stretch.remove(worse.face_id, len(stretch.new) - 1)

    # ---------------------------------------------------------------- coming and going

    def _take_in(
        self, found: list[DetectedFace], stretch: Clip, at: int, missed: Set[int] = frozenset()
    ) -> None:
        """Follow those that were found in row `at` besides the faces that are there, as far as
        there is room; where the points of `missed` ones are, nothing was found."""
        judge, image = self._opinion, stretch.new[at].image
        there = {face.face_id for face in self.faces if not face.gone}
        # A face of which the tracker sees little may be one that was found elsewhere.
        weak = {f.face_id for f in self.faces if f.visible.mean() < FOUND_SHARE} & there
        taken = there - weak
        most = self._policy.faces
        named: list[tuple[int | None, DetectedFace, np.ndarray | None]] = []
        for one in found:
            if judge.shape_error(one.xy) > POSSIBLE:
                continue
            look = judge.describe(image, one.xy)
            # A tracker may see its points on a wall: who is recognised elsewhere is there.
            who = judge.who(look, set(range(self.known)) - (taken - missed))
            if who is None:
                faces_overlap = [i for i in self._nearby(one.xy) if i not in taken]
                who = next((i for i in faces_overlap if judge.someone_else(i, look) is None), None)
            if who is not None:
                taken.add(who)
            named.append((who, one, look))
        # Those who are known come first, the one that was followed last before all.
        named.sort(key=lambda name: (name[0] != self.current, name[0] is None))
        for who, one, look in named:
            if who in there or most is None or len(there) < most:
                there.add(self._start(who, one, look, stretch, at))

    def _nearby(self, xy: np.ndarray) -> list[int]:
        """Whose faces were last about here in this shot."""
        return [
            face_id for face_id, there in self._carrier.last.items() if faces_overlap(xy, there)
        ]

    def _start(
        self,
        who: int | None,
        one: DetectedFace,
        look: np.ndarray | None,
        stretch: Clip,
        at: int,
        since: int = 0,
    ) -> int:
        """Follow a face from row `at` on: that of `who`, or a new one; returns its face_id. Before
        row `since` it cannot have been there."""
        reason = "found" if who is None else "returned"
        if who is None:
            who, self.known = self.known, self.known + 1
        face = FaceTrack(who, None)
        for old in [f for f in self.faces if f.face_id == who or self._policy.faces == 1]:
            if old.face_id == who and not old.gone:
                face, reason = old, "drift"
            self.faces.remove(old)
            stretch.remove(old.face_id, at)
        self.faces.append(face)
        self._restart(face, one, look, stretch, at, reason, since=since)
        return who

    def _restart(
        self,
        face: FaceTrack,
        one: DetectedFace,
        look: np.ndarray | None,
        stretch: Clip,
        at: int,
        reason: str,
        error: float | None = None,
        since: int = 0,
    ) -> None:
        """Track a face anew from landmarks placed in row `at`, and back to row `since`."""
        frame, before = stretch.new[at], face.summary()
        self._carrier.restart(face, one.xy, stretch, at, since)
        if self._opinion.shape_error(one.xy) <= SURE:
            self._opinion.remember(face.face_id, look)
        self._carrier.tell(frame, face, reason, before=before, after=face.summary(), error=error)

    def _replace(
        self, face: FaceTrack, who: int, one: DetectedFace, look: np.ndarray | None, stretch: Clip
    ) -> None:
        """The points are on another person now."""
        at = len(stretch.new) - 1
        if not face.gone:
            self._carrier.tell(stretch.last, face, "other person")
        if face.back is not None:
            stretch.forget(face.face_id, face.back)
        if face.jumped is not None:
            stretch.forget(face.face_id, face.jumped)
        self.faces.remove(face)
        stretch.remove(face.face_id, at)
        # Someone who is followed already is not to be followed twice.
        if who not in {f.face_id for f in self.faces if not f.gone}:
            self._start(None if who == STRANGER else who, one, look, stretch, at, face.jumped or 0)
