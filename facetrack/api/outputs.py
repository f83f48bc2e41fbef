"""Name the files that a run writes, and describe its options for the record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facetrack.formats.base import output_path
from facetrack.measures.files import SUFFIXES
from facetrack.pipeline.options import Options


@dataclass(frozen=True)
class Outputs:
    """The files that a run writes.

    Attributes:
        folder: the output folder.
        formats: formats of the landmark files.
        overlay: also write the overlay video.
        report: also write an HTML report.
        measures: also write measures and events.
        focal: focal length of the camera in pixels, for head poses; None for OpenFace's rule.
    """

    folder: Path
    formats: tuple[str, ...] = ("csv",)
    overlay: bool = True
    report: bool = False
    measures: bool = False
    focal: float | None = None

    def paths(self, stem: str) -> dict[str, Path]:
        """Return the final paths by kind."""
        paths = {name: output_path(name, self.folder, stem) for name in self.formats}
        if self.overlay:
            paths["overlay"] = self.folder / f"{stem}.overlay.mp4"
        if self.report:
            paths["report"] = self.folder / f"{stem}.report.html"
        if self.measures:
            for kind, suffix in SUFFIXES.items():
                paths[kind] = self.folder / f"{stem}{suffix}"
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
        # Absent by default, so that results of earlier versions count as complete.
        **({"measures": True} if outputs.measures else {}),
        **({"focal": outputs.focal} if outputs.focal is not None else {}),
    }
