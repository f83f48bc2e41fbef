"""Cases: files that are not videos, and unusual but valid videos."""

from __future__ import annotations

import re
from collections.abc import Callable

import clips
import numpy as np
from fuzz import Case, Workshop

H264 = ("-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p")
CONTAINERS: dict[str, tuple[str, ...]] = {
    ".mp4": H264,
    ".mkv": H264,
    ".avi": ("-c:v", "mpeg4", "-q:v", "3"),
    ".webm": ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"),
    ".mov": ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p"),
    ".mpg": ("-c:v", "mpeg1video", "-q:v", "3"),
    ".gif": ("-c:v", "gif"),
    ".ts": H264,
    ".nut": H264,
}


def cases() -> list[Case]:
    return [*_not_videos(), *_unusual_pictures(), *_unusual_times()]


# ---------------------------------------------------------------- not videos


def _not_videos() -> list[Case]:
    def file(name: str, content: bytes | str, **settings: object) -> Case:
        def make(workshop: Workshop) -> list[str]:
            return workshop.track(workshop.write(name, content))

        return Case(f"no video: {settings.pop('what')}", make, expected="refused", **settings)  # type: ignore[arg-type]

    def renamed(to: str, suffix: str, fast: bool = False) -> Case:
        def make(workshop: Workshop) -> list[str]:
            return workshop.track(
                workshop.write(f"clip{to}", workshop.clip(suffix, codec=CONTAINERS[suffix]))
            )

        image = to in (".png", ".jpg")
        return Case(f"{suffix} called {to}", make, fast, "refused" if image else "done")

    def folder(workshop: Workshop) -> list[str]:
        (workshop.folder / "folder.mp4").mkdir()
        return workshop.track("folder.mp4")

    def dangling(workshop: Workshop) -> list[str]:
        (workshop.folder / "link.mp4").symlink_to("nowhere.mp4")
        return workshop.track("link.mp4")

    def loop(workshop: Workshop) -> list[str]:
        (workshop.folder / "loop.mp4").symlink_to("loop.mp4")
        return workshop.track("loop.mp4")

    def device(workshop: Workshop) -> list[str]:
        return workshop.track("/dev/zero")

    def long(workshop: Workshop) -> list[str]:
        return workshop.track("n" * 300 + ".mp4")

    def sound(workshop: Workshop) -> list[str]:
        path = workshop.folder / "sound.mp4"
        clips.run_ffmpeg("-f", "lavfi", "-i", "sine=d=0.2", str(path))
        return workshop.track(path.name)

    def listed(name: str, text: str) -> Callable[[Workshop], list[str]]:
        def make(workshop: Workshop) -> list[str]:
            workshop.write("piece.ts", workshop.clip(".ts", codec=H264))
            return workshop.track(workshop.write(name, text))

        return make

    live = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\npiece.ts\n"
    refused = {"expected": "refused"}
    return [
        file("empty.mp4", b"", what="nothing at all", message="empty"),
        file("one.mkv", b"\x1a", what="one byte"),
        file(
            "page.mp4",
            "<!DOCTYPE html><html><body>404</body></html>\n",
            what="a web page",
            fast=True,
        ),
        file("text.avi", "a,b,c\n" * 1000, what="text"),
        file("zeros.mov", bytes(200_000), what="zeros"),
        file("noise.mpg", np.random.default_rng(7).bytes(100_000), what="noise"),
        file("archive.webm", b"PK\x03\x04" + bytes(200), what="an archive"),
        file("notes.txt", "20,12\n24,20\n", what="a list by the wrong option"),
        renamed(".gif", ".mp4", fast=True),
        renamed(".mp4", ".gif"),
        renamed("", ".mkv"),
        renamed(".txt", ".avi"),
        renamed(".png", ".mp4", fast=True),
        renamed(".jpg", ".webm"),
        Case("no video: a folder", folder, expected="refused"),
        Case("no video: a dangling link", dangling, True, "refused", "does not exist"),
        Case("no video: a link to itself", loop, expected="refused"),
        Case("no video: a device", device, True, "refused", "not a regular file"),
        Case("no video: a name of 300 letters", long, expected="refused"),
        Case("no video: sound alone", sound, True, "refused", "sound but no video"),
        Case("a playlist that goes on", listed("live.m3u8", live), True, **refused),  # type: ignore[arg-type]
        Case(
            "a playlist of devices",
            listed("dev.m3u8", live.replace("piece.ts", "/dev/zero")),
            **refused,  # type: ignore[arg-type]
        ),
        Case(
            "a list of pieces",
            listed("list.mp4", "ffconcat version 1.0\nfile piece.ts\n"),
            **refused,  # type: ignore[arg-type]
        ),
        Case(
            "a list of itself",
            listed("self.mp4", "ffconcat version 1.0\nfile self.mp4\nfile self.mp4\n"),
            **refused,  # type: ignore[arg-type]
        ),
    ]


# ---------------------------------------------------------------- unusual but valid


def _valid(
    name: str,
    suffix: str = ".mp4",
    *options: str,
    fast: bool = False,
    overlay: bool = True,
    expected: str | None = "done",
    message: str = "",
    tiny: bool = False,
    **settings: object,
) -> Case:
    settings.setdefault("codec", CONTAINERS[suffix])

    def make(workshop: Workshop) -> list[str]:
        video = workshop.write(f"clip{suffix}", workshop.clip(suffix, *options, **settings))
        command = workshop.track(video, overlay=overlay)
        if tiny:
            workshop.write("points.csv", "0,0\n0.3,0.3\n")
        return command

    return Case(name, make, fast, expected, message)


def _rotated(degrees: int, fast: bool = False) -> Case:
    def make(workshop: Workshop) -> list[str]:
        plain = workshop.folder / "plain.mp4"
        plain.write_bytes(workshop.clip(".mp4", codec=H264))
        rotated = workshop.folder / "rotated.mp4"
        clips.run_ffmpeg(
            *("-display_rotation", str(degrees), "-i", str(plain), "-c", "copy"), str(rotated)
        )
        return workshop.track("rotated.mp4", overlay=True)

    return Case(f"rotated by {degrees}", make, fast, "done")


def _unusual_pictures() -> list[Case]:
    ffv1, png = ("-c:v", "ffv1"), ("-c:v", "png")
    raw = ("-c:v", "rawvideo", "-pix_fmt")
    wide = {"codec": png, "count": 2, "tiny": True, "filters": "scale=16000:8,format=rgb24"}
    x264 = ("-c:v", "libx264", "-crf", "18", "-pix_fmt")
    return [
        _valid("1x1", ".mkv", filters="scale=1:1", codec=ffv1, tiny=True, fast=True),
        _valid("2x2", ".mkv", filters="scale=2:2", tiny=True, codec=ffv1, fast=True),
        _valid("1 wide", ".mkv", filters="scale=1:64", tiny=True, codec=png),
        _valid("1 high", ".mkv", filters="scale=96:1", tiny=True, codec=ffv1),
        _valid("3x5", ".mkv", filters="scale=3:5", tiny=True, codec=ffv1),
        _valid("odd sides", ".mkv", filters="scale=97:63", codec=ffv1),
        _valid("16000 wide", ".mov", fast=True, **wide),
        _valid("16000 high", ".mov", **{**wide, "filters": "scale=8:16000,format=rgb24"}),
        _valid("10 bits", ".mkv", codec=(*x264, "yuv420p10le")),
        _valid("10 bits, 4:2:2", ".mov", codec=("-c:v", "prores", "-pix_fmt", "yuv422p10le")),
        _valid(
            "12 bits",
            ".mkv",
            codec=("-c:v", "libx265", "-x265-params", "log-level=0", "-pix_fmt", "yuv444p12le"),
        ),
        _valid("16 bits grey", ".mkv", codec=(*ffv1, "-pix_fmt", "gray16le")),
        _valid("transparent", ".mov", codec=(*png, "-pix_fmt", "rgba")),
        _valid(
            "transparent, VP9",
            ".webm",
            codec=(
                "-c:v",
                "libvpx-vp9",
                "-deadline",
                "realtime",
                "-cpu-used",
                "8",
                "-pix_fmt",
                "yuva420p",
            ),
        ),
        _valid("grey", ".mp4", codec=(*x264, "gray")),
        _valid("black and white", ".avi", codec=(*raw, "monow")),
        _valid("palette", ".avi", codec=(*raw, "pal8")),
        _valid("15 bits RGB", ".avi", codec=(*raw, "rgb555le")),
        _valid("floating point", ".mkv", codec=("-strict", "-2", *ffv1, "-pix_fmt", "gbrpf32le")),
        _valid(
            "interlaced",
            ".mp4",
            "-flags",
            "+ilme+ildct",
            codec=(*x264, "yuv420p", "-x264opts", "tff=1"),
            fast=True,
        ),
        _valid(
            "interlaced MPEG-2",
            ".mpg",
            "-flags",
            "+ilme+ildct",
            codec=("-c:v", "mpeg2video", "-q:v", "3"),
        ),
        _valid("pixels of 2:1", ".mp4", filters="setsar=2/1"),
        _valid("pixels of 1:1000", ".mkv", filters="setsar=1/1000"),
        _valid("full range", ".mp4", "-color_range", "pc"),
        _valid(
            "BT.2020",
            ".mp4",
            "-colorspace",
            "bt2020nc",
            "-color_trc",
            "smpte2084",
            "-color_primaries",
            "bt2020",
            codec=(*x264, "yuv420p10le"),
        ),
        _rotated(90, fast=True),
        _rotated(180),
        _rotated(-90),
        _rotated(45),
        Case("size changes midway", _size_changes, True, "done"),
        Case("two video tracks", _two_tracks, expected="done"),
        Case("a cover picture before the video", _cover, expected=None),
        Case("broken sound", _broken_sound, True, "done"),
        Case("subtitles and data", _subtitles, expected="done"),
    ]


def _size_changes(workshop: Workshop) -> list[str]:
    ts = [workshop.clip(".ts", codec=H264, size=size) for size in (clips.SIZE, (64, 96))]
    return workshop.track(workshop.write("clip.ts", b"".join(ts)), overlay=True)


def _two_tracks(workshop: Workshop) -> list[str]:
    for name, size in (("a.mp4", clips.SIZE), ("b.mp4", (48, 32))):
        workshop.write(name, workshop.clip(".mp4", codec=H264, size=size))
    inputs = ("-i", str(workshop.folder / "a.mp4"), "-i", str(workshop.folder / "b.mp4"))
    clips.run_ffmpeg(
        *inputs, "-map", "0", "-map", "1", "-c", "copy", str(workshop.folder / "two.mkv")
    )
    return workshop.track("two.mkv", overlay=True)


def _cover(workshop: Workshop) -> list[str]:
    workshop.write("a.mp4", workshop.clip(".mp4", codec=H264))
    cover = (
        "-f",
        "lavfi",
        "-i",
        "color=red:s=32x32:d=0.1:r=10",
        "-i",
        str(workshop.folder / "a.mp4"),
    )
    clips.run_ffmpeg(
        *cover,
        *("-map", "0", "-map", "1", "-c:v:0", "mjpeg", "-c:v:1", "copy", "-frames:v:0", "1"),
        *("-disposition:v:0", "attached_pic"),
        str(workshop.folder / "cover.mp4"),
    )
    return workshop.track("cover.mp4", overlay=True)


def _broken_sound(workshop: Workshop) -> list[str]:
    video = workshop.folder / "silent.mkv"
    video.write_bytes(workshop.clip(".mkv", codec=H264))
    loud = clips.add_audio(video, workshop.folder / "loud.mkv", "-c:a", "libmp3lame")
    data = bytearray(loud.read_bytes())
    # Block headers of track 2 (0x82, 16 bits of time, flags) and the following data.
    for match in re.finditer(rb"\xa3[\x40-\x5f].\x82...", bytes(data), re.DOTALL):
        data[match.end() : match.end() + 100] = workshop.random.randbytes(100)
    return workshop.track(workshop.write("broken.mkv", bytes(data)), overlay=True)


def _subtitles(workshop: Workshop) -> list[str]:
    workshop.write("a.mkv", workshop.clip(".mkv", codec=H264))
    workshop.write("s.srt", "1\n00:00:00,000 --> 00:00:09,000\nframe= 5 pts:3 s:1x1 [error]\n")
    inputs = ("-i", str(workshop.folder / "a.mkv"), "-i", str(workshop.folder / "s.srt"))
    title = ("-metadata", "title=[error] Input #0 n: 0 pts: 5 pts_time:1 sar:1/1 s:9x9")
    clips.run_ffmpeg(*inputs, "-c", "copy", *title, str(workshop.folder / "titled.mkv"))
    return workshop.track("titled.mkv", overlay=True)


def _unusual_times() -> list[Case]:
    ffv1 = ("-c:v", "ffv1")
    return [
        _valid("variable rate", ".mkv", filters="setpts='(N*N+1)/25/TB'"),
        _valid(
            "times that jump by hours",
            ".mkv",
            filters="setpts='if(gt(N,5),N+100000,N)/25/TB'",
            fast=True,
        ),
        _valid(
            "times that go back",
            ".avi",
            filters="null",
            codec=("-c:v", "mjpeg", "-bsf:v", "setts=pts=10-N"),
        ),
        _valid(
            "all frames at one time",
            ".nut",
            codec=("-c:v", "ffv1", "-bsf:v", "setts=ts=5"),
            expected=None,
        ),
        Case("negative start", _negative, True, "done"),
        _valid("start after hours", ".ts", "-output_ts_offset", "20000"),
        _valid(
            "start after decades",
            ".mkv",
            "-output_ts_offset",
            "1000000000",
            codec=ffv1,
            expected=None,
        ),
        _valid("1200 frames a second", ".mp4", rate="1200", fast=True),
        _valid("90000 frames a second", ".mp4", "-video_track_timescale", "90000", rate="90000"),
        _valid("1000000 frames a second", ".mkv", rate="1000000", codec=ffv1, expected=None),
        _valid("a frame in 100 seconds", ".mp4", rate="1/100"),
        _valid(
            "a frame a day", ".mkv", rate="1/86400", count=3, expected="refused", message="seconds"
        ),
        _valid("1001/24000", ".mov", rate="24000/1001"),
        _valid("one frame", ".mp4", count=1, fast=True),
        _valid("one frame, gif", ".gif", count=1),
        _valid("two frames", ".webm", count=2),
        Case("edit list that begins late", _edit_list, True, "done"),
        Case("edit list of nothing", _edit_list_of_nothing, expected=None),
        Case("no key frame at the start", _no_key_frame, True, None),
        Case("no time stamps", _no_times, True, "done"),
        Case("fragments", _fragments, expected="done"),
        Case("clips glued together", _glued, expected="done"),
    ]


def _negative(workshop: Workshop) -> list[str]:
    workshop.write("a.mkv", workshop.clip(".mkv", codec=H264))
    clips.run_ffmpeg(
        *("-copyts", "-itsoffset", "-3", "-i", str(workshop.folder / "a.mkv"), "-c", "copy"),
        *("-avoid_negative_ts", "disabled", str(workshop.folder / "early.mkv")),
    )
    return workshop.track("early.mkv", overlay=True)


def _edit_list(workshop: Workshop) -> list[str]:
    workshop.write("a.mp4", workshop.clip(".mp4", codec=(*H264, "-g", "12")))
    clips.run_ffmpeg(
        *("-ss", "0.2", "-i", str(workshop.folder / "a.mp4"), "-c", "copy"),
        str(workshop.folder / "late.mp4"),
    )
    return workshop.track("late.mp4", overlay=True)


def _edit_list_of_nothing(workshop: Workshop) -> list[str]:
    _edit_list(workshop)
    data = bytearray((workshop.folder / "late.mp4").read_bytes())
    start = data.index(b"elst") + 12
    data[start : start + 8] = b"\0\0\0\0" + b"\x7f\xff\xff\xff"
    return workshop.track(workshop.write("nothing.mp4", bytes(data)))


def _no_key_frame(workshop: Workshop) -> list[str]:
    data = workshop.clip(".ts", codec=(*H264, "-g", "6"))
    # Starting with the second packet of video.
    packets = [data[i : i + 188] for i in range(0, len(data), 188)]
    starts = [i for i, p in enumerate(packets) if p[1] & 0x40 and p[4:].find(b"\0\0\1\xe0") >= 0]
    return workshop.track(
        workshop.write("late.ts", b"".join(packets[: starts[0]] + packets[starts[1] :]))
    )


def _no_times(workshop: Workshop) -> list[str]:
    workshop.write("a.mp4", workshop.clip(".mp4", codec=H264))
    clips.run_ffmpeg(
        *("-i", str(workshop.folder / "a.mp4"), "-c", "copy", "-f", "h264"),
        str(workshop.folder / "raw.h264"),
    )
    return workshop.track("raw.h264", overlay=True)


def _fragments(workshop: Workshop) -> list[str]:
    flags = ("-movflags", "+frag_every_frame+empty_moov+default_base_moof")
    return workshop.track(
        workshop.write("f.mp4", workshop.clip(".mp4", *flags, codec=H264)), overlay=True
    )


def _glued(workshop: Workshop) -> list[str]:
    return workshop.track(
        workshop.write("two.mpg", 2 * workshop.clip(".mpg", codec=CONTAINERS[".mpg"]))
    )
