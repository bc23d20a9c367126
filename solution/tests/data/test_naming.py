"""Names of scenes and of their files."""

from __future__ import annotations

from pathlib import Path

import pytest

from solution.data import naming


@pytest.mark.parametrize(("kind", "suffix"), [("optical", "tif"), ("sar", "tiff"), ("tiepoints", "csv")])
def test_a_file_name_and_its_parts(kind, suffix):
    name = naming.file_name("02_train_01", kind, suffix)
    parsed = naming.parse(name)
    assert name == f"02_{kind}_train_01.{suffix}"
    assert (parsed.aoi, parsed.kind, parsed.rest, parsed.suffix, parsed.scene) == (
        "02",
        kind,
        "train_01",
        suffix,
        "02_train_01",
    )
    assert naming.parse(name.upper()).kind == kind


@pytest.mark.parametrize(
    "name", ["2_optical_train_01.tif", "02_mask_train_01.tif", "02_optical_.tif", "02_optical_a.tif.aux.xml"]
)
def test_other_files_are_no_scene(name):
    assert naming.parse(name) is None


def test_scene_names():
    assert (naming.aoi_of("02_publictest"), naming.rest_of("02_publictest")) == ("02", "publictest")
    assert [naming.is_scene(name) for name in ("02_a", "02_", "02", "2_a", "02a", "ab_c")] == [True] + 5 * [False]
    assert naming.beside(Path("d/02_optical_a.tif"), "truth") == Path("d/02_truth_a.tif")
