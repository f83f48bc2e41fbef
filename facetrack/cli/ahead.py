"""Import PyTorch in the background while a command reads its video's first frame.

The import takes half the time of a short run.
"""

from __future__ import annotations

import contextlib
import gc
import threading


def import_torch_ahead() -> None:
    """Start to import PyTorch in a background thread.

    A later `import torch` waits only for the rest of the import. The interpreter does not exit
    before the thread has finished.
    """
    threading.Thread(target=_import_torch, name="import torch").start()


def _import_torch() -> None:
    # All objects of the import stay alive. Searching them for garbage would take an eighth of the
    # import time, and four times as long at the interpreter's exit.
    gc.disable()
    try:
        # The code that needs PyTorch meets the same error and reports it. A RuntimeError occurs
        # when the command has already ended: Python then refuses to register exit handlers.
        with contextlib.suppress(ImportError, OSError, RuntimeError):
            import torch  # noqa: F401
    finally:
        gc.freeze()
        gc.enable()
