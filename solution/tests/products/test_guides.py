"""The pages for people who use Python: every public name is described, and the notebook runs."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from solution import register
from solution.core.environment import variables
from solution.field.verdict import Verdict
from solution.products.registration import Registration
from solution.products.windows import WindowedRaster

DOCS = Path(__file__).resolve().parents[3] / "docs"
NOTEBOOK = DOCS / "quickstart.ipynb"


def public(described: type) -> list[str]:
    return [
        name for name in [*vars(described), *described.__annotations__] if not name.startswith("_") and name != "of"
    ]


@pytest.mark.parametrize("described", [Registration, WindowedRaster, Verdict])
def test_every_public_name_has_a_docstring(described):
    for name, value in vars(described).items():
        if not name.startswith("_") and (callable(value) or hasattr(value, "__get__")):
            assert inspect.getdoc(value), name
    for name in described.__annotations__:
        assert name.startswith("_") or re.search(rf"\b{name}[,:]", described.__doc__), name


def test_the_page_names_all_that_is_public():
    page = (DOCS / "api.md").read_text()
    for name in public(Registration):
        assert re.search(rf"`{name}[`(]", page), name
    arguments = list(inspect.signature(register).parameters)
    assert not [name for name in arguments if f"`{name}`" not in page and name not in ("optical", "sar")]
    assert not [
        name for name in arguments if not re.search(rf"^        (\w+, )*{name}(, \w+)*:", register.__doc__, re.M)
    ]


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def said(notebook: nbformat.NotebookNode) -> str:
    return "".join(output.text for output in outputs(notebook) if output.output_type == "stream")


def pictures(notebook: nbformat.NotebookNode) -> int:
    return sum("image/jpeg" in output.get("data", {}) for output in outputs(notebook))


def mean_errors(notebook: nbformat.NotebookNode) -> list[float]:
    return [float(value) for value in re.findall(r"(\d+\.\d+) px", said(notebook).split("mean error", 1)[1])]


@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_its_page_shows(tmp_path, monkeypatch):
    kept = nbformat.read(NOTEBOOK.open(), as_version=4)
    monkeypatch.setenv("PYTHONPATH", str(DOCS.parent))
    for name, value in variables().items():
        monkeypatch.setenv(name, value)
    fresh = nbformat.from_dict(json.loads(json.dumps(kept)))
    NotebookClient(fresh, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert not [output for output in outputs(fresh) if output.get("name") == "stderr"]
    assert pictures(fresh) == pictures(kept) >= 4
    assert mean_errors(fresh) == pytest.approx(mean_errors(kept), rel=0.2)
    assert {"offsets.tif", "offsets.report.json", "result.jpg"} <= {path.name for path in tmp_path.iterdir()}


def test_the_notebook_is_kept_with_its_pictures_and_without_places_of_a_machine():
    kept = nbformat.read(NOTEBOOK.open(), as_version=4)
    nbformat.validate(kept)
    assert pictures(kept) >= 4 and NOTEBOOK.stat().st_size < 500_000
    assert not re.search(r"/(tmp|home|work|root|usr)/", said(kept)) and "Error" not in said(kept)
    assert all(cell.execution_count for cell in kept.cells if cell.cell_type == "code")
