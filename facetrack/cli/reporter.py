"""Report a running command: a progress bar on a terminal, JSON lines, or little when piped."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from facetrack.cli.printing import echo
from facetrack.files import printable

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.status import Status

    from facetrack.tracks import Tracks

INTERVAL = 0.5
"""Seconds between two progress lines in JSON."""
REPORTED_FIELDS = ("name", "scheme", "weights", "sha256", "licence", "noncommercial", "device")
"""Fields of a model's description that the JSON "start" line contains."""


class Reporter:
    """Report one run. Use it as a context manager around the work; `started` shows the bar."""

    def __init__(
        self, subject: Mapping[str, str], unit: str, rate: str, as_json: bool, quiet: bool
    ) -> None:
        """
        Args:
            subject: fields that every JSON line begins with.
            unit: the counted unit, e.g. "frames".
            rate: name of the speed in JSON, e.g. "fps".
            as_json: print JSON lines on stdout.
            quiet: print only errors.
        """
        self._subject, self._unit, self._rate = dict(subject), unit, rate
        self._json, self._quiet = as_json, quiet
        self._shows_bar = not quiet and not as_json and sys.stderr.isatty()
        self._bar: Progress | None = None
        self._status: Status | None = None
        self._name = printable(Path(next(iter(self._subject.values()), "")).name) or self._unit
        self._shown_name = self._name.replace("[", "\\[")
        self._start_time = self._last_line_time = time.monotonic()

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_status()
        if self._bar is not None:
            self._bar.stop()

    def loading(self) -> None:
        """Report that the models are being loaded, until `started` is called."""
        if self._json:
            self._line(event="loading")
        elif self._shows_bar:
            from rich.console import Console

            self._status = Console(stderr=True).status(f"{self._shown_name}: loading the models")
            self._status.start()
        elif not self._quiet:
            echo(f"{self._name}: loading the models")
            sys.stdout.flush()

    def _stop_status(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def started(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Report the weights that each model uses, and their licences.

        Args:
            parts: description of each model, by kind ("detector", "tracker", ...).
        """
        self._stop_status()
        if self._json:
            self._line(event="start", **reported_fields(parts))
        elif not self._quiet and (note := weights_note(parts)):
            typer.echo(note)
            sys.stdout.flush()
        if self._shows_bar:
            self._start_bar()

    def back(self, done: int, total: int | None) -> None:
        """Report progress of the backward pass: tracked frames and, if known, their total.

        The backward pass tracks the frames before the query frame and runs first.
        """
        if self._bar is not None:
            self._show(f"{self._name}, backwards", done, total)
        elif self._is_line_due():
            self._line(event="backwards", **{self._unit: done, "total": total})

    def step(self, done: int, total: int | None) -> None:
        """Report progress: units done and, if known, roughly their total."""
        if self._bar is not None:
            # The video's header may state too few frames; the bar must not run past its end.
            self._show(self._name, done, None if total is None else max(total, done))
        elif self._is_line_due():
            speed = self._speed(done)
            left = None if total is None else round(max(0, total - done) / speed, 1)
            counts = {self._unit: done, "total": total, self._rate: round(speed, 2)}
            self._line(event="progress", **counts, left_s=left)

    def frames(self, tracks: Tracks, *, received: int, dropped: int) -> None:
        """Report the frames of a live source: in JSON, one line each with all points.

        Args:
            tracks: their landmarks.
            received: number of frames that have come so far.
            dropped: how many of them were dropped.
        """
        if self._json:
            for line in frame_lines(tracks):
                self._line(**line, received=received, dropped=dropped)
        elif self._bar is not None:
            self._show(f"{self._name}, {dropped} dropped", int(tracks.frames[-1]) + 1, None)

    def note(self, sentence: str) -> None:
        """Print a sentence on stderr, unless only errors are wanted or JSON says the same."""
        if not self._json and not self._quiet:
            echo(sentence, err=True)

    def _speed(self, done: int) -> float:
        return done / max(time.monotonic() - self._start_time, 1e-9)

    def _is_line_due(self) -> bool:
        """Return True, and restart the interval, if a progress line is due."""
        if not self._json or time.monotonic() - self._last_line_time < INTERVAL:
            return False
        self._last_line_time = time.monotonic()
        return True

    def _show(self, name: str, done: int, total: int | None) -> None:
        assert self._bar is not None
        speed = self._speed(done)
        self._bar.update(self._task, description=name, completed=done, total=total, speed=speed)

    def failed(self, error: Exception) -> None:
        """Report an error as a JSON line. The caller prints the sentence on stderr."""
        if self._json:
            self._line(event="error", message=str(error))

    def done(
        self, summary: str, paths: Mapping[str, Path], warnings: Sequence[str], **facts: Any
    ) -> None:
        """Report the end of the run.

        Args:
            summary: the result in a few words.
            paths: files written, by kind.
            warnings: sentences.
            facts: further fields of the JSON line.
        """
        if self._json:
            files = {kind: str(path) for kind, path in paths.items()}
            self._line(event="done", **facts, files=files, warnings=list(warnings))
        if self._quiet:
            return
        for warning in warnings:
            echo(f"facetrack: warning: {warning}", err=True)
        if not self._json:
            # A pipe gets the result, too; on a terminal it stays out of a redirected output.
            is_terminal = sys.stderr.isatty()
            if summary:
                echo(summary, err=is_terminal)
            for path in paths.values():
                echo(f"  {path}", err=is_terminal)

    def _line(self, **content: object) -> None:
        typer.echo(json.dumps({**self._subject, **content}))

    def _start_bar(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]:.1f}/s"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task(self._name, total=None, speed=0.0)
        self._bar.start()


def reported_fields(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Select the fields of each model's description that the JSON "start" line contains."""
    return {
        kind: {name: description[name] for name in REPORTED_FIELDS if name in description}
        for kind, description in parts.items()
    }


def weights_note(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the weights that the models use, with their licences in short, as one line.

    Args:
        parts: description of each model, by kind; see `facetrack.callbacks.Started`.
    """
    names: dict[str, list[str]] = {}
    for _, described in sorted(parts.items()):
        if "weights" in described:
            group = names.setdefault(_short_licence(described), [])
            if described["weights"] not in group:
                group.append(described["weights"])
    groups = [f"{', '.join(group)} ({licence})" for licence, group in sorted(names.items())]
    return f"weights: {'; '.join(groups)}" if groups else ""


def _short_licence(described: Mapping[str, Any]) -> str:
    licence = described.get("licence") or ""
    if described.get("noncommercial") or "excludes commercial use" in licence:
        return "research use only, NOT for commercial use"
    return licence.split(" (")[0] or "licence unknown"


def frame_lines(tracks: Tracks) -> list[dict[str, Any]]:
    """Return the JSON line of each frame of a chunk, with all its points."""
    lines = []
    confidence = tracks.face_confidence
    for row, frame in enumerate(tracks.frames.tolist()):
        faces = [
            {
                "face_id": face_id,
                "confidence": round(float(confidence[row, f]), 3),
                "points": [
                    [round(x, 3), round(y, 3)] if math.isfinite(x + y) else None
                    for x, y in tracks.xy[row, f].tolist()
                ],
                "visible": tracks.visible[row, f].astype(int).tolist(),
            }
            for f, face_id in enumerate(tracks.face_id.tolist())
            if confidence[row, f] > 0 or tracks.visible[row, f].any()
        ]
        lines.append(
            {
                "event": "frame",
                "frame": frame,
                "timestamp": round(float(tracks.time[row]), 6),
                "faces": faces,
            }
        )
    return lines
