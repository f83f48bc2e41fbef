"""The command line. One module a command; nothing heavy is imported before a command runs."""

from __future__ import annotations

import atexit
import functools
import gc
import signal
from collections.abc import Callable
from typing import Annotated, Any

import typer

from facetrack.cli import bench, compare, detect, evaluate, report, track, train, weights
from facetrack.runtime.threads import wait_briefly

BAD_INPUT, INTERRUPTED = 2, 130
PATIENCE = 2.0
"""Seconds from a Ctrl-C to the next that is obeyed, even if it cuts the clean-up short."""

app = typer.Typer(
    name="facetrack",
    help="Facial landmarks through a whole video.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done; 2 bad input or options, said in one sentence; 130 interrupted "
    "(Ctrl-C, SIGTERM); 1 an error of facetrack itself.",
)


def friendly(
    command: Callable[..., None], left: str = "no unfinished file was left behind"
) -> Callable[..., None]:
    """Say what a user must know in one sentence on stderr, and clean up when told to stop.

    Args:
        left: what is to be said of an interrupted run that does not say it itself.
    """

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        from facetrack.errors import FacetrackError
        from facetrack.runtime.interrupts import interruptible

        # A batch system's SIGTERM must leave as little behind as Ctrl-C. What is ignored (as a
        # shell does for its background jobs) stays ignored.
        numbers = [
            n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN
        ]
        with interruptible(numbers, PATIENCE) as interruptions:
            try:
                command(*args, **kwargs)
            except BaseException as error:
                # Compiled libraries turn an interruption into errors of their own, so the flag
                # counts.
                if interruptions.told and not isinstance(error, typer.Exit):
                    told = isinstance(error, KeyboardInterrupt) and str(error)
                    typer.echo(f"facetrack: interrupted; {told or left}.", err=True)
                    raise typer.Exit(INTERRUPTED) from None
                if isinstance(error, FacetrackError):
                    typer.echo(f"facetrack: {_on_one_line(str(error))}", err=True)
                    raise typer.Exit(BAD_INPUT) from None
                raise

    return run


def _on_one_line(sentence: str) -> str:
    """Line breaks and other control characters, of a file's name for instance, made visible."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in sentence)


@app.callback(invoke_without_command=True)
def _facetrack(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from facetrack.version import __version__

        typer.echo(__version__)
        raise typer.Exit


app.command("track")(friendly(track.track))
app.command("detect")(
    friendly(detect.detect, "finished files stay, but the table is not among them")
)
app.command("compare")(friendly(compare.compare))
app.command("report")(friendly(report.report))
app.command("evaluate")(friendly(evaluate.evaluate))
app.command("bench")(friendly(bench.bench))
train_app = typer.Typer(help="Train the networks that facetrack ships.", no_args_is_help=True)
train_app.command("tracker")(friendly(train.tracker))
train_app.command("detector")(friendly(train.detector))
train_app.command("shape")(friendly(train.shape))
app.add_typer(train_app, name="train")
weights_app = typer.Typer(
    help="Networks' weights: which there are, and how to get them.", no_args_is_help=True
)
weights_app.command("list")(friendly(weights.list_all))
weights_app.command("fetch")(
    friendly(weights.fetch, "the same command goes on from there, where the source allows it")
)
weights_app.command("verify")(friendly(weights.verify))
weights_app.command("path")(friendly(weights.path))
app.add_typer(weights_app, name="weights")


def main() -> None:
    """Run the command line."""
    wait_briefly()  # before any command loads PyTorch
    # What is left when a command ends is not searched for garbage once more.
    atexit.register(gc.freeze)
    app()
