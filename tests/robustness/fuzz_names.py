"""Cases: file names with a meaning to a shell, to ffmpeg or to a terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fuzz import Case, Workshop
from fuzz_videos import CONTAINERS

NAMES = {
    "blanks": " a  b .mp4",
    "single quotes": "it's 'so'.mp4",
    "double quotes": 'say "a".mp4',
    "a line break": "a\nb.mp4",
    "a carriage return and a tab": "a\r\tb.mp4",
    "an escape sequence": "a\x1b[31mb.mp4",
    "leading dashes": "--overlay.mp4",
    "a dash alone": "-.mp4",
    "an option of ffmpeg's": "-i.mp4",
    "letters beyond ASCII": "Ünïcödé-видео-映像-👀.mp4",
    "combining letters": "e\u0301.mp4",
    "bytes that are no UTF-8": "a\udcff\udcfe.mp4",
    "a per cent pattern": "a%03d.mp4",
    "per cent signs": "100%%s%n.mp4",
    "a colon": "a:b.mp4",
    "a protocol, file": "file:x.mp4",
    "a protocol, concat": "concat:a.mp4|b.mp4",
    "a protocol, pipe": "pipe:0.mp4",
    "a protocol, http": "http:example.mp4",
    "a drive": "C:clip.mp4",
    "a pattern": "a[1]*?.mp4",
    "shell words": "$(touch x);`id`&|>.mp4",
    "a backslash": "a\\b\\n.mp4",
    "a tilde": "~.mp4",
    "markup": "<b>&amp;.mp4",
    "brackets and a level": "[error] x @ 0x1.mp4",
    "braces": "{name}.mp4",
    "many dots": "a.b..overlay.mp4.mp4",
    "no suffix": "clip",
    "a suffix alone": ".mp4",
    "the longest name": "n" * 251 + ".mp4",
}
FAST = {
    "a line break",
    "leading dashes",
    "letters beyond ASCII",
    "a per cent pattern",
    "a protocol, concat",
    "bytes that are no UTF-8",
}


def cases() -> list[Case]:
    cases = [
        Case(f"name: {what}", _tracked(name), what in FAST, _expected(what))
        for what, name in NAMES.items()
    ]
    cases += [
        Case("name: everything, as options", _everywhere, True, "done"),
        Case("name: a missing file with a line break", _missing, True, "refused"),
        Case("name: folder of images with per cent signs", _images, expected="done"),
    ]
    return cases


def _expected(what: str) -> str:
    # The name of its overlay would be too long.
    return "refused" if what == "the longest name" else "done"


def _tracked(name: str) -> Callable[[Workshop], list[str]]:
    def make(workshop: Workshop) -> list[str]:
        workshop.write(name, workshop.clip(".mp4", codec=CONTAINERS[".mp4"]))
        report = ["--report"] if name == NAMES["markup"] else []
        return workshop.track(name, *report, overlay=True)

    return make


def _everywhere(workshop: Workshop) -> list[str]:
    """Use the same awkward name for the folder, the points and the output."""
    odd = "-o %d:'\n\"é"
    video = workshop.write(f"{odd}/file:%d.mp4", workshop.clip(".mp4", codec=CONTAINERS[".mp4"]))
    points = workshop.write(f"{odd}/-p:%s.csv", "20,12\n24,20\n")
    formats = [
        word for name in ("csv", "npz", "openface", "dlc", "pts") for word in ("--format", name)
    ]
    start = [
        "track",
        "--init",
        "points",
        f"--points={points}",
        "--tracker",
        "lk",
        f"--out={odd}/out",
    ]
    return [*start, *formats, "--report", "--", video]


def _missing(workshop: Workshop) -> list[str]:
    return workshop.track("a\nb\x1b[31m.mp4")


def _images(workshop: Workshop) -> list[str]:
    import clips
    from fuzz_images import encoded

    for i in range(3):
        workshop.write(f"%03d:x/{i}%d.png", encoded(".png", clips.draw_square(i)))
    return workshop.track(str(Path("%03d:x")), overlay=True)
