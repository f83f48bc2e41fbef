"""`facetrack weights ...`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from facetrack.cli.printing import echo

if TYPE_CHECKING:
    from facetrack.weights import Weights
    from facetrack.weights.transfer import Progress

MB = 1e6
WIDE, PIPED_WIDTH = 100, 200
"""Columns of text: the least for the table with hashes, and the width assumed in a pipe."""


def list_all() -> None:
    """List all weights that facetrack knows, and which of them are on this machine.

    The column "hash" shows how much of a file's SHA-256 is known before the download. If none is
    known, the first download is checked by its size at most. Later checks then compare with the
    hash of that download.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from facetrack.weights import REGISTRY
    from facetrack.weights.store import cache_folder, locate

    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    wide = console.width >= WIDE
    table = Table(box=None, pad_edge=False)
    for column in ("name", "part", "points", "MB", "state", *(["hash"] if wide else [])):
        table.add_column(column, no_wrap=True, justify="right" if column == "MB" else "left")
    table.add_column("licence")
    styles = {"bundled": "green", "cached": "green", "missing": "dim"}
    for entry in REGISTRY.values():
        state, _ = locate(entry)
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
    console.print()
    echo(f"cache: {cache_folder()}")


def fetch(
    names: Annotated[list[str], typer.Argument(help="Names from `facetrack weights list`.")],
    timeout: Annotated[
        float,
        typer.Option(
            min=0.1, max=3600, help="Seconds without data after which a source is given up."
        ),
    ] = 30.0,
) -> None:
    """Download and verify weights; an earlier partial download is continued.

    FACETRACK_HOME sets the folder, FACETRACK_OFFLINE=1 forbids the network, and
    FACETRACK_WEIGHTS_URL names a mirror to use instead of the publishers' servers.
    """
    from facetrack.weights import download, get

    for entry in [get(name) for name in names]:
        with _bar(entry) as progress:
            path, fetched = download.fetch(
                entry,
                notify=lambda text: typer.echo(text, err=True),
                progress=progress,
                stall_timeout=timeout,
            )
        status = "fetched and verified" if fetched else "already present and verified"
        echo(f"{entry.name}: {status}: {path}")


def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names from `facetrack weights list`. [default: all on this machine]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Compare weights on this machine with their hashes. Exits with 1 if any file is damaged."""
    from facetrack.weights import REGISTRY, get
    from facetrack.weights.store import check, existing_path, path_of

    entries = [get(name) for name in names] if names else list(REGISTRY.values())
    damaged = []
    for entry in entries:
        path = existing_path(entry)
        if path is None:
            if names:
                path_of(entry)  # raises an error that explains how to fetch it
            continue
        result = check(entry, path)
        if result.problem is None:
            echo(f"{entry.name}: intact (by {result.compared})")
        else:
            damaged.append(entry.name)
            echo(f"{entry.name}: DAMAGED: {result.problem}: {path}")
    if damaged:
        echo(f"facetrack: damaged weights: {', '.join(damaged)}", err=True)
        raise typer.Exit(1)


def path(
    name: Annotated[str, typer.Argument(help="Name from `facetrack weights list`.")],
) -> None:
    """Print the path of a weights file and nothing else."""
    from facetrack.weights import get
    from facetrack.weights.store import path_of

    typer.echo(path_of(get(name)))


def _hash(entry: Weights) -> str:
    if entry.sha256 is None:
        return "not known"
    return "known" if entry.hash_known else f"{len(entry.sha256)} digits"


@contextlib.contextmanager
def _bar(entry: Weights) -> Iterator[Progress]:
    """Yield a function that updates a progress bar; the bar appears with the first byte.

    Without a terminal the function does nothing.
    """
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
