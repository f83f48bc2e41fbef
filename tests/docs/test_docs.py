"""The pages in docs/: their commands run, their options and links exist, their columns are true."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import program
import pytest
import typer

from facetrack import detectors, face_detectors
from facetrack.cli import app
from facetrack.comparison import measures as comparison_measures
from facetrack.formats.base import FORMATS
from facetrack.formats.csv import csv_columns
from facetrack.formats.npz import NpzWriter
from facetrack.formats.openface import OpenFaceWriter
from facetrack.images.pose_table import POSE_COLUMNS
from facetrack.images.writer import header as images_header
from facetrack.measures.face_measures import MEASURES
from facetrack.measures.files import EVENT_COLUMNS
from facetrack.measures.lab_clock import UTC_COLUMN
from facetrack.trackers import factory
from facetrack.tracks import Tracks, column_names

DOCS = program.ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
_BLOCK = re.compile(
    r"^(?P<indent> *)(?:<!-- (?P<mark>[^>]*?) -->\n *)?```(?P<language>bash|console|python)\n"
    r"(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
_MARK = re.compile(r"run|run: slow|run: fails|not run: .+|cell")  # cell: test_tour.py


@dataclass(frozen=True)
class Block:
    """A piece of code, and what its mark says is to be done with it."""

    language: str
    text: str
    mark: str

    def command(self) -> list[str]:
        if self.language == "python":
            return [sys.executable, "-c", self.text]
        return ["bash", "-euo", "pipefail", "-c", self.text]


def blocks(page: Path) -> list[Block]:
    return [
        Block(m["language"], m["text"], m["mark"] or "")
        for m in _BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]


def run_page(page: Path, folder: Path, marks: Iterable[str]) -> None:
    """Run the blocks with these marks, in order, in a folder with copies of what they name."""
    shutil.copytree(program.ROOT / "examples", folder / "examples")
    (folder / "benchmarks").symlink_to(program.ROOT / "benchmarks")
    env = {**program.environment(folder / ".bin"), "FACETRACK_HOME": str(folder / ".home")}
    for block in blocks(page):
        if block.mark not in marks:
            continue
        ran = subprocess.run(
            block.command(), cwd=folder, env=env, capture_output=True, text=True, timeout=600
        )
        said = f"{block.text}\n{ran.stdout}\n{ran.stderr}"
        if block.mark == "run: fails":
            assert ran.returncode == 2, said
            assert ran.stderr.splitlines()[-1].startswith("facetrack: "), said
        else:
            assert ran.returncode == 0, said


def pages_with(*marks: str) -> list[Path]:
    return [page for page in PAGES if any(block.mark in marks for block in blocks(page))]


@pytest.mark.skipif(sys.platform == "win32", reason="the pages' commands are for bash")
@pytest.mark.parametrize("page", pages_with("run", "run: fails"), ids=lambda page: page.stem)
def test_commands_work(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("matplotlib")
    run_page(page, tmp_path, ("run", "run: fails"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the pages' commands are for bash")
@pytest.mark.parametrize("page", pages_with("run: slow"), ids=lambda page: page.stem)
def test_slow_commands_work_too(page: Path, tmp_path: Path) -> None:
    run_page(page, tmp_path, ("run", "run: slow", "run: fails"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_is_run_or_says_why_not(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(blocks(page)) == len(re.findall(r"^ *```(?:bash|console|python)$", text, re.M))
    assert [block.text for block in blocks(page) if not _MARK.fullmatch(block.mark)] == []


# ---------------------------------------------------------------- what the pages name


def commands(node: typer.core.TyperGroup, path: str = "") -> dict[str, set[str]]:
    """The options of every command, by its name."""
    found = {}
    for name, one in node.commands.items():
        if hasattr(one, "commands"):
            found.update(commands(one, f"{path}{name} "))
        else:
            options = {o for p in one.params for o in (*p.opts, *p.secondary_opts) if o[0] == "-"}
            found[path + name] = options | {"--help"}
    return found


COMMANDS = commands(typer.main.get_command(app))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_use_options_that_exist(page: Path) -> None:
    for block in blocks(page):
        if block.language != "bash":
            continue
        text = block.text.replace("\\\n", " ")
        for line in re.findall(r"\bfacetrack (.*?)(?:;|\||&&|\n)", text):
            words = shlex.split(line, comments=True)
            default = "track" if Path(words[0]).suffix else None  # a file without a command
            name = next((n for n in COMMANDS if words[: n.count(" ") + 1] == n.split()), default)
            if words in (["--version"], ["--env"]) or "--find-links" in block.text:
                continue
            assert name is not None, line
            used = {w for w in words if w.startswith("--") and w != "--"}
            assert used <= COMMANDS[name], line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_text_names_only_options_that_exist(page: Path) -> None:
    # But for commands that are not facetrack's: blocks, and scripts such as the benchmarks.
    code = r"```.*?```|`(?:python|mkdocs|pip) [^`]*`"
    prose = re.sub(code, "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", prose))
    of_group = {o for param in typer.main.get_command(app).params for o in param.opts}
    assert used <= of_group.union(*COMMANDS.values())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        path, _, place = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        if place:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
            assert place in anchors, link


def test_the_index_has_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    assert [
        page.name for page in PAGES if page.name != "README.md" and f"({page.name})" not in index
    ] == []


def test_the_site_has_every_page() -> None:
    config = (program.ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"[\w/-]+\.md", config.split("\nnav:")[1]))
    cards = {f"cards/{card.name}" for card in (program.ROOT / "weights").glob("*.md")}
    pages = {f"reference/{name}.md" for name in ("benchmarks", "contributing", "changelog")}
    assert listed == cards | pages | {page.name for page in PAGES}


def test_the_site_builds_and_needs_no_network(tmp_path: Path) -> None:
    for package in ("mkdocs", "material", "mkdocstrings_handlers.python"):
        pytest.importorskip(package)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    ran = subprocess.run(command, cwd=program.ROOT, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    for path in tmp_path.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        tags = re.findall(r"<(?:script|img|source) [^>]*>|<link [^>]*stylesheet[^>]*>", text)
        loaded = [tag for tag in tags if re.search(r"(?:src|href)=\"?https?:", tag)]
        assert not loaded, path


def test_the_map_of_the_code_has_every_package() -> None:
    text = (DOCS / "how-it-works.md").read_text(encoding="utf-8")
    package = program.ROOT / "facetrack"
    rooms = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    rooms |= {path.name for path in package.glob("[!_]*.py")}
    tree = text.split("```text\nfacetrack/\n")[1].split("```")[0]
    assert rooms == set(re.findall(r"(?<=  )[\w.]+/?(?=  |$)", tree, re.MULTILINE)) & rooms
    for path in re.findall(r"`(facetrack/[\w/.]+)`", text):
        assert (program.ROOT / path).exists(), path


@pytest.mark.parametrize(
    ("page", "choices"),
    [
        ("choosing", factory.available()),
        ("choosing", [*detectors.available(), "points"]),
        ("choosing", face_detectors.available()),
        ("output", list(FORMATS)),
        ("weights", ["FACETRACK_HOME", "FACETRACK_OFFLINE", "FACETRACK_WEIGHTS_URL"]),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_tables_hold_every_choice(page: str, choices: list[str]) -> None:
    rows = re.findall(r"^\| (`.+?) \|", (DOCS / f"{page}.md").read_text(encoding="utf-8"), re.M)
    assert set(choices) <= {name for row in rows for name in re.findall(r"`([\w+-]+)`", row)}


# ---------------------------------------------------------------- columns


def columns(heading: str, points: int = 5, page: str = "output.md") -> list[str]:
    """The first column of the first table below a heading of output.md, ranges written out."""
    text = (DOCS / page).read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    names: list[str] = []
    for row in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE):
        first, *others = re.findall(r"`(.+?)`", row)
        if "..." in row:
            names += [first.removesuffix("0") + str(i) for i in range(points)]
        else:
            names += [first, *others]
    return names


@pytest.fixture
def tracks() -> Tracks:
    return Tracks(
        xy=np.ones((2, 1, 5, 2), np.float32),
        visible=np.ones((2, 1, 5), bool),
        confidence=np.ones((2, 1, 5), np.float32),
        time=np.arange(2.0),
        face_id=np.zeros(1, np.int64),
        scheme="points-5",
        size=(64, 48),
    )


def test_csv_columns_are_those_of_the_page() -> None:
    assert columns("csv") == [*csv_columns(5, confidence=True), UTC_COLUMN]
    assert csv_columns(5) == column_names(5)


def test_openface_columns_are_those_of_the_page(tracks: Tracks, tmp_path: Path) -> None:
    shape = (2, 1, 68)
    face = replace(
        tracks,
        xy=np.ones((*shape, 2), np.float32),
        visible=np.ones(shape, bool),
        confidence=np.ones(shape, np.float32),
        scheme="68",
    )
    with OpenFaceWriter(tmp_path / "a.csv") as writer:
        writer.write(face)
    assert columns("openface", 68) == (tmp_path / "a.csv").read_text().splitlines()[0].split(", ")


def test_measures_are_those_of_the_page() -> None:
    names = columns("Columns of the measures", page="measures.md")
    assert names == [measure.name for measure in MEASURES]
    events = columns("Columns of the events", page="measures.md")
    moments = [f"{name}_{clock}" for clock in ("audio", "utc") for name in ("start", "peak", "end")]
    assert events == [*EVENT_COLUMNS, *moments]


def test_columns_of_a_summary_are_those_of_the_page() -> None:
    names = columns("Columns of `summary.csv`", page="choosing.md")
    own = ["rank", "init", "tracker", *(measure.column for measure in comparison_measures.MEASURES)]
    assert names[: len(own)] == own
    assert all(name.endswith("_seconds") for name in names[len(own) :])


def test_npz_arrays_are_those_of_the_page(tracks: Tracks, tmp_path: Path) -> None:
    with NpzWriter(tmp_path / "a.npz") as writer:
        writer.write(tracks)
    with np.load(tmp_path / "a.npz") as arrays:
        assert sorted(columns("npz")) == sorted(arrays.files)


def test_image_columns_are_those_of_the_page() -> None:
    assert columns("Still images: `facetrack detect`") == images_header(5, confidence=True)


def test_pose_columns_are_those_of_the_page() -> None:
    assert columns("Head poses: `facetrack pose`") == list(POSE_COLUMNS)
