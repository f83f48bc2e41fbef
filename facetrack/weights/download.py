"""Fetching weights: resumed where possible, checked, and under their final name only when whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from facetrack.errors import FacetrackError
from facetrack.weights import store
from facetrack.weights.base import Weights
from facetrack.weights.transfer import Progress, Transfer, TransferError

STALL = 30.0
"""Seconds without a byte after which a source is given up."""


def offline() -> bool:
    """Whether FACETRACK_OFFLINE forbids the network."""
    return os.environ.get("FACETRACK_OFFLINE", "") not in ("", "0")


def sources(weights: Weights) -> list[str]:
    """Where the file is looked for, in order.

    With FACETRACK_WEIGHTS_URL set, only there: under it, files have the names that they have in
    the cache and are not compressed, so a copy of a cache folder will do.

    Raises:
        FacetrackError: FACETRACK_WEIGHTS_URL is not an http address.
    """
    base = os.environ.get("FACETRACK_WEIGHTS_URL")
    if not base:
        return [url for url in (weights.url, *weights.mirrors) if url]
    if not base.startswith(("http://", "https://")):
        raise FacetrackError(f"FACETRACK_WEIGHTS_URL is no http or https address: {base}")
    return [f"{base.rstrip('/')}/{weights.file}"]


def fetch(
    weights: Weights,
    *,
    say: Callable[[str], None] = lambda _: None,
    progress: Progress = lambda _done, _total: None,
    stall: float = STALL,
) -> tuple[Path, bool]:
    """Make sure that the file is on this machine, whole.

    An interrupted download is gone on with next time. Two processes that fetch the same file
    wait for each other.

    Args:
        say: is told, in a sentence, what a person should know before the download.
        stall: seconds without a byte after which a source is given up.

    Returns:
        Where the file is, and whether it was fetched just now.

    Raises:
        FacetrackError: it cannot be had; says what was tried.
    """
    here = _already(weights)
    if here is not None:
        return here, False
    target = store.cached_path(weights)
    if offline():
        raise FacetrackError(
            f"The weights {weights.name} are not fetched because FACETRACK_OFFLINE is set: "
            f"unset it, or put the file at {target}"
        )
    urls = sources(weights)
    if not urls:
        raise FacetrackError(
            f"The weights {weights.name} cannot be fetched directly: download them from "
            f"{weights.page} and put the file at {target}"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(target, say):
            here = _already(weights)
            if here is not None:
                return here, False
            say(_licence(weights))
            _from_any(Transfer(weights, target, progress, stall), urls)
    except OSError as error:
        raise FacetrackError(
            f"{target} cannot be written: {error.strerror or error}; FACETRACK_HOME chooses "
            "another folder"
        ) from error
    return target, True


def _already(weights: Weights) -> Path | None:
    state, path = store.find(weights)
    if path is None:
        return None
    problem = store.check(weights, path).problem
    if problem is None:
        return path
    if state == "bundled":
        raise FacetrackError(f"{path} is damaged ({problem}): install its package again.")
    return None


def _licence(weights: Weights) -> str:
    warning = " - NOT for commercial use" if weights.noncommercial else ""
    return f"{weights.name}: licence: {weights.licence}{warning}"


@contextlib.contextmanager
def _only_one(target: Path, say: Callable[[str], None]) -> Iterator[None]:
    import filelock

    lock = filelock.FileLock(target.parent / f".{target.name}.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        say(f"another process is fetching {target.name}: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _from_any(transfer: Transfer, urls: list[str]) -> None:
    failures = []
    for url in urls:
        try:
            transfer.run(url)
            return
        except TransferError as error:
            failures.append(f"{url} {error}")
    transfer.tidy()
    weights = transfer.weights
    by_hand = f"; {weights.page} has it, too" if weights.page else ""
    raise FacetrackError(
        f"The weights {weights.name} could not be fetched: {'; '.join(failures)}{by_hand}"
    )
