"""The HTML page that shows tracks: one self-contained file that opens without a network."""

from __future__ import annotations

from facetrack.report.page import write_report
from facetrack.report.runs import focal_of, input_files, of_runs, report_of_track

__all__ = ["focal_of", "input_files", "of_runs", "report_of_track", "write_report"]
