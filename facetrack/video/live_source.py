"""Recognise live sources among what a user types: cameras, network addresses, standard input.

An address counts only where the user typed it as the input. Lists of files and the content of files
are never searched for addresses.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from facetrack.errors import FacetrackError
from facetrack.runtime.addresses import hide_address
from facetrack.video import ffmpeg
from facetrack.video.cameras import camera_arguments

STDIN = "-"
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.S)
_CAMERA_NUMBER = re.compile(r"\d{1,3}", re.ASCII)
_UNSAFE = re.compile(r"[^A-Za-z0-9.]+")
_MAX_STEM = 80
_PROTOCOLS = {
    "rtsp": "rtp,srtp,udp,tcp,tls",
    "rtsps": "rtp,srtp,udp,tcp,tls",
    "http": "http,https,tls,tcp",
    "https": "https,tls,tcp",
    "udp": "udp",
    "rtp": "rtp,udp",
    "srt": "srt",
    "tcp": "tcp",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tls,tcp",
}
"""The protocols that ffmpeg may use for an address, by its scheme: no files, and nothing that a
server could lead to except further pages of the same kind."""
_FORMATS = {"rtsp": "rtsp,rtp", "rtsps": "rtsp,rtp", "rtp": "rtp"}
"""Formats in addition to those of files."""


@dataclass(frozen=True)
class LiveSource:
    """A source of frames that come once, as they are recorded or sent.

    Attributes:
        kind: "camera", "stdin", "fifo", or the scheme of an address.
        shown: what messages and records say: the address without secrets, or the camera's name.
        stem: beginning of the names of output files.
        arguments: ffmpeg's arguments for the input.
        secrets: texts that must not be shown.
    """

    kind: str
    shown: str
    stem: str
    arguments: tuple[str, ...]
    secrets: tuple[str, ...] = ()

    @property
    def is_pipe(self) -> bool:
        """True if the sender waits until the frames are read, and the end of data is the end."""
        return self.kind in ("stdin", "fifo")

    @property
    def can_reconnect(self) -> bool:
        """True if the source can be opened again after its connection has dropped."""
        return not self.is_pipe

    def stem_at(self, start: datetime) -> str:
        """Return the stem of the output files of a run that starts now."""
        return f"{self.stem}_{start:%Y%m%d-%H%M%S}"

    def without_secrets(self, text: str) -> str:
        """Return text, e.g. of ffmpeg's log, in which this source's secrets are not shown."""
        for secret in self.secrets:
            text = text.replace(secret, self.shown)
        return text


def live_source(name: str) -> LiveSource | None:
    """Return the live source that a typed input means; None for a file, a folder or a pattern.

    A number is a camera, unless a file has this name. `-` is standard input. A named pipe (FIFO)
    and a device file of a camera are live sources too.

    Raises:
        FacetrackError: an address of a kind that is not read, or a camera that does not exist.
    """
    if name == STDIN:
        arguments = (*_whitelists(ffmpeg.DEMUXERS, "pipe"), "-i", "pipe:0")
        return LiveSource("stdin", "standard input", "stdin", arguments)
    address = _ADDRESS.fullmatch(name)
    if address is not None and not os.path.lexists(name):
        return _network_source(name, address[1].lower())
    try:
        mode = os.stat(name).st_mode
    except (OSError, ValueError):
        return camera_source(name) if _CAMERA_NUMBER.fullmatch(name) else None
    if stat.S_ISFIFO(mode):
        path = Path(name)
        arguments = (*_whitelists(ffmpeg.DEMUXERS, "file"), "-i", ffmpeg.file_url(path))
        return LiveSource("fifo", name, _slug(path.stem) or "pipe", arguments)
    if stat.S_ISCHR(mode) and os.path.abspath(name).startswith("/dev/video"):
        return camera_source(name)
    return None


def camera_source(name: str, size: str | None = None, rate: float | None = None) -> LiveSource:
    """Return a camera.

    Args:
        name: its number from 0, its name, or its device file.
        size: of the pictures, e.g. "1280x720"; None for the camera's own.
        rate: frames per second; None for the camera's own.

    Raises:
        FacetrackError: there is no such camera, or the size has another form.
    """
    if size is not None and not re.fullmatch(r"\d{1,5}x\d{1,5}", size, re.ASCII):
        raise FacetrackError(f"--camera-size is WIDTHxHEIGHT, such as 1280x720, not {size!r}.")
    arguments = camera_arguments(name, size, rate)
    return LiveSource("camera", f"camera {name}", f"camera-{_slug(name)}", tuple(arguments))


def _network_source(url: str, scheme: str) -> LiveSource:
    shown = hide_address(url)
    if scheme not in _PROTOCOLS:
        known = ", ".join(f"{name}://" for name in _PROTOCOLS)
        raise FacetrackError(f"{shown} is not an address that facetrack reads: {known}.")
    if any(not character.isprintable() or character.isspace() for character in url):
        raise FacetrackError(f"{shown} is not an address: it holds spaces or control characters.")
    formats = ",".join(filter(None, [ffmpeg.DEMUXERS, _FORMATS.get(scheme)]))
    arguments = [*_whitelists(formats, _PROTOCOLS[scheme])]
    if scheme in ("rtsp", "rtsps"):
        arguments += ["-rtsp_flags", "prefer_tcp"]
    elif scheme in ("http", "https"):
        # A file on a web server is continued where its transfer broke off.
        arguments += ["-reconnect", "1", "-reconnect_max_retries", "3"]
    elif scheme == "udp":
        arguments += ["-overrun_nonfatal", "1"]
    if scheme not in ("http", "https"):
        # ffmpeg would study a broadcast for five seconds before the first frame.
        arguments += ["-analyzeduration", "1500000"]
    stem = _slug(shown.partition("://")[2].partition("?")[0])
    secrets = tuple(dict.fromkeys([url, url.partition("://")[2]])) if shown != url else ()
    userinfo = url.partition("://")[2].rpartition("@")[0]
    if userinfo:
        secrets += (userinfo, *filter(None, [userinfo.partition(":")[2]]))
    return LiveSource(scheme, shown, stem or scheme, (*arguments, "-i", url), secrets)


def _whitelists(formats: str, protocols: str) -> tuple[str, ...]:
    return "-format_whitelist", formats, "-protocol_whitelist", protocols


def _slug(text: str) -> str:
    """Return a text as part of a file name on every system."""
    return _UNSAFE.sub("-", text).strip("-.")[:_MAX_STEM].rstrip("-.")
