"""Find the pictures and videos that a user names, for commands that read both."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from facetrack.errors import FacetrackError
from facetrack.files import reason_of
from facetrack.video.image_names import is_image_name, natural_key
from facetrack.video.live_source import live_source
from facetrack.video.video_names import OUTPUT_ENDINGS, is_video_name


def find_inputs(names: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Expand files, folders and patterns into pictures and videos.

    Args:
        names: files, which need not exist; folders, for their pictures and videos in natural order,
            without facetrack's overlays; and patterns with * ? [ ]. Subfolders are not searched.

    Returns:
        Each file once, in the given order.

    Raises:
        FacetrackError: a folder or a pattern has none, or a camera or an address is named.
    """
    found: dict[str, Path] = {}
    for name in names:
        text = os.fspath(name)
        if not text:
            raise FacetrackError("An input's name is empty: is a shell variable unset?")
        live = live_source(text)
        if live is not None:
            raise FacetrackError(
                f"{live.shown} is a live source: `facetrack track` with --measures measures it."
            )
        for path in _expand(Path(text)):
            found.setdefault(os.path.abspath(path), path)
    return list(found.values())


def _expand(path: Path) -> list[Path]:
    is_folder = os.path.isdir(path)
    if not is_folder and (os.path.exists(path) or not glob.has_magic(str(path))):
        return [path]
    try:
        listed = [path / name for name in os.listdir(path)] if is_folder else _matching(path)
    except OSError as error:
        raise FacetrackError(f"{path} cannot be read: {reason_of(error)}.") from error
    inputs = [p for p in listed if _is_input(p.name) and not os.path.isdir(p)]
    if not inputs:
        where = f"{path} is a folder without" if is_folder else f"{path} matches no"
        raise FacetrackError(f"{where} pictures or videos.")
    return sorted(inputs, key=lambda p: (str(p.parent), natural_key(p.name)))


def _matching(path: Path) -> list[Path]:
    return [Path(name) for name in glob.glob(str(path))]


def _is_input(name: str) -> bool:
    is_video = is_video_name(name) and not name.endswith(OUTPUT_ENDINGS)
    return not name.startswith(".") and (is_image_name(name) or is_video)
