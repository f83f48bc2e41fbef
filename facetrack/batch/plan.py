"""Where the files of each of many videos go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from facetrack.api.outputs import Outputs
from facetrack.batch.inputs import Shard
from facetrack.batch.stores import FOLDER, Store
from facetrack.errors import FacetrackError
from facetrack.files import stem_of


@dataclass(frozen=True)
class Task:
    """One video, what is to be written of it, and where that ends up."""

    video: Path
    outputs: Outputs
    store: Store = FOLDER

    @property
    def paths(self) -> dict[str, Path]:
        """Final paths by kind."""
        return self.outputs.paths(stem_of(self.video))

    @property
    def shown(self) -> dict[str, str]:
        """The same, as the user calls them."""
        return {kind: self.store.shown(path) for kind, path in self.paths.items()}


def plan(
    videos: Sequence[Path],
    outputs: Outputs,
    out: Path | None,
    keep_folders: bool = False,
    store: Store | None = None,
) -> list[Task]:
    """Say where each video's files go, and that no two want the same.

    Args:
        outputs: what is written of each; its folder does not count.
        out: the folder for all; None puts each video's files beside it.
        keep_folders: repeat in `out` the folders that the videos are in, counted from the current
            folder for videos below it, else from the root.
        store: what the paths stand for; None: files.

    Raises:
        FacetrackError: two videos would write the same file, or one the input of another.
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
            other = writers.setdefault(key, task.video)
            if other is not task.video:
                # In a folder of their own, files of one name differ by the suffix alone.
                apart = os.path.abspath(other.parent) != os.path.abspath(task.video.parent)
                way_out = (
                    "--keep-folders gives each folder one of its own in --out"
                    if apart and not keep_folders
                    else "rename one, or track it with another --out"
                )
                raise FacetrackError(
                    f"{other} and {task.video} would both write {store.shown(path)}: {way_out}."
                )
            if key in given:
                raise FacetrackError(
                    f"{task.video} would write {path}, which is an input itself: choose another "
                    "--out folder."
                )
    return tasks


def check_summaries(tasks: Sequence[Task], summaries: Sequence[Path]) -> None:
    """Make sure that no video's files are called like those about all of them.

    Raises:
        FacetrackError: they are.
    """
    wanted = {_key(path) for path in summaries}
    for task in tasks:
        for path in task.paths.values():
            if _key(path) in wanted:
                raise FacetrackError(
                    f"{task.video} would write {path}, which is the summary's name: rename the "
                    "video, or track it by itself."
                )


def summary_paths(out: Path, shard: Shard | None) -> dict[str, Path]:
    """Where the summary goes, by kind; shards of one batch do not meet."""
    stem = "batch" if shard is None else f"batch.{shard.index}-of-{shard.count}"
    return {"json": out / f"{stem}.json", "csv": out / f"{stem}.csv"}


def _folder(video: Path, out: Path | None, keep_folders: bool) -> Path:
    whole = Path(os.path.abspath(video)).parent
    if out is None:
        return whole
    if not keep_folders:
        return out
    here = Path.cwd()
    inside = whole.relative_to(here) if whole.is_relative_to(here) else None
    return out / (inside if inside is not None else whole.relative_to(whole.anchor))


def _key(path: Path) -> str:
    # Some file systems take A for a.
    return os.path.abspath(path).casefold()
