"""Test the package's public names, versions, dependencies and README."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import facetrack
from facetrack.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# tomllib is not in Python 3.10.
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
REQUIREMENTS = [
    Requirement(text)
    for text in re.findall(r'"([A-Za-z][\w-]*>=[^"]+)"', PYPROJECT)
    if not text.startswith("hatchling")
]
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
MACHINES = [
    ("linux", "x86_64"),
    ("linux", "aarch64"),
    ("linux", "riscv64"),
    ("win32", "AMD64"),
    ("win32", "ARM64"),
    ("darwin", "arm64"),
    ("darwin", "x86_64"),
]


def machine(platform: str, processor: str, python: str = "3.11") -> dict[str, str]:
    """Return an environment in which to evaluate requirement markers."""
    return {
        "sys_platform": platform,
        "platform_machine": processor,
        "python_version": python,
        "platform_python_implementation": "CPython",
        "extra": "",
    }


def options_of(command: str) -> set[str]:
    """Return the options of `facetrack <command>`."""
    node = typer.main.get_command(app)
    for name in command.split():
        node = node.commands[name]
    options = {o for p in node.params for o in (*p.opts, *p.secondary_opts) if o.startswith("-")}
    return options | {"--help"}


def blocks(language: str) -> list[str]:
    """Return the README's code blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_public_names() -> None:
    assert facetrack.__all__ == [
        "Comparison",
        "DetectorOptions",
        "FacetrackError",
        "HeadPoses",
        "ImageFaces",
        "ImageOptions",
        "Options",
        "TrackedFrame",
        "TrackerOptions",
        "Tracks",
        "compare",
        "detect",
        "pose",
        "stream",
        "stream_async",
        "track",
        "track_async",
    ]


@pytest.mark.parametrize("name", facetrack.__all__)
def test_public_name_can_be_imported(name: str) -> None:
    assert getattr(facetrack, name).__name__ == name


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        facetrack.nonsense  # noqa: B018


@pytest.mark.parametrize(
    "command", ["", "track", "detect", "pose", "bench", "weights fetch", "train tracker", "edit"]
)
def test_help_imports_no_heavy_modules(command: str) -> None:
    code = (
        "import sys, facetrack.cli as cli\n"
        "try:\n    cli.main()\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "heavy = {'torch', 'cv2', 'dlib', 'numpy', 'scipy', 'skimage', 'imageio_ffmpeg'}\n"
        "heavy |= {'starlette', 'uvicorn', 'anyio'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *command.split(), "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert "Usage:" in result.stdout
    assert result.stdout.rstrip().endswith("HEAVY []")


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("pyproject.toml", r'^version = "(.+)"$'),
        ("CITATION.cff", r"^version: (.+)$"),
        ("CHANGELOG.md", r"^## (\d\S*)"),
    ],
)
def test_version_matches_the_package(file: str, pattern: str) -> None:
    match = re.search(pattern, (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    assert match is not None
    assert match[1] == facetrack.__version__


def test_readme_commands_use_existing_options() -> None:
    lines = [part for block in blocks("bash") for part in re.split(r"&&|\n", block)]
    calls = [
        words[1:]
        for line in lines
        if (words := shlex.split(line.rstrip("\\"), comments=True))
        and words[0].endswith("facetrack")
    ]
    assert len(calls) >= 5
    for words in calls:
        name = " ".join(words[: 2 if words[0] in ("weights", "train") else 1])
        used = {word for word in words if word.startswith("-")}
        assert used <= options_of(name), words


def test_readme_names_existing_options() -> None:
    # Exclude commands other than facetrack: code blocks, and scripts such as the benchmarks.
    prose = re.sub(r"```.*?```|`python [^`]*`", "", README, flags=re.DOTALL)
    pip_options = {"--no-index", "--find-links"}
    commands = ("track", "detect", "compare", "report", "evaluate", "weights fetch")
    commands += ("train tracker", "train detector")
    known = pip_options.union(*map(options_of, commands))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", prose)) <= known


def test_readme_is_short() -> None:
    assert len(README.encode()) <= 9000


def test_readme_marks_commands_run_by_ci() -> None:
    marked = re.findall(r"^<!-- ci -->\n```bash\n(.+)\n```$", README, re.MULTILINE)
    assert [next(w for w in ("track ", "pytest", "ruff") if w in text) for text in marked] == [
        "track ",
        "pytest",
        "ruff",
    ]


def test_readme_links_exist() -> None:
    links = re.findall(r"\]\(([^):]+)\)", README)
    assert links
    headings = [h.lower() for h in re.findall(r"^#+ (.+)$", README, re.MULTILINE)]
    anchors = {re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings}
    missing = [
        link
        for link in links
        if not ((ROOT / link).exists() if link[0] != "#" else link[1:] in anchors)
    ]
    assert not missing


def test_every_example_is_in_the_documentation() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    examples = [p.name for p in (ROOT / "examples").iterdir() if not p.name.startswith(("_", "."))]
    assert [name for name in examples if f"examples/{name}" not in text] == []


@pytest.mark.parametrize("python", ["3.10", "3.14", "3.15", "3.16"])
@pytest.mark.parametrize(("platform", "processor"), MACHINES)
def test_exactly_one_dlib_is_chosen(platform: str, processor: str, python: str) -> None:
    environment = machine(platform, processor, python)
    dlibs = [r for r in REQUIREMENTS if r.name.startswith("dlib")]
    chosen = [r.name for r in dlibs if r.marker is not None and r.marker.evaluate(environment)]
    prebuilt = python != "3.16" and (platform, processor) in [
        ("linux", "x86_64"),
        ("linux", "aarch64"),
        ("win32", "AMD64"),
        ("darwin", "arm64"),
    ]
    assert chosen == (["dlib-bin"] if prebuilt else ["dlib"])


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.13", "3.14"])
@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda r: r.name)
def test_constraints_have_one_suitable_version(requirement: Requirement, python: str) -> None:
    environment = machine("linux", "x86_64", python)
    is_prebuilt = requirement.name.startswith("dlib")  # whichever of the two a machine takes
    marker = requirement.marker
    if marker is not None and not is_prebuilt and not marker.evaluate(environment):
        return
    pins = [
        pin
        for pin in PINS
        if canonicalize_name(pin.name) == canonicalize_name(requirement.name)
        and (pin.marker is None or pin.marker.evaluate(environment))
    ]
    assert len(pins) == 1
    (pin,) = pins[0].specifier
    assert pin.operator == "=="
    assert requirement.specifier.contains(pin.version)
