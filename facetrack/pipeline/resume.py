"""What a run has done so far, on disk, so that a run that is killed can go on.

Beside the outputs, in a hidden folder: `tracks`, the rows that were written, `before`, those from
before the query frame, which is gone back from first, and `state`, what the run knew when there
were so many of them. The state is a pickle that is read with a list of what may be in it: a file
that somebody else made can run no code. All have a checksum: a damaged file is as good as none.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facetrack.errors import FacetrackError
from facetrack.files import atomic_path
from facetrack.pipeline.track_log import TrackLog

if TYPE_CHECKING:
    from torch import Tensor

EVERY = 30.0
"""Seconds between two states: what a killed run loses, at most."""
_ALLOWED = {
    "builtins": {"set", "frozenset", "slice", "complex", "bytearray", "object"},
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
    "facetrack.pipeline.resume": {"_tensor"},
}
_CLASSES_OF = frozenset(
    f"facetrack.{module}"
    for module in (
        "identity.descriptors",
        "identity.verifier",
        "multiface.appearance",
        "multiface.association",
        "multiface.clip",
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
        "video.frame",
        "trackers.base",
        "trackers.heatmap1d",
        "trackers.lk",
        "trackers.per_frame",
        "trackers.expression.corrector",
        "trackers.expression.tracker",
        "trackers.tapir.face_window",
        "trackers.tapir.flow_smoothing",
        "trackers.tapir.occlusion",
        "trackers.tapir.recovery",
        "trackers.tapir.stream_state",
        "trackers.tapir.template_alignment",
        "trackers.tapir.tracker",
        "trackers.tapir.types",
    )
)
"""Modules of facetrack whose own classes a state may hold: creating one has no effect outside it.
Exact names: a package's name would admit every class of every module in it."""
_LONGEST_NAME = 255  # bytes, on all common file systems


class ResumeStore:
    """The folder of one video's unfinished run.

    Args:
        folder: of the outputs.
        stem: of their names.
        key: what the run depends on (options, input, versions), as JSON knows it.

    Attributes:
        tracks: the rows that have been written.
        before: those of the frames before the query frame.
        saved: whether a state of this run is on disk.
    """

    def __init__(self, folder: Path, stem: str, key: dict[str, Any]) -> None:
        name = f".{stem}.unfinished"
        if len(os.fsencode(name)) > _LONGEST_NAME:
            name = f".{hashlib.sha256(os.fsencode(stem)).hexdigest()}.unfinished"
        self.folder = Path(folder) / name
        self._open_logs()
        self._key = json.dumps(key, sort_keys=True, default=str)
        self.saved = False
        self._due = time.monotonic() + EVERY

    # ---------------------------------------------------------------- writing

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() >= self._due

    def save(self, state: Any, shared: dict[str, Any]) -> None:
        """Write what was added to the logs, and then the state.

        Args:
            state: any of facetrack's own objects, arrays, tensors and plain values.
            shared: objects by name which `state` refers to and that a later run makes anew.

        Raises:
            FacetrackError: the disk refuses.
        """
        logs = [log.save() for log in self._logs]
        stored = io.BytesIO()
        _Pickler(stored, shared).dump({"key": self._key, "logs": logs, "state": state})
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self.saved:
                # Another run's, and these rows are not what it goes with.
                (self.folder / "state").unlink(missing_ok=True)
            with atomic_path(self.folder / "state") as temporary, open(temporary, "wb") as file:
                file.write(hashlib.sha256(stored.getbuffer()).digest())
                file.write(stored.getbuffer())
        except OSError as error:
            raise FacetrackError(
                f"{self.folder} cannot be written: {error.strerror or error}."
            ) from error
        self.saved = True
        self._due = time.monotonic() + EVERY

    def remove(self) -> None:
        """The run is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---------------------------------------------------------------- reading

    def load(self, shared: dict[str, Any]) -> Any | None:
        """The last saved state, with `shared` put in; None where there is none, or that of a run
        with other options, another input or another version. The logs then hold what came before.
        """
        try:
            with open(self.folder / "state", "rb") as file:
                digest, stored = file.read(hashlib.sha256().digest_size), file.read()
            if hashlib.sha256(stored).digest() != digest:
                return None
            content = _Unpickler(io.BytesIO(stored), shared).load()
            marks = zip(self._logs, content["logs"], strict=True)
            if content["key"] == self._key and all(log.load(mark) for log, mark in marks):
                self.saved = True
                return content["state"]
        except Exception:
            # A file that is none of ours can make the unpickler raise anything.
            pass
        self._open_logs()
        return None

    def _open_logs(self) -> None:
        self.tracks = TrackLog(self.folder / "tracks")
        self.before = TrackLog(self.folder / "before")

    @property
    def _logs(self) -> tuple[TrackLog, TrackLog]:
        return self.tracks, self.before


class _Pickler(pickle.Pickler):
    def __init__(self, file: Any, shared: dict[str, Any]) -> None:
        super().__init__(file, protocol=5)
        self._names = {id(value): name for name, value in shared.items()}

    def persistent_id(self, obj: Any) -> str | None:
        name = self._names.get(id(obj))
        if name is None and _is_of_torch(obj, "nn.Module"):
            raise TypeError(f"a network is not to be saved with a run: {type(obj).__name__}")
        return name

    def reducer_override(self, obj: Any) -> Any:
        if _is_of_torch(obj, "Tensor"):
            import torch

            # Not torch's own way, which would let a file run code when it is read.
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
            # No function, which would do its work, and nothing that the module has from elsewhere.
            if isinstance(found, type) and found.__module__ == module:
                return found
        raise pickle.UnpicklingError(f"{module}.{name} has no place here")


def _is_of_torch(obj: Any, name: str) -> bool:
    """Whether it is an instance of torch's `name`; a run without torch shall not import it."""
    kind: Any = sys.modules.get("torch")
    for part in name.split("."):
        # None also while another thread imports it: nothing is of it then.
        kind = getattr(kind, part, None)
    return kind is not None and isinstance(obj, kind)


def _tensor(stored: bytes) -> Tensor:
    import torch

    value = torch.load(io.BytesIO(stored), weights_only=True)
    if not isinstance(value, torch.Tensor):
        raise ValueError("not a tensor")
    return value
