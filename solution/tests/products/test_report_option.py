"""The report page of a prediction: it comes and goes with the map, and is the one that the verb makes."""

from __future__ import annotations

import pytest

from solution.products.page import maps, marking, residuals
from solution.tests.products.conftest import files

pytestmark = pytest.mark.usefixtures("good_teams")


@pytest.fixture(autouse=True)
def no_drawings(monkeypatch):
    for module in (maps, residuals):
        monkeypatch.setattr(module, "drawing", lambda figure: "data:,")


def test_predict_and_the_verb_make_the_same_page(scene, go, run, tmp_path):
    out, page = tmp_path / "map.tif", tmp_path / "map.html"
    assert go(scene.optical, scene.sar, out, "--report", "--uncertainty")[0] == 0
    whole = page.read_bytes()
    assert b"Use it: " in whole and b"How far off the map may be" in whole
    assert run("report", out)[0] == 0 and page.read_bytes() == whole


def test_a_finished_prediction_gets_its_page_without_a_new_run(scene, go, tmp_path):
    out, page = tmp_path / "map.tif", tmp_path / "map.html"
    go(scene.optical, scene.sar, out)
    before = files(tmp_path)
    assert not page.exists()
    printed = go(scene.optical, scene.sar, out, "--report")[1]
    assert f"{page}: written" in printed and "up to date, skipped" in printed
    whole = page.read_bytes()
    assert {name: content for name, content in files(tmp_path).items() if name != page.name} == before
    assert f"{page}: written" not in go(scene.optical, scene.sar, out, "--report")[1]
    page.write_bytes(whole[:-100])  # what a broken copy leaves
    assert f"{page}: written" in go(scene.optical, scene.sar, out, "--report")[1] and page.read_bytes() == whole


def test_the_page_of_an_older_map_goes_and_a_users_own_stays(scene, go, tmp_path):
    out, page = tmp_path / "map.tif", tmp_path / "map.html"
    go(scene.optical, scene.sar, out, "--team", "0", "--report")
    assert marking.is_page(page)
    assert f"{page}: removed, made beside an older map" in go(scene.optical, scene.sar, out, "--team", "1")[1]
    page.write_text("<html>mine</html>\n")
    assert "removed" not in go(scene.optical, scene.sar, out, "--team", "0")[1]
    assert page.read_text() == "<html>mine</html>\n"


def test_what_the_page_cannot_be_made_from_leaves_nothing(scene, go, tmp_path, monkeypatch):
    """Page, map and report come together or not at all."""

    def broken(figure: object) -> str:
        raise RuntimeError("no figure")

    monkeypatch.setattr(maps, "drawing", broken)
    with pytest.raises(RuntimeError):
        go(scene.optical, scene.sar, tmp_path / "out" / "map.tif", "--report")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".work"]
