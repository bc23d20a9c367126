"""Which files of this package a piece of it depends on, read from the import statements: what a benchmark's result must be measured again for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import solution

PACKAGE = Path(solution.__file__).resolve().parent


def reached(*starts: str) -> tuple[str, ...]:
    """Files, relative to the package and in order, that these import, directly or not, at their top or in a function; themselves included.

    Raises:
        FileNotFoundError: a start that is no file of the package.
    """
    found, ahead = set(), list(starts)
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead.extend(_imported(name))
    return tuple(sorted(found))


@cache
def _imported(name: str) -> tuple[str, ...]:
    tree = ast.parse((PACKAGE / name).read_text())
    return tuple(sorted({file for module in _modules(tree) for file in _files(module)}))


def _modules(tree: ast.AST) -> Iterator[str]:
    """All that an import statement may mean by a module; a name that is imported from one may be a module itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files(module: str) -> Iterator[str]:
    """The file of a module of this package, and those of the packages that it is in; nothing for others."""
    parts = module.split(".")
    if parts[0] != PACKAGE.name:
        return
    for depth in range(1, len(parts) + 1):
        path = Path(*parts[1:depth])
        for file in (path.with_suffix(".py") if path.name else path / "__init__.py", path / "__init__.py"):
            if (PACKAGE / file).is_file():
                yield file.as_posix()
