"""Test that imports between packages point down and form no cycle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "facetrack"
LEVELS = (
    ("cli",),
    ("batch", "bench", "editor"),
    ("api",),
    ("report",),
    ("comparison", "training"),
    ("evaluation",),
    ("corrections",),
    ("images", "pipeline"),
    ("multiface",),
    ("trackers",),
    ("orientation",),
    ("confidence", "head_pose", "identity"),
    ("detectors", "exports", "face_detectors", "formats"),
    ("measures",),
    ("record",),
    ("tracks",),
    ("series",),
    ("viz",),
    ("landmarks", "video", "weights"),
    ("files", "ops", "tables"),
    ("runtime",),
    ("registry",),
    ("callbacks", "defaults", "errors", "suggestions", "version"),
)
"""Packages and top-level modules from top to bottom. Each may import from the levels below."""
LEVEL = {package: number for number, packages in enumerate(LEVELS) for package in packages}


class Import(NamedTuple):
    """An import of a module of facetrack by another.

    Attributes:
        importer, imported: dotted names without "facetrack."; "" is `facetrack/__init__.py`.
        line: line number in the importer.
    """

    importer: str
    imported: str
    line: int


def name_of(path: Path) -> str:
    """Return the dotted name of a file of the package, without "facetrack."."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(module: str) -> str:
    """Return the package or top-level module that contains a module."""
    return module.split(".")[0]


MODULES = {name_of(path) for path in PACKAGE.rglob("*.py")}


def imports_in(path: Path) -> Iterator[Import]:
    """Yield every import of facetrack's modules in a file, including imports in functions.

    Imports for type checkers only are excluded, because they are not executed.
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
    return [entry for path in sorted(PACKAGE.rglob("*.py")) for entry in imports_in(path)]


def test_every_module_has_a_level() -> None:
    packages = {package_of(module) for module in MODULES} - {"", "__main__"}
    assert packages == set(LEVEL)


def test_imports_point_down(imports: list[Import]) -> None:
    violations = [
        f"{i.importer}:{i.line} imports {i.imported}"
        for i in imports
        if i.importer not in ("", "__main__")
        and package_of(i.importer) != package_of(i.imported)
        and i.imported
        and LEVEL[package_of(i.imported)] <= LEVEL[package_of(i.importer)]
    ]
    assert not violations, "\n".join(violations)


def test_nothing_inside_imports_the_package_itself(imports: list[Import]) -> None:
    violations = [f"{i.importer}:{i.line}" for i in imports if not i.imported and i.importer]
    assert not violations, "\n".join(violations)


def test_imports_form_no_cycle(imports: list[Import]) -> None:
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for entry in imports:
        if entry.importer != entry.imported:
            graph[entry.importer].add(entry.imported)
    while True:
        needed = set().union(*graph.values())
        ends = {m for m, needs in graph.items() if not needs & graph.keys() or m not in needed}
        if not ends:
            break
        graph = {m: needs - ends for m, needs in graph.items() if m not in ends}
    on_cycles = {m: sorted(needs & graph.keys()) for m, needs in graph.items()}
    assert not on_cycles, on_cycles


def test_files_stay_short() -> None:
    lengths = {
        str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }
    assert not {name: length for name, length in lengths.items() if length > 420}
