"""`facetrack edit RUN`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facetrack.cli.options import AsJson, Quiet
from facetrack.cli.printing import echo
from facetrack.cli.run_options import MovedVideo, Run

if TYPE_CHECKING:
    from facetrack.api.editing import EditSession


def edit(
    run: Run,
    video: MovedVideo = None,
    who: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Who corrects, as the file of corrections says. [default: the account's name]",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Port of the page on this machine; 0 for any free one.",
            min=0,
            max=65535,
        ),
    ] = 0,
    browser: Annotated[
        bool,
        typer.Option("--browser/--no-browser", help="Open the page, or print its address only."),
    ] = True,
    json_progress: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Correct points by hand, and track again from there.

    A video without results is tracked first. A page on this machine shows the video's frames with
    all points, and which frames are doubtful and why. Each correction is stored at once, in
    <stem>.corrections.csv. Save on the page writes the run's files again. End with Ctrl-C.
    """
    from facetrack.editor.server import EditServer, check_installed
    from facetrack.runtime.interrupts import defer_interrupts

    check_installed()
    session = _open(run, video, who, quiet)
    server = EditServer(session, port)
    with defer_interrupts() as state:
        server.start()
        try:
            _announce(session, server.url, json_progress, quiet)
            if browser:
                _open_browser(server.url_once)
            server.wait(lambda: state.requested)
        finally:
            server.stop()
    if not quiet and not json_progress:
        echo(_farewell(session, run))


def _open(run: Path, video: Path | None, who: str | None, quiet: bool) -> EditSession:
    """Open the run; a video that is not tracked yet is tracked, with a progress bar."""
    from facetrack.api.editing import EditSession
    from facetrack.cli.reporter import Reporter

    reporter = Reporter({"input": str(run)}, "frames", "fps", False, quiet)
    is_begun = False

    def on_progress(done: int, total: int | None) -> None:
        nonlocal is_begun
        if not is_begun:
            reporter.note(f"{run.name} is not tracked yet, so it is tracked first.")
            reporter.started({})
        is_begun = True
        reporter.step(done, total)

    with reporter:
        session = EditSession.open(run, video, who, on_progress)
    for warning in session.warnings:
        echo(f"facetrack: warning: {warning}", err=True)
    return session


def _announce(session: EditSession, url: str, as_json: bool, quiet: bool) -> None:
    import json
    import sys

    path = session.corrections_path
    if as_json:
        line = {"event": "page", "url": url, "corrections": str(path)}
        typer.echo(json.dumps(line))
    elif quiet:
        typer.echo(url)
    else:
        for sentence in (f"page: {url}", f"corrections: {path}", "End with Ctrl-C."):
            echo(sentence)
    sys.stdout.flush()


def _open_browser(url: str) -> None:
    import contextlib
    import webbrowser

    with contextlib.suppress(webbrowser.Error, OSError):
        webbrowser.open(url)


def _farewell(session: EditSession, run: Path) -> str:
    if not session.corrections:
        return "There are no corrections."
    if session.is_saved:
        return f"The files of {session.stem} have all corrections."
    return (
        f"The corrections are in {session.corrections_path}, and not yet in the run's files: save "
        f"on the page of `facetrack edit {run}`, or run `facetrack track --corrections`."
    )
