"""The one exception a user is meant to read."""

from __future__ import annotations


class FacetrackError(Exception):
    """Bad input or a missing piece, said in one sentence.

    The command line prints the message alone (no traceback) and exits with code 2.
    """
