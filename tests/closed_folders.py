"""A folder that may not be entered, also for root, who may enter all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest


def close(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the system answer about the content of a folder as if it might not be entered."""
    inside = os.path.join(os.path.abspath(folder), "")

    def refusing(function: Any) -> Any:
        def answer(path: Any, *args: Any, **settings: Any) -> Any:
            if not isinstance(path, int) and os.path.abspath(os.fsdecode(path)).startswith(inside):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            return function(path, *args, **settings)

        return answer

    def access(path: Any, mode: int, before: Any = os.access) -> bool:
        return not os.path.join(os.path.abspath(path), "").startswith(inside) and before(path, mode)

    for name in ("stat", "lstat"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    monkeypatch.setattr(os, "access", access)
    return folder
