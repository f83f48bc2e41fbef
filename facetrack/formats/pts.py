"""Write a folder with one 300-W `.pts` file per frame and face."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.formats.base import Writer
from facetrack.landmarks.point_files import format_pts
from facetrack.tracks import Tracks

_FILE_NAME = re.compile(r".+_\d{6,}(_face\d+)?\.pts")


class PtsWriter(Writer):
    """Write `<stem>_pts/<stem>_000123.pts`: 0-based frames in the name, 1-based pixels inside.

    With several faces, `_face<id>` is added to the name. Frames in which the face is absent
    (`Tracks.success`) or one of its points is unknown have no file, because the format cannot omit
    points. The folder appears atomically. It replaces an earlier folder of the same name, unless
    that contains other files.
    """

    all_faces_first = True

    def _open(self, stack: ExitStack) -> None:
        self._folder = stack.enter_context(_atomic_folder(self.path))

    def _begin(self, tracks: Tracks) -> None:
        many = len(tracks.face_id) > 1
        self._suffixes = [f"_face{i}.pts" if many else ".pts" for i in tracks.face_id.tolist()]
        self._stem = self.path.name.removesuffix("_pts")

    def _append(self, tracks: Tracks) -> None:
        complete = tracks.success & np.isfinite(tracks.xy).all((-1, -2))
        frames = tracks.frames.tolist()
        for t, f in np.argwhere(complete).tolist():
            name = f"{self._stem}_{frames[t]:06d}{self._suffixes[f]}"
            text = format_pts(tracks.xy[t, f])
            (self._folder / name).write_text(text, encoding="ascii", newline="\n")


@contextmanager
def _atomic_folder(final: Path) -> Iterator[Path]:
    """Yield a new folder that replaces `final` on a clean exit and is deleted after an exception.

    Raises:
        FacetrackError: `final` contains files not written by `PtsWriter`.
    """
    check_replaceable(final)  # before the run as well as after it
    final.parent.mkdir(parents=True, exist_ok=True)
    # In a private folder, so that the new folder gets default permissions and the old one can be
    # moved away: a folder cannot be renamed onto another.
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{final.name}.") as private:
        new, old = Path(private) / "new", Path(private) / "old"
        new.mkdir()
        yield new
        check_replaceable(final)
        if final.exists():
            os.replace(final, old)
        try:
            os.replace(new, final)
        except OSError:
            if old.exists():
                os.replace(old, final)
            raise
        shutil.rmtree(old, ignore_errors=True)


def check_replaceable(final: Path) -> None:
    """Check that `final` does not exist or contains only files written by `PtsWriter`.

    Raises:
        FacetrackError: it is a file or contains other files.
    """
    if not final.exists():
        return
    if not final.is_dir():
        raise FacetrackError(f"{final} is a file where the folder of points belongs; move it away.")
    foreign = next((p.name for p in final.iterdir() if not _FILE_NAME.fullmatch(p.name)), None)
    if foreign is not None:
        raise FacetrackError(
            f"{final} holds {foreign!r}, which facetrack did not write; move it away."
        )
