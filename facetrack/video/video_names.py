"""Tell by its name whether a file of a folder is a video, and what else lies beside the videos."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from facetrack.video.animations import count_images
from facetrack.video.image_names import is_image_name

VIDEO_SUFFIXES = {
    *(".264", ".265", ".266", ".3g2", ".3gp", ".3gp2", ".3gpp", ".amv", ".apng", ".asf", ".avc"),
    *(".avi", ".avs2", ".avs3", ".bik", ".cdxl", ".cine", ".dav", ".dif", ".divx", ".dv", ".dxa"),
    *(".evc", ".f4v", ".flc", ".fli", ".flm", ".flv", ".gif", ".gxf", ".h261", ".h263", ".h264"),
    *(".h265", ".h266", ".h26l", ".hevc", ".ifv", ".ipu", ".ism", ".ismv", ".ivf", ".ivr", ".j2k"),
    *(".lvf", ".m1v", ".m2p", ".m2t", ".m2ts", ".m2v", ".m4v", ".mj2", ".mjp2", ".mjpeg", ".mjpg"),
    *(".mk3d", ".mkv", ".mlv", ".mod", ".moflex", ".mov", ".mp4", ".mp4v", ".mpe", ".mpeg"),
    *(".mpeg1", ".mpeg2", ".mpeg4", ".mpg", ".mpv", ".mts", ".mtv", ".mvi", ".mxf", ".mxg"),
    *(".nsv", ".nut", ".nuv", ".obu", ".ogm", ".ogv", ".psp", ".qt", ".r3d", ".rcv", ".rm"),
    *(".rmvb", ".roq", ".rpl", ".sdr2", ".ser", ".sga", ".smk", ".swf", ".tod", ".tp", ".trp"),
    *(".ts", ".usm", ".vc1", ".viv", ".vivo", ".vob", ".vro", ".vvc", ".webm", ".wmv", ".wtv"),
    *(".xmv", ".y4m", ".yop"),
}
"""Ends of the names of videos that ffmpeg reads; a file that the user names may have any other."""
OUTPUT_ENDINGS = (
    *(".compare.mp4", ".csv", ".dlc.csv", ".json", ".npz", ".openface.csv", ".overlay.mp4"),
    *(".report.html", ".compare", "_pts", ".ground-truth.csv"),
)
"""Ends of the names of facetrack's files and folders, after the stem of a video."""
_SYSTEM_FILES = {"desktop.ini", "thumbs.db", "icon\r"}
_PTS = re.compile(r"(.+?)(\.\d+)?\.pts", re.DOTALL)
_MAX_NAMED = 10


def is_video_name(name: str) -> bool:
    """Return True for the name of a video, whatever the case of its letters."""
    stem, suffix = os.path.splitext(name)
    return bool(stem) and suffix.lower() in VIDEO_SUFFIXES


def is_video(path: Path) -> bool:
    """Return True for a file with the name of a video, or an image file of several images."""
    return is_video_name(path.name) or (is_image_name(path.name) and count_images(path) > 1)


def is_still_image(path: Path) -> bool:
    """Return True for a file with the name of an image that holds one image."""
    return is_image_name(path.name) and os.path.isfile(path) and count_images(path) == 1


def others_in(folder: Path, used: Collection[str], stems: Iterable[str]) -> list[str]:
    """Return the names of what is left out of a folder, sorted; folders end with a slash.

    Hidden files and facetrack's own files are not among them.

    Args:
        folder: the folder.
        used: names that are not left out.
        stems: of the outputs that may lie here.
    """
    own = {stem + ending for stem in (*stems, "batch") for ending in OUTPUT_ENDINGS}
    try:
        entries = sorted(os.listdir(folder))
    except OSError:
        return []
    return [
        f"{name}/" if os.path.isdir(folder / name) else name
        for name in entries
        if name not in used
        and name not in own
        and not name.startswith((".", "batch."))
        and not name.endswith((".overlay.mp4", ".overlay.png"))
        and name.lower() not in _SYSTEM_FILES
    ]


def others_in_images(folder: Path) -> list[str]:
    """Return the names of what is left out of a folder of images; see `others_in`."""
    names = _listed(folder)
    used = {name for name in names if is_image_name(name)}
    stem = folder.name or Path(os.path.abspath(folder)).name
    stems = {os.path.splitext(name)[0] for name in used}
    detected = {"landmarks.csv", "landmarks.json", "pose.csv", "pose.json"}
    detected |= {name for name in names if (m := _PTS.fullmatch(name)) and m[1] in stems}
    folders = {name for name in used if os.path.isdir(folder / name)}
    return others_in(folder, (used - folders) | detected, [stem])


def left_out_sentence(folder: Path, names: list[str], kind: str) -> str:
    """Return a sentence about what is left out of a folder.

    Args:
        folder: the folder.
        names: as `others_in` returns them.
        kind: "videos" or "images".
    """
    folders = [name for name in names if name.endswith("/")]
    files = [name for name in names if not name.endswith("/")]
    parts = []
    if files:
        those = f"{len(files)} files that are" if len(files) > 1 else "1 file that is"
        theirs = "their names" if len(files) > 1 else "its name"
        parts.append(f"{those} no {kind} by {theirs} ({_shown(files)})")
    if folders:
        those = f"{len(folders)} folders, which are" if len(folders) > 1 else "1 folder, which is"
        parts.append(f"{those} not searched ({_shown(folders)})")
    return f"Left out of {folder}: {', and '.join(parts)}."


def _shown(names: list[str]) -> str:
    return ", ".join(names[:_MAX_NAMED]) + (", ..." if len(names) > _MAX_NAMED else "")


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
