"""The map of the package: arrows between rooms point down, in no circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "facetrack"
FLOORS = (
    ("cli",),
    ("batch", "bench"),
    ("api",),
    ("report",),
    ("comparison", "training"),
    ("evaluation",),
    ("images", "pipeline"),
    ("multiface",),
    ("trackers",),
    ("identity",),
    ("detectors", "face_detectors", "formats"),
    ("record",),
    ("tracks",),
    ("viz",),
    ("landmarks", "video", "weights"),
    ("files", "ops", "runtime"),
    ("registry",),
    ("callbacks", "defaults", "errors", "version"),
)
"""Rooms from the top floor to the bottom. A room may import from floors below its own."""
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


class Import(NamedTuple):
    """One import of one module of facetrack by another.

    Attributes:
        importer, imported: dotted names without "facetrack."; "" is `facetrack/__init__.py`.
        line: of the importer.
    """

    importer: str
    imported: str
    line: int


def name_of(path: Path) -> str:
    """The dotted name of a file of the package, without "facetrack."."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The package or top-level module that a module lies in."""
    return module.split(".")[0]


MODULES = {name_of(path) for path in PACKAGE.rglob("*.py")}


def imports_in(path: Path) -> Iterator[Import]:
    """Every import of facetrack's own modules in a file, those within functions too.

    Imports for type checkers alone are left out: they are not executed.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    unexecuted = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in unexecuted:
            continue
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} is a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package, _, module = name.partition(".")
            if package != "facetrack":
                continue
            while module and module not in MODULES:
                module = module.rpartition(".")[0]
            yield Import(name_of(path), module, node.lineno)


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    return [found for path in sorted(PACKAGE.rglob("*.py")) for found in imports_in(path)]


def test_every_module_has_a_floor() -> None:
    rooms = {room_of(module) for module in MODULES} - {"", "__main__"}
    assert rooms == set(FLOOR)


def test_imports_point_down(imports: list[Import]) -> None:
    wrong = [
        f"{i.importer}:{i.line} imports {i.imported}"
        for i in imports
        if i.importer not in ("", "__main__")
        and room_of(i.importer) != room_of(i.imported)
        and i.imported
        and FLOOR[room_of(i.imported)] <= FLOOR[room_of(i.importer)]
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_inside_imports_the_package_itself(imports: list[Import]) -> None:
    wrong = [f"{i.importer}:{i.line}" for i in imports if not i.imported and i.importer]
    assert not wrong, "\n".join(wrong)


def test_modules_import_each_other_in_no_circle(imports: list[Import]) -> None:
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for found in imports:
        if found.importer != found.imported:
            graph[found.importer].add(found.imported)
    while True:
        needed = set().union(*graph.values())
        ends = {m for m, needs in graph.items() if not needs & graph.keys() or m not in needed}
        if not ends:
            break
        graph = {m: needs - ends for m, needs in graph.items() if m not in ends}
    on_circles = {m: sorted(needs & graph.keys()) for m, needs in graph.items()}
    assert not on_circles, on_circles


def test_files_stay_short() -> None:
    lengths = {
        str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }
    assert not {name: length for name, length in lengths.items() if length > 440}
