"""Look at a run that is being corrected: pictures, tracks, doubts and suggestions."""

from __future__ import annotations

import getpass
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.api.edit_history import EditHistory, said, said_at
from facetrack.api.edited_run import EditedRun
from facetrack.api.recorded import recorded_options
from facetrack.callbacks import Progress
from facetrack.corrections.correction import Correction
from facetrack.corrections.create import create_corrector, model_options
from facetrack.corrections.directions import measure_disagreement
from facetrack.corrections.doubt import Doubt, rank_doubts
from facetrack.corrections.engine import Corrector
from facetrack.corrections.log import SUFFIX, CorrectionLog
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.landmarks.schemes import Scheme
from facetrack.pipeline.models import Models
from facetrack.pipeline.options import Options
from facetrack.tracks import Tracks

Cancelled = Callable[[], bool]
"""Returns True once a long call should end."""


@dataclass(frozen=True)
class PointEdit:
    """Where a person puts a landmark.

    Attributes:
        point: 0-based index.
        x, y: pixels from the centre of the top-left pixel.
        hidden: something covers the landmark; `x`, `y` is where it is behind that.
    """

    point: int
    x: float
    y: float
    hidden: bool = False


class EditView:
    """What an `EditSession` shows; see there."""

    def __init__(self, run: EditedRun, who: str | None = None) -> None:
        """Use `EditSession.open`.

        Args:
            run: the run to correct.
            who: name of the person who corrects; None for that of the account.

        Raises:
            FacetrackError: the video or the file of corrections cannot be read.
        """
        self.video, self.folder, self.stem = run.video, run.folder, run.stem
        self.options: Options = recorded_options(run.record)
        self._record = dict(run.record)
        self._events = [e for e in self._record.get("events", []) if isinstance(e, Mapping)]
        self._log = CorrectionLog(self.folder / f"{self.stem}{SUFFIX}")
        who = _account() if who is None else who
        self._history = EditHistory(self._log, who, self._update)
        self._known_warnings = [*run.warnings, *self._log.warnings]
        self._models = Models(model_options(self.options))
        self._corrector: Corrector = create_corrector(
            run.base, self._events, self.video, self.options, self._models
        )
        self._written = self._recorded()
        self._saving = threading.Lock()
        self._disagreement: np.ndarray | None = None
        self._update()

    @property
    def warnings(self) -> list[str]:
        """Sentences about what could not be used, now last about corrections in force."""
        return list(dict.fromkeys([*self._known_warnings, *self._corrector.warnings]))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the frames in pixels."""
        info = self._corrector.frames.info
        return info.width, info.height

    @property
    def frames(self) -> np.ndarray:
        """(T,) indices of the frames in the video."""
        return self._corrector.base.frames

    @property
    def times(self) -> np.ndarray:
        """(T,) times of the frames in seconds."""
        return self._corrector.base.time

    @property
    def faces(self) -> list[int]:
        """face_ids, also of faces that corrections have added."""
        return [int(face) for face in self._corrector.resolved.tracks.face_id]

    @property
    def scheme(self) -> Scheme:
        """The layout: regions, lines and mirror pairs of the landmarks."""
        return schemes.get(self._corrector.base.scheme)

    @property
    def events(self) -> list[Mapping[str, Any]]:
        """The run's decisions about faces, as in its record."""
        return list(self._events)

    @property
    def corrections(self) -> list[Correction]:
        """The corrections in force, in the order in which they were made."""
        return self._log.active()

    @property
    def corrections_path(self) -> Path:
        """The file of corrections."""
        return self._log.path

    @property
    def is_saved(self) -> bool:
        """Whether the run's files hold the corrections that are in force."""
        return self._written == said(self.corrections)

    def image(self, frame: int) -> np.ndarray:
        """Return the picture (H, W, 3) uint8 RGB of a frame.

        Raises:
            FacetrackError: the frame is not among those tracked, or cannot be read.
        """
        return self._corrector.frames.frame(frame).image

    def images(
        self, frame: int, direction: int = 1
    ) -> Generator[tuple[int, np.ndarray], None, None]:
        """Yield indices and pictures (H, W, 3) uint8 RGB of the frames from one on.

        Args:
            frame: index of the first frame.
            direction: 1 for forwards, -1 for backwards.

        Raises:
            FacetrackError: the frame is not among those tracked, or cannot be read.
        """
        self._row(frame)
        for found in self._corrector.frames.run(frame, direction):
            yield found.index, found.image

    def load_models(self) -> None:
        """Load the networks that `retrack` and `suggest` need, which otherwise load on first use.

        Raises:
            FacetrackError: a network cannot be loaded.
        """
        self._corrector.load_models()

    def tracks(self, first: int | None = None, last: int | None = None) -> Tracks:
        """Return the tracks as they are by now, with the corrections.

        `Tracks.corrected` says which points a person has placed.

        Args:
            first, last: indices of the first and the last frame; None for those of the video.
        """
        begin = 0 if first is None else self._row(first)
        end = None if last is None else self._row(last)
        return self._corrector.tracks(begin, end)

    def uncorrected(self) -> Tracks:
        """Return the tracks before any correction."""
        return self._corrector.base

    def doubts(self, limit: int | None = 500) -> list[Doubt]:
        """Return the doubtful frames, the most doubtful first, with reasons.

        Takes some seconds for 10,000 frames. Frames that were corrected are left out.

        Args:
            limit: largest number of frames; None for all.
        """
        tracks = self._corrector.tracks()
        shapes = self._models.verifier_models["shapes"] if tracks.scheme == "68" else None
        known = self._disagreement
        if known is not None and known.shape != tracks.visible.shape:
            known = None
        return rank_doubts(tracks, self._events, shapes, known, limit)

    def check_directions(
        self,
        on_progress: Progress = lambda done, total: None,
        cancelled: Cancelled = lambda: False,
    ) -> None:
        """Track the video in the other direction, so that `doubts` knows where the two disagree.

        Takes as long as tracking. What is done until it is cancelled counts.
        """
        for done, total, disagreement in measure_disagreement(
            self._corrector.tracks(), self._events, self._corrector.frames, self._models.tracker
        ):
            self._disagreement = disagreement
            on_progress(done, total)
            if cancelled():
                return

    def suggest(
        self, frame: int, face: int, points: Iterable[PointEdit] = (), use_tracks: bool = True
    ) -> np.ndarray:
        """Return where all landmarks of a face are, if these points are where they are put.

        This is what `retrack` starts from. Nothing is changed.

        Args:
            frame: index of the frame.
            face: face_id.
            points: points that a person has put somewhere, e.g. while dragging one.
            use_tracks: whether the tracks of the face count; False for a new start.

        Returns:
            (N, 2) pixels.
        """
        row = self._row(frame)
        resolved = self._corrector.resolved
        count = resolved.tracks.xy.shape[2]
        former = np.full((count, 2), np.nan)
        if face in self.faces:
            former = resolved.tracks.xy[row, self.faces.index(face)]
        target = np.full((count, 2), np.nan)
        edit = resolved.edits.get(face, {}).get(row)
        if edit is not None:
            target = edit.target(count)
        for point in points:
            target[self._point(point.point)] = point.x, point.y
        if not (np.isfinite(target).any() or np.isfinite(former).any()):
            raise FacetrackError(f"Face {face} has no point in frame {frame} to start from.")
        return self._corrector.placer.estimate(
            self.image(frame), former, target, self._corrector.base.scheme, use_tracks
        ).xy

    def detect(
        self, frame: int, box: tuple[float, float, float, float] | None = None
    ) -> np.ndarray:
        """Return the landmarks of the faces that are detected in a frame, largest first.

        Args:
            frame: index of the frame.
            box: x0, y0, x1, y1 in pixels around one face; None to find faces.

        Returns:
            (F, N, 2) pixels; F may be 0. A new start is one of them, corrected with `start`.
        """
        from facetrack.pipeline.components import create_face_landmarker

        landmarker, image = create_face_landmarker(self._models), self.image(frame)
        if box is None:
            found = landmarker.find(image, None, thorough=True)
        else:
            placed = landmarker.place(image, np.array(box, np.float32))
            found = [] if placed is None else [placed]
        count = self._corrector.base.xy.shape[2]
        places = [face.xy for face in found if len(face.xy) == count]
        return np.stack(places) if places else np.zeros((0, count, 2), np.float32)

    # ---------------------------------------------------------------- internals

    def _row(self, frame: int) -> int:
        base = self._corrector.base
        row, rest = divmod(frame - base.first_frame, base.stride)
        if rest or not 0 <= row < len(base):
            raise FacetrackError(f"Frame {frame} is not among those tracked.")
        return row

    def _point(self, point: int) -> int:
        count = self._corrector.base.xy.shape[2]
        if not 0 <= point < count:
            raise FacetrackError(f"There is no landmark {point}: there are {count}, from 0 on.")
        return point

    def _placed(self, frame: int, face: int, point: PointEdit) -> Correction:
        return Correction(frame, face, self._point(point.point), point.x, point.y, point.hidden)

    def _recorded(self) -> list[tuple[object, ...]] | None:
        """Return what the run's files hold, as `said`; None if that is not known."""
        entry = self._record.get("corrections")
        if not isinstance(entry, Mapping):
            return []
        try:
            return said_at(self._log.path, str(entry.get("sha256")))
        except OSError:
            return None

    def _update(self) -> None:
        self._corrector.set_corrections(self._log.active())


def _account() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""
