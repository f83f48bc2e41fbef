"""The ffmpeg program: where it is, how it is called, what its messages mean.

Only the `ffmpeg` binary of imageio-ffmpeg is used (there is no `ffprobe` beside it), so all that is
known of a file is read from ffmpeg's log. Every line carries its level, thanks to LOG_OPTIONS.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import imageio_ffmpeg

from facetrack.errors import FacetrackError
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
"""Formats that ffmpeg may read: those whose files hold all that is to be read.

Not in the list are playlists (hls, dash, imf, concat, sdp), image2, which takes `%d` in a name for
a series of files, subtitles and devices: they open files that the user did not name.
"""
INPUT_OPTIONS = ["-format_whitelist", DEMUXERS, "-protocol_whitelist", "file,pipe"]
"""Precede every `-i`: nothing inside a file opens another file or a connection."""
_LISTS = (b"#extm3u", b"ffconcat ", b"<mpd", b"<?xml", b"<assetmap", b"<compositionplaylist")
"""Marks of lists of files, in lower case: they choose the message of a file that is refused."""
_START = 65536

_PASSED_ON = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR")
_LIBRARY_PATHS = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")

LOG_OPTIONS = ["-hide_banner", "-nostdin", "-nostats", "-loglevel", "repeat+level+info"]

_PREFIX = re.compile(r"\[[^\]]* @ [^\]]*\]\s*|\[(?:error|fatal|warning|info|panic)\]\s*")
_DURATION = re.compile(r"^(?:\[info\])?\s+Duration: ([^,]+),(?: start: (-?[\d.]+),)?")
_ANY_STREAM = re.compile(r"^(?:\[info\])?\s+Stream #0:\d+")
_STREAM = re.compile(r"^(?:\[info\])?\s+Stream #0:\d+\S*: (Video|Audio): (\w+)(.*)$")
_ROTATION = re.compile(r"^(?:\[info\])?\s+[Dd]isplay ?[Mm]atrix: rotation of (-?[\d.]+) degrees")
_HEADER_END = re.compile(r"^(?:\[info\] )?(?:Stream mapping:|Output #0)")
# A message's level follows nothing but the names of its parts; elsewhere it is part of a title or a
# file's name.
_LEVEL = re.compile(r"^(?:\[[^\]]* @ [^\]]*\]\s*)*\[(\w+)\]")
_REFUSED = "Format not on whitelist"
_TOO_LARGE = re.compile(r"Picture size (\d+x\d+) (?:exceeds|is invalid)")
_OUTPUT_SIDE = re.compile(r"\[(?:rawvideo|null|out#|vost#|aost#)[^\]]* @ ")


def environment() -> dict[str, str]:
    """Return the environment of an ffmpeg process: the few variables that it needs.

    Search paths of libraries lose their relative and empty entries, which mean the current folder:
    OpenCV appends an empty one when it is imported.
    """
    keep_absolute_library_paths()
    return {name: os.environ[name] for name in (*_PASSED_ON, *_LIBRARY_PATHS) if name in os.environ}


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
    """Path of the ffmpeg binary; FacetrackError when there is none."""
    keep_absolute_library_paths()  # imageio-ffmpeg runs the program to see whether it works
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise FacetrackError(
            "ffmpeg was not found: reinstall imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE."
        ) from error


@functools.cache
def passthrough() -> list[str]:
    """The options that make ffmpeg write each decoded frame once, none dropped or repeated."""
    text = subprocess.run(
        [executable(), "-version"],
        capture_output=True,
        text=True,
        errors="replace",
        env=environment(),
    ).stdout
    found = re.match(r"ffmpeg version n?(\d+)\.(\d+)", text)
    # A build from git has no number; it is newer than 5.1, where -vsync got its new name.
    old = found is not None and (int(found[1]), int(found[2])) < (5, 1)
    return ["-vsync", "passthrough"] if old else ["-fps_mode", "passthrough"]


def file_url(path: Path) -> str:
    """`path` as an ffmpeg argument: no character of it is taken for an option or a protocol."""
    return "file:" + os.path.abspath(path)


def check_file(path: Path) -> None:
    """Raise FacetrackError unless `path` is a readable file that is not empty."""
    try:
        if not path.exists():
            raise FacetrackError(f"{path} does not exist.")
        if not path.is_file():
            raise FacetrackError(f"{path} is not a regular file.")
        with open(path, "rb") as stream:
            if not stream.read(1):
                raise FacetrackError(f"{path} is empty (0 bytes).")
    except OSError as error:
        raise FacetrackError(f"{path} cannot be read: {error.strerror or error}.") from error


def is_problem(line: str) -> bool:
    """Whether a log line tells of damaged input (not of what ffmpeg was writing)."""
    if _OUTPUT_SIDE.search(line):
        return False
    level = _level(line)
    return level in ("error", "fatal") or (level == "warning" and "corrupt" in line.lower())


def _level(line: str) -> str | None:
    found = _LEVEL.match(line)
    return found and found[1]


def message(line: str) -> str:
    """A log line without its prefixes: `[h264 @ 0x55] [error] bad` -> `bad`."""
    return _PREFIX.sub("", line).strip()


@dataclass
class Header:
    """What ffmpeg prints of an input before it decodes anything.

    Attributes:
        duration, start: seconds, None where the container does not say.
        video: (codec, rest of the line) of the first stream of moving pictures, else None.
        audio: codec of the first audio stream, else None.
        streams: how many there are, of any kind.
        rotation: clockwise degrees (0 to 359) that turn the stored picture upright.
    """

    duration: float | None = None
    start: float | None = None
    video: tuple[str, str] | None = None
    audio: str | None = None
    streams: int = 0
    rotation: int = 0
    lines: list[str] = field(default_factory=list)


def parse_header(lines: list[str]) -> Header:
    """Read a Header from a log with one input, up to where decoding begins."""
    header = Header(lines=lines)
    in_video = False
    for line in lines:
        if _HEADER_END.match(line):
            break
        header.streams += _ANY_STREAM.match(line) is not None
        if (found := _DURATION.match(line)) and header.duration is None:
            header.duration = _clock(found[1])
            header.start = float(found[2]) if found[2] else None
        elif found := _STREAM.match(line):
            kind, codec, rest = found.groups()
            in_video = False
            if kind == "Audio" and header.audio is None:
                header.audio = codec
            elif kind == "Video" and header.video is None and "(attached pic)" not in rest:
                header.video = (codec, rest)
                in_video = True
        elif in_video and (found := _ROTATION.match(line)):
            header.rotation = round(-float(found[1])) % 360
    return header


def read_header(path: Path) -> Header:
    """Header of the file `path`; raises FacetrackError when ffmpeg cannot open it."""
    check_file(path)
    # Without an output ffmpeg prints the header and stops with an error: that one is expected.
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
    """One sentence for why no frame of `path` came out, from ffmpeg's log."""
    text = "\n".join(lines)
    header = parse_header(lines)
    if _is_list(path):
        return f"{path} is a list of other files, not a video: name those."
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
    large = next(filter(None, map(_TOO_LARGE.search, problems)), None)
    if large:
        return f"the pictures of {path} are too large to be read: {large[1]} pixels."
    if problems:
        return f"no frame of {path} could be decoded (ffmpeg: {problems[0].rstrip('.')})."
    return f"no frame of {path} could be decoded."


def _is_list(path: Path) -> bool:
    """Return whether the file looks like a playlist or another list of files."""
    try:
        with open(path, "rb") as stream:
            start = stream.read(_START).lower()
    except OSError:
        return False
    return any(mark in start for mark in _LISTS)


def _clock(text: str) -> float | None:
    """`00:01:02.50` -> 62.5; `N/A` -> None."""
    found = re.fullmatch(r"(-?)(\d+):(\d+):([\d.]+)", text.strip())
    if not found:
        return None
    seconds = int(found[2]) * 3600 + int(found[3]) * 60 + float(found[4])
    return -seconds if found[1] else seconds


def threads() -> list[str]:
    """As many threads as OMP_NUM_THREADS grants the other libraries; ffmpeg's own choice without.

    Processes that share a machine set it, and ffmpeg knows no such variable.
    """
    own = requested_threads()
    return ["-threads", str(own)] if own else []
