"""``fit``: tie-points of people's own become a map, through the public command line."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rasterio

from solution.core.errors import InputError
from solution.field.imported import read_given
from solution.tests.conftest import Recipe, Scene, write_scene


def wavy(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return 9.0 + 0.02 * x + 3 * np.sin(y / 60), -7.0 - 0.03 * y


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Scene:
    recipe = Recipe(
        shape=(208, 256), sar_gsd=(1.0, 1.0), sar_offset=(-30.0, 30.0), displacement=wavy, points=(9, 8), seed=1
    )
    return write_scene(tmp_path_factory.mktemp("given"), "02_train_01", recipe)


@pytest.fixture(scope="module")
def own(scene) -> pd.DataFrame:
    points = scene.open().tiepoints()
    return pd.DataFrame(
        {"x": points.xy[:, 0], "y": points.xy[:, 1], "dx": points.shift[:, 0], "dy": points.shift[:, 1]}
    )


def arguments(table, scene: Scene, out) -> list:
    return ["fit", table, "--optical", scene.optical, "--sar", scene.sar, "--out", out]


@pytest.mark.parametrize("kind", ["csv", "parquet", "sn9", "sn9 parquet", "semicolons"])
def test_a_map_from_tie_points_of_any_form(kind, scene, own, tmp_path, run):
    path = tmp_path / f"own.{'parquet' if 'parquet' in kind else 'csv'}"
    if kind == "sn9":
        path = scene.tiepoints_csv
    elif kind == "sn9 parquet":
        pd.read_csv(scene.tiepoints_csv).to_parquet(path)
    elif kind == "parquet":
        own.to_parquet(path)
    else:
        own.assign(source="SIFT", tile=np.nan, confidence=np.nan).to_csv(
            path, index=False, sep=";" if kind == "semicolons" else ","
        )
    sigma = tmp_path / "sigma.tif"
    code, *said = run(*arguments(path, scene, tmp_path / "map.tif"), "--uncertainty", sigma)
    output = "".join(said)
    assert code == 0 and "of 72 tie-points set aside" in output
    with rasterio.open(tmp_path / "map.tif") as written:
        column, row = own["x"].to_numpy().astype(int), own["y"].to_numpy().astype(int)
        found = written.read()[:, row, column]
    assert np.hypot(*(found - own[["dx", "dy"]].to_numpy().T)).mean() < 1.0
    with rasterio.open(sigma) as written:
        values = written.read()
        assert written.count == 1 and written.shape == (208, 256) and written.descriptions == ("sigma_px",)
    assert (values > 0).all() and np.median(values) < 5


def test_wrong_ones_are_set_aside(scene, own, tmp_path, run):
    bad = own.copy()
    bad.loc[::3, "dx"] += 60 * np.random.default_rng(0).choice([-1, 1], len(bad.loc[::3]))
    bad.to_csv(tmp_path / "bad.csv", index=False)
    code, *said = run(*arguments(tmp_path / "bad.csv", scene, tmp_path / "map.tif"))
    output = "".join(said)
    assert code == 0 and "24 of 72 tie-points set aside" in output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "lacks the column(s) x, y, dx, dy"),
        ("", "not a readable"),
        ("x,y,dx,dy\none,2,3,4\n", "something other than numbers"),
        ("x,y,dx,dy\n,,,\n", "no row with finite"),
        ("x,y,dx,dy,confidence\n1,2,3,4,7\n", "confidence 7"),
    ],
)
def test_bad_tables_end_in_one_sentence(text, message, scene, tmp_path, run):
    path = tmp_path / "own.csv"
    path.write_text(text)
    code, *said = run(*arguments(path, scene, tmp_path / "map.tif"))
    output = "".join(said)
    assert code == 2 and message in output and str(path.name) in output and not (tmp_path / "map.tif").exists()


def test_a_missing_and_a_broken_file(scene, tmp_path):
    broken = tmp_path / "own.parquet"
    broken.write_bytes(b"PAR1 and no more")
    for path, message in ((tmp_path / "none.csv", "no such file"), (broken, "not a readable")):
        with pytest.raises(InputError, match=message):
            read_given(path, scene.open())


def test_few_points_give_an_affine_with_a_constant_sigma(scene, own, tmp_path, run):
    own.sample(8, random_state=0).to_csv(tmp_path / "few.csv", index=False)
    code, *said = run(
        *arguments(tmp_path / "few.csv", scene, tmp_path / "map.tif"), "--uncertainty", tmp_path / "sigma.tif"
    )
    output = "".join(said)
    assert code == 4 and "fit: affine" in output and "verdict: weak" in output
    with rasterio.open(tmp_path / "sigma.tif") as written:
        assert np.ptp(written.read()) == 0


def test_points_that_all_disagree_are_no_field(scene, tmp_path, run):
    rng = np.random.default_rng(0)
    noise = pd.DataFrame(
        np.column_stack([rng.uniform(0, 200, (24, 2)), rng.uniform(-90, 90, (24, 2))]), columns=["x", "y", "dx", "dy"]
    )
    noise.to_csv(tmp_path / "noise.csv", index=False)
    code, *said = run(*arguments(tmp_path / "noise.csv", scene, tmp_path / "map.tif"))
    output = "".join(said)
    assert code in (3, 4) and "fit: field" not in output
    with rasterio.open(tmp_path / "map.tif") as written:
        assert np.abs(written.read()).max() < 150


def test_points_beside_the_image_fail_with_a_verdict_and_no_uncertainty(scene, own, tmp_path, run):
    own.assign(x=own["x"] + 5000).to_csv(tmp_path / "beside.csv", index=False)
    code, *said = run(
        *arguments(tmp_path / "beside.csv", scene, tmp_path / "map.tif"), "--uncertainty", tmp_path / "sigma.tif"
    )
    output = "".join(said)
    assert (
        code == 3
        and "verdict: failed" in output
        and "sigma.tif: not written" in output
        and not (tmp_path / "sigma.tif").exists()
    )


def test_an_output_that_is_a_folder_is_refused_first(scene, tmp_path, run):
    code, *said = run(*arguments(scene.tiepoints_csv, scene, tmp_path))
    assert code == 2 and "is a folder" in "".join(said)


@pytest.mark.parametrize("kind", ["decimal commas", "UTF-16", "capitals", "SN9 with fractions"])
def test_tables_of_every_dialect(kind, scene, own, tmp_path, run):
    path = tmp_path / "own.csv"
    if kind == "SN9 with fractions":
        table = pd.read_csv(scene.tiepoints_csv).astype(float)
        table[["sar_row", "optical_row"]] += [0.25, 0.5]  # half as many optical px as SAR px: the shift stays
        table.to_csv(path, index=False)
    elif kind == "decimal commas":
        own.to_csv(path, index=False, sep=";", decimal=",", encoding="utf-8-sig")
    else:
        named = own.rename(columns={"x": " X", "dx": "DX "}) if kind == "capitals" else own
        named.to_csv(path, index=False, sep="\t", encoding="utf-16" if kind == "UTF-16" else "utf-8")
    points = read_given(path, scene.open())
    half = 0.5 * (kind == "SN9 with fractions")
    np.testing.assert_allclose(points[["x", "y"]], own[["x", "y"]] + [0, half], atol=1e-9)
    np.testing.assert_allclose(points[["dx", "dy"]], own[["dx", "dy"]], atol=1e-9)
    code, printed, _ = run(*arguments(path, scene, tmp_path / "map.tif"))
    assert code == 0 and "of 72 tie-points set aside" in printed


@pytest.mark.parametrize("column", ["confidence", "sigma_px", "cycle_px"])
def test_text_for_a_number_is_an_error_and_its_mend_helps(column, scene, own, tmp_path, run):
    path = tmp_path / "own.csv"
    own.assign(**{column: ["high"] + ["1"] * (len(own) - 1)}).to_csv(path, index=False)
    code, _, err = run(*arguments(path, scene, tmp_path / "map.tif"))
    assert code == 2 and f"in column {column}: 'high' is not a number; correct or remove it" in err
    own.assign(**{column: [""] + ["1"] * (len(own) - 1)}).to_csv(path, index=False)
    assert run(*arguments(path, scene, tmp_path / "map.tif"))[0] == 0


def test_a_wrong_table_is_told_with_its_columns(scene, tmp_path, run):
    path = tmp_path / "own.csv"
    path.write_text("Lon;Lat;Height\n1;2;3\n")
    code, _, err = run(*arguments(path, scene, tmp_path / "map.tif"))
    assert code == 2 and "it has lon, lat, height;" in err
    assert "must be x,y,dx,dy or sar_row,sar_col,optical_row,optical_col" in err and "mapx,mapy,sourcex,sourcey" in err


def test_what_spoke_of_an_older_map_goes(scene, own, tmp_path, run):
    own.to_csv(tmp_path / "own.csv", index=False)
    own.assign(x=own["x"] + 5000).to_csv(tmp_path / "beside.csv", index=False)
    out, asked = tmp_path / "map.tif", tmp_path / "radius.tif"
    stale = [tmp_path / "map.sigma.tif", tmp_path / "map.report.json"]
    for path in stale:
        path.write_text("of an older map")
    assert run(*arguments(tmp_path / "own.csv", scene, out), "--uncertainty", asked)[0] == 0
    assert asked.is_file() and not any(path.exists() for path in stale)
    # No radius is known of the next map, and the one of the last is not left beside it
    code, printed, _ = run(*arguments(tmp_path / "beside.csv", scene, out), "--uncertainty", asked)
    assert code == 3 and "radius.tif: not written" in printed and not asked.exists()


def test_bad_input_removes_nothing_and_an_input_is_never_stale(scene, own, tmp_path, run):
    out, sigma = tmp_path / "map.tif", tmp_path / "map.sigma.tif"
    sigma.write_text("of an older map")
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    assert run(*arguments(tmp_path / "bad.csv", scene, out))[0] == 2 and sigma.exists()
    table = tmp_path / "map.report.json"  # an odd name for tie-points, but somebody's
    own.to_csv(table, index=False)
    assert run(*arguments(table, scene, out))[0] == 0
    assert table.exists() and not sigma.exists()
