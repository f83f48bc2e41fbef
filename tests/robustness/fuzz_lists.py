"""Cases: damaged and wrong point files and manifests."""

from __future__ import annotations

from fuzz import Case, Workshop
from fuzz_videos import CONTAINERS


def cases() -> list[Case]:
    return [*_points(), *_manifests()]


# ---------------------------------------------------------------- points


def _points() -> list[Case]:
    def given(
        name: str,
        file: str,
        content: bytes | str,
        expected: str | None = "refused",
        fast: bool = False,
    ) -> Case:
        def make(workshop: Workshop) -> list[str]:
            video = workshop.write("clip.mkv", workshop.clip(".mkv", codec=CONTAINERS[".mkv"]))
            path = workshop.write(file, content)
            start = ["track", "--init", "points", "--tracker", "lk", "--no-overlay", "--out", "out"]
            return [*start, "--points", path, "--", video]

        return Case(f"points: {name}", make, fast, expected)

    def folder(workshop: Workshop) -> list[str]:
        video = workshop.write("clip.mkv", workshop.clip(".mkv", codec=CONTAINERS[".mkv"]))
        (workshop.folder / "points.pts").mkdir()
        return [
            "track",
            "--init",
            "points",
            "--points",
            "points.pts",
            "--tracker",
            "lk",
            "--",
            video,
        ]

    pts = "version: 1\nn_points: {}\n{{\n{}}}\n"
    two = "20 12\n24 20\n"
    return [
        given("two of 3", "p.pts", pts.format(3, two)),
        given("1e15 of 2", "p.pts", pts.format("1000000000000000", two)),
        given("-1 of 2", "p.pts", pts.format(-1, two)),
        given("two in the digits of another script", "p.pts", pts.format("٢", two), fast=True),
        given(
            "places in the digits of another script", "p.pts", pts.format(2, "٢٠ ١٢\n24 20\n"), None
        ),
        given("no count", "p.pts", "version: 1\n{\n20 12\n}\n"),
        given("no braces", "p.pts", "version: 1\nn_points: 2\n20 12\n24 20\n"),
        given("braces that turn their backs", "p.pts", "n_points: 1\n}\n20 12\n{\n"),
        given("nan", "p.csv", "20,12\nnan,20\n", fast=True),
        given("inf", "p.csv", "20,12\ninf,-inf\n"),
        given("1e300", "p.csv", "20,12\n1e300,1\n"),
        given("1e308, which grows beyond all numbers", "p.csv", "1e309,12\n"),
        given("underscores", "p.csv", "1_0,1_2\n", None),
        given("hexadecimal", "p.csv", "0x10,0x12\n"),
        given("all outside", "p.csv", "5000,5000\n", fast=True),
        given("some outside", "p.csv", "20,12\n-5,-5\n96,64\n", "done"),
        given("on the border", "p.csv", "-0.5,-0.5\n95.5,63.5\n", "done"),
        given("BOM", "p.csv", b"\xef\xbb\xbf20,12\n24,20\n", "done"),
        given("CRLF", "p.csv", "x,y\r\n20,12\r\n24,20\r\n", "done", True),
        given("CR alone", "p.csv", "20,12\r24,20\r", "done"),
        given("UTF-16", "p.csv", "20,12\n24,20\n".encode("utf-16")),
        given("binary", "p.csv", bytes(range(256)) * 20),
        given("a video", "p.pts", b"\0\0\0\x18ftypmp42" + bytes(5000)),
        given("empty", "p.csv", ""),
        given("a header alone", "p.csv", "x,y\n"),
        given("one column", "p.csv", "20\n24\n"),
        given("three columns", "p.csv", "20,12,1\n24,20,1\n"),
        given("decimal commas", "p.csv", "20,5;12,5\n", "done"),
        given("far outside", "p.csv", "20,12\n30000,30000\n", fast=True),
        given("farther outside", "p.csv", "20,12\n1000000,-1000000\n"),
        given("shares of the picture", "p.csv", "0.5,0.5\n0.2,0.4\n"),
        given("the same point twice", "p.csv", "20,12\n20,12\n", "done"),
        given("10000 points", "p.csv", "20,12\n" * 10_000, "done"),
        given("100000 points", "p.csv", "20,12\n" * 100_000, fast=True),
        given("3 million points", "p.csv", "20,12\n" * 3_000_000, "refused"),
        given("a line of a million cells", "p.csv", "1," * 1_000_000),
        given("NUL", "p.csv", b"20,12\n24,2\x000\n"),
        Case("points: a folder", folder, True, "refused"),
    ]


# ---------------------------------------------------------------- manifests


def _manifests() -> list[Case]:
    def given(name: str, content: bytes | str, fast: bool = False, message: str = "") -> Case:
        def make(workshop: Workshop) -> list[str]:
            path = workshop.write("list.txt", content)
            return ["track", *workshop.points(), "--no-overlay", "--out", "out", "--manifest", path]

        return Case(f"manifest: {name}", make, fast, "refused", message, many=True)

    def missing(workshop: Workshop) -> list[str]:
        return ["track", *workshop.points(), "--out", "out", "--manifest", "no.txt"]

    def folder(workshop: Workshop) -> list[str]:
        (workshop.folder / "list").mkdir()
        return ["track", *workshop.points(), "--out", "out", "--manifest", "list"]

    def mixed(workshop: Workshop) -> list[str]:
        workshop.write("good.mkv", workshop.clip(".mkv", codec=CONTAINERS[".mkv"]))
        workshop.write("bad.mkv", b"\x1a\x45")
        path = workshop.write("list.txt", "good.mkv\r\nbad.mkv\r\n/dev/zero\nnone.mkv\n")
        return ["track", *workshop.points(), "--no-overlay", "--out", "out", "--manifest", path]

    return [
        given("empty", "", True),
        given("comments alone", "# a\n\n# b\n"),
        given("binary", bytes(range(256)) * 9, True),
        given("UTF-16", "clip.mp4\n".encode("utf-16")),
        given("NULs alone", bytes(9)),
        given("a name of 5000 letters", "n" * 5000 + ".mp4\n"),
        given("the folder it is in", ".\n"),
        Case("manifest: missing", missing, expected="refused"),
        Case("manifest: a folder", folder, True, "refused"),
        Case(
            "manifest: one of four is good", mixed, expected="refused", message="3 of 4", many=True
        ),
    ]
