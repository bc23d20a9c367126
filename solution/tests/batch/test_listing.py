"""Lists of pairs: every form gives the same pairs; what is wrong with one is its own, what is wrong with the list ends it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from solution.batch.listing import Listed, read_list, safe
from solution.core.errors import InputError
from solution.tests.batch.conftest import tiny, write_list


def test_paths_are_relative_to_the_list_and_addresses_stay(tmp_path):
    rows = [
        ("a/o.tif", "/b/s.tif", "one"),
        ("/vsizip/x.zip/o.tif", "https://host/s.tif", "two"),
        ("file:///c/o%20o.tif", "../s.tif", "three"),
    ]
    one, two, three = read_list(write_list(tmp_path / "pairs.csv", rows))
    assert one == Listed("one", tmp_path / "a" / "o.tif", Path("/b/s.tif"))
    assert (two.optical, two.sar) == (Path("/vsizip/x.zip/o.tif"), Path("https://host/s.tif"))
    assert (three.optical, three.sar) == (Path("/c/o o.tif"), tmp_path / "../s.tif")


def test_a_list_with_a_relative_path_gives_absolute_ones(tmp_path, monkeypatch):
    write_list(tmp_path / "pairs.csv", [("o.tif", "s.tif", "a")])
    monkeypatch.chdir(tmp_path)
    assert read_list(Path("pairs.csv")) == read_list(tmp_path / "pairs.csv")


def test_dialects_of_tables_and_parquet_say_the_same(tmp_path):
    table = pd.DataFrame({"optical": ["o1.tif", "o2.tif"], "sar": ["s1.tif", "s2.tif"], "name": ["p1", "p2"]})
    table.to_parquet(tmp_path / "pairs.parquet")
    (tmp_path / "pairs.csv").write_text("# ours\nSAR;Optical;Name\ns1.tif;o1.tif;p1\ns2.tif;o2.tif;p2\n", "utf-16")
    assert read_list(tmp_path / "pairs.parquet") == read_list(tmp_path / "pairs.csv")


def test_without_names_the_optical_images_give_them(tmp_path):
    rows = [("02_optical_train_01.tif", "x.tif"), ("a b.c.tif", "x.tif"), ("", "x.tif")]
    pairs = read_list(write_list(tmp_path / "pairs.csv", rows, "optical,sar"))
    assert [pair.name for pair in pairs] == ["02_train_01", "a_b_c", "row_3"]


def test_an_empty_cell_is_that_pairs_fault_alone(tmp_path):
    rows = [("o.tif", "", "a"), ("", "", "b"), ("o.tif", "s.tif", "c")]
    one, both, none = read_list(write_list(tmp_path / "pairs.csv", rows))
    assert one.fault.endswith("data row 1 names no SAR image; fill it in") and one.optical == tmp_path / "o.tif"
    assert "names no optical and no SAR image" in both.fault and none.fault == ""


def test_an_empty_cell_of_a_parquet_table_too(tmp_path):
    pd.DataFrame({"optical": ["o.tif"], "sar": [None], "name": [None]}).to_parquet(tmp_path / "pairs.parquet")
    (pair,) = read_list(tmp_path / "pairs.parquet")
    assert "names no SAR image" in pair.fault and pair.name == "o"


def test_a_folder_of_scenes_half_pairs_included(tmp_path):
    scene = tiny(tmp_path / "data", 1)
    (tmp_path / "data" / "03_optical_alone.tif").write_bytes(b"")
    whole, half = read_list(tmp_path / "data")
    assert whole == Listed(scene.name, scene.optical, scene.sar)
    assert half.name == "03_alone" and "03_sar_alone.tif is missing" in half.fault


def item(name: str, assets: dict) -> dict:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "geometry": None,
        "properties": {"datetime": "2024-01-01T00:00:00Z"},
        "links": [],
        "assets": assets,
    }


def write_items(path: Path, items: list[dict]) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return path


def test_a_stac_item_collection_by_keys_and_by_roles(tmp_path):
    by_key = {"optical": {"href": "./o.tif"}, "sar": {"href": "/s.tif"}}
    by_role = {"B1": {"href": "o2.tif", "roles": ["data", "optical"]}, "VV": {"href": "s2.tif", "roles": ["sar"]}}
    items = [item("S2/2024:1", by_key), item("b", by_role), item("c", {"optical": {"href": "o.tif"}})]
    one, two, half = read_list(write_items(tmp_path / "items.json", items))
    assert one == Listed("S2_2024_1", tmp_path / "o.tif", Path("/s.tif"))
    assert two == Listed("b", tmp_path / "o2.tif", tmp_path / "s2.tif")
    assert "Item c has no asset called sar" in half.fault


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("optical,name\na,b\n", "lacks the column(s) sar; it has optical, name"),
        ("optical,sar\n", "lists no pair"),
        ("", "it is empty"),
        ("optical,sar,name\na,b,x\na,c,X\n", "pairs 1 and 2 are both called X"),
        ("optical,sar\na/o.tif,b\nc/o.tif,d\n", "pairs 1 and 2 are both called o; give each a name of its own"),
        ("optical,sar,name\na,b,../x\n", "'../x', which is no safe file name"),
        ("optical,sar,name\na,b,a.sigma\n", "which is no safe file name"),
        ("optical,sar,name\na,b,-x\n", "no - in front"),
        (f"optical,sar,name\na,b,{'x' * 101}\n", "at most 100"),
        ("optical,sar,name\na,b,Index\n", "as a file of the batch is"),
    ],
)
def test_what_is_wrong_with_a_table(tmp_path, content, sentence):
    (tmp_path / "pairs.csv").write_text(content)
    with pytest.raises(InputError) as error:
        read_list(tmp_path / "pairs.csv")
    assert sentence in str(error.value) and str(tmp_path / "pairs.csv") in str(error.value)


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"type": "Feature"}', '{"type": "FeatureCollection", "features": [1]}', "null"]
)
def test_json_that_is_no_item_collection(tmp_path, content):
    (tmp_path / "items.json").write_text(content)
    with pytest.raises(InputError, match=r"items\.json: is not a readable STAC ItemCollection"):
        read_list(tmp_path / "items.json")


def test_no_items_no_list_no_folder(tmp_path):
    for path in (write_items(tmp_path / "items.json", []), tmp_path / "nowhere.csv", tmp_path / "nowhere.json"):
        with pytest.raises(InputError, match=path.name):
            read_list(path)
    with pytest.raises(InputError, match="holds no pair"):
        read_list(tmp_path)


def test_names_of_other_scripts_stay():
    assert safe("Антакья 2023/02") == "Антакья_2023_02" and safe("...") == ""
