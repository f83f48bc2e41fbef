"""A session that is shown on pages: changes, background work, and what pages are told."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from facetrack.api.editing import EditSession, PointEdit
from facetrack.editor.payloads import describe_correction, describe_doubt, pack_tracks
from facetrack.editor.pictures import Pictures
from facetrack.errors import FacetrackError

Listener = Callable[[Mapping[str, Any]], None]
"""Is given each message for pages, from any thread."""
LOOK_INTERVAL = 2.0
"""Seconds between two looks for rows that another program has added to the corrections."""
REST = 0.4
"""Seconds without a change after which the frames are ranked anew."""


class Editor:
    """A session and the threads that work for it.

    Every change is on disk before `change` returns.

    Args:
        session: what is edited.

    Attributes:
        session, pictures: see there.
        revision: number of the last change.
    """

    def __init__(self, session: EditSession) -> None:
        self.session, self.pictures = session, Pictures(session)
        self.revision = 0
        self._listeners: list[Listener] = []
        self._lock = threading.RLock()
        self._models = threading.Lock()
        self._wake, self._rank = threading.Event(), threading.Event()
        self._ending = self._check = False
        self._busy: dict[str, Any] = {}
        self._reported = ""
        self._ranked = -1
        self._doubts: list[dict[str, Any]] | None = None
        self._bytes_seen = self._bytes()
        self._threads = [
            threading.Thread(target=work, name=f"editor-{name}", daemon=True)
            for name, work in (("tracking", self._track), ("ranking", self._rank_all))
        ]

    def start(self) -> None:
        """Start the threads."""
        self._wake.set()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads after the step that they are at; files that are written become whole."""
        self._ending = True
        self._wake.set()
        self._rank.set()
        for thread in list(self._threads):
            thread.join(timeout=10 if thread.daemon else None)
        self.pictures.close()

    # ---------------------------------------------------------------- what pages are told

    @contextlib.contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """Give a page's listener all messages; all pages are told how many there are."""
        with self._lock:
            self._listeners.append(listener)
        self._tell_state()
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(listener)
            self._tell_state()

    def state(self) -> dict[str, Any]:
        """Return what changes while a session is open."""
        session = self.session
        with self._lock:
            done, total = session.progress
            return {
                "kind": "state",
                "revision": self.revision,
                "faces": session.faces,
                "new_face": session.new_face,
                "corrections": [describe_correction(c) for c in session.corrections],
                "can_undo": session.can_undo,
                "can_redo": session.can_redo,
                "is_saved": session.is_saved,
                "warnings": session.warnings,
                "pages": len(self._listeners),
                "tracking": {"done": done, "total": total},
                "busy": dict(self._busy),
            }

    def doubts(self) -> dict[str, Any]:
        """Return the doubtful frames as ranked last; None until they are."""
        return {"kind": "doubts", "doubts": self._doubts}

    def tracks(self, first: int, last: int) -> bytes:
        """Return the tracks of frames; see `pack_tracks`."""
        revision = self.revision
        frames = self.session.frames
        last = min(last, int(frames[-1]))
        return pack_tracks(self.session.tracks(first, last), revision)

    def tell(self, message: Mapping[str, Any]) -> None:
        """Give all pages a message."""
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener(message)

    def _tell_state(self) -> None:
        self.tell(self.state())

    # ---------------------------------------------------------------- what pages ask for

    def change(self, action: Callable[[], object], revision: int | None = None) -> dict[str, Any]:
        """Change the corrections; return the new state.

        Args:
            action: the change.
            revision: that of the page, for a change that depends on what the page shows.

        Raises:
            FacetrackError: the change is not possible, or the page shows an older state.
        """
        with self._lock:
            if revision is not None and revision != self.revision:
                raise FacetrackError(
                    "Another page has changed something meanwhile: look at it, and try again."
                )
            action()
            self._reported = ""
            self.revision += 1
            self._bytes_seen = self._bytes()
        self._wake.set()
        state = self.state()
        self.tell(state)
        return state

    def suggest(self, frame: int, face: int, points: list[PointEdit]) -> np.ndarray:
        """Return where all landmarks (N, 2) are if some are there; see `EditSession.suggest`."""
        with self._models:
            return self.session.suggest(frame, face, points)

    def detect(self, frame: int) -> np.ndarray:
        """Return the landmarks (F, N, 2) of the faces that are detected in a frame."""
        with self._models:
            return self.session.detect(frame)

    def check_directions(self) -> None:
        """Track in the other direction, to find where the two disagree."""
        self._check = True
        self._wake.set()

    def save(self) -> None:
        """Write the run's files in the background; pages are told how far it is.

        Raises:
            FacetrackError: they are being written already.
        """
        with self._lock:
            if "saving" in self._busy:
                raise FacetrackError("The files are being written already.")
            self._busy["saving"] = {"done": 0, "total": 0}
        self._tell_state()
        thread = threading.Thread(target=self._save, name="editor-saving")
        self._threads.append(thread)
        thread.start()

    def _save(self) -> None:
        told = 0.0

        def on_progress(done: int, total: int | None) -> None:
            nonlocal told
            share = done / max(1, total or done)
            if share - told >= 0.01:
                told = share
                self._set_busy("saving", done, total or done)

        try:
            self._track_again()
            if not self._ending:
                paths = self.session.save(on_progress)
                files = sorted({str(path) for path in paths.values()})
                self.tell({"kind": "saved", "files": files})
        except Exception as error:
            self._report(error)
        finally:
            with self._lock:
                del self._busy["saving"]
            self._tell_state()

    # ---------------------------------------------------------------- threads

    def _track(self) -> None:
        with contextlib.suppress(FacetrackError):
            # So that the first correction does not wait for the models.
            self.session.load_models()
        while not self._ending:
            self._wake.clear()
            try:
                self._look_for_others()
                if self._track_again() or self._ranked != self.revision:
                    self._rank.set()
                if self._check and not self._wake.is_set():
                    self._check_directions()
            except Exception as error:
                self._report(error)
            self._wake.wait(LOOK_INTERVAL)

    def _report(self, error: Exception) -> None:
        """Tell pages of an error in a thread, which goes on; each error once until a change."""
        text = str(error)
        if not isinstance(error, FacetrackError):
            text = f"Internal error, see the terminal ({type(error).__name__}: {error})."
        if text == self._reported:
            return
        self._reported = text
        if not isinstance(error, FacetrackError):
            traceback.print_exception(error)
        self.tell({"kind": "problem", "text": text})

    def _track_again(self) -> bool:
        """Track what is to be tracked; return whether there was anything."""
        is_told = False
        for update in self.session.retrack(lambda: self._ending):
            is_told = True
            self.tell(
                {
                    "kind": "tracked",
                    "face": update.face,
                    "first": update.first,
                    "last": update.last,
                    "tracking": {"done": update.done, "total": update.total},
                }
            )
        if is_told:
            self._tell_state()
        return is_told

    def _look_for_others(self) -> None:
        """Take up what another program has added to the file of corrections."""
        size = self._bytes()
        if size == self._bytes_seen:
            return
        with self._lock:
            if self.session.refresh():
                self.revision += 1
            self._bytes_seen = size
        self._tell_state()

    def _bytes(self) -> int:
        try:
            return os.stat(self.session.corrections_path).st_size
        except OSError:
            return 0

    def _check_directions(self) -> None:
        self._check = False
        self._set_busy("checking", 0, len(self.session.frames))
        try:
            self.session.check_directions(
                lambda done, total: self._set_busy("checking", done, total or done),
                lambda: self._ending or self._wake.is_set(),
            )
        finally:
            with self._lock:
                self._busy.pop("checking", None)
            self._rank.set()
            self._tell_state()

    def _set_busy(self, name: str, done: int, total: int) -> None:
        with self._lock:
            self._busy[name] = {"done": done, "total": total}
        self.tell({"kind": "busy", "busy": dict(self._busy)})

    def _rank_all(self) -> None:
        """Rank the frames when nothing has changed for a moment."""
        while not self._ending:
            self._rank.wait()
            if self._ending:
                return
            if self._wake.wait(REST):
                time.sleep(REST)
                continue
            self._rank.clear()
            self._ranked = self.revision
            try:
                self._doubts = [describe_doubt(doubt) for doubt in self.session.doubts()]
                self.tell(self.doubts())
            except Exception as error:
                self._report(error)
