"""One page's server for each run: two would undo and save past one another."""

from __future__ import annotations

from pathlib import Path

from facetrack.locks import Lock


class EditLock(Lock):
    """Held by the server of a run's page.

    Args:
        folder: where the run's files lie.
        stem: how their names begin.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        super().__init__(
            folder / f".{stem}.edit.lock",
            f"{stem} is open in another facetrack edit: use its page, which several tabs "
            "may show, or end that one with Ctrl-C.",
        )
