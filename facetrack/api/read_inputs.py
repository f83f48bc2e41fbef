"""What a command that reads many inputs says of those it could not use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from facetrack.video.video_names import left_out_sentence


def list_inputs(names: Sequence[str], count: int, kind: str) -> str:
    """Return a phrase that names some of the inputs.

    Args:
        names: of these inputs.
        count: number of all inputs.
        kind: "images" or "inputs".
    """
    if count == 1:
        return names[0]
    return f"{len(names)} of {count} {kind}: {', '.join(names)}"


def failed_sentence(failed: Mapping[Path, str], count: int, kind: str) -> str:
    """Return a sentence that names the inputs that could not be read.

    Args:
        failed: error messages by input.
        count: number of all inputs.
        kind: "images" or "inputs".
    """
    if len(failed) == 1:
        return next(iter(failed.values()))
    return f"{list_inputs([str(path) for path in failed], count, kind)} could not be read."


def find_left_out(
    names: Iterable[str | os.PathLike[str]], others_in: Callable[[Path], list[str]], kind: str
) -> tuple[list[str], list[str]]:
    """Find what the folders among the given inputs hold besides inputs.

    Args:
        names: the given inputs.
        others_in: returns the names of what is left out of a folder.
        kind: of what is read, for the sentences: "images".

    Returns:
        A sentence for each folder that holds such, and the paths of all.
    """
    others = {Path(name): others_in(Path(name)) for name in names if os.path.isdir(name)}
    sentences = [left_out_sentence(*some, kind) for some in others.items() if some[1]]
    return sentences, [os.path.join(folder, name) for folder in others for name in others[folder]]
