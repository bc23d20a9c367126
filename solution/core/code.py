"""The code behind a result, as a digest: what a function's module reaches by its imports, read from the import
statements.

Every key of a kept result holds such a digest, so that code that changed never finds its old results up to date.
Comments, docstrings, the layout of lines and tests change nothing.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import ModuleType

import solution
from solution.core.remembered import Remembered

PACKAGE = Path(solution.__file__).resolve().parent

Behind = Callable | ModuleType | str
"""Something that makes results: a function or class of this package, a module of it, or the module's dotted name below
the package."""

_REMEMBERED = Remembered("code.json", sys.version.encode() + Path(__file__).read_bytes())
_HOLD_STATEMENTS = ("body", "orelse", "finalbody", "handlers", "cases")


def code_digest(*behind: Behind, alone: tuple[Behind, ...] = (), package: Path = PACKAGE) -> str:
    """Short hash of the code behind a result.

    Args:
        behind: what makes the result; all that its modules import, directly or not, at their top or in a function,
            counts.
        alone: what has a part in it, but is not followed any further.
        package: folder of the package.

    Raises:
        FileNotFoundError: something that stands in no file of the package.
    """
    files = {*reached(*behind, package=package), *(_file(module_name(one, package), package) for one in alone)}
    facts = [(name, _read(package / name).digest) for name in sorted(files)]
    _REMEMBERED.keep()
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def reached(*behind: Behind, package: Path = PACKAGE) -> tuple[str, ...]:
    """Files, relative to the package and in order, that these import, directly or not; their own included.

    Raises:
        FileNotFoundError: something that stands in no file of the package.
    """
    ahead, found = [_file(module_name(one, package), package) for one in behind], set()
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead.extend(_imported(package, name))
    return tuple(sorted(found))


def module_name(behind: Behind, package: Path = PACKAGE) -> str:
    """Dotted name, below the package, of the module that something stands in."""
    while isinstance(behind, functools.partial):
        behind = behind.func
    name = (
        behind if isinstance(behind, str) else behind.__name__ if isinstance(behind, ModuleType) else behind.__module__
    )
    return name.removeprefix(f"{package.name}.")


def _file(module: str, package: Path) -> str:
    path = Path(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if (package / file).is_file():
            return file.as_posix()
    raise FileNotFoundError(f"{module}: is no module of {package}")


@dataclass(frozen=True)
class _Source:
    """What counts in a file.

    Attributes:
        modules: all that its import statements may mean by a module.
        digest: of its syntax tree without its docstrings; the strings that document constants are docstrings too.
    """

    modules: tuple[str, ...]
    digest: str


@functools.cache
def _read(path: Path) -> _Source:
    modules, digest = _REMEMBERED.of(path.read_bytes(), _parsed)
    return _Source(tuple(modules), digest)


def _parsed(content: bytes) -> list:
    """The attributes of a `_Source`."""
    tree = ast.parse(content)
    modules = sorted(set(_modules(tree)))
    for block in _blocks(tree):
        block[:] = [node for node in block if not _is_docstring(node)]
    return [modules, hashlib.sha256(ast.dump(tree).encode()).hexdigest()]


@functools.cache
def _imported(package: Path, name: str) -> tuple[str, ...]:
    modules = _read(package / name).modules
    return tuple(sorted({file for module in modules for file in _files(package, module)}))


def _modules(tree: ast.Module) -> Iterator[str]:
    """All that an import statement may mean by a module; a name that is imported from one may be a module itself."""
    for node in chain.from_iterable(_blocks(tree)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@functools.cache
def _files(package: Path, module: str) -> tuple[str, ...]:
    """The file of a module of the package, and those of the packages that it is in; nothing for others."""
    parts = module.split(".")
    if parts[0] != package.name:
        return ()
    folders = [Path(*parts[1:depth]) for depth in range(1, len(parts) + 1)]
    files = [
        file for path in folders for file in (path.with_suffix(".py") if path.name else path, path / "__init__.py")
    ]
    return tuple(file.as_posix() for file in files if (package / file).is_file())


def _blocks(tree: ast.Module) -> Iterator[list]:
    """All lists of statements in a file, and those of a statement's handlers and cases. No expression is looked into: it
    holds no statement, and most of a tree is expressions."""
    ahead = [tree]
    while ahead:
        node = ahead.pop()
        for name in _HOLD_STATEMENTS:
            block = getattr(node, name, None)
            if block:
                yield block
                ahead.extend(block)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
