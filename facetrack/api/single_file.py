"""Write the one file of a command whose name the user chooses, such as `report --out`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from facetrack.api.ownership import choose_another, foreign, has_mark, refuse_inputs
from facetrack.api.staging import publish, staged
from facetrack.errors import FacetrackError, OutputError
from facetrack.files import reason_of


@dataclass(frozen=True)
class SingleFile:
    """An output file, and what it may replace: a file of its kind that facetrack wrote.

    Attributes:
        path: of the file.
        kind: see `facetrack.api.ownership.has_mark`.
        option: the option that names the file, for messages.
        inputs: of the command, by kind; never replaced.
        overwrite: replace also files that facetrack did not write.
    """

    path: Path
    kind: str
    option: str
    inputs: Mapping[str, Path] = field(default_factory=dict)
    overwrite: bool = False

    def check(self) -> None:
        """Check before any work that the file may be written.

        Raises:
            FacetrackError: something lies there that must not be replaced.
        """
        path, alternatives = self.path, choose_another(self.option)
        if os.path.isdir(path):
            raise FacetrackError(f"{self.option} is a file, and {path} is a folder: name a file.")
        if os.path.exists(path) and not os.path.isfile(path):
            raise FacetrackError(f"{path} is no regular file, and is not replaced: name a file.")
        refuse_inputs([path], self.inputs, alternatives)
        if not self.overwrite and os.path.lexists(path) and not has_mark(self.kind, path):
            raise foreign(path, alternatives)

    @contextlib.contextmanager
    def staged(self) -> Iterator[Path]:
        """Yield a path to write to; the file gets its name when the context ends without an error.

        The folder is created if needed, and deleted again after an error.

        Raises:
            FacetrackError: something lies there that must not be replaced, or the file cannot be
                written.
        """
        self.check()
        with staged(self.path.parent) as place:
            new = place / self.path.name
            try:
                new.touch()  # a name that cannot be is said before the work
            except OSError as error:
                raise OutputError(f"{new} cannot be written: {reason_of(error)}.") from error
            yield new
            self.check()  # another program may have written it meanwhile
            publish(place, [self.path])
