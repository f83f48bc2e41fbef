"""Plan where the files of each video of a batch go."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from facetrack.api.outputs import UNCORRECTED, Outputs
from facetrack.api.ownership import foreign, refuse_inputs
from facetrack.api.run_record import inputs_of
from facetrack.batch.inputs import Shard
from facetrack.batch.stores import FOLDER, Store
from facetrack.errors import FacetrackError
from facetrack.files import entry_of, read_json, stem_of
from facetrack.pipeline.options import Options

SUMMARY_COLUMNS = ("video", "status", "frames", "seconds", "warnings", "message", "record")
SUMMARY_HEADER = ",".join(SUMMARY_COLUMNS).encode()
"""First bytes of batch.csv."""


@dataclass(frozen=True)
class Task:
    """A video, the files to write for it, and the store that receives them."""

    video: Path
    outputs: Outputs
    store: Store = FOLDER

    @property
    def paths(self) -> dict[str, Path]:
        """Final paths by kind."""
        return self.outputs.paths(stem_of(self.video))

    @property
    def corrected(self) -> Task:
        """The same task with a further file, that of the tracks before corrections by hand."""
        return replace(self, outputs=replace(self.outputs, keeps_uncorrected=True))

    def paths_in(self, place: Path) -> dict[str, Path]:
        """Return the final paths of the files that an attempt wrote to the folder `place`."""
        paths = self.corrected.paths
        return paths if self.store.exists(place / paths[UNCORRECTED].name) else self.paths

    @property
    def shown(self) -> dict[str, str]:
        """Final paths or urls by kind, for display."""
        return {kind: self.store.shown(path) for kind, path in self.paths.items()}


def plan(
    videos: Sequence[Path],
    outputs: Outputs,
    out: Path | None,
    keep_folders: bool = False,
    store: Store | None = None,
) -> list[Task]:
    """Plan where each video's files go, and check that none collide.

    Args:
        videos: the videos.
        outputs: files to write for each video; its folder is ignored.
        out: the output folder; None for each video's own folder.
        keep_folders: recreate in `out` the videos' folder structure, relative to the current folder
            for videos below it, otherwise relative to the root.
        store: the store of the paths; None for files.

    Raises:
        FacetrackError: two videos would write the same file, or a video would overwrite an input.
    """
    store = store or FOLDER
    tasks = [
        Task(video, replace(outputs, folder=_folder(video, out, keep_folders)), store)
        for video in videos
    ]
    given = {_key(video): video for video in videos}
    writers: dict[str, Path] = {}
    for task in tasks:
        for path in task.paths.values():
            key = _key(path)
            first_writer = writers.setdefault(key, task.video)
            if first_writer is not task.video:
                # In the same folder, such files differ only in the suffix.
                in_other_folder = os.path.realpath(first_writer.parent) != os.path.realpath(
                    task.video.parent
                )
                advice = (
                    "--keep-folders recreates their folders in --out"
                    if in_other_folder and not keep_folders
                    else "rename one, or track it with another --out"
                )
                raise FacetrackError(
                    f"{first_writer} and {task.video} would both write {store.shown(path)}: "
                    f"{advice}."
                )
            if key in given:
                raise FacetrackError(
                    f"{task.video} would write {path}, which is an input itself: choose another "
                    "--out folder."
                )
    return tasks


def check_summaries(tasks: Sequence[Task], summaries: Sequence[Path]) -> None:
    """Check that no video's files have the names of the summary's files.

    Raises:
        FacetrackError: a video's file has such a name.
    """
    wanted = {_key(path) for path in summaries}
    for task in tasks:
        for path in task.paths.values():
            if _key(path) in wanted:
                raise FacetrackError(
                    f"{task.video} would write {path}, which is the summary's name: rename the "
                    "video, or track it by itself."
                )


def check_former_summaries(summaries: Mapping[str, Path], store: Store) -> None:
    """Check that existing files with the names of the summary's files are summaries.

    Args:
        summaries: the summary's paths by kind.
        store: the store of the paths.

    Raises:
        FacetrackError: facetrack did not write such a file.
    """
    for kind, path in summaries.items():
        if store.exists(path) and not _is_summary(kind, path, store):
            raise foreign(path)


def check_inputs(
    tasks: Sequence[Task], summaries: Mapping[str, Path], options: Options, manifest: str | None
) -> None:
    """Check that no file of a batch is an input of it, under any name.

    Raises:
        FacetrackError: one is.
    """
    outputs = [path for task in tasks if task.store == FOLDER for path in task.paths.values()]
    inputs = {} if manifest in (None, "-") else {"manifest": Path(str(manifest))}
    for task in tasks:
        found = inputs_of(task.video, options)
        found[f"video {task.video.name}"] = found.pop("video")
        inputs |= found
    refuse_inputs([*outputs, *summaries.values()], inputs)


def _is_summary(kind: str, path: Path, store: Store) -> bool:
    if kind == "json":
        content = read_json(path, store.open)
        return isinstance(content, dict) and {"versions", "counts", "videos"} <= content.keys()
    try:
        with store.open(path) as file:
            return file.read(len(SUMMARY_HEADER)) == SUMMARY_HEADER
    except OSError:
        return False


def summary_paths(out: Path, shard: Shard | None) -> dict[str, Path]:
    """Return the summary's paths by kind. Each shard of a batch gets its own."""
    stem = "batch" if shard is None else f"batch.{shard.index}-of-{shard.count}"
    return {"json": out / f"{stem}.json", "csv": out / f"{stem}.csv"}


def _folder(video: Path, out: Path | None, keep_folders: bool) -> Path:
    parent = Path(os.path.abspath(video)).parent
    if out is None:
        return parent
    if not keep_folders:
        return out
    here = Path.cwd()
    inside = parent.relative_to(here) if parent.is_relative_to(here) else None
    return out / (inside if inside is not None else parent.relative_to(parent.anchor))


def _key(path: Path) -> str:
    # Some file systems ignore case.
    return entry_of(path).casefold()
