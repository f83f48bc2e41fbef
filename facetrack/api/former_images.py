"""The files that an earlier run on pictures left in a folder, and whether they may be replaced."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from facetrack.api.ownership import foreign, has_mark
from facetrack.errors import FacetrackError
from facetrack.files import read_json, sha256_of
from facetrack.images.writer import RECORD, TABLE
from facetrack.video.image_names import IMAGE_OVERLAY_SUFFIX

_NUMBERED = re.compile(r"(.+)\.\d+")


class ResultFiles(NamedTuple):
    """The files of a command that reads many pictures.

    Attributes:
        table, record: their names.
        kind: of the table; see `facetrack.api.ownership.has_mark`.
        inputs: key of the list of inputs in the record; without its last letter that of an input's
            path.
    """

    table: str = TABLE
    record: str = RECORD
    kind: str = "images"
    inputs: str = "images"


def possible_names(images: Iterable[Path], pts: bool, overlay: bool) -> Iterator[str]:
    """Yield the names of the files of images, apart from those of further faces."""
    for image in images:
        if pts:
            yield f"{image.stem}.pts"
        if overlay:
            yield f"{image.stem}{IMAGE_OVERLAY_SUFFIX}"


class FormerImages:
    """The results of an earlier run in a folder.

    Args:
        folder: the output folder; need not exist.
        files: of the command.

    Raises:
        FacetrackError: from any method, if something would be lost that must not be replaced.
    """

    def __init__(self, folder: Path, files: ResultFiles | None = None) -> None:
        files = files or ResultFiles()
        self._folder, self._files, self._key = folder, files, files.inputs[:-1]
        content = read_json(folder / files.record)
        is_record = isinstance(content, dict) and isinstance(content.get(files.inputs), list)
        self._record: dict[str, Any] = content if is_record else {}
        entries = [e for e in self._record.get(files.inputs, []) if isinstance(e, dict)]
        self._entries = [e for e in entries if isinstance(e.get(self._key), str)]
        self._stems = {Path(entry[self._key]).stem for entry in self._entries}

    def refuse_foreign_files(self, names: Iterable[str]) -> None:
        """Refuse to replace files that facetrack did not write.

        Args:
            names: of the files to write, beside the table and the record.
        """
        record, table = self._folder / self._files.record, self._folder / self._files.table
        if os.path.lexists(record) and not self._record:
            raise foreign(record)
        if os.path.lexists(table) and not self._record and not has_mark(self._files.kind, table):
            raise foreign(table)
        for name in names:
            if os.path.lexists(self._folder / name) and not self._wrote(name):
                raise foreign(self._folder / name)

    def refuse_loss(self, images: Sequence[Path]) -> None:
        """Refuse to replace the results of images that are not among the new run's."""
        lost = self.lost(images)
        if lost:
            more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
            raise FacetrackError(
                f"{self._folder / self._files.record} holds the results of other "
                f"{self._files.inputs}, {lost[0]}{more}: choose another --out folder, name those "
                f"{self._files.inputs} too, or give --overwrite to replace them."
            )

    def lost(self, images: Sequence[Path]) -> list[str]:
        """Return the images with former results that are not among `images`.

        An image is the same if it has the same path or the same content.
        """
        here = self._record.get("working_folder")
        here = here if isinstance(here, str) else ""
        paths = {os.path.realpath(image) for image in images}
        lost = [
            entry
            for entry in self._entries
            if entry.get("status") in ("ok", "no face")
            and os.path.realpath(os.path.join(here, entry[self._key])) not in paths
        ]
        if lost:
            digests = {sha256_of(image) for image in images if os.path.isfile(image)}
            lost = [entry for entry in lost if entry.get("sha256") not in digests]
        return [entry[self._key] for entry in lost]

    def left(self, written: Iterable[str]) -> list[str]:
        """Return the files of the former run that stay beside those of a new one, by name."""
        if not self._record or not self._folder.is_dir():
            return []
        own = {self._files.table, self._files.record, *written}
        return sorted(
            path.name
            for path in self._folder.iterdir()
            if path.name not in own
            and path.name.endswith((".pts", IMAGE_OVERLAY_SUFFIX))
            and self._wrote(path.name)
        )

    def _wrote(self, name: str) -> bool:
        """Return True if the former run wrote the file of this name."""
        options = self._record.get("options")
        options = options if isinstance(options, dict) else {}
        if name.endswith(IMAGE_OVERLAY_SUFFIX):
            stem = name.removesuffix(IMAGE_OVERLAY_SUFFIX)
            return options.get("overlay") is True and stem in self._stems
        formats = options.get("formats")
        stem = name.removesuffix(".pts")
        numbered = _NUMBERED.fullmatch(stem)
        is_named = stem in self._stems or (numbered is not None and numbered[1] in self._stems)
        return isinstance(formats, list) and "pts" in formats and is_named
