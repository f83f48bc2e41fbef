"""PyTorch, imported while a command reads its video's first frame: half of a short run is that."""

from __future__ import annotations

import contextlib
import gc
import threading


def import_torch_ahead() -> None:
    """Begin to import PyTorch in the background; who imports it next waits for as little as is
    left. The interpreter does not end before it is done."""
    threading.Thread(target=_import_torch, name="import torch").start()


def _import_torch() -> None:
    # All that it makes stays: looking for garbage in it takes an eighth of the import, and four
    # times as long when the interpreter ends.
    gc.disable()
    try:
        # Who needs it meets the same error, and says it. A RuntimeError is that of a command that
        # has ended meanwhile: Python lets nothing be registered for its end any more.
        with contextlib.suppress(ImportError, OSError, RuntimeError):
            import torch  # noqa: F401
    finally:
        gc.freeze()
        gc.enable()
