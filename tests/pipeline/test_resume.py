"""Saved states: loaded exactly as saved, or not at all."""

from __future__ import annotations

import copyreg
import functools
import hashlib
import io
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections import OrderedDict, defaultdict, deque
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from facetrack.errors import FacetrackError
from facetrack.images import pipeline
from facetrack.multiface.detection import DetectedFace
from facetrack.multiface.face_track import Event, FaceTrack, PresenceFilter, RedetectPolicy
from facetrack.multiface.offset_correction import OffsetCorrector
from facetrack.pipeline import resume
from facetrack.pipeline.query_frame import Query
from facetrack.pipeline.resume import ResumeStore
from facetrack.pipeline.track_log import Mark
from facetrack.trackers.base import StepResult
from facetrack.trackers.lk import LucasKanadeState, LucasKanadeTracker
from facetrack.trackers.tapir.face_window import Window
from facetrack.tracks import Tracks
from facetrack.video import encoder
from facetrack.video.frame import Frame

KEY = {"options": {"tracker": "lk", "start": None}, "input": [("a.mp4", 5, 7)]}


def tracks(first: int = 0, count: int = 3, faces: int = 1, stride: int = 1) -> Tracks:
    random = np.random.default_rng(first + 100 * faces)
    shape = (count, faces, 4)
    xy = random.normal(size=(*shape, 2)).astype(np.float32)
    xy[0, 0, 1] = np.nan
    return Tracks(
        xy=xy,
        visible=random.random(shape) > 0.5,
        confidence=random.random(shape).astype(np.float32),
        time=(first + stride * np.arange(count)) / 25,
        face_id=np.arange(faces, dtype=np.int64) + first,
        scheme="points-4",
        size=(96, 64),
        first_frame=first,
        stride=stride,
    )


def assert_same(one: Tracks, other: Tracks) -> None:
    for name in ("xy", "visible", "confidence", "time", "face_id"):
        a, b = getattr(one, name), getattr(other, name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    for name in ("scheme", "size", "first_frame", "stride"):
        assert getattr(one, name) == getattr(other, name)


def saved(folder: Path, state: Any, shared: dict[str, Any] | None = None) -> ResumeStore:
    """Return the store of a run that has written three rows, with a saved state."""
    made = ResumeStore(folder, "a", KEY)
    made.tracks.add(tracks())
    made.save(state, shared or {})
    return made


def loaded(folder: Path, shared: dict[str, Any] | None = None, key: Any = KEY) -> Any:
    """Return the state that a later run loads."""
    return ResumeStore(folder, "a", key).load(shared or {})


def journey(folder: Path, state: Any) -> Any:
    saved(folder, state)
    return loaded(folder)


# ------------------------------------------------------------------------------------ round trips


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text()
    | st.binary()
    | st.fractions(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.lists(inner, max_size=3).map(deque)
    ),
    max_leaves=8,
)


@given(state=PLAIN)
@settings(max_examples=30)
def test_plain_values_are_restored(tmp_path_factory: pytest.TempPathFactory, state: Any) -> None:
    # In a list, because None says that there is nothing.
    assert journey(tmp_path_factory.mktemp("plain"), [state]) == [state]


def test_containers_keep_their_types(tmp_path: Path) -> None:
    state = {
        "set": {1, 2},
        "frozen": frozenset([3]),
        "deque": deque([1, 2, 3], maxlen=3),
        "ordered": OrderedDict(b=1, a=2),
        "slice": slice(1, 2),
        "path": Path("a/b"),
        "fraction": Fraction(1, 25),
        "bytes": bytearray(b"xy"),
    }
    found = journey(tmp_path, state)
    assert found == state
    assert {k: type(v) for k, v in found.items()} == {k: type(v) for k, v in state.items()}
    assert found["deque"].maxlen == 3


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.arange(24).reshape(2, 3, 4)[:, ::2].transpose(2, 0, 1),
        np.array([[np.nan, -0.0], [np.inf, 1e-40]]),
        np.zeros((0, 2), np.float32),
        np.array([True, False]),
        np.float32(0.1),
        np.int64(7),
        np.bool_(True),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_are_restored(tmp_path: Path, array: Any) -> None:
    found = journey(tmp_path, array)
    assert type(found) is type(array)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)


def test_restored_arrays_are_writable(tmp_path: Path) -> None:
    found = journey(tmp_path, LucasKanadeState(np.zeros((2, 2), np.uint8), np.zeros((3, 2))))
    found.xy[1] = 5
    assert found.xy[1].tolist() == [5, 5]


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool]
)
def test_tensors_are_restored(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = (torch.arange(6).reshape(2, 3) / 3).to(dtype)
    found = journey(tmp_path, tensor)
    assert found.dtype == dtype
    assert torch.equal(found, tensor)


def test_inference_tensors_are_restored(tmp_path: Path) -> None:
    with torch.inference_mode():
        tensor = torch.linspace(0, 1, 5).to(torch.bfloat16)
    assert tensor.is_inference()
    found = journey(tmp_path, tensor)
    assert torch.equal(found, tensor.clone())
    with torch.inference_mode():
        found += 1


def test_a_view_is_saved_without_the_rest_of_its_tensor(tmp_path: Path) -> None:
    whole = torch.zeros(10**6)
    assert torch.equal(journey(tmp_path, whole[5:8]), torch.zeros(3))
    assert (tmp_path / ".a.unfinished/state").stat().st_size < 20_000


def test_gradients_are_not_saved(tmp_path: Path) -> None:
    found = journey(tmp_path, torch.ones(2, requires_grad=True) * 2)
    assert not found.requires_grad


def test_own_objects_are_restored(tmp_path: Path) -> None:
    xy = np.ones((4, 2), np.float32)
    frame = Frame(3, 0.12, np.zeros((2, 2, 3), np.uint8), 0.04)
    placed = DetectedFace(np.zeros(4), xy, np.ones(4, np.float32))
    presence = PresenceFilter()
    presence.gone(np.array([0.5]), np.ones((1, 4), bool))
    fusion = OffsetCorrector(xy + [[0], [1], [2], [5]])
    fusion.observe(xy, np.full(4, 0.9))
    state = {
        "query": Query(frame, xy, xy[:, 0], "68", None, (placed,)),
        "event": Event(3, 0.12, 0, "drift", {"seen": 0.5, "box": [0.0, 1.0]}, None, 0.2),
        "face": FaceTrack(
            0,
            LucasKanadeState(frame.image[..., 0], xy),
            presence=presence,
            gone_since=0.5,
            claimed_back_row=2,
        ),
        "fusion": fusion,
        "policy": RedetectPolicy(5, None, False),
        "window": Window(1, 2, 3),
        "result": StepResult(xy[None], xy[None, :, 0] > 0, xy[None, :, 0]),
    }
    found = journey(tmp_path, state)
    assert {k: type(v) for k, v in found.items()} == {k: type(v) for k, v in state.items()}
    assert found["query"].frame.index == 3
    assert found["query"].others[0].score.tolist() == [1, 1, 1, 1]
    assert found["event"] == state["event"]
    assert (found["face"].gone_since, found["face"].claimed_back_row) == (0.5, 2)
    assert vars(found["face"].presence) == vars(presence)
    moved = np.stack([xy, xy + np.arange(4)[:, None]])
    later = np.array([1.0, 2.0]), moved, np.ones((2, 4), bool)
    np.testing.assert_array_equal(found["fusion"].apply(*later), fusion.apply(*later))
    assert found["policy"] == state["policy"]
    assert found["window"] == state["window"]
    np.testing.assert_array_equal(found["result"].xy, state["result"].xy)


@pytest.mark.parametrize(
    "one", [np.arange(3), torch.arange(3), deque([1]), PresenceFilter(), [1]], ids=lambda x: type(x)
)
def test_object_identity_is_kept(tmp_path: Path, one: Any) -> None:
    found = journey(tmp_path, {"here": one, "there": [one]})
    assert found["here"] is found["there"][0]


def test_shared_objects_are_replaced_and_not_saved(tmp_path: Path) -> None:
    network = nn.Linear(1000, 1000)
    saved(tmp_path, {"network": network, "xy": [1]}, {"tracker": network})
    assert (tmp_path / ".a.unfinished/state").stat().st_size < 2000
    another = nn.Linear(1000, 1000)
    assert loaded(tmp_path, {"tracker": another})["network"] is another


def test_two_shared_objects_are_told_apart(tmp_path: Path) -> None:
    first, second = LucasKanadeTracker(), LucasKanadeTracker()
    saved(tmp_path, [second, first, second], {"first": first, "second": second})
    now = {"first": LucasKanadeTracker(), "second": LucasKanadeTracker()}
    found = loaded(tmp_path, now)
    assert found[0] is found[2] is now["second"]
    assert found[1] is now["first"]


def test_a_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a network must not be saved with a run: Linear"):
        saved(tmp_path, {"state": [nn.Linear(2, 2)]})


def test_torch_may_be_half_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may be importing it."""
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    assert journey(tmp_path, [RedetectPolicy(3)]) == [RedetectPolicy(3)]


# ------------------------------------------------------------------------------------------- rows


def test_rows_are_restored(tmp_path: Path) -> None:
    made = ResumeStore(tmp_path, "a", KEY)
    parts = [tracks(0, 3), tracks(3, 5, faces=2), tracks(8, 1, faces=3)]
    for part in parts:
        made.tracks.add(part)
    made.save(["state"], {})
    later = ResumeStore(tmp_path, "a", KEY)
    later.load({})
    found = list(later.tracks)
    assert len(found) == 3
    for one, other in zip(found, parts, strict=True):
        assert_same(one, other)


def test_rows_keep_their_stride(tmp_path: Path) -> None:
    made = ResumeStore(tmp_path, "a", KEY)
    made.tracks.add(tracks(5, 3, stride=4))
    made.save(["state"], {})
    later = ResumeStore(tmp_path, "a", KEY)
    later.load({})
    assert [part.frames.tolist() for part in later.tracks] == [[5, 9, 13]]


def test_every_save_appends(tmp_path: Path) -> None:
    made = ResumeStore(tmp_path, "a", KEY)
    grown = []
    for i in range(4):
        made.tracks.add(tracks(3 * i))
        made.save({"after": i}, {})
        grown.append((tmp_path / ".a.unfinished/tracks").stat().st_size)
        later = ResumeStore(tmp_path, "a", KEY)
        assert later.load({}) == {"after": i}
        assert [part.first_frame for part in later.tracks] == [3 * k for k in range(i + 1)]
    assert len(set(np.diff(grown))) == 1


def test_a_save_without_new_rows_works(tmp_path: Path) -> None:
    made = saved(tmp_path, {"after": 0})
    made.save({"after": 1}, {})
    later = ResumeStore(tmp_path, "a", KEY)
    assert later.load({}) == {"after": 1}
    assert len(list(later.tracks)) == 1


def append_and_read(second: ResumeStore) -> None:
    """A resumed run appends to the earlier rows."""
    second.tracks.add(tracks(3))
    second.save({"after": 1}, {})
    third = ResumeStore(second.folder.parent, "a", KEY)
    assert third.load({}) == {"after": 1}
    assert [part.first_frame for part in third.tracks] == [0, 3]


def test_a_resumed_run_appends_rows(tmp_path: Path) -> None:
    saved(tmp_path, {"after": 0})
    second = ResumeStore(tmp_path, "a", KEY)
    second.load({})
    append_and_read(second)


def test_rows_written_after_the_state_are_dropped(tmp_path: Path) -> None:
    """The run was killed between writing the rows and the state."""
    saved(tmp_path, {"after": 0})
    with open(tmp_path / ".a.unfinished/tracks", "ab") as file:
        file.write(b"rows without their state")
    second = ResumeStore(tmp_path, "a", KEY)
    assert second.load({}) == {"after": 0}
    assert [part.first_frame for part in second.tracks] == [0]
    append_and_read(second)


def test_a_run_from_the_beginning_replaces_an_earlier_state(tmp_path: Path) -> None:
    first = saved(tmp_path, {"after": 0})
    first.tracks.add(tracks(3))
    first.save({"after": 1}, {})
    anew = ResumeStore(tmp_path, "a", KEY)
    anew.tracks.add(tracks(9))
    anew.save({"after": 9}, {})
    later = ResumeStore(tmp_path, "a", KEY)
    assert later.load({}) == {"after": 9}
    assert [part.first_frame for part in later.tracks] == [9]


def test_a_run_killed_before_its_first_save_leaves_no_earlier_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows must not be mistaken for those of the earlier run."""
    saved(tmp_path, {"after": 0})
    other = ResumeStore(tmp_path, "a", {**KEY, "options": "others"})
    other.tracks.add(tracks())

    def killed(final: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(resume, "atomic_path", killed)
        with pytest.raises(KeyboardInterrupt):
            other.save({"after": 0}, {})
    assert loaded(tmp_path) is None


def test_no_file_is_created_before_the_first_save(tmp_path: Path) -> None:
    ResumeStore(tmp_path, "a", KEY).tracks.add(tracks())
    assert list(tmp_path.iterdir()) == []


def test_remove_deletes_the_folder(tmp_path: Path) -> None:
    saved(tmp_path, [1]).remove()
    assert list(tmp_path.iterdir()) == []


def test_removing_nothing_is_no_error(tmp_path: Path) -> None:
    ResumeStore(tmp_path, "a", KEY).remove()


def test_no_temporary_file_is_left(tmp_path: Path) -> None:
    saved(tmp_path, [1])
    assert {p.name for p in (tmp_path / ".a.unfinished").iterdir()} == {"state", "tracks"}


def test_long_names_are_shortened(tmp_path: Path) -> None:
    stem = "ä" * 125  # 250 bytes: <stem>.csv is a file name
    made = ResumeStore(tmp_path, stem, KEY)
    made.tracks.add(tracks())
    made.save([1], {})
    assert ResumeStore(tmp_path, stem, KEY).load({}) == [1]
    assert ResumeStore(tmp_path, stem[:-1] + "é", KEY).load({}) is None


def test_an_unwritable_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / ".a.unfinished").write_text("in the way")
    with pytest.raises(FacetrackError, match=r"\.a\.unfinished/tracks cannot be written"):
        saved(tmp_path, [1])


def test_a_state_is_saved_at_intervals_or_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(resume.time, "monotonic", lambda: clock[0])

    class Run:
        shared: ClassVar[dict[str, Any]] = {}
        num_saved = 0

        def state(self) -> list[int]:
            self.num_saved += 1
            return [self.num_saved]

    run, store = Run(), ResumeStore(tmp_path, "a", KEY)
    store.tracks.add(tracks())
    store.save_if_due(run)
    assert run.num_saved == 0
    clock[0] += resume.SAVE_INTERVAL_S
    store.save_if_due(run)
    store.save_if_due(run)
    assert run.num_saved == 1
    store.save_if_due(run, now=True)
    assert loaded(tmp_path) == [2]


# ---------------------------------------------------------------------- states that are not loaded


def test_a_missing_state_loads_nothing(tmp_path: Path) -> None:
    assert loaded(tmp_path) is None


@pytest.mark.parametrize(
    "key",
    [
        {**KEY, "options": {"tracker": "tapir", "start": None}},
        {**KEY, "options": {"tracker": "lk", "start": 0.0}},
        {**KEY, "input": [("a.mp4", 5, 8)]},
        {**KEY, "more": 1},
        {},
    ],
)
def test_the_state_of_another_run_is_not_loaded(tmp_path: Path, key: dict[str, Any]) -> None:
    saved(tmp_path, [1])
    assert loaded(tmp_path, key=key) is None


def test_the_order_of_the_key_does_not_matter(tmp_path: Path) -> None:
    saved(tmp_path, [1])
    assert loaded(tmp_path, key=dict(reversed(KEY.items()))) == [1]


def test_a_state_whose_shared_object_is_missing_is_not_loaded(tmp_path: Path) -> None:
    tracker = LucasKanadeTracker()
    saved(tmp_path, [tracker], {"tracker": tracker})
    assert loaded(tmp_path, {"detector": tracker}) is None


def test_a_run_without_a_state_starts_over(tmp_path: Path) -> None:
    saved(tmp_path, [1])
    other = ResumeStore(tmp_path, "a", {})
    assert other.load({}) is None
    assert not other.saved
    other.tracks.add(tracks(7))
    other.save([2], {})
    later = ResumeStore(tmp_path, "a", {})
    assert later.load({}) == [2]
    assert [part.first_frame for part in later.tracks] == [7]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with all kinds of values."""
    folder = tmp_path_factory.mktemp("whole")
    xy = np.ones((4, 2), np.float32)
    saved(folder, {"face": FaceTrack(0, LucasKanadeState(xy, xy)), "tensor": torch.ones(3)})
    return folder


def damaged(whole: Path, folder: Path, name: str, content: bytes) -> Any:
    """Return what is loaded after a file's content has changed."""
    shutil.copytree(whole / ".a.unfinished", folder / ".a.unfinished")
    (folder / ".a.unfinished" / name).write_bytes(content)
    return loaded(folder)


@given(data=st.data())
@pytest.mark.parametrize("name", ["state", "tracks"])
@settings(max_examples=25)
def test_a_truncated_file_is_not_loaded(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    content = (whole / ".a.unfinished" / name).read_bytes()
    length = data.draw(st.integers(0, len(content) - 1))
    assert damaged(whole, tmp_path_factory.mktemp("cut"), name, content[:length]) is None


@given(data=st.data())
@pytest.mark.parametrize("name", ["state", "tracks"])
@settings(max_examples=25)
def test_a_file_with_a_wrong_byte_is_not_loaded(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    content = bytearray((whole / ".a.unfinished" / name).read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    assert damaged(whole, tmp_path_factory.mktemp("wrong"), name, bytes(content)) is None


@given(content=st.binary(max_size=200))
@settings(max_examples=25)
def test_garbage_is_not_loaded(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    assert damaged(whole, tmp_path_factory.mktemp("garbage"), "state", content) is None


@given(content=st.binary(max_size=200))
@settings(max_examples=50)
def test_garbage_with_a_checksum_is_not_loaded(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("garbage")
    assert damaged(whole, folder, "state", checked(content)) is None


@pytest.mark.parametrize("content", [1, [], {}, {"key": 1}, {"key": None, "bytes": "x"}, "text"])
def test_a_pickle_of_something_else_is_not_loaded(
    whole: Path, tmp_path: Path, content: Any
) -> None:
    assert damaged(whole, tmp_path, "state", checked(pickle.dumps(content))) is None


@pytest.mark.parametrize("name", ["state", "tracks"])
def test_a_missing_file_is_not_loaded(whole: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(whole / ".a.unfinished", tmp_path / ".a.unfinished")
    (tmp_path / ".a.unfinished" / name).unlink()
    assert loaded(tmp_path) is None


# ---------------------------------------------------------------------------- what runs no code


def checked(stored: bytes) -> bytes:
    """Return the content of a state file with a valid checksum."""
    return hashlib.sha256(stored).digest() + stored


class Calls:
    """Its pickle calls a function when it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


def forged(whole: Path, folder: Path, state: Any) -> Any:
    """Return what is loaded of a state forged with full knowledge of the run."""
    shutil.copytree(whole / ".a.unfinished", folder / ".a.unfinished")
    file = folder / ".a.unfinished/state"
    rows = (folder / ".a.unfinished/tracks").read_bytes()
    nothing = Mark(0, hashlib.sha256().digest())
    content = {
        "key": ResumeStore(folder, "a", KEY)._key,
        "logs": [Mark(len(rows), hashlib.sha256(rows).digest()), nothing, nothing],
        "state": state,
    }
    file.write_bytes(checked(pickle.dumps(content)))
    return loaded(folder)


def test_a_harmless_forgery_is_loaded(whole: Path, tmp_path: Path) -> None:
    """The states below are therefore rejected for their content."""
    assert forged(whole, tmp_path, [RedetectPolicy(3)]) == [RedetectPolicy(3)]


def _calls(witness: Path) -> dict[str, Calls]:
    """Pickles that would create a file or read one."""
    made = f"open({str(witness)!r}, 'w').close()"
    return {
        "os.system": Calls(os.system, f"touch '{witness}'"),
        "subprocess": Calls(subprocess.Popen, ["touch", str(witness)]),
        "eval": Calls(eval, made),
        "exec": Calls(exec, made),
        "open": Calls(open, str(witness), "w"),
        "import": Calls(__import__, "antigravity"),
        "getattr": Calls(getattr, RedetectPolicy, "mro"),
        "partial": Calls(functools.partial, eval, made),
        "path": Calls(Path.touch, witness),
        "shutil": Calls(shutil.rmtree, str(witness.parent)),
        "numpy": Calls(np.save, str(witness), np.zeros(1)),
        "numpy.load": Calls(np.load, str(witness), None, True),
        "torch": Calls(torch.save, 1, str(witness)),
        "torch.load": Calls(torch.load, str(witness)),
        "a function of facetrack": Calls(pipeline.list_images, witness.parent),
        "a class with a process": Calls(encoder.VideoEncoder, witness, (16, 16)),
        "a network": Calls(nn.Linear, 2, 2),
        "copyreg": Calls(copyreg.add_extension, "os", "system", 77),
        "defaultdict": Calls(defaultdict, eval),
    }


@pytest.mark.parametrize("name", list(_calls(Path())))
def test_a_forged_state_runs_no_code(whole: Path, tmp_path: Path, name: str) -> None:
    witness = tmp_path / "witness.mp4"
    before = {p.name for p in tmp_path.iterdir()}
    call = _calls(witness)[name]
    assert forged(whole, tmp_path, [call]) is None
    assert {p.name for p in tmp_path.iterdir()} - before == {".a.unfinished"}


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("facetrack.pipeline.resume", "os.system"),
        ("facetrack.pipeline.resume", "io.open"),
        ("facetrack.pipeline.resume", "Unfinished"),
        ("facetrack.pipeline.resume", "shutil"),
        ("facetrack.cli", "main"),
        ("facetrack.pipeline.runner", "Pipeline"),
        ("facetrack.video.decoder", "subprocess.Popen"),
        ("facetrack.video.decoder", "threading"),
        ("facetrack.multiface.face_tracker", "FaceLandmarker"),
        ("facetrack.pipeline.chunking", "clip_length"),
        ("facetrack.trackers", "create"),
        ("facetrack.trackers.lk", "cv2"),
        ("facetrack.trackers.lk", "StepResult"),
        ("facetrack.trackers.tapir", "TAPIR.from_checkpoint"),
        ("facetrackers.lk", "LucasKanadeState"),
        ("collections", "deque.append"),
        ("pathlib", "Path.unlink"),
        ("numpy", "load"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_tensor_v2"),
        ("builtins", "getattr"),
        ("builtins", "bytearray"),  # bytearray(2**40) takes as many bytes
        ("__main__", "anything"),
    ],
)
def test_classes_outside_the_allow_list_are_not_found(module: str, name: str) -> None:
    reader = resume._Unpickler(io.BytesIO(), {})
    with pytest.raises(pickle.UnpicklingError, match="is not allowed in a saved state"):
        reader.find_class(module, name)


def test_the_pickle_inside_a_tensor_runs_no_code(whole: Path, tmp_path: Path) -> None:
    """The bytes of a tensor are a torch file, which holds a pickle of its own."""
    witness, stored = tmp_path / "witness", io.BytesIO()
    torch.save([Calls(os.mkdir, str(witness))], stored)
    assert forged(whole, tmp_path, [Calls(resume._tensor, stored.getvalue())]) is None
    assert not witness.exists()


@pytest.mark.parametrize("name", ["compressed", "expanded"])
def test_a_tensor_is_no_larger_than_its_bytes(name: str) -> None:
    stored = io.BytesIO()
    if name == "expanded":
        torch.save(torch.zeros(1).expand(1000, 1000), stored)
    else:
        plain = io.BytesIO()
        torch.save(torch.zeros(100_000), plain)
        with (
            zipfile.ZipFile(plain) as old,
            zipfile.ZipFile(stored, "w", zipfile.ZIP_DEFLATED) as new,
        ):
            for entry in old.namelist():
                new.writestr(entry, old.read(entry))
    with pytest.raises(ValueError, match="tensor"):
        resume._tensor(stored.getvalue())


def test_only_tensors_are_loaded_as_tensors(whole: Path, tmp_path: Path) -> None:
    stored = io.BytesIO()
    torch.save({"a": 1}, stored)
    assert forged(whole, tmp_path, [Calls(resume._tensor, stored.getvalue())]) is None
