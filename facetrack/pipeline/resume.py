"""Save the state of a run on disk, so that a killed run can be resumed.

A hidden folder beside the outputs holds `tracks`, the rows written so far; `before`, the rows of
the backward pass; `uncorrected`, the rows before corrections by hand; and `state`, the state of the
run after these rows. A folder `runs` holds what corrections have tracked again
(`facetrack.corrections`). A run locks the folder while it uses it, by a file `.lock`. The state is
a pickle, read with a list of allowed classes, so that a manipulated file cannot run code. All files
have checksums; a damaged file counts as missing.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pickle
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from facetrack.errors import FacetrackError, OutputError
from facetrack.files import atomic_path, reason_of
from facetrack.pipeline.track_log import TrackLog
from facetrack.runtime.locks import holding

if TYPE_CHECKING:
    from torch import Tensor

SAVE_INTERVAL_S = 30.0
"""Seconds between two saved states: a killed run loses at most so much work."""
_ALLOWED = {
    "builtins": {"set", "frozenset", "slice", "complex", "object"},
    "collections": {"deque", "OrderedDict", "defaultdict"},
    "copyreg": {"_reconstructor"},
    "fractions": {"Fraction"},
    "pathlib": {"Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"},
    "numpy": {"ndarray", "dtype"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
    "numpy.core.numeric": {"_frombuffer"},
    "facetrack.pipeline.runner": {"RunState"},
    "facetrack.pipeline.track_log": {"Mark"},
    "facetrack.corrections.pipeline": {"CorrectedState"},
    "facetrack.pipeline.resume": {"_tensor"},
    "facetrack.video.cuts": {"frame_difference"},
}
_CLASSES_OF = frozenset(
    f"facetrack.{module}"
    for module in (
        "identity.descriptors",
        "identity.verifier",
        "multiface.appearance",
        "multiface.association",
        "multiface.clip",
        "multiface.covered_points",
        "multiface.detection",
        "multiface.face_track",
        "multiface.face_tracker",
        "multiface.offset_correction",
        "multiface.propagation",
        "multiface.schedule",
        "pipeline.backward_pass",
        "pipeline.chunking",
        "pipeline.query_frame",
        "video.cuts",
        "video.dissolves",
        "video.frame",
        "trackers.base",
        "trackers.head.rigid_head",
        "trackers.head.tracker",
        "trackers.heatmap1d",
        "trackers.lk",
        "trackers.per_frame",
        "trackers.windowing",
        "trackers.expression.corrector",
        "trackers.expression.face_parts",
        "trackers.expression.part_filter",
        "trackers.expression.tracker",
        "trackers.tapir.face_window",
        "trackers.tapir.flow_smoothing",
        "trackers.tapir.occlusion",
        "trackers.tapir.output",
        "trackers.tapir.recovery",
        "trackers.tapir.stream_state",
        "trackers.tapir.template_alignment",
        "trackers.tapir.tracker",
        "trackers.tapir.types",
    )
)
"""Modules of facetrack whose own classes a state may hold: creating one has no side effect. The
names are exact: a package's name would admit every class of every module in it."""
UNFIT = (
    "The saved state of the unfinished run has other options, another input or another version, or "
    "is damaged: this run started from the beginning."
)
_FILES = ("tracks", "before", "uncorrected", "state")
RUN_SUFFIX = ".run.npz"
"""End of the names of files in the folder `runs`."""
_MAX_NAME_BYTES = 255
"""Bytes of a file name, on all common file systems."""


class Resumable(Protocol):
    """A run that can be saved."""

    def state(self) -> Any:
        """Return the run's state: facetrack's own objects, arrays, tensors and plain values."""
        ...

    @property
    def shared(self) -> dict[str, Any]:
        """Objects that the state refers to and that a later run creates anew, by name."""
        ...


class ResumeStore:
    """The folder with the saved state of one video's run.

    Args:
        folder: folder of the outputs.
        stem: stem of their file names.
        key: everything that the run's results depend on (options, input, versions), JSON values.

    Attributes:
        tracks: the rows written so far.
        backward_log: the rows of the frames before the query frame.
        uncorrected_log: the rows before corrections by hand.
        runs_folder: folder of what corrections have tracked again.
        saved: True if a state of this run is on disk.
        unfit: sentences about a state that `load` found and could not use.
    """

    def __init__(self, folder: Path, stem: str, key: dict[str, Any]) -> None:
        name = f".{stem}.unfinished"
        if len(os.fsencode(name)) > _MAX_NAME_BYTES:
            name = f".{hashlib.sha256(os.fsencode(stem)).hexdigest()}.unfinished"
        self.folder = Path(folder) / name
        self._results = Path(folder) / stem
        self.runs_folder = self.folder / "runs"
        self._existed = self.folder.exists()
        self._open_logs()
        self._key = json.dumps(key, sort_keys=True, default=str)
        self.saved = False
        self.unfit: list[str] = []
        self._due_at = time.monotonic() + SAVE_INTERVAL_S

    @contextlib.contextmanager
    def reserved(self) -> Iterator[None]:
        """Keep other runs out of the folder until the context ends; a killed run keeps none out.

        Raises:
            FacetrackError: another run uses the folder, or it cannot be written.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(holding(self.folder))
            except BlockingIOError:
                raise FacetrackError(
                    f"Another run is about to write {self._results}: wait until it has ended, or "
                    "choose another --out folder."
                ) from None
            except OSError as error:
                raise self._unwritable(error) from error
            yield

    # ---------------------------------------------------------------- writing

    def save_if_due(self, run: Resumable, now: bool = False) -> None:
        """Save the state if the last one is older than SAVE_INTERVAL_S.

        Args:
            now: save in any case.

        Raises:
            FacetrackError: the files cannot be written.
        """
        if now or time.monotonic() >= self._due_at:
            self.save(run.state(), run.shared)

    def save(self, state: Any, shared: dict[str, Any]) -> None:
        """Write the new rows of the logs, then the state.

        Args:
            state, shared: see `Resumable`.

        Raises:
            FacetrackError: the files cannot be written.
        """
        logs = [log.save() for log in self._logs]
        stored = io.BytesIO()
        _Pickler(stored, shared).dump({"key": self._key, "logs": logs, "state": state})
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self.saved:
                # Another run's state does not go with these rows.
                (self.folder / "state").unlink(missing_ok=True)
            with atomic_path(self.folder / "state") as temporary, open(temporary, "wb") as file:
                file.write(hashlib.sha256(stored.getbuffer()).digest())
                file.write(stored.getbuffer())
        except OSError as error:
            raise self._unwritable(error) from error
        self.saved = True
        self._due_at = time.monotonic() + SAVE_INTERVAL_S

    def remove(self) -> None:
        """Delete the saved state, once the run is complete."""
        runs = [f"runs/{path.name}" for path in self.runs_folder.glob(f"*{RUN_SUFFIX}")]
        for name in (*_FILES, *runs):
            with contextlib.suppress(OSError):
                (self.folder / name).unlink()
        with contextlib.suppress(OSError):
            self.runs_folder.rmdir()
        # The folder stays if it holds other files.
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def clean_up(
        self, kind: type[BaseException] | None, error: BaseException | None, _: Any
    ) -> None:
        """Delete what a failed run saved, as the exit function of a context.

        The state stays after an interruption, and if only an output could not be written: the
        error then says that `--resume` continues. A folder of an earlier run stays, too.
        """
        if not isinstance(error, Exception):
            return
        if self.saved and isinstance(error, OutputError):
            reason = str(error).removesuffix(".")
            error.args = (f"{reason}; the frames that are done are kept, and --resume continues.",)
        elif not self._existed:
            self.remove()

    # ---------------------------------------------------------------- reading

    def load(self, shared: dict[str, Any]) -> Any | None:
        """Load the last saved state and its logs.

        Args:
            shared: the objects that replace those of the saved run, by name.

        Returns:
            The state; None if there is none, if it is damaged, or if it belongs to a run with other
            options, another input or another version. The logs are empty then.
        """
        try:
            with open(self.folder / "state", "rb") as file:
                digest, stored = file.read(hashlib.sha256().digest_size), file.read()
            if hashlib.sha256(stored).digest() != digest:
                raise ValueError("the state is damaged")
            content = _Unpickler(io.BytesIO(stored), shared).load()
            marks = zip(self._logs, content["logs"], strict=True)
            if content["key"] == self._key and all(log.load(mark) for log, mark in marks):
                self.saved = True
                return content["state"]
        except Exception:
            # There is none, or a manipulated file: it can make the unpickler raise any exception.
            pass
        self._open_logs()
        if os.path.exists(self.folder / "state"):
            self.unfit = [UNFIT]
        return None

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(f"{self.folder} cannot be written: {reason_of(error)}.")

    def _open_logs(self) -> None:
        self.tracks = TrackLog(self.folder / "tracks")
        self.backward_log = TrackLog(self.folder / "before")
        self.uncorrected_log = TrackLog(self.folder / "uncorrected")

    @property
    def _logs(self) -> tuple[TrackLog, TrackLog, TrackLog]:
        return self.tracks, self.backward_log, self.uncorrected_log


class _Pickler(pickle.Pickler):
    def __init__(self, file: Any, shared: dict[str, Any]) -> None:
        super().__init__(file, protocol=5)
        self._names = {id(value): name for name, value in shared.items()}

    def persistent_id(self, obj: Any) -> str | None:
        name = self._names.get(id(obj))
        if name is None and _is_of_torch(obj, "nn.Module"):
            raise TypeError(f"a network must not be saved with a run: {type(obj).__name__}")
        return name

    def reducer_override(self, obj: Any) -> Any:
        if _is_of_torch(obj, "Tensor"):
            import torch

            # torch's own pickling would let a manipulated file run code.
            stored = io.BytesIO()
            torch.save(obj.detach().clone(), stored)
            return _tensor, (stored.getvalue(),)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, shared: dict[str, Any]) -> None:
        super().__init__(file)
        self._shared = shared

    def persistent_load(self, name: Any) -> Any:
        return self._shared[name]

    def find_class(self, module: str, name: str) -> Any:
        if "." not in name and name in _ALLOWED.get(module, ()):
            return super().find_class(module, name)
        if module in _CLASSES_OF and "." not in name:
            found = super().find_class(module, name)
            # No functions, which would run, and nothing that the module only imports.
            if isinstance(found, type) and found.__module__ == module:
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a saved state")


def _is_of_torch(obj: Any, name: str) -> bool:
    """Return True for an instance of torch's `name`, without importing torch."""
    kind: Any = sys.modules.get("torch")
    for part in name.split("."):
        # None also while another thread imports it: no instance exists then.
        kind = getattr(kind, part, None)
    return kind is not None and isinstance(obj, kind)


def _tensor(stored: bytes) -> Tensor:
    import torch

    from facetrack.weights import pickles

    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("a compressed tensor")
    value = pickles.load(stored)
    if not isinstance(value, torch.Tensor):
        raise ValueError("not a tensor")
    if value.numel() * value.element_size() > len(stored):
        raise ValueError("a tensor of more numbers than are stored")
    return value
