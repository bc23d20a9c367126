"""What a benchmark cell depends on is read from the import statements, directly or not."""

from __future__ import annotations

import pytest

from solution.benchmark import code as sources
from solution.benchmark.code import PACKAGE, reached
from solution.benchmark.methods import METHODS


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of its own: a imports b at its top and c.d in a function; c.d imports its sibling; e stands alone."""
    folder = tmp_path / "solution"
    (folder / "c").mkdir(parents=True)
    files = {
        "__init__.py": "",
        "a.py": "import numpy\nfrom solution import b\ndef f():\n    from solution.c.d import g\n",
        "b.py": "import solution.a\n",
        "c/__init__.py": "",
        "c/d.py": "from solution.c import other\ng = other\n",
        "c/other.py": "b = 'from solution import e'\n",
        "e.py": "",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    monkeypatch.setattr(sources, "PACKAGE", folder)
    sources._imported.cache_clear()
    yield
    sources._imported.cache_clear()


def test_imports_are_followed_at_the_top_and_in_functions(package):
    whole = ("__init__.py", "a.py", "b.py", "c/__init__.py", "c/d.py", "c/other.py")
    assert reached("a.py") == whole and reached("b.py") == whole
    assert reached("e.py") == ("e.py",) and reached("c/other.py", "e.py") == ("c/other.py", "e.py") and reached() == ()
    with pytest.raises(FileNotFoundError):
        reached("gone.py")


def test_the_rows_depend_on_what_decides_them():
    code = {name: set(method.code()) for name, method in METHODS.items()}
    assert all((PACKAGE / file).is_file() for files in code.values() for file in files)
    needed = {
        "proposers/flow/network.py",
        "proposers/matcher/network.py",
        "proposers/gradient/windows.py",
        "field/lattice.py",
        "surface/water.py",
        "surface/ground.py",
        "proposers/flow/pyramid.py",
        "data/raster.py",
    }
    assert needed | {"field/offset_map.py", "products/predict.py"} <= code["pipeline"] and needed <= code["flow"]
    assert (
        "baseline/keypoints.py" in code["baseline"]
        and "benchmark/template.py" in code["template"]
        and "field/lattice.py" in code["template"]
    )
    assert {"benchmark/cell.py", "scoring/score.py", "data/tiepoints.py", "core/geometry.py"} <= code["zero"]
    assert not {"field/fitting.py", "proposers/flow/network.py"} & code["simpleitk"]
