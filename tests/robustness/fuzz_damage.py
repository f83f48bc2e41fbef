"""Cases: truncated and damaged videos, and wrong headers."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable

import clips
from fuzz import Case, Workshop
from fuzz_videos import CONTAINERS

DAMAGED = [suffix for suffix in CONTAINERS if suffix != ".nut"]
FAST_CONTAINERS = {".mp4", ".gif"}

Damage = Callable[[Workshop, bytearray], None]


def cases() -> list[Case]:
    return [*_truncated(), *_flipped(), *_wrong_headers(), *_bombs()]


# ---------------------------------------------------------------- damage


def _damaged(name: str, suffix: str, damage: Damage, *options: str, fast: bool) -> Case:
    def make(workshop: Workshop) -> list[str]:
        data = bytearray(workshop.clip(suffix, *options, codec=CONTAINERS[suffix]))
        damage(workshop, data)
        return workshop.track(workshop.write(f"clip{suffix}", bytes(data)))

    return Case(f"{name} {suffix}", make, fast)


def _truncated() -> list[Case]:
    def at(share: float) -> Damage:
        def truncate(workshop: Workshop, data: bytearray) -> None:
            del data[max(1, int(len(data) * share)) :]

        return truncate

    cases = []
    for suffix in DAMAGED:
        for share in (0.0, 0.05, 0.3, 0.7, 0.98):
            fast = suffix in FAST_CONTAINERS and share in (0.3, 0.98)
            cases.append(_damaged(f"cut at {share:.0%}", suffix, at(share), fast=fast))
    for share in (0.3, 0.9):
        front = ("-movflags", "+faststart")
        cases.append(
            _damaged(
                f"cut at {share:.0%}, index first", ".mp4", at(share), *front, fast=share > 0.5
            )
        )
    return cases


def _flipped() -> list[Case]:
    def bits(low: float, high: float, count: int) -> Damage:
        def flip(workshop: Workshop, data: bytearray) -> None:
            for _ in range(count):
                position = int(workshop.random.uniform(low, high) * len(data))
                data[min(position, len(data) - 1)] ^= 1 << workshop.random.randrange(8)

        return flip

    def noise(workshop: Workshop, data: bytearray) -> None:
        start = len(data) // 2
        end = start + len(data) // 5
        data[start:end] = workshop.random.randbytes(end - start)

    def zeros(workshop: Workshop, data: bytearray) -> None:
        data[: len(data) // 10] = bytes(len(data) // 10)

    cases = []
    for suffix in DAMAGED:
        fast = suffix in FAST_CONTAINERS
        cases += [
            _damaged("bits flipped in the head", suffix, bits(0, 0.05, 8), fast=fast),
            _damaged("bits flipped at the end", suffix, bits(0.9, 1, 12), fast=suffix == ".mp4"),
            _damaged("bits flipped everywhere", suffix, bits(0, 1, 60), fast=fast),
            _damaged("noise in the middle", suffix, noise, fast=False),
            _damaged("zeros for a head", suffix, zeros, fast=False),
        ]
    return cases


# ---------------------------------------------------------------- wrong headers


def _atom(data: bytes | bytearray, name: bytes) -> int:
    """Return the start of the payload of an mp4 atom."""
    return data.index(name) + 4


def _wrong_headers() -> list[Case]:
    def patch(name: bytes, offset: int, value: bytes) -> Damage:
        def overwrite(workshop: Workshop, data: bytearray) -> None:
            start = _atom(data, name) + offset
            data[start : start + len(value)] = value

        return overwrite

    maximum = b"\xff\xff\xff\xff"
    changes = {
        # Atoms of version 0; offsets start after the name.
        "duration of years": patch(b"mvhd", 16, b"\x7f\xff\xff\xff"),
        "duration of nothing": patch(b"mvhd", 16, bytes(4)),
        "clock of 0 ticks": patch(b"mvhd", 12, bytes(4)),
        "track clock of 0 ticks": patch(b"mdhd", 12, bytes(4)),
        "track clock of 4 billion ticks": patch(b"mdhd", 12, maximum),
        "displayed size of 65535x65535": patch(b"tkhd", 76, maximum + maximum),
        "displayed size of nothing": patch(b"tkhd", 76, bytes(8)),
        "matrix of zeros": patch(b"tkhd", 40, bytes(36)),
        "matrix of noise": patch(b"tkhd", 40, maximum * 9),
        "stored size of 65535x65535": patch(b"avc1", 24, maximum),
        "stored size of 0x0": patch(b"avc1", 24, bytes(4)),
        "4 billion samples": patch(b"stsz", 8, maximum),
        "no samples": patch(b"stsz", 8, bytes(4)),
        "samples of 2 GB": patch(b"stsz", 12, b"\x7f\xff\xff\xff"),
        "4 billion durations": patch(b"stts", 4, maximum),
        "durations of 0": patch(b"stts", 12, bytes(4)),
        "durations of months": patch(b"stts", 12, b"\x0f\xff\xff\xff"),
        "samples beyond the file": patch(b"stco", 8, b"\x7f\xff\xff\xff"),
        "4 billion key frames": patch(b"stss", 4, maximum),
        "an atom of 4 GB": patch(b"moov", -8, maximum),
        "an atom of 0 bytes": patch(b"trak", -8, bytes(4)),
        "an atom shorter than its head": patch(b"mdia", -8, b"\0\0\0\4"),
        "a profile that does not exist": patch(b"avcC", 1, b"\xff\xff\xff"),
    }
    fast = {
        "duration of years",
        "track clock of 0 ticks",
        "stored size of 65535x65535",
        "matrix of noise",
    }
    cases = [_damaged(name, ".mp4", change, fast=name in fast) for name, change in changes.items()]

    def avi(name: str, offset: int, value: int) -> Case:
        def overwrite(workshop: Workshop, data: bytearray) -> None:
            start = data.index(b"avih") + 8 + offset
            struct.pack_into("<I", data, start, value)

        return _damaged(name, ".avi", overwrite, fast=False)

    cases += [
        avi("a frame in no time", 0, 0),
        avi("4 billion frames", 16, 2**32 - 1),
        avi("a picture 2 billion wide", 32, 2**31 - 1),
    ]

    def gif_size(workshop: Workshop, data: bytearray) -> None:
        struct.pack_into("<HH", data, 6, 65535, 65535)

    def matroska_size(workshop: Workshop, data: bytearray) -> None:
        width = data.index(b"\xb0\x81")
        data[width + 2] = 1

    return [
        *cases,
        _damaged("canvas of 65535x65535", ".gif", gif_size, fast=True),
        _damaged("1 pixel wide", ".mkv", matroska_size, fast=False),
    ]


# ---------------------------------------------------------------- small files, huge frames


def _huge(
    size: str, suffix: str, codec: tuple[str, ...], count: int
) -> Callable[[Workshop], list[str]]:
    def make(workshop: Workshop) -> list[str]:
        path = workshop.folder / f"huge{suffix}"
        source = ("-f", "lavfi", "-i", f"color=black:s=64x64:r=25:d={count / 25},format=gray")
        scaled = ("-vf", f"scale={size}:flags=neighbor", "-threads", "1")
        clips.run_ffmpeg(*source, *scaled, *codec, str(path))
        return workshop.track(path.name)

    return make


def _bombs() -> list[Case]:
    png = ("-c:v", "png", "-pred", "none")
    return [
        Case(
            "16000x16000",
            _huge("16000:16000", ".mov", png, 1),
            expected="refused",
            message="too large",
        ),
        Case("30000x30000", _wrong_png_size(30000, 30000), True, "refused", "too large|30000"),
        Case("2147483647 wide", _wrong_png_size(2**31 - 1, 1), expected="refused"),
    ]


def _wrong_png_size(width: int, height: int) -> Callable[[Workshop], list[str]]:
    """Make a .mov of PNG frames with a wrong size in their headers."""

    def make(workshop: Workshop) -> list[str]:
        data = bytearray(workshop.clip(".mov", codec=("-c:v", "png")))
        for match in list(re.finditer(rb"IHDR", bytes(data))):
            start = match.start()
            struct.pack_into(">II", data, start + 4, width, height)
            struct.pack_into(">I", data, start + 17, zlib.crc32(data[start : start + 17]))
        return workshop.track(workshop.write("wrong.mov", bytes(data)))

    return make
