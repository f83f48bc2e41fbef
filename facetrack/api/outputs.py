"""Name the files that a run writes, and describe its options for the record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facetrack.formats.base import output_path
from facetrack.pipeline.options import Options


@dataclass(frozen=True)
class Outputs:
    """The files that a run writes.

    Attributes:
        folder: the output folder.
        formats: formats of the landmark files.
        overlay: also write the overlay video.
        report: also write an HTML report.
    """

    folder: Path
    formats: tuple[str, ...] = ("csv",)
    overlay: bool = True
    report: bool = False

    def paths(self, stem: str) -> dict[str, Path]:
        """Return the final paths by kind."""
        paths = {name: output_path(name, self.folder, stem) for name in self.formats}
        if self.overlay:
            paths["overlay"] = self.folder / f"{stem}.overlay.mp4"
        if self.report:
            paths["report"] = self.folder / f"{stem}.report.html"
        paths["sidecar"] = self.folder / f"{stem}.json"
        return paths


def record_last(paths: Mapping[str, Path]) -> list[Path]:
    """Return final paths by kind as a list that ends with the record."""
    return [path for kind, path in paths.items() if kind != "sidecar"] + [paths["sidecar"]]


def options_record(options: Options, outputs: Outputs) -> dict[str, Any]:
    """Return the record's entry for the options."""
    return {
        **dataclasses.asdict(options),
        "formats": list(outputs.formats),
        "overlay": outputs.overlay,
        "report": outputs.report,
    }
