"""`facetrack export faces RUN...`."""

from __future__ import annotations

from typing import Annotated

import typer

from facetrack.cli.options import AsJson, Overwrite, Quiet
from facetrack.cli.output_folder import folder_option, output_folder
from facetrack.cli.printing import echo
from facetrack.cli.run_options import Runs


def faces(
    runs: Runs,
    out: Annotated[str, folder_option()] = "corrected",
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

    from facetrack.api.export_faces import export_faces
    from facetrack.formats.earlier_runs import find_runs

    folder = output_folder(out, runs)
    result = export_faces(find_runs(runs), folder, every, overwrite)
    if json_progress:
        counts = {"corrected": result.corrected, "between": result.between}
        line = {"event": "done", "folder": str(folder), "record": str(result.record), **counts}
        typer.echo(json.dumps(line))
    elif not quiet:
        more = f", {result.between} in further frames" if result.between else ""
        echo(f"{folder}: {result.corrected} corrected faces{more}")
