"""The command line. One module a command; nothing heavy is imported before a command runs."""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer

from facetrack.cli import track, train

BAD_INPUT, INTERRUPTED = 2, 130

app = typer.Typer(
    name="facetrack",
    help="Facial landmarks through a whole video.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done; 2 bad input or options, said in one sentence; 130 interrupted "
    "(Ctrl-C, SIGTERM); 1 an error of facetrack itself.",
)


def _interrupt(number: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt


def friendly(command: Callable[..., None]) -> Callable[..., None]:
    """Say what a user must know in one sentence on stderr, and clean up when told to stop."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        from facetrack.errors import FacetrackError

        # A batch system's SIGTERM must leave as little behind as Ctrl-C.
        before = signal.signal(signal.SIGTERM, _interrupt)
        try:
            command(*args, **kwargs)
        except FacetrackError as error:
            typer.echo(f"facetrack: {error}", err=True)
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt:
            typer.echo("facetrack: interrupted; no unfinished file was left behind.", err=True)
            raise typer.Exit(INTERRUPTED) from None
        finally:
            signal.signal(signal.SIGTERM, before)

    return run


@app.callback(invoke_without_command=True)
def _facetrack(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from facetrack import __version__

        typer.echo(__version__)
        raise typer.Exit


app.command("track")(friendly(track.track))
train_app = typer.Typer(help="Train the networks that facetrack ships.", no_args_is_help=True)
train_app.command("tracker")(friendly(train.tracker))
app.add_typer(train_app, name="train")


def main() -> None:
    """Run the command line."""
    app()
