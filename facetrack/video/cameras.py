"""Find cameras, and build ffmpeg's arguments for them on Linux, macOS and Windows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from facetrack.errors import FacetrackError
from facetrack.video import ffmpeg

_DEVICES = Path("/dev")
_NAMES = Path("/sys/class/video4linux")
_NUMBER = re.compile(r"\d{1,3}", re.ASCII)
_DSHOW_DEVICE = re.compile(r'"([^"@]+)" \((video|none)\)')
_OLD_DSHOW_DEVICE = re.compile(r'\]\s+"([^"@]+)"$')


def camera_arguments(
    name: str, size: str | None = None, rate: float | None = None, system: str = sys.platform
) -> list[str]:
    """Return ffmpeg's arguments for a camera.

    Args:
        name: number from 0, name, or, on Linux, device file.
        size: "WIDTHxHEIGHT"; None for the camera's own.
        rate: frames per second; None for the camera's own.
        system: `sys.platform`.

    Raises:
        FacetrackError: there is no such camera.
    """
    if not name or not name.isprintable():
        raise FacetrackError("--camera takes the number or the name of a camera.")
    options = [] if size is None else ["-video_size", size]
    if system == "darwin":
        # avfoundation refuses its own default rate with most cameras.
        options += ["-framerate", f"{rate or 30:g}"]
        return ["-f", "avfoundation", *options, "-i", f"{_escaped(name)}:none"]
    if rate is not None:
        options += ["-framerate", f"{rate:g}"]
    if system == "win32":
        return ["-f", "dshow", *options, "-i", f"video={_dshow_name(name)}"]
    return ["-f", "v4l2", *options, "-i", str(_v4l2_device(name))]


def _escaped(name: str) -> str:
    """Return a name in which a colon does not begin the name of a microphone."""
    return name if _NUMBER.fullmatch(name) else name.replace(":", "\\:")


def _v4l2_device(name: str) -> Path:
    """Return the device file of a camera on Linux."""
    devices = v4l2_cameras()
    if _NUMBER.fullmatch(name):
        device = _DEVICES / f"video{int(name)}"
    elif name.startswith("/"):
        device = Path(name)
    else:
        device = next((path for path, title in devices.items() if title == name), Path())
    if device == Path() or not device.exists():
        found = ", ".join(f"{path.name[5:]} ({title})" for path, title in devices.items())
        raise FacetrackError(
            f"There is no camera {name}: "
            + (f"the cameras here are {found}." if found else "no camera was found here.")
        )
    return device


def v4l2_cameras() -> dict[Path, str]:
    """Return the names of the cameras on Linux, by device file."""
    cameras = {}
    for path in sorted(_DEVICES.glob("video[0-9]*"), key=lambda path: (len(path.name), path.name)):
        try:
            title = (_NAMES / path.name / "name").read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            title = path.name
        cameras[path] = title
    return cameras


def _dshow_name(name: str) -> str:
    """Return the name of a camera on Windows, where ffmpeg knows no numbers."""
    if not _NUMBER.fullmatch(name):
        return name
    command = [ffmpeg.executable(), "-hide_banner", "-nostdin", "-list_devices", "true"]
    command += ["-f", "dshow", "-i", "dummy"]
    log = subprocess.run(command, capture_output=True, check=False, env=ffmpeg.environment())
    names = parse_dshow_cameras(log.stderr.decode("utf-8", "replace"))
    if int(name) >= len(names):
        found = ", ".join(f"{number} ({title})" for number, title in enumerate(names))
        raise FacetrackError(
            f"There is no camera {name}: "
            + (f"the cameras here are {found}." if found else "no camera was found here.")
        )
    return names[int(name)]


def parse_dshow_cameras(log: str) -> list[str]:
    """Return the names of the cameras in ffmpeg's list of DirectShow devices."""
    names, in_videos = [], False
    for line in log.splitlines():
        if "DirectShow video devices" in line:  # older versions of ffmpeg have two lists
            in_videos = True
        elif "DirectShow audio devices" in line:
            in_videos = False
            continue
        match = _DSHOW_DEVICE.search(line)
        if match is None and in_videos:
            match = _OLD_DSHOW_DEVICE.search(line.rstrip())
        if match is not None:
            names.append(match[1])
    return names
