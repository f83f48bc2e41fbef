"""One 300-W `.pts` file a frame and face, in a folder."""

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

_OURS = re.compile(r".+_\d{6,}(_face\d+)?\.pts")


class PtsWriter(Writer):
    """`<stem>_pts/<stem>_000123.pts`: frames 0-based in the name, pixels 1-based inside.

    Several faces add `_face<id>` to the name. A frame is left out where the face is not there
    (`Tracks.success`), and where any of its points is unknown, for the format numbers points by
    their order and cannot leave one out. The folder appears whole; an earlier one of the same name
    is replaced, unless it holds files that are not such `.pts` files.
    """

    all_faces_first = True

    def _open(self, stack: ExitStack) -> None:
        self._folder = stack.enter_context(_atomic_folder(self.path))

    def _begin(self, tracks: Tracks) -> None:
        many = len(tracks.face_id) > 1
        self._suffixes = [f"_face{i}.pts" if many else ".pts" for i in tracks.face_id.tolist()]
        self._stem = self.path.name.removesuffix("_pts")

    def _append(self, tracks: Tracks) -> None:
        whole = tracks.success & np.isfinite(tracks.xy).all((-1, -2))
        frames = tracks.frames.tolist()
        for t, f in np.argwhere(whole).tolist():
            name = f"{self._stem}_{frames[t]:06d}{self._suffixes[f]}"
            text = format_pts(tracks.xy[t, f])
            (self._folder / name).write_text(text, encoding="ascii", newline="\n")


@contextmanager
def _atomic_folder(final: Path) -> Iterator[Path]:
    """A new folder beside `final`, which takes its name on a clean exit and vanishes on any other.

    Raises:
        FacetrackError: `final` exists and holds what no `PtsWriter` wrote.
    """
    check_replaceable(final)  # before the work, not after it
    final.parent.mkdir(parents=True, exist_ok=True)
    # Inside a private folder, so that the new one gets the usual permissions and the old one has
    # a place to go: a folder cannot be renamed onto another.
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
    if not final.exists():
        return
    if not final.is_dir():
        raise FacetrackError(f"{final} is a file where the folder of points belongs; move it away.")
    strange = next((p.name for p in final.iterdir() if not _OURS.fullmatch(p.name)), None)
    if strange is not None:
        raise FacetrackError(
            f"{final} holds {strange!r}, which is not facetrack's; move it or choose another --out."
        )
