"""The files that a run writes, and the record of its options."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facetrack.formats.base import output_path
from facetrack.pipeline.options import Options


@dataclass(frozen=True)
class Outputs:
    """What a run writes.

    Attributes:
        folder: where.
        formats: of the landmark file(s).
        overlay: whether the overlay video is made.
        report: whether the page to look at the result is made.
    """

    folder: Path
    formats: tuple[str, ...] = ("csv",)
    overlay: bool = True
    report: bool = False

    def paths(self, stem: str) -> dict[str, Path]:
        """Final paths by kind."""
        made = {name: output_path(name, self.folder, stem) for name in self.formats}
        if self.overlay:
            made["overlay"] = self.folder / f"{stem}.overlay.mp4"
        if self.report:
            made["report"] = self.folder / f"{stem}.report.html"
        made["sidecar"] = self.folder / f"{stem}.json"
        return made


def options_record(options: Options, outputs: Outputs) -> dict[str, Any]:
    """The options as the record has them."""
    return {
        **dataclasses.asdict(options),
        "formats": list(outputs.formats),
        "overlay": outputs.overlay,
        "report": outputs.report,
    }
