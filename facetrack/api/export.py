"""Write files for other programs from saved runs: `facetrack export`.

A record, `<stem>.exports.json`, lists the files that were written with their SHA-256. A later
export replaces a file only if it is unchanged since, because people go on working in such files:
they add tiers of their own in ELAN, for example.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facetrack.api.ownership import foreign, refuse_inputs
from facetrack.api.staging import new_names, publish, staged
from facetrack.errors import FacetrackError
from facetrack.exports.base import EXPORTERS, Exporter, Source
from facetrack.files import read_json, reason_of, sha256_of
from facetrack.formats.earlier_runs import SavedRun
from facetrack.record import environment, write_record

RECORD_SUFFIX = ".exports.json"


@dataclass(frozen=True)
class Exported:
    """The result of one export: its files, its record, and sentences about what it cannot hold."""

    run: SavedRun
    paths: list[Path]
    record: Path
    warnings: list[str] = field(default_factory=list)


def get_exporter(name: str) -> Exporter:
    """Return the exporter called `name`.

    Raises:
        FacetrackError: there is none.
    """
    if name not in EXPORTERS:
        raise FacetrackError(f"There is no export {name!r}; choose {', '.join(EXPORTERS)}.")
    return EXPORTERS[name]


def export_to_files(
    run: SavedRun,
    format: str,
    folder: Path | None = None,
    focal: float | None = None,
    settings: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Exported:
    """Export a saved run and write its files: all of them, or none.

    Args:
        run: the run.
        format: key of `facetrack.exports.base.EXPORTERS`.
        folder: output folder; None for that of the run.
        focal: focal length in pixels, for head poses; None for that of the run, or without one
            OpenFace's rule.
        settings: options of the format, such as `points` of "aftereffects".
        overwrite: replace files that facetrack did not write, or that were changed since.

    Raises:
        FacetrackError: the run cannot be exported, or a file cannot be written.
    """
    exporter = get_exporter(format)
    folder = run.table.parent if folder is None else Path(folder)
    record_path = folder / f"{run.stem}{RECORD_SUFFIX}"
    focal = run.focal if focal is None else focal
    source = Source(run.read(), run.stem, run.present_video, focal, dict(settings or {}))
    try:
        table = {
            "table": str(run.table),
            "absolute_path": os.path.abspath(run.table),
            "sha256": sha256_of(run.table),
        }
    except OSError as error:
        raise FacetrackError(f"{run.table} cannot be read: {reason_of(error)}.") from error
    former = _former_entries(record_path, overwrite)
    with staged(folder) as place:
        warnings = exporter.write(place, source)
        names = new_names(place)
        if not names:
            raise FacetrackError(f"There is nothing to write: {' '.join(warnings)}")
        paths = [folder / name for name in names]
        _refuse_inputs(run, [*paths, record_path])
        if not overwrite:
            _refuse_other_run(record_path, former.get(format), table)
            for name in names:
                refuse_changed(folder / name, _hashes(former.get(format), name))
        entry = {
            **table,
            "video": run.video,
            "conventions": exporter.conventions,
            "settings": dict(settings or {}),
            "focal": focal,
            # Files of an earlier export with other settings stay, and stay known.
            "files": {**_files(former.get(format)), **digests_of(place, names)},
            "warnings": warnings,
        }
        content = {**environment(), "exports": {**former, format: entry}}
        write_record(place / record_path.name, content)
        publish(place, [*paths, record_path])
    return Exported(run, paths, record_path, warnings)


def _refuse_inputs(run: SavedRun, paths: Sequence[Path]) -> None:
    inputs = {"table of this run": run.table}
    if run.record is not None:
        inputs["record of this run"] = run.record
    if run.present_video:
        inputs["video of this run"] = Path(run.present_video)
    refuse_inputs(paths, inputs)


def _former_entries(record: Path, overwrite: bool) -> dict[str, Any]:
    """Return the entries of an existing record by format."""
    if not os.path.lexists(record):
        return {}
    content = read_json(record)
    entries = content.get("exports") if isinstance(content, dict) else None
    if isinstance(entries, dict) and all(isinstance(entry, dict) for entry in entries.values()):
        return entries
    if overwrite:
        return {}
    raise foreign(record)


def _files(entry: Mapping[str, Any] | None) -> dict[str, str]:
    files = (entry or {}).get("files")
    return files if isinstance(files, dict) else {}


def _hashes(entry: Mapping[str, Any] | None, name: str) -> dict[str, str]:
    """Return the recorded SHA-256 of an output, or of the files in it, by relative path."""
    return {
        path: digest
        for path, digest in _files(entry).items()
        if path == name or path.startswith(f"{name}/")
    }


def refuse_changed(path: Path, recorded: Mapping[str, str]) -> None:
    """Refuse to replace an output that is not exactly as it was recorded."""
    if not os.path.lexists(path):
        return
    if not recorded:
        raise foreign(path)
    try:
        present = digests_of(path.parent, [path.name])
    except OSError as error:
        raise FacetrackError(f"{path} cannot be read: {reason_of(error)}.") from error
    if any(recorded.get(name) != digest for name, digest in present.items()):
        raise FacetrackError(
            f"{path} was changed since facetrack wrote it, and may hold work of yours: move it "
            "away, choose another --out folder, or give --overwrite to replace it."
        )


def _refuse_other_run(
    record: Path, entry: Mapping[str, Any] | None, table: Mapping[str, str]
) -> None:
    if entry is None or entry.get("sha256") == table["sha256"]:
        return
    former, present = str(entry.get("absolute_path")), table["absolute_path"]
    # A run may have two tables, and the .csv is not always the one that was read.
    if os.path.splitext(former)[0] != os.path.splitext(present)[0]:
        raise FacetrackError(
            f"{record} lists files made of {entry.get('table')}, another run: choose another --out "
            "folder, or give --overwrite to replace them."
        )


def digests_of(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of files, and of all files in folders, by path relative to `folder`."""
    found = {}
    for name in names:
        path = folder / name
        files = [path] if not path.is_dir() else [p for p in sorted(path.rglob("*")) if p.is_file()]
        for file in files:
            found[file.relative_to(folder).as_posix()] = sha256_of(file)
    return found
