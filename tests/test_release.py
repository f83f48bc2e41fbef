"""The Dockerfile and the release workflow: they have what the package needs, and publish last."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())


def copied() -> set[str]:
    """Return the paths of the repository that the Dockerfile copies."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return {path for line in lines for path in shlex.split(line)[:-1]}


def steps(job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = WORKFLOW["jobs"][job]["steps"]
    return found


def test_the_container_has_all_that_the_wheel_is_built_from() -> None:
    named = {"pyproject.toml", "constraints.txt"}
    named |= set(re.findall(r'^(?:readme|license-files|packages) = \[?"([^"]+)"', PYPROJECT, re.M))
    named |= set(re.findall(r'^"([^"]+)" = "facetrack/_', PYPROJECT, re.M))
    assert {"README.md", "LICENSE", "facetrack", "weights", "examples/astronaut.mp4"} <= named
    assert copied() == named
    assert all((ROOT / path).exists() for path in named)


def test_docker_is_sent_what_is_copied() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    assert {line[1:] for line in lines if line.startswith("!")} == copied()


def test_the_container_is_for_cpus_unless_asked() -> None:
    (index,) = re.findall(r"^ARG TORCH_INDEX=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert index.endswith("/whl/cpu")
    assert f'"{index}"' not in DOCKERFILE
    containers = WORKFLOW["jobs"]["container"]["strategy"]["matrix"]["include"]
    assert {c["name"]: c["index"] for c in containers}["cpu"] == index


def test_the_container_does_not_run_as_root() -> None:
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)[-1] != "root"


def test_every_python_of_the_classifiers_is_tried() -> None:
    (lowest,) = re.findall(r'^requires-python = ">=3\.(\d+)"', PYPROJECT, re.M)
    tried = WORKFLOW["jobs"]["try"]["strategy"]["matrix"]["python"]
    assert tried == [f"3.{minor}" for minor in range(int(lowest), 15)]
    assert re.findall(r"Python :: (3\.\d+)", PYPROJECT) == tried


def test_nothing_is_published_that_was_not_tried() -> None:
    publish = WORKFLOW["jobs"]["publish"]
    assert set(publish["needs"]) == {"try", "container"}
    assert "tag" in publish["if"]
    assert WORKFLOW["jobs"]["try"]["needs"] == "build"
    assert WORKFLOW["permissions"] == {"contents": "read"}
    uploads = [job for job in WORKFLOW["jobs"] if "twine upload" in str(steps(job))]
    assert uploads == ["publish"]


def test_actions_are_pinned_to_commits() -> None:
    used = [step["uses"] for job in WORKFLOW["jobs"] for step in steps(job) if "uses" in step]
    assert used
    assert [action for action in used if not re.search(r"@[0-9a-f]{40}$", action)] == []
