"""The command line that repeats a run."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path

import pytest
import typer
from sample_comparison import record
from typer.main import get_command

from facetrack.api.outputs import Outputs, options_record
from facetrack.cli import track as track_module
from facetrack.detectors import DetectorOptions
from facetrack.pipeline.options import Options
from facetrack.report.commands import FLAGS, REPEATED, VALUES, command_of
from facetrack.trackers.base import TrackerOptions


def test_the_command_is_built_from_the_record(clip):
    options = {
        "detector_options": {"weights": "x y.pth", "flip": True, "device": "auto"},
        "tracker_options": {"weights": "tapir-s", "causal": False, "steady": False},
        "scheme": None,
        "query_frame": 4,
    }
    command = command_of(record(clip, tracker="tapir", **options))
    assert command == (
        f"facetrack track {clip} --init ert --detector-weights 'x y.pth' --query-frame 4 "
        "--flip --offline --raw"
    )


def recorded(options: Options, outputs: Outputs) -> dict:
    content = {"input": {"path": "a.mp4"}, "options": options_record(options, outputs)}
    return json.loads(json.dumps(content, default=str))


def test_defaults_are_left_out():
    assert command_of(recorded(Options(), Outputs(Path()))) == "facetrack track a.mp4"


def test_a_video_like_an_option_comes_last():
    content = recorded(Options(tracker="lk"), Outputs(Path())) | {"input": {"path": "-dash.mp4"}}
    assert command_of(content) == "facetrack track --tracker lk -- -dash.mp4"


def test_several_query_frames_and_corrections_are_part_of_it():
    options = Options(query_frame=0, further_query_frames=(120, 480))
    command = command_of(recorded(options, Outputs(Path())))
    assert command == "facetrack track a.mp4 --query-frame 0,120,480"
    options = Options(corrections=Path("a.corrections.csv"))
    command = command_of(recorded(options, Outputs(Path())))
    assert command == "facetrack track a.mp4 --corrections a.corrections.csv"


def test_what_is_written_is_part_of_it():
    outputs = Outputs(
        Path(),
        formats=("csv", "npz"),
        overlay=False,
        report=True,
        measures=True,
        focal=812.5,
        coordinates="head",
        point_confidence=True,
        audio_offset="auto",
    )
    options = Options(faces=None, start=1.5, end=3.0, stride=2, fps=12.5, redetect=50)
    content = recorded(options, outputs) | {"output_folder": "my runs"}
    words = shlex.split(command_of(content))
    assert words == shlex.split(
        "facetrack track a.mp4 --faces all --redetect 50 --start 1.5 --end 3 --stride 2 --fps 12.5 "
        "--focal 812.5 --coordinates head --audio-offset auto --no-overlay --report --measures "
        "--point-confidence --format csv --format npz --out 'my runs'"
    )


def test_every_option_of_a_run_has_its_word():
    """So that a new option is not forgotten here."""
    places = {place for place, *_ in (*VALUES, *FLAGS)} | {"formats", *REPEATED}
    outputs = {field.name for field in dataclasses.fields(Outputs)} - {
        "folder",
        "keeps_uncorrected",
    }
    nested = {"detector_options": DetectorOptions, "tracker_options": TrackerOptions}
    expected = outputs | {field.name for field in dataclasses.fields(Options)} - set(nested)
    for name, kind in nested.items():
        expected |= {f"{name}.{field.name}" for field in dataclasses.fields(kind)}
    assert expected <= places


@pytest.mark.parametrize("flag", [flag for _, flag, _ in (*VALUES, *FLAGS)])
def test_words_are_options_of_the_command(flag):
    app = typer.Typer()
    app.command()(track_module.track)
    known = {
        name
        for option in get_command(app).params
        for name in (*option.opts, *option.secondary_opts)
    }
    assert flag in known
