"""Find the ffmpeg program, build its arguments and interpret its messages.

Only the `ffmpeg` binary of imageio-ffmpeg is used, which comes without `ffprobe`. The properties of
a file are therefore parsed from ffmpeg's log. With LOG_OPTIONS, every log line states its level.
"""

from __future__ import annotations

import codecs
import functools
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imageio_ffmpeg

from facetrack.errors import FacetrackError
from facetrack.files import closed_folder, not_found
from facetrack.runtime.addresses import hide_address
from facetrack.runtime.threads import requested_threads

DEMUXERS = (
    "3dostr,4xm,amv,apng,argo_asf,argo_cvg,asf,asf_o,av1,avi,avs,avs2,avs3,bethsoftvid,bfi,"
    "bink,c93,cavsvideo,cdxl,cine,dhav,dirac,dnxhd,dsicin,dv,dxa,ea,ea_cdata,evc,film_cpk,"
    "filmstrip,flic,flv,gdv,gif,gxf,h261,h263,h264,hevc,hnm,idcin,iff,ifv,ingenient,ipmovie,"
    "ipu,iss,iv8,ivf,ivr,jv,lmlm4,lvf,lxf,m4v,matroska,webm,mgsts,mjpeg,mjpeg_2000,mlv,mm,"
    "moflex,mov,mp4,m4a,3gp,3g2,mj2,mpeg,mpegts,mpegvideo,mpjpeg,msnwctcp,mtv,mv,mvi,mxf,mxg,"
    "nc,nsv,nut,nuv,obu,ogg,paf,pva,qcp,r3d,rl2,rm,roq,rpl,sdr2,seq,ser,sga,siff,smjpeg,smk,"
    "smush,swf,thp,tiertexseq,tmv,txd,usm,vc1,vc1test,vividas,vivo,vmd,vqf,vvc,wc3movie,"
    "webp_anim,wtv,wv,xmv,yop,yuv4mpegpipe,bmp_pipe,gif_pipe,jpeg_pipe,jpegls_pipe,"
    "jpegxl_pipe,j2k_pipe,png_pipe,pam_pipe,pbm_pipe,pgm_pipe,ppm_pipe,qoi_pipe,tiff_pipe,"
    "webp_pipe,aac,ac3,aiff,amr,ape,au,caf,dts,eac3,flac,loas,mlp,mp3,mpc,mpc8,tak,truehd,"
    "tta,voc,w64,wav"
)
"""Formats that ffmpeg may read: those whose files are self-contained.

The list excludes playlists (hls, dash, imf, concat, sdp), subtitles, devices, and image2, which
interprets `%d` in a name as a series of files: they open files that the user did not name.
"""
INPUT_OPTIONS = ["-format_whitelist", DEMUXERS, "-protocol_whitelist", "file,pipe"]
"""Options before every `-i`: no content of a file can open another file or a connection."""
_TEXT_LISTS = (b"#extm3u", b"ffconcat ")
"""First words of playlists, in lower case."""
_XML_LISTS = (b"<mpd", b"<assetmap", b"<compositionplaylist")
"""Root elements of playlists in XML, in lower case; comments may precede them."""
_SIGNATURE_BYTES = 65536
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # a path has lost the second slash

_KEPT_VARIABLES = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "PATH",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "TMPDIR",
)
_LIBRARY_PATHS = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")

LOG_OPTIONS = ["-hide_banner", "-nostdin", "-nostats", "-loglevel", "repeat+level+info"]

_PREFIX = re.compile(r"\[[^\]]* @ [^\]]*\]\s*|\[(?:error|fatal|warning|info|panic)\]\s*")
_DURATION = re.compile(r"^(?:\[info\])?\s+Duration: ([^,]+),(?: start: (-?[\d.]+),)?")
_ANY_STREAM = re.compile(r"^(?:\[info\])?\s+Stream #0:\d+")
_STREAM = re.compile(r"^(?:\[info\])?\s+Stream #0:\d+\S*: (Video|Audio): (\w+)(.*)$")
_ROTATION = re.compile(r"^(?:\[info\])?\s+[Dd]isplay ?[Mm]atrix: rotation of (-?[\d.]+) degrees")
_INPUT = re.compile(r"^(?:\[info\] )?Input #0, (\S+), from")
_FIELD_ORDER = re.compile(r"\((?:[^)]*, )?(top|bottom)(?: coded)? first")
_DOLBY_VISION = re.compile(
    r"^(?:\[info\])?\s+DOVI configuration record: .*profile: (\d+), .*compatibility id: (\d+)"
)
_HEADER_END = re.compile(r"^(?:\[info\] )?(?:Stream mapping:|Output #0)")
# Only names of components may precede the level of a message; elsewhere it is part of a title or a
# file name.
_LEVEL = re.compile(r"^(?:\[[^\]]* @ [^\]]*\]\s*)*\[(\w+)\]")
_REFUSED = "Format not on whitelist"
_TOO_LARGE = re.compile(r"Picture size (\d+x\d+) (?:exceeds|is invalid)")
_OUTPUT_SIDE = re.compile(r"\[(?:rawvideo|null|out#|vost#|aost#)[^\]]* @ ")


def own_group() -> dict[str, Any]:
    """Return options of `Popen` that keep a terminal's Ctrl-C away from an ffmpeg process.

    It is for facetrack, which then completes its files, and needs ffmpeg for that.
    """
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def environment() -> dict[str, str]:
    """Return the environment of an ffmpeg process: only the variables that it needs.

    Relative and empty entries of library search paths are removed, because they refer to the
    current folder. OpenCV appends an empty entry when it is imported.
    """
    keep_absolute_library_paths()
    return {
        name: os.environ[name] for name in (*_KEPT_VARIABLES, *_LIBRARY_PATHS) if name in os.environ
    }


def keep_absolute_library_paths() -> None:
    """Remove relative entries from this process's search paths of libraries, for its children."""
    for name in _LIBRARY_PATHS:
        if name in os.environ:
            entries = os.environ[name].split(os.pathsep)
            absolute = [entry for entry in entries if os.path.isabs(entry)]
            if absolute:
                os.environ[name] = os.pathsep.join(absolute)
            else:
                del os.environ[name]


@functools.cache
def executable() -> str:
    """Return the path of the ffmpeg binary.

    Raises:
        FacetrackError: there is none.
    """
    keep_absolute_library_paths()  # imageio-ffmpeg runs the program to test it
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise FacetrackError(
            "ffmpeg was not found: reinstall imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE."
        ) from error


@functools.cache
def passthrough() -> list[str]:
    """Return the options that make ffmpeg write each decoded frame exactly once."""
    text = subprocess.run(
        [executable(), "-version"],
        capture_output=True,
        text=True,
        errors="replace",
        env=environment(),
    ).stdout
    version = re.match(r"ffmpeg version n?(\d+)\.(\d+)", text)
    # Builds from git have no version number; they are newer than 5.1, which renamed -vsync.
    old = version is not None and (int(version[1]), int(version[2])) < (5, 1)
    return ["-vsync", "passthrough"] if old else ["-fps_mode", "passthrough"]


def file_url(path: Path) -> str:
    """Return `path` as an ffmpeg argument that cannot be mistaken for an option or a protocol."""
    return "file:" + os.path.abspath(path)


def check_file(path: Path) -> None:
    """Check that `path` is a readable file and not empty.

    Raises:
        FacetrackError: it is not.
    """
    try:
        if not os.path.exists(path):  # unlike Path.exists, the same in every version of Python
            if _ADDRESS.match(str(path)):
                raise FacetrackError(
                    f"{hide_address(str(path))} is an address: `facetrack track` reads one if it "
                    "is the only input on its command line."
                )
            if closed_folder(path) is not None:
                raise not_found(path)
            raise FacetrackError(f"{path} does not exist.")
        if not path.is_file():
            raise FacetrackError(f"{path} is not a regular file.")
        with open(path, "rb") as stream:
            if not stream.read(1):
                raise FacetrackError(f"{path} is empty (0 bytes).")
    except OSError as error:
        raise FacetrackError(f"{path} cannot be read: {error.strerror or error}.") from error


def is_problem(line: str) -> bool:
    """Return True if a log line reports damaged input (rather than a problem of the output)."""
    if _OUTPUT_SIDE.search(line):
        return False
    level = _level(line)
    return level in ("error", "fatal") or (level == "warning" and "corrupt" in line.lower())


def _level(line: str) -> str | None:
    match = _LEVEL.match(line)
    return match and match[1]


def message(line: str) -> str:
    """Return a log line without its prefixes: `[h264 @ 0x55] [error] bad` -> `bad`."""
    return _PREFIX.sub("", line).strip()


@dataclass
class Header:
    """Description of an input file, printed by ffmpeg before decoding.

    Attributes:
        duration, start: seconds; None if unknown.
        video: (codec, rest of the line) of the first video stream, except cover images; else None.
        audio: codec of the first audio stream, else None.
        streams: number of streams of any kind.
        rotation: clockwise degrees (0 to 359) that turn the stored frames upright.
        container: ffmpeg's names of the format, with commas between them.
        dolby_vision: profile and compatibility of the video stream, e.g. "8.4"; None without.
        lines: the log.
    """

    duration: float | None = None
    start: float | None = None
    video: tuple[str, str] | None = None
    audio: str | None = None
    streams: int = 0
    rotation: int = 0
    container: str = ""
    dolby_vision: str | None = None
    lines: list[str] = field(default_factory=list)


def parse_header(lines: list[str]) -> Header:
    """Parse the header from a log with one input."""
    header = Header(lines=lines)
    in_video = False
    for line in lines:
        if _HEADER_END.match(line):
            break
        if (match := _INPUT.match(line)) and not header.container:
            header.container = match[1]
        header.streams += _ANY_STREAM.match(line) is not None
        if (match := _DURATION.match(line)) and header.duration is None:
            header.duration = _parse_clock(match[1])
            header.start = float(match[2]) if match[2] else None
        elif match := _STREAM.match(line):
            kind, codec, rest = match.groups()
            in_video = False
            if kind == "Audio" and header.audio is None:
                header.audio = codec
            elif kind == "Video" and header.video is None and "(attached pic)" not in rest:
                header.video = (codec, rest)
                in_video = True
        elif in_video and (match := _ROTATION.match(line)):
            header.rotation = round(-float(match[1])) % 360
        elif in_video and (match := _DOLBY_VISION.match(line)):
            header.dolby_vision = f"{match[1]}.{match[2]}"
    return header


def field_order(details: str) -> str:
    """Return "tff" or "bff" if a stream's line of the header says so, else ""."""
    match = _FIELD_ORDER.search(details)
    return "" if match is None else {"top": "tff", "bottom": "bff"}[match[1]]


def read_header(path: Path) -> Header:
    """Return the header of the file `path`.

    Raises:
        FacetrackError: ffmpeg cannot open it.
    """
    check_file(path)
    # Without an output, ffmpeg prints the header and exits with an error, which is expected.
    result = subprocess.run(
        [executable(), *LOG_OPTIONS, *INPUT_OPTIONS, "-i", file_url(path)],
        capture_output=True,
        check=False,
        env=environment(),
    )
    lines = result.stderr.decode("utf-8", "replace").splitlines()
    if not any("Input #0" in line for line in lines):
        raise FacetrackError(explain(path, lines))
    return parse_header(lines)


def explain(path: Path, lines: list[str]) -> str:
    """Return a sentence that explains, from ffmpeg's log, why no frame of `path` was decoded."""
    text = "\n".join(lines)
    header = parse_header(lines)
    if _is_list(path, refused=_REFUSED in text):
        return f"{path} is a list of other files, not a video: give the video files instead."
    if _REFUSED in text:
        return f"{path} is in a format that facetrack does not read."
    if header.video is None and header.audio is not None:
        return f"{path} holds sound but no video."
    if "matches no streams" in text:
        return f"{path} holds no video stream."
    if "low score" not in text and "moov atom not found" in text:
        return (
            f"{path} is incomplete: its index (moov atom) is missing, as after an interrupted "
            "recording or download."
        )
    if "Invalid data found when processing input" in text and header.video is None:
        return f"{path} is not a video that ffmpeg can read."
    problems = [message(line) for line in lines if _level(line) in ("error", "fatal")]
    oversized = next(filter(None, map(_TOO_LARGE.search, problems)), None)
    if oversized:
        return f"the frames of {path} are too large to be read: {oversized[1]} pixels."
    if problems:
        return f"no frame of {path} could be decoded (ffmpeg: {problems[0].rstrip('.')})."
    return f"no frame of {path} could be decoded."


def _is_list(path: Path, refused: bool) -> bool:
    """Return whether the file is a playlist or another list of files.

    Metadata inside a video can hold the same words. Therefore, unless ffmpeg refused the format,
    the file must begin as a list.
    """
    try:
        with open(path, "rb") as stream:
            start = stream.read(_SIGNATURE_BYTES).lower()
    except OSError:
        return False
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    if text.startswith(_TEXT_LISTS):
        return True
    marks = (*_TEXT_LISTS, *_XML_LISTS) if refused else _XML_LISTS
    return (refused or text.startswith(b"<")) and any(mark in start for mark in marks)


def _parse_clock(text: str) -> float | None:
    """Convert `00:01:02.50` to 62.5 seconds, and `N/A` to None."""
    match = re.fullmatch(r"(-?)(\d+):(\d+):([\d.]+)", text.strip())
    if not match:
        return None
    seconds = int(match[2]) * 3600 + int(match[3]) * 60 + float(match[4])
    return -seconds if match[1] else seconds


def threads() -> list[str]:
    """Return ffmpeg's thread option for the number in OMP_NUM_THREADS; [] if it is not set.

    Processes that share a machine set this variable, which ffmpeg itself does not read.
    """
    count = requested_threads()
    return ["-threads", str(count)] if count else []
