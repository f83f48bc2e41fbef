"""`facetrack export faces RUN...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facetrack.cli.export import Runs
from facetrack.cli.options import AsJson, Overwrite, Quiet


def faces(
    runs: Runs,
    out: Annotated[
        Path,
        typer.Option("--out", "--output", "-o", metavar="FOLDER", help="Output folder."),
    ] = Path("corrected"),
    every: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Also write every Nth frame of what was tracked again, where the points are sure.",
            min=1,
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
    json_progress: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write the faces that a person has corrected, to train a detector on.

    The folder holds square crops and landmarks68.npz, as facetrack train detector --faces wants it.
    """
    import json

    from facetrack.api.export import find_exported_runs
    from facetrack.api.export_faces import export_faces

    result = export_faces(find_exported_runs(runs), out, every, overwrite)
    if json_progress:
        counts = {"corrected": result.corrected, "between": result.between}
        line = {"event": "done", "folder": str(out), "record": str(result.record), **counts}
        typer.echo(json.dumps(line))
    elif not quiet:
        more = f", {result.between} in further frames" if result.between else ""
        typer.echo(f"{out}: {result.corrected} corrected faces{more}")
