"""How a running command speaks: a bar on a terminal, JSON lines, or next to nothing when piped."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

INTERVAL = 0.5
SAID = ("name", "scheme", "weights", "sha256", "licence", "noncommercial", "device")


class Reporter:
    """Use as a context manager around the work; the bar stands from `started` on."""

    def __init__(
        self, subject: Mapping[str, str], unit: str, rate: str, as_json: bool, quiet: bool
    ) -> None:
        """
        Args:
            subject: what every JSON line begins with.
            unit: what is counted, e.g. "frames".
            rate: how the speed is called in JSON, e.g. "fps".
        """
        self._subject, self._unit, self._rate = dict(subject), unit, rate
        self._json, self._quiet = as_json, quiet
        self._bar_wanted = not quiet and not as_json and sys.stderr.isatty()
        self._bar: Progress | None = None
        self._name = Path(next(iter(self._subject.values()), "")).name or self._unit
        self._began = self._said = time.monotonic()

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def started(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Say which weights each part uses, and what their licence is."""
        if self._json:
            told = {k: {n: some[n] for n in SAID if n in some} for k, some in parts.items()}
            self._line(event="start", **told)
        elif not self._quiet:
            for kind, some in sorted(parts.items()):
                if "weights" in some:
                    typer.echo(f"{kind}: {weights_note(some)}")
        if self._bar_wanted:
            self._start_bar()

    def back(self, done: int, total: int | None) -> None:
        """So many of those before the query frame, which come first, are tracked."""
        if self._bar is not None:
            self._show(f"{self._name}, backwards", done, total)
        elif self._is_time():
            self._line(event="backwards", **{self._unit: done, "total": total})

    def step(self, done: int, total: int | None) -> None:
        """So many are done, of about so many."""
        if self._bar is not None:
            # Headers lie: the bar must not run past its end.
            self._show(self._name, done, None if total is None else max(total, done))
        elif self._is_time():
            speed = self._speed(done)
            left = None if total is None else round(max(0, total - done) / speed, 1)
            counts = {self._unit: done, "total": total, self._rate: round(speed, 2)}
            self._line(event="progress", **counts, left_s=left)

    def _speed(self, done: int) -> float:
        return done / max(time.monotonic() - self._began, 1e-9)

    def _is_time(self) -> bool:
        """Whether to say a line of progress now."""
        if not self._json or time.monotonic() - self._said < INTERVAL:
            return False
        self._said = time.monotonic()
        return True

    def _show(self, name: str, done: int, total: int | None) -> None:
        assert self._bar is not None
        speed = self._speed(done)
        self._bar.update(self._task, description=name, completed=done, total=total, speed=speed)

    def failed(self, error: Exception) -> None:
        """The command ends with this error, which is said in words elsewhere."""
        if self._json:
            self._line(event="error", message=str(error))

    def done(
        self, summary: str, paths: Mapping[str, Path], warnings: Sequence[str], **facts: Any
    ) -> None:
        """All is written.

        Args:
            summary: in a few words.
            paths: what was written, by kind.
            facts: for the JSON line.
        """
        if self._json:
            files = {kind: str(path) for kind, path in paths.items()}
            self._line(event="done", **facts, files=files, warnings=list(warnings))
        if self._quiet:
            return
        for warning in warnings:
            typer.echo(f"facetrack: warning: {warning}", err=True)
        if not self._json and sys.stderr.isatty():
            typer.echo(summary, err=True)
            for path in paths.values():
                typer.echo(f"  {path}", err=True)

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


def weights_note(described: Mapping[str, Any]) -> str:
    """What a part says of its weights, in a line: which they are, and their licence."""
    layout = f", {described['scheme']} points" if "scheme" in described else ""
    licence = f" (licence: {described['licence']})" if described.get("licence") else ""
    warning = " - NOT for commercial use" if described.get("noncommercial") else ""
    return f"{described['name']}{layout}, weights {described['weights']}{licence}{warning}"
