"""Cases: still images, alone and in folders that are read as videos."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import clips
import cv2
import numpy as np
from fuzz import Case, Workshop

EXIF_ROTATED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


def encoded(suffix: str, image: np.ndarray, *options: int) -> bytes:
    success, data = cv2.imencode(suffix, image, options)
    assert success
    return data.tobytes()


def cases() -> list[Case]:
    return [*_folders(), *_single(), *_detected()]


def _folder(
    name: str,
    files: Callable[[Workshop], dict[str, bytes]],
    expected: str | None,
    message: str = "",
    fast: bool = False,
    overlay: bool = True,
) -> Case:
    def make(workshop: Workshop) -> list[str]:
        (workshop.folder / "frames").mkdir()
        for file, data in files(workshop).items():
            workshop.write(f"frames/{file}", data)
        return workshop.track("frames", overlay=overlay)

    return Case(f"folder: {name}", make, fast, expected, message)


def _dots(count: int, suffix: str = ".png") -> dict[str, bytes]:
    return {f"{i}{suffix}": encoded(suffix, clips.draw_square(i)) for i in range(count)}


def _folders() -> list[Case]:
    png, small = (
        encoded(".png", clips.draw_square(0)),
        encoded(".png", clips.draw_square(0, (48, 40))),
    )

    def with_rotated(workshop: Workshop) -> dict[str, bytes]:
        return {f"{i}.jpg": _rotated(clips.draw_square(i)) for i in range(3)}

    return [
        _folder("plain", lambda workshop: _dots(3), "done"),
        _folder("turned by EXIF", with_rotated, "done", fast=True),
        _folder(
            "one of them turned by EXIF",
            lambda workshop: {**_dots(2), "9.jpg": _rotated(clips.draw_square(9))},
            "done",
        ),
        _folder("mixed sizes", lambda workshop: {"a.png": png, "b.png": small}, "done"),
        _folder(
            "a broken image",
            lambda workshop: {**_dots(2), "5.png": png[:60]},
            "done",
            fast=True,
        ),
        _folder("an empty image", lambda workshop: {**_dots(2), "5.png": b""}, "done"),
        _folder("empty", lambda workshop: {}, "refused", "without images", True),
        _folder("no images", lambda workshop: {"notes.txt": b"a"}, "refused", "without images"),
        _folder("a folder called .png", _with_a_folder, "done"),
        _folder(
            "mixed kinds",
            lambda workshop: {**_dots(2), **_dots(3, ".bmp"), **_dots(2, ".webp")},
            "done",
        ),
        _folder("per cent signs", lambda workshop: {f"%0{i}d.png": png for i in range(3)}, "done"),
        _folder(
            "digits of other scripts", lambda workshop: {f"{c}.png": png for c in "٣²Ⅷ1"}, "done"
        ),
    ]


def _with_a_folder(workshop: Workshop) -> dict[str, bytes]:
    (workshop.folder / "frames" / "3.png").mkdir()
    return _dots(2)


def _rotated(image: np.ndarray) -> bytes:
    data = encoded(".jpg", image)
    return (
        data[:2] + b"\xff\xe1" + struct.pack(">H", len(EXIF_ROTATED) + 2) + EXIF_ROTATED + data[2:]
    )


def _png(width: int, height: int, rows: bytes, depth: int = 8, colour: int = 0) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _cmyk() -> bytes:
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(clips.draw_square(3)).convert("CMYK").save(stream, "JPEG")
    return stream.getvalue()


def _single() -> list[Case]:
    dot = clips.draw_square(3)
    noise = np.random.default_rng(3).integers(0, 255, (64, 96, 3), np.uint8)
    jpeg = encoded(".jpg", noise)
    progressive = encoded(".jpg", noise, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    thumbnail = b"\xff\xe1" + struct.pack(">H", len(jpeg[:800]) + 4) + jpeg[:800] + b"\xff\xd9"
    deep = dot.astype(np.uint16) * 257
    alpha = np.dstack([dot, dot[..., 0]])

    def image(
        name: str,
        file: str,
        data: Callable[[], bytes],
        expected: str | None,
        message: str = "",
        fast: bool = False,
    ) -> Case:
        def make(workshop: Workshop) -> list[str]:
            return workshop.track(workshop.write(file, data()))

        return Case(f"image: {name}", make, fast, expected, message)

    return [
        image("16 bits", "a.png", lambda: encoded(".png", deep), "done", fast=True),
        image("16 bits grey, TIFF", "a.tiff", lambda: encoded(".tiff", deep[..., 0]), "done"),
        image(
            "32 bits floating point, TIFF",
            "a.tif",
            lambda: encoded(".tiff", dot.astype(np.float32)),
            None,
        ),
        image("alpha", "a.png", lambda: encoded(".png", alpha), "done"),
        image(
            "grey with alpha",
            "a.png",
            lambda: _png(96, 64, (b"\0" + bytes(192)) * 64, 8, 4),
            "done",
        ),
        image("1 bit", "a.png", lambda: _png(96, 64, (b"\0" + bytes(12)) * 64, 1), "done"),
        image("CMYK", "a.jpg", _cmyk, "done", fast=True),
        image("turned by EXIF", "a.jpg", lambda: _rotated(dot), "done"),
        image(
            "invalid EXIF",
            "a.jpg",
            lambda: _rotated(dot).replace(b"\0\x01\x01\x12", b"\xff\xff\x01\x12", 1),
            None,
        ),
        image("JPEG cut short", "a.jpg", lambda: jpeg[: len(jpeg) // 2], "refused", fast=True),
        image(
            "progressive JPEG cut short", "a.jpg", lambda: progressive[: len(jpeg) // 2], "refused"
        ),
        image(
            "JPEG cut short behind its thumbnail",
            "a.jpg",
            lambda: jpeg[:2] + thumbnail + jpeg[2 : len(jpeg) // 2],
            "refused",
        ),
        image("JPEG with more behind it", "a.jpg", lambda: jpeg + b"behind" * 99, "done"),
        image("PNG cut short", "a.png", lambda: encoded(".png", noise)[:5000], "refused"),
        image("BMP cut short", "a.bmp", lambda: encoded(".bmp", noise)[:5000], "refused"),
        image("WebP cut short", "a.webp", lambda: encoded(".webp", noise)[:2000], "refused"),
        image("TIFF cut short", "a.tiff", lambda: encoded(".tiff", noise)[:2000], "refused"),
        image("BMP of -2 billion rows", "a.bmp", _wrong_bmp_size, "refused"),
        image("TIFF that refers to itself", "a.tiff", _tiff_loop, None),
        image(
            "PNG of 2 billion squared",
            "a.png",
            lambda: _png(2**31 - 1, 2**31 - 1, b"\0"),
            "refused",
            "too large",
            True,
        ),
        image(
            "PNG of 30000 squared, 100 kB",
            "a.png",
            lambda: _png(30000, 30000, bytes(3751 * 30000), 1),
            "refused",
            "too large",
        ),
        image("PNG wide, 1 high", "a.png", lambda: _png(60000, 1, bytes(60001)), None),
        image("1x1", "a.png", lambda: _png(1, 1, b"\0\0"), "refused", "lies inside"),
    ]


def _wrong_bmp_size() -> bytes:
    data = bytearray(encoded(".bmp", clips.draw_square(0)))
    struct.pack_into("<ii", data, 18, 2**31 - 1, -(2**31))
    return bytes(data)


def _tiff_loop() -> bytes:
    return b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 256, 4, 1, 96, 8)


def _detected() -> list[Case]:
    """Return cases for `facetrack detect`, which continues with the remaining images."""

    def detect(workshop: Workshop, *names: str) -> list[str]:
        return ["detect", "--init", "ert", "--box", "10,10,50,50", "--out", "out", "--", *names]

    def one_bad(workshop: Workshop) -> list[str]:
        good = workshop.write("good.png", encoded(".png", clips.draw_square(1, (64, 64))))
        bad = workshop.write("bad.jpg", encoded(".jpg", clips.draw_square(1))[:300])
        return [a for a in detect(workshop, good, bad) if a not in ("--box", "10,10,50,50")]

    def box(text: str) -> Callable[[Workshop], list[str]]:
        def make(workshop: Workshop) -> list[str]:
            name = workshop.write("a.png", encoded(".png", clips.draw_square(1, (64, 64))))
            return ["detect", "--init", "ert", f"--box={text}", "--out", "out", "--", name]

        return make

    return [
        Case(
            "detect: one of two is bad",
            one_bad,
            expected="refused",
            message="1 of 2",
            many=True,
        ),
        Case(
            "pose: one of two is bad",
            lambda workshop: ["pose", "--method", "network", *one_bad(workshop)[3:]],
            expected="refused",
            message="1 of 2",
            many=True,
        ),
        Case("detect: a box of nan", box("nan,1,2,3"), True, "refused"),
        Case("detect: a box of inf", box("1,1,inf,inf"), expected="refused"),
        Case("detect: a huge box", box("-1e30,-1e30,1e30,1e30"), expected=None),
        Case("detect: a box outside", box("1000,1000,1100,1100"), expected="refused"),
    ]
