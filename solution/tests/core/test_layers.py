"""Imports run downward only, and in no circle: read from the import statements, at the top of a file and in functions
alike."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import solution

PACKAGE = Path(solution.__file__).resolve().parent
LAYERS = (
    ("__main__",),
    ("cli",),
    ("benchmark", "batch"),
    ("products",),
    ("reranker", "baseline"),
    ("teams",),
    ("training",),
    ("proposers", "surface"),
    ("samples", "field", "scoring", "simulate"),
    ("data",),
    ("core",),
)
"""From the top down. A room may import from rooms below it and from itself."""
HEIGHT = {room: -depth for depth, rooms in enumerate(LAYERS) for room in rooms}


def module_of(path: Path, package: Path) -> str:
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(package: Path, name: str = "solution") -> dict[str, set[str]]:
    """Module -> the modules of the package that it imports; names without the package's, '' for the package itself."""
    files = {
        module_of(path, package): path
        for path in package.rglob("*.py")
        if "tests" not in path.relative_to(package).parts
    }
    found: dict[str, set[str]] = {}
    for module, path in files.items():
        said = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                said |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{path}: relative import"
                said |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        own = {other.removeprefix(name).lstrip(".") for other in said if other.split(".")[0] == name}
        found[module] = (own & set(files)) - {module, ""}
    return found


def upward(modules: dict[str, set[str]]) -> list[str]:
    """Imports that run upward or sideways into another room."""
    wrong = []
    for module, others in modules.items():
        room = module.split(".")[0]
        for other in sorted(others):
            below = other.split(".")[0]
            if room and room != below and HEIGHT[room] <= HEIGHT[below]:
                wrong.append(f"{module} imports {other}")
    return sorted(wrong)


def circle(modules: dict[str, set[str]]) -> None:
    """Raise `graphlib.CycleError` where modules import each other in a circle; a package's __init__ is a module like
    any other."""
    TopologicalSorter(modules).prepare()


def test_imports_run_downward():
    assert upward(imports(PACKAGE)) == []


def test_nothing_is_imported_in_a_circle():
    circle(imports(PACKAGE))


def test_every_folder_has_its_place():
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name not in ("tests", "__pycache__")}
    assert folders == set(HEIGHT) - {"__main__"}
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py"}


def test_an_upward_import_and_a_circle_are_seen(tmp_path):
    files = {
        "core/a.py": "def f():\n    from solution.data import b\n",
        "data/b.py": "import solution.core.a\n",
        "field/c.py": "from solution.samples.d import x\n",
    }
    for name, text in {**files, "samples/d.py": "", "core/__init__.py": "", "data/__init__.py": ""}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    modules = imports(tmp_path)
    assert upward(modules) == ["core.a imports data", "core.a imports data.b", "field.c imports samples.d"]
    with pytest.raises(ValueError, match="cycle"):
        circle(modules)
