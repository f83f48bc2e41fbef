"""Cases: files that are no videos, and videos that are unusual but right."""

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


# ---------------------------------------------------------------- what is no video


def _not_videos() -> list[Case]:
    def file(name: str, content: bytes | str, **how: object) -> Case:
        def make(shop: Workshop) -> list[str]:
            return shop.track(shop.write(name, content))

        return Case(f"no video: {how.pop('what')}", make, wanted="refused", **how)  # type: ignore[arg-type]

    def renamed(to: str, suffix: str, fast: bool = False) -> Case:
        def make(shop: Workshop) -> list[str]:
            return shop.track(shop.write(f"clip{to}", shop.clip(suffix, codec=CONTAINERS[suffix])))

        image = to in (".png", ".jpg")
        return Case(f"{suffix} called {to}", make, fast, "refused" if image else "done")

    def folder(shop: Workshop) -> list[str]:
        (shop.folder / "folder.mp4").mkdir()
        return shop.track("folder.mp4")

    def dangling(shop: Workshop) -> list[str]:
        (shop.folder / "link.mp4").symlink_to("nowhere.mp4")
        return shop.track("link.mp4")

    def loop(shop: Workshop) -> list[str]:
        (shop.folder / "loop.mp4").symlink_to("loop.mp4")
        return shop.track("loop.mp4")

    def device(shop: Workshop) -> list[str]:
        return shop.track("/dev/zero")

    def long(shop: Workshop) -> list[str]:
        return shop.track("n" * 300 + ".mp4")

    def sound(shop: Workshop) -> list[str]:
        path = shop.folder / "sound.mp4"
        clips.run_ffmpeg("-f", "lavfi", "-i", "sine=d=0.2", str(path))
        return shop.track(path.name)

    def listed(name: str, text: str) -> Callable[[Workshop], list[str]]:
        def make(shop: Workshop) -> list[str]:
            shop.write("piece.ts", shop.clip(".ts", codec=H264))
            return shop.track(shop.write(name, text))

        return make

    live = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\npiece.ts\n"
    refused = {"wanted": "refused"}
    return [
        file("empty.mp4", b"", what="nothing at all", says="empty"),
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
        Case("no video: a folder", folder, wanted="refused"),
        Case("no video: a dangling link", dangling, True, "refused", "does not exist"),
        Case("no video: a link to itself", loop, wanted="refused"),
        Case("no video: a device", device, True, "refused", "not a regular file"),
        Case("no video: a name of 300 letters", long, wanted="refused"),
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


# ---------------------------------------------------------------- unusual, but right


def _usual(
    name: str,
    suffix: str = ".mp4",
    *options: str,
    fast: bool = False,
    overlay: bool = True,
    wanted: str | None = "done",
    says: str = "",
    tiny: bool = False,
    **how: object,
) -> Case:
    how.setdefault("codec", CONTAINERS[suffix])

    def make(shop: Workshop) -> list[str]:
        video = shop.write(f"clip{suffix}", shop.clip(suffix, *options, **how))
        command = shop.track(video, overlay=overlay)
        if tiny:
            shop.write("points.csv", "0,0\n0.3,0.3\n")
        return command

    return Case(name, make, fast, wanted, says)


def _rotated(degrees: int, fast: bool = False) -> Case:
    def make(shop: Workshop) -> list[str]:
        plain = shop.folder / "plain.mp4"
        plain.write_bytes(shop.clip(".mp4", codec=H264))
        turned = shop.folder / "turned.mp4"
        clips.run_ffmpeg(
            *("-display_rotation", str(degrees), "-i", str(plain), "-c", "copy"), str(turned)
        )
        return shop.track("turned.mp4", overlay=True)

    return Case(f"rotated by {degrees}", make, fast, "done")


def _unusual_pictures() -> list[Case]:
    ffv1, png = ("-c:v", "ffv1"), ("-c:v", "png")
    raw = ("-c:v", "rawvideo", "-pix_fmt")
    wide = {"codec": png, "count": 2, "tiny": True, "filters": "scale=16000:8,format=rgb24"}
    x264 = ("-c:v", "libx264", "-crf", "18", "-pix_fmt")
    return [
        _usual("1x1", ".mkv", filters="scale=1:1", codec=ffv1, tiny=True, fast=True),
        _usual("2x2", ".mkv", filters="scale=2:2", tiny=True, codec=ffv1, fast=True),
        _usual("1 wide", ".mkv", filters="scale=1:64", tiny=True, codec=png),
        _usual("1 high", ".mkv", filters="scale=96:1", tiny=True, codec=ffv1),
        _usual("3x5", ".mkv", filters="scale=3:5", tiny=True, codec=ffv1),
        _usual("odd sides", ".mkv", filters="scale=97:63", codec=ffv1),
        _usual("16000 wide", ".mov", fast=True, **wide),
        _usual("16000 high", ".mov", **{**wide, "filters": "scale=8:16000,format=rgb24"}),
        _usual("10 bits", ".mkv", codec=(*x264, "yuv420p10le")),
        _usual("10 bits, 4:2:2", ".mov", codec=("-c:v", "prores", "-pix_fmt", "yuv422p10le")),
        _usual(
            "12 bits",
            ".mkv",
            codec=("-c:v", "libx265", "-x265-params", "log-level=0", "-pix_fmt", "yuv444p12le"),
        ),
        _usual("16 bits grey", ".mkv", codec=(*ffv1, "-pix_fmt", "gray16le")),
        _usual("transparent", ".mov", codec=(*png, "-pix_fmt", "rgba")),
        _usual(
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
        _usual("grey", ".mp4", codec=(*x264, "gray")),
        _usual("black and white", ".avi", codec=(*raw, "monow")),
        _usual("palette", ".avi", codec=(*raw, "pal8")),
        _usual("15 bits RGB", ".avi", codec=(*raw, "rgb555le")),
        _usual("floating point", ".mkv", codec=("-strict", "-2", *ffv1, "-pix_fmt", "gbrpf32le")),
        _usual(
            "interlaced",
            ".mp4",
            "-flags",
            "+ilme+ildct",
            codec=(*x264, "yuv420p", "-x264opts", "tff=1"),
            fast=True,
        ),
        _usual(
            "interlaced MPEG-2",
            ".mpg",
            "-flags",
            "+ilme+ildct",
            codec=("-c:v", "mpeg2video", "-q:v", "3"),
        ),
        _usual("pixels of 2:1", ".mp4", filters="setsar=2/1"),
        _usual("pixels of 1:1000", ".mkv", filters="setsar=1/1000"),
        _usual("full range", ".mp4", "-color_range", "pc"),
        _usual(
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
        Case("two video tracks", _two_tracks, wanted="done"),
        Case("a cover picture before the video", _cover, wanted=None),
        Case("broken sound", _broken_sound, True, "done"),
        Case("subtitles and data", _subtitles, wanted="done"),
    ]


def _size_changes(shop: Workshop) -> list[str]:
    ts = [shop.clip(".ts", codec=H264, size=size) for size in (clips.SIZE, (64, 96))]
    return shop.track(shop.write("clip.ts", b"".join(ts)), overlay=True)


def _two_tracks(shop: Workshop) -> list[str]:
    for name, size in (("a.mp4", clips.SIZE), ("b.mp4", (48, 32))):
        shop.write(name, shop.clip(".mp4", codec=H264, size=size))
    inputs = ("-i", str(shop.folder / "a.mp4"), "-i", str(shop.folder / "b.mp4"))
    clips.run_ffmpeg(*inputs, "-map", "0", "-map", "1", "-c", "copy", str(shop.folder / "two.mkv"))
    return shop.track("two.mkv", overlay=True)


def _cover(shop: Workshop) -> list[str]:
    shop.write("a.mp4", shop.clip(".mp4", codec=H264))
    cover = ("-f", "lavfi", "-i", "color=red:s=32x32:d=0.1:r=10", "-i", str(shop.folder / "a.mp4"))
    clips.run_ffmpeg(
        *cover,
        *("-map", "0", "-map", "1", "-c:v:0", "mjpeg", "-c:v:1", "copy", "-frames:v:0", "1"),
        *("-disposition:v:0", "attached_pic"),
        str(shop.folder / "cover.mp4"),
    )
    return shop.track("cover.mp4", overlay=True)


def _broken_sound(shop: Workshop) -> list[str]:
    video = shop.folder / "silent.mkv"
    video.write_bytes(shop.clip(".mkv", codec=H264))
    loud = clips.add_audio(video, shop.folder / "loud.mkv", "-c:a", "libmp3lame")
    data = bytearray(loud.read_bytes())
    # Block heads of track 2 (0x82, 16 bits of time, flags) and what follows them.
    for found in re.finditer(rb"\xa3[\x40-\x5f].\x82...", bytes(data), re.DOTALL):
        data[found.end() : found.end() + 100] = shop.random.randbytes(100)
    return shop.track(shop.write("broken.mkv", bytes(data)), overlay=True)


def _subtitles(shop: Workshop) -> list[str]:
    shop.write("a.mkv", shop.clip(".mkv", codec=H264))
    shop.write("s.srt", "1\n00:00:00,000 --> 00:00:09,000\nframe= 5 pts:3 s:1x1 [error]\n")
    inputs = ("-i", str(shop.folder / "a.mkv"), "-i", str(shop.folder / "s.srt"))
    title = ("-metadata", "title=[error] Input #0 n: 0 pts: 5 pts_time:1 sar:1/1 s:9x9")
    clips.run_ffmpeg(*inputs, "-c", "copy", *title, str(shop.folder / "said.mkv"))
    return shop.track("said.mkv", overlay=True)


def _unusual_times() -> list[Case]:
    ffv1 = ("-c:v", "ffv1")
    return [
        _usual("variable rate", ".mkv", filters="setpts='(N*N+1)/25/TB'"),
        _usual(
            "times that jump by hours",
            ".mkv",
            filters="setpts='if(gt(N,5),N+100000,N)/25/TB'",
            fast=True,
        ),
        _usual(
            "times that go back",
            ".avi",
            filters="null",
            codec=("-c:v", "mjpeg", "-bsf:v", "setts=pts=10-N"),
        ),
        _usual(
            "all frames at one time",
            ".nut",
            codec=("-c:v", "ffv1", "-bsf:v", "setts=ts=5"),
            wanted=None,
        ),
        Case("negative start", _negative, True, "done"),
        _usual("start after hours", ".ts", "-output_ts_offset", "20000"),
        _usual(
            "start after decades",
            ".mkv",
            "-output_ts_offset",
            "1000000000",
            codec=ffv1,
            wanted=None,
        ),
        _usual("1200 frames a second", ".mp4", rate="1200", fast=True),
        _usual("90000 frames a second", ".mp4", "-video_track_timescale", "90000", rate="90000"),
        _usual("1000000 frames a second", ".mkv", rate="1000000", codec=ffv1, wanted=None),
        _usual("a frame in 100 seconds", ".mp4", rate="1/100"),
        _usual("a frame a day", ".mkv", rate="1/86400", count=3, wanted="refused", says="seconds"),
        _usual("1001/24000", ".mov", rate="24000/1001"),
        _usual("one frame", ".mp4", count=1, fast=True),
        _usual("one frame, gif", ".gif", count=1),
        _usual("two frames", ".webm", count=2),
        Case("edit list that begins late", _edit_list, True, "done"),
        Case("edit list of nothing", _edit_list_of_nothing, wanted=None),
        Case("no key frame at the start", _no_key_frame, True, None),
        Case("no time stamps", _no_times, True, "done"),
        Case("fragments", _fragments, wanted="done"),
        Case("clips glued together", _glued, wanted="done"),
    ]


def _negative(shop: Workshop) -> list[str]:
    shop.write("a.mkv", shop.clip(".mkv", codec=H264))
    clips.run_ffmpeg(
        *("-copyts", "-itsoffset", "-3", "-i", str(shop.folder / "a.mkv"), "-c", "copy"),
        *("-avoid_negative_ts", "disabled", str(shop.folder / "early.mkv")),
    )
    return shop.track("early.mkv", overlay=True)


def _edit_list(shop: Workshop) -> list[str]:
    shop.write("a.mp4", shop.clip(".mp4", codec=(*H264, "-g", "12")))
    clips.run_ffmpeg(
        *("-ss", "0.2", "-i", str(shop.folder / "a.mp4"), "-c", "copy"),
        str(shop.folder / "late.mp4"),
    )
    return shop.track("late.mp4", overlay=True)


def _edit_list_of_nothing(shop: Workshop) -> list[str]:
    _edit_list(shop)
    data = bytearray((shop.folder / "late.mp4").read_bytes())
    start = data.index(b"elst") + 12
    data[start : start + 8] = b"\0\0\0\0" + b"\x7f\xff\xff\xff"
    return shop.track(shop.write("nothing.mp4", bytes(data)))


def _no_key_frame(shop: Workshop) -> list[str]:
    data = shop.clip(".ts", codec=(*H264, "-g", "6"))
    # From the second packet of pictures on.
    packets = [data[i : i + 188] for i in range(0, len(data), 188)]
    starts = [i for i, p in enumerate(packets) if p[1] & 0x40 and p[4:].find(b"\0\0\1\xe0") >= 0]
    return shop.track(shop.write("late.ts", b"".join(packets[: starts[0]] + packets[starts[1] :])))


def _no_times(shop: Workshop) -> list[str]:
    shop.write("a.mp4", shop.clip(".mp4", codec=H264))
    clips.run_ffmpeg(
        *("-i", str(shop.folder / "a.mp4"), "-c", "copy", "-f", "h264"),
        str(shop.folder / "raw.h264"),
    )
    return shop.track("raw.h264", overlay=True)


def _fragments(shop: Workshop) -> list[str]:
    flags = ("-movflags", "+frag_every_frame+empty_moov+default_base_moof")
    return shop.track(shop.write("f.mp4", shop.clip(".mp4", *flags, codec=H264)), overlay=True)


def _glued(shop: Workshop) -> list[str]:
    return shop.track(shop.write("two.mpg", 2 * shop.clip(".mpg", codec=CONTAINERS[".mpg"])))
