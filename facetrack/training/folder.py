"""The folder of a training: writable, and of one training at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from facetrack.errors import FacetrackError
from facetrack.files import check_output_folder
from facetrack.runtime.locks import holding


@contextlib.contextmanager
def training_folder(out: Path) -> Iterator[None]:
    """Create the folder `out` if needed, and keep other trainings out of it within the context.

    Raises:
        FacetrackError: it cannot be written, or another training writes into it.
    """
    check_output_folder(out)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(holding(out))
        except BlockingIOError:
            raise FacetrackError(
                f"Another training writes into {out}: wait for its end, or choose another --out."
            ) from None
        yield
