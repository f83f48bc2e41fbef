"""`facetrack track` of a camera, an address or standard input."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from facetrack.cli.printing import echo

if TYPE_CHECKING:
    from facetrack.api.live import LiveResult
    from facetrack.api.outputs import Outputs
    from facetrack.cli.reporter import Reporter
    from facetrack.pipeline.assembly import Chunk
    from facetrack.pipeline.options import Options
    from facetrack.video.live_reader import LiveOptions, LiveReader
    from facetrack.video.live_source import LiveSource

_VIDEO_PAGE = re.compile(
    r"(?:https?://)?(?:[\w-]+\.)?(youtube\.com|youtu\.be|vimeo\.com|tiktok\.com|bilibili\.com)/",
    re.IGNORECASE,
)
INTERRUPTED, CONNECTION_LOST = 130, 3
"""Exit codes of runs that ended early; their files are whole."""
PANEL = "Cameras, addresses, standard input"

Camera = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Track a camera, by its number or name; `facetrack track 0` is the first one.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
CameraSize = Annotated[
    str | None,
    typer.Option(
        metavar="WxH",
        help="Picture size of the camera, such as 1280x720. [default: the camera's own]",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
CameraRate = Annotated[
    float | None,
    typer.Option(
        metavar="RATE",
        help="Frames per second of the camera. [default: the camera's own]",
        min=0.1,
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        help="Beginning of the files' names. [default: the camera or address, and the time]",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        help="End after this time. [default: at the source's end, or with Ctrl-C]",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
MaxFrames = Annotated[
    int | None,
    typer.Option(
        help="End after this number of frames.", show_default=False, rich_help_panel=PANEL
    ),
]
Show = Annotated[
    bool,
    typer.Option(
        "--show", help="Show the frames in a window; q or Esc ends.", rich_help_panel=PANEL
    ),
]
Drop = Annotated[
    bool | None,
    typer.Option(
        "--drop/--no-drop",
        help="Drop frames while tracking is slower than the source, or let the source wait. "
        "[default: drop, except from pipes and from files on web servers]",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
Retries = Annotated[
    int,
    typer.Option(
        help="Attempts to connect again to a source that was lost.", rich_help_panel=PANEL
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        help="Time without a frame after which a connection counts as lost; twice as long for the "
        "first frame.",
        rich_help_panel=PANEL,
    ),
]


def find_source(
    names: Sequence[str], camera: str | None, size: str | None, rate: float | None
) -> LiveSource | None:
    """Return the live source that the arguments mean, None if they mean files.

    Raises:
        FacetrackError: there is no such camera, or more than one input.
    """
    from facetrack.errors import FacetrackError
    from facetrack.video.live_source import camera_source, live_source

    if camera is not None:
        if names:
            raise FacetrackError("--camera is the input: give no other input with it.")
        return camera_source(camera, size, rate)
    for name in names:
        _refuse_video_page(name)
        source = live_source(name)
        if source is not None and len(names) > 1:
            raise FacetrackError(
                f"{source.shown} is a live source: such sources are tracked alone, one at a time."
            )
        if source is not None and source.kind == "camera":
            return camera_source(name, size, rate)
        if source is not None:
            return source
    return None


def _refuse_video_page(name: str) -> None:
    """Refuse the page of a video site: what lies there is a web page, no stream.

    Raises:
        FacetrackError: it is one.
    """
    from facetrack.errors import FacetrackError

    site = _VIDEO_PAGE.match(name)
    if site is not None and not os.path.lexists(name):
        raise FacetrackError(
            f"That is a page of {site[1]}, which plays a video: download the video first, for "
            "example with yt-dlp, and give the file."
        )


def refuse_options(values: Mapping[str, object], source: LiveSource | None) -> None:
    """Refuse options that do not go with the kind of the input.

    Args:
        values: of the options that are refused if they are given.
        source: the live source; None if the input is a file.

    Raises:
        FacetrackError: one was given.
    """
    from facetrack.errors import FacetrackError

    for option in (name for name, value in values.items() if value not in (None, False)):
        if source is None:
            raise FacetrackError(f"{option} is for cameras, addresses and standard input.")
        raise FacetrackError(
            f"{option} does not go with {source.shown}: a live source is tracked alone, and once."
        )


def track_source(
    source: LiveSource,
    options: Options,
    outputs: Outputs,
    live: LiveOptions,
    reporter: Reporter,
    name: str | None = None,
    show: bool = False,
    overwrite: bool = False,
) -> None:
    """Track a live source and report; exit with 130 if interrupted, 3 if the source was lost."""
    from facetrack.api.live import track_live

    stem = source.stem_at(datetime.now()) if name is None else name
    with ExitStack() as stack:
        show_frame = _open_window(stack, source, options) if show else None
        stack.enter_context(reporter)

        def on_chunk(chunk: Chunk, reader: LiveReader) -> bool:
            reporter.frames(chunk.tracks, received=reader.received, dropped=reader.dropped)
            return show_frame is None or show_frame(chunk)

        result = track_live(
            *(source, options, outputs, stem, live),
            *(reporter.started, on_chunk, overwrite, reporter.loading),
        )
    _report(source, result, reporter)


def _open_window(stack: ExitStack, source: LiveSource, options: Options) -> Callable[[Chunk], bool]:
    from facetrack.landmarks import schemes
    from facetrack.viz.overlay import draw_landmarks
    from facetrack.viz.window import Window

    window = stack.enter_context(Window(f"facetrack: {source.shown}"))

    def show(chunk: Chunk) -> bool:
        tracks, scheme = chunk.tracks, schemes.get(chunk.tracks.scheme)
        names = None if options.faces == 1 else [str(face) for face in tracks.face_id.tolist()]
        points = (tracks.xy[-1], tracks.visible[-1], tracks.confidence[-1])
        return window.show(draw_landmarks(chunk.frames[-1].image, *points, scheme, names))

    return show


def _report(source: LiveSource, result: LiveResult, reporter: Reporter) -> None:
    delay = result.delay
    summary = (
        f"{result.received} frames came, {result.rows} were tracked and {result.dropped} dropped; "
        f"rows left {delay['median_s']:.2f} s after their frames, {delay['worst_s']:.2f} s at worst"
    )
    reporter.done(
        "",
        result.paths,
        result.warnings,
        frames=result.rows,
        received=result.received,
        dropped=result.dropped,
        delay=delay,
        seconds=round(result.seconds, 3),
        connection_lost=result.is_lost,
    )
    lost = f"the connection to {source.shown} was lost" if result.is_lost else ""
    reason = "interrupted" if result.interrupted else lost
    if reason:
        echo(f"facetrack: {reason}; the files are whole: {summary}.", err=True)
        raise typer.Exit(INTERRUPTED if result.interrupted else CONNECTION_LOST)
    reporter.note(f"facetrack: {summary}.")
