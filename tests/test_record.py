"""Test the JSON record of a run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facetrack.files import sha256_of
from facetrack.record import environment, write_record


def test_keys_are_sorted_and_text_is_utf8(tmp_path: Path) -> None:
    write_record(tmp_path / "a.json", {"z": 1, "a": {"y": "é", "x": [True, None]}})
    assert (tmp_path / "a.json").read_bytes().decode() == (
        '{\n  "a": {\n    "x": [\n      true,\n      null\n    ],\n    "y": "é"\n  },\n'
        '  "z": 1\n}\n'
    )


def test_numpy_values_and_paths_become_plain(tmp_path: Path) -> None:
    content = {
        "a": np.float32(0.5),
        "b": np.int64(3),
        "c": np.bool_(True),
        "d": np.arange(2),
        "e": Path("x/y.mp4"),
    }
    write_record(tmp_path / "a.json", content)
    loaded = json.loads((tmp_path / "a.json").read_text())
    assert loaded == {"a": 0.5, "b": 3, "c": True, "d": [0, 1], "e": str(Path("x/y.mp4"))}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), np.float32("nan")])
def test_number_without_a_json_form_is_refused(tmp_path: Path, number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_record(tmp_path / "a.json", {"fps": number})
    assert list(tmp_path.iterdir()) == []


def test_value_without_a_json_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="set has no JSON form"):
        write_record(tmp_path / "a.json", {"a": {1, 2}})


def test_file_name_that_is_not_utf8_survives(tmp_path: Path) -> None:
    name = b"caf\xe9.mp4".decode("utf-8", "surrogateescape")
    write_record(tmp_path / "a.json", {"video": name})
    assert json.loads((tmp_path / "a.json").read_bytes())["video"] == name


def test_environment_states_the_conventions() -> None:
    content = environment()
    assert content["frame_base"] == 0
    assert content["coordinate_origin"] == "centre of the top-left pixel"
    assert content["units"]["timestamp"] == "seconds"


def test_environment_names_the_versions() -> None:
    versions = environment()["versions"]
    assert versions["numpy"] == np.__version__
    assert versions["python"] == sys.version.split()[0]
    assert {"facetrack", "torch", "opencv", "dlib", "ffmpeg"} <= set(versions)
    assert versions["opencv"]
    assert versions["ffmpeg"]


def test_environment_does_not_import_torch() -> None:
    code = (
        "import sys; from facetrack.record import environment; environment();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_environment_can_be_written(tmp_path: Path) -> None:
    write_record(tmp_path / "a.json", environment())
    assert (tmp_path / "a.json").exists()


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
