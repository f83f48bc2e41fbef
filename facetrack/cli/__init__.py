"""The command line: one module per command.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import atexit
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from facetrack.cli import (
    bench,
    compare,
    detect,
    edit,
    evaluate,
    export,
    export_faces,
    info,
    measure,
    pose,
    report,
    track,
    train,
    train_detectors,
    train_face_detectors,
    weights,
)
from facetrack.cli.command import PRINT_CONFIG
from facetrack.cli.entry import BAD_INPUT, add_command, setting_of
from facetrack.cli.group import CommandGroup, Group
from facetrack.cli.streams import lost_output, survive_closed_output
from facetrack.runtime.threads import limit_spinning

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


@app.callback(invoke_without_command=True)
def _facetrack(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version and exit.")
    ] = False,
    env: Annotated[
        bool,
        typer.Option("--env", help="List the environment variables that are read, and exit."),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="TOML file with options of the commands.",
            show_default=False,
        ),
    ] = None,
    print_config: Annotated[
        bool,
        typer.Option(
            PRINT_CONFIG, help="Print the options of all commands, as a file for --config."
        ),
    ] = False,
) -> None:
    if version:
        from facetrack.version import __version__

        typer.echo(__version__)
        raise typer.Exit
    if env:
        from facetrack.cli.environment import table

        typer.echo(table())
        raise typer.Exit
    if print_config and ctx.invoked_subcommand is None:
        _print_all(ctx, ctx.command)
        raise typer.Exit


def _print_all(ctx: Any, group: Any) -> None:
    """Print the options of all commands of a group."""
    from facetrack.cli.config import print_settings

    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            _print_all(type(ctx)(command, info_name=name, parent=ctx), command)
        else:
            inner = command.make_context(name, [PRINT_CONFIG], parent=ctx)
            typer.echo(print_settings(inner, setting_of(inner)))


_COMMANDS: dict[str, Callable[..., None]] = {
    "track": track.track,
    "detect": detect.detect,
    "edit": edit.edit,
    "compare": compare.compare,
    "measure": measure.measure,
    "pose": pose.pose,
    "report": report.report,
    "evaluate": evaluate.evaluate,
    "bench": bench.bench,
    "info": info.info,
}
for _name, _function in _COMMANDS.items():
    add_command(app, _name, _function)
export_app = typer.Typer(cls=Group, help="Write files for other programs.", no_args_is_help=True)
for _name, _command in export.COMMANDS.items():
    add_command(export_app, _name, _command)
add_command(export_app, "faces", export_faces.faces)
app.add_typer(export_app, name="export")
train_app = typer.Typer(
    cls=Group, help="Train the networks that facetrack ships.", no_args_is_help=True
)
add_command(train_app, "tracker", train.tracker)
add_command(train_app, "detector", train_detectors.detector)
add_command(train_app, "shape-correction", train_detectors.shape_correction)
add_command(train_app, "scores", train_detectors.scores)
add_command(train_app, "pseudo-labels", train_detectors.pseudo_labels)
add_command(train_app, "face-detector", train_face_detectors.face_detector)
add_command(train_app, "expressions", train.expressions)
add_command(train_app, "confidence", train.confidence)
add_command(train_app, "pose", train.pose)
add_command(train_app, "shape", train.shape)
add_command(train_app, "shape3d", train.shape3d)
app.add_typer(train_app, name="train")
weights_app = typer.Typer(
    cls=Group, help="List, download and verify the networks' weights.", no_args_is_help=True
)
add_command(weights_app, "list", weights.list_all)
add_command(
    *(weights_app, "fetch", weights.fetch),
    "the same command continues the download if the server allows it",
)
add_command(weights_app, "verify", weights.verify)
add_command(weights_app, "path", weights.path)
app.add_typer(weights_app, name="weights")


def main() -> None:
    """Run the command line."""
    survive_closed_output()
    # Before any command loads PyTorch.
    limit_spinning()
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
