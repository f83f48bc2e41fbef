"""The command line: one module per command.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import atexit
import functools
import gc
import re
import signal
from collections.abc import Callable
from typing import Annotated, Any

import typer

from facetrack.cli import (
    bench,
    compare,
    detect,
    evaluate,
    info,
    measure,
    report,
    track,
    train,
    weights,
)
from facetrack.cli.group import CommandGroup
from facetrack.cli.streams import lost_output, survive_closed_output
from facetrack.runtime.kernel_cache import limit_kernel_caches
from facetrack.runtime.threads import limit_spinning

BAD_INPUT, INTERRUPTED = 2, 130
_STOP_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
_USER_INFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+:/{1,2})[^/\s@]*@")
FORCE_QUIT_AFTER = 2.0
"""Seconds after a Ctrl-C from which a second one stops the command at once, even if that cuts the
clean-up short."""

app = typer.Typer(
    name="facetrack",
    cls=CommandGroup,
    help="Track facial landmarks through whole videos. Without a command, files are tracked: "
    "facetrack clip.mp4 means facetrack track clip.mp4.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 success; 2 bad input or options, explained in one sentence; 130 "
    "interrupted (Ctrl-C, SIGTERM, SIGHUP); 3 the connection to a live source was lost; 1 an "
    "internal error of facetrack.",
)


def friendly(
    command: Callable[..., None], cleanup_note: str = "no unfinished file was left behind"
) -> Callable[..., None]:
    """Wrap a command: report errors in one sentence on stderr, and clean up when interrupted.

    Args:
        command: the command's function.
        cleanup_note: printed after an interruption if the command gives no note of its own.

    Returns:
        The wrapped command. It exits with 2 at bad input and with 130 when interrupted.
    """

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        from facetrack.errors import FacetrackError
        from facetrack.runtime.interrupts import interruptible

        # A batch system's SIGTERM must leave as little behind as Ctrl-C. A signal that is ignored
        # stays ignored: shells ignore SIGINT for background jobs.
        numbers = [n for n in _STOP_SIGNALS if signal.getsignal(n) != signal.SIG_IGN]
        with interruptible(numbers, FORCE_QUIT_AFTER) as interruptions:
            try:
                command(*args, **kwargs)
            except BaseException as error:
                # Compiled libraries turn an interruption into errors of their own, so only the
                # flag can be trusted.
                if interruptions.requested and not isinstance(error, typer.Exit):
                    note = isinstance(error, KeyboardInterrupt) and str(error)
                    typer.echo(f"facetrack: interrupted; {note or cleanup_note}.", err=True)
                    raise typer.Exit(INTERRUPTED) from None
                if isinstance(error, FacetrackError):
                    typer.echo(f"facetrack: {_on_one_line(str(error))}", err=True)
                    raise typer.Exit(BAD_INPUT) from None
                raise

    return run


def _on_one_line(sentence: str) -> str:
    """Escape control characters, which file names may contain; leave out passwords of addresses."""
    sentence = _USER_INFO.sub(r"\1", sentence)
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in sentence)


@app.callback(invoke_without_command=True)
def _facetrack(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version and exit.")
    ] = False,
) -> None:
    if version:
        from facetrack.version import __version__

        typer.echo(__version__)
        raise typer.Exit


app.command("track")(friendly(track.track))
app.command("detect")(friendly(detect.detect))
app.command("compare")(friendly(compare.compare))
app.command("measure")(friendly(measure.measure))
app.command("report")(friendly(report.report))
app.command("evaluate")(friendly(evaluate.evaluate))
app.command("bench")(friendly(bench.bench))
app.command("info")(friendly(info.info))
train_app = typer.Typer(help="Train the networks that facetrack ships.", no_args_is_help=True)
train_app.command("tracker")(friendly(train.tracker))
train_app.command("detector")(friendly(train.detector))
train_app.command("expressions")(friendly(train.expressions))
train_app.command("confidence")(friendly(train.confidence))
train_app.command("shape")(friendly(train.shape))
train_app.command("shape3d")(friendly(train.shape3d))
app.add_typer(train_app, name="train")
weights_app = typer.Typer(
    help="List, download and verify the networks' weights.", no_args_is_help=True
)
weights_app.command("list")(friendly(weights.list_all))
weights_app.command("fetch")(
    friendly(weights.fetch, "the same command continues the download if the server allows it")
)
weights_app.command("verify")(friendly(weights.verify))
weights_app.command("path")(friendly(weights.path))
app.add_typer(weights_app, name="weights")


def main() -> None:
    """Run the command line."""
    survive_closed_output()
    # Before any command loads PyTorch.
    limit_spinning()
    limit_kernel_caches()
    # Skip the final garbage collection over all objects when a command ends.
    atexit.register(gc.freeze)
    try:
        app()
    except SystemExit as end:
        error = lost_output()
        if error is None or end.code:
            raise
        reason = error.strerror or str(error)
        sentence = (
            f"facetrack: standard output cannot be written: {reason}; the files are complete."
        )
        typer.echo(sentence, err=True)
        raise SystemExit(BAD_INPUT) from None
