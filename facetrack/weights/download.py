"""Fetch weights files.

Downloads are resumed where possible, verified, and get their final name only when complete.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from facetrack.errors import FacetrackError
from facetrack.runtime.addresses import hide_secrets
from facetrack.weights import store
from facetrack.weights.base import Weights
from facetrack.weights.response import TransferError
from facetrack.weights.transfer import Progress, Transfer
from facetrack.weights.urls import file_address

STALL_TIMEOUT = 30.0
"""Seconds without a byte after which an attempt to download from a source fails."""


def offline() -> bool:
    """Return True if FACETRACK_OFFLINE forbids network access."""
    return os.environ.get("FACETRACK_OFFLINE", "") not in ("", "0")


def sources(weights: Weights) -> list[str]:
    """Return the addresses to try for a file, in order.

    FACETRACK_WEIGHTS_URL, if set, is the only source. Its files have the same names as in the cache
    and are not compressed, so it can serve a copy of a cache folder. Its user name, password and
    parameters are sent to the mirror, but never shown or stored.

    Raises:
        FacetrackError: FACETRACK_WEIGHTS_URL is not an http address.
    """
    base = os.environ.get("FACETRACK_WEIGHTS_URL")
    if not base:
        return [url for url in (weights.url, *weights.mirrors) if url]
    try:
        if not base.startswith(("http://", "https://")):
            raise ValueError("another scheme")
        return [file_address(base, weights.file)]
    except ValueError:
        raise FacetrackError(
            f"FACETRACK_WEIGHTS_URL is not an http or https address: {hide_secrets(base)}"
        ) from None


def fetch(
    weights: Weights,
    *,
    notify: Callable[[str], None] = lambda _: None,
    progress: Progress = lambda _done, _total: None,
    stall_timeout: float = STALL_TIMEOUT,
) -> tuple[Path, bool]:
    """Download the file unless this machine has an intact copy.

    An interrupted download resumes at the next call. If two processes fetch the same file, the
    second waits for the first.

    Args:
        notify: called before the download with sentences for the user, such as the licence.
        progress: called with the bytes received and the total (None if unknown).
        stall_timeout: seconds without a byte after which an attempt fails.

    Returns:
        The file's path, and True if it was downloaded now.

    Raises:
        FacetrackError: the file cannot be downloaded; the message names all sources tried.
    """
    path = _intact_copy(weights)
    if path is not None:
        return path, False
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
        with _lock(target, notify):
            path = _intact_copy(weights)
            if path is not None:
                return path, False
            notify(_licence_notice(weights))
            with contextlib.closing(Transfer(weights, target, progress, stall_timeout)) as transfer:
                _try_sources(transfer, urls)
    except OSError as error:
        raise FacetrackError(
            f"{target} cannot be written: {error.strerror or error}; FACETRACK_HOME chooses "
            "another folder"
        ) from error
    return target, True


def _intact_copy(weights: Weights) -> Path | None:
    state, path = store.locate(weights)
    if path is None:
        return None
    problem = store.check(weights, path).problem
    if problem is None:
        return path
    if state == "bundled":
        raise FacetrackError(f"{path} is damaged ({problem}): reinstall its package.")
    return None


def _licence_notice(weights: Weights) -> str:
    warning = " - NOT for commercial use" if weights.noncommercial else ""
    return f"{weights.name}: licence: {weights.licence}{warning}"


@contextlib.contextmanager
def _lock(target: Path, notify: Callable[[str], None]) -> Iterator[None]:
    import filelock

    lock = filelock.FileLock(target.parent / f".{target.name}.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        notify(f"another process is fetching {target.name}: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _try_sources(transfer: Transfer, urls: list[str]) -> None:
    failures = []
    for url in urls:
        try:
            transfer.run(url)
            return
        except TransferError as error:
            failures.append(f"{hide_secrets(url)} {error}")
    kept = transfer.clean_up()
    weights = transfer.weights
    alternative = f"; it is also on {weights.page}" if weights.page else ""
    raise FacetrackError(
        f"The weights {weights.name} could not be fetched: {'; '.join(failures)}{alternative}"
        + (f"; {kept} bytes are kept, and the next attempt continues there" if kept else "")
    )
