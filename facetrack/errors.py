"""Define the exception that is meant for users."""

from __future__ import annotations


class FacetrackError(Exception):
    """Invalid input or a missing dependency, described in one sentence.

    The command line prints only the message, without a traceback, and exits with code 2.
    """


class OutputError(FacetrackError):
    """An output file cannot be written, e.g. because the disk is full or a right is missing."""
