"""The digest of the code behind a result: what is reached by imports, without what only people read."""

from __future__ import annotations

from functools import partial

import pytest

from solution.benchmark.methods import METHODS
from solution.core import code
from solution.core.code import PACKAGE, code_digest, module_name, reached
from solution.training.run import train_stage
from solution.training.stages import FLOW, MATCHER

FILES = {
    "__init__.py": "",
    "a.py": "import numpy\nfrom solution import b\ndef f():\n    from solution.c.d import g\n",
    "b.py": "LIMIT = 3\n",
    "c/__init__.py": "",
    "c/d.py": "from solution.c import other\ng = other\n",
    "c/other.py": "b = 'from solution import e'\n",
    "e.py": "import solution.a\n",
}
WHOLE = ("__init__.py", "a.py", "b.py", "c/__init__.py", "c/d.py", "c/other.py")


@pytest.fixture
def package(tmp_path):
    """a imports b at its top and c.d in a function; c.d imports its sibling, which only mentions e; e imports a."""

    def made(number: int = 0, **changed: str):
        folder = tmp_path / str(number) / "solution"  # a new folder each time: parsed files are kept by their path
        for name, text in {**FILES, **{key.replace("__", "/") + ".py": text for key, text in changed.items()}}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return folder

    return made


def test_imports_are_followed_at_the_top_and_in_functions(package):
    folder = package()
    assert reached("a", package=folder) == WHOLE
    assert reached("b", package=folder) == ("b.py",) and reached(package=folder) == ()
    assert reached("e", package=folder) == (
        "__init__.py",
        "a.py",
        "b.py",
        "c/__init__.py",
        "c/d.py",
        "c/other.py",
        "e.py",
    )
    assert reached("c.other", "e", package=folder) == reached("e", package=folder)
    assert reached("c", package=folder) == ("c/__init__.py",)
    with pytest.raises(FileNotFoundError):
        reached("gone", package=folder)


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"b": "LIMIT = 4\n"}, False),
        ({"c__other": "b = 'another text'\n"}, False),
        ({"b": "# why three\nLIMIT = (\n    3\n)\n"}, True),
        ({"b": '"""A module."""\n\nLIMIT = 3\n"""Of something."""\n'}, True),
        (
            {
                "a": 'import numpy\nfrom solution import b\ndef f():\n    """Says what it does."""\n    from solution.c.d import g\n'
            },
            True,
        ),
        ({"e": "import solution.a\nx = 1\n"}, True),
    ],
)
def test_a_constant_changes_the_digest_and_a_comment_or_a_docstring_does_not(package, changed, same):
    before, after = (code_digest("a", package=folder) for folder in (package(0), package(1, **changed)))
    assert (before == after) == same


def test_what_stands_alone_counts_without_what_it_imports(package):
    folder, other = package(0), package(1, c__other="b = 1\n")
    assert code_digest("b", alone=("c.d",), package=folder) == code_digest("b", alone=("c.d",), package=other)
    assert code_digest("b", alone=("c.d",), package=folder) != code_digest("b", package=folder)


def test_a_function_a_class_a_partial_and_a_module_name_their_file():
    assert module_name(partial(partial(code_digest), alone=())) == module_name(code) == "core.code"
    assert module_name(type(next(iter(METHODS.values())))) == "benchmark.methods"


def test_a_training_run_depends_on_its_own_family_and_on_how_weights_are_kept():
    def files(stage):
        return set(reached(train_stage, stage.module, stage.samples))

    shared = {"training/run.py", "core/weights.py", "samples/tiles.py", "samples/truth.py"}
    assert shared | {"proposers/flow/network.py"} <= files(FLOW) and "proposers/matcher/network.py" not in files(FLOW)
    assert shared | {"proposers/matcher/network.py"} <= files(MATCHER)


def test_the_rows_of_the_benchmark_depend_on_what_decides_them():
    files = {name: set(reached("scoring.score", *method.starts)) for name, method in METHODS.items()}
    assert all((PACKAGE / file).is_file() for found in files.values() for file in found)
    needed = {
        "proposers/flow/network.py",
        "proposers/matcher/network.py",
        "proposers/gradient/windows.py",
        "field/lattice.py",
        "surface/water.py",
        "surface/ground.py",
        "proposers/flow/fine.py",
        "data/raster.py",
    }
    assert needed | {"field/offset_map.py", "products/predict.py"} <= files["pipeline"] and needed <= files["flow"]
    assert "baseline/keypoints.py" in files["baseline"]
    assert {"benchmark/template.py", "field/lattice.py"} <= files["template"]
    assert {"scoring/score.py", "data/tiepoints.py", "core/geometry.py"} <= files["zero"]
    assert not {"field/fitting.py", "proposers/flow/network.py"} & files["simpleitk"]
    assert len({method.code() for method in METHODS.values()}) >= 5
