"""Let a command go on when nobody reads its output any more.

`facetrack track video.mp4 --json | head -1` closes standard output after the first line. The files
are the result of a command, so it goes on to its end. What it prints after that is dropped.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import TextIO

_NOBODY_READS = {errno.EPIPE, errno.EIO}
"""Errors of writing to a pipe without a reader, and to a terminal that was closed."""


class _DroppingFile(io.FileIO):
    """A file whose output is dropped after the first failed write.

    Attributes:
        error: the reason, if it was none of _NOBODY_READS; None otherwise.
    """

    error: OSError | None = None

    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in _NOBODY_READS:
                self.error = error
            _replace_by_null(self.fileno())
            return super().write(data)  # type: ignore[arg-type]


def survive_closed_output() -> None:
    """Replace `sys.stdout` and `sys.stderr` by streams that survive the end of their reader.

    File descriptors 0 to 2 that were closed from the beginning are opened: a file that the command
    opens must not get the number of an output.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _replace_by_null(number)
    sys.stdout = _surviving(sys.stdout, 1)
    sys.stderr = _surviving(sys.stderr, 2)


def lost_output() -> OSError | None:
    """Return the error by which standard output was lost, e.g. a full disk; None if it was not."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    return raw.error if isinstance(raw, _DroppingFile) else None


def _surviving(stream: TextIO | None, number: int) -> TextIO:
    encoding = "utf-8" if stream is None else stream.encoding
    errors = "strict" if stream is None else stream.errors
    if errors == "strict":
        # What an encoding lacks, in a name or a sign of ours, must not end a command.
        errors = "backslashreplace"
    is_line_buffered = stream is not None and (number == 2 or stream.isatty())
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    raw = _DroppingFile(number, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, errors, line_buffering=is_line_buffered
    )


def _replace_by_null(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)
