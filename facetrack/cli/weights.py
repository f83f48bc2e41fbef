"""`facetrack weights ...`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from facetrack.weights import Weights
    from facetrack.weights.transfer import Progress

MB = 1e6
WIDE, PIPED_WIDTH = 100, 200


def list_all() -> None:
    """Show all weights that facetrack knows, and which are on this machine.

    "hash" says how much of a download's SHA-256 is known beforehand. Where that is nothing, it
    is held against its size at most, and from then on against the hash of what came first.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from facetrack.weights import REGISTRY
    from facetrack.weights.store import cache_folder, find

    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    wide = console.width >= WIDE
    table = Table(box=None, pad_edge=False)
    for column in ("name", "part", "points", "MB", "state", *(["hash"] if wide else [])):
        table.add_column(column, no_wrap=True, justify="right" if column == "MB" else "left")
    table.add_column("licence")
    styles = {"bundled": "green", "cached": "green", "missing": "dim"}
    for entry in REGISTRY.values():
        state, _ = find(entry)
        table.add_row(
            entry.name,
            entry.part,
            entry.scheme or "-",
            "?" if entry.bytes is None else f"{entry.bytes / MB:.1f}",
            Text(state, styles[state]),
            *([_hash(entry)] if wide else []),
            Text(entry.licence, "yellow" if entry.noncommercial else ""),
        )
    console.print(table)
    console.print(f"\ncache: {cache_folder()}", highlight=False, soft_wrap=True)


def fetch(
    names: Annotated[list[str], typer.Argument(help="As `facetrack weights list` shows them.")],
    timeout: Annotated[
        float,
        typer.Option(min=0.1, help="Give up a source after so many seconds without a byte."),
    ] = 30.0,
) -> None:
    """Download weights: checked, and gone on with where an earlier download stopped.

    FACETRACK_HOME chooses the folder, FACETRACK_OFFLINE=1 forbids the network, and
    FACETRACK_WEIGHTS_URL names a mirror of one's own to be used instead of the publishers'.
    """
    from facetrack.weights import download, get

    for entry in [get(name) for name in names]:
        with _bar(entry) as progress:
            path, fetched = download.fetch(
                entry,
                say=lambda text: typer.echo(text, err=True),
                progress=progress,
                stall=timeout,
            )
        word = "fetched, whole" if fetched else "already here, whole"
        typer.echo(f"{entry.name}: {word}: {path}")


def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="[default: all that are on this machine]", show_default=False),
    ] = None,
) -> None:
    """Read weights again and compare them with their hashes; exit code 1 if any is damaged."""
    from facetrack.weights import REGISTRY, get
    from facetrack.weights.store import check, path_of, present

    entries = [get(name) for name in names] if names else list(REGISTRY.values())
    damaged = []
    for entry in entries:
        path = present(entry)
        if path is None:
            if names:
                path_of(entry)  # says how to get it
            continue
        found = check(entry, path)
        if found.problem is None:
            typer.echo(f"{entry.name}: whole (by {found.by})")
        else:
            damaged.append(entry.name)
            typer.echo(f"{entry.name}: DAMAGED: {found.problem}: {path}")
    if damaged:
        typer.echo(f"facetrack: damaged weights: {', '.join(damaged)}", err=True)
        raise typer.Exit(1)


def path(
    name: Annotated[str, typer.Argument(help="As `facetrack weights list` shows it.")],
) -> None:
    """Print where weights are, and nothing else."""
    from facetrack.weights import get
    from facetrack.weights.store import path_of

    typer.echo(path_of(get(name)))


def _hash(entry: Weights) -> str:
    if entry.sha256 is None:
        return "not known"
    return "known" if entry.hash_known else f"{len(entry.sha256)} digits"


@contextlib.contextmanager
def _bar(entry: Weights) -> Iterator[Progress]:
    """A progress bar on a terminal, which shows from the first byte on."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    task = bar.add_task(entry.name, start=False)

    def progress(done: int, total: int | None) -> None:
        bar.start()
        bar.start_task(task)
        bar.update(task, completed=done, total=total)

    try:
        yield progress
    finally:
        bar.stop()
