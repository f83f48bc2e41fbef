"""The examples do what they say, on two clips of faces."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from facetrack.formats.csv import read_csv

EXAMPLES = Path(__file__).parents[2] / "examples"
OPTIONS = ["--tracker", "lk", "--face-detector", "hog", "--no-overlay"]
FRAMES = 6

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="bash and xargs are of Unix")


def run(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)


def with_a_bad_one(faces: Path, tmp_path: Path) -> Path:
    """The clips, and a file that is no video."""
    folder = tmp_path / "videos"
    shutil.copytree(faces, folder)
    (folder / "bad.mp4").write_text("no video\n")
    return folder


def test_batch_tracks_every_video_in_its_own_folder(
    faces: Path, program: dict[str, str], tmp_path: Path
) -> None:
    videos, results = with_a_bad_one(faces, tmp_path), tmp_path / "results"
    command = ["bash", str(EXAMPLES / "batch.sh"), str(videos), str(results), "2"]
    ran = run([*command, *OPTIONS], program)
    assert ran.returncode == 123  # xargs: one of them failed
    assert "bad.mp4 is not a video" in ran.stderr
    for video in faces.iterdir():
        assert len(read_csv(results / video.name / f"{video.stem}.csv")) == FRAMES


def as_task(task: int, tasks: int) -> dict[str, str]:
    """What SLURM tells a task of `--array=1-tasks`."""
    array = {"ID": task, "MIN": 1, "MAX": tasks, "COUNT": tasks}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in array.items()}


def test_slurm_array_shares_the_videos_out(
    faces: Path, program: dict[str, str], tmp_path: Path
) -> None:
    results = tmp_path / "results"
    shares = []
    for task in (1, 2):
        command = ["bash", str(EXAMPLES / "slurm_array.sh"), str(faces), str(results), *OPTIONS]
        ran = run(command, {**program, **as_task(task, 2)})
        assert ran.returncode == 0, ran.stderr
        with open(results / f"batch.{task}-of-2.csv", newline="") as file:
            shares.append([row["video"] for row in csv.DictReader(file)])
    assert [len(share) for share in shares] == [1, 1]
    for video in faces.iterdir():
        assert len(read_csv(results / f"{video.stem}.csv")) == FRAMES


def test_slurm_array_takes_a_list_too(program: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "videos.txt").write_text("none a.mp4\nnone b.mp4\nnone c.mp4\n")
    command = ["bash", str(EXAMPLES / "slurm_array.sh"), str(tmp_path / "videos.txt")]
    ran = run([*command, str(tmp_path / "results"), "--quiet"], {**program, **as_task(2, 2)})
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[0] == f"facetrack: {tmp_path / 'none b.mp4'} does not exist."


def test_slurm_array_refuses_part_of_an_array(
    faces: Path, program: dict[str, str], tmp_path: Path
) -> None:
    array = {**as_task(5, 5), "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_COUNT": "2"}
    command = ["bash", str(EXAMPLES / "slurm_array.sh"), str(faces), str(tmp_path / "results")]
    ran = run(command, {**program, **array})
    assert ran.returncode == 2
    assert "send the whole array" in ran.stderr
    assert not (tmp_path / "results").exists()


def test_snakefile_tracks_what_is_not_tracked_yet(
    faces: Path, program: dict[str, str], tmp_path: Path
) -> None:
    snakemake = shutil.which("snakemake")
    if snakemake is None:
        pytest.skip("snakemake is not installed")
    results = tmp_path / "results"
    command = [snakemake, "-s", str(EXAMPLES / "Snakefile"), "--cores", "2", "-d", str(tmp_path)]
    command += ["--config", f"videos={faces}", f"results={results}", f"options={' '.join(OPTIONS)}"]
    first = run(command, {**program, "HOME": str(tmp_path)})
    assert first.returncode == 0, first.stderr
    made = [results / video.name / f"{video.stem}.csv" for video in faces.iterdir()]
    assert [len(read_csv(path)) for path in made] == [FRAMES, FRAMES]
    made[0].unlink()
    untouched = os.stat(made[1]).st_mtime_ns
    assert run(command, {**program, "HOME": str(tmp_path)}).returncode == 0
    assert made[0].is_file()
    assert os.stat(made[1]).st_mtime_ns == untouched
