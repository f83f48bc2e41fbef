"""Correct the tracks of one video interactively: the functions behind an editor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from facetrack.api.corrected_run import write_corrected
from facetrack.api.edit_history import said
from facetrack.api.edit_view import Cancelled, EditView, PointEdit
from facetrack.api.edited_run import open_edited_run
from facetrack.api.recorded import recorded_outputs
from facetrack.callbacks import Progress
from facetrack.corrections.correction import ABSENT, PERSON, START, Correction
from facetrack.corrections.doubt import Doubt
from facetrack.corrections.engine import Update


class EditSession(EditView):
    """The tracks of one video with their corrections.

    Every change is on disk before the call that makes it returns. `retrack` tracks again what the
    changes so far concern; it may run in a thread of its own while further changes are made, and
    takes these up. `tracks`, `image`, `doubts` and the changes may be called from any thread.

        session = EditSession.open("face.json")
        session.correct(frame=120, face=0, points=[PointEdit(48, 310.5, 402.25)])
        for update in session.retrack():
            show(session.tracks(update.first, update.last), update.done, update.total)
        session.save()

    Attributes:
        video: the video.
        folder, stem: where the run's files lie, and how their names begin.
        options: the run's.
        warnings: sentences about what could not be used.
    """

    @classmethod
    def open(
        cls,
        run: str | Path,
        video: str | Path | None = None,
        who: str | None = None,
        on_progress: Progress = lambda done, total: None,
    ) -> EditSession:
        """Open a run to correct it.

        Args:
            run: its record (.json), its table (.csv, .npz), a folder with one run, or the video. A
                video that has not been tracked yet is tracked first, with the default options.
            video: present path of the video; None for that in the record.
            who: name of the person who corrects; None for that of the account.
            on_progress: called with the number of frames done and their total while the video is
                tracked.

        Raises:
            FacetrackError: a file is missing or invalid.
        """
        opened = open_edited_run(Path(run), None if video is None else Path(video), on_progress)
        return cls(opened, who)

    # ---------------------------------------------------------------- changing
    # Each change is one step of undo.

    def correct(self, frame: int, face: int, points: Iterable[PointEdit]) -> None:
        """Put landmarks of a face where they are.

        Raises:
            FacetrackError: there is no such frame or landmark, or the file cannot be written.
        """
        self._row(frame)
        self._history.change([self._placed(frame, face, point) for point in points])

    def restore(self, frame: int, face: int, points: Iterable[int]) -> None:
        """Take back the corrections of landmarks of a face in a frame."""
        wanted = {(frame, face, point) for point in points}
        self._history.change([c.undo() for c in self.corrections if c.key in wanted])

    def start(self, frame: int, face: int, points: Iterable[PointEdit]) -> None:
        """Start a face anew: what was tracked of it around this frame does not count.

        Args:
            frame: index of the frame.
            face: face_id; that of a new face is `new_face`.
            points: three landmarks at least, where the face was not tracked.
        """
        self._row(frame)
        rows = [Correction(frame, face, START)]
        self._history.change(rows + [self._placed(frame, face, point) for point in points])

    def remove(self, first: int, face: int, last: int | None = None) -> None:
        """Say that there is no such face.

        Args:
            first: index of the first frame.
            face: face_id.
            last: index of the last frame; None for the face's next correction, or the end of what
                was tracked without a break.
        """
        self._row(first)
        self._history.change(
            [Correction(first, face, ABSENT, None if last is None else float(last))]
        )

    def rename(self, frame: int, face: int, person: int) -> None:
        """Say that a face is another person from a frame on; the two faces change over.

        Args:
            frame: index of the first frame.
            face: face_id.
            person: face_id of the person that it is; that of a new person is `new_face`.
        """
        self._row(frame)
        self._history.change([Correction(frame, face, PERSON, float(person))])

    @property
    def new_face(self) -> int:
        """A face_id that nobody has."""
        named = [c.number or 0 for c in self.corrections if c.point == PERSON]
        return 1 + max([*self.faces, *named, *(c.face for c in self.corrections)], default=-1)

    @property
    def can_undo(self) -> bool:
        """Whether there is a change of this session to undo."""
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone change."""
        return self._history.can_redo

    def undo(self) -> list[Correction]:
        """Undo the last change of this session; return the rows that were written for it."""
        return self._history.undo()

    def redo(self) -> list[Correction]:
        """Make the last undone change again; return the rows that were written for it."""
        return self._history.redo()

    def refresh(self) -> bool:
        """Take up what another program, or another page, has added to the file of corrections.

        Returns:
            Whether there was anything.
        """
        return self._history.refresh()

    # ---------------------------------------------------------------- tracking

    def retrack(self, cancelled: Cancelled = lambda: False) -> Iterator[Update]:
        """Track again what corrections change, and yield what each step has changed.

        Ends once all is done; a later change needs another call. Changes made meanwhile are taken
        up. The frames around the newest correction come first, in both directions.

        Raises:
            FacetrackError: the video cannot be read.
        """
        while not cancelled():
            update = self._corrector.step()
            if update is None:
                return
            yield update

    @property
    def progress(self) -> tuple[int, int]:
        """Rows that are tracked again, and rows to track in all."""
        return self._corrector.progress

    # ---------------------------------------------------------------- saving

    def save(
        self, on_progress: Progress = lambda done, total: None, overlay: bool | None = None
    ) -> dict[str, Path]:
        """Track what is still to be tracked, and write the run's files with the corrections.

        The tracks before any correction are kept in `<stem>.uncorrected.npz`.

        Args:
            on_progress: called with the number of frames written and their total.
            overlay: also write the overlay video, which takes longest; None for as the run did.

        Returns:
            The paths of the files by kind.

        Raises:
            FacetrackError: a file cannot be written; all are as before.
        """
        with self._saving:
            # The checksum first: what is added meanwhile does not count as saved.
            path, sha256 = self._log.path, self._log.sha256()
            corrections = self.corrections
            self._corrector.finish()
            outputs = recorded_outputs(self._record, self.folder)
            if overlay is not None:
                outputs = replace(outputs, overlay=overlay)
            paths, self._record = write_corrected(
                *(self._corrector, corrections, path, sha256, self.video, self.stem),
                *(outputs, self._record, on_progress),
            )
            self._written = said(corrections)
            return paths


__all__ = ["Correction", "Doubt", "EditSession", "PointEdit", "Update"]
